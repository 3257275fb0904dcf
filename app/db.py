"""Engine and unit of work. One request is one transaction."""

import select
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, cast

import asyncpg
from fastapi import Depends, Request
from sqlalchemy import ExceptionContext, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from app.problems import Problem

Sessions = async_sessionmaker[AsyncSession]
APP_ROLE: Final = "tenantry_app"
IDLE_SECONDS: Final = 1.0
LONGEST_KEPT: Final = 64 * 1024
"""Statements up to so many characters stay prepared on a connection; the driver would parse and plan those of more than
15,360 each time anew, and an overview or a table of many columns is longer.
"""


class UnsafeRole(Exception):
    """The database login could step over row-level security."""


def connect(
    url: str,
    *,
    role: str | None = None,
    pool_size: int = 10,
    pool_timeout: float = 5,
    plans: Mapping[str, str] | None = None,
) -> tuple[AsyncEngine, Sessions]:
    """An engine whose connections act as `role` (or as their login), and sessions on it; `plans` are settings of
    PostgreSQL's planner.
    """
    limits: dict[str, str] = {
        "application_name": "tenantry",
        "timezone": "UTC",
        "statement_timeout": "20s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "60s",
    }
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        hide_parameters=True,  # errors are logged; values are not
        connect_args={
            "timeout": 5,
            "command_timeout": 25,
            "max_cacheable_statement_size": LONGEST_KEPT,
            "server_settings": limits | ({"role": role} if role else {}) | dict(plans or {}),
        },
    )
    event.listen(engine.sync_engine, "handle_error", _hide_values)
    event.listen(engine.sync_engine, "checkin", _note_use)
    event.listen(engine.sync_engine, "checkout", _replace_if_dead)
    return engine, async_sessionmaker(engine, expire_on_commit=False)


def _note_use(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = time.monotonic()


def _replace_if_dead(connection: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:
    """Find out before a request does. `pool_pre_ping` would ask the server each time: three round trips a request.

    Here it is asked only when there is a reason: a while without use, or something to read though nothing was asked,
    with which a server that ends a connection says so.
    """
    used = entry.info.get("used")  # gone with the connection: a fresh one is not asked
    try:
        if used is not None and (time.monotonic() - used > IDLE_SECONDS or has_word(connection.driver_connection)):
            connection.ping()
    except Exception as error:
        raise InvalidatePoolError from error  # the pool connects anew


def has_word(connection: Any) -> bool:
    """Whether the connection is closed, or the server has sent something that the event loop has not read yet."""
    if connection.is_closed():
        return True
    poll = select.poll()
    poll.register(connection._transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _hide_values(context: ExceptionContext) -> None:
    """PostgreSQL's DETAIL quotes whole rows ("Failing row contains …"): no log of ours may."""
    error = context.original_exception
    error.args = tuple(str(a).partition("\nDETAIL:")[0] for a in error.args)
    if getattr(error.__cause__, "detail", None):
        vars(error.__cause__)["detail"] = None


def driver_error(error: BaseException, *, lost: bool) -> DBAPIError:
    """An error of the driver's own as SQLAlchemy would have told it; without values, too."""
    if getattr(error, "detail", None):
        vars(error)["detail"] = None
    if isinstance(error, asyncpg.DataError):
        error.args = ("a value that is none of its type",)
    return DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=lost)


async def refuse_unsafe_role(engine: AsyncEngine) -> None:
    """Stop the start when the application could read past row-level security.

    Raises:
        UnsafeRole: its role is a superuser, has BYPASSRLS, or owns a table.
    """
    async with engine.connect() as connection:
        row = (await connection.execute(text(
            "SELECT current_user, r.rolsuper, r.rolbypassrls,"
            " EXISTS (SELECT 1 FROM pg_class c WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p'))"
            " FROM pg_roles r WHERE r.rolname = current_user"
        ))).one()  # fmt: skip
    faults = [why for why, bad in zip(("is a superuser", "has BYPASSRLS", "owns tables"), row[1:], strict=True) if bad]
    if faults:
        raise UnsafeRole(f"the database role {row[0]} {' and '.join(faults)}: the service must run as {APP_ROLE}")


@asynccontextmanager
async def unit_of_work(sessions: Sessions) -> AsyncGenerator[AsyncSession]:
    """Commit once when the block ends; roll back when it raises, unless the problem says to keep what it wrote."""
    async with sessions() as session:
        try:
            yield session
        except Problem as problem:
            await (_commit(session) if problem.keep else session.rollback())
            raise
        await _commit(session)


@asynccontextmanager
async def snapshot(sessions: Sessions) -> AsyncGenerator[AsyncSession]:
    """A unit of work that only reads, and sees all as it was at its first statement, however long it takes."""
    async with unit_of_work(sessions) as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        yield session


async def _commit(session: AsyncSession) -> None:
    try:
        await session.commit()
    except DBAPIError as error:
        vars(error)[AT_COMMIT] = True
        raise


async def get_sessions(request: Request) -> Sessions:
    return cast("Sessions", request.app.state.sessions)


async def get_session(request: Request) -> AsyncGenerator[AsyncSession]:
    async with unit_of_work(request.app.state.sessions) as session:
        request.scope["session"] = session
        yield session


# scope="function": commit happens before the response is sent, so no client is
# ever told "201 Created" about a row whose commit then fails.
Db = Annotated[AsyncSession, Depends(get_session, scope="function")]

UnitsOfWork = Annotated[Sessions, Depends(get_sessions)]
"""For the few operations that must not hold a connection while they compute (password hashing), or that read on while
their answer is being sent (exports)."""


SQLSTATES: Mapping[str, str] = {"40001": "serialization", "40P01": "deadlock"}
AT_COMMIT: Final = "tenantry_at_commit"

AWAY: Final = ("55P03", "25P03", "3D000", "55000")
"""Lock timeout, idle too long, no such database, database that takes no connections."""


def sqlstate(error: DBAPIError) -> str:
    """The SQLSTATE of a database error (PostgreSQL, appendix A); empty when there was none."""
    return str(getattr(error.orig, "sqlstate", "") or "")


def is_transient(error: BaseException) -> bool:
    """Whether the whole transaction may simply be run again, for it is certainly undone.

    After a deadlock, a serialization failure, or when the connection was lost before the commit. When it is lost
    during the commit, nobody knows.
    """
    if not isinstance(error, DBAPIError):
        return False
    lost = error.connection_invalidated or sqlstate(error) == "57P01"
    return sqlstate(error) in SQLSTATES or (lost and AT_COMMIT not in vars(error))


def is_outage(error: BaseException) -> bool:
    """Whether the database is away, shutting down, or too busy to answer."""
    if isinstance(error, DBAPIError):
        state = sqlstate(error)
        return error.connection_invalidated or state[:2] in ("08", "53", "57") or state in AWAY
    return isinstance(error, (OSError, PoolTimeout))  # refused, too slow to accept, its socket gone; none was free
