"""What an operator of the service does at a shell: prepare the database, back it up, restore it."""

import asyncio
import os
import re
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app import migrate
from app.config import Settings
from app.db import APP_ROLE, Sessions, connect, snapshot, sqlstate
from app.localpg import LocalPg, find_bin_dir
from app.parts import embedded
from app.services import chains
from app.tenancy import confine

DATABASE = "tenantry"
OWNER_POLICY = re.compile(r" POLICY public (\w+) owner ")  # a line of `pg_restore --list`, see migrations/walls.py


class Refused(Exception):
    """What was asked for is not possible; says why in one line."""


@asynccontextmanager
async def owner_url(settings: Settings) -> AsyncGenerator[str]:
    """The address under which the tables' owner works; the embedded server runs while this is open."""
    url = settings.owner_database_url or settings.database_url
    if url is not None:
        yield url.get_secret_value()
        return
    async with _server(settings) as server:
        yield server.url(DATABASE)


@asynccontextmanager
async def _server(settings: Settings) -> AsyncGenerator[LocalPg]:
    """The embedded server with our database on it; it runs while this is open."""
    server = embedded(settings)
    await asyncio.to_thread(server.acquire)
    try:
        await _ensure_database(server, DATABASE)
        yield server
    finally:
        await asyncio.to_thread(server.release)


async def migrate_up(settings: Settings) -> None:
    """Bring the database to the newest schema; the embedded one is made first, if need be."""
    async with owner_url(settings) as url:
        await migrate.upgrade(url)
        if settings.database_url is None:  # its socket is ours alone, so the role may log in without a password
            async with _connection(url) as connection:
                await connection.execute(text(f"SELECT pg_advisory_xact_lock({migrate.LOCK})"))  # not two at once
                await connection.execute(text(f"ALTER ROLE {APP_ROLE} LOGIN"))


async def refuse_outdated(settings: Settings) -> None:
    """Raises:
    Refused: the database is not at the newest migration.
    """
    async with owner_url(settings) as url:
        current = await migrate.current(url)
    if current in migrate.outdated():
        raise Refused(f"the database is at migration {current}, the code at {migrate.head()}: run `tenantry migrate`")


async def check_migrations() -> list[str]:
    """Where the migrations, run on an empty database, differ from the models."""
    settings = Settings()
    server = embedded(settings.model_copy(update={"data_dir": settings.data_dir / "check"}))
    with server:
        name = f"check_{os.getpid()}"
        await _ensure_database(server, name)
        try:
            await migrate.upgrade(server.url(name))
            return await migrate.drift(server.url(name))
        finally:
            async with _connection(server.url("postgres"), autocommit=True) as connection:
                await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


async def backup(settings: Settings, target: Path) -> int:
    """Write the whole database into one file (pg_dump's custom format); its size in bytes.

    The file appears under its name only when it is complete, and only its owner may read it.
    """
    fresh = target.with_name(f".{target.name}.partial")
    async with owner_url(settings) as url:
        os.close(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        try:
            _run(settings, url, "pg_dump", "--format=custom", "--no-owner", "--enable-row-security", f"--file={fresh}")
            os.link(fresh, target)  # fails if the name is taken, unlike a rename
            return os.stat(target).st_size
        finally:
            os.unlink(fresh)


async def verify_log(settings: Settings, partner_id: UUID | None) -> dict[UUID, chains.Verdict]:
    """What the chain of a partner's change log is worth; unless one is named, of all, and of what belongs to none."""
    async with owner_url(settings) as url:
        engine, sessions = connect(url, pool_size=1)
        try:
            return {p: await _verdict(sessions, p) for p in await _logs(engine, partner_id)}
        finally:
            await engine.dispose()


async def _logs(engine: AsyncEngine, partner_id: UUID | None) -> list[UUID]:
    async with engine.connect() as connection:
        found = list(await connection.scalars(text("SELECT DISTINCT partner_id FROM events ORDER BY 1")))
    if partner_id is None:
        return found
    if partner_id not in found:
        raise Refused(f"there is no entry of a partner {partner_id}")
    return [partner_id]


async def _verdict(sessions: Sessions, partner_id: UUID) -> chains.Verdict:
    async with snapshot(sessions) as db:
        await confine(db, partner_id)
        return await chains.verify(db, partner_id)


async def restore(settings: Settings, source: Path) -> str | None:
    """Put a backup in the place of the present database.

    The embedded database that was there is kept under another name, which is returned. On a server of yours,
    DATABASE_URL must name an empty database.
    """
    if settings.database_url is None:
        async with _server(settings) as server:
            return await _swap_in(settings, server, source)
    async with owner_url(settings) as url:
        async with _connection(url) as connection:
            tables = await connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        if tables:
            raise Refused("the database is not empty: name an empty one in DATABASE_URL")
        await _load(settings, url, source)
        return None


async def _swap_in(settings: Settings, server: LocalPg, source: Path) -> str:
    """Load beside the present database, then change the names: nothing is lost if anything fails."""
    kept, fresh = f"{DATABASE}_{datetime.now(UTC):%Y%m%d_%H%M%S}", f"{DATABASE}_restored"
    async with _connection(server.url("postgres"), autocommit=True) as connection:
        await _refuse_in_use(connection)
        await connection.execute(text(f"DROP DATABASE IF EXISTS {fresh} WITH (FORCE)"))  # of one that was killed
        await connection.execute(text(f"CREATE DATABASE {fresh}"))
        try:
            await _load(settings, server.url(fresh), source)
            async with _connection(server.url("postgres")) as both:  # one transaction: never without a database
                await both.execute(text(f"ALTER DATABASE {DATABASE} RENAME TO {kept}"))
                await both.execute(text(f"ALTER DATABASE {fresh} RENAME TO {DATABASE}"))
        except BaseException:
            await connection.execute(text(f"DROP DATABASE IF EXISTS {fresh} WITH (FORCE)"))
            raise
    return kept


async def _refuse_in_use(connection: AsyncConnection) -> None:
    used = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
    if await connection.scalar(used, {"name": DATABASE}):
        raise Refused("the database is in use: stop the server first")


async def _load(settings: Settings, url: str, source: Path) -> None:
    async with _connection(url) as connection:  # a backup holds no roles
        if not await connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": APP_ROLE}):
            await connection.execute(text(f"CREATE ROLE {APP_ROLE} LOGIN"))
    # The owner's policies name the login that owned the tables then. That one may be missing here, and it would be
    # the wrong one: they are left out of what is loaded, and made for whoever owns the tables now.
    lines = _run(settings, url, "pg_restore", "--list", str(source)).splitlines()
    with tempfile.NamedTemporaryFile("w", suffix=".list") as wanted:
        wanted.write("\n".join(line for line in lines if not OWNER_POLICY.search(line)))
        wanted.flush()
        _run(settings, url, "pg_restore", "--exit-on-error", "--single-transaction", "--no-owner",
             f"--use-list={wanted.name}", "--dbname", str(make_url(url).database), str(source))  # fmt: skip
    async with _connection(url) as connection:
        for table in [found[1] for line in lines if (found := OWNER_POLICY.search(line))]:
            await connection.execute(
                text(f'CREATE POLICY owner ON "{table}" TO CURRENT_USER USING (true) WITH CHECK (true)')
            )


def _run(settings: Settings, url: str, program: str, *arguments: str) -> str:
    """What one of PostgreSQL's programs prints; the password goes through the environment, not the command line."""
    parts = make_url(url)
    host, port = parts.host or parts.query.get("host"), parts.port or parts.query.get("port")
    known = {"PGHOST": host, "PGPORT": port, "PGUSER": parts.username, "PGPASSWORD": parts.password,
             "PGDATABASE": parts.database, "PGSSLMODE": parts.query.get("ssl")}  # fmt: skip
    environment = os.environ | {k: str(v) for k, v in known.items() if v}
    done = subprocess.run(  # noqa: S603 - a program of PostgreSQL's own, without a shell
        [find_bin_dir(settings.pg_bin) / program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Refused(f"{program}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
    return done.stdout


async def _ensure_database(server: LocalPg, name: str) -> None:
    async with _connection(server.url("postgres"), autocommit=True) as connection:
        if await connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
            return
        try:
            await connection.execute(text(f"CREATE DATABASE {name}"))
        except DBAPIError as error:
            if sqlstate(error) not in ("42P04", "23505"):  # another process was first
                raise


@asynccontextmanager
async def _connection(url: str, *, autocommit: bool = False) -> AsyncGenerator[AsyncConnection]:
    engine = create_async_engine(
        url, poolclass=NullPool, isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED"
    )
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


@contextmanager
def held(settings: Settings) -> Generator[None]:
    """The embedded server runs while this is open; with a server of yours, nothing is to be held."""
    if settings.database_url is not None:
        yield
        return
    with embedded(settings):
        yield
