"""The events feed: a partner's numbered events in their order, for programs that follow what happens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event, utc_now
from app.problems import EventsGone, Fault, Invalid, Text
from app.services.columns import Columns

STRETCH: Final = 10_000
"""Positions that one call looks through at most, however few of them its filters let pass."""

AHEAD = Text("There is no such position yet.", "Diese Position gibt es noch nicht.")


@dataclass(frozen=True)
class Stretch:
    """A stretch of the feed: what passed the filters, how far was looked, and where the feed ends at the moment."""

    events: Sequence[Event]
    until: int
    latest: int


async def read(db: AsyncSession, *, after: int | None, limit: int, days: int, types: Sequence[str] = (),
               account_id: UUID | None = None) -> Stretch:  # fmt: skip
    """What comes behind a position; without one, from the oldest event that the feed still has.

    The end is read first: positions are given without gaps, and those of one round appear at once, so all up to the
    end are there to be read.

    Raises:
        Invalid: the position lies behind the end.
        EventsGone: the next event is older than the feed goes back.
    """
    latest = await db.scalar(select(func.max(Event.position))) or 0
    since = utc_now() - timedelta(days=days)
    if after is None:
        oldest = select(func.min(Event.position)).where(Event.created_at >= since)
        after = (await db.scalar(oldest) or latest + 1) - 1
    elif after > latest:
        raise Invalid(errors=[Fault("query:after", "invalid_cursor", AHEAD)])
    elif await db.scalar(select(Event.created_at < since).where(Event.position == after + 1)):
        raise EventsGone
    until = min(latest, after + STRETCH)
    asked = select(Event).where(Event.position > after, Event.position <= until)
    if types:
        asked = asked.where(Event.type.in_(types))
    if account_id is not None:
        asked = asked.where(Event.account_id == account_id)
    found = (await db.scalars(asked.order_by(Event.position).limit(limit + 1))).all()
    if len(found) > limit:
        until = cast("int", found[limit - 1].position)
    return Stretch(found[:limit], until, latest)


def side(event: Event, name: str, known: Columns, *, masked: bool) -> dict[str, Any] | None:
    """What was before, or after; with `masked`, without what sensitive properties hold, or are asked for.

    A property that is gone counts as sensitive, for nobody knows any more; so does one that is younger than the event.
    """
    found = cast("dict[str, Any] | None", (event.details or {}).get(name))
    if found is None or not masked:
        return found
    shown = dict(found)
    if isinstance(found.get("properties"), Mapping):
        shown["properties"] = {k: v if _open(known, k, event) else None for k, v in found["properties"].items()}
    if event.subject_type != "account":  # a saved view, an export: conditions tell of values as well
        shown |= {k: None for k in ("all", "any", "q", "filter") if k in found}
    return shown


def _open(known: Columns, key: str, event: Event) -> bool:
    found = known.by_key.get(key)
    return found is not None and not found.sensitive and found.id < event.id
