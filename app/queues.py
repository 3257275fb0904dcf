"""Those who would wait for one another in the database wait here instead, and are served together.

A row that a hundred connections wait for is three times as slow as one that eight wait for. So there is one
transaction at a time for each key in this process; who comes while it is under way is served by the next one, with
all the others that came, in the order in which they came.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from app.problems import Unavailable

TOGETHER: Final = 100
"""How many are served by one transaction."""
WAITING: Final = 2_000
"""How many may wait for one key: more would wait longer than they have time for."""

AT_ONCE: Final = 2
"""How many of those who cannot be served together are at one key: one at work, and one who is next."""

Serve = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]


@dataclass(eq=False)
class _Ticket:
    given: Any
    answer: "asyncio.Future[Any]"


@dataclass(eq=False)
class _Door:
    passing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    callers: int = 0


@dataclass
class Queues:
    """The queues of one process: a key is in here while a transaction for it is under way."""

    _waiting: dict[Hashable, deque[_Ticket]] = field(default_factory=dict[Hashable, deque[_Ticket]])
    _doors: dict[Hashable, _Door] = field(default_factory=dict[Hashable, _Door])
    _working: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])

    async def join(self, key: Hashable, given: Any, serve: Serve) -> Any:
        """Wait for one's turn, and for what `serve` gives: one answer (or exception) for each of those it serves.

        Whoever is cancelled while waiting is passed over; while being served with others, it is done without an ear
        for it.

        Raises:
            Unavailable: too many are waiting.
        """
        waiting = self._waiting.get(key)
        if waiting is None:
            return await self._first(key, given, serve)
        if len(waiting) >= WAITING:
            raise Unavailable
        ticket = _Ticket(given, asyncio.get_running_loop().create_future())
        waiting.append(ticket)
        return await ticket.answer

    @asynccontextmanager
    async def alone(self, key: Hashable) -> AsyncGenerator[None]:
        """For whoever must have a transaction of their own: few at a time for each key, in the order of arrival.

        So they keep no more connections waiting for one row, however many they are.

        Raises:
            Unavailable: too many are waiting.
        """
        door = self._doors.setdefault(key, _Door())
        if door.callers >= WAITING:
            raise Unavailable
        door.callers += 1
        try:
            async with door.passing:
                yield
        finally:
            door.callers -= 1
            if not door.callers:
                del self._doors[key]

    async def _first(self, key: Hashable, given: Any, serve: Serve) -> Any:
        """Whoever finds nobody there is served at once and alone, whatever becomes of it; the others follow."""
        self._waiting[key] = waiting = deque[_Ticket]()
        try:
            (answer,) = await serve([given])
        finally:
            if waiting:
                task = asyncio.create_task(self._work(key, serve))
                self._working.add(task)
                task.add_done_callback(self._working.discard)
            else:
                del self._waiting[key]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def _work(self, key: Hashable, serve: Serve) -> None:
        waiting = self._waiting[key]
        try:
            while waiting:
                turn = _turn(waiting)
                if turn:
                    await _serve(turn, serve)
        finally:  # also when the process ends in the middle of it
            del self._waiting[key]
            for ticket in waiting:
                ticket.answer.cancel()


def _turn(waiting: deque[_Ticket]) -> list[_Ticket]:
    some = [waiting.popleft() for _ in range(min(len(waiting), TOGETHER))]
    return [ticket for ticket in some if not ticket.answer.done()]


async def _serve(turn: Sequence[_Ticket], serve: Serve) -> None:
    """Serve some; what fails, fails for all of them, and each may try again."""
    try:
        answers = await serve([ticket.given for ticket in turn])
    except Exception as error:
        answers = [error] * len(turn)
    except BaseException:
        for ticket in turn:
            ticket.answer.cancel()
        raise
    for ticket, answer in zip(turn, answers, strict=True):
        if ticket.answer.done():
            continue
        if isinstance(answer, BaseException):
            ticket.answer.set_exception(answer)
        else:
            ticket.answer.set_result(answer)
