"""Attacks: more units than there are, and answers that take the process for themselves."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import timedelta

from httpx import AsyncClient, Response

from app.models import Account, utc_now
from app.policy import Role
from tests import shop
from tests.conftest import Owner, World, problem
from tests.pools import at, claim, feature, licence, nothing_is_lost

R = Role
STAR = {"If-Match": "*"}


async def limit_of(client: AsyncClient, account: Account, key: str = "assets") -> int:
    got = await client.get(f"{at(account)}/entitlements/{key}")
    assert got.status_code == 200, got.text
    return got.json()["limit"]


async def test_going_out_of_a_price_model_and_in_again_gives_its_units_once(world: World):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await shop.price_model(world, "pro", shop.base("assets", 10, grace_days=365))
    account = await world.account(partner, by="Anna")
    anna = await world.client("Anna")
    for _ in range(10):
        for model in ("pro", None):
            got = await anna.patch(at(account), json={"price_model": model}, headers=STAR)
            assert got.status_code == 200, got.text
    got = await anna.patch(at(account), json={"price_model": "pro"}, headers=STAR)
    assert await limit_of(anna, account) <= 20


async def test_operators_suspension_of_base_licence_outlives_a_round_of_price_models(world: World):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await shop.price_model(world, "pro", shop.base("assets", 10))
    account = await world.account(partner, by="Anna")
    anna, olga = await world.client("Anna"), await world.client("Olga", operator=True)
    await anna.patch(at(account), json={"price_model": "pro"}, headers=STAR)
    (mine,) = (await anna.get(f"{at(account)}/licences")).json()["items"]
    done = await olga.post(f"{at(account)}/licences/{mine['id']}/suspend", json={"reason": "unpaid"})
    assert done.status_code == 200, done.text
    assert await limit_of(anna, account) == 0
    assert problem(await anna.post(f"{at(account)}/licences/{mine['id']}/resume"))[0] in (403, 409)
    for model in (None, "pro"):
        assert (await anna.patch(at(account), json={"price_model": model}, headers=STAR)).status_code == 200
    assert await limit_of(anna, account) == 0


async def test_operators_suspension_outlives_an_upgrade_to_the_same_article(world: World):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await shop.article(world, "A-1", shop.grant("assets", 10))
    account = await world.account(partner, by="Anna")
    anna, olga = await world.client("Anna"), await world.client("Olga", operator=True)
    bought = await anna.post(f"{at(account)}/articles", json={"article": "A-1"})
    assert bought.status_code == 201, bought.text
    (mine,) = (await anna.get(f"{at(account)}/licences")).json()["items"]
    assert (
        await olga.post(f"{at(account)}/licences/{mine['id']}/suspend", json={"reason": "unpaid"})
    ).status_code == 200
    got = await anna.post(f"{at(account)}/articles/{bought.json()['id']}/upgrade", json={"article": "A-1"})
    assert got.status_code in (201, 409), got.text
    assert await limit_of(anna, account) == 0


async def many(owner: Owner, account: Account, count: int) -> None:
    await owner.execute(
        "INSERT INTO licences (partner_id, id, account_id, feature, units, starts_at, ends_at, grace_days, source, created_at, updated_at, version)"
        " SELECT $1, gen_random_uuid(), $2, 'assets', 1, now() - interval '1 day', now() + n * interval '1 hour', 0, 'manual', now(), now(), 1"
        " FROM generate_series(1, $3) n",
        account.partner_id,
        account.id,
        count,
    )


async def test_many_licences_of_one_pool_do_not_hold_up_everybody(world: World, owner: Owner):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    account = await world.account(partner, by="Anna")
    anna = await world.client("Anna")
    found: dict[int, tuple[float, float, float]] = {}
    for count in (200, 800, 1000):
        await many(owner, account, count)
        started = time.perf_counter()
        got = await claim(anna, account, f"big{count}", 500_000)
        assert got.status_code == 409, got.text
        refused = time.perf_counter() - started
        started = time.perf_counter()
        assert (await anna.get(f"{at(account)}/entitlements")).status_code == 200
        listed = time.perf_counter() - started
        started = time.perf_counter()
        assert (
            await anna.get(f"{at(account)}/entitlements/assets/explanation", params={"units": 500_000})
        ).status_code == 200
        found[count] = (round(refused, 2), round(listed, 2), round(time.perf_counter() - started, 2))
    # and meanwhile nobody else is served
    longest, last = 0.0, time.perf_counter()
    busy = asyncio.create_task(anna.get(f"{at(account)}/entitlements"))
    while not busy.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.perf_counter() - last), time.perf_counter()
    assert longest < 0.5, (found, longest)


async def test_lines_are_not_held_by_one_partner_who_waits_for_a_name(world: World, owner: Owner):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    anna, rita = await world.client("Anna"), await world.client("Rita")
    for client, partner in ((anna, acme), (rita, rival)):
        for _ in range(3):
            assert (await client.get(f"/v1/partners/{partner.id}/accounts")).status_code == 200
    account = await world.account(acme, "Slow", by="Anna")
    async with owner.transaction():  # as a long transaction of its own would: an import, a batch
        await owner.execute("UPDATE accounts SET name = 'Wanted', name_key = 'wanted' WHERE id = $1", account.id)
        waiting = [
            asyncio.create_task(anna.post(f"/v1/partners/{acme.id}/accounts", json={"name": "Wanted"}))
            for _ in range(4)
        ]
        await asyncio.sleep(0.3)
        started = time.perf_counter()
        got = await rita.get(f"/v1/partners/{rival.id}/accounts")
        took = time.perf_counter() - started
    answers = [w.status_code for w in await asyncio.gather(*waiting)]
    assert got.status_code == 200, (got.status_code, took, answers)
    assert took < 1, (took, answers)


async def test_two_upgrades_and_renewals_at_once(world: World, owner: Owner):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await shop.article(world, "A-1", shop.grant("assets", 10))
    await shop.article(world, "B-1", shop.grant("assets", 100))
    account = await world.account(partner, by="Anna")
    anna = await world.client("Anna")
    for _n in range(3):
        end = (utc_now() + timedelta(days=30)).isoformat()
        bought = (await anna.post(f"{at(account)}/articles", json={"article": "A-1", "ends_at": end})).json()
        path = f"{at(account)}/articles/{bought['id']}"
        got = await asyncio.gather(
            *(anna.post(f"{path}/upgrade", json={"article": "B-1"}) for _ in range(4)),
            *(anna.post(f"{path}/renew", json={}) for _ in range(4)),
            *(anna.post(f"{path}/cancel", json={}) for _ in range(2)),
        )
        codes = [g.status_code for g in got]
        assert codes[:8].count(201) <= 1, codes
        assert set(codes) <= {200, 201, 409}, codes


async def test_claims_against_all_changes_at_once(world: World, owner: Owner):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await feature(world, "seats")
    await shop.article(world, "A-1", shop.grant("assets", 10), shop.grant("seats", 10))
    await shop.price_model(world, "pro", shop.base("seats", 5), shop.base("assets", 5))
    account = await world.account(partner, by="Anna", Eva=R.ACCOUNT_EDITOR)
    hand = await licence(world, account, units=20)
    anna, eva = await world.client("Anna"), await world.client("Eva")
    codes: list[tuple[str, int]] = []

    async def do(name: str, call: Awaitable[Response]) -> None:
        got = await call
        codes.append((name, got.status_code))

    for round_ in range(4):
        jobs: list[Awaitable[None]] = []
        for n in range(25):
            key = ("assets", "seats")[n % 2]
            head = {"Idempotency-Key": f"{round_}-{n}"} if n % 3 == 0 else {}
            jobs.append(do("claim", claim(eva, account, f"{round_}-{n}", 1, key, **head)))
        for n in range(6):
            jobs.append(
                do(
                    "batch",
                    eva.post(
                        f"{at(account)}/claim-batches",
                        json={
                            "claims": [
                                {"feature": k, "resource": f"b{round_}-{n}"}
                                for k in (("seats", "assets") if n % 2 else ("assets", "seats"))
                            ]
                        },
                    ),
                )
            )
        jobs.append(do("buy", anna.post(f"{at(account)}/articles", json={"article": "A-1"})))
        jobs.append(
            do("patch", anna.patch(f"{at(account)}/licences/{hand}", json={"units": 20 + round_}, headers=STAR))
        )
        jobs.append(
            do("model", anna.patch(at(account), json={"price_model": "pro" if round_ % 2 else None}, headers=STAR))
        )
        jobs.append(
            do(
                "release",
                eva.delete(f"{at(account)}/claims", params={"feature": "assets", "resource": f"{round_ - 1}-0"}),
            )
        )
        await asyncio.gather(*jobs)
    assert not [c for c in codes if c[1] >= 500], [c for c in codes if c[1] >= 500]
    await nothing_is_lost(owner)


async def test_same_key_at_once_claims_once(world: World, owner: Owner):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await shop.article(world, "A-1", shop.grant("assets", 10))
    account = await world.account(partner, by="Anna", Eva=R.ACCOUNT_EDITOR)
    await licence(world, account, units=100)
    anna, eva = await world.client("Anna"), await world.client("Eva")
    got = await asyncio.gather(
        *(claim(eva, account, "x", 1, "assets", **{"Idempotency-Key": "same"}) for _ in range(30))
    )
    assert {g.status_code for g in got} <= {201, 409, 503}, [g.status_code for g in got]
    assert len({g.text for g in got if g.status_code == 201}) == 1
    got = await asyncio.gather(
        *(
            anna.post(f"{at(account)}/articles", json={"article": "A-1"}, headers={"Idempotency-Key": "b"})
            for _ in range(20)
        )
    )
    assert {g.status_code for g in got} <= {201, 409, 503}
    assert await owner.value("SELECT count(*) FROM account_articles") == 1
    other = await anna.post(
        f"{at(account)}/articles", json={"article": "A-1", "quantity": 2}, headers={"Idempotency-Key": "b"}
    )
    assert problem(other)[0] == 422
    got = await asyncio.gather(
        *(
            anna.post(f"/v1/partners/{partner.id}/accounts", json={"name": "Once"}, headers={"Idempotency-Key": "c"})
            for _ in range(20)
        )
    )
    assert {g.status_code for g in got} <= {201, 409, 503}
    assert await owner.value("SELECT count(*) FROM accounts WHERE name = 'Once'") == 1
    await nothing_is_lost(owner)
