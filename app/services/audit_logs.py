"""The audit log: who did what in a partner, the newest first."""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event
from app.policy import Access, Actor
from app.services import columns, lists, readings, walks
from app.services.columns import Columns

OWN: Final = ("id", "position", "type", "subject_type", "subject_id", "account_id", "actor", "actor_id", "on_behalf_of",
              "request_id")  # fmt: skip
ID: Final = ("eq", "in")
TABLE: Final = lists.Table(
    Event,
    {
        "type": lists.Column(Event.type, lists.EQUALITY),
        "subject_type": lists.Column(Event.subject_type, lists.EQUALITY),
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
    matching = select(Event).where(*lists.conditions(TABLE, query))
    return await readings.newest(db, matching, limit=limit, after=after, count=count)


def shown(known: Columns, access: Access, event: Event) -> dict[str, Any]:
    """An entry as the API shows it, without what the caller may not see."""
    masked = columns.masks(access)
    sides = {name: readings.side(event, name, known, masked=masked) for name in ("before", "after")}
    return {name: getattr(event, name) for name in OWN} | sides | {
        "occurred_at": event.created_at, "hash": event.hash.hex() if event.hash else None,
        "address": (event.origin or {}).get("address"),
    }  # fmt: skip
