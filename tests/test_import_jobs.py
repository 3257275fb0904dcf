"""Imports as jobs: cancelled, killed, taken over, raced, and without the right to go on."""

import asyncio
import random
import time
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from app import importing
from app.config import Settings
from app.models import AccountImport, ImportStatus, Partner, PartnerMember, User, UserStatus
from app.models.partner import PartnerStatus
from app.policy import Role
from app.services import import_intents, import_writes
from tests.conftest import Owner, World, problem, running
from tests.test_imports import STAR, Desk
from tests.test_mail import posting, start_worker
from tests.test_worker import until


def names(count: int, first: int = 0) -> str:
    return "name,number\n" + "".join(f"Account {n},K{n}\n" for n in range(first, first + count))


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 10)


async def confirmed(desk: Desk, text: str, **told: str) -> str:
    """An import that waits for a worker to do it."""
    found = await desk.checked(text, **told)
    answer = await desk.confirm(found["id"], skip_errors="true")
    assert answer.status_code == 200, answer.text
    return found["id"]


async def cancel(desk: Desk, import_id: str) -> tuple[int, str]:
    answer = await desk.api.post(f"{desk.path}/account-imports/{import_id}/cancel")
    return (200, answer.json()["status"]) if answer.status_code == 200 else problem(answer)


# --- cancelled ---


async def test_an_import_is_cancelled_in_each_state_and_not_after_its_end(world: World):
    desk = await Desk.of(world)
    checking = (await desk.upload("name\nA\n")).json()["id"]
    assert problem(await desk.confirm(checking)) == (409, "import_not_checked")
    assert await cancel(desk, checking) == (200, "cancelled")
    checked = (await desk.checked("name\nA\n"))["id"]
    assert await cancel(desk, checked) == (200, "cancelled")
    running_ = await confirmed(desk, "name\nA\n")
    assert problem(await desk.confirm(running_)) == (409, "import_not_checked")
    assert await cancel(desk, running_) == (200, "cancelled")
    await desk.work()
    assert await desk.accounts() == {}
    done = (await desk.imported("name\nA\n"))["id"]
    failed = (await desk.checked("x\nA\n"))["id"]
    for ended in (checking, checked, running_, done, failed):
        assert await cancel(desk, ended) == (409, "import_finished")
        assert problem(await desk.confirm(ended)) == (409, "import_not_checked")


@pytest.mark.usefixtures("small_batches")
async def test_a_running_import_stops_within_a_batch_and_keeps_what_it_did(world: World):
    desk = await Desk.of(world)
    found = await confirmed(desk, "name\n" + "".join(f"A{n}\n" for n in range(50)))
    worker = world.worker()
    for _ in range(4):  # the file is fetched, then three batches are done
        assert await worker.importer.step(desk.partner.id)
    assert await cancel(desk, found) == (200, "cancelled")
    await worker.import_all()
    ended = await desk.get(found)
    assert (ended["status"], ended["rows_done"], ended["rows_total"]) == ("cancelled", 30, 50)
    assert ended["result"] == {"created": 30, "updated": 0, "unchanged": 0, "errors": 0}
    assert len(await desk.accounts()) == 30
    event = (await world.events(desk.partner.id))[-1]
    assert (event.type, (event.details or {})["after"]["result"]["created"]) == ("account_import.cancelled", 30)


async def test_a_file_that_nobody_confirms_is_gone_after_a_day(world: World, owner: Owner):
    desk = await Desk.of(world)
    found = await desk.checked("name\nA\n")
    await desk.work()
    assert (await desk.get(found["id"]))["status"] == "checked"
    await owner.execute("UPDATE account_imports SET updated_at = updated_at - interval '1 day'")
    await desk.work()
    ended = await desk.get(found["id"])
    assert (ended["status"], ended["failure"]["code"]) == ("failed", "expired")
    assert await owner.value("SELECT count(*) FROM account_import_chunks") == 0
    await owner.execute("UPDATE account_imports SET finished_at = finished_at - interval '91 days'")
    await world.worker().clean_up()
    assert await owner.value("SELECT count(*) FROM account_imports") == 0


# --- taken over ---


@pytest.mark.usefixtures("small_batches")
async def test_another_worker_goes_on_behind_the_last_batch_when_the_lease_is_over(world: World, owner: Owner):
    desk = await Desk.of(world)
    text = "name\n" + "".join(f"A{n}\n" for n in range(35)) + "A3\nB\n"
    checked = (await desk.upload(text)).json()["id"]
    first, second = world.worker(), world.worker()
    await first.importer.step(desk.partner.id)
    await first.importer.step(desk.partner.id)
    await second.import_all()
    assert (await desk.get(checked))["rows_done"] == 10  # leased
    await owner.execute("UPDATE account_imports SET leased_until = now() - interval '1 second'")
    await second.import_all()  # a dry run begins again: what was seen of the file is gone
    found = await desk.get(checked)
    assert (found["status"], found["planned"]) == (
        "checked",
        {"created": 36, "updated": 0, "unchanged": 0, "errors": 1},
    )
    await desk.confirm(checked, skip_errors="true")
    await first.importer.step(desk.partner.id)  # drops what it had
    await first.importer.step(desk.partner.id)
    await first.importer.step(desk.partner.id)
    assert (await desk.get(checked))["rows_done"] == 10
    await owner.execute("UPDATE account_imports SET leased_until = now() - interval '1 second'")
    await second.import_all()
    await first.import_all()  # it believes to have it still, and sees that it has not
    done = await desk.get(checked)
    assert (done["status"], done["result"]) == ("done", found["planned"])
    assert [e[:3] for e in await desk.errors(checked)] == [(37, "name", "duplicate_row")]
    assert len(await desk.accounts()) == 36


@pytest.mark.usefixtures("small_batches")
async def test_two_workers_at_once_do_each_row_once(world: World):
    desk = await Desk.of(world)
    await desk.define("number", "text", unique=True)
    found = [await confirmed(desk, names(60, first)) for first in (0, 1000)]
    workers = [world.worker() for _ in range(3)]
    for _ in range(50):
        await asyncio.gather(*(w.import_all() for w in workers))
        if {(await desk.get(i))["status"] for i in found} == {"done"}:
            break
    assert [(await desk.get(i))["result"]["created"] for i in found] == [60, 60]
    assert len(await desk.accounts()) == 120
    assert len([e for e in await world.events(desk.partner.id) if e.type == "account.created"]) == 120


@pytest.mark.slow
async def test_workers_killed_in_mid_run_leave_nothing_doubled_and_nothing_lost(settings: Settings, owner: Owner):
    rows, kills = 12_000, 5
    dice = random.Random(7)
    short = posting(settings, "smtp://127.0.0.1:9").model_copy(update={"lease_seconds": 1})
    async with running(short) as world:
        desk = await Desk.of(world)
        await desk.define("number", "text", unique=True)
        await world.worker().refresh_all()
        found = await confirmed(desk, names(rows))
        log = settings.data_dir / "workers.log"
        for _ in range(kills):
            before = (await desk.get(found))["rows_done"]
            process = start_worker(world.settings, log, TENANTRY_LEASE_SECONDS="1")
            await until(60, lambda before=before: _beyond(desk, found, before))
            await asyncio.sleep(dice.uniform(0, 0.3))
            process.kill()
            process.wait()
        assert (await desk.get(found))["status"] == "running"  # it was killed while there was something to do
        last = start_worker(world.settings, log, TENANTRY_LEASE_SECONDS="1")
        try:
            await until(120, lambda: _ended(desk, found))
        finally:
            last.terminate()
            last.wait(20)
        done = await desk.get(found)
        assert (done["status"], done["rows_done"]) == ("done", rows)
        assert done["result"] == {"created": rows, "updated": 0, "unchanged": 0, "errors": 0}
        for table in ("accounts", "account_members", "unique_values"):
            assert await owner.value(f"SELECT count(*) FROM {table}") == rows, table
        assert await owner.value("SELECT count(*) FROM events WHERE type = 'account.created'") == rows


async def _beyond(desk: Desk, import_id: str, rows: int) -> bool:
    return (await desk.get(import_id))["rows_done"] > rows


async def _ended(desk: Desk, import_id: str) -> bool:
    return (await desk.get(import_id))["status"] not in ("checking", "running")


# --- without the right to go on ---


def change(reason: str, anna: User) -> Any:
    match reason:
        case "demoted":
            return update(PartnerMember).where(PartnerMember.user_id == anna.id).values(role=Role.PARTNER_VIEWER)
        case "removed":
            return delete(PartnerMember).where(PartnerMember.user_id == anna.id)
        case "user_suspended":
            return update(User).where(User.id == anna.id).values(status=UserStatus.SUSPENDED)
        case "partner_suspended":
            return update(Partner).values(status=PartnerStatus.SUSPENDED)
        case _:
            return update(Partner).values(partner_management_enabled=False)


REASONS = ("demoted", "removed", "user_suspended", "partner_suspended", "partner_management_off")


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("reason", REASONS)
async def test_an_importer_who_may_not_any_more_stops_in_the_middle(world: World, reason: str, owner: Owner):
    desk = await Desk.of(world)
    anna = await world.user("Anna")
    found = await confirmed(desk, "name\n" + "".join(f"A{n}\n" for n in range(30)))
    worker = world.worker()
    await worker.importer.step(desk.partner.id)
    await worker.importer.step(desk.partner.id)
    async with world.transaction(desk.partner.id) as db:
        await db.execute(change(reason, anna))
    await worker.import_all()
    (ended,) = await owner.rows("SELECT status, failure->>'code' AS code, rows_done, result FROM account_imports")
    code = reason if reason.startswith("partner") else "not_allowed"
    assert (ended["status"], ended["code"], ended["rows_done"]) == ("failed", code, 10)
    assert await owner.value("SELECT count(*) FROM accounts") == 10
    assert found


async def test_operators_import_while_the_partner_is_off_and_become_admins(world: World):
    desk = await Desk.of(world)
    boss = Desk(world, desk.partner, await world.client("Olga", operator=True))
    async with world.transaction(desk.partner.id) as db:
        await db.execute(update(Partner).values(partner_management_enabled=False))
    assert problem(await desk.upload("name\nA\n")) == (403, "partner_management_off")
    await boss.imported("name\nA\n")
    event = next(e for e in await world.events(desk.partner.id) if e.type == "account.created")
    assert (event.actor, event.actor_id) == ("operator", (await world.user("Olga")).id)


async def test_viewers_see_imports_and_make_none(world: World):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN, Vera=Role.PARTNER_VIEWER)
    desk = Desk(world, partner, await world.client("Anna"))
    vera = Desk(world, partner, await world.client("Vera"))
    found = await desk.checked("name\nA\n")
    assert (await vera.get(found["id"]))["status"] == "checked"
    for answer in (await vera.upload("name\nA\n"), await vera.confirm(found["id"])):
        assert problem(answer) == (403, "forbidden")


# --- while others write ---


async def test_definitions_that_change_between_check_and_run_are_the_new_ones(world: World):
    desk = await Desk.of(world)
    await desk.define("city", "text")
    await desk.define("size", "number")
    found = await confirmed(desk, "name,city,size\nA,Kiel,1\nB,A very long name of a place,2\n")
    answer = await desk.api.patch(f"{desk.path}/properties/city", json={"max_length": 10}, headers=STAR)
    assert answer.status_code == 200, answer.text
    await desk.work()
    assert (await desk.get(found))["result"] == {"created": 1, "updated": 0, "unchanged": 0, "errors": 1}
    assert [e[:3] for e in await desk.errors(found)] == [(3, "city", "string_too_long")]
    second = await confirmed(desk, "name,city,size\nC,Kiel,1\n")
    assert (await desk.api.post(f"{desk.path}/properties/size/archive")).status_code == 200
    await desk.work()
    ended = await desk.get(second)
    assert (ended["status"], ended["failure"]["code"]) == ("failed", "unknown_columns")


async def test_what_others_took_since_the_dry_run_is_an_error_of_its_row(world: World):
    desk = await Desk.of(world)
    await desk.define("number", "text", unique=True)
    found = await confirmed(desk, "number,name\nK1,A\nK2,B\nK3,C\n", match="number")
    for body in ({"name": "B"}, {"name": "D", "properties": {"number": "K3"}}):
        assert (await desk.api.post(f"{desk.path}/accounts", json=body)).status_code == 201
    await desk.work()
    done = await desk.get(found)
    assert done["result"] == {"created": 1, "updated": 1, "unchanged": 0, "errors": 1}
    assert [e[:3] for e in await desk.errors(found)] == [(3, "name", "name_taken")]
    assert sorted(await desk.accounts()) == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("body", "lost"),
    [({"name": "b"}, (3, "name", "name_taken")),
     ({"name": "Nordwerk"}, (4, "name", "name_taken")),
     ({"name": "X", "properties": {"number": "k3"}}, (5, "number", "value_taken"))],
    ids=["new name", "new name of an old account", "unique value"],
)  # fmt: skip
async def test_what_is_taken_between_the_look_and_the_write_costs_that_row_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], lost: tuple[int, str, str]
):
    """Another caller is let in at the worst moment, once."""
    desk = await Desk.of(world)
    await desk.define("number", "text", unique=True)
    await desk.imported("name,number\nNord,K2\n")
    nord = (await desk.accounts())["Nord"]["id"]
    found = await confirmed(desk, f"id,name,number\n,A,K0\n,B,K1\n{nord},Nordwerk,K2\n,C,K3\n")
    write, taken = importing.import_steps.import_writes.write, list[int]()

    async def late(*arguments: Any) -> None:
        if not taken:
            taken.append((await desk.api.post(f"{desk.path}/accounts", json=body)).status_code)
        await write(*arguments)

    monkeypatch.setattr(importing.import_steps.import_writes, "write", late)
    await desk.work()
    done = await desk.get(found)
    assert (taken, done["status"], done["result"]["errors"]) == ([201], "done", 1)
    assert [e[:3] for e in await desk.errors(found)] == [lost]
    assert len(await desk.accounts()) == 4 + (lost[0] == 4)
    made = [e for e in await world.events(desk.partner.id) if e.type == "account.created"]
    assert len(made) == 4 + (lost[0] == 4)


async def test_an_import_that_others_are_in_the_way_of_every_time_goes_on_later(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
):
    desk = await Desk.of(world)
    found = await confirmed(desk, "name\nA\nB\n")
    worker = world.worker()

    async def raced(*_: object) -> None:
        raise import_writes.Raced

    with monkeypatch.context() as patch:
        patch.setattr(import_writes, "write", raced)
        await worker.import_all()
    left = await desk.get(found)
    assert (left["status"], left["rows_done"], left["failure"]) == ("running", 0, None)
    assert await owner.value("SELECT count(*) FROM account_import_chunks") == 1
    assert (worker.importer.readers, await desk.accounts()) == ({}, {})
    await worker.import_all()
    done = await desk.get(found)
    assert (done["status"], done["result"]["created"], sorted(await desk.accounts())) == ("done", 2, ["A", "B"])


@pytest.mark.slow
@pytest.mark.usefixtures("small_batches")
async def test_names_and_unique_values_wanted_by_imports_and_callers_at_once_are_had_once(
    settings: Settings, owner: Owner
):
    async with running(settings.model_copy(update={"pool_timeout_seconds": 60})) as world:
        desk = await Desk.of(world)
        await desk.define("number", "text", unique=True)
        await world.worker().refresh_all()
        rows = 200
        by_name = "name,number\n" + "".join(f"N{n},K{(n * 7) % rows}\n" for n in range(rows))
        backwards = "name,number\n" + "".join(f"n{n},k{(n * 11) % rows}\n" for n in reversed(range(rows)))
        found = [await confirmed(desk, by_name, mode="create"), await confirmed(desk, backwards, mode="create")]
        ended = asyncio.Event()

        async def import_until_done() -> None:
            worker = world.worker()
            while not ended.is_set():
                await worker.import_all()
                if all([await _ended(desk, i) for i in found]):
                    ended.set()

        async def call(turn: int) -> None:
            n = turn
            while not ended.is_set():
                n = (n + 13) % rows
                body = {"name": f"N{n}", "properties": {"number": f"K{(n * 3) % rows}"}}
                answer = await desk.api.post(f"{desk.path}/accounts", json=body)
                assert answer.status_code in (201, 409), answer.text

        await asyncio.gather(import_until_done(), import_until_done(), *(call(n) for n in range(4)))
        done = [await desk.get(i) for i in found]
        assert [d["status"] for d in done] == ["done", "done"]
        for d in done:
            assert d["result"]["created"] + d["result"]["errors"] == rows
        assert await owner.value("SELECT count(*) - count(DISTINCT name_key) FROM accounts") == 0
        numbers = (
            "SELECT count(*) - count(DISTINCT lower(properties->>'number')) FROM accounts WHERE properties ? 'number'"
        )
        assert await owner.value(numbers) == 0
        held = "SELECT count(*) FROM accounts WHERE properties ? 'number'"
        assert await owner.value(held) == await owner.value("SELECT count(*) FROM unique_values")
        made = "SELECT count(*) FROM events WHERE type = 'account.created'"
        assert await owner.value(made) == await owner.value("SELECT count(*) FROM accounts")


@pytest.mark.usefixtures("small_batches")
async def test_partners_take_turns_so_that_a_long_import_delays_no_short_one(world: World):
    long, short = await Desk.of(world), await Desk.of(world, "Rival", "Rita")
    first = (await long.checked("name\n" + "".join(f"A{n}\n" for n in range(300))))["id"]
    second = (await short.checked("name\nB\n"))["id"]
    assert (await long.confirm(first)).status_code == (await short.confirm(second)).status_code == 200
    await world.worker().import_all()
    ended = datetime.fromisoformat((await short.get(second))["finished_at"])
    made = [e for e in await world.events(long.partner.id) if e.type == "account.created"]
    assert (len(made), (await long.get(first))["status"]) == (300, "done")
    assert len([e for e in made if e.created_at < ended]) < 60


@pytest.mark.slow
async def test_a_hundred_thousand_rows_pass_and_one_more_does_not(world: World):
    desk = await Desk.of(world)
    many = "name\n" + "\n".join(f"A{n}" for n in range(100_001))
    found = await desk.checked(many)
    assert (found["status"], found["failure"]["code"]) == ("failed", "too_many_rows")
    start = time.monotonic()
    found = await desk.checked(many.rpartition("\n")[0])
    assert (found["status"], found["planned"]["created"]) == ("checked", 100_000)
    assert time.monotonic() - start < 120


async def test_a_mistake_of_ours_ends_the_import_and_no_other(world: World, monkeypatch: pytest.MonkeyPatch):
    desk, other = await Desk.of(world), await Desk.of(world, "Rival", "Rita")
    bad = (await desk.upload("name\nA\n")).json()["id"]

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(import_intents, "intended", broken)
        await desk.work()
    ended = await desk.get(bad)
    assert (ended["status"], ended["failure"]["code"]) == ("failed", "internal_error")
    await other.imported("name\nA\n")
    async with world.transaction(desk.partner.id) as db:
        assert (await db.scalars(select(AccountImport.status))).all() == [ImportStatus.FAILED]
