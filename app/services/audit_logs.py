"""The audit log: who did what in a partner, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event


@dataclass(frozen=True)
class Asked:
    """Which entries are asked for: those for which all that is given holds."""

    actor_id: UUID | None = None
    type: str | None = None
    subject_id: UUID | None = None
    account_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Entries:
    """A page of entries and one more, if there is one; `total` when it was asked for."""

    rows: Sequence[Event]
    total: int | None


async def listed(db: AsyncSession, asked: Asked, *, limit: int, after: list[Any] | None, count: bool) -> Entries:
    matching = _matching(asked)
    total = await db.scalar(select(func.count()).select_from(matching.subquery())) if count else None
    if after is not None:
        matching = matching.where(Event.id < UUID(after[0]))
    rows = await db.scalars(matching.order_by(Event.id.desc()).limit(limit + 1))
    return Entries(rows.all(), total)


def _matching(asked: Asked) -> Select[Any]:
    equal = {Event.actor_id: asked.actor_id, Event.type: asked.type, Event.subject_id: asked.subject_id,
             Event.account_id: asked.account_id}  # fmt: skip
    found = select(Event).where(*(column == value for column, value in equal.items() if value is not None))
    if asked.since is not None:
        found = found.where(Event.created_at >= asked.since)
    return found if asked.until is None else found.where(Event.created_at < asked.until)
