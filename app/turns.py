"""Taking turns: of each partner, a few requests are at work in a process at a time; its others wait among themselves.

So a partner that sends a hundred requests at once waits for itself, and everybody else's come in between.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import Request

from app.problems import Unavailable

WAITING: Final = 2_000
"""How many of one partner may wait: more would wait longer than they have time for."""
PLACE: Final = "/v1/partners/"
LENGTH: Final = 36
APART: Final = frozenset({
    "create_claim", "create_account_import", "export_accounts_as_csv", "export_accounts_as_xlsx", "export_audit_log",
    "list_events", "stream_events", "ping_webhook",
})  # fmt: skip
"""What does not take turns: it has a queue of its own, or takes long and has places of its own."""


@dataclass(eq=False)
class Door:
    """Of one partner: who is at work, and who waits."""

    passing: asyncio.Semaphore
    callers: int = 0


@dataclass
class Turns:
    """Those of one process."""

    at_once: int
    patience: float
    """Seconds that a turn is waited for."""
    _doors: dict[str, Door] = field(default_factory=dict[str, Door])

    async def take(self, request: Request) -> None:
        """Wait for one's turn; it is over with the request (`give_back`).

        Call it when the whole body has arrived, and only for who has proved who calls: else somebody slow could keep
        others waiting.

        Raises:
            Unavailable: too many of the partner are waiting, or it takes too long.
        """
        scope = request.scope
        partner = _partner(scope)
        if not self.at_once or partner is None or "turn" in scope:
            return
        door = self._doors.get(partner)
        if door is None:
            door = self._doors[partner] = Door(asyncio.Semaphore(self.at_once))
        if door.callers >= WAITING:
            raise Unavailable
        door.callers += 1
        try:
            if door.passing.locked():
                async with asyncio.timeout(self.patience):
                    await door.passing.acquire()
            else:  # a deadline costs more than this
                await door.passing.acquire()
        except TimeoutError:
            self._leave(partner, door)
            raise Unavailable from None
        except BaseException:
            self._leave(partner, door)
            raise
        scope["turn"] = partner

    def give_back(self, scope: Mapping[str, Any]) -> None:
        """The request is over: the next one's turn."""
        partner = scope.get("turn")
        if partner is not None:
            door = self._doors[partner]
            door.passing.release()
            self._leave(partner, door)

    def _leave(self, partner: str, door: Door) -> None:
        door.callers -= 1
        if not door.callers:
            del self._doors[partner]


def _partner(scope: Mapping[str, Any]) -> str | None:
    """The partner in whose place something is asked for, unless it does not take turns."""
    path: str = scope["path"]
    if not path.startswith(PLACE) or getattr(scope.get("endpoint"), "__name__", "") in APART:
        return None
    return path[len(PLACE) : len(PLACE) + LENGTH].lower() or None
