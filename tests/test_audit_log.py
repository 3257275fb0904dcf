"""The audit log: who did what, for operators and partner admins."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

from httpx import Response

from app.db import snapshot
from app.express import DIALECT
from app.models import PLATFORM, Event, utc_now
from app.policy import Access, Caller, Role
from app.services import audit_logs, lists
from app.sheets import CsvWriter
from app.tenancy import confine
from tests.conftest import Owner, World, problem

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


async def test_filter_by_what_there_is_not_is_refused_and_says_what_comes_near(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    at, anna = f"/v1/partners/{partner.id}/audit-log", await world.client("Anna")
    for asked, said in (
        ("type:eq:account.create", "There is no such type of event. Near it: account.created, "),
        ("type:in:account.created,acount.updated", "There is no such type of event. Near it: account.updated, "),
        ("type:ne:7", "There is no such type of event."),
        ("type:eq:", "There is no such type of event."),
        ("type:eq:user.created", "There is no such type of event."),  # of no partner
        ("subject_type:eq:acount", "Nothing of this kind is in the log. Near it: account, "),
        ("subject_type:eq:" + "x" * 400, "Nothing of this kind is in the log."),
    ):
        for place in (at, f"{at}.csv"):
            refused = await anna.get(place, params={"filter": asked})
            assert problem(refused) == (422, "invalid"), asked
            (error,) = refused.json()["errors"]
            assert (error["pointer"], error["code"]) == ("query:filter", "invalid_value")
            assert error["detail"].startswith(said), error["detail"]
    for fine in ("type:eq:claim.created", "subject_type:in:account,webhook"):
        assert (await anna.get(at, params={"filter": fine})).status_code == 200


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
    assert len(await made("occurred_at:gte:0001-01-01", "occurred_at:lt:9999-12-31T23:59:59Z")) == 3
    assert await made(f"occurred_at:eq:{entry['occurred_at']}") in ([], [ids[1]])  # it has microseconds
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


# --- a stretch of time ---


async def test_a_day_of_a_long_log_is_found_by_its_ids(world: World, owner: Owner):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    at, anna = f"/v1/partners/{partner.id}/audit-log", await world.client("Anna")
    await fill(owner, partner.id, days=400, each=50)
    await owner.execute("ANALYZE events")
    day = utc_now().date() - timedelta(days=300)
    query: dict[str, Any] = {
        "filter": [f"occurred_at:gte:{day}", f"occurred_at:lt:{day + timedelta(days=1)}"],
        "count": True,
    }
    found = (await anna.get(at, params=query)).json()
    assert found["total"] == 50
    assert {e["occurred_at"][:10] for e in found["items"]} == {str(day)}
    statement = audit_logs._matching(lists.Query(tuple(query["filter"]))).where(Event.partner_id == partner.id)
    sql = statement.order_by(Event.id.desc()).compile(dialect=DIALECT, compile_kwargs={"literal_binds": True})
    plan = json.loads(await owner.value(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}"))[0]["Plan"]
    passed_over = sum(node.get("Rows Removed by Filter", 0) for node in (plan, *plan.get("Plans", ())))
    assert passed_over < 500, plan  # of 20,000


async def fill(owner: Owner, partner_id: Any, *, days: int, each: int) -> None:
    """So many entries of each of the last days, with ids of their time."""
    await owner.execute(
        "INSERT INTO events (partner_id, id, type, subject_type, subject_id, actor, details, salt, details_hash, origin,"
        " origin_salt, origin_hash, created_at) SELECT $1, overlay(overlay(gen_random_uuid()::text PLACING"
        " lpad(to_hex((extract(epoch FROM t) * 1000)::bigint >> 16), 8, '0') FROM 1 FOR 8) PLACING"
        " lpad(to_hex((extract(epoch FROM t) * 1000)::bigint & 65535), 4, '0') FROM 10 FOR 4)::uuid,"
        " 'account.updated', 'account', $1, 'system', '{\"before\": null, \"after\": null}', '\\x00', '\\x00',"
        " '{\"address\": \"192.0.2.7\"}', '\\x00', '\\x00', t"
        " FROM (SELECT date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - d * interval '1 day'"
        " + n * interval '1 minute' AS t FROM generate_series(1, $2::int) d, generate_series(1, $3::int) n) s",
        partner_id, days, each,
    )  # fmt: skip


# --- as a file ---


def rows(answer: Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def test_it_is_exported_with_the_same_filters_and_that_is_an_entry_itself(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Mia=Role.PARTNER_MANAGER)
    at, anna, mia = f"/v1/partners/{partner.id}", await world.client("Anna"), await world.client("Mia")
    made = (await anna.post(f"{at}/accounts", json={"name": '=1+1 "A"'}, headers={"X-Request-Id": "-1-cmd"})).json()
    await world.worker().number_all()
    answer = await anna.get(f"{at}/audit-log.csv", params={"filter": "type:eq:account.created"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-log-')
    (row,) = rows(answer)
    (entry,) = (await anna.get(f"{at}/audit-log", params={"filter": "type:eq:account.created"})).json()["items"]
    assert json.loads(row["after"]) == entry["after"]
    assert json.loads(row["after"])["name"] == '=1+1 "A"'
    assert (row["subject_id"], row["address"], row["hash"]) == (made["id"], "127.0.0.1", entry["hash"])
    assert (row["occurred_at"], row["position"]) == (entry["occurred_at"], str(entry["position"]))
    assert row["request_id"] == "'-1-cmd"  # no formula
    assert row["before"] == ""
    newest, *rest = rows(await anna.get(f"{at}/audit-log.csv", params={"separator": "comma"}))
    assert newest["type"] == "audit_log.exported"
    assert len(rest) == len(await world.events(partner.id)) - 1
    (said, _) = (e for e in await world.events(partner.id) if e.type == "audit_log.exported")
    assert said.details == {"before": None, "after": {"format": "csv", "filters": 1}}
    before = len(await world.events(partner.id))
    assert (await anna.head(f"{at}/audit-log.csv")).status_code == 200
    assert problem(await mia.get(f"{at}/audit-log.csv")) == (403, "forbidden")
    assert problem(await anna.get(f"{at}/audit-log.csv", params={"filter": "hash:eq:x"})) == (422, "invalid")
    assert len(await world.events(partner.id)) == before


async def test_a_long_log_is_exported_by_pieces(world: World, owner: Owner):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    await fill(owner, partner.id, days=300, each=10)
    anna = await world.client("Anna")
    found = rows(await anna.get(f"/v1/partners/{partner.id}/audit-log.csv"))
    assert len(found) == len(await world.events(partner.id)) > 3000
    assert [r["id"] for r in found] == sorted((r["id"] for r in found), reverse=True)
    access = Access(Caller(PLATFORM, PLATFORM), partner.id, frozenset({Role.PARTNER_ADMIN}))
    async with snapshot(world.begin) as db:
        await confine(db, partner.id)
        pieces = [piece async for piece in audit_logs.pieces(db, access, lists.Query(), CsvWriter())]
    assert len(pieces) > 6
    assert max(piece.count(b"\r\n") for piece in pieces) <= audit_logs.BATCH + 1
