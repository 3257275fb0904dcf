"""Operators who look at a partner's data: the partner reads of it, and nobody else's reading writes anything."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import update

from app import looks
from app.models import PLATFORM, Partner, PartnerMember, Session, utc_now
from app.models.partner import PartnerStatus
from app.policy import Role
from tests.conftest import Owner, World, problem


async def seen(world: World, partner: Partner) -> list[str]:
    """What operators looked at, in order."""
    return [e.details["after"]["operation"] for e in await world.events(partner.id)
            if e.type == "partner.viewed" and e.details]  # fmt: skip


async def stage(world: World) -> tuple[Partner, str, str, AsyncClient]:
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    at = f"/v1/partners/{partner.id}"
    return partner, at, f"{at}/accounts/{account.id}", await world.client("Olga", operator=True)


async def test_what_an_operator_reads_is_in_the_audit_log_of_the_partner(world: World):
    partner, at, account, olga = await stage(world)
    search: dict[str, Any] = {"q": "nord"}
    for _ in range(3):  # the express lanes too, which answer otherwise the second time
        for path in (at, f"{at}/accounts", f"{at}/members", f"{at}/audit-log", f"{at}/accounts.csv"):
            assert (await olga.get(path)).status_code == 200, path
        for path in (account, f"{account}/overview", f"{account}/members", f"{account}/claims"):
            assert (await olga.get(path)).status_code == 200, path
        assert (await olga.post(f"{at}/account-searches", json=search)).status_code == 200
    assert await seen(world, partner) == [
        "getPartner", "listAccounts", "listPartnerMembers", "listAuditLog", "exportAccountsAsCsv", "getAccount",
        "getAccountOverview", "listAccountMembers", "listClaims", "searchAccounts",
    ]  # fmt: skip
    anna = await world.client("Anna")
    query = {"filter": ["type:eq:partner.viewed"], "limit": 1}
    (entry,) = (await anna.get(f"{at}/audit-log", params=query)).json()["items"]
    assert (entry["actor"], entry["actor_id"]) == ("operator", str(world.people["Olga"].id))
    assert (entry["before"], entry["after"]) == (None, {"operation": "searchAccounts"})
    assert (entry["address"], entry["subject_id"]) == ("127.0.0.1", str(partner.id))


async def test_reading_of_a_partners_own_people_writes_nothing(world: World):
    partner, at, account, olga = await stage(world)
    anna, before = await world.client("Anna"), len(await world.events(partner.id))
    async with world.transaction(partner.id) as db:
        db.add(PartnerMember(partner_id=partner.id, user_id=world.people["Olga"].id, role=Role.PARTNER_ADMIN))
    for api in (anna, olga):  # an operator who is a member reads as one
        for path in (at, f"{at}/accounts", f"{at}/audit-log", account, f"{account}/overview"):
            assert (await api.get(path)).status_code == 200, path
    assert len(await world.events(partner.id)) == before


async def test_refusals_and_changes_are_no_looks(world: World):
    partner, at, account, olga = await stage(world)
    assert problem(await olga.get(f"{at}/invitations/{partner.id}")) == (404, "not_found")
    assert problem(await olga.get(f"{at}/accounts", params={"sort": "nothing"})) == (422, "invalid")
    answer = await olga.patch(account, json={"name": "Other"}, headers={"If-Match": "*"})
    assert answer.status_code == 200
    assert await seen(world, partner) == []


async def test_looks_are_noted_again_after_a_quarter_of_an_hour_and_of_each_operator(world: World, owner: Owner):
    partner, at, _, olga = await stage(world)
    oscar = await world.client("Oscar", operator=True)
    for api in (olga, olga, oscar, oscar):
        assert (await api.get(f"{at}/members")).status_code == 200
    assert len(await seen(world, partner)) == 2
    looks._noted._kept.clear()  # as another process, which knows of nothing
    assert (await olga.get(f"{at}/members")).status_code == 200
    assert len(await seen(world, partner)) == 2
    for key, at_ in list(looks._noted._kept.items()):
        looks._noted.note(key, at_ - timedelta(minutes=16))
    await owner.execute("UPDATE events SET id = overlay(id::text PLACING '0000' FROM 1 FOR 4)::uuid"
                        " WHERE type = 'partner.viewed'")  # fmt: skip
    assert (await olga.get(f"{at}/members")).status_code == 200
    assert len(await seen(world, partner)) == 3


async def test_looks_at_once_are_one(world: World):
    partner, at, _, olga = await stage(world)
    answers = await asyncio.gather(*(olga.get(f"{at}/members") for _ in range(6)))
    assert {a.status_code for a in answers} == {200}
    assert await seen(world, partner) == ["listPartnerMembers"]


async def test_what_cannot_be_noted_is_not_shown(world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch):
    partner, at, _, olga = await stage(world)

    async def lost(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(looks.looks, "note", lost)
    answer = await olga.get(f"{at}/members")
    assert problem(answer) == (503, "unavailable")
    assert "anna@example.com" not in answer.text
    monkeypatch.undo()
    assert (await olga.get(f"{at}/members")).status_code == 200
    assert await seen(world, partner) == ["listPartnerMembers"]


async def test_looks_at_a_suspended_partner_are_noted(world: World):
    partner, at, _, olga = await stage(world)
    async with world.transaction(partner.id) as db:
        await db.execute(update(Partner).values(status=PartnerStatus.SUSPENDED))
    assert (await olga.get(f"{at}/accounts")).status_code == 200
    assert await seen(world, partner) == ["listAccounts"]
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(Session).values(ended_at=utc_now()))
    assert problem(await olga.get(f"{at}/members")) == (401, "unauthenticated")
