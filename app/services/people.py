"""All that is kept about a person, read from its inventory: partner by partner, a window of rows at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import PLATFORM, Account, Event
from app.services import events, users
from app.services.holdings import HOLDINGS, OWN, Holding, Person
from app.tenancy import confine

WINDOW: Final = 10_000
"""How many rows of a table are looked at in one transaction."""


@dataclass(frozen=True)
class Place:
    """Where a walk over all that is kept goes on: in which partner, with which holding, behind which row."""

    partner_id: UUID = PLATFORM
    holding: int = 0
    after: UUID | None = None


async def of(db: AsyncSession, user_id: UUID, *, lock: bool = False) -> Person:
    """Who a user is."""
    user = await users.get(db, user_id, lock=lock)
    return Person(user.id, user.email, user.email_key)


async def step(db: AsyncSession, person: Person, place: Place) -> tuple[list[dict[str, Any]], Place | None]:
    """The next records, and where to go on; None at the end. What belongs to no partner comes first."""
    await confine(db, place.partner_id)
    found: list[dict[str, Any]] = []
    after = place.after
    for number, holding in list(enumerate(HOLDINGS))[place.holding :]:
        if not holding.of_partner and place.partner_id != PLATFORM:
            continue
        until = await window(db, holding.model, after) if holding.of_partner else None
        found += [_record(holding, row, person) for row in await _rows(db, holding, person, after, until)]
        if until is not None:
            return found, Place(place.partner_id, number, until)
        after = None
    following = await next_partner(db, place.partner_id)
    return found, Place(following) if following else None


async def next_partner(db: AsyncSession, last: UUID) -> UUID | None:
    """The partner behind one, in the order of their ids."""
    found = func.partners_behind(last).table_valued("partner_id")
    partner_id = await db.scalar(select(found.c.partner_id).limit(1))
    return UUID(str(partner_id)) if partner_id else None


async def window(db: AsyncSession, model: Any, after: UUID | None) -> UUID | None:
    """The last row of the next window of a table; None when the rest fits in, or it has no ids to walk by."""
    if not hasattr(model, "id"):
        return None
    ids = select(model.id).order_by(model.id).offset(WINDOW - 1).limit(1)
    return await db.scalar(ids if after is None else ids.where(model.id > after))


async def _rows(
    db: AsyncSession, holding: Holding, person: Person, after: UUID | None, until: UUID | None
) -> Sequence[Mapping[str, Any]]:
    model = holding.model
    names = [*holding.shown.split(), *(["properties"] if model is Account else [])]
    found = select(*(getattr(model, name) for name in names)).where(holding.about(person))
    if after is not None:
        found = found.where(model.id > after)
    if until is not None:
        found = found.where(model.id <= until)
    rows = await db.execute(found.order_by(*(getattr(model, key.name) for key in model.__mapper__.primary_key)))
    return [dict(zip(names, row, strict=True)) for row in rows]


def _record(holding: Holding, row: Mapping[str, Any], person: Person) -> dict[str, Any]:
    shown = {name: row[name] for name in holding.shown.split()}
    if holding.model is Account:
        shown["named_by"] = sorted(key for key, value in row["properties"].items() if value == str(person.id))
    if holding.model is Event:
        shown["details"] = row["details"] if _is_about(row, person) else None
        shown["origin"] = row["origin"] if person.id in (row["actor_id"], row["on_behalf_of"]) else None
    return {"table": holding.table, "what": holding.what, "row": events.plain(shown)}


def _is_about(row: Mapping[str, Any], person: Person) -> bool:
    """Whether an event's content is a fact about the person. Of what they did for a partner, or to others, it is not
    theirs: they may not even be allowed to see it any more.
    """
    if row["subject_type"] not in OWN:
        return False
    said = orjson.dumps(row["details"]).decode().lower()
    if row["subject_type"] == "invitation":
        return f'"{person.email_key}"' in said
    own = row["subject_id"] == person.id or (row["subject_type"] == "session" and row["actor_id"] == person.id)
    return own or str(person.id) in said
