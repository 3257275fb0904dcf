"""What an account's values were before: a reading of the change log."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event
from app.policy import Access, Actor
from app.services import columns, readings
from app.services.columns import Columns


@dataclass(frozen=True)
class ValueChange:
    """One value that changed. Masked: it did, but the caller may not see from what to what."""

    key: str
    before: Any
    after: Any
    masked: bool


@dataclass(frozen=True)
class Entry:
    """One change of an account's values, with who made it and when."""

    id: UUID
    at: datetime
    actor: Actor
    actor_id: UUID | None
    changes: list[ValueChange]


@dataclass(frozen=True)
class History:
    """A page of changes and one more, if there is one, the newest first; `total` when it was asked for."""

    entries: list[Entry]
    total: int | None


async def of_values(db: AsyncSession, access: Access, account_id: UUID, found: Columns, *, key: str | None, limit: int,
                    after: list[Any] | None, count: bool) -> History:  # fmt: skip
    """How an account's values changed; with `key`, those of that property only."""
    changed = Event.details["after"]["properties"]
    of_account = (Event.subject_id == account_id, Event.subject_type == "account")
    statement = select(Event).where(*of_account, changed.has_key(key) if key else changed != {})
    events = await readings.newest(db, statement, limit=limit, after=after, count=count)
    masked = columns.masks(access)
    return History([_entry(event, found, key, masked=masked) for event in events.rows], events.total)


def _entry(event: Event, found: Columns, key: str | None, *, masked: bool) -> Entry:
    details = event.details or {}
    before, after = _values(details, "before"), _values(details, "after")
    hidden = {k for k in after if not readings.is_open(found, k, event)} if masked else set[str]()
    changes = [ValueChange(k, None if k in hidden else before.get(k), None if k in hidden else v, k in hidden)
               for k, v in after.items() if key in (None, k)]  # fmt: skip
    return Entry(event.id, event.created_at, event.actor, event.actor_id, changes)


def _values(details: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", (details.get(side) or {}).get("properties") or {})
