"""How an account's values came to be what they are."""

from typing import Any

from httpx import AsyncClient

from app.policy import Role
from tests.conftest import World, problem
from tests.test_properties import define, stage

STAR = {"If-Match": "*"}
REVENUE = {"key": "revenue", "type": "number", "label": {"en": "Revenue"}}
SALARY = {"key": "salary", "type": "text", "label": {"en": "Salary"}, "sensitive": True}


async def told(world: World) -> tuple[AsyncClient, str, str]:
    """An account with a short history: created with both values, then each changed."""
    api, at = await stage(world)
    await define(api, at, REVENUE, SALARY)
    body = {"name": "A", "properties": {"revenue": 1, "salary": "low"}}
    here = (await api.post(f"{at}/accounts", json=body)).headers["location"]
    for patch in ({"properties": {"revenue": 2}}, {"name": "B"}, {"properties": {"revenue": None, "salary": "high"}}):
        assert (await api.patch(here, json=patch, headers=STAR)).status_code == 200
    return api, at, here


async def history(api: AsyncClient, here: str, **query: Any) -> list[list[tuple[Any, ...]]]:
    answer = await api.get(f"{here}/property-history", params=query)
    assert answer.status_code == 200, answer.text
    return [
        sorted((c["key"], c["before"], c["after"], c["masked"]) for c in item["changes"])
        for item in answer.json()["items"]
    ]


FULL = [
    [("revenue", 2, None, False), ("salary", "low", "high", False)], [("revenue", 1, 2, False)],
    [("revenue", None, 1, False), ("salary", None, "low", False)],
]  # fmt: skip


async def test_the_newest_change_comes_first_and_the_first_values_had_none_before(world: World):
    api, _, here = await told(world)
    assert await history(api, here) == FULL
    items = (await api.get(f"{here}/property-history")).json()["items"]
    anna = await world.user("Anna")
    assert [(i["actor"], i["actor_id"]) for i in items] == [("user", str(anna.id))] * 3
    assert items[0]["at"] > items[1]["at"] > items[2]["at"]
    assert len({i["id"] for i in items}) == 3


async def test_a_change_of_the_name_alone_is_no_part_of_it(world: World):
    api, at = await stage(world)
    await define(api, at, REVENUE)
    here = (await api.post(f"{at}/accounts", json={"name": "A"})).headers["location"]
    await api.patch(here, json={"name": "B", "properties": {}}, headers=STAR)
    await api.patch(here, json={"properties": {"revenue": None}}, headers=STAR)
    assert await history(api, here) == []


async def test_it_is_paged_and_counted(world: World):
    api, _, here = await told(world)
    found: list[Any] = []
    body: dict[str, Any] = {}
    cursor: dict[str, Any] = {}
    for _ in range(3):
        body = (await api.get(f"{here}/property-history", params={"limit": 1, "count": "true"} | cursor)).json()
        assert (len(body["items"]), body["total"]) == (1, 3)
        found += body["items"]
        cursor = {"cursor": body["next_cursor"]}
    assert body["next_cursor"] is None
    assert found == (await api.get(f"{here}/property-history")).json()["items"]
    first = (await api.get(f"{here}/property-history", params={"limit": 1})).json()
    assert first["total"] is None
    foreign = await api.get(f"{here}/property-history", params={"key": "revenue", "cursor": first["next_cursor"]})
    assert problem(foreign) == (422, "invalid")


async def test_a_key_shows_the_changes_of_that_property_alone(world: World):
    api, _, here = await told(world)
    assert await history(api, here, key="salary") == [
        [("salary", "low", "high", False)], [("salary", None, "low", False)],
    ]  # fmt: skip
    assert await history(api, here, key="nothing") == []
    counted = await api.get(f"{here}/property-history", params={"key": "salary", "count": "true", "limit": 1})
    assert counted.json()["total"] == 2
    for key in ("", "A", "a'b", "a" * 41):
        assert problem(await api.get(f"{here}/property-history", params={"key": key})) == (422, "invalid"), key


async def test_the_viewer_sees_that_a_sensitive_value_changed_and_not_from_what_to_what(world: World):
    _, _, here = await told(world)
    vera = await world.client("Vera")
    assert await history(vera, here) == [
        [("revenue", 2, None, False), ("salary", None, None, True)], [("revenue", 1, 2, False)],
        [("revenue", None, 1, False), ("salary", None, None, True)],
    ]  # fmt: skip
    answer = await vera.get(f"{here}/property-history")
    assert "low" not in answer.text
    assert "high" not in answer.text
    assert await history(await world.client("Max"), here) == FULL


async def test_values_of_a_deleted_property_are_masked_for_the_viewer_even_when_its_key_returns(world: World):
    api, at, here = await told(world)
    vera = await world.client("Vera")
    assert (await api.delete(f"{at}/properties/salary", headers=STAR)).status_code == 200
    await world.worker().refresh_all()
    masked = [[("salary", None, None, True)]] * 2
    assert await history(vera, here, key="salary") == masked
    assert await history(api, here, key="salary") == [
        [("salary", "low", "high", False)], [("salary", None, "low", False)],
    ]  # fmt: skip
    await define(api, at, SALARY | {"sensitive": False})
    await api.patch(here, json={"properties": {"salary": "open"}}, headers=STAR)
    assert await history(vera, here, key="salary") == [[("salary", None, "open", False)], *masked]


async def test_an_archived_sensitive_property_stays_masked_for_the_viewer(world: World):
    api, at, here = await told(world)
    assert (await api.post(f"{at}/properties/salary/archive")).status_code == 200
    vera = await world.client("Vera")
    assert await history(vera, here, key="salary") == [[("salary", None, None, True)]] * 2


async def test_another_partner_and_an_unknown_account_are_not_found(world: World):
    _, at, here = await told(world)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    rita = await world.client("Rita")
    account = here.rsplit("/", 1)[-1]
    for url in (here, f"/v1/partners/{rival.id}/accounts/{account}"):
        assert problem(await rita.get(f"{url}/property-history")) == (404, "not_found")
    anna = await world.client("Anna")
    other = f"{at}/accounts/{rival.id}/property-history"
    assert problem(await anna.get(other)) == (404, "not_found")
