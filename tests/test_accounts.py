"""Child accounts: who creates one is its admin; archived and suspended ones are read, not used."""

from datetime import timedelta

import pytest
from httpx import AsyncClient
from sqlalchemy import update

from app.models import Account, Partner, utc_now
from app.policy import Role
from tests.conftest import World, problem

STAR = {"If-Match": "*"}


@pytest.fixture
async def partner(world: World) -> Partner:
    return await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER, Vera=Role.PARTNER_VIEWER)


@pytest.fixture
async def anna(world: World, partner: Partner) -> AsyncClient:
    return await world.client("Anna")


def url(partner: Partner, account: Account | None = None) -> str:
    return f"/v1/partners/{partner.id}/accounts" + (f"/{account.id}" if account else "")


async def test_whoever_creates_an_account_becomes_its_admin(world: World, partner: Partner):
    for who, status in (("Vera", 403), ("Max", 201)):
        client = await world.client(who)
        answer = await client.post(url(partner), json={"name": "  Nordwerk GmbH "})
        assert answer.status_code == status, answer.text
    assert (answer.json()["name"], answer.json()["status"], answer.headers["etag"]) == (
        "Nordwerk GmbH",
        "active",
        '"1.0.1"',
    )
    assert answer.headers["location"] == f"{url(partner)}/{answer.json()['id']}"
    members = (await client.get(f"{answer.headers['location']}/members")).json()["items"]
    assert [(m["name"], m["role"]) for m in members] == [("Max", "account_admin")]
    created, added = (await world.events(partner.id))[-2:]
    max_ = await world.user("Max")
    assert (created.type, created.actor_id, created.details and created.details["after"]["name"]) == (
        "account.created", max_.id, "Nordwerk GmbH")  # fmt: skip
    assert (added.type, added.account_id) == ("account_member.added", created.subject_id)


async def test_names_are_unique_among_accounts_that_are_not_archived(partner: Partner, anna: AsyncClient):
    first = await anna.post(url(partner), json={"name": "Nordwerk GmbH"})
    for same in ("Nordwerk GmbH", "NORDWERK  gmbh", "Ｎordwerk GmbH"):
        assert problem(await anna.post(url(partner), json={"name": same})) == (409, "name_taken")
    assert (await anna.post(url(partner), json={"name": "Nördwerk GmbH"})).status_code == 201
    here = first.headers["location"]
    assert (await anna.delete(here, headers={"If-Match": first.headers["etag"]})).status_code == 204
    second = await anna.post(url(partner), json={"name": "Nordwerk GmbH"})
    assert second.status_code == 201
    assert problem(await anna.post(f"{here}/restore")) == (409, "name_taken")
    await anna.patch(second.headers["location"], json={"name": "Nordwerk II"}, headers=STAR)
    assert (await anna.post(f"{here}/restore")).json()["status"] == "active"


async def test_two_partners_may_have_accounts_of_one_name(world: World, partner: Partner, anna: AsyncClient):
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    rita = await world.client("Rita")
    assert (await anna.post(url(partner), json={"name": "Nordwerk"})).status_code == 201
    assert (await rita.post(url(rival), json={"name": "Nordwerk"})).status_code == 201
    assert len((await rita.get(url(rival))).json()["items"]) == 1


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 121,
        "a\nb",
        "a\tb",
        "a\u200bb",
        "a\u2028b",
        "\u202eabc",
        "\ufb2c" * 120,
        "pay at https://evil.example",
        None,
        5,
        ["a"],
    ],
)
async def test_a_name_is_one_line_that_can_be_shown(partner: Partner, anna: AsyncClient, name: object):
    answer = await anna.post(url(partner), json={"name": name})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/name"
    assert (await anna.get(url(partner))).json()["items"] == []


async def test_a_change_is_an_event_with_before_and_after(world: World, partner: Partner, anna: AsyncClient):
    account = await world.account(partner, by="Anna")
    answer = await anna.patch(url(partner, account), json={"name": "Südwerk", "status": "suspended"}, headers=STAR)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2.0.1"')
    event = (await world.events(partner.id))[-1]
    assert event.type == "account.updated"
    assert event.details == {"before": {"name": "Nordwerk GmbH", "status": "active"},
                             "after": {"name": "Südwerk", "status": "suspended"}}  # fmt: skip
    assert event.origin == {"address": "127.0.0.1"}
    count = len(await world.events(partner.id))
    same = await anna.patch(url(partner, account), json={"name": "Südwerk"}, headers=STAR)
    assert (same.headers["etag"], len(await world.events(partner.id))) == (
        '"2.0.1"',
        count,
    )  # nothing changed, nothing said


async def test_a_suspended_account_is_read_and_not_entered(world: World, partner: Partner, anna: AsyncClient):
    account = await world.account(partner, by="Anna")
    here = url(partner, account)
    for status, expected in (("suspended", 409), ("active", 200)):
        assert (await anna.patch(here, json={"status": status}, headers=STAR)).status_code == 200
        assert (await anna.get(here)).json()["status"] == status
        assert (await anna.get(f"{here}/overview")).status_code == 200
        answer = await anna.post(f"{here}/switch")
        assert answer.status_code == expected
    assert problem(await anna.patch(here, json={"status": "archived"}, headers=STAR)) == (422, "invalid")


async def test_an_archived_account_leaves_the_table_and_comes_back_whole(
    world: World, partner: Partner, anna: AsyncClient
):
    account = await world.account(partner, by="Anna", Eva=Role.ACCOUNT_EDITOR)
    here = url(partner, account)
    assert (await anna.delete(here, headers=STAR)).status_code == 204
    assert (await anna.get(url(partner))).json()["items"] == []
    archived = (await anna.get(url(partner), params={"filter": "status:eq:archived"})).json()["items"]
    assert [a["id"] for a in archived] == [str(account.id)]
    for attempt in (anna.post(f"{here}/switch"), anna.patch(here, json={"name": "X"}, headers=STAR),
                    anna.delete(here, headers=STAR),
                    anna.patch(f"{here}/members/{(await world.user('Eva')).id}", json={"role": "account_viewer"}, headers=STAR)):  # fmt: skip
        assert problem(await attempt) == (409, "account_archived")
    assert (await anna.get(f"{here}/overview")).json()["account"]["status"] == "archived"
    assert (await anna.post(f"{here}/restore")).json()["status"] == "active"
    members = (await anna.get(f"{here}/members")).json()["items"]
    assert {m["name"]: m["role"] for m in members} == {"Anna": "account_admin", "Eva": "account_editor"}


async def test_partner_people_read_every_account_and_members_their_own(world: World, partner: Partner):
    mine = await world.account(partner, by="Anna", Eva=Role.ACCOUNT_VIEWER)
    other = await world.account(partner, "Südbau", by="Max")
    vera, eva = await world.client("Vera"), await world.client("Eva")
    for account, status in ((mine, 200), (other, 404)):
        assert (await vera.get(url(partner, account))).status_code == 200
        assert (await eva.get(url(partner, account))).status_code == status
    assert problem(await vera.post(f"{url(partner, mine)}/switch")) == (403, "not_a_member")
    assert (await eva.post(f"{url(partner, mine)}/switch")).json()["role"] == "account_viewer"
    assert problem(await eva.get(url(partner))) == (404, "not_found")


async def test_the_overview_shows_members_and_pending_invitations(world: World, partner: Partner, anna: AsyncClient):
    account = await world.account(partner, by="Anna", Eva=Role.ACCOUNT_EDITOR)
    here = url(partner, account)
    for who in ("one", "two"):
        await anna.post(f"{here}/invitations", json={"email": f"{who}@example.com", "role": "account_viewer"})
    first = (await anna.get(f"{here}/invitations", params={"sort": "created_at"})).json()["items"][0]
    await anna.delete(f"{here}/invitations/{first['id']}", headers=STAR)
    answer = await anna.get(f"{here}/overview")
    shown = answer.json()
    assert shown["account"]["name"] == "Nordwerk GmbH"
    assert [m["name"] for m in shown["members"]] == ["Anna", "Eva"]
    assert [i["email"] for i in shown["pending_invitations"]] == ["two@example.com"]
    same = await anna.get(f"{here}/overview", headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


async def test_the_table_is_sorted_searched_and_filtered(world: World, partner: Partner, anna: AsyncClient):
    names = ["Zebra", "Äpfel & Co", "Bär KG", "apfelhof", "100% Öko", "Straße_7"]
    for age, name in enumerate(names):
        account = await world.account(partner, name, by="Anna")
        async with world.transaction(partner.id) as db:
            old = utc_now() - timedelta(days=age)
            await db.execute(update(Account).where(Account.id == account.id).values(created_at=old))

    async def found(**query: str) -> list[str]:
        answer = await anna.get(url(partner), params=query)
        assert answer.status_code == 200, answer.text
        return [a["name"] for a in answer.json()["items"]]

    by_name = ["100% Öko", "Äpfel & Co", "apfelhof", "Bär KG", "Straße_7", "Zebra"]
    assert await found() == await found(sort="name") == by_name
    assert await found(sort="-name") == by_name[::-1]
    assert await found(sort="-created_at") == names
    assert await found(q="APFEL") == ["Äpfel & Co", "apfelhof"]
    assert await found(q="strasse") == ["Straße_7"]
    assert await found(q="%") == ["100% Öko"]
    assert await found(q="_") == ["Straße_7"]
    assert await found(filter="name:starts_with:b") == ["Bär KG"]
    assert await found(filter="name:in:zebra,bär kg") == ["Bär KG", "Zebra"]
    assert await found(filter=f"created_at:lt:{(utc_now() - timedelta(days=4.5)).isoformat()}") == ["Straße_7"]


async def test_text_that_a_changed_column_cleared_is_no_longer_found(partner: Partner, anna: AsyncClient):
    columns = f"/v1/partners/{partner.id}/properties"
    await anna.post(columns, json={"key": "city", "type": "text", "label": {"en": "City"}})
    made = await anna.post(url(partner), json={"name": "Nordwerk GmbH", "properties": {"city": "berlin"}})
    assert made.status_code == 201, made.text
    for asked in ({"q": "berlin"}, {"filter": "properties.city:eq:berlin"}):
        assert len((await anna.get(url(partner), params=asked)).json()["items"]) == 1
    stricter, clear = {"pattern": "[A-Z]+"}, {"on_conflict": "clear"}
    changed = await anna.patch(f"{columns}/city", json=stricter, params=clear, headers=STAR)
    assert changed.status_code == 200, changed.text
    for asked in ({"q": "berlin"}, {"filter": "properties.city:eq:berlin"}):
        assert (await anna.get(url(partner), params=asked)).json()["items"] == []
    (left,) = (await anna.get(url(partner), params={"q": "nordwerk"})).json()["items"]
    assert left["properties"] == {"city": None}


async def test_an_order_of_columns_names_each_once(partner: Partner, anna: AsyncClient):
    here = f"/v1/partners/{partner.id}"
    for key in ("city", "street"):
        await anna.post(f"{here}/properties", json={"key": key, "type": "text", "label": {"en": key}})
    answer = await anna.post(f"{here}/property-order", json={"keys": ["street", "street"]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/keys")
    assert answer.json()["errors"][0]["code"] == "duplicate_key"
    assert [i["key"] for i in (await anna.get(f"{here}/properties")).json()["items"]] == ["city", "street"]


async def test_a_switch_token_is_good_for_its_account_alone(world: World, partner: Partner, anna: AsyncClient):
    mine, other = await world.account(partner, by="Anna"), await world.account(partner, "Südbau", by="Anna")
    token = (await anna.post(f"{url(partner, mine)}/switch")).json()["access_token"]
    inside = await world.client(token=token)
    assert (await inside.get(url(partner, mine))).status_code == 200
    assert problem(await inside.get(url(partner, other))) == (404, "not_found")
    for path in (url(partner), "/v1/me", "/v1/partners"):
        assert problem(await inside.get(path)) == (403, "insufficient_scope")
    assert problem(await inside.patch(url(partner, mine), json={"name": "X"}, headers=STAR)) == (403, "forbidden")


async def test_operators_manage_accounts_and_are_members_only_of_their_own(world: World, partner: Partner):
    account = await world.account(partner, by="Anna")
    operator = await world.client("Olivia", operator=True)
    assert (await operator.patch(url(partner, account), json={"name": "Neu"}, headers=STAR)).status_code == 200
    assert (await world.events(partner.id))[-1].actor == "operator"
    assert problem(await operator.post(f"{url(partner, account)}/switch")) == (403, "not_a_member")
    own = await operator.post(url(partner), json={"name": "Probe"})
    assert (await operator.post(f"{own.headers['location']}/switch")).status_code == 200
