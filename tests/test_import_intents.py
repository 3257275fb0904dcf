"""Imports that look ahead: at the next rows, while those before are being done."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import delete, update

from app import importing
from app.models import PartnerMember
from app.policy import Role
from app.services import import_intents
from tests.conftest import World
from tests.test_import_jobs import confirmed
from tests.test_imports import STAR, Desk
from tests.test_price_models import offer


@dataclass
class Lookouts:
    """Ten rows a batch: how often a look was taken ahead, and how often with locks; and what happens behind the first."""

    ahead: int = 0
    locked: int = 0
    meanwhile: Callable[[], Awaitable[object]] | None = None


@pytest.fixture
def lookouts(monkeypatch: pytest.MonkeyPatch) -> Lookouts:
    found = Lookouts()
    intended, foreseen = import_intents.intended, import_intents.foreseen

    async def counted(*arguments: Any, lock: bool) -> Any:
        found.locked += lock
        return await intended(*arguments, lock=lock)

    async def ahead(*arguments: Any) -> Any:
        intent = await foreseen(*arguments)
        found.ahead += 1
        if found.meanwhile and found.ahead == 1:
            await found.meanwhile()
        return intent

    monkeypatch.setattr(importing, "BATCH", 10)
    monkeypatch.setattr(import_intents, "intended", counted)
    monkeypatch.setattr(import_intents, "foreseen", ahead)
    return found


async def test_rows_are_looked_at_while_those_before_are_done_and_see_what_those_take(world: World, lookouts: Lookouts):
    desk = await Desk.of(world)
    await desk.define("number", "text", unique=True)
    await desk.define("code", "text", unique=True)
    rows = [f"{n},A{n},{n}" for n in range(60)]
    rows[15] = "15,a5,15"  # a name, and a value, of the batch before
    rows[27] = "27,A27,12"
    rows[38] = "38,A2,38"
    found = await desk.checked("number,name,code\n" + "\n".join(rows) + "\n", match="number")
    expected = [(17, "name", "name_taken"), (29, "code", "value_taken"), (40, "name", "name_taken")]
    assert [e[:3] for e in await desk.errors(found["id"])] == expected
    assert (await desk.confirm(found["id"], skip_errors="true")).status_code == 200
    await desk.work()
    done = await desk.get(found["id"])
    assert (done["status"], done["result"]) == ("done", found["planned"])
    assert [e[:3] for e in await desk.errors(found["id"])] == expected
    assert (lookouts.ahead, lookouts.locked) == (5, 1 + 3)  # refused for what was found: looked at again


async def test_what_is_freed_by_a_batch_is_free_for_the_next(world: World, lookouts: Lookouts):
    desk = await Desk.of(world)
    await desk.define("number", "text", unique=True)
    await desk.imported("number,name\nK0,First\n", match="number")
    rows = ["K0,Renamed", *(f"K{n},A{n}" for n in range(1, 10)), "K10,First"]
    found = await confirmed(desk, "number,name\n" + "\n".join(rows) + "\n", match="number")
    lookouts.locked = 0
    await desk.work()
    assert (await desk.get(found))["result"] == {"created": 10, "updated": 1, "unchanged": 0, "errors": 0}
    assert (lookouts.ahead, lookouts.locked) == (0, 2)


async def test_accounts_that_others_open_behind_a_look_ahead_are_found_by_the_next_look(
    world: World, lookouts: Lookouts
):
    desk = await Desk.of(world)
    found = await confirmed(desk, "name\n" + "".join(f"A{n}\n" for n in range(40)), mode="create")
    lookouts.meanwhile = lambda: desk.api.post(f"{desk.path}/accounts", json={"name": "a15"})
    await desk.work()
    done = await desk.get(found)
    assert done["result"] == {"created": 39, "updated": 0, "unchanged": 0, "errors": 1}
    assert [e[:3] for e in await desk.errors(found)] == [(17, "name", "account_exists")]
    assert lookouts.locked == 2
    made = [e for e in await world.events(desk.partner.id) if e.type == "account.created"]
    assert len(made) == 40


async def test_an_account_that_is_restored_behind_a_look_ahead_is_changed(world: World, lookouts: Lookouts):
    desk = await Desk.of(world)
    await desk.define("number", "text", unique=True)
    await desk.imported("number,name\nK15,Old\n", match="number")
    old = f"{desk.path}/accounts/{(await desk.accounts())['Old']['id']}"
    found = await confirmed(desk, "number,name\n" + "".join(f"K{n},A{n}\n" for n in range(20)), match="number")
    assert (await desk.api.delete(old, headers=STAR)).status_code == 204
    lookouts.meanwhile = lambda: desk.api.post(f"{old}/restore")
    await desk.work()
    assert (lookouts.ahead, (await desk.api.get(old)).json()["name"]) == (1, "A15")
    assert (await desk.get(found))["result"] == {"created": 19, "updated": 1, "unchanged": 0, "errors": 0}


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [("price_model", "gold", "archived_price_model"), ("manager", "max@example.com", "not_a_partner_member"),
     ("grade", "best", "not_editable"), ("grade", "too long", "string_too_long")],
    ids=["a price model is archived", "a member is removed", "the importer is demoted", "a definition changes"],
)  # fmt: skip
async def test_what_changes_behind_a_look_ahead_counts(
    world: World, lookouts: Lookouts, column: str, value: str, code: str
):
    desk = await Desk.of(world)
    operator, max_ = await world.client("Olivia", operator=True), await world.user("Max")
    await offer(operator, "gold")
    async with world.transaction(desk.partner.id) as db:
        db.add(PartnerMember(partner_id=desk.partner.id, user_id=max_.id, role=Role.PARTNER_MANAGER))
    await desk.define("manager", "user")
    await desk.define("grade", "text", **({"editable_by": ["partner_admin"]} if code == "not_editable" else {}))
    rows = "".join(f"A{n},{value if n >= 10 else ''}\n" for n in range(20))
    found = await confirmed(desk, f"name,{column}\n{rows}")

    async def meanwhile() -> None:
        if code == "string_too_long":
            answer = await desk.api.patch(f"{desk.path}/properties/grade", json={"max_length": 5}, headers=STAR)
            assert answer.status_code == 200, answer.text
        elif code == "archived_price_model":
            assert (await operator.post("/v1/price-models/gold/archive")).status_code == 200
        else:
            members = PartnerMember.user_id == (max_.id if column == "manager" else (await world.user("Anna")).id)
            async with world.transaction(desk.partner.id) as db:
                await db.execute(delete(PartnerMember).where(members) if column == "manager" else
                                 update(PartnerMember).where(members).values(role=Role.PARTNER_MANAGER))  # fmt: skip

    lookouts.meanwhile = meanwhile
    await desk.work()
    reader = Desk(world, desk.partner, operator)
    assert {e[1:3] for e in await reader.errors(found)} == {(column, code)}
    assert (await reader.get(found))["result"] == {"created": 10, "updated": 0, "unchanged": 0, "errors": 10}


async def test_a_look_ahead_that_fails_costs_nothing_but_its_time(world: World, lookouts: Lookouts):
    desk = await Desk.of(world)
    found = await confirmed(desk, "name\n" + "".join(f"A{n}\n" for n in range(30)))

    async def broken() -> None:
        raise ZeroDivisionError

    lookouts.meanwhile = broken
    await desk.work()
    assert ((await desk.get(found))["result"]["created"], lookouts.ahead) == (30, 2)


async def test_a_worker_that_is_stopped_during_a_look_ahead_leaves_no_file(world: World, lookouts: Lookouts):
    desk = await Desk.of(world)
    await confirmed(desk, "name\n" + "".join(f"A{n}\n" for n in range(30)))
    looking, worker = asyncio.Event(), world.worker()

    async def for_ever() -> None:
        looking.set()
        await asyncio.Event().wait()

    lookouts.meanwhile = for_ever
    for _ in range(2):  # the file is fetched, the first batch done
        assert await worker.importer.step(desk.partner.id)
    await looking.wait()
    (reader,) = worker.importer.readers.values()
    assert reader.path.exists()
    work = asyncio.create_task(worker.importer.step(desk.partner.id))
    await asyncio.sleep(0)  # it waits for the second
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (reader.path.exists(), worker.importer.readers) == (False, {})
