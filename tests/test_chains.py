"""The chain of the change log: whoever changes it behind its back is found."""

import pytest

from app import operate
from app.policy import Role
from tests.conftest import Owner, World


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


async def test_what_is_erased_with_its_salt_leaves_the_chain_whole(world: World, owner: Owner):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    await world.account(partner, "A", by="Anna")
    await world.worker().number_all()
    erased = "UPDATE events SET details = NULL, salt = NULL, origin = NULL, origin_salt = NULL WHERE partner_id = $1"
    await owner.execute(erased, partner.id)
    assert (await operate.verify_log(world.settings, partner.id))[partner.id].broken_at is None
