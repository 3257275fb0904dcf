"""Attacks: the few connections for single statements: what one caller can do to the others, and where they are away."""

import asyncio
import time

import pytest

from app.policy import Role
from tests.conftest import Owner, World
from tests.pools import claim, feature, licence

R = Role


async def test_create_while_database_takes_no_connections_is_503(world: World, owner: Owner, server, database: str):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    anna = await world.client("Anna")
    path = f"/v1/partners/{acme.id}/accounts"
    for _ in range(3):
        assert (await anna.get(path)).status_code == 200
    assert (await anna.post(path, json={"name": "One"})).status_code == 201
    await server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    try:
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        await asyncio.sleep(0.3)
        codes = [(await anna.post(path, json={"name": f"Two {n}"})).status_code for n in range(3)]
        codes += [(await anna.get(path)).status_code for _ in range(3)]
    finally:
        await server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    assert set(codes) == {503}, codes
    assert (await anna.get(path)).status_code == 200
    assert (await anna.post(path, json={"name": "Three"})).status_code == 201


async def test_slow_sorts_of_one_partner_do_not_hold_up_another(world: World, owner: Owner):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    anna, rita = await world.client("Anna"), await world.client("Rita")
    first = await world.account(acme, "First", by="Anna")
    columns = ", ".join(
        r["column_name"]
        for r in await owner.rows(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'accounts' AND is_generated = 'NEVER' AND column_name NOT IN ('id', 'name', 'name_key', 'name_search') ORDER BY 1"
        )
    )
    await owner.execute(
        f"INSERT INTO accounts ({columns}, id, name, name_key, name_search) SELECT {columns}, gen_random_uuid(), 'A' || n, 'a' || n, 'a' || n FROM accounts, generate_series(1, 60000) n WHERE id = $1",
        first.id,
    )
    await owner.execute("ANALYZE accounts")
    path, other = f"/v1/partners/{acme.id}/accounts", f"/v1/partners/{rival.id}/accounts"
    for _ in range(3):
        assert (await anna.get(path)).status_code == 200
        assert (await rita.get(other)).status_code == 200
    took = {}
    for sort in ("name", "-member_count,price_model", "price_model,-name,member_count", "-created_at,-name"):
        for _ in range(2):
            started = time.perf_counter()
            got = await anna.get(path, params={"sort": sort})
            took[sort] = (got.status_code, round(time.perf_counter() - started, 3))
    worst = max(took, key=lambda s: took[s][1])
    stop = False

    async def noise() -> None:
        while not stop:
            await anna.get(path, params={"sort": worst})

    noisy = [asyncio.create_task(noise()) for _ in range(10)]
    await asyncio.sleep(0.5)
    found = []
    for _ in range(10):
        started = time.perf_counter()
        got = await rita.get(other)
        found.append((got.status_code, round(time.perf_counter() - started, 3)))
    stop = True
    await asyncio.gather(*noisy)


@pytest.mark.parametrize("think", [0, 0.01])  # as clients in the same process, and as over a network
async def test_keyed_claims_of_one_account_do_not_hold_up_another_partner(world: World, owner: Owner, think: float):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    await feature(world)
    account = await world.account(acme, by="Anna")
    await licence(world, account, units=100_000)
    anna, rita = await world.client("Anna"), await world.client("Rita")
    other = f"/v1/partners/{rival.id}/licences"
    found = {}
    for keyed in (None, False, True):
        stop, codes = False, dict[int, int]()

        async def noise(k: int) -> None:
            n = 0
            while not stop:
                n += 1
                head = {"Idempotency-Key": f"{k}-{n}"} if keyed else {}
                got = await claim(anna, account, f"{keyed}-{k}-{n}", **head)
                codes[got.status_code] = codes.get(got.status_code, 0) + 1
                await asyncio.sleep(think)

        noisy = [] if keyed is None else [asyncio.create_task(noise(k)) for k in range(60)]
        await asyncio.sleep(0.5)
        times = []
        for _ in range(15):
            started = time.perf_counter()
            got = await rita.get(other)
            times.append((round(time.perf_counter() - started, 3), got.status_code))
        stop = True
        await asyncio.gather(*noisy)
        found[keyed] = (sorted(times)[::4], codes)
    assert {code for times, _ in found.values() for _, code in times} == {200}, found


async def test_sixty_readers_of_one_partner_do_not_starve_another(world: World, owner: Owner):
    """The same without claims: whose turn is it at the pool?"""
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    anna, rita = await world.client("Anna"), await world.client("Rita")
    stop = False

    async def noise() -> None:
        while not stop:
            await anna.get(f"/v1/partners/{acme.id}/licences")

    noisy = [asyncio.create_task(noise()) for _ in range(60)]
    await asyncio.sleep(0.5)
    found = []
    for _ in range(8):
        started = time.perf_counter()
        got = await rita.get(f"/v1/partners/{rival.id}/licences")
        found.append((got.status_code, round(time.perf_counter() - started, 3)))
    stop = True
    await asyncio.gather(*noisy)
    assert {code for code, _ in found} == {200}, found
