"""Attacks: single statements that confine themselves. Whatever the planner chooses, and whatever comes after on the line."""

import itertools

from app.express import run
from app.gate import _at_a_glance
from app.models import utc_now
from app.policy import Role
from app.services import lists, pages
from app.standing import WIDTH, Standing
from tests.conftest import Owner, World

R = Role
KNOBS = (
    "enable_nestloop",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_seqscan",
    "enable_indexscan",
    "enable_bitmapscan",
    "enable_material",
)


async def test_no_plan_of_a_glance_sees_anything_of_another_partner(world: World, owner: Owner):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    await world.account(acme, "Mine", by="Anna")
    await world.account(rival, "Theirs", by="Rita")
    anna, rita = await world.client("Anna"), await world.client("Rita")
    for c, p in ((anna, acme), (rita, rival)):
        assert (await c.get(f"/v1/partners/{p.id}/accounts")).status_code == 200
    session = await owner.value("SELECT id FROM sessions WHERE user_id = $1", world.people["Anna"].id)
    asked = pages.Asked(lists.Query(), None, 50, False)
    seen: set[tuple[str, bool, bool, bool]] = set()
    async with world.app.state.lines._line() as line:
        for setting in itertools.product(("on", "off"), repeat=len(KNOBS)):
            for knob, value in zip(KNOBS, setting, strict=True):
                await line.execute(f"SET {knob} = {value}")
            for mode in ("force_generic_plan", "force_custom_plan"):
                await line.execute(f"SET plan_cache_mode = {mode}")
                for partner in (acme, rival):
                    guessed = pages.guess(partner.id, asked, None)
                    assert guessed
                    given = {
                        "session": session,
                        "bearer": world.people["Anna"].id,
                        "partner": partner.id,
                        "account": None,
                        "now": utc_now(),
                    }
                    row = await _at_a_glance(guessed.guess).one(line, **given, **guessed.values)
                    member = row is not None and Standing(*row[:WIDTH]).partner_role is not None
                    seen.add((partner.name, "Mine" in str(row), "Theirs" in str(row), member))
                left = (
                    await run(line, "SELECT current_setting('app.partner_id', true), (SELECT count(*) FROM accounts)")
                )[0]
                assert (left[0] or "", left[1]) == ("", 0)
        await line.execute("RESET ALL")
    assert not any(theirs for _, _, theirs, _ in seen)
    assert ("Acme", True, False, True) in seen
