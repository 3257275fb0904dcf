"""Saved views: whose they are, who sees and changes them, what becomes of them when columns and people go."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import AsyncClient
from sqlalchemy import select

from app.models import PartnerMember, View
from app.policy import Role
from app.services import views
from tests.conftest import Owner, World, problem
from tests.test_access import without_id
from tests.test_properties import define, partner_of
from tests.test_races import tally
from tests.test_table import filled, names

STAR = {"If-Match": "*"}
LATE = {"field": "properties.contract_end", "operator": "gte", "value": "2027-01-01"}
RICH = {"field": "properties.revenue", "operator": "gt", "value": 9.0}
VIP = {"field": "properties.vip", "operator": "eq", "value": True}


async def save(api: AsyncClient, at: str, name: str = "Mine", **fields: Any) -> dict[str, Any]:
    answer = await api.post(f"{at}/views", json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def faults(answer: Any) -> list[tuple[str, str]]:
    assert problem(answer) == (422, "invalid"), answer.text
    return [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


async def seen(api: AsyncClient, at: str, **query: Any) -> list[str]:
    return [item["name"] for item in (await api.get(f"{at}/views", params=query)).json()["items"]]


async def change(api: AsyncClient, at: str, view: dict[str, Any], **fields: Any) -> Any:
    return await api.patch(f"{at}/views/{view['id']}", json=fields, headers=STAR)


# --- saving, changing, deleting ---


async def test_a_view_is_shown_as_it_was_saved(world: World):
    api, at = await filled(world)
    asked = {"name": "Soon", "shared": True, "columns": ["properties.tags", "name", "properties.revenue"],
             "all": [RICH, {"field": "properties.tags", "operator": "is_null", "value": False}],
             "any": [LATE, {"field": "properties.segment", "operator": "in", "value": ["small", "large"]}],
             "q": "nord", "sort": "-properties.revenue,name"}  # fmt: skip
    answer = await api.post(f"{at}/views", json=asked)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert {k: made[k] for k in asked} == asked
    assert (made["owner_id"], made["broken"]) == (str(world.people["Anna"].id), [])
    assert answer.headers["location"] == f"{at}/views/{made['id']}"
    read = await api.get(answer.headers["location"])
    assert (read.json(), read.headers["etag"]) == (made, answer.headers["etag"])
    again = {"If-None-Match": read.headers["etag"]}
    assert (await api.get(answer.headers["location"], headers=again)).status_code == 304
    event = (await world.events(await partner_of(api, at)))[-1]
    assert (event.type, str(event.subject_id)) == ("view.created", made["id"])
    assert event.details
    assert event.details["after"] == asked | {"owner_id": made["owner_id"]}


async def test_a_view_of_a_name_alone_is_private_and_asks_nothing(world: World):
    api, at = await filled(world)
    made = await save(api, at)
    assert {k: made[k] for k in ("shared", "columns", "all", "any", "q", "sort")} == {
        "shared": False, "columns": None, "all": [], "any": [], "q": None, "sort": None,
    }  # fmt: skip
    short = await save(api, at, "Short", columns=["tags", "status"])
    assert short["columns"] == ["properties.tags", "status"]  # one form, however it was written


@pytest.mark.parametrize(("fields", "expected"), [
    ({"columns": ["name", "properties.nothing"]}, [("/columns/1", "unknown_field")]),
    ({"columns": ["name", "name"]}, [("/columns", "duplicate_key")]),
    ({"all": [RICH, LATE | {"field": "properties.nothing"}], "any": [VIP | {"operator": "gt"}], "sort": "tags"},
     [("/all/1", "unknown_field"), ("/any/0", "unknown_operator"), ("/sort", "unknown_field")]),
    ({"all": [LATE | {"value": "soon"}]}, [("/all/0", "invalid_value")]),
    ({"all": [RICH] * 11, "any": [VIP] * 10}, [("/all", "too_many"), ("/any", "too_many")]),
    ({"all": [RICH] * 21}, [("/all", "too_long")]),
    ({"sort": "name,name"}, [("/sort", "too_many")]),
    ({"sort": "properties.tags"}, [("/sort", "unknown_field")]),
    ({"q": ""}, [("/q", "string_too_short")]),
    ({"shared": "yes"}, [("/shared", "bool_type")]),
    ({"owner_id": str(uuid4())}, [("/owner_id", "extra_forbidden")]),
    ({"name": " "}, [("/name", "string_too_short")]),
])  # fmt: skip
async def test_a_view_that_could_never_be_used_is_refused_with_every_pointer(
    world: World, fields: dict[str, Any], expected: list[tuple[str, str]]
):
    api, at = await filled(world)
    made = await save(api, at, "Other")
    assert faults(await api.post(f"{at}/views", json={"name": "Mine", **fields})) == expected
    assert faults(await change(api, at, made, **fields)) == expected
    assert (await api.get(f"{at}/views")).json()["items"] == [made]


async def test_a_view_is_changed_by_a_merge_patch_of_the_version_that_was_read(world: World):
    api, at = await filled(world)
    made = await save(api, at, all=[RICH], any=[VIP], q="nord", sort="-name", columns=["name"])
    here = f"{at}/views/{made['id']}"
    assert problem(await api.patch(here, json={"q": None})) == (428, "precondition_required")
    old = (await api.get(here)).headers["etag"]
    answer = await api.patch(here, json={"q": None, "any": None, "columns": None}, headers={"If-Match": old})
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = {"q": None, "any": [], "columns": None}
    assert answer.json() == made | changed | {"updated_at": answer.json()["updated_at"]}
    assert problem(await api.patch(here, json={"q": "x"}, headers={"If-Match": old})) == (412, "version_mismatch")
    assert problem(await api.delete(here, headers={"If-Match": old})) == (412, "version_mismatch")
    assert problem(await api.delete(here)) == (428, "precondition_required")
    event = (await world.events(await partner_of(api, at)))[-1]
    assert event.details == {"before": {"q": "nord", "any": [VIP], "columns": ["name"]}, "after": changed}
    assert (await api.delete(here, headers={"If-Match": answer.headers["etag"]})).status_code == 204
    assert problem(await api.get(here)) == (404, "not_found")
    event = (await world.events(await partner_of(api, at)))[-1]
    assert (event.type, str(event.subject_id)) == ("view.deleted", made["id"])
    assert event.details
    assert event.details["before"]["all"] == [RICH]


async def test_views_are_listed_by_name_a_page_at_a_time(world: World):
    api, at = await filled(world)
    for n, name in enumerate(("Ärger", "Zoo", "Berlin")):
        await save(api, at, name, shared=n == 1)
    assert await seen(api, at) == ["Ärger", "Berlin", "Zoo"]
    assert await seen(api, at, filter="shared:eq:true") == ["Zoo"]
    assert await seen(api, at, q="arg", sort="-created_at") == ["Ärger"]
    first = (await api.get(f"{at}/views", params={"limit": 2, "count": True})).json()
    assert first["total"] == 3
    assert await seen(api, at, limit=2, count=True, cursor=first["next_cursor"]) == ["Zoo"]


# --- names and limits ---


async def test_a_name_is_taken_among_ones_private_views_and_among_the_shared_ones(world: World):
    api, at = await filled(world)
    max_ = await world.client("Max")
    mine = await save(api, at, "Soon")
    await save(max_, at, "SOON")  # another one's private views do not count
    shared = await save(max_, at, "soon ", shared=True)
    for who, fields in ((api, {"name": "sOOn"}), (api, {"name": "Soon", "shared": True})):
        assert problem(await who.post(f"{at}/views", json=fields)) == (409, "name_taken")
    assert problem(await change(api, at, mine, shared=True)) == (409, "name_taken")
    assert problem(await change(max_, at, shared, shared=False)) == (409, "name_taken")
    assert (await change(api, at, mine, shared=True, name="Soon, too")).status_code == 200
    assert await seen(api, at) == ["soon", "Soon, too"]


async def test_of_many_views_of_one_name_made_at_once_one_is_kept(world: World):
    _, at = await filled(world)
    crew = [await world.client(who) for who in ("Anna", "Max")]
    sent = [crew[n % 2].post(f"{at}/views", json={"name": "Soon", "shared": True}) for n in range(10)]
    assert tally(await asyncio.gather(*sent)) == {(201, None): 1, (409, "name_taken"): 9}
    assert await seen(crew[0], at) == ["Soon"]


async def test_of_two_that_share_views_of_one_name_at_once_one_does(world: World):
    api, at = await filled(world)
    crew = [api, await world.client("Max")]
    made = [(who, await save(who, at, "Soon")) for who in crew]
    both = await asyncio.gather(*(change(who, at, view, shared=True) for who, view in made))
    assert tally(both) == {(200, None): 1, (409, "name_taken"): 1}
    assert await seen(api, at, filter="shared:eq:true") == ["Soon"]


async def fill_up(world: World, at: str, who: str, count: int) -> None:
    """Views of one owner, made past the API."""
    partner_id, owner_id = UUID(at.rpartition("/")[2]), (await world.user(who)).id
    async with world.transaction(partner_id) as db:
        db.add_all(
            View(partner_id=partner_id, owner_id=owner_id, name=f"{who} {n}", name_key=f"{who} {n}",
                 name_search=f"{who} {n}", shared=False, columns=None, all=[], any=[], q=None, sort=None)
            for n in range(count)
        )  # fmt: skip


async def test_nobody_has_more_than_fifty_views_however_many_they_make_at_once(world: World):
    api, at = await filled(world)
    await fill_up(world, at, "Anna", views.MAX_OWN - 2)
    sent = [api.post(f"{at}/views", json={"name": f"View {n}", "shared": n % 2 == 0}) for n in range(8)]
    assert tally(await asyncio.gather(*sent)) == {(201, None): 2, (409, "too_many_own_views"): 6}
    assert (await api.get(f"{at}/views", params={"limit": 200, "count": True})).json()["total"] == views.MAX_OWN
    await save(await world.client("Max"), at)


async def test_a_partner_has_at_most_two_hundred_views(world: World):
    api, at = await filled(world)
    for n in range(3):
        await fill_up(world, at, f"Gone{n}", 66)
    await fill_up(world, at, "Anna", 1)
    last = await save(api, at, "Last")
    for who in (api, await world.client("Max")):
        assert problem(await who.post(f"{at}/views", json={"name": "One more"})) == (409, "too_many_views")
    assert (await api.delete(f"{at}/views/{last['id']}", headers=STAR)).status_code == 204
    await save(api, at, "One more")


# --- whose a view is ---


async def test_a_private_view_exists_for_its_owner_alone(world: World):
    api, at = await filled(world)
    made, nothing = await save(api, at), {"id": str(uuid4())}
    for who in ("Max", "Vera", "Olivia"):
        other = await world.client(who, operator=who == "Olivia")
        theirs, none = [await other.get(f"{at}/views/{v['id']}") for v in (made, nothing)]
        assert problem(theirs) == (404, "not_found")
        assert without_id(theirs) == without_id(none)
        assert await seen(other, at) == []
        if who != "Vera":
            for view in (made, nothing):
                assert problem(await change(other, at, view, name="X")) == (404, "not_found")
                gone = await other.delete(f"{at}/views/{view['id']}", headers=STAR)
                assert problem(gone) == (404, "not_found")
        for view in (made, nothing):
            answer = await other.get(f"{at}/accounts", params={"view": view["id"]})
            assert faults(answer) == [("query:view", "unknown_view")]
            answer = await other.post(f"{at}/account-searches", json={"view": view["id"]})
            assert faults(answer) == [("/view", "unknown_view")]
    assert (await api.get(f"{at}/views/{made['id']}")).json() == made


async def test_a_shared_view_is_seen_by_all_and_changed_by_whoever_manages_views(world: World):
    api, at = await filled(world)
    made = await save(api, at, "Soon", shared=True)
    max_, vera = await world.client("Max"), await world.client("Vera")
    for who in (max_, vera, await world.client("Olivia", operator=True)):
        assert (await who.get(f"{at}/views/{made['id']}")).json() == made
    assert problem(await vera.post(f"{at}/views", json={"name": "X"})) == (403, "forbidden")
    assert problem(await change(vera, at, made, name="X")) == (403, "forbidden")
    assert problem(await vera.delete(f"{at}/views/{made['id']}", headers=STAR)) == (403, "forbidden")
    assert (await change(max_, at, made, name="Sooner")).json()["owner_id"] == made["owner_id"]
    taken = await change(max_, at, made, shared=False)  # it would be out of Max's own sight
    assert problem(taken) == (403, "forbidden")
    assert [(e["pointer"], e["code"]) for e in taken.json()["errors"]] == [("/shared", "not_owner")]
    assert (await change(api, at, made, shared=False)).status_code == 200
    assert problem(await max_.get(f"{at}/views/{made['id']}")) == (404, "not_found")
    assert (await change(api, at, made, shared=True)).status_code == 200
    assert (await max_.delete(f"{at}/views/{made['id']}", headers=STAR)).status_code == 204
    assert await seen(api, at) == []


async def test_who_leaves_the_partner_leaves_the_shared_views_and_takes_the_private_ones(world: World):
    api, at = await filled(world)
    max_ = await world.client("Max")
    private, shared = await save(max_, at), await save(max_, at, "Shared", shared=True)
    hers = await save(api, at)
    user_id = world.people["Max"].id
    assert (await api.delete(f"{at}/members/{user_id}", headers=STAR)).status_code == 204
    assert (await api.get(f"{at}/views/{shared['id']}")).json() == shared
    assert (await change(api, at, shared, name="Still shared")).status_code == 200
    partner_id = await partner_of(api, at)
    gone = [e for e in await world.events(partner_id) if e.type == "view.deleted"]
    assert [str(e.subject_id) for e in gone] == [private["id"]]
    assert gone[0].details
    assert gone[0].details["before"]["name"] == "Mine"
    async with world.transaction(partner_id) as db:
        db.add(PartnerMember(partner_id=partner_id, user_id=user_id, role=Role.PARTNER_MANAGER))
    assert await seen(max_, at) == ["Still shared"]  # back again: what is gone stays gone
    assert await seen(api, at) == [hers["name"], "Still shared"]


async def test_who_is_being_removed_leaves_no_private_view_behind(world: World):
    """Else it would be there for ever, and for nobody."""
    api, at = await filled(world)
    max_, user_id = await world.client("Max"), world.people["Max"].id
    making = [asyncio.create_task(max_.post(f"{at}/views", json={"name": f"View {n}"})) for n in range(8)]
    await asyncio.sleep(0.05)
    assert (await api.delete(f"{at}/members/{user_id}", headers=STAR)).status_code == 204
    assert set(tally(await asyncio.gather(*making))) <= {(201, None), (404, "not_found")}
    async with world.transaction(await partner_of(api, at)) as db:
        assert (await db.scalars(select(View.name))).all() == []


async def test_who_has_been_removed_by_the_time_a_view_is_made_or_made_private_has_none(world: World, owner: Owner):
    _, at = await filled(world)
    max_, partner_id = await world.client("Max"), UUID(at.rpartition("/")[2])
    shared = await save(max_, at, "Shared", shared=True)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with owner.transaction():
        await owner.execute("SELECT 1 FROM partners WHERE id = $1 FOR NO KEY UPDATE", partner_id)
        late = [asyncio.create_task(max_.post(f"{at}/views", json={"name": "Mine"})),
                asyncio.create_task(change(max_, at, shared, shared=False))]  # fmt: skip
        for _ in range(500):
            await owner.execute("SELECT pg_stat_clear_snapshot()")  # else a transaction sees what it saw first
            if await owner.value(waiting) == 2:
                break
            await asyncio.sleep(0.02)
        await owner.execute("DELETE FROM partner_members WHERE user_id = $1", world.people["Max"].id)
    assert tally(await asyncio.gather(*late)) == {(404, "not_found"): 2}
    assert await owner.rows("SELECT name, shared FROM views") == [{"name": "Shared", "shared": True}]


async def test_changes_of_one_view_at_once_are_all_made(world: World):
    api, at = await filled(world)
    made = await save(api, at)
    fields: list[dict[str, Any]] = [{"q": "nord"}, {"sort": "-name"}, {"all": [RICH]}, {"columns": ["name"]}]
    answers = await asyncio.gather(*(change(api, at, made, **field) for field in fields))
    assert tally(answers) == {(200, None): 4}
    now = (await api.get(f"{at}/views/{made['id']}")).json()
    assert {k: v for field in fields for k, v in field.items()}.items() <= now.items()


async def test_a_user_can_be_deleted_whatever_views_there_are(world: World, owner: Owner):
    api, at = await filled(world)
    await save(await world.client("Max"), at)
    shared = await save(await world.client("Max"), at, "Shared", shared=True)
    await owner.execute("DELETE FROM users WHERE id = $1", world.people["Max"].id)
    assert (await api.get(f"{at}/views/{shared['id']}")).json() == shared


async def test_a_manager_who_becomes_a_viewer_reads_his_own_views_and_changes_none(world: World):
    api, at = await filled(world)
    max_ = await world.client("Max")
    made = await save(max_, at)
    here = f"{at}/members/{world.people['Max'].id}"
    assert (await api.patch(here, json={"role": "partner_viewer"}, headers=STAR)).status_code == 200
    assert (await max_.get(f"{at}/views/{made['id']}")).json() == made
    assert problem(await change(max_, at, made, name="X")) == (403, "forbidden")
    assert problem(await max_.delete(f"{at}/views/{made['id']}", headers=STAR)) == (403, "forbidden")


async def test_a_view_of_another_partner_does_not_exist(world: World):
    api, at = await filled(world)
    await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    theirs = await save(api, at, "Soon", shared=True)
    other = await world.partner("Third", Rita=Role.PARTNER_ADMIN)
    rita = await world.client("Rita")
    for view_id in (theirs["id"], str(uuid4())):
        here = f"/v1/partners/{other.id}"
        assert problem(await rita.get(f"{here}/views/{view_id}")) == (404, "not_found")
        assert problem(await rita.patch(f"{here}/views/{view_id}", json={}, headers=STAR)) == (404, "not_found")
        assert problem(await rita.delete(f"{here}/views/{view_id}", headers=STAR)) == (404, "not_found")
        assert faults(await rita.get(f"{here}/accounts", params={"view": view_id})) == [("query:view", "unknown_view")]
    assert problem(await rita.get(f"{at}/views/{theirs['id']}")) == (404, "not_found")
    assert (await api.get(f"{at}/views/{theirs['id']}")).json() == theirs


# --- using one ---


async def test_a_view_supplies_conditions_order_search_and_columns(world: World):
    api, at = await filled(world)
    made = await save(api, at, all=[RICH], sort="-properties.revenue", columns=["properties.tags", "revenue", "name"])
    assert "".join(await names(api, at, view=made["id"])) == "CÄ"
    items = (await api.get(f"{at}/accounts", params={"view": made["id"]})).json()["items"]
    assert [list(item["properties"]) for item in items] == [["tags", "revenue"]] * 2
    found = (await api.post(f"{at}/account-searches", json={"view": made["id"]})).json()["items"]
    assert found == items
    searching = await save(api, at, "Searching", q="BIRNEN")
    assert "".join(await names(api, at, view=searching["id"])) == "B"


async def test_what_is_asked_besides_a_view_narrows_or_overrides_it(world: World):
    api, at = await filled(world)
    cheap = {"field": "properties.revenue", "operator": "lt", "value": 10}
    known = {"field": "properties.vip", "operator": "is_null", "value": False}  # of Erdbeer, too, which has no revenue
    made = await save(api, at, any=[RICH, cheap], sort="-properties.revenue", q="i", columns=["properties.revenue"])
    view = made["id"]
    for query, expected in (
        ({}, "CB"), ({"sort": "name"}, "BC"), ({"q": "gmbh"}, "Ä"), ({"q": ""}, "CÄB"),
        ({"filter": "properties.segment:eq:large"}, "C"), ({"filter": "name:starts_with:b"}, "B"),
    ):  # fmt: skip
        assert "".join(await names(api, at, view=view, **query)) == expected, query
    item = (await api.get(f"{at}/accounts", params={"view": view, "columns": "tags"})).json()["items"][0]
    assert item["properties"] == {"tags": None}
    for body, expected in (
        ({"any": [LATE, known]}, "B"), ({"any": [LATE, known], "q": ""}, "ÄB"), ({"all": [RICH]}, "C"),
        ({"all": [RICH], "q": "", "sort": "name"}, "ÄC"),
    ):  # fmt: skip
        answer = await api.post(f"{at}/account-searches", json={"view": view} | body)
        assert "".join(i["name"][0] for i in answer.json()["items"]) == expected, body
    crowded = {"view": view, "all": [RICH] * 19}
    assert faults(await api.post(f"{at}/account-searches", json=crowded)) == [("/view/any/1", "too_many")]


async def test_archived_accounts_stay_hidden_unless_the_view_or_the_query_names_the_status(world: World):
    api, at = await filled(world)
    gone = (await api.get(f"{at}/accounts", params={"q": "citrus"})).json()["items"][0]["id"]
    assert (await api.delete(f"{at}/accounts/{gone}", headers=STAR)).status_code == 204
    plain = await save(api, at, sort="name")
    archived = {"field": "status", "operator": "eq", "value": "archived"}
    archive = await save(api, at, "Archive", all=[archived])
    assert "".join(await names(api, at, view=plain["id"])) == "ÄBDE"
    assert "".join(await names(api, at, view=plain["id"], filter="status:eq:archived")) == "C"
    assert "".join(await names(api, at, view=archive["id"])) == "C"


@pytest.mark.parametrize("typed", [False, True])
async def test_a_cursor_is_good_for_the_version_of_the_view_that_it_was_made_with(world: World, typed: bool):
    api, at = await filled(world)
    made, other = await save(api, at, sort="-name"), await save(api, at, "Other", sort="-name")

    async def page(**query: Any) -> Any:
        asked = {"view": made["id"], "limit": 2} | query
        if typed:
            return await api.post(f"{at}/account-searches", json=asked)
        return await api.get(f"{at}/accounts", params=asked)

    refused = [("/cursor" if typed else "query:cursor", "invalid_cursor")]
    cursor = (await page()).json()["next_cursor"]
    assert [i["name"][0] for i in (await page(cursor=cursor)).json()["items"]] == ["C", "B"]
    for query in ({"view": other["id"]}, {"sort": "name"}):
        assert faults(await page(cursor=cursor, **query)) == refused
    assert (await change(api, at, made, sort="name")).status_code == 200
    assert faults(await page(cursor=cursor)) == refused
    assert [i["name"][0] for i in (await page()).json()["items"]] == ["Ä", "B"]


# --- columns that go ---


async def column(api: AsyncClient, at: str, key: str, **fields: Any) -> None:
    answer = await api.patch(f"{at}/properties/{key}", json=fields, headers=STAR)
    assert answer.status_code == 200, answer.text


async def test_of_columns_that_are_gone_a_view_shows_which_and_is_used_without_them(world: World):
    api, at = await filled(world)
    made = await save(api, at, columns=["properties.tags", "name", "properties.revenue", "properties.fee"])
    first = await api.get(f"{at}/views/{made['id']}")
    assert (await api.post(f"{at}/properties/tags/archive")).status_code == 200
    assert (await api.delete(f"{at}/properties/revenue", headers=STAR)).status_code == 200
    now = await api.get(f"{at}/views/{made['id']}", headers={"If-None-Match": first.headers["etag"]})
    assert now.json() == made | {"broken": ["/columns/0", "/columns/2"]}  # it has changed, though its row has not
    assert (await api.get(f"{at}/views")).json()["items"] == [now.json()]
    for item in (await api.get(f"{at}/accounts", params={"view": made["id"]})).json()["items"]:
        assert list(item["properties"]) == ["fee"]
    assert (await change(api, at, made, name="Renamed")).status_code == 200  # what is broken may stay so
    assert faults(await change(api, at, made, columns=made["columns"])) == [
        ("/columns/0", "unknown_field"), ("/columns/2", "unknown_field"),
    ]  # fmt: skip
    assert (await api.post(f"{at}/properties/tags/restore")).status_code == 200
    assert (await api.get(f"{at}/views/{made['id']}")).json()["broken"] == ["/columns/2"]
    tag = {"If-Match": first.headers["etag"]}  # of before the renaming: what is broken is no version of the row
    assert problem(await api.patch(f"{at}/views/{made['id']}", json={}, headers=tag)) == (412, "version_mismatch")


@pytest.mark.parametrize("how", ["archived", "deleted", "not filterable", "of another type"])
async def test_a_condition_or_sort_by_a_column_that_is_gone_makes_a_view_unusable(world: World, how: str):
    api, at = await filled(world)
    made = await save(api, at, all=[VIP, RICH], any=[LATE, RICH], sort="-properties.revenue")
    match how:
        case "archived":
            assert (await api.post(f"{at}/properties/revenue/archive")).status_code == 200
        case "not filterable":
            await column(api, at, "revenue", filterable=False)
        case _:
            assert (await api.delete(f"{at}/properties/revenue", headers=STAR)).status_code == 200
    broken = ["/all/1", "/any/1", "/sort"]
    if how == "of another type":
        await world.worker().refresh_all()
        broken = broken[:2]
        await define(api, at, {"key": "revenue", "type": "text", "label": {"en": "Revenue"}})
    assert (await api.get(f"{at}/views/{made['id']}")).json() == made | {"broken": broken}
    for query, at_view in (({}, "/all/1"), ({"sort": "name"}, "/all/1")):
        (fault,) = faults(await api.get(f"{at}/accounts", params={"view": made["id"]} | query))
        assert fault[0] == f"query:view{at_view}"
        (fault,) = faults(await api.post(f"{at}/account-searches", json={"view": made["id"]} | query))
        assert fault[0] == f"/view{at_view}"
    assert (await change(api, at, made, all=[VIP], any=[LATE])).status_code == 200
    if how != "of another type":
        assert faults(await api.get(f"{at}/accounts", params={"view": made["id"]})) == [
            ("query:view/sort", "unknown_field")
        ]
    assert await names(api, at, view=made["id"], sort="name") == []
    assert (await change(api, at, made, sort=None, any=None)).json()["broken"] == []
    assert "".join(await names(api, at, view=made["id"])) == "Ä"


async def test_what_a_view_asks_of_a_masked_column_is_refused_to_whoever_may_not_see_it(world: World):
    api, at = await filled(world)
    made = await save(api, at, shared=True, all=[RICH], columns=["properties.revenue", "properties.vip"])
    vera, here = await world.client("Vera"), f"{at}/views/{made['id']}"
    await column(api, at, "revenue", sensitive=True)
    assert problem(await vera.get(f"{at}/accounts", params={"view": made["id"]})) == (422, "invalid")
    await world.worker().refresh_all()
    hidden = made | {"all": [RICH | {"value": None}], "broken": ["/all/0"]}
    assert (await vera.get(here)).json() == hidden
    assert (await vera.get(f"{at}/views")).json()["items"] == [hidden]
    assert (await api.get(here)).json() == made
    assert (await api.get(f"{at}/views")).json()["items"] == [made]
    assert (await vera.get(here)).headers["etag"] != (await api.get(here)).headers["etag"]
    assert faults(await vera.get(f"{at}/accounts", params={"view": made["id"]})) == [
        ("query:view/all/0", "unknown_field")
    ]
    assert "".join(await names(api, at, view=made["id"])) == "ÄC"
    assert (await change(api, at, made, all=None)).status_code == 200
    for item in (await vera.get(f"{at}/accounts", params={"view": made["id"]})).json()["items"]:
        assert item["properties"]["revenue"] is None  # a masked column is shown as in the table without a view


@pytest.mark.parametrize("then", ["archive", "delete"])
async def test_what_a_view_asks_of_a_masked_column_is_not_told_when_the_column_goes(world: World, then: str):
    api, at = await filled(world)
    made = await save(api, at, shared=True, all=[LATE], any=[VIP, RICH])
    vera, here = await world.client("Vera"), f"{at}/views/{made['id']}"
    assert (await vera.get(here)).json() == made
    await column(api, at, "revenue", sensitive=True)
    if then == "archive":
        assert (await api.post(f"{at}/properties/revenue/archive")).status_code == 200
    else:
        assert (await api.delete(f"{at}/properties/revenue", headers=STAR)).status_code == 200
    seen_by_vera = (await vera.get(here)).json()
    assert (seen_by_vera["all"], seen_by_vera["any"]) == ([LATE], [VIP, RICH | {"value": None}])
    assert (await api.get(here)).json() == made | {"broken": ["/any/1"]}
    assert faults(await change(api, at, made, any=[RICH | {"value": None}]))  # never an input


async def test_a_view_of_a_column_that_is_being_prepared_is_kept_and_can_be_used_in_a_moment(world: World):
    api, at = await filled(world)
    await column(api, at, "revenue", filterable=False)
    await world.worker().refresh_all()
    await column(api, at, "revenue", filterable=True)
    made = await save(api, at, all=[RICH])
    assert made["broken"] == []
    assert problem(await api.get(f"{at}/accounts", params={"view": made["id"]})) == (409, "column_not_ready")
    await world.worker().refresh_all()
    assert "".join(await names(api, at, view=made["id"])) == "ÄC"
