"""The events feed: a partner's numbered events in their order, for programs that follow what happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import Event, first_id, utc_now
from app.problems import EventsGone, Fault, Invalid, Text
from app.services import readings
from app.services.columns import Columns

STRETCH: Final = 10_000
"""Positions that one call looks through at most, however few of them its filters let pass."""

OWN: Final = ("id", "position", "type", "subject_type", "subject_id", "account_id", "actor", "actor_id")
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

    Raises:
        As `place`.
    """
    after, latest = await place(db, after, days=days)
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


async def place(db: AsyncSession, after: int | None, *, days: int, source: str = "query:after") -> tuple[int, int]:
    """A position that can be read from, and where the feed ends; without one, before the oldest event that it has.

    The end is read first: positions are given without gaps, and those of one round appear at once, so all up to the
    end are there to be read.

    Raises:
        Invalid: the position lies behind the end.
        EventsGone: the next event is older than the feed goes back.
    """
    latest = await db.scalar(select(func.max(Event.position))) or 0
    since = utc_now() - timedelta(days=days)
    if after is None:
        kept = select(Event.position).where(Event.id >= first_id(since), Event.position.is_not(None))
        oldest = kept.order_by(Event.id).limit(STRETCH).subquery()  # ids are nearly in the order of positions
        first: int | None = await db.scalar(select(func.min(oldest.c.position)))
        return (latest if first is None else first - 1), latest
    if after > latest:
        raise Invalid(errors=[Fault(source, "invalid_cursor", AHEAD)])
    if after < latest and await db.scalar(select(Event.created_at < since).where(Event.position == after + 1)):
        raise EventsGone
    return after, latest


def shown(known: Columns, event: Event) -> dict[str, Any]:
    """An event as the feed gives it: it goes to programs, so sensitive values stay here, whoever asks."""
    data = {name: readings.side(event, name, known, masked=True) for name in ("before", "after")}
    at = words.stamp(event.created_at)
    return {name: getattr(event, name) for name in OWN} | {"occurred_at": at, "data": data}


def told(known: Columns, event: Event) -> bytes:
    """The same as JSON. It is told as it was recorded: what an older release wrote must not stop who follows."""
    return orjson.dumps(shown(known, event), default=str)  # the driver's UUIDs are a class of their own
