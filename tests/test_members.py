"""Members of partners and accounts; neither ever loses its last admin."""

from collections.abc import AsyncGenerator
from uuid import UUID

import pytest

from app.policy import Role
from tests.conftest import MISCOUNTED, Owner, World, problem

STAR = {"If-Match": "*"}


@pytest.fixture(params=["partner", "account"])
async def crew(request: pytest.FixtureRequest, world: World, owner: Owner) -> AsyncGenerator[tuple[str, str]]:
    """Address of a list of members, and the prefix of its roles: Anna and Ben are admins, Vera is a viewer.

    Whatever a test does with them, in the end each account says how many members it has.
    """
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Ben=Role.PARTNER_ADMIN, Vera=Role.PARTNER_VIEWER)
    account = await world.account(partner, by="Anna", Ben=Role.ACCOUNT_ADMIN, Vera=Role.ACCOUNT_VIEWER)
    here = f"/v1/partners/{partner.id}"
    members = f"{here}/members" if request.param == "partner" else f"{here}/accounts/{account.id}/members"
    yield members, request.param
    assert await owner.rows(MISCOUNTED) == []


async def test_a_role_is_changed_and_holds_from_the_next_request(world: World, crew: tuple[str, str]):
    members, kind = crew
    anna, ben = await world.client("Anna"), await world.client("Ben")
    vera = (await world.user("Vera")).id
    shown = await anna.get(f"{members}/{vera}")
    assert (shown.json()["role"], shown.json()["email"]) == (f"{kind}_viewer", "vera@example.com")
    changed = await anna.patch(f"{members}/{vera}", json={"role": f"{kind}_admin"}, headers={"If-Match": "*"})
    assert changed.json()["role"] == f"{kind}_admin"
    assert changed.headers["etag"] != shown.headers["etag"]
    assert (
        await (await world.client("Vera")).delete(f"{members}/{(await world.user('Ben')).id}", headers=STAR)
    ).status_code == 204
    gone = await ben.patch(f"{members}/{vera}", json={"role": f"{kind}_viewer"}, headers=STAR)
    assert gone.status_code == (
        404 if kind == "partner" else 200
    )  # Ben is still the partner's admin in the second case


async def test_the_last_admin_stays(world: World, crew: tuple[str, str]):
    members, kind = crew
    anna = await world.client("Anna")
    anna_id, ben_id = (await world.user("Anna")).id, (await world.user("Ben")).id
    assert (await anna.patch(f"{members}/{ben_id}", json={"role": f"{kind}_viewer"}, headers=STAR)).status_code == 200
    demoted = await anna.patch(f"{members}/{anna_id}", json={"role": f"{kind}_viewer"}, headers=STAR)
    removed = await anna.delete(f"{members}/{anna_id}", headers=STAR)
    assert problem(demoted) == problem(removed) == (409, "last_admin")
    roles = {m["name"]: m["role"] for m in (await anna.get(members)).json()["items"]}
    assert roles == {"Anna": f"{kind}_admin", "Ben": f"{kind}_viewer", "Vera": f"{kind}_viewer"}


async def test_members_are_listed_by_name_and_filtered_by_role(world: World, crew: tuple[str, str]):
    members, kind = crew
    anna = await world.client("Anna")

    async def names(**query: str) -> list[str]:
        return [m["name"] for m in (await anna.get(members, params=query)).json()["items"]]

    assert await names() == ["Anna", "Ben", "Vera"]
    assert await names(sort="-name", filter=f"role:eq:{kind}_admin") == ["Ben", "Anna"]
    assert await names(q="ER") == ["Vera"]
    first = (await anna.get(members, params={"limit": 2})).json()
    rest = (await anna.get(members, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [m["name"] for m in first["items"] + rest["items"]] == ["Anna", "Ben", "Vera"]


async def test_somebody_who_is_no_member_is_not_found(world: World, crew: tuple[str, str]):
    members, kind = crew
    anna, stranger = await world.client("Anna"), await world.user("Stranger")
    for who in (stranger.id, UUID(int=1)):
        assert problem(await anna.get(f"{members}/{who}")) == (404, "not_found")
        assert problem(await anna.patch(f"{members}/{who}", json={"role": f"{kind}_admin"}, headers=STAR)) == (
            404,
            "not_found",
        )
        assert problem(await anna.delete(f"{members}/{who}", headers=STAR)) == (404, "not_found")


async def test_each_change_of_members_is_an_event(world: World, crew: tuple[str, str]):
    members, kind = crew
    anna, vera = await world.client("Anna"), await world.user("Vera")
    partner_id = UUID(members.split("/")[3])
    await anna.patch(f"{members}/{vera.id}", json={"role": f"{kind}_admin"}, headers=STAR)
    await anna.delete(f"{members}/{vera.id}", headers=STAR)
    changed, removed = (await world.events(partner_id))[-2:]
    assert (
        changed.type,
        changed.details and changed.details["before"],
        changed.details and changed.details["after"],
    ) == (
        f"{kind}_member.role_changed",
        {"user_id": str(vera.id), "role": f"{kind}_viewer"},
        {"user_id": str(vera.id), "role": f"{kind}_admin"},
    )
    assert (removed.type, removed.actor_id) == (f"{kind}_member.removed", (await world.user("Anna")).id)
