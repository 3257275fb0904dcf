"""The bell: whoever waits for a partner's events is woken when there are some; one connection listens for a process."""

import asyncio
import signal
import threading
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import Context
from typing import Any, Final, cast
from uuid import UUID

import structlog
from sqlalchemy import ARRAY, BigInteger, Uuid, column, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from app.db import is_outage, is_transient
from app.express import FAILURES, Driver, Prepared, connection, param

log = structlog.get_logger("bell")

CHANNEL: Final = "tenantry_events"
"""The worker that gives a partner's events their positions notifies it, with the partner's id."""
LOOK_SECONDS: Final = 5.0
"""Besides listening: a pooler that hands out connections by transaction lets nobody listen."""

_POSITIONS: Final = Prepared(
    select(column("partner_id", Uuid()), column("position", BigInteger())).select_from(
        func.newest_positions(param("partners", ARRAY(Uuid()))).table_valued("partner_id", "position")
    )
)


class Waiter:
    """Somebody who waits for events behind a position."""

    def __init__(self, bell: "Bell") -> None:
        self._bell, self._woken, self.seen = bell, asyncio.Event(), 0

    def wake(self) -> None:
        self._woken.set()

    async def wait(self, seconds: float, *, seen: int) -> None:
        """Until the bell rings, or there is something behind `seen`, or the time is over, or the process ends.

        A bell that rang since the last call counts: between asking and waiting nothing is missed.
        """
        self.seen = seen
        if not self._bell.closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
        self._woken.clear()


class Bell:
    """Listens while the process runs, from the first waiter on; fans out to those who wait in this process."""

    def __init__(self, engine: AsyncEngine, readers: int) -> None:
        self._engine = engine
        self._waiting: defaultdict[UUID, set[Waiter]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self.closing = False
        self.readers = asyncio.Semaphore(readers)
        """Few of those who were woken read at a time: however many they are, others find connections."""

    @contextmanager
    def waiting(self, partner_id: UUID) -> Generator[Waiter]:
        """A waiter for a partner's events. Read once more when it is there: nobody rang for what came before."""
        if self._task is None:
            # in a context of its own: its log lines are not those of whoever waits first
            self._task = asyncio.create_task(self._attend(), context=Context())
        waiter = Waiter(self)
        self._waiting[partner_id].add(waiter)
        try:
            yield waiter
        finally:
            self._waiting[partner_id].discard(waiter)
            if not self._waiting[partner_id]:
                del self._waiting[partner_id]

    def drain(self) -> None:
        """The process ends: everybody goes, and nobody waits any more."""
        self.closing = True
        self._wake_all()

    async def stop(self) -> None:
        self.drain()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def _wake_all(self) -> None:
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.wake()

    async def _attend(self) -> None:
        while True:
            try:
                await self._listen()
            except FAILURES as error:  # the driver's own, while it begins to listen
                log.warning("cannot listen", error=type(error).__name__)
            except Exception as error:
                if not (is_outage(error) or is_transient(error)):
                    log.exception("cannot listen")
            await asyncio.sleep(1)

    async def _listen(self) -> None:
        """Until the connection is lost."""
        raw = await connection(self._engine)
        line = cast("Any", raw.driver_connection)
        try:
            await line.add_listener(CHANNEL, self._heard)
            self._wake_all()  # for what came while nobody listened
            while not line.is_closed():
                await self._look(line)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            raw.invalidate()

    def _heard(self, _connection: object, _pid: int, _channel: str, partner: str) -> None:
        with suppress(ValueError):  # who may log in may notify: nothing but a wake-up comes of it
            for waiter in self._waiting.get(UUID(partner), ()):
                waiter.wake()

    async def _look(self, line: Driver) -> None:
        if not self._waiting:
            return
        for partner_id, position in await _POSITIONS.all(line, partners=list(self._waiting)):
            for waiter in self._waiting.get(partner_id, ()):
                if waiter.seen < position:
                    waiter.wake()


@asynccontextmanager
async def hung(engine: AsyncEngine, readers: int) -> AsyncGenerator[Bell]:
    """A bell for as long as this is open; its connection comes out of an engine of its own."""
    bell = Bell(engine, readers)
    try:
        with _at_signal(bell.drain):
            yield bell
    finally:
        await bell.stop()
        await engine.dispose()


@contextmanager
def _at_signal(drain: Callable[[], None]) -> Generator[None]:
    """Hear of the end at its beginning: the server tells the application only when all requests are answered."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, before = asyncio.get_running_loop(), dict[int, Any]()

    def heard(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(drain)
        before[number](number, frame)

    for number in (signal.SIGTERM, signal.SIGINT):
        if callable(handler := signal.getsignal(number)):
            before[number] = handler
            signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
