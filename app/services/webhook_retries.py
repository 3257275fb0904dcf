"""When a delivery that failed is tried again, and when a receiver is left alone for a while."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from uuid import UUID

from app.models import DeliveryState

GIVE_UP: Final = timedelta(days=3)
WAITS: Final = (5, 15, 60, 300, 900, 1800, 3600, 7200, 14_400)
"""Seconds from one attempt to the next; after the last of them, always as long."""
OPEN: Final = 5
"""So many failures in a row, and the receiver is only probed, one delivery at a time."""
PAUSES: Final = (5, 10, 20, 40, 80, 160, 320, 600)
"""Seconds from one probe to the next."""
LONGEST_ASKED: Final = timedelta(hours=4)
GONE: Final = 410
BUSY: Final = (429, 503)


@dataclass(frozen=True)
class Attempt:
    """One attempt, and what came of it."""

    delivery_id: UUID
    at: datetime
    said: dict[str, Any]
    """What is kept of the answer: `{at, milliseconds, status, error, content_type, body}`."""
    state: DeliveryState
    next_at: datetime | None
    asked: datetime | None
    """Until when the receiver wants to be left alone."""

    @property
    def taken(self) -> bool:
        return self.state == DeliveryState.DELIVERED

    @property
    def gone(self) -> bool:
        return self.said["status"] == GONE


def attempt(delivery_id: UUID, at: datetime, said: dict[str, Any], *, tries: int, begun_at: datetime,
            retry_after: str | None) -> Attempt:  # fmt: skip
    """What follows from an answer: taken, to be tried again, or given up. `tries` were made before."""
    if said["error"] is None:
        return Attempt(delivery_id, at, said, DeliveryState.DELIVERED, None, None)
    asked = until(at, retry_after) if said["status"] in BUSY else None
    wait = WAITS[min(tries, len(WAITS) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
    next_at = max(at + timedelta(seconds=wait), asked or at)
    if said["status"] == GONE or next_at > begun_at + GIVE_UP:
        return Attempt(delivery_id, at, said, DeliveryState.FAILED, None, asked)
    return Attempt(delivery_id, at, said, DeliveryState.PENDING, next_at, asked)


def until(at: datetime, retry_after: str | None) -> datetime | None:
    """What `Retry-After` asks for (RFC 9110, 10.2.3): seconds, or a moment; four hours at most."""
    if retry_after is None:
        return None
    try:
        wanted = at + timedelta(seconds=int(retry_after)) if retry_after.isdecimal() else _moment(retry_after)
    except (ValueError, OverflowError):
        return None
    return min(max(wanted, at), at + LONGEST_ASKED)


def _moment(text: str) -> datetime:
    found = parsedate_to_datetime(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@dataclass
class Health:
    """How a receiver has fared."""

    failures: int
    failing_since: datetime | None
    paused_until: datetime | None

    @property
    def open(self) -> bool:
        """Whether it is only probed."""
        return self.failures >= OPEN

    def note(self, attempts: Sequence[Attempt]) -> bool:
        """Take in what has happened; whether it has recovered, so that what waits is worth trying."""
        was_open, taken = self.open, False
        for one in sorted(attempts, key=lambda a: a.at):
            if one.taken:
                self.failures, self.failing_since, self.paused_until, taken = 0, None, None, True
                continue
            self.failures += 1
            self.failing_since = self.failing_since or one.at
            if self.open:
                pause = PAUSES[min(self.failures - OPEN, len(PAUSES) - 1)]
                self.paused_until = one.at + timedelta(seconds=pause)
            if one.asked is not None:
                self.paused_until = max(self.paused_until or one.at, one.asked)
        return was_open and taken and not self.open
