"""What there is to be bought: rows of the catalogue, as operators would have made them."""

from decimal import Decimal
from typing import Any

from app.models import PLATFORM, Article, BillingPeriod, Feature, FeatureKind, PriceModel
from tests.conftest import World


async def feature(world: World, key: str, **values: Any) -> None:
    """Have a feature of this key: a quota, unless told otherwise."""
    own: dict[str, Any] = {
        "kind": FeatureKind.QUOTA,
        "name": {"en": key.title()},
        "description": {},
        "unit": {"en": key},
        "search": key,
    }
    async with world.transaction(PLATFORM) as db:
        db.add(Feature(key=key, **own | values))


async def article(world: World, number: str, *grants: dict[str, Any], price: str = "12.50", **values: Any) -> None:
    """Have an article of this number that grants these."""
    own: dict[str, Any] = {"name": {"en": f"Article {number}"}, "description": {}, "currency": "EUR", "search": number.lower(),
           "billing_period": BillingPeriod.MONTHLY}  # fmt: skip
    async with world.transaction(PLATFORM) as db:
        db.add(Article(number=number, amount=Decimal(price), grants=list(grants), **own | values))


async def price_model(
    world: World, key: str, *base_grants: dict[str, Any], prices: dict[str, str] | None = None
) -> None:
    """Have a price model of this key: what it gives, and which articles cost something else in it."""
    own = [{"article": n, "price": {"amount": a, "currency": "EUR"}} for n, a in (prices or {}).items()]
    async with world.transaction(PLATFORM) as db:
        db.add(PriceModel(key=key, name={"en": key.title()}, description={}, search=key, base_grants=list(base_grants),
                          article_prices=own))  # fmt: skip


def grant(feature: str, units: int, duration: str | None = None, *, grace_days: int = 0,
          max_units_per_claim: int | None = None) -> dict[str, Any]:  # fmt: skip
    """One grant of an article, as the catalogue keeps it."""
    return {"feature": feature, "units": units, "duration": duration, "grace_days": grace_days,
            "max_units_per_claim": max_units_per_claim}  # fmt: skip


def base(feature: str, units: int, *, grace_days: int = 0) -> dict[str, Any]:
    """One base grant of a price model."""
    return {"feature": feature, "units": units, "grace_days": grace_days, "max_units_per_claim": None}
