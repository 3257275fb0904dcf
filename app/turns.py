"""Taking turns: a few requests of each partner are at work in a process at a time, and of all partners together as many
as it has connections for; the others wait. Whoever's turn it is next, the partners are asked one after the other.

So a partner that sends a hundred requests at once waits for itself, and however many do, the request of another waits
for one of each.
"""

import asyncio
import time
from collections import deque
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
    """Of one partner: how many are at work, and who waits."""

    at_work: int = 0
    waiting: deque["asyncio.Future[None]"] = field(default_factory=deque["asyncio.Future[None]"])


@dataclass
class Turns:
    """Those of one process."""

    at_once: int
    """Of one partner; 0: nobody takes turns."""
    together: int
    """Of all partners."""
    patience: float
    """Seconds that a turn is waited for."""
    _at_work: int = 0
    _doors: dict[UUID, Door] = field(default_factory=dict[UUID, Door])
    _line: deque[Door] = field(default_factory=deque[Door])
    """Doors at which somebody waits, the next one first."""

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
            door = self._doors[whose] = Door()
        if not door.waiting and door.at_work < self.at_once and self._at_work < self.together:
            self._let_pass(door)
        else:
            await self._wait(whose, door)
        scope["turn"] = whose

    def give_back(self, scope: MutableMapping[str, Any]) -> None:
        """The work is done, and how slowly the answer is read is no matter: the next one's turn."""
        whose = scope.pop("turn", None)
        if whose is not None:
            self._leave(whose, self._doors[whose])

    async def _wait(self, whose: UUID, door: Door) -> None:
        if len(door.waiting) >= WAITING:
            raise Unavailable
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if not door.waiting:
            self._line.append(door)
        door.waiting.append(turn)
        give_up = loop.call_later(self.patience, turn.cancel)  # costs less than a timeout around it
        try:
            await turn
        except asyncio.CancelledError:
            self._forget(whose, door, turn)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise Unavailable from None
        finally:
            give_up.cancel()

    def _forget(self, whose: UUID, door: Door, turn: "asyncio.Future[None]") -> None:
        """Of somebody who does not wait any more, and may have been let in in that very moment."""
        if not turn.cancelled():
            self._leave(whose, door)
            return
        if turn in door.waiting:
            door.waiting.remove(turn)
        if not door.waiting and door in self._line:
            self._line.remove(door)
        self._close(whose, door)

    def _leave(self, whose: UUID, door: Door) -> None:
        door.at_work -= 1
        self._at_work -= 1
        self._close(whose, door)
        self._call_next()

    def _close(self, whose: UUID, door: Door) -> None:
        if not door.at_work and not door.waiting and self._doors.get(whose) is door:
            del self._doors[whose]

    def _call_next(self) -> None:
        """Let in whoever may, going around the doors."""
        busy = 0
        while self._at_work < self.together and busy < len(self._line):
            door = self._line.popleft()
            if door.at_work < self.at_once:
                turn = door.waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    self._let_pass(door)
                busy = 0
            else:
                busy += 1
            if door.waiting:
                self._line.append(door)

    def _let_pass(self, door: Door) -> None:
        door.at_work += 1
        self._at_work += 1


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
