"""The audit log: who did what in a partner, the newest first."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.event_types import FEED
from app.models import Event, first_id
from app.policy import Access, Actor
from app.services import columns, events, lists, partners, readings, walks
from app.services.columns import Columns
from app.sheets import Writer

SLACK: Final = timedelta(hours=1)
"""How far an id may be from the moment of its entry: both are taken in one request, at most."""
FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LAST: Final = datetime(3000, 1, 1, tzinfo=UTC)

OWN: Final = ("id", "position", "type", "subject_type", "subject_id", "account_id", "actor", "actor_id", "on_behalf_of",
              "request_id")  # fmt: skip
ID: Final = ("eq", "in")
subject_of = lists.among(
    {kind.subject for kind in FEED.values()}, "Nothing of this kind is in the log.", "Davon steht nichts im Protokoll."
)
TABLE: Final = lists.Table(
    Event,
    {
        "type": lists.Column(Event.type, lists.EQUALITY, events.type_of),
        "subject_type": lists.Column(Event.subject_type, lists.EQUALITY, subject_of),
        "subject_id": lists.Column(Event.subject_id, ID, lists.id_of),
        "account_id": lists.Column(Event.account_id, (*ID, "is_null"), lists.id_of, nullable=True),
        "actor": lists.Column(Event.actor, lists.EQUALITY, lists.one_of(Actor)),
        "actor_id": lists.Column(Event.actor_id, (*ID, "is_null"), lists.id_of, nullable=True),
        "request_id": lists.Column(Event.request_id, ID, nullable=True),
        "occurred_at": lists.Column(Event.created_at, lists.ORDER, lists.moment),
    },
    sort="",
)


async def listed(db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    """Entries in the order in which they were made, the newest first.

    Raises:
        Invalid: unknown field, operator that the field has not, or a value that is none.
    """
    return await readings.newest(db, _matching(query), limit=limit, after=after, count=count)


def _matching(query: lists.Query) -> Select[Any]:
    return select(Event).where(*lists.conditions(TABLE, query), *_near(query))


def _near(query: lists.Query) -> Iterator[ColumnElement[bool]]:
    """Bounds of the ids, by which entries are in order, that follow from those of the time: so that a day of years is
    found without looking at all of them.
    """
    for text in query.filter:
        asked = lists.parsed(text)
        if asked.field == "occurred_at" and asked.operator in ("eq", "gt", "gte", "lt", "lte"):
            at = min(max(lists.moment(asked.value), FIRST), LAST)
            if asked.operator in ("eq", "gt", "gte"):
                yield Event.id >= first_id(at - SLACK)
            if asked.operator in ("eq", "lt", "lte"):
                yield Event.id < first_id(at + SLACK)


def shown(known: Columns, access: Access, event: Event) -> dict[str, Any]:
    """An entry as the API shows it, without what the caller may not see."""
    masked = columns.masks(access)
    sides = {name: readings.side(event, name, known, masked=masked) for name in ("before", "after")}
    return {name: getattr(event, name) for name in OWN} | sides | {
        "occurred_at": event.created_at, "hash": event.hash.hex() if event.hash else None,
        "address": (event.origin or {}).get("address"),
    }  # fmt: skip


# --- as a file ---

HEADER: Final = ("occurred_at", "type", "subject_type", "subject_id", "account_id", "actor", "actor_id", "on_behalf_of",
                 "address", "request_id", "before", "after", "position", "hash", "id")  # fmt: skip
BATCH: Final = 500


async def note(db: AsyncSession, access: Access, query: lists.Query, *, taken: bool) -> None:
    """Record that somebody takes the audit log along. Not `taken`, it is only checked.

    Raises:
        Invalid: as `listed`.
    """
    _matching(query)
    if taken:
        facts = {"format": "csv", "filters": query.size}
        events.record(db, access, "audit_log.exported", await partners.get(db, access.partner_id), after=facts)


async def pieces(db: AsyncSession, access: Access, query: lists.Query, writer: Writer) -> AsyncGenerator[bytes]:
    """The file, some entries at a time, the newest first. Call it in a transaction that sees one state of things.

    Raises:
        Invalid: as `listed`.
    """
    known = await columns.load(db, access.partner_id)
    statement = _matching(query).order_by(Event.id.desc())
    found = await db.stream_scalars(statement, execution_options={"yield_per": BATCH})
    made = writer.head(HEADER)
    async for some in found.partitions():
        yield made + await asyncio.to_thread(writer.rows, [_row(shown(known, access, event)) for event in some])
        made = b""
    yield made + writer.end()


def _row(entry: Mapping[str, Any]) -> list[Any]:
    cells = {name: value if value is None or type(value) is int else str(value) for name, value in entry.items()}
    cells["occurred_at"] = words.stamp(entry["occurred_at"])
    for side in ("before", "after"):
        cells[side] = None if entry[side] is None else orjson.dumps(entry[side]).decode()
    return [cells[name] for name in HEADER]
