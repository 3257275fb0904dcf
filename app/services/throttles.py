"""Counting failures, so that a guesser gets slower with each one and the owner does not."""

import hashlib
import hmac
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Throttle
from app.problems import TooManyAttempts

LONGEST = timedelta(minutes=15)
NOT_BLOCKED = timedelta(minutes=1)  # in the past also for a request that began before the first failure
FORGET_AFTER = timedelta(hours=24)


def key(secret: bytes, *parts: str) -> bytes:
    """The counter's key: keyed, so that the table tells nobody whose address it counts."""
    return hmac.digest(secret, "\0".join(parts).encode(), hashlib.sha256)


async def count(db: AsyncSession, counter: bytes, now: datetime, *, free: int) -> None:
    """One more failure: `free` of them need no wait, each further one twice the wait of the one before.

    Raises:
        TooManyAttempts: an earlier wait is not over; `Retry-After` says how many seconds it takes.
    """
    upsert = insert(Throttle).values(key=counter, failures=1, blocked_until=now - NOT_BLOCKED).on_conflict_do_update(
        index_elements=["key"], set_={"failures": Throttle.failures + 1}, where=Throttle.blocked_until <= now
    )  # fmt: skip
    failures = await (await db.connection()).scalar(upsert.returning(Throttle.failures))
    if failures is None:
        until = await db.scalar(select(Throttle.blocked_until).where(Throttle.key == counter)) or now
        raise TooManyAttempts(headers={"Retry-After": str(int((until - now).total_seconds()) + 1)})
    if failures >= free:
        wait = min(timedelta(seconds=2 ** min(failures - free + 1, 12)), LONGEST)
        await db.execute(update(Throttle).where(Throttle.key == counter).values(blocked_until=now + wait))


async def uncount(db: AsyncSession, counter: bytes) -> None:
    """It was no failure: take it back, but no wait that others caused."""
    mine = update(Throttle).where(Throttle.key == counter)
    await db.execute(mine.values(failures=Throttle.failures - 1))


async def clear(db: AsyncSession, counter: bytes) -> None:
    await db.execute(delete(Throttle).where(Throttle.key == counter))


async def purge(db: AsyncSession, now: datetime) -> None:
    """Forget failures a day after their wait was over."""
    await db.execute(delete(Throttle).where(Throttle.blocked_until < now - FORGET_AFTER))
