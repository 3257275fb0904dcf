"""That no test sees what another one left: databases that are emptied and handed on."""

import asyncpg
import pytest

from tests.conftest import Owner
from tests.databases import SHAPE, Databases, Server

CHANGES = {
    "a table": "CREATE TABLE left_behind ()",
    "a column": "ALTER TABLE users ADD left_behind int",
    "a default": "ALTER TABLE users ALTER name SET DEFAULT 'Anna'",
    "an index": "CREATE INDEX ON users (name)",
    "a constraint": "ALTER TABLE users ADD CHECK (name <> '') NOT VALID",
    "a wall": "ALTER TABLE accounts NO FORCE ROW LEVEL SECURITY",
    "a policy": "CREATE POLICY left_behind ON accounts USING (true)",
    "a function": "CREATE FUNCTION left_behind() RETURNS int LANGUAGE sql RETURN 1",
    "triggers": "ALTER TABLE accounts DISABLE TRIGGER ALL",
    "a privilege": "GRANT TRUNCATE ON accounts TO tenantry_app",
    "a view": "CREATE VIEW left_behind AS SELECT 1 AS one",
    "a type": "CREATE TYPE left_behind AS ENUM ('one')",
    "a schema": "CREATE SCHEMA left_behind",
    "a setting": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
    "what the planner knows": "ANALYZE alembic_version",
}
"""What emptying the tables does not undo."""
TABLES = "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p') AND oid >= 16384"
SURPRISES = """
    SELECT oid::regclass::text FROM pg_class WHERE oid >= 16384 AND relkind IN ('S', 'm', 'f') UNION ALL
    SELECT oid::regclass::text FROM pg_class WHERE oid >= 16384 AND relkind = 'r'
       AND relnamespace <> 'public'::regnamespace
"""
"""Sequences, copies of queries, and tables elsewhere: to empty the tables of `public` would not reset them."""


async def filled(owner: Owner) -> set[str]:
    """The tables that have rows."""
    tables = [row["name"] for row in await owner.rows(TABLES)]
    return {name for name in tables if await owner.value(f"SELECT EXISTS (SELECT FROM {name})")}


async def test_all_that_a_migrated_database_holds_can_be_emptied(owner: Owner):
    assert await filled(owner) == {"alembic_version"}
    assert await owner.rows(SURPRISES) == []


async def test_each_change_that_emptying_does_not_undo_is_seen(owner: Owner):
    before = await owner.value(SHAPE)
    for what, change in CHANGES.items():
        transaction = owner.transaction()
        await transaction.start()
        await owner.execute(change)
        assert await owner.value(SHAPE) != before, what
        await transaction.rollback()
    assert await owner.value(SHAPE) == before


async def test_next_test_finds_no_rows_and_nobody_and_a_database_that_was_changed_is_dropped(
    server: Server, databases: Databases
):
    ours = Databases(server, databases.template, databases.shape)
    name = await ours.new()
    async with ours._owner(name) as left_behind:
        await left_behind.execute("INSERT INTO worker_beats VALUES (gen_random_uuid(), now())")
        await ours.hand_on(name)
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await left_behind.execute("SELECT 1")
    following = await ours.empty()
    assert (following == name) == bool(databases.shape)  # else every test has a new one
    async with ours._owner(following) as line:
        assert await filled(Owner(line)) == {"alembic_version"}
        await line.execute(CHANGES["a column"])
    await ours.hand_on(following)
    last = await ours.empty()
    assert last != following
    await ours.drop(last)
    async with ours._owner("postgres") as line:
        assert not await line.fetchval("SELECT count(*) FROM pg_database WHERE datname IN ($1, $2)", name, following)
