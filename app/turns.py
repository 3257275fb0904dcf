"""Taking turns: of each partner, a few requests are at work in a process at a time; its others wait among themselves.

So a partner that sends a hundred requests at once waits for itself, and everybody else's come in between.
"""

import asyncio
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from fastapi import Request

from app.problems import Unavailable
from app.recent import Recent

WAITING: Final = 2_000
"""How many of one partner may wait: more would wait longer than they have time for."""
PLACE: Final = "/v1/partners/"
KNOWN_SECONDS: Final = 60
MOST_KNOWN: Final = 10_000
APART: Final = frozenset({
    "create_claim", "create_account_import", "export_accounts_as_csv", "export_accounts_as_xlsx",
    "export_audit_log_as_csv", "list_events", "stream_events", "ping_webhook",
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
    _doors: dict[UUID, Door] = field(default_factory=dict[UUID, Door])

    async def take(self, request: Request, session_id: UUID) -> None:
        """Wait for one's turn; it is over when the answer begins (`give_back`).

        Whoever was not let into the partner a moment ago waits behind their own requests: asking for what is another
        partner's takes none of its turns.

        Call it when the whole body has arrived, and only for who has proved who calls: else somebody slow could keep
        others waiting.

        Raises:
            Unavailable: too many of the partner are waiting, or it takes too long.
        """
        scope = request.scope
        partner = _partner(scope)
        if not self.at_once or partner is None or "turn" in scope:
            return
        whose = partner if (_let_in.get((session_id, partner)) or 0) > time.monotonic() else session_id
        door = self._doors.get(whose)
        if door is None:
            door = self._doors[whose] = Door(asyncio.Semaphore(self.at_once))
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
            self._leave(whose, door)
            raise Unavailable from None
        except BaseException:
            self._leave(whose, door)
            raise
        scope["turn"] = whose

    def give_back(self, scope: MutableMapping[str, Any]) -> None:
        """The work is done, and how slowly the answer is read is no matter: the next one's turn."""
        whose = scope.pop("turn", None)
        if whose is not None:
            door = self._doors[whose]
            door.passing.release()
            self._leave(whose, door)

    def _leave(self, whose: UUID, door: Door) -> None:
        door.callers -= 1
        if not door.callers:
            del self._doors[whose]


_let_in = Recent[tuple[UUID, UUID], float](MOST_KNOWN)
"""Sessions that were let into a partner, and until when that is good for its turns."""


def note_let_in(session_id: UUID, partner_id: UUID) -> None:
    """Called by the guards."""
    _let_in.note((session_id, partner_id), time.monotonic() + KNOWN_SECONDS)


def _partner(scope: Mapping[str, Any]) -> UUID | None:
    """The partner in whose place something is asked for, unless it does not take turns."""
    path: str = scope["path"]
    if not path.startswith(PLACE) or getattr(scope.get("endpoint"), "__name__", "") in APART:
        return None
    try:
        return UUID(path[len(PLACE) :].partition("/")[0])  # however it is spelt: there is one line
    except ValueError:
        return None
