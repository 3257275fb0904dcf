"""Workers as real processes: killed at random they lose no mail; the change log they number has no gap."""

import asyncio
import hashlib
import json
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
import structlog
from httpx import AsyncClient
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.config import Settings
from app.db import sqlstate
from app.models import PLATFORM, Delivery, Event, Partner, Throttle, UsedAssertion, new_id, utc_now
from app.parts import transport_of
from app.policy import Access, Caller, Role
from app.services import events
from app.worker import EVENTS_AT_ONCE, Worker
from tests.conftest import Server, World, problem, running
from tests.forks import Fork
from tests.test_mail import Post, deliver, mail_server, posting, start_worker

LEASE_SECONDS = 3.0
KILLS = 20
MAILS = 500


def seed() -> random.Random:
    """The same kills in every run."""
    return random.Random(20)


async def invite_many(client: AsyncClient, place: str, addresses: list[str], *, at_once: int = 8) -> None:
    for start in range(0, len(addresses), at_once):
        answers = await asyncio.gather(*(
            client.post(f"{place}/invitations", json={"email": a, "role": "partner_viewer"})
            for a in addresses[start : start + at_once]
        ))  # fmt: skip
        assert {a.status_code for a in answers} == {201}


async def until(seconds: float, what: Any) -> None:
    """Wait for `what()` to be true; fail when it takes longer."""
    async with asyncio.timeout(seconds):
        while not await what():  # noqa: ASYNC110 - other processes work
            await asyncio.sleep(0.05)


async def open_deliveries(world: World, partner: Partner) -> int:
    async with world.transaction(partner.id) as db:
        still = select(func.count()).select_from(Delivery).where(Delivery.done_at.is_(None))
        return await db.scalar(still) or 0


# --- kill -9 ---


@pytest.mark.slow
async def test_workers_killed_twenty_times_lose_no_mail_and_repeat_at_most_one_each(
    settings: Settings, capsys: pytest.CaptureFixture[str]
):
    dice = seed()
    async with mail_server() as post:
        post.seconds = 0.02
        short = posting(settings, post.url).model_copy(update={"lease_seconds": LEASE_SECONDS})
        async with running(short) as world, workers(world, 3) as crew:
            partner = await world.partner(Anna=Role.PARTNER_ADMIN)
            anna = await world.client("Anna")
            here = f"/v1/partners/{partner.id}"
            addresses = [f"person{n}@example.com" for n in range(MAILS)]
            inviting = asyncio.create_task(invite_many(anna, here, addresses))
            started = time.monotonic()
            for _ in range(KILLS):
                seen = len(post.mails)
                await until(60, lambda seen=seen: enough(post, seen + dice.randint(1, 15)))
                await asyncio.sleep(dice.uniform(0, 0.05))
                crew.kill(dice.randrange(3))
            await inviting
            left = MAILS - len({mail.recipients[0] for mail in post.mails})
            await until(120, lambda: nothing_open(world, partner))
            seconds = time.monotonic() - started

            ids: dict[str, list[str]] = defaultdict(list)
            for mail in post.mails:
                assert len(mail.recipients) == 1
                ids[mail.recipients[0]].append(mail.id)
            repeated = len(post.mails) - len(ids)
            with capsys.disabled():
                print(  # noqa: T201 - the figure that the documentation quotes
                    f"\n{KILLS} kills, {MAILS} mails: {repeated} sent twice, "
                    f"{left} left after the last kill, {seconds:.0f} s"
                )
            assert sorted(ids) == sorted(addresses)
            assert all(len(set(found)) == 1 for found in ids.values())
            assert len({found[0] for found in ids.values()}) == MAILS
            assert repeated <= crew.killed == KILLS
            assert left > 0  # the killing took place while mails went out
            async with world.transaction(partner.id) as db:
                assert Counter(await db.scalars(select(Delivery.outcome))) == {"sent": MAILS}
            statuses: Counter[str] = Counter()
            address = f"{here}/invitations?limit=200&sort=created_at"
            while address:
                page = await anna.get(address)
                statuses.update(i["mail_status"] for i in page.json()["items"])
                address = page.headers.get("link", "").partition(">")[0].removeprefix("<")
            assert statuses == {"sent": MAILS}


async def enough(post: Post, number: int) -> bool:
    return len(post.mails) >= min(number, MAILS - 20)


async def nothing_open(world: World, partner: Partner) -> bool:
    return await open_deliveries(world, partner) == 0


class Crew:
    """Worker processes; one that is killed is followed by another."""

    def __init__(self, world: World, size: int) -> None:
        self.world, self.killed = world, 0
        self.log = world.settings.data_dir / "workers.log"
        self.processes = [self.start() for _ in range(size)]

    def start(self) -> Fork:
        lease = str(self.world.settings.lease_seconds)
        return start_worker(self.world.settings, self.log, TENANTRY_LEASE_SECONDS=lease)

    def kill(self, number: int) -> None:
        process = self.processes[number]
        assert process.poll() is None, self.log.read_text()[-2000:]
        process.kill()
        process.wait()
        self.killed += 1
        self.processes[number] = self.start()

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)


@asynccontextmanager
async def workers(world: World, size: int) -> AsyncGenerator[Crew]:
    crew = Crew(world, size)
    try:
        yield crew
    finally:
        await asyncio.to_thread(crew.stop)


@pytest.mark.slow
async def test_stopped_worker_ends_in_time_and_leaves_nothing_half_done(settings: Settings):
    """SIGTERM while mails go out: what was in hand is finished, and nothing is repeated."""
    async with mail_server() as post:
        post.seconds = 0.05
        async with running(posting(settings, post.url)) as world, workers(world, 1) as crew:
            partner = await world.partner(Anna=Role.PARTNER_ADMIN)
            await invite_many(await world.client("Anna"), f"/v1/partners/{partner.id}",
                              [f"p{n}@example.com" for n in range(40)])  # fmt: skip
            await until(30, lambda: enough(post, 5))
            stopped = time.monotonic()
            await asyncio.to_thread(crew.stop)
            assert time.monotonic() - stopped < 10
            assert [p.returncode for p in crew.processes] == [0]
            assert await open_deliveries(world, partner) == 40 - len(post.mails) > 0
            await deliver(world)  # at once: no lease is left behind
            assert Counter(mail.recipients[0] for mail in post.mails) == {f"p{n}@example.com": 1 for n in range(40)}


async def one_invitation(world: World) -> tuple[AsyncClient, Partner]:
    """A partner with one mail in the outbox; and its admin."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna = await world.client("Anna")
    await invite_many(anna, f"/v1/partners/{partner.id}", ["eva@example.com"])
    return anna, partner


async def only_delivery(world: World, partner: Partner) -> Delivery:
    async with world.transaction(partner.id) as db:
        return (await db.scalars(select(Delivery))).one()


async def close(server: Server, database: str) -> None:
    """Let nobody into the database, and throw out who is in."""
    await server.execute(
        f"ALTER DATABASE {database} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
    )


async def reopen(server: Server, database: str, after: float = 0) -> None:
    await asyncio.sleep(after)
    await server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


async def test_mail_that_went_out_is_marked_although_the_database_was_away_just_then(
    settings: Settings, server: Server, database: str
):
    async with mail_server() as post, running(posting(settings, post.url)) as world:
        anna, partner = await one_invitation(world)
        reopening: list[asyncio.Task[None]] = []

        async def fail() -> None:
            await close(server, database)
            reopening.append(asyncio.create_task(reopen(server, database, after=0.5)))

        post.before_yes = fail
        with structlog.testing.capture_logs() as logged:
            assert await deliver(world) == 1
        await asyncio.gather(*reopening)
        assert {(e["event"], e["log_level"], e["work"]) for e in logged} == {("work failed", "warning", "mark")}
        assert not any("exc_info" in e for e in logged)
        row = await only_delivery(world, partner)
        assert (row.outcome, row.attempts, len(post.mails)) == ("sent", 0, 1)
        (shown,) = (await anna.get(f"/v1/partners/{partner.id}/invitations")).json()["items"]
        assert shown["mail_status"] == "sent"


async def test_worker_that_is_stopped_finishes_the_mail_in_its_hands(settings: Settings):
    async with mail_server() as post, running(posting(settings, post.url)) as world:
        _, partner = await one_invitation(world)
        post.seconds = 1
        working = asyncio.create_task(deliver(world))
        await until(10, lambda: asked(post))
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert len(post.mails) == 1
        assert (await only_delivery(world, partner)).outcome == "sent"


@pytest.mark.slow
async def test_worker_that_is_stopped_does_not_wait_for_ever(settings: Settings):
    async with mail_server() as post, running(posting(settings, post.url)) as world:
        _, partner = await one_invitation(world)
        post.seconds = 60
        working = asyncio.create_task(deliver(world))
        await until(10, lambda: asked(post))
        stopped = time.monotonic()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert 4 < time.monotonic() - stopped < 8
        row = await only_delivery(world, partner)
        assert (row.done_at, row.attempts, row.leased_until is not None) == (None, 0, True)  # another sends it


async def asked(post: Post) -> bool:
    return bool(post.asked)


async def some(lines: Sequence[object]) -> bool:
    return bool(lines)


async def test_outage_is_one_line_in_the_log_and_a_mistake_of_ours_has_its_traceback(
    world: World, server: Server, database: str
):
    async def logged() -> tuple[str, bool]:
        """Level of the first line of a worker at work, and whether it has a traceback."""
        with structlog.testing.capture_logs() as lines:
            working = asyncio.create_task(world.worker().run())
            await until(10, lambda: some(lines))
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
        assert {line["event"] for line in lines} == {"work failed"}
        return lines[0]["log_level"], bool(lines[0].get("exc_info"))

    await close(server, database)
    assert await logged() == ("warning", False)
    await reopen(server, database)
    await server.execute("ALTER FUNCTION outbox_state() RENAME TO outbox", database=database)
    assert await logged() == ("error", True)


# --- several at once ---


@pytest.mark.slow
async def test_four_workers_send_each_mail_once(settings: Settings):
    async with mail_server() as post, running(posting(settings, post.url)) as world:
        addresses: set[str] = set()
        for number, name in enumerate(("Acme", "Other", "Third")):
            partner = await world.partner(name, Anna=Role.PARTNER_ADMIN)
            mine = [f"p{number}-{n}@example.com" for n in range(50)]
            await invite_many(await world.client("Anna"), f"/v1/partners/{partner.id}", mine)
            addresses |= set(mine)
        post.seconds = 0.005
        async with AsyncExitStack() as stack:
            crew: list[Worker] = []
            for _ in range(4):
                transport = transport_of(world.settings)
                stack.push_async_callback(transport.close)
                crew.append(Worker(world.begin, world.app.state.keys, world.settings, transport))
            sent = await asyncio.gather(*(worker.mail_all() for worker in crew))
            while await any_open(world):
                sent.append(await crew[0].mail_all())
        assert Counter(mail.recipients[0] for mail in post.mails) == Counter(addresses)
        assert sum(sent) == 150
        assert min(sent[:4]) > 0  # they did share the work


async def any_open(world: World) -> bool:
    async with world.begin() as db:
        depth = await db.scalar(text("SELECT depth FROM outbox_state()"))
    return bool(depth)


async def test_worker_that_takes_longer_than_half_its_lease_gives_up_before_another_may_start(settings: Settings):
    async with mail_server() as post:
        post.seconds = 1.2
        short = posting(settings, post.url).model_copy(update={"lease_seconds": 1.0})
        async with running(short) as world:
            partner = await world.partner(Anna=Role.PARTNER_ADMIN)
            await invite_many(await world.client("Anna"), f"/v1/partners/{partner.id}", ["eva@example.com"])
            started = time.monotonic()
            await deliver(world)
            assert time.monotonic() - started < 1.0
            async with world.transaction(partner.id) as db:
                row = (await db.scalars(select(Delivery))).one()
            assert (row.attempts, row.last_error, row.leased_until) == (1, "TimeoutError", None)


@pytest.mark.slow
async def test_thousand_mails_of_one_partner_do_not_delay_the_one_mail_of_another(settings: Settings):
    async with mail_server() as post, running(posting(settings, post.url)) as world:
        busy = await world.partner("Busy", Anna=Role.PARTNER_ADMIN)
        quiet = await world.partner("Quiet", Bob=Role.PARTNER_ADMIN)
        anna, bob = await world.client("Anna"), await world.client("Bob")
        await invite_many(anna, f"/v1/partners/{busy.id}", [f"busy{n}@example.com" for n in range(1000)])
        working = asyncio.create_task(deliver(world))
        try:
            await until(10, lambda: enough(post, 20))
            before = len(post.mails)
            await invite_many(bob, f"/v1/partners/{quiet.id}", ["quiet@example.com"])
            after = len(post.mails)
            await until(20, lambda: enough(post, after + 5))
            order = [mail.recipients[0] for mail in post.mails]
            assert order.index("quiet@example.com") <= after + 2, (before, after)
            assert len(order) < 500
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working


# --- the change log ---


async def write(world: World, partner: Partner, writer: int, dice: random.Random) -> list[UUID]:
    """Facts of one writer, each in a transaction that stays open for a random time, so that they end out of order."""
    access = Access(Caller(new_id(), new_id(), request_id=f"w{writer}"), partner.id, frozenset({Role.PARTNER_ADMIN}))
    written: list[UUID] = []
    for number in range(10):
        waits, fails = dice.uniform(0, 0.15), dice.random() < 0.15
        with suppress(LookupError):
            async with world.transaction(partner.id) as db:
                after = {"writer": writer, "number": number, "name": 'Größe „x“ \\ " \u2028 🦊'}
                events.record(db, access, "partner.updated", partner, after=after)
                await db.flush()
                found = {e.id for e in await db.scalars(select(Event).where(Event.request_id == f"w{writer}"))}
                await asyncio.sleep(waits)
                if fails:
                    raise LookupError  # a transaction that is undone must leave no hole
            written += [i for i in found if i not in written]
    return written


@pytest.mark.slow
async def test_events_get_positions_without_gap_and_a_reader_skips_none(settings: Settings):
    async with running(settings.model_copy(update={"pool_size": 30})) as world:
        partner, other = await world.partner("Acme"), await world.partner("Other")
        done = asyncio.Event()

        async def number() -> None:
            worker = world.worker()
            while not done.is_set():
                await worker.number_all()

        async def read() -> list[tuple[int, UUID]]:
            """What a feed does: from the last position on, for ever."""
            seen: list[tuple[int, UUID]] = []
            while True:
                over = done.is_set()
                async with world.transaction(partner.id) as db:
                    last = seen[-1][0] if seen else 0
                    rows = await db.execute(select(Event.position, Event.id).where(Event.position > last)
                                            .order_by(Event.position).limit(7))  # fmt: skip
                    new = [(int(p or 0), i) for p, i in rows]
                seen += new
                if over and not new:
                    return seen
                await asyncio.sleep(0.001)

        numbering = [asyncio.create_task(number()) for _ in range(2)]
        reader = asyncio.create_task(read())
        dice = seed()
        written = await asyncio.gather(
            *(write(world, partner if n < 16 else other, n, random.Random(dice.random())) for n in range(20))
        )
        await asyncio.sleep(0.5)
        done.set()
        await asyncio.gather(*numbering)
        seen = await reader
        mine = {i for part in written[:16] for i in part}
        assert 100 < len(mine) < 160
        assert [p for p, _ in seen] == list(range(1, len(seen) + 1))
        assert {i for _, i in seen} >= mine
        all_of = await world.events(partner.id)
        assert {i for _, i in seen} == {e.id for e in all_of}
        by_position = sorted(all_of, key=lambda e: e.position or 0)
        assert [e.id for e in by_position] != [e.id for e in all_of]  # they did end out of order
        for partner_id in (partner.id, other.id):
            verify(await world.events(partner_id))


def verify(log: list[Event]) -> None:
    """Recompute positions, commitments and chain, from what the rows say and nothing else."""
    chained = b""
    for position, event in enumerate(sorted(log, key=lambda e: e.position or 0), start=1):
        assert event.position == position
        assert event.salt is not None
        details = orjson.dumps(event.details, option=orjson.OPT_SORT_KEYS)
        assert event.details_hash == hashlib.sha256(event.salt + details).digest()
        facts = [event.partner_id, event.id, event.type, event.subject_type, event.subject_id, event.account_id,
                 event.actor.value, event.actor_id, event.on_behalf_of, event.request_id,
                 f"{event.created_at.timestamp():.6f}", event.origin_hash.hex()]  # fmt: skip
        plain = json.dumps([str(f) if f is not None else None for f in facts], ensure_ascii=False).encode()
        chained = hashlib.sha256(chained + position.to_bytes(8, "big") + plain + event.details_hash).digest()
        assert event.hash == chained, position


async def many_events(world: World, number: int) -> Partner:
    partner = await world.partner()
    await world.worker().number_all()
    access = Access(Caller(new_id(), new_id()), partner.id, frozenset({Role.PARTNER_ADMIN}))
    async with world.transaction(partner.id) as db:
        for n in range(number):
            events.record(db, access, "partner.updated", partner, after={"number": n})
    return partner


async def unnumbered(world: World, partner: Partner) -> int:
    async with world.transaction(partner.id) as db:
        return await db.scalar(select(func.count()).select_from(Event).where(Event.position.is_(None))) or 0


async def test_backlog_of_more_events_than_are_numbered_at_once_is_numbered_in_one_turn(world: World):
    partner = await many_events(world, 2 * EVENTS_AT_ONCE + 1)
    assert await unnumbered(world, partner) == 2 * EVENTS_AT_ONCE + 1
    await world.worker().number_all()
    assert await unnumbered(world, partner) == 0


async def test_worker_does_not_wait_for_another_that_numbers_the_same_log(world: World):
    partner = await many_events(world, 3)
    async with world.begin() as another:
        await another.execute(select(func.number_events(partner.id, 0)))  # its transaction stays open
        async with asyncio.timeout(2):
            await world.worker().number_all()
        assert await unnumbered(world, partner) == 3
    await world.worker().number_all()
    assert await unnumbered(world, partner) == 0


async def test_chain_shows_any_later_change(world: World, server: Server, database: str):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna = await world.client("Anna")
    for name in "ABC":
        assert (await anna.post(f"/v1/partners/{partner.id}/accounts", json={"name": name})).status_code == 201
    await world.worker().number_all()
    verify(await world.events(partner.id))
    for change in ("type = 'account.archived'", "actor_id = gen_random_uuid()", "created_at = created_at + interval '1 s'",
                   "details = jsonb_set(details, '{after,name}', '\"X\"')", "request_id = 'x'"):  # fmt: skip
        where = f"partner_id = '{partner.id}' AND position = 2"
        await server.execute(
            "CREATE TABLE kept AS SELECT * FROM events", f"UPDATE events SET {change} WHERE {where}", database=database
        )
        with pytest.raises(AssertionError):
            verify(await world.events(partner.id))
        await server.execute(
            f"DELETE FROM events WHERE {where}", f"INSERT INTO events SELECT * FROM kept WHERE {where}",
            "DROP TABLE kept", database=database,
        )  # fmt: skip
        verify(await world.events(partner.id))
    await server.execute(f"DELETE FROM events WHERE partner_id = '{partner.id}' AND position = 3", database=database)
    with pytest.raises(AssertionError):
        verify(await world.events(partner.id))


async def test_erased_details_leave_the_chain_whole(world: World, server: Server, database: str):
    """What is personal goes, with its salt; that it happened, and when, still verifies."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna = await world.client("Anna")
    await anna.post(f"/v1/partners/{partner.id}/accounts", json={"name": "A"})
    await world.worker().number_all()
    before = {e.position: e.hash for e in await world.events(partner.id)}
    await server.execute(
        f"UPDATE events SET details = NULL, salt = NULL WHERE partner_id = '{partner.id}'", database=database
    )
    recomputed = """
        SELECT bool_and(hash = sha256(coalesce(previous, ''::bytea) || int8send(position) || event_facts(e) || details_hash))
          FROM (SELECT *, lag(hash) OVER (ORDER BY position) AS previous FROM events WHERE partner_id = '{}') numbered
          JOIN events e USING (partner_id, id, position, hash, details_hash)
    """
    engine = create_async_engine(server.url(database, owner=True), poolclass=NullPool)
    async with engine.connect() as connection:
        assert await connection.scalar(text(recomputed.format(partner.id))) is True
    await engine.dispose()
    assert {e.position: e.hash for e in await world.events(partner.id)} == before


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET type = 'x'", "DELETE FROM events", "TRUNCATE events", "DROP TABLE events",
                  "UPDATE events SET position = 1", "ALTER TABLE events DISABLE ROW LEVEL SECURITY"]
)  # fmt: skip
async def test_role_of_the_service_cannot_change_what_happened(world: World, statement: str):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    before = [(e.id, e.type) for e in await world.events(partner.id)]
    assert before
    with pytest.raises(DBAPIError) as refused:
        async with world.transaction(partner.id) as db:
            await (await db.connection()).exec_driver_sql(statement)
    assert sqlstate(refused.value) == "42501"
    assert [(e.id, e.type) for e in await world.events(partner.id)] == before


# --- what others see of it ---


async def test_readiness_names_what_fails(world: World, server: Server, database: str):
    anonymous = await world.client()

    async def failed() -> list[str]:
        answer = await anonymous.get("/health/ready")
        assert problem(answer) == (503, "unavailable")
        return [e["code"] for e in answer.json()["errors"]]

    assert await failed() == ["worker"]
    await server.execute("CREATE TABLE kept AS TABLE alembic_version", "DELETE FROM alembic_version", database=database)
    assert await failed() == ["migrations", "worker"]
    await world.worker().beat()
    assert await failed() == ["migrations"]
    await server.execute("INSERT INTO alembic_version TABLE kept", database=database)
    assert (await anonymous.get("/health/ready")).status_code == 200
    await close(server, database)
    assert await failed() == ["database"]
    await reopen(server, database)
    assert (await anonymous.get("/health/ready")).status_code == 200


async def test_figures_show_the_outbox_as_last_measured_even_while_the_database_is_away(
    world: World, server: Server, database: str
):
    _, partner = await one_invitation(world)
    async with world.transaction(partner.id) as db:
        await db.execute(update(Delivery).values(due_at=utc_now() - timedelta(seconds=90)))
    await world.worker().beat()
    await close(server, database)
    shown = await (await world.client()).get("/metrics")
    await reopen(server, database)
    assert shown.status_code == 200
    figures = dict(re.findall(r"^(tenantry_(?:outbox|pool)_\w+) ([\d.]+)$", shown.text, re.MULTILINE))
    assert (figures["tenantry_outbox_depth"], figures["tenantry_pool_connections_max"]) == ("1.0", "8.0")
    assert 90 <= float(figures["tenantry_outbox_age_seconds"]) < 120


async def test_worker_says_that_it_lives(world: World):
    anonymous = await world.client()
    assert (await anonymous.get("/health/ready")).status_code == 503
    await world.worker().beat()
    ready = await anonymous.get("/health/ready")
    assert (ready.status_code, ready.json()["checks"]["worker"]) == (200, True)


async def test_what_cannot_be_cleaned_up_keeps_nothing_else_from_it(world: World, server: Server, database: str):
    old = utc_now() - timedelta(days=2)
    async with world.transaction(PLATFORM) as db:
        db.add_all(
            [Throttle(key=b"x", failures=1, blocked_until=old), UsedAssertion(assertion_hash=b"x", expires_at=old)]
        )
    await server.execute("ALTER TABLE throttles RENAME TO counters", database=database)
    with structlog.testing.capture_logs() as logged:
        await world.worker().clean_up()
    assert [(e["event"], e["work"]) for e in logged] == [("work failed", "clean up throttles")]
    async with world.transaction(PLATFORM) as db:
        assert (await db.scalars(select(UsedAssertion))).all() == []
