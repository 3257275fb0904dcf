"""The events feed: nothing is missed, nothing comes twice, and nothing sensitive leaves with it."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from app.config import Settings
from app.models import PLATFORM, Account, first_id, new_id, utc_now
from app.policy import Access, Caller, Role
from app.schemas.event import EventFeed
from app.services import events, feeds
from tests.conftest import Owner, World, problem, running
from tests.test_properties import define

STAR = {"If-Match": "*"}


async def stage(world: World) -> tuple[AsyncClient, str, UUID]:
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Mia=Role.PARTNER_MANAGER)
    return await world.client("Anna"), f"/v1/partners/{partner.id}", partner.id


async def feed(api: AsyncClient, at: str, **query: Any) -> Any:
    answer = await api.get(f"{at}/events", params=query)
    assert answer.status_code == 200, answer.text
    EventFeed.model_validate(answer.json())
    return answer.json()


async def test_events_come_in_order_with_what_changed(world: World):
    api, at, partner_id = await stage(world)
    made = (await api.post(f"{at}/accounts", json={"name": "Before"})).json()
    await api.patch(f"{at}/accounts/{made['id']}", json={"name": "After"}, headers=STAR)
    await world.worker().number_all()
    found = await feed(api, at)
    positions = [e["position"] for e in found["items"]]
    assert positions == list(range(1, len(await world.events(partner_id)) + 1))
    assert (found["cursor"], found["latest"], found["more"]) == (positions[-1], positions[-1], False)
    last = found["items"][-1]
    assert (last["type"], last["subject_id"], last["account_id"]) == ("account.updated", made["id"], made["id"])
    assert (last["actor"], last["actor_id"]) == ("user", str(world.people["Anna"].id))
    assert last["data"] == {"before": {"name": "Before"}, "after": {"name": "After"}}
    again = await feed(api, at, after=found["cursor"])
    assert (again["items"], again["cursor"]) == ([], found["cursor"])
    manager = await world.client("Mia")
    assert problem(await manager.get(f"{at}/events")) == (403, "forbidden")


async def test_filters_pass_over_the_rest_and_the_cursor_moves_on(world: World):
    api, at, _ = await stage(world)
    one, two = [(await api.post(f"{at}/accounts", json={"name": n})).json()["id"] for n in ("One", "Two")]
    await api.patch(f"{at}/accounts/{one}", json={"name": "Other"}, headers=STAR)
    await world.worker().number_all()
    changed = await feed(api, at, types=["account.updated", "account.archived"])
    assert [e["subject_id"] for e in changed["items"]] == [one]
    of_two = await feed(api, at, account_id=two)
    assert {e["account_id"] for e in of_two["items"]} == {two}
    assert of_two["cursor"] == of_two["latest"] > of_two["items"][-1]["position"]
    assert (await feed(api, at, types="claim.created"))["cursor"] == changed["latest"]


@pytest.mark.parametrize("path", ["events", "events/stream"])
async def test_a_type_that_there_is_not_is_refused_instead_of_waited_for(world: World, path: str):
    api, at, _ = await stage(world)
    answer = await api.get(f"{at}/{path}", params={"types": ["account.updated", "account.changed"]})
    assert problem(answer) == (422, "invalid")
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("query:types.1", "unknown_event_type")]


async def test_a_position_that_was_never_given_is_refused(world: World):
    api, at, _ = await stage(world)
    answer = await api.get(f"{at}/events", params={"after": 999})
    assert problem(answer) == (422, "invalid")
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("query:after", "invalid_cursor")]


async def test_whoever_comes_back_too_late_is_told(world: World, owner: Owner):
    api, at, partner_id = await stage(world)
    for name in ("A", "B"):
        await api.post(f"{at}/accounts", json={"name": name})
    await world.worker().number_all()
    late = (
        "UPDATE events SET created_at = now() - interval '91 days', id = overlay($2::text PLACING position::text FROM 36)"
        "::uuid WHERE partner_id = $1 AND position <= 2"
    )
    await owner.execute(late, partner_id, str(first_id(utc_now() - timedelta(days=91))))
    assert problem(await api.get(f"{at}/events", params={"after": 1})) == (410, "events_gone")
    assert (await feed(api, at, after=2))["items"] == (await feed(api, at))["items"] != []
    assert (await feed(api, at))["items"][0]["position"] == 3


async def test_values_of_sensitive_properties_stay_in_the_house(world: World):
    api, at, _ = await stage(world)
    text: dict[str, Any] = {"type": "text", "label": {"en": "Label"}}
    await define(api, at, {"key": "iban", "sensitive": True, **text}, {"key": "segment", **text})
    fields = {"name": "A", "properties": {"iban": "DE-CANARY", "segment": "large"}}
    assert (await api.post(f"{at}/accounts", json=fields)).status_code == 201
    view = {"name": "V", "all": [{"field": "properties.iban", "operator": "eq", "value": "DE-CANARY"}]}
    await api.post(f"{at}/views", json=view)
    await world.worker().number_all()
    answer = await api.get(f"{at}/events")
    assert "CANARY" not in answer.text
    (made,) = [e for e in answer.json()["items"] if e["type"] == "account.created"]
    assert made["data"]["after"]["properties"] == {"iban": None, "segment": "large"}


async def test_a_consumer_misses_nothing_of_fifty_writers(settings: Settings):
    async with running(settings.model_copy(update={"pool_size": 54})) as world:  # all of them write at once
        await follow_fifty(world)


async def follow_fifty(world: World) -> None:
    api, at, partner_id = await stage(world)
    made = (await api.post(f"{at}/accounts", json={"name": "A"})).json()
    async with world.transaction(partner_id) as db:
        account = await db.get_one(Account, (partner_id, UUID(made["id"])))
    anna = world.people["Anna"].id
    seen: list[Any] = []
    writing = True

    async def write(n: int) -> None:
        """The earlier it begins, the later it commits."""
        await asyncio.sleep(n / 500)
        async with world.transaction(partner_id) as db:
            access = Access(Caller(anna, PLATFORM), partner_id, frozenset({Role.PARTNER_ADMIN}))
            events.record(db, access, "account.updated", account, after={"name": f"{n}"})
            await db.flush()
            await asyncio.sleep((n * 7 % 50) / 100)

    async def consume() -> None:
        cursor = 0
        while True:
            last = not writing
            await world.worker().number_all()
            found = await feed(api, at, after=cursor, limit=3)
            seen.extend(found["items"])
            cursor = found["cursor"]
            if last and not found["more"]:
                return

    consumer = asyncio.create_task(consume())
    await asyncio.gather(*(write(n) for n in range(50)))
    writing = False
    await asyncio.wait_for(consumer, 30)
    assert [e["position"] for e in seen] == list(range(1, len(seen) + 1))
    assert len(seen) > 50
    ids = [str(e.id) for e in await world.events(partner_id)]
    assert sorted(e["id"] for e in seen) == sorted(ids)
    assert [e["id"] for e in seen] != ids, "all were committed in the order of their ids: nothing was tried"


async def test_a_call_looks_through_so_many_positions_at_most(world: World, monkeypatch: Any):
    api, at, _ = await stage(world)
    for n in range(4):
        await api.post(f"{at}/accounts", json={"name": f"{n}"})
    await world.worker().number_all()
    monkeypatch.setattr(feeds, "STRETCH", 2)
    found = await feed(api, at, after=0, types="account.archived")
    assert (found["items"], found["cursor"], found["more"]) == ([], 2, True)
    assert (await feed(api, at, after=0, account_id=str(new_id())))["cursor"] == 2
