"""The chain of the change log: whoever changes it behind its back is found."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
import structlog
from pydantic import ValidationError
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import DBAPIError

from app import operate, worker
from app.config import Settings
from app.db import unit_of_work
from app.models import Event, EventKeeping
from app.policy import Role
from tests.conftest import Owner, World, running

OLDER = """
    UPDATE events SET created_at = created_at - $2::int * interval '1 day', position = NULL, hash = NULL,
           id = (lpad(to_hex(('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint - $2::bigint * 86400000),
                      12, '0') || right(translate(id::text, '-', ''), 20))::uuid
     WHERE partner_id = $1
"""
"""All of a partner's events, as if they had happened so many days before."""


@pytest.mark.parametrize(("tampering", "why"), [
    ("UPDATE events SET details = '{\"before\": null, \"after\": {}}' {at}", "its content was changed"),
    ("UPDATE events SET origin = '{\"address\": \"192.0.2.1\"}' {at}", "its origin was changed"),
    ("UPDATE events SET details = NULL {at}", "its content was taken away, or put in, without the salt"),
    ("UPDATE events SET type = 'account.read' {at}", "its facts are not those that were chained"),
    ("UPDATE events SET actor_id = partner_id {at}", "its facts are not those that were chained"),
    ("DELETE FROM events {at}", "an entry is missing"),
])  # fmt: skip
async def test_whatever_is_changed_afterwards_is_found_where_it_is(
    world: World, owner: Owner, tampering: str, why: str
):
    partner, other = await world.partner(Anna=Role.PARTNER_ADMIN), await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    for name in "ABC":
        await world.account(partner, name, by="Anna")
    await world.worker().number_all()
    whole = await operate.verify_log(world.settings, None)
    assert {partner.id, other.id} <= set(whole)
    assert [v for v in whole.values() if v.broken_at] == []
    assert whole[partner.id].entries == len(await world.events(partner.id)) > 3
    await owner.execute(tampering.replace("{at}", "WHERE partner_id = $1 AND position = 3"), partner.id)
    found = await operate.verify_log(world.settings, None)
    assert (found[partner.id].entries, found[partner.id].broken_at, found[partner.id].why) == (2, 3, why)
    assert found[other.id] == whole[other.id]
    assert await operate.verify_log(world.settings, partner.id) == {partner.id: found[partner.id]}


async def test_a_partner_that_there_is_not_has_no_log_that_could_be_whole(world: World):
    await world.partner(Anna=Role.PARTNER_ADMIN)
    with pytest.raises(operate.Refused, match="there is no entry of a partner"):
        await operate.verify_log(world.settings, uuid4())


async def test_what_is_erased_with_its_salt_leaves_the_chain_whole(world: World, owner: Owner):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    await world.account(partner, "A", by="Anna")
    await world.worker().number_all()
    erased = "UPDATE events SET details = NULL, salt = NULL, origin = NULL, origin_salt = NULL WHERE partner_id = $1"
    await owner.execute(erased, partner.id)
    assert (await operate.verify_log(world.settings, partner.id))[partner.id].broken_at is None


# --- what has been kept long enough ---


async def aged(world: World, owner: Owner, days: int) -> tuple[UUID, str]:
    """A partner with old events and one new one, and the name of its old account."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    api, name = await world.client("Anna"), "Old canary"
    assert (await api.post(f"/v1/partners/{partner.id}/accounts", json={"name": name})).status_code == 201
    await owner.execute(OLDER, partner.id, days)
    assert (await api.post(f"/v1/partners/{partner.id}/accounts", json={"name": "New"})).status_code == 201
    await world.worker().number_all()
    return partner.id, name


async def kept(owner: Owner, partner_id: UUID) -> list[dict[str, Any]]:
    return await owner.rows(
        "SELECT details::text, origin, salt, origin_salt, actor_id FROM events WHERE partner_id = $1 ORDER BY position",
        partner_id,
    )


async def test_what_has_been_kept_long_enough_is_erased_and_the_chain_stays_whole(
    settings: Settings, owner: Owner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(worker, "EVENTS_AT_ONCE", 1)
    async with running(settings.model_copy(update={"audit_days": 100})) as world:
        partner_id, name = await aged(world, owner, 101)
        before = await kept(owner, partner_id)
        assert name in str(before)
        await asyncio.gather(world.worker().erase_all(), world.worker().erase_all())
        found = await kept(owner, partner_id)
        assert len(found) == len(before)
        gone = [row for row in found if row["details"] is None]
        assert len(gone) == len(found) - 2  # of the new account and its first member
        assert {(row["origin"], row["salt"], row["origin_salt"]) for row in gone} == {(None, None, None)}
        assert found[-2:] == before[-2:]
        assert [row["actor_id"] for row in found] == [row["actor_id"] for row in before]
        assert name not in str(found)
        assert (await operate.verify_log(world.settings, partner_id))[partner_id].broken_at is None
        api = await world.client("Anna")
        entries = (await api.get(f"/v1/partners/{partner_id}/audit-log")).json()["items"]
        assert (entries[-1]["type"], entries[-1]["after"], entries[-1]["address"]) == ("partner.created", None, None)
        marks = await owner.rows("SELECT partner_id, erased_to FROM event_keepings WHERE partner_id = $1", partner_id)
        await world.worker().erase_all()
        assert marks == await owner.rows(
            "SELECT partner_id, erased_to FROM event_keepings WHERE partner_id = $1", partner_id
        )


async def test_a_log_that_cannot_be_erased_keeps_no_other_from_it(settings: Settings, owner: Owner):
    async with running(settings.model_copy(update={"audit_days": 100})) as world:
        stuck = [(await aged(world, owner, 101))[0] for _ in range(3)]
        partner_id, name = await aged(world, owner, 101)
        for number, other in enumerate(stuck):
            condition = f"CHECK (partner_id <> '{other}' OR salt IS NOT NULL) NOT VALID"
            await owner.execute(f"ALTER TABLE events ADD CONSTRAINT stuck_{number} {condition}")
        with structlog.testing.capture_logs() as logged:
            await world.worker().erase_all()
        assert {(e["event"], e["work"]) for e in logged} == {("work failed", "erase events")}
        assert name not in str(await kept(owner, partner_id))


async def test_what_is_younger_stays(world: World, owner: Owner):
    partner_id, _ = await aged(world, owner, 3640)
    before = await kept(owner, partner_id)
    await world.worker().erase_all()
    assert await kept(owner, partner_id) == before


async def test_the_application_cannot_erase_what_is_younger_than_thirty_days(world: World, owner: Owner):
    partner_id, _ = await aged(world, owner, 29)
    before = await kept(owner, partner_id)
    async with unit_of_work(world.begin) as db:
        assert await db.scalar(select(func.erase_events(partner_id, -1000, 1000))) == 0
    assert await kept(owner, partner_id) == before
    for forged in (update(Event).values(details=None), delete(EventKeeping)):
        async with world.transaction(partner_id) as db:
            with pytest.raises(DBAPIError, match="permission denied"):
                await db.execute(forged)


def test_the_log_is_kept_at_least_as_long_as_the_feed():
    with pytest.raises(ValidationError, match="AUDIT_DAYS"):
        Settings(_env_file=None, event_days=90, audit_days=89)  # pyright: ignore[reportCallIssue]
