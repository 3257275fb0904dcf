"""The two walls between tenants: the confined session in code, row-level security in the database."""

import asyncio
import random
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import aliased
from sqlalchemy.pool import NullPool

from app import migrate
from app.config import Settings
from app.db import APP_ROLE, UnsafeRole, connect, refuse_unsafe_role, unit_of_work
from app.models import Account, AccountMember, Base, Partner, new_id, utc_now
from app.policy import Role
from app.services import bulks
from app.tenancy import EVERYONE, confine
from tests.conftest import Owner, Server, World, problem
from tests.test_rules import GLOBAL

# Every function that runs as the owner and so sees all partners, with its reason.
DEFINER_FUNCTIONS = {
    "memberships_of": "GET /v1/me: a user's own memberships, over all partners",
    "partners_with_due_deliveries": "the worker finds out for whom there is mail to send",
    "partners_with_unnumbered_events": "the sequencer finds out whose events are to be numbered",
    "partners_with_stale_properties": "the worker finds out whose accounts are to follow a changed definition",
    "partners_behind": "the worker goes through all partners, to count the members of their accounts again",
    "partners_with_waiting_imports": "the worker finds out whose imports are to be worked at",
    "partners_to_be_told": "the worker finds out where licences end, or something happened that may have reached a limit",
    "purge_imports": "deletes imports that have served their time, with their row errors",
    "accounts_matching": "finds a text by an index, of the partner of the transaction only: LIKE reaches none",
    "number_events": "gives positions and hashes to events, which the application may not change",
    "partners_with_old_events": "the worker finds out whose events have been kept long enough",
    "erase_events": "takes away what events say once they have been kept long enough, and never before 30 days",
    "newest_positions": "who waits for events is woken, of many partners in one look: numbers only",
    "webhooks_with_work": "the worker finds out which webhooks have something to send",
    "purge_webhook_rows": "deletes deliveries of webhooks that have served their time",
    "outbox_state": "two figures for Prometheus",
    "erase_events_about": "takes out of the log what it says of a person who is being erased, which the application may not",
    "last_admin_of": "where somebody who wants to be erased is still needed, over all partners",
    "purge_invitations": "takes the addresses out of old invitations that nobody accepted, and out of their events",
    "purge_tenant_rows": "deletes sent mails and stored answers that have served their time",
}


# Operators list partners; and the application never gives an event its number.
MORE_POLICIES = {"partners": {"operator"}, "events": {"unnumbered"}}


async def two_partners(world: World) -> tuple[Partner, Partner]:
    """Acme with the account Nordwerk, and Rival with the account Südbau."""
    acme, rival = (
        await world.partner("Acme", Anna=Role.PARTNER_ADMIN),
        await world.partner("Rival", Rita=Role.PARTNER_ADMIN),
    )
    await world.account(acme, "Nordwerk", by="Anna")
    await world.account(rival, "Südbau", by="Rita")
    return acme, rival


async def test_a_session_that_is_not_confined_refuses_every_query(world: World):
    await two_partners(world)
    statements = (
        select(Account), select(Account.name), select(func.count()).select_from(Account), select(Partner),
        update(Account).values(name="Y"), delete(AccountMember), select(Account.id).union(select(Account.id)),
        select(1).where(select(Account.id).exists()),
    )  # fmt: skip
    for statement in statements:
        async with unit_of_work(world.begin) as db:
            with pytest.raises(RuntimeError, match="before confine"):
                await db.execute(statement)


async def test_a_confined_session_sees_one_partner_in_every_kind_of_query(world: World):
    acme, rival = await two_partners(world)
    other = aliased(Account)
    async with world.transaction(acme.id) as db:
        assert (await db.scalars(select(Account.name))).all() == ["Nordwerk"]
        assert (await db.scalars(select(other.name))).all() == ["Nordwerk"]
        assert (await db.scalars(select(Partner.name))).all() == ["Acme"]
        assert await db.scalar(select(func.count()).select_from(select(Account).subquery())) == 1
        joined = select(Account).join(AccountMember, AccountMember.account_id == Account.id)
        assert len((await db.execute(joined)).all()) == 1
        assert len((await db.execute(select(Account.id).union_all(select(Account.id)))).all()) == 2
        assert await db.get(Partner, rival.id) is None
        changed = await db.execute(update(Account).values(name="Y"))
        assert changed.rowcount == 1  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        for escape in (select(Base.metadata.tables["accounts"]), insert(Account).values(name="Y", partner_id=rival.id)):
            with pytest.raises(RuntimeError, match="cannot be confined"):
                await db.execute(escape)


async def test_a_row_of_another_partner_is_not_written(world: World):
    acme, rival = await two_partners(world)
    for row in (Account(partner_id=rival.id, name="Q", name_key="q", name_search="q"),
                Partner(id=rival.id, name="Q", name_search="q")):  # fmt: skip
        with pytest.raises(RuntimeError, match="another tenant"):
            async with world.transaction(acme.id) as db:
                db.add(row)


async def test_the_database_alone_keeps_partners_apart(world: World):
    """The second wall holds where the first is not in the way: SQL by hand, on the application's connections."""
    acme, rival = await two_partners(world)
    async with world.app.state.engine.connect() as connection:
        for table in sorted(set(Base.metadata.tables) - GLOBAL | {"partners"}):
            assert await connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
        await connection.execute(text(f"SET LOCAL app.partner_id = '{acme.id}'"))
        assert (await connection.execute(text("SELECT name FROM accounts"))).scalars().all() == ["Nordwerk"]
        for write in (
            "UPDATE accounts SET name = 'X' WHERE partner_id = :p",
            "DELETE FROM accounts WHERE partner_id = :p",
        ):
            assert (await connection.execute(text(write), {"p": rival.id})).rowcount == 0
        for write in ("UPDATE accounts SET partner_id = :p",
                      "INSERT INTO partner_members (partner_id, id, user_id, role, created_at, updated_at, version) "
                      "SELECT :p, gen_random_uuid(), id, 'partner_admin', now(), now(), 1 FROM users LIMIT 1"):  # fmt: skip
            with pytest.raises(DBAPIError, match="row-level security"):
                async with connection.begin_nested():
                    await connection.execute(text(write), {"p": rival.id})


async def test_statements_for_many_rows_write_and_change_nothing_of_another_partner(world: World, owner: Owner):
    acme, rival = await two_partners(world)
    theirs = await owner.value("SELECT id FROM accounts WHERE partner_id = $1", rival.id)
    before = await owner.rows("SELECT * FROM accounts ORDER BY id")
    member = {"created_at": utc_now(), "updated_at": utc_now(), "version": 1, "role": "account_admin"}
    row = {"id": new_id(), "account_id": theirs, "user_id": world.people["Anna"].id}
    account = {"id": theirs, "name": "Q", "name_key": "q"}

    async def write(db: AsyncSession, partner_id: UUID) -> None:
        await bulks.insert(db, AccountMember, {"partner_id": partner_id, **member}, [row])

    async def change(db: AsyncSession, partner_id: UUID) -> None:
        assert await bulks.update_accounts(db, partner_id, [account]) == 0

    for attempt in (write, change):
        with pytest.raises(RuntimeError, match="another tenant"):  # the wall in code
            async with world.transaction(acme.id) as db:
                await attempt(db, rival.id)
    async with world.transaction(acme.id) as db:
        db.sync_session.info["tenant"] = rival.id  # and the one in the database, where that one is lifted
        await change(db, rival.id)
        with pytest.raises(DBAPIError, match="row-level security"):
            async with db.begin_nested():
                await write(db, rival.id)
    with pytest.raises(DBAPIError, match="foreign key"):  # nor does a row of one's own point there
        async with world.transaction(acme.id) as db:
            await write(db, acme.id)
    assert await owner.rows("SELECT * FROM accounts ORDER BY id") == before


async def test_the_change_log_is_append_only_for_the_application(world: World):
    acme, _ = await two_partners(world)
    async with world.app.state.engine.connect() as connection:
        await connection.execute(text(f"SET LOCAL app.partner_id = '{acme.id}'"))
        numbered = (
            "INSERT INTO events (partner_id, id, type, subject_type, subject_id, actor, details_hash, origin_hash, created_at,"
            " position) SELECT partner_id, gen_random_uuid(), 'x', 'x', id, 'user', details_hash, origin_hash, now(),"
            " 9223372036854775807 FROM events LIMIT 1"
        )
        with pytest.raises(DBAPIError, match="row-level security"):
            async with connection.begin_nested():
                await connection.execute(text(numbered))
        for write in ("UPDATE events SET type = 'x'", "DELETE FROM events", "TRUNCATE events"):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with connection.begin_nested():
                    await connection.execute(text(write))


async def test_three_thousand_mixed_transactions_leak_nothing(world: World):
    partners = [await world.partner(f"P{n}", **{f"Admin{n}": Role.PARTNER_ADMIN}) for n in range(6)]
    for n, partner in enumerate(partners):
        await world.account(partner, f"Account {n}", by=f"Admin{n}")
    engine, begin = connect(str(world.app.state.engine.url.render_as_string(hide_password=False)), pool_size=3)
    chance = random.Random(7)
    leaks: list[str] = []

    async def one(n: int) -> None:
        try:
            async with unit_of_work(begin) as db:
                await confine(db, partners[n].id)
                names = (await (await db.connection()).execute(text("SELECT name FROM accounts"))).scalars().all()
                if list(names) != [f"Account {n}"]:
                    leaks.append(f"{n}: {names}")
                if chance.random() < 0.2:
                    raise InterruptedError
        except InterruptedError:
            return

    order = [chance.randrange(6) for _ in range(3000)]
    for start in range(0, 3000, 60):
        await asyncio.gather(*(one(n) for n in order[start : start + 60]))
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM accounts")) == 0
    await engine.dispose()
    assert leaks == []


async def test_every_tenant_table_has_both_walls(owner: Owner):
    tables = sorted(set(Base.metadata.tables) - GLOBAL | {"partners"})
    assert {"accounts", "events", "partners"} <= set(tables)
    with_partner = await owner.rows(
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'partner_id' AND table_schema = 'public'"
    )
    assert {r["table_name"] for r in with_partner} == set(tables) - {"partners"}
    for table in tables:
        (flags,) = await owner.rows(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = ('public.' || $1)::regclass", table
        )
        assert set(flags.values()) == {True}, table
        policies = await owner.rows(
            "SELECT policyname, roles, cmd, qual, with_check FROM pg_policies WHERE tablename = $1", table
        )
        for_app = [p for p in policies if APP_ROLE in p["roles"] or "public" in p["roles"]]
        assert {p["policyname"] for p in for_app} == {"tenant"} | MORE_POLICIES.get(table, set()), table
        tenant = next(p for p in for_app if p["policyname"] == "tenant")
        assert (tenant["cmd"], tenant["qual"]) == ("ALL", tenant["with_check"])
        assert "app.partner_id" in tenant["qual"]


async def test_the_applications_role_is_no_owner_no_superuser_and_has_few_rights(
    owner: Owner,
):
    (role,) = await owner.rows(
        "SELECT oid, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = $1", APP_ROLE
    )
    assert [v for k, v in role.items() if k != "oid"] == [False] * 4
    assert await owner.value("SELECT count(*) FROM pg_class WHERE relowner = $1", role["oid"]) == 0
    granted = await owner.rows(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = $1", APP_ROLE
    )
    assert {g["privilege_type"] for g in granted if g["table_name"] == "events"} == {"SELECT", "INSERT"}
    assert {g["privilege_type"] for g in granted if g["table_name"] == "partners"} == {"SELECT", "INSERT", "UPDATE"}
    assert {g["privilege_type"] for g in granted if g["table_name"] == "alembic_version"} == {"SELECT"}
    assert not {"TRUNCATE", "REFERENCES", "TRIGGER"} & {g["privilege_type"] for g in granted}


async def test_every_function_that_runs_as_the_owner_is_listed(owner: Owner):
    found = await owner.rows(
        "SELECT p.proname, p.proconfig, has_function_privilege('public', p.oid, 'EXECUTE') AS anybody FROM pg_proc p "
        "JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public' AND p.prosecdef"
    )
    assert {f["proname"] for f in found} == set(DEFINER_FUNCTIONS)
    for function in found:
        settings = [
            c for c in function["proconfig"] if not c.startswith(("enable_", "work_mem="))
        ]  # how it is planned opens no door
        assert settings == ["search_path=pg_catalog, public, pg_temp"]
        assert function["anybody"] is False


async def test_the_service_does_not_start_with_a_role_that_could_read_past_the_wall(settings: Settings):
    assert settings.owner_database_url is not None
    engine, _ = connect(settings.owner_database_url.get_secret_value())
    with pytest.raises(UnsafeRole, match="owns tables"):
        await refuse_unsafe_role(engine)
    await engine.dispose()


async def test_operators_see_the_list_of_partners_and_nothing_else_of_theirs(world: World):
    acme, _ = await two_partners(world)
    async with world.transaction(EVERYONE) as db:
        assert set(await db.scalars(select(Partner.name))) == {"Acme", "Rival"}
        assert (await db.scalars(select(Account))).all() == []
        await confine(db, acme.id)
        assert (await db.scalars(select(Account.name))).all() == ["Nordwerk"]
        assert (await (await db.connection()).execute(text("SELECT name FROM partners"))).scalars().all() == ["Acme"]


async def test_events_are_numbered_without_gaps_and_chained(world: World, owner: Owner):
    acme, rival = await two_partners(world)
    worker = world.worker()
    await worker.number_all()
    await world.account(acme, "Later", by="Anna")
    await worker.number_all()
    for partner in (acme, rival):
        rows = await owner.rows(
            "SELECT e.*, event_facts(e) AS facts FROM events e WHERE partner_id = $1 ORDER BY position", partner.id
        )
        assert [r["position"] for r in rows] == list(range(1, len(rows) + 1))
        chained = b""
        for row in rows:
            link = chained + row["position"].to_bytes(8) + row["facts"] + row["details_hash"]
            chained = await owner.value("SELECT sha256($1)", link)
            assert row["hash"] == chained


async def test_details_can_be_erased_without_breaking_the_chain(world: World, owner: Owner):
    acme, _ = await two_partners(world)
    await world.worker().number_all()
    before = await owner.rows(
        "SELECT position, hash, event_facts(e) AS facts, details_hash FROM events e WHERE partner_id = $1 ORDER BY 1",
        acme.id,
    )
    await owner.execute("UPDATE events SET details = NULL, salt = NULL WHERE partner_id = $1", acme.id)
    after = await owner.rows(
        "SELECT position, hash, event_facts(e) AS facts, details_hash FROM events e WHERE partner_id = $1 ORDER BY 1",
        acme.id,
    )
    assert before == after
    assert len(after) > 2


async def test_migrations_go_down_and_up_again(server: Server, database: str, settings: Settings):
    url = server.url(database, owner=True)
    await migrate.downgrade(url, "base")
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        left = await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        assert left.scalars().all() == ["alembic_version"]
    await engine.dispose()
    await migrate.upgrade(url)
    assert await migrate.drift(url) == []
    assert await migrate.current(url) == migrate.head()


async def test_an_old_release_stays_ready_on_a_newer_schema_and_a_new_one_refuses_an_older(world: World, owner: Owner):
    client = await world.client()
    await world.worker().beat()
    for revision, status in ((migrate.head(), 200), ("of_a_later_release", 200)):
        await owner.execute("UPDATE alembic_version SET version_num = $1", revision)
        assert (await client.get("/health/ready")).status_code == status
    await owner.execute("DELETE FROM alembic_version")
    assert problem(await client.get("/health/ready")) == (503, "unavailable")
