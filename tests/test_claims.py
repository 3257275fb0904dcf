"""Claims: units that resources take, up to the limit and never past it."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient

from app.models import PLATFORM, Account, AccountStatus, Overage, Partner
from app.policy import Role
from tests.conftest import Owner, World, problem
from tests.pools import at, change, claim, feature, in_days, licence, nothing_is_lost

R = Role


async def shop(world: World, **crew: Role) -> Account:
    """An account with an editor, Eva, and 10 units of `assets`."""
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Eva=R.ACCOUNT_EDITOR, **crew)
    await feature(world)
    await licence(world, account)
    return account


async def used(owner: Owner, key: str = "assets") -> int:
    return await owner.value("SELECT coalesce(sum(used), 0) FROM usages WHERE feature = $1", key)


async def test_claim_takes_units_until_it_is_released(world: World, owner: Owner):
    account = await shop(world)
    eva = await world.client("Eva")
    body = {"feature": "assets", "resource": "asset:4711", "units": 3, "reason": "Hall 3", "reference": "WO-2207"}
    made = await eva.post(f"{at(account)}/claims", json=body)
    assert made.status_code == 201, made.text
    shown = made.json()
    assert made.headers["location"] == f"{at(account)}/claims/{shown['id']}"
    assert {k: shown[k] for k in body} == body
    assert (shown["over_limit"], shown["released_at"], shown["actor"]) == (False, None, "user")
    assert shown["user_id"] == str(world.people["Eva"].id)
    assert await used(owner) == 3
    gone = await eva.delete(made.headers["location"], params={"reason": "Scrapped", "reference": "WO-3001"})
    assert (gone.status_code, gone.content) == (204, b"")
    again = (await eva.get(made.headers["location"])).json()
    assert (again["release_reason"], again["release_reference"]) == ("Scrapped", "WO-3001")
    assert again["released_at"] is not None
    assert await used(owner) == 0
    created, released = [e for e in await world.events(account.partner_id) if e.type.startswith("claim.")]
    assert created.details is not None
    assert created.details["before"] is None
    assert {k: created.details["after"][k] for k in body} == body
    assert released.details is not None
    assert released.details["before"]["units"] == 3
    assert released.details["after"]["release_reference"] == "WO-3001"
    assert {created.type, released.type} == {"claim.created", "claim.released"}
    assert {(e.subject_id, e.account_id, e.actor_id) for e in (created, released)} == {
        (created.subject_id, account.id, world.people["Eva"].id)
    }
    await nothing_is_lost(owner)
