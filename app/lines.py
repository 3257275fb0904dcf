"""Lines: a few connections kept for statements that are a transaction of their own, each one round trip."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

from app.db import AT_COMMIT, IDLE_SECONDS, has_word, sqlstate
from app.express import FAILURES, Driver, Prepared, run

PLANS: Final = {
    "plan_cache_mode": "force_generic_plan", "enable_sort": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
    "jit": "off",
}  # fmt: skip
"""Follow indexes in their order, as `express.WALKING` does; and join from left to right, row by row: so nothing of a
partner is read before the statement has said whose rows it may see."""


class Lines:
    """Connections out of an engine of their own that is set to `PLANS`. What fails on one is to be asked elsewhere."""

    def __init__(self, engine: AsyncEngine, most: int, patience: float) -> None:
        self._engine, self._patience = engine, patience
        self._places = asyncio.Semaphore(most)
        self._idle: list[tuple[PoolProxiedConnection, float]] = []

    async def one(self, statement: Prepared, **values: Any) -> tuple[Any, ...] | None:
        """Raises:
        DBAPIError, OSError: the statement failed, or there is no connection.
        """
        async with self._line() as line:
            return await statement.one(line, **values)

    async def write(self, statement: str, values: Sequence[Any]) -> int | None:
        """Run what writes, and says how much; None if it failed, and so wrote nothing.

        Raises:
            DBAPIError, OSError: nobody knows whether it wrote; or there was no connection.
        """
        try:
            async with self._line() as line:
                (row,) = await run(line, statement, *values)
                return row[0]
        except DBAPIError as error:
            if sqlstate(error) and not error.connection_invalidated:
                return None
            vars(error)[AT_COMMIT] = True
            raise

    @asynccontextmanager
    async def _line(self) -> AsyncGenerator[Driver]:
        await self._place()
        try:
            raw = await self._free()
            try:
                yield cast("Driver", raw.driver_connection)
            except DBAPIError as error:
                self._put(raw) if sqlstate(error) and not error.connection_invalidated else raw.invalidate()
                raise
            except BaseException:  # in the middle of something, perhaps
                raw.invalidate()
                raise
            self._put(raw)
        finally:
            self._places.release()

    def _put(self, raw: PoolProxiedConnection) -> None:
        self._idle.append((raw, time.monotonic()))

    async def _place(self) -> None:
        if not self._places.locked():  # a deadline costs more than most waits
            await self._places.acquire()
            return
        async with asyncio.timeout(self._patience):
            await self._places.acquire()

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
        return await self._engine.raw_connection()

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()


@asynccontextmanager
async def lines(engine: AsyncEngine, most: int, patience: float) -> AsyncGenerator[Lines]:
    """So many at most, each waited for so many seconds."""
    found = Lines(engine, most, patience)
    try:
        yield found
    finally:
        found.close()
        await engine.dispose()
