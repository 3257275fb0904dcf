"""Partners: taken on, switched and suspended by operators."""

from typing import Any
from uuid import UUID

from app.policy import Role
from tests.conftest import World, problem

STAR = {"If-Match": "*"}


async def test_only_operators_take_on_partners(world: World):
    anyone, operator = await world.client("Anna"), await world.client("Olivia", operator=True)
    body = {"name": "Sensorhaus GmbH", "language": "de"}
    assert problem(await anyone.post("/v1/partners", json=body)) == (403, "forbidden")
    made = await operator.post("/v1/partners", json=body)
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/partners/{made.json()['id']}")
    shown = (await operator.get(made.headers["location"])).json()
    assert (shown["name"], shown["status"], shown["partner_management_enabled"], shown["language"]) == (
        "Sensorhaus GmbH", "active", True, "de")  # fmt: skip
    assert problem(await anyone.get(made.headers["location"])) == (404, "not_found")
    event, look = await world.events(UUID(shown["id"]))
    assert (event.type, event.actor) == ("partner.created", "operator")
    assert (look.type, look.actor) == ("partner.viewed", "operator")


async def test_a_repeated_creation_is_one_partner(world: World):
    operator = await world.client("Olivia", operator=True)
    key = {"Idempotency-Key": "k-1"}
    first = await operator.post("/v1/partners", json={"name": "Acme"}, headers=key)
    again = await operator.post("/v1/partners", json={"name": "Acme"}, headers=key)
    assert (again.status_code, again.content, again.headers["location"]) == (
        201,
        first.content,
        first.headers["location"],
    )
    assert again.headers["idempotency-replayed"] == "true"
    assert len((await operator.get("/v1/partners")).json()["items"]) == 1
    assert problem(await operator.post("/v1/partners", json={"name": "B"}, headers=key)) == (
        422,
        "idempotency_key_reused",
    )


async def test_operators_list_and_search_all_partners(world: World):
    for name in ("Zeta", "Älpha", "Beta"):
        await world.partner(name)
    operator, anna = await world.client("Olivia", operator=True), await world.client("Anna")
    assert [p["name"] for p in (await operator.get("/v1/partners")).json()["items"]] == ["Älpha", "Beta", "Zeta"]
    assert [p["name"] for p in (await operator.get("/v1/partners", params={"q": "alp"})).json()["items"]] == ["Älpha"]
    assert problem(await anna.get("/v1/partners")) == (403, "forbidden")


async def test_with_partner_management_off_its_people_wait_and_customers_work_on(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Eva=Role.ACCOUNT_EDITOR)
    operator, anna, eva = (
        await world.client("Olivia", operator=True),
        await world.client("Anna"),
        await world.client("Eva"),
    )
    here = f"/v1/partners/{partner.id}"
    off = await operator.patch(here, json={"partner_management_enabled": False}, headers=STAR)
    assert off.status_code == 200
    assert (await anna.get("/v1/me")).json()["navigation"]["partner_management"] is False
    for attempt in (anna.get(here), anna.get(f"{here}/accounts"), anna.post(f"{here}/accounts", json={"name": "X"}),
                    anna.patch(f"{here}/accounts/{account.id}", json={"name": "X"}, headers=STAR)):  # fmt: skip
        assert problem(await attempt) == (403, "partner_management_off")
    assert (await eva.post(f"{here}/accounts/{account.id}/switch")).status_code == 200
    assert (await anna.post(f"{here}/accounts/{account.id}/switch")).status_code == 200  # as a member, like Eva
    await operator.patch(here, json={"partner_management_enabled": True}, headers=STAR)
    assert (await anna.get(f"{here}/accounts")).status_code == 200


async def test_a_suspended_partner_shuts_everybody_out_at_once(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Eva=Role.ACCOUNT_EDITOR)
    operator, anna, eva = (
        await world.client("Olivia", operator=True),
        await world.client("Anna"),
        await world.client("Eva"),
    )
    here = f"/v1/partners/{partner.id}"
    inside = await world.client(token=(await eva.post(f"{here}/accounts/{account.id}/switch")).json()["access_token"])
    assert (await operator.patch(here, json={"status": "suspended"}, headers=STAR)).json()["status"] == "suspended"
    for attempt in (anna.get(here), anna.get(f"{here}/accounts"), eva.get(f"{here}/accounts/{account.id}"),
                    eva.post(f"{here}/accounts/{account.id}/switch"), inside.get(f"{here}/accounts/{account.id}")):  # fmt: skip
        assert problem(await attempt) == (403, "partner_suspended")
    assert (await operator.get(f"{here}/accounts")).status_code == 200
    await operator.patch(here, json={"status": "active"}, headers=STAR)
    assert (await eva.post(f"{here}/accounts/{account.id}/switch")).status_code == 200


async def test_a_patch_changes_what_it_names_and_null_is_refused(world: World):
    operator = await world.client("Olivia", operator=True)
    partner = (await operator.post("/v1/partners", json={"name": "Acme", "language": "de"})).headers["location"]
    changed = (await operator.patch(partner, json={"name": "Acme II"}, headers=STAR)).json()
    assert (changed["name"], changed["language"], changed["partner_management_enabled"]) == ("Acme II", "de", True)
    refused: tuple[Any, ...] = (
        {"name": None},
        {"status": "gone"},
        {"partner_management_enabled": "yes"},
        {"id": partner},
        [],
        "x",
    )
    for body in refused:
        assert problem(await operator.patch(partner, json=body, headers=STAR)) == (422, "invalid")
    assert (await operator.patch(partner, json={}, headers=STAR)).json() == changed


async def test_the_first_admin_is_invited_with_the_creation(world: World):
    operator = await world.client("Olivia", operator=True)
    made = await operator.post("/v1/partners", json={"name": "Acme", "first_admin_email": "anna@acme.example.com"})
    invited = (await operator.get(f"{made.headers['location']}/invitations")).json()["items"]
    assert [(i["email"], i["role"], i["status"]) for i in invited] == [
        ("anna@acme.example.com", "partner_admin", "pending")
    ]
    assert [mail["To"] for mail in await world.mails()] == ["anna@acme.example.com"]
    wrong = await operator.post("/v1/partners", json={"name": "Beta", "first_admin_email": "nobody"})
    assert (problem(wrong), wrong.json()["errors"][0]["pointer"]) == ((422, "invalid"), "/first_admin_email")
    assert len((await operator.get("/v1/partners")).json()["items"]) == 1


async def test_asking_again_for_a_password_reset_fills_nobodys_mailbox(world: World):
    await world.user("Anna")
    anonymous = await world.client()
    for _ in range(5):
        assert (await anonymous.post("/v1/password-resets", json={"email": "anna@example.com"})).status_code == 202
    assert len(await world.mails()) == 1
