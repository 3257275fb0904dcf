"""Values and definitions that change at the same time: what is kept follows the definitions that are in force."""

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from app.config import Settings
from app.models import PropertyType
from app.policy import Role
from app.services import refreshes, values
from tests.conftest import Owner, World, problem, running
from tests.test_properties import NOTE, change, define, opened, stage, values_of
from tests.test_races import PATIENT, tally

STAR = {"If-Match": "*"}
pytestmark = pytest.mark.slow


async def follows(owner: Owner) -> Counter[str]:
    """Checks that every slot holds what its column's value makes, and nothing else is left; how many values."""
    columns = await owner.rows("SELECT key, type, slot, filterable, stale FROM properties")
    by_slot = {c["slot"]: c for c in columns if c["slot"]}
    found = Counter[str]()
    for row in await owner.rows("SELECT * FROM accounts"):
        kept: dict[str, Any] = json.loads(row["properties"])
        assert kept.keys() <= {c["key"] for c in columns}, "a value of a deleted column is left"
        for n in range(1, 13):
            for slot in (f"t{n}", f"n{n}"):
                column = by_slot.get(slot)
                value = kept.get(column["key"]) if column else None
                make = values.KINDS[PropertyType(column["type"])].slot if column else None
                expected = make(value) if make and value is not None else None
                assert row[slot] == expected, (slot, column, value)
        found.update(kept.keys())
    assert not any(c["stale"] for c in columns)
    return found


async def test_of_fifty_who_want_one_unique_value_one_gets_it(settings: Settings):
    async with running(settings.model_copy(update=PATIENT)) as world:
        api, at = await stage(world)
        await define(api, at, NOTE | {"unique": True})
        answers = await asyncio.gather(*(
            api.post(f"{at}/accounts", json={"name": f"A{n}", "properties": {"note": "x" if n % 2 else "X"}})
            for n in range(50)
        ))  # fmt: skip
        assert tally(list(answers)) == {(201, None): 1, (409, "value_taken"): 49}
        assert len((await api.get(f"{at}/accounts")).json()["items"]) == 1


async def test_accounts_that_swap_unique_values_never_share_one(settings: Settings, owner: Owner):
    async with running(settings.model_copy(update=PATIENT)) as world:
        api, at = await stage(world)
        await define(api, at, NOTE | {"unique": True})
        here = [await opened(api, at, f"A{n}", note=f"v{n}") for n in range(4)]

        async def swap(n: int) -> None:
            for round_ in range(10):
                answer = await api.patch(here[n], headers=STAR, json={"properties": {"note": f"v{(n + round_) % 4}"}})
                assert answer.status_code in (200, 409, 503), answer.text  # 503: two wait for each other
                assert answer.status_code != 409 or problem(answer)[1] == "value_taken"

        await asyncio.gather(*(swap(n) for n in range(4)))
        found = {(await values_of(api, h))["note"] for h in here}
        assert len(found) == 4
        assert await owner.value("SELECT count(*) FROM unique_values") == 4


async def test_columns_come_and_go_while_twenty_write_and_every_slot_is_right_in_the_end(
    settings: Settings, owner: Owner
):
    async with running(settings.model_copy(update=PATIENT)) as world:
        api, at = await stage(world)
        await define(api, at, NOTE, {"key": "col0", "type": "text", "label": {"en": "C"}})
        here = [await opened(api, at, f"A{n}") for n in range(8)]
        done, statuses = asyncio.Event(), Counter[int]()

        async def write(n: int) -> None:
            turn = 0
            while not done.is_set():
                turn += 1
                for key, value in (("col0", f"Ä{n}-{turn}"), ("col1", n + turn / 2), ("note", f"N{turn}")):
                    change_ = {"properties": {key: value}}
                    answer = await (
                        api.patch(here[n % 8], json=change_, headers=STAR) if turn % 5 or n > 3
                        else api.post(f"{at}/accounts", json={"name": f"B{n}-{turn}-{key}", **change_})
                    )  # fmt: skip
                    assert answer.status_code in (200, 201, 422), answer.text
                    statuses[answer.status_code] += 1

        async def define_anew() -> None:
            for turn in range(6):
                old, new = f"col{turn % 2}", f"col{(turn + 1) % 2}"
                kind = "number" if new == "col1" else "text"
                assert (await api.delete(f"{at}/properties/{old}", headers=STAR)).status_code == 200
                await define(api, at, {"key": new, "type": kind, "label": {"en": "C"}})
                await asyncio.sleep(0.2)
                await world.worker().refresh_all()
                if turn % 3 == 0:
                    assert (await change(api, at, "note", filterable=turn % 2 == 1)).status_code == 200
            done.set()

        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(write(n))
            group.create_task(define_anew())
        await world.worker().refresh_all()
        assert (await follows(owner))["col0"] > 0
        assert statuses[200] > 0
        assert statuses[422] > 0
        assert statuses[201] > 0


async def test_a_lower_maximum_and_writers_leave_no_value_above_it(settings: Settings):
    async with running(settings.model_copy(update=PATIENT)) as world:
        api, at = await stage(world)
        await define(api, at, {"key": "n", "type": "number", "label": {"en": "N"}})
        here = [await opened(api, at, f"A{n}", n=1000) for n in range(8)]

        async def write(n: int) -> None:
            for turn in range(12):
                answer = await api.patch(here[n], json={"properties": {"n": 100 * (turn % 10)}}, headers=STAR)
                assert answer.status_code in (200, 422), answer.text

        async def lower() -> None:
            for most in (900, 600, 300):
                path = f"{at}/properties/n?on_conflict=clear"
                assert (await api.patch(path, json={"max": most}, headers=STAR)).status_code == 200
                found = [(await values_of(api, h))["n"] for h in here]
                assert all(f is None or f <= most for f in found), (most, found)

        await asyncio.gather(lower(), *(write(n) for n in range(8)))
        left = [(await values_of(api, h))["n"] for h in here]
        assert all(f is None or f <= 300 for f in left), left


async def test_a_refresh_that_is_killed_goes_on_where_it_was(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
):
    api, at = await stage(world)
    await define(api, at, NOTE, NOTE | {"key": "late", "filterable": False})
    for n in range(7):
        await opened(api, at, f"A{n}", note=f"x{n}", late=f"Y{n}")
    monkeypatch.setattr(refreshes, "BATCH", 2)
    partner_id = UUID(at.split("/")[-1])
    await api.delete(f"{at}/properties/note", headers=STAR)
    await change(api, at, "late", filterable=True)
    left = "SELECT count(*) FROM accounts WHERE properties ? 'note'"
    seen: list[int] = []

    async def die() -> None:
        async with world.transaction(partner_id) as db:  # before its commit: as if it had never been
            await refreshes.step(db, partner_id)
            await db.flush()
            raise RuntimeError("killed")

    for _ in range(20):
        with pytest.raises(RuntimeError, match="killed"):
            await die()
        async with world.transaction(partner_id) as db:
            more = await refreshes.step(db, partner_id)
        seen.append(await owner.value(left))
        if not more:
            break
    assert seen[:4] == [5, 3, 1, 0]
    assert await follows(owner) == {"late": 7}
    assert await owner.value("SELECT count(*) FROM properties") == 1


async def test_a_partner_refreshes_its_own_accounts_only(world: World, owner: Owner):
    api, at = await stage(world)
    await define(api, at, NOTE)
    await opened(api, at, "A", note="x")
    rival = await world.partner("Rival", Otto=Role.PARTNER_ADMIN)
    otto: AsyncClient = await world.client("Otto")
    there = f"/v1/partners/{rival.id}"
    await define(otto, there, NOTE)
    kept = await opened(otto, there, "A", note="mine")
    assert (await api.delete(f"{at}/properties/note", headers=STAR)).status_code == 200
    await world.worker().refresh_all()
    assert await values_of(otto, kept) == {"note": "mine"}
    assert await follows(owner) == {"note": 1}
