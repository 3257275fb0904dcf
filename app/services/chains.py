"""The chain of hashes of a change log: computed anew, to find what was changed behind its back."""

import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import LargeBinary, Select, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event
from app.services.events import commitment

BATCH: Final = 1_000


@dataclass(frozen=True)
class Verdict:
    """How many entries were looked at; where the chain breaks, if it does, and why."""

    entries: int
    broken_at: int | None = None
    why: str = ""


async def verify(db: AsyncSession, partner_id: UUID) -> Verdict:
    """Go through the numbered entries of a partner, the oldest first, up to the first that does not hold."""
    position, chained = 0, b""
    while rows := (await db.execute(_behind(partner_id, position))).all():
        for event, facts in rows:
            position += 1
            if event.position != position:
                return Verdict(position - 1, position, "an entry is missing")
            link = chained + position.to_bytes(8, "big") + facts + event.details_hash
            chained = hashlib.sha256(link).digest()
            if why := _fault(event, chained):
                return Verdict(position - 1, position, why)
        db.expunge_all()
    return Verdict(position)


def _behind(partner_id: UUID, position: int) -> Select[Event, bytes]:
    facts = func.event_facts(literal_column("events"), type_=LargeBinary)  # a whole row of the table
    found = select(Event, facts).where(Event.partner_id == partner_id, Event.position > position)
    return found.order_by(Event.position).limit(BATCH)


def _fault(event: Event, expected: bytes) -> str:
    if event.hash != expected:
        return "its facts are not those that were chained"
    for name, content, salt, kept in (("content", event.details, event.salt, event.details_hash),
                                      ("origin", event.origin, event.origin_salt, event.origin_hash)):  # fmt: skip
        if (content is None) != (salt is None):
            return f"its {name} was taken away, or put in, without the salt"
        if content is not None and salt is not None and commitment(salt, content) != kept:
            return f"its {name} was changed"
    return ""
