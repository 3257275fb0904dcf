"""Rate limits: so many units a minute for each credential, and for each address of callers without one.

All processes share them, and hardly ever ask one another: a process takes a share of a caller's units out of the
database and spends it by itself. So the limit is never passed by more than what was taken and not yet spent, and one
request in dozens costs a round trip. A database that does not answer at once limits nobody.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import Request
from sqlalchemy import Double, Integer, LargeBinary, case, cast, delete, func, literal
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine

from app.express import Prepared, param
from app.lines import Lines
from app.models import RateBucket
from app.problems import TooManyRequests
from app.recent import Recent

WINDOW: Final = 60
"""Seconds in which an empty bucket is full again."""
SHARES: Final = 20
"""What a process takes at once is this part of a full bucket."""
PATIENCE: Final = 2.0
"""Seconds that are waited for the database: it may take long to say that it is not there."""
MOST_KNOWN: Final = 100_000

COSTS: Final[Mapping[str, int]] = {
    "create_claim": 1, "run_claim_batch": 5, "run_account_batch": 20, "search_accounts": 1,
    "summarise_accounts": 5, "get_account_summaries": 5, "list_partner_entitlements": 5,
    "export_accounts_as_csv": 50, "export_accounts_as_xlsx": 50, "export_audit_log_as_csv": 50,
    "create_account_import": 50,
    "create_session": 10, "create_registration": 10, "create_password_reset": 10, "confirm_password_reset": 10,
    "change_password": 10, "start_totp": 10, "disable_totp": 10, "renew_recovery_codes": 10,
    "create_token": 5, "create_data_export": 50, "erase_me": 10,
}  # fmt: skip
"""Units that an operation costs, by its name; all others cost 1 if they read, 2 if they write."""


@dataclass(frozen=True)
class Quota:
    """So many units a minute, under a name that callers are told."""

    name: str
    units: int

    @property
    def share(self) -> int:
        return max(1, self.units // SHARES)


@dataclass
class Bucket:
    """What this process knows of one caller: what it may spend by itself, and until when."""

    units: int = 0
    until: float = 0
    level: float = 0
    """What was left in the database when it was asked last."""
    blocked_until: float = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Limits:
    """The buckets of all callers, as this process knows them."""

    def __init__(self, lines: Lines, *, credential: int, service: int, address: int) -> None:
        self._lines = lines
        self.credential, self.service = Quota("credential", credential), Quota("service", service)
        self.address = Quota("address", address)
        self._buckets = Recent[bytes, Bucket](MOST_KNOWN)

    async def take(self, request: Request, quota: Quota, key: bytes) -> None:
        """Spend what the request costs; once for each request, however often it is tried.

        Raises:
            TooManyRequests: there is too little left; `Retry-After` says when there will be enough.
        """
        if not quota.units or "rate" in request.scope:
            return
        cost, now = min(cost_of(request), quota.units), time.monotonic()
        bucket = self._buckets.get(key) or self._buckets.note(key, Bucket())
        if (bucket.units < cost or bucket.until <= now) and bucket.blocked_until <= now:
            async with bucket.lock:
                await self._fill(bucket, quota, key, cost)
                now = time.monotonic()
        request.scope["rate"] = quota, bucket
        if bucket.blocked_until > now:
            wait = int(bucket.blocked_until - now) + 1
            raise TooManyRequests(headers={"Retry-After": str(wait)})
        bucket.units -= cost

    async def _fill(self, bucket: Bucket, quota: Quota, key: bytes, cost: int) -> None:
        now = time.monotonic()
        if (bucket.units >= cost and bucket.until > now) or bucket.blocked_until > now:
            return  # whoever waited before did it
        if bucket.until <= now:
            bucket.units = 0
        lacking = cost - bucket.units
        want = max(lacking, quota.share)
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._lines.one(
                    _TAKE, key=key, full=float(quota.units), want=want, cost=lacking, rate=quota.units / WINDOW
                )
        except (DBAPIError, OSError):  # TimeoutError is one
            found = None
        granted, bucket.level = found or (want, quota.units)
        now = time.monotonic()
        if granted:
            bucket.units, bucket.until = bucket.units + granted, now + WINDOW
        else:
            bucket.blocked_until = now + (lacking - bucket.level) * WINDOW / quota.units


def cost_of(request: Request) -> int:
    name = getattr(request.scope.get("endpoint"), "__name__", "")
    return COSTS.get(name) or (1 if request.method in ("GET", "HEAD") else 2)


def headers_of(scope: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """What the caller is told of its limit (draft-ietf-httpapi-ratelimit-headers): the policy, what is left of it, and
    in how many seconds all of it is there again.
    """
    if "rate" not in scope:
        return []
    quota, bucket = scope["rate"]
    left = max(0, int(bucket.level) + bucket.units)
    seconds = -(-(quota.units - left) * WINDOW // quota.units)
    return [
        (b"ratelimit-policy", f'"{quota.name}";q={quota.units};w={WINDOW}'.encode()),
        (b"ratelimit", f'"{quota.name}";r={left};t={seconds}'.encode()),
    ]


async def purge(db: AsyncSession, now: datetime) -> None:
    """Forget buckets that are full again."""
    await db.execute(delete(RateBucket).where(RateBucket.at < now - timedelta(seconds=2 * WINDOW)))


def _taking() -> Prepared:
    """Take units out of a bucket: as many as wanted, or what is there if it is enough for the cost, or else none."""
    double: TypeEngine[float] = Double()
    full, rate = param("full", double), param("rate", double)
    want, cost = param("want", Integer()), param("cost", Integer())
    first = insert(RateBucket).values(
        key=param("key", LargeBinary()), level=full - want, at=func.clock_timestamp(), granted=want
    )
    since = func.greatest(0, cast(func.extract("epoch", first.excluded.at - RateBucket.at), double))
    there = func.least(full, RateBucket.level + since * rate)
    granted = case((there >= cost, func.least(want, cast(func.floor(there), Integer()))), else_=literal(0, Integer()))
    values = {"level": there - granted, "granted": granted, "at": func.greatest(RateBucket.at, first.excluded.at)}
    taken = first.on_conflict_do_update(index_elements=[RateBucket.key], set_=values)
    return Prepared(taken.returning(RateBucket.granted, RateBucket.level))


_TAKE: Final = _taking()
