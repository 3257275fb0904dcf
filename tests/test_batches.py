"""Many accounts in one call: each item succeeds or fails by itself."""

from typing import Any
from uuid import uuid4

from httpx import AsyncClient

from app.policy import Role
from tests.conftest import World, problem
from tests.test_properties import ALL, define, partner_of, stage

STAR = {"If-Match": "*"}


def opened(name: str, **properties: Any) -> dict[str, Any]:
    return {"action": "create", "account": {"name": name, "properties": properties}}


def changed(account_id: object, **values: Any) -> dict[str, Any]:
    return {"action": "update", "account_id": str(account_id), "account": values}


async def run(api: AsyncClient, at: str, *items: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    answer = await api.post(f"{at}/account-batches", json={"items": items}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def outcome(result: dict[str, Any]) -> tuple[int, str | None]:
    """Status and code of a result, which has either an account or a problem."""
    assert (result["account"] is None) != (result["problem"] is None)
    return result["status"], result["problem"] and result["problem"]["code"]


async def names(api: AsyncClient, at: str) -> list[str]:
    return [item["name"] for item in (await api.get(f"{at}/accounts")).json()["items"]]


async def test_each_item_has_its_result_in_order_and_one_that_fails_undoes_only_itself(world: World):
    api, at = await stage(world)
    await define(api, at, *ALL)
    old, gone = (r["account"]["id"] for r in await run(api, at, opened("Old", revenue=1), opened("Gone")))
    await api.delete(f"{at}/accounts/{gone}", headers=STAR)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    foreign = await world.account(rival, by="Rita")
    before = len(await world.events(await partner_of(api, at)))
    results = await run(
        api, at, opened("New", customer_no="AB-0001"), opened("OLD"), opened("Twin", customer_no="AB-0001"),
        changed(old, name="Older", properties={"revenue": 2, "fee": "much"}), changed(uuid4(), name="X"),
        changed(foreign.id, name="X"), changed(gone, name="X"), changed(old, properties={"revenue": 3}),
        changed(old, name="new", properties={"revenue": 4, "vip": True}), opened("Last"),
    )  # fmt: skip
    assert [outcome(r) for r in results] == [
        (201, None), (409, "name_taken"), (409, "value_taken"), (422, "invalid"), (404, "not_found"),
        (404, "not_found"), (409, "account_archived"), (200, None), (409, "name_taken"), (201, None),
    ]  # fmt: skip
    assert [e["pointer"] for e in results[3]["problem"]["errors"]] == ["/properties/fee"]
    assert {k: v for k, v in results[4]["problem"].items()} == results[5]["problem"]
    assert await names(api, at) == ["Last", "New", "Old"]
    row = (await api.get(f"{at}/accounts/{old}")).json()
    assert (row["properties"]["revenue"], row["properties"]["vip"], results[7]["account"]) == (3, None, row)
    kinds = [e.type for e in (await world.events(await partner_of(api, at)))[before:]]
    opening = ["account.created", "account_member.added"]
    assert sorted(kinds) == sorted([*opening, *opening, "account.updated"])


async def test_what_a_failed_item_wanted_is_free_for_the_next(world: World):
    api, at = await stage(world)
    await define(api, at, *ALL)
    results = await run(api, at, opened("A", customer_no="AB-0001", revenue=-1), opened("A", customer_no="AB-0001"),
                        opened("B", customer_no="AB-0002"))  # fmt: skip
    assert [outcome(r)[0] for r in results] == [422, 201, 201]
    b = results[2]["account"]["id"]
    results = await run(api, at, changed(b, name="a", properties={"customer_no": "AB-0003"}),
                        opened("C", customer_no="AB-0003"), opened("D", customer_no="AB-0002"))  # fmt: skip
    assert [outcome(r) for r in results] == [(409, "name_taken"), (201, None), (409, "value_taken")]


async def test_a_result_shows_the_account_as_its_own_item_left_it(world: World):
    api, at = await stage(world)
    (made,) = await run(api, at, opened("One"))
    account_id = made["account"]["id"]
    results = await run(api, at, changed(account_id, name="Two"), changed(account_id, name="Three"),
                        opened("three"), changed(account_id, status="suspended"))  # fmt: skip
    shown = [r["account"] and r["account"]["name"] for r in results]
    assert (shown, results[0]["account"]["status"]) == (["Two", "Three", None, "Three"], "active")


async def test_a_batch_that_is_repeated_with_its_key_has_its_effect_once(world: World):
    api, at = await stage(world)
    first = await run(api, at, opened("A"), opened("A"), **{"Idempotency-Key": "k1"})
    before = len(await world.events(await partner_of(api, at)))
    again = await run(api, at, opened("A"), opened("A"), **{"Idempotency-Key": "k1"})
    assert (first == again, await names(api, at)) == (True, ["A"])
    assert len(await world.events(await partner_of(api, at))) == before
    other = await api.post(
        f"{at}/account-batches", json={"items": [opened("B")]}, headers={"Idempotency-Key": "k1"}
    )  # fmt: skip
    assert problem(other) == (422, "idempotency_key_reused")


async def test_a_batch_has_one_to_a_hundred_items_of_known_actions(world: World):
    api, at = await stage(world)
    hundred = [opened(f"Account {n:03}") for n in range(100)]
    results = await run(api, at, *hundred)
    assert [r["account"]["name"] for r in results] == [i["account"]["name"] for i in hundred]
    wrong: list[tuple[list[Any], str]] = [
        ([*hundred, opened("One more")], "/items"), ([], "/items"), ([{"action": "delete"}], "/items/0"),
        ([opened("X"), {"action": "update", "account": {}}], "/items/1"), ([opened("")], "/items/0"), (["x"], "/items/0"),
    ]  # fmt: skip
    for items, pointer in wrong:
        answer = await api.post(f"{at}/account-batches", json={"items": items})
        assert problem(answer) == (422, "invalid"), items
        assert answer.json()["errors"][0]["pointer"].startswith(pointer), answer.text
    assert (await api.get(f"{at}/accounts", params={"count": "true"})).json()["total"] == 100


async def test_the_viewer_runs_no_batch_and_the_manager_may(world: World):
    _, at = await stage(world)
    vera, max_ = await world.client("Vera"), await world.client("Max")
    answer = await vera.post(f"{at}/account-batches", json={"items": [opened("A")]})
    assert problem(answer) == (403, "forbidden")
    assert await names(vera, at) == []
    assert outcome((await run(max_, at, opened("A")))[0]) == (201, None)


async def test_an_item_changes_no_value_that_the_role_may_not_change(world: World):
    api, at = await stage(world)
    await define(api, at, {"key": "margin", "type": "number", "label": {"en": "M"}, "editable_by": ["partner_admin"]})
    (made,) = await run(api, at, opened("A", margin=1))
    max_ = await world.client("Max")
    results = await run(max_, at, changed(made["account"]["id"], name="B", properties={"margin": 2}))
    assert outcome(results[0]) == (403, "property_not_editable")
    assert await names(api, at) == ["A"]


async def test_problems_of_items_speak_the_language_of_the_client(world: World):
    api, at = await stage(world)
    results = await run(api, at, opened("A"), opened("A"), opened("B", x=1), **{"Accept-Language": "de"})
    assert results[1]["problem"]["title"] == "Der Name ist schon vergeben"
    assert results[2]["problem"]["errors"] == [
        {"pointer": "/properties/x", "code": "unknown_property", "detail": "Diese Eigenschaft gibt es nicht."}
    ]
