"""Attacks: the few connections for single statements: what one caller can do to the others, and where they are away."""

import asyncio
from itertools import count

from httpx import AsyncClient

from app.models import Account
from app.policy import Role
from tests.conftest import Owner, Server, World
from tests.pools import claim, feature, licence

R = Role


async def test_create_while_database_takes_no_connections_is_503(
    world: World, owner: Owner, server: Server, database: str
):
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


async def test_keyed_claims_of_one_account_do_not_hold_up_another_partner(world: World):
    acme = await world.partner("Acme", Anna=R.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    await feature(world)
    account = await world.account(acme, by="Anna")
    await licence(world, account, units=100_000)
    anna, rita = await world.client("Anna"), await world.client("Rita")
    for keyed in (False, True):
        noisy = [asyncio.create_task(claiming(anna, account, f"{keyed}-{k}", keyed=keyed)) for k in range(60)]
        await asyncio.sleep(0.5)
        codes = {(await rita.get(f"/v1/partners/{rival.id}/licences")).status_code for _ in range(15)}
        for task in noisy:
            task.cancel()
        await asyncio.gather(*noisy, return_exceptions=True)
        assert codes == {200}


async def claiming(client: AsyncClient, account: Account, name: str, *, keyed: bool) -> None:
    """One claim after the other, with the pause that a network makes."""
    for n in count():
        head = {"Idempotency-Key": f"{name}-{n}"} if keyed else {}
        await claim(client, account, f"{name}-{n}", 1, "assets", **head)
        await asyncio.sleep(0.01)
