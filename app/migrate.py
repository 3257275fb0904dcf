"""Bringing the database to the newest schema, without making anybody wait for it."""

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.db import sqlstate
from app.models import Base

SCRIPTS: Final = Path(__file__).parent.parent / "migrations"
LOCK: Final = 7_316_205_994  # any number of ours: one migration at a time per database
TRIES: Final = 100


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("file_template", "%%(year)d-%%(month).2d-%%(day).2d-%%(hour).2d%%(minute).2d_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision that this code knows."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    if found is None:
        raise RuntimeError("there are no migrations")
    return found


@cache  # it is asked whenever an application starts, and means reading all of them
def outdated() -> frozenset[str | None]:
    """The revisions that this code knows to be too old for it, the empty database among them.

    One that it does not know is newer: a migration only adds until no process of the old release is left, so
    the old release goes on serving while the new one is rolled out.
    """
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return frozenset[str | None](known - {head()}) | {None}


async def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up as the owner of the tables.

    A migration that cannot get its lock within 100 ms gives way and tries again: an ALTER that queues behind
    a slow reader would make everybody else wait behind it.
    """
    await _with_lock(url, lambda connection: command.upgrade(_config(connection), revision))


async def downgrade(url: str, revision: str) -> None:
    """Migrate down: for tests of migrations."""
    await _with_lock(url, lambda connection: command.downgrade(_config(connection), revision))


async def new(url: str, message: str) -> None:
    """Write a migration with what the models have and the database has not. Read it before you commit it."""
    await _with_lock(url, lambda connection: command.revision(_config(connection), message, autogenerate=True))


async def drift(url: str) -> list[str]:
    """Where the migrated database differs from the models; empty when it does not."""
    found: list[str] = []

    def compare(connection: Connection) -> None:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found.extend(str(d) for d in compare_metadata(context, Base.metadata))

    await _with_lock(url, compare)
    return found


async def current(url: str) -> str | None:
    """The revision that the database is at; None when it is empty."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
    finally:
        await engine.dispose()


async def _with_lock(url: str, work: Callable[[Connection], object]) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as guard:
            await _wait_for_lock(guard)
            for attempt in range(1, TRIES + 1):
                try:
                    async with engine.connect() as connection:
                        await connection.execute(text("SET lock_timeout = '100ms'"))
                        await connection.commit()
                        await connection.run_sync(work)
                        await connection.commit()
                    return
                except DBAPIError as error:
                    if sqlstate(error) != "55P03" or attempt == TRIES:
                        raise
                    await asyncio.sleep(0.1)
    finally:
        await engine.dispose()


async def _wait_for_lock(guard: AsyncConnection) -> None:
    """By asking again and again: whoever waits in the database has a snapshot meanwhile, for the end of which an index
    that is built CONCURRENTLY by the other one would wait in turn.
    """
    while True:
        taken = await guard.scalar(text(f"SELECT pg_try_advisory_lock({LOCK})"))
        await guard.commit()
        if taken:
            return
        await asyncio.sleep(0.1)
