"""Attacks: what is remembered of callers, and ids that do not belong together."""

import asyncio
import time
from typing import Any

import pytest

from app.models import new_id
from app.policy import Role
from tests.conftest import World, problem
from tests.pools import at, claim, feature, licence

R = Role
STAR = {"If-Match": "*"}


async def test_promoted_viewer_may_create_on_the_next_request(world: World):
    partner = await world.partner(Anna=R.PARTNER_ADMIN, Vera=R.PARTNER_VIEWER)
    base = f"/v1/partners/{partner.id}"
    anna, vera = await world.client("Anna"), await world.client("Vera")
    for _ in range(3):
        assert (await vera.get(f"{base}/accounts")).status_code == 200
    assert problem(await vera.post(f"{base}/accounts", json={"name": "Too early"}))[0] == 403
    promoted = await anna.patch(
        f"{base}/members/{world.people['Vera'].id}", json={"role": "partner_manager"}, headers=STAR
    )
    assert promoted.status_code == 200, promoted.text
    found = []
    for n in range(5):
        made = await vera.post(f"{base}/accounts", json={"name": f"Nord {n}"})
        found.append(made.status_code)
        await vera.get(f"{base}/accounts")
    assert found == [201] * 5, found


async def test_removed_viewer_gets_404_for_a_create(world: World):
    partner = await world.partner(Anna=R.PARTNER_ADMIN, Vera=R.PARTNER_VIEWER)
    base = f"/v1/partners/{partner.id}"
    anna, vera = await world.client("Anna"), await world.client("Vera")
    for _ in range(3):
        assert (await vera.get(f"{base}/accounts")).status_code == 200
    gone = await anna.delete(f"{base}/members/{world.people['Vera'].id}", headers=STAR)
    assert gone.status_code == 204, gone.text
    assert (await vera.get(f"{base}/accounts")).status_code == 404
    assert problem(await vera.post(f"{base}/accounts", json={"name": "Late"}))[0] == 404


async def test_ended_session_of_a_viewer_gets_401_for_a_create(world: World):
    partner = await world.partner(Anna=R.PARTNER_ADMIN, Vera=R.PARTNER_VIEWER)
    base = f"/v1/partners/{partner.id}"
    vera = await world.client("Vera")
    for _ in range(3):
        assert (await vera.get(f"{base}/accounts")).status_code == 200
    ended = await vera.delete("/v1/sessions")
    assert ended.status_code == 204, ended.text
    assert problem(await vera.post(f"{base}/accounts", json={"name": "Late"}))[0] == 401


@pytest.mark.parametrize("keyed", [False, True])
async def test_own_account_in_the_path_of_another_partner_is_404(world: World, keyed: bool):
    partner = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Eva=R.ACCOUNT_EDITOR)
    await feature(world)
    await feature(world, "never")
    await licence(world, account)
    eva = await world.client("Eva")
    assert (await claim(eva, account, "a")).status_code == 201  # introduced
    headers = {"Idempotency-Key": "k1"} if keyed else {}
    found = []
    for other in (rival.id, new_id()):
        for key in ("assets", "never", "unknown"):
            body = {"feature": key, "resource": "x", "units": 1}
            got = await eva.post(f"/v1/partners/{other}/accounts/{account.id}/claims", json=body, headers=headers)
            found.append(got.status_code)
    assert found == [404] * 6, found


async def test_ids_of_others_in_paths(world: World):  # noqa: C901 - a table of addresses
    """Every new address with partner, account and thing swapped: never anything but 404 (or 403 in the own place)."""
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    await feature(world)
    mine = await world.account(acme, "Mine", by="Anna")
    other = await world.account(acme, "Other", by="Anna", Otto=R.ACCOUNT_ADMIN)
    theirs = await world.account(rival, "Theirs", by="Rita")
    anna, rita, otto = await world.client("Anna"), await world.client("Rita"), await world.client("Otto")
    things: dict[Any, dict[str, str]] = {}
    for client, account in ((anna, mine), (anna, other), (rita, theirs)):
        made = await client.post(f"{at(account)}/licences", json={"feature": "assets", "units": 5, "reason": "x"})
        assert made.status_code == 201, made.text
        taken = await claim(client, account, "r")
        assert taken.status_code == 201
        things[account.id] = {"licences": made.json()["id"], "claims": taken.json()["id"]}

    wrong = []

    async def expect(client: Any, method: str, path: str, **more: Any) -> None:
        got = await client.request(method, path, **more)
        if got.status_code != 404:
            wrong.append((method, path, got.status_code))

    for client, places in (
        (
            rita,
            [
                (acme, mine, mine),
                (rival, mine, mine),
                (acme, theirs, theirs),
                (rival, theirs, mine),
                (rival, mine, theirs),
            ],
        ),
        (anna, [(acme, mine, other), (acme, mine, theirs), (acme, theirs, theirs), (rival, mine, mine)]),
        (otto, [(acme, mine, mine), (acme, other, mine), (rival, other, other)]),
    ):
        for p, a, t in places:
            root = f"/v1/partners/{p.id}/accounts/{a.id}"
            lid, cid = things[t.id]["licences"], things[t.id]["claims"]
            await expect(client, "GET", f"{root}/licences/{lid}")
            await expect(client, "GET", f"{root}/claims/{cid}")
            if client is not otto:
                await expect(client, "PATCH", f"{root}/licences/{lid}", json={"units": 9}, headers=STAR)
                for verb in ("suspend", "revoke"):
                    await expect(client, "POST", f"{root}/licences/{lid}/{verb}", json={"reason": "x"})
                await expect(client, "POST", f"{root}/licences/{lid}/resume")
            if (p, a) not in ((acme, mine), (rival, theirs)) or client is otto:
                await expect(client, "DELETE", f"{root}/claims/{cid}")
    for client, p in ((rita, acme), (anna, rival), (otto, acme), (otto, rival)):
        for what in ("entitlements", "licences", "account-articles"):
            got = await client.get(f"/v1/partners/{p.id}/{what}")
            if got.status_code != 404:
                wrong.append((what, got.status_code))
    assert wrong == []


async def test_account_token_of_another_account_claims_nothing(world: World):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    await feature(world)
    one, two = await world.account(acme, "One", by="Anna"), await world.account(acme, "Two", by="Anna")
    for account in (one, two):
        await licence(world, account)
    anna = await world.client("Anna")
    assert (await claim(anna, one, "a")).status_code == 201
    assert (await claim(anna, two, "a")).status_code == 201
    switched = await anna.post(f"{at(one)}/switch")
    assert switched.status_code in (200, 201), switched.text
    inside = await world.client(token=switched.json()["access_token"])
    assert (await claim(inside, one, "b")).status_code == 201
    for path in (f"{at(two)}/claims",):
        for headers in ({}, {"Idempotency-Key": "z"}):
            got = await inside.post(path, json={"feature": "assets", "resource": "c"}, headers=headers)
            assert problem(got)[0] == 404
        assert (await inside.get(path)).status_code == 404
        assert (await inside.delete(path, params={"feature": "assets", "resource": "a"})).status_code == 404
    assert (
        await inside.post(f"{at(two)}/claim-batches", json={"claims": [{"feature": "assets", "resource": "x"}]})
    ).status_code == 404
    for path in (
        f"/v1/partners/{acme.id}/entitlements",
        f"/v1/partners/{acme.id}/licences",
        f"{at(two)}/entitlements/assets",
    ):
        assert (await inside.get(path)).status_code in (403, 404)


async def test_explanation_of_strangers_says_the_same_of_all_of_them(world: World):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    await world.user("Olga", operator=True)
    await feature(world)
    account = await world.account(acme, by="Anna", Vic=R.ACCOUNT_VIEWER)
    await licence(world, account)
    vic = await world.client("Vic")
    seen: set[str] = set()
    for who in (world.people["Rita"].id, world.people["Olga"].id, new_id()):
        got = await vic.get(f"{at(account)}/entitlements/assets/explanation", params={"user_id": str(who)})
        assert got.status_code == 200, got.text
        seen.add(got.text.replace(str(who), ""))
    assert len(seen) == 1


async def test_queued_claims_of_somebody_removed_meanwhile_are_refused(world: World):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    await feature(world)
    account = await world.account(acme, by="Anna", Eva=R.ACCOUNT_EDITOR)
    await licence(world, account, units=1000)
    anna, eva = await world.client("Anna"), await world.client("Eva")
    assert (await claim(eva, account, "first")).status_code == 201
    removed_at: list[float] = []

    async def one(n: int) -> tuple[float, int]:
        started = time.perf_counter()
        got = await claim(eva, account, f"r{n}")
        return started, got.status_code

    async def remove() -> None:
        await asyncio.sleep(0.05)
        gone = await anna.delete(f"{at(account)}/members/{world.people['Eva'].id}", headers=STAR)
        assert gone.status_code == 204, gone.text
        removed_at.append(time.perf_counter())

    tasks = [asyncio.create_task(one(n)) for n in range(60)]
    await remove()
    tasks += [asyncio.create_task(one(n)) for n in range(100, 120)]
    results = await asyncio.gather(*tasks)
    late = [status for started, status in results if started > removed_at[0]]
    assert late
    assert set(late) == {404}
