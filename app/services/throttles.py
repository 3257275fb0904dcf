"""Counting failures, so that a guesser gets slower with each one and the owner does not."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Throttle
from app.problems import TooManyAttempts

LONGEST = timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=24)


def network_of(address: str | None) -> str:
    """The network that an address belongs to: what one customer line usually gets (/24, or /64 of IPv6)."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    found = getattr(found, "ipv4_mapped", None) or found
    return str(ip_network((found, 24 if found.version == 4 else 64), strict=False))


def key(secret: bytes, *parts: str) -> bytes:
    """The counter's key: keyed, so that the table tells nobody whose address it counts."""
    return hmac.digest(secret, "\0".join(parts).encode(), hashlib.sha256)


async def count(db: AsyncSession, counter: bytes, now: datetime, *, free: int) -> None:
    """One more failure: the first `free` cost nothing, each further one twice the wait of the one before.

    Raises:
        TooManyAttempts: an earlier wait is not over; `Retry-After` says how many seconds it takes.
    """
    row = await db.scalar(select(Throttle).where(Throttle.key == counter).with_for_update())
    if row is not None and row.blocked_until > now:
        raise TooManyAttempts(headers={"Retry-After": str(int((row.blocked_until - now).total_seconds()) + 1)})
    failures = (row.failures if row else 0) + 1
    wait = min(timedelta(seconds=2 ** min(failures - free, 12)), LONGEST) if failures > free else timedelta()
    values = {"key": counter, "failures": failures, "blocked_until": now + wait}
    upsert = insert(Throttle).values(**values).on_conflict_do_update(
        index_elements=["key"], set_={"failures": Throttle.failures + 1, "blocked_until": now + wait}
    )  # fmt: skip
    await (await db.connection()).execute(upsert)


async def clear(db: AsyncSession, keys: Sequence[bytes]) -> None:
    await db.execute(delete(Throttle).where(Throttle.key.in_(keys)))


async def purge(db: AsyncSession, now: datetime) -> None:
    """Forget failures a day after their wait was over."""
    await db.execute(delete(Throttle).where(Throttle.blocked_until < now - FORGET_AFTER))
