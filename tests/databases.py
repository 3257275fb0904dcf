"""Databases for tests: a template that is migrated once, copies of it, and copies that are emptied and handed on.

To copy the template costs a fifth of a second of processor time: all of its files, and the first connection to a new
database looks up all anew. To empty one costs some milliseconds.
"""

import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app import migrate
from app.db import APP_ROLE
from bench.databases import connected

ROOT: Final = Path(__file__).parent.parent
USES: Final = 50
"""Tests that have one after the other: what they delete stays in its files and indexes."""
BYTES: Final = 25_000_000
"""Of a larger one, too much was deleted."""
SECONDS: Final = 5
"""Waited for connections to end."""
HIDDEN: Final = "session_replication_role = replica"
"""No trigger, no foreign key: for a superuser."""
SHAPE: Final = """
    SELECT md5(string_agg(concat(oid, ':', xmin), ',' ORDER BY oid, xmin::text)) FROM (
        SELECT oid, xmin FROM pg_class UNION ALL SELECT oid, xmin FROM pg_proc UNION ALL
        SELECT oid, xmin FROM pg_trigger UNION ALL SELECT oid, xmin FROM pg_policy UNION ALL
        SELECT oid, xmin FROM pg_constraint UNION ALL SELECT oid, xmin FROM pg_attrdef UNION ALL
        SELECT oid, xmin FROM pg_type UNION ALL SELECT oid, xmin FROM pg_namespace UNION ALL
        SELECT oid, xmin FROM pg_rewrite UNION ALL SELECT starelid, xmin FROM pg_statistic UNION ALL
        SELECT attrelid, xmin FROM pg_attribute WHERE attnum > 0 UNION ALL
        SELECT setrole, xmin FROM pg_db_role_setting
         WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS parts
"""
"""Stands for what is defined and set in a database, and what its planner knows: to change any of it writes a row anew."""
EMPTIED: Final = f"""
    SET {HIDDEN};
    DO $$ DECLARE name regclass; BEGIN
        FOR name IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
                                               AND relname <> 'alembic_version' LOOP
            EXECUTE format('DELETE FROM %s', name);
        END LOOP;
    END $$
"""
ENDED: Final = """
    SELECT bool_and(pg_terminate_backend(pid, $1)) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server that tests may make databases on."""

    owner_url: str

    def url(self, database: str, *, owner: bool = False) -> str:
        """Address of a database; the application's role unless `owner`."""
        found = make_url(self.owner_url).set(database=database)
        if not owner:
            found = found.set(username=APP_ROLE, password="app" if found.password else None)
        return found.render_as_string(hide_password=False)

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        engine = create_async_engine(self.url(database, owner=True), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                for statement in statements:
                    await connection.execute(text(statement))
        finally:
            await engine.dispose()


@dataclass
class Databases:
    """Those of one process of the tests."""

    server: Server
    template: str
    shape: str
    """That of the template; empty: databases are not handed on, since the login may not empty them."""
    _waiting: list[str] = field(default_factory=list[str])
    _uses: dict[str, int] = field(default_factory=dict[str, int])

    @classmethod
    async def on(cls, server: Server) -> "Databases":
        found = cls(server, await _template(server), "")
        name = await found.new()
        async with found._owner(name) as owner:
            if await owner.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
                found.shape = await owner.fetchval(SHAPE)
        found._waiting.append(name)
        return found

    async def new(self) -> str:
        """One that nobody has had."""
        name = f"test_{uuid.uuid4().hex[:16]}"
        await self.server.execute(f"CREATE DATABASE {name} TEMPLATE {self.template} STRATEGY WAL_LOG")
        return name

    async def empty(self) -> str:
        """One that others may have had."""
        return self._waiting.pop() if self._waiting else await self.new()

    async def hand_on(self, name: str) -> None:
        """For another test, emptied, if it is otherwise as it was."""
        self._uses[name] = self._uses.get(name, 0) + 1
        if not self.shape or self._uses[name] > USES or not await self._emptied(name):
            await self.drop(name)
        else:
            self._waiting.append(name)

    async def drop(self, name: str) -> None:
        await self.server.execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def drop_all(self) -> None:
        while self._waiting:
            await self.drop(self._waiting.pop())

    async def _emptied(self, name: str) -> bool:
        async with self._owner(name) as owner:
            if await owner.fetchval(ENDED, SECONDS * 1000) is False:
                return False
            size, shape = (
                await owner.fetchval("SELECT pg_database_size(current_database())"),
                await owner.fetchval(SHAPE),
            )
            if size > BYTES or shape != self.shape:
                return False
            await owner.execute(EMPTIED)
            return True

    def _owner(self, name: str) -> Any:
        return connected(self.server.url(name, owner=True))


def _migrations_hash() -> str:
    found = hashlib.sha256()
    for file in sorted((ROOT / "migrations").rglob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


async def _template(server: Server) -> str:
    """The migrated template database, made once per state of the migrations, whoever comes first."""
    name = f"template_{_migrations_hash()}"
    engine = create_async_engine(server.url("postgres", owner=True), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(42)"))
            ready = f"SELECT 1 FROM pg_database WHERE datname = '{name}' AND datistemplate"
            if not await connection.scalar(text(ready)):
                await connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
                await connection.execute(text(f"CREATE DATABASE {name}"))
                await migrate.upgrade(server.url(name, owner=True))
                await connection.execute(text(f"ALTER ROLE {APP_ROLE} LOGIN PASSWORD 'app'"))
                await connection.execute(text(f"ALTER DATABASE {name} IS_TEMPLATE true"))
    finally:
        await engine.dispose()
    return name
