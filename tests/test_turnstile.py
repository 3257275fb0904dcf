"""The way of a claim: in front of FastAPI when it is as usual, held by its pool, and asked each time who calls."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import DBAPIError

from app import turnstile
from app.config import Settings
from app.express import Prepared
from app.models import Account, utc_now
from app.policy import Role
from app.services import counters
from tests.conftest import Owner, World, problem, running
from tests.pools import at, claim, feature, licence, nothing_is_lost

R = Role


async def shop(world: World, units: int = 1_000) -> Account:
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Eva=R.ACCOUNT_EDITOR)
    await feature(world)
    await licence(world, account, units=units)
    return account


async def test_claim_that_is_not_as_usual_is_answered_as_any_other_request(world: World):
    account = await shop(world)
    eva, here, body = await world.client("Eva"), f"{at(account)}/claims", {"feature": "assets", "resource": "a"}
    usual = await eva.post(here, json=body)
    assert usual.status_code == 201
    capital = await eva.post(here.replace(str(account.id), str(account.id).upper()), json=body)
    assert (capital.status_code, capital.json()) == (200, usual.json())
    keyed = await eva.post(here, json=body, headers={"Idempotency-Key": "k"})
    assert (keyed.status_code, keyed.json()) == (200, usual.json())
    assert set(keyed.headers) == set(usual.headers)
    kind = {"Content-Type": "application/json"}
    for content, headers, expected in (
        (b"", kind, (422, "invalid")), (b"{", kind, (400, "malformed_request")), (b"[]", kind, (422, "invalid")),
        (b'{"feature": "a", "feature": "b"}', kind, (400, "malformed_request")),
        (json.dumps(body).encode(), {"Content-Type": "text/plain"}, (415, "unsupported_media_type")),
        (b'{"feature": "assets", "resource": "\\ud800"}', kind, (400, "malformed_request")),
        (b'{"feature": "assets", "resource": "a\\u0000"}', kind, (422, "invalid")),
    ):  # fmt: skip
        assert problem(await eva.post(here, content=content, headers=headers)) == expected, content
    assert problem(await eva.post(f"{here}?x=1", json=body)) == (422, "invalid")
    assert problem(await eva.post(here.replace(str(account.id), "1"), json=body)) == (422, "invalid")
    assert problem(await (await world.client()).post(here, json=body)) == (401, "unauthenticated")
    assert problem(await eva.put(here, json=body)) == (405, "method_not_allowed")


async def test_claim_is_looked_up_by_its_whole_key_and_the_caller_by_theirs(world: World, owner: Owner):
    """However many claims, sessions and members there are: a plan for the average pool would read them all."""
    account = await shop(world, units=1_000_000)
    eva = await world.client("Eva")
    for n in range(8):
        await claim(eva, account, f"{n}")
    await owner.execute("ANALYZE")  # what the planner knows of is a small pool
    await owner.execute(
        """INSERT INTO claims (partner_id, id, account_id, feature, resource, units, actor, created_at)
           SELECT $1, gen_random_uuid(), $2, 'assets', 'filled:' || n, 1, 'user', now() FROM generate_series(1, 5000) n""",
        account.partner_id, account.id,
    )  # fmt: skip
    await owner.execute(
        """INSERT INTO account_members (partner_id, id, account_id, user_id, role, created_at, updated_at, version)
           SELECT $1, gen_random_uuid(), $2, u.id, 'account_viewer', now(), now(), 1 FROM users u
            WHERE NOT EXISTS (SELECT FROM account_members m WHERE m.account_id = $2 AND m.user_id = u.id)""",
        account.partner_id, account.id,
    )  # fmt: skip
    for callers in (turnstile._ONE, turnstile._MANY):
        lines, pages = await explained(world, account, turnstile.statement(counters, callers))
        plan = "\n".join(lines)
        assert any("Index Cond" in line and "resource" in line for line in lines), plan
        assert "Seq Scan on claims" not in plan, plan
        assert pages < 80, plan


async def explained(world: World, account: Account, statement: Prepared) -> tuple[list[str], int]:
    """How the statement is carried out where it really is, and how many pages that takes."""
    token = await world.token("Eva")
    said: dict[str, Any] = dict(world.app.state.tokens.verify(token))
    values = {
        "partner": account.partner_id, "account": account.id, "thing": "assets", "now": utc_now(),
        "one_session": said["sid"], "one_user": said["sub"], "one_subject": "new",
        "sessions": [said["sid"]], "users": [said["sub"]], "subjects": ["new"],
    }  # fmt: skip
    async with world.app.state.holds.transaction(account.partner_id, "SELECT") as line:
        asked = statement.arguments(values)
        shown = await line.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {statement.sql}", *asked)
        ((found,),) = await line.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.sql}", *asked)
    return [row[0] for row in shown], found[0]["Plan"]["Shared Hit Blocks"]


async def test_claims_that_are_given_up_leave_nothing_behind(world: World, owner: Owner):
    account = await shop(world)
    eva = await world.client("Eva")
    assert (await claim(eva, account, "first")).status_code == 201
    for n in range(80):
        others = [asyncio.create_task(claim(eva, account, f"other {n} {i}")) for i in range(3)]
        task = asyncio.create_task(claim(eva, account, f"given up {n}"))
        await asyncio.sleep(n / 10_000)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert {a.status_code for a in await asyncio.gather(*others)} == {201}
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
    assert await owner.value(busy) == 0
    assert world.app.state.queues._waiting == {}
    await nothing_is_lost(owner)


async def test_connections_that_the_server_ends_cost_no_claim(world: World, owner: Owner):
    account = await shop(world)
    eva = await world.client("Eva")
    assert (await claim(eva, account, "first")).status_code == 201
    ended = 0
    for n in range(10):
        calls = [asyncio.create_task(claim(eva, account, f"{n} {i}")) for i in range(8)]
        await asyncio.sleep(0.002 * (n % 4))
        ended += await owner.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'tenantry_app'"
            " AND datname = current_database()"  # at whatever they are
        )
        answers = await asyncio.gather(*calls)
        assert {a.status_code for a in answers} <= {201, 503}  # lost while it was being committed: nobody knows
        again = [await claim(eva, account, f"{n} {i}") for i in range(8)]
        assert {a.status_code for a in again} <= {200, 201}
    assert ended > 5
    assert await owner.value("SELECT count(*) FROM claims") == 81
    await nothing_is_lost(owner)


async def test_claim_waits_for_who_holds_its_pool_and_a_failure_to_begin_leaves_no_trace(
    settings: Settings, owner: Owner
):
    async with running(settings) as world:
        account = await shop(world)
        eva = await world.client("Eva")
        assert (await claim(eva, account, "first")).status_code == 201
        async with world.app.state.holds.transaction(account.partner_id, "SET LOCAL lock_timeout = '50ms'") as line:
            await line.execute(counters.lock(account.partner_id, account.id, "assets"))
            waiting = asyncio.create_task(claim(eva, account, "second"))
            await asyncio.sleep(0.1)
            assert not waiting.done()
        assert (await waiting).status_code == 201
        with suppress(DBAPIError):
            async with world.app.state.holds.transaction(account.partner_id, "SELECT 1/0"):
                raise AssertionError("it began")
        assert (await claim(eva, account, "third")).status_code == 201
    await nothing_is_lost(owner)


async def test_stranger_waits_for_nobody(world: World):
    """What a pool is doing is nobody's business who has nothing to do with it."""
    account = await shop(world)
    eva, zoe = await world.client("Eva"), await world.client("Zoe")
    assert (await claim(eva, account, "first")).status_code == 201
    async with world.app.state.holds.transaction(account.partner_id, "SELECT") as line:
        await line.execute(counters.lock(account.partner_id, account.id, "assets"))
        waiting = asyncio.create_task(claim(eva, account, "second"))
        async with asyncio.timeout(5):
            assert problem(await claim(zoe, account, "third")) == (404, "not_found")
        assert not waiting.done()
    assert (await waiting).status_code == 201
