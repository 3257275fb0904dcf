"""The express lane: transactions on the driver's own connection, for what is asked thousands of times a minute.

SQLAlchemy compiles such a statement once and the driver runs it; sessions, mapped objects and a filter added to each
statement would cost more than all the rest of the request. The wall in code does not reach these statements: each
carries `partner_id` itself, and the tests of leaks cover it. The wall in the database holds here as everywhere.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Protocol, cast
from uuid import UUID

import asyncpg
from sqlalchemy import ARRAY, ClauseElement, bindparam
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.types import TypeEngine

from app.db import AT_COMMIT, driver_error
from app.policy import Access, Permission
from app.records import record

KEPT: Final = 1_000
"""Statements of one kind that a process remembers, each of a partner's columns and a question: 75 KB, and ten
milliseconds whenever one is made anew."""

DIALECT = dialect()  # pyright: ignore[reportUnknownVariableType, reportCallIssue, reportUntypedFunctionDecorator]

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


class Driver(Protocol):
    """What is used of asyncpg's connection."""

    async def execute(self, query: str) -> str: ...
    async def fetch(self, query: str, *args: Any) -> list[Any]: ...
    def is_closed(self) -> bool: ...


def param(name: str, kind: TypeEngine[Any]) -> Any:
    """A parameter of a prepared statement, whose value comes when it is run."""
    return bindparam(name, None, type_=kind)


def compiled(expression: ClauseElement) -> str:
    """What an expression without parameters says, for `literal_column`: no statement has to compile it again."""
    found: Any = _compiled(expression)
    if found.positiontup or "%(" in found.string:  # which would be taken for one
        raise ValueError("an expression with parameters")
    return found.string


def _compiled(statement: ClauseElement) -> Any:
    return statement.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})


@lru_cache(maxsize=10_000)
def literal(id: UUID) -> str:
    """An id in a statement that has no parameters: nothing but hexadecimal digits and dashes."""
    return f"'{UUID(str(id))}'"


async def run(line: Driver, statement: str, *values: Any) -> list[Any]:
    """Run a statement; its failures are told as SQLAlchemy tells them."""
    try:
        return await line.fetch(statement, *values)
    except FAILURES as error:
        raise driver_error(error, lost=is_lost(line, error)) from error


def is_lost(line: Driver, error: BaseException) -> bool:
    """Whether the connection is gone: the driver stumbles over a server that ends it in the moment of a question."""
    return line.is_closed() or isinstance(error, asyncpg.InternalClientError)


async def line_of(db: AsyncSession) -> Driver:
    """The driver's connection under a session, in the transaction that the session has begun."""
    raw = await (await db.connection()).get_raw_connection()
    return cast("Driver", raw.driver_connection)


class Prepared:
    """A statement as the driver takes it: compiled once, its named parameters given each time."""

    sql: str
    width: int
    """How many parameters it has."""

    def __init__(self, statement: ClauseElement) -> None:
        found = _compiled(statement)
        self.sql, self.width = found.string, len(found.positiontup)
        values: dict[str, Any] = found.params
        write = {name: bind.type.bind_processor(DIALECT) for name, bind in found.binds.items()}
        self._given = [(name, values[name], write.get(name)) for name in found.positiontup]
        columns: Sequence[Any] = list(getattr(statement, "selected_columns", ()))
        self._read = [(n, read) for n, c in enumerate(columns) if (read := _reading(c.type))]

    async def all(self, line: Driver, **values: Any) -> list[tuple[Any, ...]]:
        return [self._row(record) for record in await run(line, self.sql, *self.arguments(values))]

    async def one(self, line: Driver, **values: Any) -> tuple[Any, ...] | None:
        records = await run(line, self.sql, *self.arguments(values))
        return self._row(records[0]) if records else None

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """As many as it has parameters, in their order."""
        found: list[Any] = []
        for name, given, write in self._given:
            value = values.get(name, given)
            try:
                found.append(value if write is None or value is None else write(value))
            except (TypeError, ValueError):
                raise TypeError(f"{name} is of another type") from None  # and what it is, no log may say
        return found

    def _row(self, record: Any) -> tuple[Any, ...]:
        if not self._read:
            return tuple(record)
        row = list(record)
        for n, read in self._read:
            if row[n] is not None:
                row[n] = read(row[n])
        return tuple(row)


def _reading(kind: Any) -> Any:
    """What makes a value of the driver's into one of ours; the driver's lists are lists already."""
    return None if isinstance(kind, ARRAY) else kind.result_processor(DIALECT, None)


WALKING: Final = "; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_sort = off"
"""Follow an index in its order. The planner does not know how many accounts a partner has: the average partner has
few, so that it would rather sort them all, a million of a large one too."""
CHOOSING: Final = "; SET LOCAL plan_cache_mode = force_custom_plan"
"""Plan each time, by the values that are asked for: worth its tenth of a millisecond where they decide what is best."""


@asynccontextmanager
async def transaction(engine: AsyncEngine, partner_id: UUID, *, plans: str = "",
                      lock: int | None = None) -> AsyncGenerator[Driver]:  # fmt: skip
    """A transaction that is confined to one partner from its first breath: BEGIN and SET LOCAL are one round trip.

    `plans` is `WALKING` or `CHOOSING`; with `lock`, the advisory lock of that number is taken (shared) before anything
    is read.
    """
    raw = await connection(engine)
    line = cast("Driver", raw.driver_connection)
    first = f"BEGIN; SET LOCAL app.partner_id = {literal(partner_id)}"
    first += plans
    if lock is not None:
        first += f"; SELECT pg_advisory_xact_lock_shared({int(lock)})"
    try:
        await line.execute(first)
        yield line
        await _commit(line)
    except FAILURES as error:
        lost = is_lost(line, error)
        await _undo(raw, line)
        raise driver_error(error, lost=lost) from error
    except asyncio.CancelledError:
        raw.invalidate()  # in the middle of something: nobody knows of what
        raise
    except BaseException:
        await _undo(raw, line)
        raise
    finally:
        raw.close()


async def connection(engine: AsyncEngine) -> PoolProxiedConnection:
    """Out of the engine's pool; that there is none is told as SQLAlchemy tells failures of statements."""
    try:
        return await engine.raw_connection()
    except cast("Any", engine.dialect).loaded_dbapi.Error as error:  # not wrapped, as those of statements are
        raise driver_error(error, lost=False) from error


async def _commit(line: Driver) -> None:
    try:
        await line.execute("COMMIT")
    except FAILURES as error:
        failure = driver_error(error, lost=True)
        vars(failure)[AT_COMMIT] = True
        raise failure from error


async def _undo(raw: PoolProxiedConnection, line: Driver) -> None:
    try:
        await line.execute("ROLLBACK")
    except FAILURES:
        raw.invalidate()
    except BaseException:  # given up meanwhile: nobody knows whether it was undone
        raw.invalidate()
        raise


@dataclass(frozen=True, eq=False)
class Guess:
    """What will be asked next, most likely: one value, good for one version of the partner's columns.

    It is worked out only for callers who have all the permissions `needs`. A `lasting` one is likely to be asked again.
    """

    version: int
    value: Any
    needs: frozenset[Permission]
    lasting: bool = True


@record
class Inside:
    """Past the guard: who may, on which line; the version of the partner's columns; and the guess, if it was good."""

    access: Access
    line: Driver
    version: int
    guessed: Any


class Step(Protocol):
    """Something to be written, if the caller may."""

    def behind(self, condition: Prepared) -> str:
        """The statement that writes it if `condition`, whose parameters come first, holds; how many rows of it."""
        ...

    @property
    def values(self) -> Sequence[Any]: ...


@record
class Glance:
    """Past the guard, with the guess, which was good; and with no line to ask for more."""

    access: Access
    guessed: Any
