"""Exports while they are sent, over real connections: one state, little memory, no half file, and nobody shut out."""

import asyncio
import csv
import io
import socket
import zipfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest
import uvicorn
from sqlalchemy import select, text

from app import downloads
from app.config import Settings
from app.db import connect, snapshot
from app.models import Account, Partner, PartnerMember
from app.policy import Access, Caller, Role
from app.services import columns, exports, lists
from app.services.exports import Asked
from app.sheets import CsvWriter
from app.tenancy import confine
from tests import promises
from tests.conftest import PROMISES, Owner, World, problem, running
from tests.test_tenancy import two_partners

ASKED = Asked(lists.Query())
NOTE = 31 * 32
"""Characters of each account's text, which compress badly."""


async def fill(owner: Owner, partner: Partner, rows: int, *, first: int = 1) -> None:
    """Many accounts, past all that makes them one by one."""
    await owner.execute(
        "INSERT INTO accounts (partner_id, id, name, name_key, name_search, status, properties, search, created_at,"
        " updated_at, version) SELECT $1, gen_random_uuid(), 'Row ' || n, 'row ' || n, 'row ' || to_char(n, 'FM000000'),"
        " 'active', jsonb_build_object('note', (SELECT string_agg(md5((n * 100 + k)::text), '') FROM generate_series(1, 31)"
        " k)), '', now(), now(), 1 FROM generate_series($2::int, $3::int) n",
        partner.id, first, first + rows - 1,
    )  # fmt: skip


@dataclass
class Raw:
    """A request of an export that is under way, of which as much is taken as the test says."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    async def rest(self) -> tuple[bytes, bool]:
        """What still comes, and whether it is whole."""
        body, whole = b"", False
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while size := int((await self.reader.readline()).strip() or b"-1", 16):
                if size < 0:
                    break
                body += (await self.reader.readexactly(size + 2))[:-2]
            else:
                whole = True
        return body, whole

    def leave(self) -> None:
        self.writer.transport.abort()


@dataclass
class Stand:
    """A partner with many accounts behind a real server, whose connections hold little in transit."""

    world: World
    owner: Owner
    partner: Partner
    door: socket.socket
    token: str

    @property
    def port(self) -> int:
        return self.door.getsockname()[1]

    def widen(self) -> None:
        """Let connections from now on hold much in transit: a whole file comes in a second then, not in twenty."""
        self.door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def path(self, kind: str = "csv", partner: Partner | None = None) -> str:
        return f"/v1/partners/{(partner or self.partner).id}/accounts.{kind}"

    @asynccontextmanager
    async def begun(
        self, kind: str = "csv", *, token: str | None = None, partner: Partner | None = None
    ) -> AsyncGenerator[Raw]:
        """An export of which the head has been read, and nothing more."""
        plug = socket.socket()
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        plug.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plug, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=plug, limit=4096)
        request = f"GET {self.path(kind, partner)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token or self.token}\r\n\r\n"
        writer.write(request.encode())
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            promises.head_heard("GET", self.path(kind, partner), head)
            yield Raw(reader, writer, head)
        finally:
            writer.transport.abort()

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=30, event_hooks=PROMISES,
                                 headers={"Authorization": f"Bearer {token or self.token}"})  # fmt: skip

    async def given_up(self) -> int:
        """How many exports have ended because nobody took them, as the figures say."""
        async with self.client() as client:
            lines = [line for line in (await client.get("/metrics")).text.splitlines() if "requests_total{" in line]
        return sum(
            int(float(line.split()[-1])) for line in lines if "export_accounts" in line and 'status="499"' in line
        )

    async def at_rest(self) -> bool:
        """No place taken, all connections in the pool, no transaction open."""
        state = self.world.app.state
        busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
        open_ = await self.owner.value(busy)
        return (state.places.running.total(), state.engine.pool.checkedout(), open_) == (0, 0, 0)

    async def comes_to_rest(self) -> None:
        await until(self.at_rest)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(400):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came to that")


class _Server(uvicorn.Server):
    @asynccontextmanager
    async def running(self, door: socket.socket) -> AsyncGenerator[None]:
        serving = asyncio.create_task(self.serve(sockets=[door]))
        try:
            yield
        finally:
            self.should_exit = True
            await serving


@asynccontextmanager
async def standing(settings: Settings, owner: Owner, rows: int, **changed: Any) -> AsyncGenerator[Stand]:
    async with running(settings.model_copy(update=changed)) as world:
        partner = await world.partner(Anna=Role.PARTNER_ADMIN)
        api = await world.client("Anna")
        note = {"key": "note", "type": "text", "label": {"en": "Note"}, "max_length": 5000, "filterable": False}
        assert (await api.post(f"/v1/partners/{partner.id}/properties", json=note)).status_code == 201
        await fill(owner, partner, rows)
        door = socket.create_server(("127.0.0.1", 0))
        door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        config = uvicorn.Config(world.app, http="app.protocol:Protocol", ws="none", lifespan="off", log_config=None, access_log=False,
                                timeout_graceful_shutdown=2)  # fmt: skip
        async with _Server(config).running(door):
            yield Stand(world, owner, partner, door, await world.token("Anna"))


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(errors="ignore"), newline="")))


def names(content: bytes) -> list[str]:
    return [row["name"] for row in rows(content)]


# --- one state of things ---


@pytest.mark.slow
async def test_export_is_the_state_at_its_beginning_whatever_happens_while_it_runs(settings: Settings, owner: Owner):
    async with standing(settings, owner, 20_000) as stand, stand.begun() as export:
        await owner.execute("UPDATE accounts SET name = 'Changed'")
        await owner.execute("DELETE FROM accounts WHERE name_search > 'row 010000'")
        await fill(owner, stand.partner, 10, first=900_000)
        await owner.execute("UPDATE properties SET key = 'other', label = '{\"en\": \"Other\"}'")
        body, whole = await export.rest()
        assert whole
        assert names(body) == [f"Row {n}" for n in range(1, 20_001)]
        assert body.splitlines()[0] == b"id,name,status,price_model,note,member_count,created_at,updated_at"
        assert {len(row["note"]) for row in rows(body)} == {NOTE}


@pytest.mark.slow
async def test_export_needs_no_more_memory_the_longer_it_is(settings: Settings, owner: Owner):
    async with standing(settings, owner, 40_000) as stand, stand.client() as client:
        stand.widen()
        await owner.execute("ANALYZE accounts")
        process, sizes = psutil.Process(), dict[str, tuple[int, int]]()
        for kind, least in (("csv", 40_000_000), ("xlsx", 20_000_000)):
            await client.get(stand.path(kind), params={"filter": "name:starts_with:row 00"})
            before = most = process.memory_info().rss
            size = 0
            async with client.stream("GET", stand.path(kind), headers={"Accept-Encoding": "identity"}) as answer:
                async for piece in answer.aiter_raw():
                    size += len(piece)
                    most = max(most, process.memory_info().rss)
            sizes[kind] = (size, most - before)
            assert size > least
            assert most - before < 30_000_000, sizes


# --- those who leave, and those who dawdle ---


@pytest.mark.slow
async def test_those_who_leave_in_the_middle_leave_nothing_behind(settings: Settings, owner: Owner):
    async with standing(settings, owner, 20_000, pool_size=5, exports_at_once=2) as stand:
        before = await stand.given_up()
        for n in range(50):
            async with stand.begun(("csv", "xlsx")[n % 2]) as export:
                assert export.status == 200
                if n % 3:
                    await export.reader.readexactly(2000)
                export.leave()
            await until(lambda: asyncio.sleep(0, stand.world.app.state.places.running.total() == 0))
        await stand.comes_to_rest()
        assert await stand.given_up() - before == 50  # none was made to its end for nobody
        stand.widen()
        async with stand.client() as client:
            answers = await asyncio.gather(
                *(client.get(f"/v1/partners/{stand.partner.id}/accounts") for _ in range(10))
            )
            assert {a.status_code for a in answers} == {200}
            assert len(names((await client.get(stand.path())).content)) == 20_000
        await stand.comes_to_rest()


@pytest.mark.slow
async def test_slow_readers_fill_the_places_and_not_the_pool(settings: Settings, owner: Owner):
    async with standing(settings, owner, 12_000, pool_size=4, exports_at_once=9) as stand:
        rival = await stand.world.partner("Rival", Rita=Role.PARTNER_ADMIN)
        await fill(owner, rival, 12_000)
        other = await stand.world.partner("Third", Tom=Role.PARTNER_ADMIN)
        tom = await stand.world.token("Tom")
        rita, rest = await stand.world.token("Rita"), f"/v1/partners/{stand.partner.id}/accounts"
        async with stand.client() as client, stand.client(tom) as third:
            async with stand.begun() as slow:
                busy = await client.get(stand.path("xlsx"))  # of two places, one partner does not get the last
                assert problem(busy) == (503, "exports_busy")
                assert int(busy.headers["retry-after"]) > 0
                async with stand.begun(token=rita, partner=rival) as hers_too:
                    assert (slow.status, hers_too.status) == (200, 200)
                    assert problem(await third.get(stand.path(partner=other))) == (503, "exports_busy")
                    answers = await asyncio.gather(*(client.get(rest) for _ in range(20)))
                    assert {a.status_code for a in answers} == {200}
                said = [e for e in await stand.world.events(stand.partner.id) if e.type == "accounts.exported"]
                assert len(said) == 1  # what was refused was not exported
            await stand.comes_to_rest()
            stand.widen()
            assert (await client.get(stand.path())).status_code == 200
            assert (await third.get(stand.path(partner=other))).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_export_that_takes_too_long_is_cut_off_and_is_no_whole_file(settings: Settings, owner: Owner, kind: str):
    async with standing(settings, owner, 12_000, export_seconds=4) as stand, stand.begun(kind) as export:
        await stand.comes_to_rest()
        body, whole = await export.rest()
        assert not whole
        if kind == "xlsx":
            assert not zipfile.is_zipfile(io.BytesIO(body))
        else:
            assert len(names(body)) < 12_000


@pytest.mark.slow
async def test_client_that_takes_nothing_for_long_is_cut_off(
    settings: Settings, owner: Owner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(downloads, "STALLED_SECONDS", 0.5)
    async with standing(settings, owner, 12_000) as stand, stand.begun() as export:
        await asyncio.sleep(0.8)
        await stand.comes_to_rest()
        assert not (await export.rest())[1]


# --- what goes wrong ---


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_failure_in_the_middle_breaks_the_connection(settings: Settings, owner: Owner, kind: str):
    async with standing(settings, owner, 20_000) as stand, stand.begun(kind) as export:
        ended = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        await until(lambda: owner.value(ended))
        body, whole = await export.rest()
        assert (bool(body), whole) == (True, False)
        await stand.comes_to_rest()
        stand.widen()
        async with stand.client() as client:
            assert (await client.get(stand.path(kind))).status_code == 200


@pytest.mark.slow
async def test_failure_before_the_first_row_is_a_problem(settings: Settings, owner: Owner):
    async with standing(settings, owner, 10) as stand, stand.client() as client:
        await owner.execute("REVOKE SELECT ON accounts FROM tenantry_app")
        assert problem(await client.get(stand.path())) == (500, "internal_error")
        await stand.comes_to_rest()
        await owner.execute("GRANT SELECT ON accounts TO tenantry_app")
        assert (await client.get(stand.path())).status_code == 200


# --- the walls ---


async def access_of(world: World, partner: Partner) -> Access:
    async with world.transaction(partner.id) as db:
        (user_id,) = await db.scalars(select(PartnerMember.user_id))
    return Access(Caller(user_id, user_id), partner.id, frozenset({Role.PARTNER_ADMIN}))


async def test_export_outside_a_confined_session_is_refused(world: World):
    acme, _ = await two_partners(world)
    access = await access_of(world, acme)
    async with snapshot(world.begin) as db:
        with pytest.raises(RuntimeError, match="before confine"):
            await anext(exports.pieces(db, access, ASKED, CsvWriter()))


async def test_export_stays_with_the_partner_of_its_session_whatever_its_access_says(world: World):
    acme, rival = await two_partners(world)
    access = await access_of(world, rival)
    async with snapshot(world.begin) as db:
        await confine(db, acme.id)
        pieces = [p async for p in exports.pieces(db, access, ASKED, CsvWriter())]
    assert names(b"".join(pieces)) == ["Nordwerk"]


async def test_the_database_alone_keeps_the_statement_of_an_export_with_its_partner(world: World):
    acme, rival = await two_partners(world)
    async with world.transaction(acme.id) as db:
        plan = exports.planned(await columns.load(db, acme.id), await access_of(world, acme), ASKED)
    async with world.app.state.engine.connect() as connection:  # past the wall in code
        assert (await connection.execute(plan.statement)).all() == []
        for partner, name in ((acme, "Nordwerk"), (rival, "Südbau")):
            await connection.execute(text(f"SET LOCAL app.partner_id = '{partner.id}'"))
            assert [row.name for row in await connection.execute(plan.statement)] == [name]


async def test_transaction_of_an_export_can_write_nothing(world: World):
    acme, _ = await two_partners(world)
    async with snapshot(world.begin) as db:
        await confine(db, acme.id)
        account = (await db.scalars(select(Account))).one()
        account.name = "Changed"
        with pytest.raises(Exception, match="read-only"):
            await db.flush()
        await db.rollback()
    async with world.transaction(acme.id) as db:
        (await db.scalars(select(Account))).one().name = "Changed"  # and the connection is as before


async def test_exports_of_many_partners_through_few_connections_leak_nothing(world: World):
    partners = [await world.partner(f"P{n}", **{f"Admin{n}": Role.PARTNER_ADMIN}) for n in range(5)]
    for n, partner in enumerate(partners):
        for m in range(3):
            await world.account(partner, f"Account {n} {m}", by=f"Admin{n}")
    accesses = [await access_of(world, partner) for partner in partners]
    engine, begin = connect(
        world.app.state.engine.url.render_as_string(hide_password=False), pool_size=3, pool_timeout=60
    )

    async def one(n: int) -> list[str]:
        async with snapshot(begin) as db:
            await confine(db, partners[n].id)
            return names(b"".join([p async for p in exports.pieces(db, accesses[n], ASKED, CsvWriter())]))

    try:
        order = [n % 5 for n in range(100)]
        for n, found in zip(order, await asyncio.gather(*map(one, order)), strict=True):
            assert found == [f"Account {n} {m}" for m in range(3)]
    finally:
        await engine.dispose()
