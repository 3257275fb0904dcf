"""Time zones: an account counts by its own, or else by its partner's."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from httpx import AsyncClient

from app.models import Account, Partner
from app.policy import Role
from app.services import time_zones
from tests.conftest import World, problem

STAR = {"If-Match": "*"}
WRONG = ("", "europe/berlin", "Berlin", "CEST", "+02:00", "UTC+2", "Europe/", "../etc/passwd", "/etc/localtime", "localtime",
         "Factory", "posixrules", "Europe/Berlin\n", "x" * 65, 7, ["UTC"])  # fmt: skip


async def zone_of(world: World, partner: Partner, account_id: Any) -> ZoneInfo:
    async with world.transaction(partner.id) as db:
        return await time_zones.of(db, await db.get_one(Account, (partner.id, account_id)))


async def refused(client: AsyncClient, method: str, path: str, rest: dict[str, Any]) -> None:
    """Whatever is no name of a time zone is refused, with its pointer."""
    for wrong in WRONG:
        answer = await client.request(method, path, json=rest | {"time_zone": wrong}, headers=STAR)
        assert problem(answer) == (422, "invalid"), wrong
        assert answer.json()["errors"][0]["pointer"] == "/time_zone", wrong


async def test_a_partner_has_a_time_zone_that_operators_set(world: World):
    olivia = await world.client("Olivia", operator=True)
    plain = (await olivia.post("/v1/partners", json={"name": "Acme"})).json()
    made = await olivia.post("/v1/partners", json={"name": "Sensorhaus", "time_zone": "Europe/Berlin"})
    assert (plain["time_zone"], made.json()["time_zone"]) == ("UTC", "Europe/Berlin")
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna, here = await world.client("Anna"), f"/v1/partners/{partner.id}"
    assert (await anna.get(here)).json()["time_zone"] == "UTC"
    change = {"time_zone": "America/New_York"}
    assert problem(await anna.patch(here, json=change, headers=STAR)) == (403, "forbidden")
    assert (await olivia.patch(here, json=change, headers=STAR)).json()["time_zone"] == "America/New_York"
    assert (await anna.get(here)).json()["time_zone"] == "America/New_York"
    event = (await world.events(partner.id))[-1]
    assert (event.type, event.details) == ("partner.updated", {"before": {"time_zone": "UTC"}, "after": change})
    await refused(olivia, "PATCH", here, {})
    await refused(olivia, "POST", "/v1/partners", {"name": "Wrong"})
    assert problem(await olivia.patch(here, json={"time_zone": None}, headers=STAR)) == (422, "invalid")
    assert (await anna.get(here)).json()["time_zone"] == "America/New_York"


@pytest.mark.parametrize("own", ["Pacific/Auckland", None])
async def test_an_account_counts_by_its_own_time_zone_or_else_by_its_partners(world: World, own: str | None):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER, Vera=Role.PARTNER_VIEWER)
    olivia, anna = await world.client("Olivia", operator=True), await world.client("Anna")
    await olivia.patch(f"/v1/partners/{partner.id}", json={"time_zone": "Europe/Berlin"}, headers=STAR)
    accounts = f"/v1/partners/{partner.id}/accounts"
    made = await anna.post(accounts, json={"name": "Nordwerk", "time_zone": own})
    assert (made.status_code, made.json()["time_zone"]) == (201, own)
    here, account_id = made.headers["location"], made.json()["id"]
    opened = next(e for e in await world.events(partner.id) if e.type == "account.created")
    assert (opened.details or {})["after"]["time_zone"] == own
    for shown in ((await anna.get(here)).json(), (await anna.get(accounts)).json()["items"][0],
                  (await anna.get(f"{here}/overview")).json()["account"]):  # fmt: skip
        assert shown["time_zone"] == own
    assert await zone_of(world, partner, account_id) == ZoneInfo(own or "Europe/Berlin")

    vera, max_ = await world.client("Vera"), await world.client("Max")
    assert problem(await vera.patch(here, json={"time_zone": "UTC"}, headers=STAR)) == (403, "forbidden")
    changed = await max_.patch(here, json={"time_zone": "Asia/Tokyo"}, headers=STAR)
    assert (changed.status_code, changed.json()["time_zone"]) == (200, "Asia/Tokyo")
    event = (await world.events(partner.id))[-1]
    assert (event.type, event.details) == (
        "account.updated", {"before": {"time_zone": own}, "after": {"time_zone": "Asia/Tokyo"}})  # fmt: skip
    assert await zone_of(world, partner, account_id) == ZoneInfo("Asia/Tokyo")
    await refused(max_, "PATCH", here, {})
    await refused(max_, "POST", accounts, {"name": "Wrong"})
    assert (await max_.patch(here, json={"name": "Südwerk"}, headers=STAR)).json()["time_zone"] == "Asia/Tokyo"
    cleared = await max_.patch(here, json={"time_zone": None}, headers=STAR)
    assert cleared.json() == (await anna.get(accounts)).json()["items"][0]
    assert await zone_of(world, partner, account_id) == ZoneInfo("Europe/Berlin")


async def test_batches_set_time_zones_and_imports_leave_them(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna, here = await world.client("Anna"), f"/v1/partners/{partner.id}"
    zones = ("Europe/Vienna", None)
    items = [{"action": "create", "account": {"name": f"A {z}", "time_zone": z}} for z in zones]
    made = (await anna.post(f"{here}/account-batches", json={"items": items})).json()["results"]
    assert [r["account"]["time_zone"] for r in made] == [*zones]
    file = {"file": ("accounts.csv", b"name\nA Europe/Vienna\nA None\nNew\n")}
    job = (await anna.post(f"{here}/account-imports", files=file)).json()
    await world.worker().import_all()
    assert (await anna.post(f"{here}/account-imports/{job['id']}/confirm")).status_code == 200
    await world.worker().import_all()
    shown = (await anna.get(f"{here}/accounts", params={"sort": "created_at"})).json()["items"]
    assert [(a["name"], a["time_zone"]) for a in shown] == [
        ("A Europe/Vienna", zones[0]),
        ("A None", None),
        ("New", None),
    ]
    opened = [e.details or {} for e in await world.events(partner.id) if e.type == "account.created"]
    assert [d["after"]["time_zone"] for d in opened] == [*zones, None]
