"""The catalogue of the demo: price models that sensor clouds have."""

import random
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.models import PLATFORM
from app.policy import Access, Caller, Role
from app.problems import KeyTaken
from app.services import catalogue, price_models

PRICE_MODELS: Final = {
    "starter": ({"en": "Starter", "de": "Einstieg"},
                {"en": "Up to 10 sensors, values kept for a year.", "de": "Bis 10 Sensoren, Werte ein Jahr lang."}),
    "professional": ({"en": "Professional", "de": "Professional"},
                     {"en": "Up to 200 sensors, alarms by text message, values kept for five years.",
                      "de": "Bis 200 Sensoren, Alarme per SMS, Werte fünf Jahre lang."}),
    "enterprise": ({"en": "Enterprise", "de": "Konzern"},
                   {"en": "Any number of sensors, API access, support around the clock.",
                    "de": "Beliebig viele Sensoren, API-Zugang, Betreuung rund um die Uhr."}),
    "pilot_2025": ({"en": "Pilot 2025", "de": "Pilotphase 2025"},
                   {"en": "The terms of the first customers. No longer sold.",
                    "de": "Die Bedingungen der ersten Kunden. Wird nicht mehr verkauft."}),
}  # fmt: skip
NO_LONGER_SOLD: Final = "pilot_2025"
WEIGHTS: Final = (45, 25, 6, 9, 15)


async def fill(db: AsyncSession, caller: Caller) -> None:
    """Add the price models that are not there yet. The session must be confined to `PLATFORM`."""
    access = _operator(caller)
    for key, (name, description) in PRICE_MODELS.items():
        try:
            await price_models.create(db, access, key=key, name=name, description=description)
        except KeyTaken:
            await catalogue.archive(db, access, await price_models.get(db, key), archived=False)


async def close(db: AsyncSession, caller: Caller) -> None:
    """Archive what is no longer sold: accounts that have it keep it."""
    row = await price_models.get(db, NO_LONGER_SOLD)
    await catalogue.archive(db, _operator(caller), row, archived=True)


def price_model_of(chance: random.Random) -> str | None:
    """Of one account; some have none yet."""
    return chance.choices((*PRICE_MODELS, None), WEIGHTS)[0]


def _operator(caller: Caller) -> Access:
    return Access(caller, PLATFORM, frozenset({Role.OPERATOR}))
