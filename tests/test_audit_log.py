"""The audit log: who did what, for operators and partner admins."""

from typing import Any

from app.policy import Role
from tests.conftest import World, problem

STAR = {"If-Match": "*"}


async def test_it_says_who_did_what_from_where_the_newest_first(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Mia=Role.PARTNER_MANAGER)
    at, anna, mia = f"/v1/partners/{partner.id}", await world.client("Anna"), await world.client("Mia")
    made = (await anna.post(f"{at}/accounts", json={"name": "Before"})).json()
    done = await mia.patch(f"{at}/accounts/{made['id']}", json={"name": "After"}, headers=STAR)
    fresh = (await anna.get(f"{at}/audit-log")).json()["items"][0]
    assert (fresh["position"], fresh["hash"]) == (None, None)
    await world.worker().number_all()
    newest = (await anna.get(f"{at}/audit-log")).json()["items"][0]
    (event,) = [e for e in await world.events(partner.id) if e.type == "account.updated"]
    assert event.hash
    assert (newest["position"], newest["hash"]) == (event.position, event.hash.hex())
    assert (newest["type"], newest["subject_id"]) == ("account.updated", made["id"])
    assert (newest["before"], newest["after"]) == ({"name": "Before"}, {"name": "After"})
    assert (newest["actor"], newest["actor_id"]) == ("user", str(world.people["Mia"].id))
    assert (newest["address"], newest["request_id"]) == ("127.0.0.1", done.headers["x-request-id"])
    assert problem(await mia.get(f"{at}/audit-log")) == (403, "forbidden")


async def test_pages_hold_every_entry_once_and_filters_choose(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Mia=Role.PARTNER_MANAGER)
    at, anna, mia = f"/v1/partners/{partner.id}/audit-log", await world.client("Anna"), await world.client("Mia")
    ids = [(await api.post(f"/v1/partners/{partner.id}/accounts", json={"name": n})).json()["id"]
           for n, api in (("A", anna), ("B", mia), ("C", mia))]  # fmt: skip
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    for _ in range(20):
        page = (await anna.get(at, params=query)).json()
        found += [e["id"] for e in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == [str(e.id) for e in reversed(await world.events(partner.id))]

    async def chosen(*filters: str) -> list[dict[str, Any]]:
        answer = await anna.get(at, params={"filter": [*filters], "count": True})
        assert answer.json()["total"] == len(answer.json()["items"]), answer.text
        return answer.json()["items"]

    async def made(*filters: str) -> list[str]:
        return [e["subject_id"] for e in await chosen("type:eq:account.created", *filters)]

    mia_id = world.people["Mia"].id
    assert await made() == [ids[2], ids[1], ids[0]]
    assert await made(f"actor_id:eq:{mia_id}") == [ids[2], ids[1]]
    assert await made(f"subject_id:in:{ids[0]},{ids[2]}") == [ids[2], ids[0]]
    assert await made("actor:eq:operator") == []
    assert {e["account_id"] for e in await chosen(f"account_id:eq:{ids[1]}")} == {ids[1]}
    assert {e["account_id"] for e in await chosen("account_id:is_null:true")} == {None}
    (entry,) = await chosen("type:eq:account.created", f"subject_id:eq:{ids[1]}")
    assert [e["id"] for e in await chosen(f"request_id:eq:{entry['request_id']}", "type:eq:account.created")] == [
        entry["id"]
    ]
    assert await made(f"occurred_at:lt:{entry['occurred_at']}") == [ids[0]]
    assert await made(f"occurred_at:gte:{entry['occurred_at']}") == [ids[2], ids[1]]
    assert problem(await anna.get(at, params={"filter": "hash:eq:x"})) == (422, "invalid")
    assert problem(await anna.get(at, params={"sort": "type"})) == (422, "invalid")


async def test_ids_of_another_partner_choose_nothing(world: World):
    partner, rival = await world.partner(Anna=Role.PARTNER_ADMIN), await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    at, anna = f"/v1/partners/{partner.id}", await world.client("Anna")
    theirs = await world.account(rival, "Theirs", by="Rita")
    await world.worker().number_all()
    rita = str(world.people["Rita"].id)
    for chosen in (f"account_id:eq:{theirs.id}", f"subject_id:eq:{theirs.id}", f"actor_id:eq:{rita}"):
        assert (await anna.get(f"{at}/audit-log", params={"filter": chosen})).json()["items"] == [], chosen
    assert (await anna.get(f"{at}/events", params={"account_id": str(theirs.id)})).json()["items"] == []
    assert (await anna.get(f"{at}/events")).json()["items"] != []
