"""Lines: a few connections kept for statements that are a transaction of their own, each one round trip."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

from app.db import AT_COMMIT, IDLE_SECONDS, driver_error, has_word, sqlstate
from app.express import FAILURES, Driver, Prepared, connection, is_lost, literal, run

PLANS: Final = {
    "plan_cache_mode": "force_generic_plan", "enable_sort": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
    "jit": "off",
}  # fmt: skip
"""Follow indexes in their order, as `express.WALKING` does; and join from left to right, row by row: so nothing of a
partner is read before the statement has said whose rows it may see."""


SHORT: Final = PLANS | {"lock_timeout": "50ms", "statement_timeout": "250ms"}
"""For what must be short, so that nobody waits long for a line: what is not, goes the usual way."""
TOO_LONG: Final = ("55P03", "57014")
"""Lock timeout, statement timeout."""
PATIENCE: Final = 0.25
"""Seconds that are waited for one of these lines."""


class Busy(PoolTimeout):
    """All lines are at work, and stay so."""


class Lines:
    """Connections out of an engine of their own that is set to `PLANS`. What fails on one is to be asked elsewhere."""

    def __init__(self, engine: AsyncEngine, most: int, patience: float) -> None:
        self._engine, self._patience = engine, patience
        self._places = asyncio.Semaphore(most)
        self._idle: list[tuple[PoolProxiedConnection, float]] = []

    async def one(self, statement: Prepared, **values: Any) -> tuple[Any, ...] | None:
        """The first row; None also if it takes too long, or all lines are busy for too long.

        Raises:
            DBAPIError, OSError: the statement failed, or there is no connection.
        """
        try:
            raw = await self._take()
        except Busy:
            return None
        try:  # as `_line`, without what a context manager costs
            found = await statement.one(cast("Driver", raw.driver_connection), **values)
        except BaseException as error:
            self._give(raw, error)
            if isinstance(error, DBAPIError) and sqlstate(error) in TOO_LONG:
                return None
            raise
        self._give(raw)
        return found

    async def write(self, statement: str, values: Sequence[Any]) -> int | None:
        """Run what writes, and says how much; None if it failed, and so wrote nothing, or if all lines are busy.

        Raises:
            DBAPIError, OSError: nobody knows whether it wrote; or there was no connection.
        """
        try:
            async with self._line() as line:
                (row,) = await run(line, statement, *values)
                return row[0]
        except Busy:
            return None
        except DBAPIError as error:
            if sqlstate(error) and not error.connection_invalidated:
                return None
            vars(error)[AT_COMMIT] = True
            raise

    @asynccontextmanager
    async def transaction(self, partner_id: UUID, then: str) -> AsyncGenerator[Driver]:
        """As `express.transaction`, for what is short; `then` is a statement without parameters to begin with."""
        failure: Exception | None = None
        raw = await self._take()
        line = cast("Driver", raw.driver_connection)
        try:  # as `_line`, without what a context manager costs
            try:
                await _tell(line, f"BEGIN; SET LOCAL app.partner_id = {literal(partner_id)}; {then}")
                yield line
            except Exception as error:
                await _tell(line, "ROLLBACK")  # and if that fails, the connection is given up
                failure = error
            else:
                await _tell(line, "COMMIT", at_commit=True)
        except BaseException as error:
            self._give(raw, error)
            raise
        self._give(raw)
        if failure is not None:
            raise failure

    @asynccontextmanager
    async def _line(self) -> AsyncGenerator[Driver]:
        raw = await self._take()
        try:
            yield cast("Driver", raw.driver_connection)
        except BaseException as error:
            self._give(raw, error)
            raise
        self._give(raw)

    async def _take(self) -> PoolProxiedConnection:
        await self._place()
        try:
            return await self._free()
        except BaseException:
            self._places.release()
            raise

    def _give(self, raw: PoolProxiedConnection, error: BaseException | None = None) -> None:
        """Back, if all that was wrong was the statement: else it may be in the middle of something."""
        if error is None or (isinstance(error, DBAPIError) and sqlstate(error) and not error.connection_invalidated):
            self._idle.append((raw, time.monotonic()))
        else:
            raw.invalidate()
        self._places.release()

    async def _place(self) -> None:
        if not self._places.locked():  # a deadline costs more than most waits
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise Busy from None

    async def _free(self) -> PoolProxiedConnection:
        """A connection that was alive a moment ago: asked, if it has not been used for a while."""
        while self._idle:
            raw, used = self._idle.pop()
            line = cast("Driver", raw.driver_connection)
            try:
                if time.monotonic() - used > IDLE_SECONDS:
                    await line.execute("SELECT")
            except FAILURES:
                pass
            except BaseException:
                raw.invalidate()
                raise
            if not has_word(line):
                return raw
            raw.invalidate()
        return await connection(self._engine)

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()


async def _tell(line: Driver, statement: str, *, at_commit: bool = False) -> None:
    try:
        await line.execute(statement)
    except FAILURES as error:
        failure = driver_error(error, lost=at_commit or is_lost(line, error))
        if at_commit:
            vars(failure)[AT_COMMIT] = True
        raise failure from error


@asynccontextmanager
async def lines(engine: AsyncEngine, most: int, patience: float) -> AsyncGenerator[Lines]:
    """So many at most, each waited for so many seconds."""
    found = Lines(engine, most, patience)
    try:
        yield found
    finally:
        found.close()
        await engine.dispose()
