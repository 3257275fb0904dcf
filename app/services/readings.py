"""Readings of the change log: a page of it, the newest first, and what of an event may be shown."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event
from app.services import walks
from app.services.columns import Columns


async def newest(
    db: AsyncSession, matching: Select[Any], *, limit: int, after: list[Any] | None, count: bool
) -> walks.Listed:
    """The events that match, the newest first, from behind a cursor on."""
    total = await db.scalar(walks.counted(matching)) if count else None
    if after is not None:
        matching = matching.where(Event.id < UUID(after[0]))
    rows = await db.scalars(matching.order_by(Event.id.desc()).limit(limit + 1))
    return walks.Listed(rows.all(), total, lambda event: [str(event.id)])


def side(event: Event, name: str, known: Columns, *, masked: bool) -> dict[str, Any] | None:
    """What was before, or after; with `masked`, without what sensitive properties hold, or are asked for."""
    found = cast("dict[str, Any] | None", (event.details or {}).get(name))
    if found is None or not masked:
        return found
    shown = dict(found)
    if isinstance(found.get("properties"), Mapping):
        shown["properties"] = {k: v if is_open(known, k, event) else None for k, v in found["properties"].items()}
    if event.subject_type != "account":  # a saved view, an export: conditions tell of values as well
        shown |= {k: None for k in ("all", "any", "q", "filter") if k in found}
    return shown


def is_open(known: Columns, key: str, event: Event) -> bool:
    """Whether all may see the values that a property had then. One that is gone counts as sensitive, for nobody knows
    any more; and a younger one than the event has but the key of the one that it was of.
    """
    found = known.by_key.get(key)
    return found is not None and not found.sensitive and found.id < event.id
