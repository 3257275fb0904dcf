"""What operators look at in a partner: an entry of its audit log, not one for every look."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Event, first_id, utc_now
from app.policy import Access
from app.services import events, partners

AGAIN: Final = timedelta(minutes=15)
VIEWED: Final = "partner.viewed"


async def note(db: AsyncSession, access: Access, operation: str) -> datetime:
    """Record that an operator asked for something of the partner's, unless they did so a moment ago; when they did.

    Which operation, and nothing of what it showed. Whoever asks twice at once is noted once: the second waits.
    """
    whole = f"look:{access.caller.id}:{access.partner_id}:{operation}".encode()
    lock = int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "big", signed=True)
    await db.execute(select(func.pg_advisory_xact_lock(lock)))
    now = utc_now()
    last: datetime | None = await db.scalar(
        select(Event.created_at)
        .where(Event.id >= first_id(now - AGAIN), Event.type == VIEWED, Event.actor_id == access.caller.id,
               Event.details["after"]["operation"].astext == operation)
        .limit(1)
    )  # fmt: skip
    if last is not None:
        return last
    events.record(db, access, VIEWED, await partners.get(db, access.partner_id), after={"operation": operation})
    return now
