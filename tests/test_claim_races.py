"""What must hold of claims however many make them at once, on several server processes, whatever happens meanwhile."""

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.models import Account, FeatureKind, Licence, LicenceSource, Overage, SuspendedBy, utc_now
from app.policy import Role
from app.services import pools
from app.services.verdicts import FeatureTerms, Grant, Supply
from tests.conftest import SECRET, Owner, World, join
from tests.pools import at, feature, in_days, licence, nothing_is_lost
from tests.processes import SECONDS, Shell
from tests.wire import Lost, Said, Wire

R = Role
pytestmark = pytest.mark.slow


@dataclass
class Fleet:
    """Several server processes on the world's database, and members of an account who are signed in."""

    world: World
    account: Account
    shells: list[Shell]
    processes: list[Any]
    tokens: list[str] = field(default_factory=list[str])

    def wires(self, count: int) -> list[Wire]:
        """Connections of different members to all of the servers."""
        return [Wire(self.shells[n % len(self.shells)].url, self.tokens[n % len(self.tokens)]) for n in range(count)]

    async def claim(self, wire: Wire, key: str, resource: str, units: int = 1) -> Said:
        body = {"feature": key, "resource": resource, "units": units}
        return await wire.send("POST", f"{at(self.account)}/claims", body)

    async def release(self, wire: Wire, key: str, resource: str) -> Said:
        return await wire.send("DELETE", f"{at(self.account)}/claims?feature={key}&resource={resource}")


@asynccontextmanager
async def fleet(world: World, folder: Path, *, members: int, servers: int = 3) -> AsyncGenerator[Fleet]:
    """All of them are ended with the block."""
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    settings, owner_url = world.settings, world.settings.owner_database_url
    assert settings.database_url is not None
    assert owner_url is not None
    given = {
        "TENANTRY_DATABASE_URL": settings.database_url.get_secret_value(), "TENANTRY_SECRET_KEY": SECRET,
        "TENANTRY_OWNER_DATABASE_URL": owner_url.get_secret_value(), "TENANTRY_DATA_DIR": str(settings.data_dir),
        "TENANTRY_PUBLIC_URL": settings.url, "TENANTRY_EMBEDDED_WORKER": "false", "TENANTRY_LOG_LEVEL": "warning",
    }  # fmt: skip
    shells = [Shell(folder / f"server{n}", given) for n in range(servers)]
    for shell in shells:
        shell.home.mkdir()
    processes = list[Any]()
    try:
        for shell in shells:  # the first makes an operator: the others wait for it
            processes.append(shell.start("serve"))
            await asyncio.to_thread(shell.wait, processes[-1], "/health/live")
        found = Fleet(world, account, shells, processes)
        for n in range(members):
            user = await world.user(f"Member{n}")
            async with world.transaction(partner.id) as db:
                await join(db, account, user.id, R.ACCOUNT_EDITOR)
            found.tokens.append(await world.token(f"Member{n}"))
        yield found
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            await asyncio.to_thread(process.wait, SECONDS)


async def test_of_500_concurrent_claims_by_100_members_on_3_servers_exactly_100_pass(
    world: World, owner: Owner, tmp_path: Path
):
    async with fleet(world, tmp_path, members=100) as servers:
        wires = servers.wires(500)
        for wire in wires:
            await wire.open()
        for n in range(20):
            key = await feature(world, f"seats_{n}")
            await licence(world, servers.account, key, 100)
            answers = await asyncio.gather(
                *(servers.claim(wire, key, f"seat:{i}") for i, wire in enumerate(random.sample(wires, 500)))
            )
            tally = Counter((a.status, a.body.get("code")) for a in answers)
            assert tally == {(201, None): 100, (409, "licence_exhausted"): 400}, n
            assert {a.body["limit"] for a in answers if a.status == 409} == {100}
            rows = "SELECT count(DISTINCT resource) FROM claims WHERE feature = $1 AND released_at IS NULL"
            assert await owner.value(rows, key) == 100
            assert await owner.value("SELECT used FROM usages WHERE feature = $1", key) == 100
        for wire in wires:
            await wire.close()
        await nothing_is_lost(owner)


# --- with all that may happen meanwhile ---


@dataclass
class History:
    """What licences there were, and from when on: as whoever changed them saw it while the pool was held."""

    account: Account
    key: str
    states: list[tuple[datetime, list[Grant]]] = field(default_factory=list[tuple[datetime, list[Grant]]])

    async def change(self, world: World, chance: random.Random) -> None:
        """Grant, shrink, suspend, revoke, or have one end in a moment."""
        async with world.transaction(self.account.partner_id) as db:
            await pools.hold(db, self.account.partner_id, self.account.id, [self.key])
            rows = await licences_of(db, self.account, self.key)
            now = utc_now()
            row = chance.choice(rows)
            match chance.choice(("units", "units", "end", "suspend", "grant", "revoke")):
                case "units":
                    row.units = chance.randrange(20)
                case "end":
                    row.ends_at = in_days(chance.random() / 86_400)
                case "suspend":
                    row.suspended_by = None if row.suspended_by else SuspendedBy.PARTNER
                case "revoke":
                    row.revoked_at = now
                case _:
                    pass
            if sum(r.revoked_at is None and r.suspended_by is None for r in rows) < 2:
                rows.append(fresh(self.account, self.key, chance.randrange(3, 12)))
                db.add(rows[-1])
            self.note(rows)

    def note(self, rows: Sequence[Licence]) -> None:
        self.states.append((utc_now(), [
            Grant(r.units, r.max_units_per_claim, r.starts_at, r.ends_at, r.grace_days, r.suspended_by, r.revoked_at)
            for r in rows
        ]))  # fmt: skip

    def limit(self, moment: datetime) -> int:
        """The limit there was at a moment, by the licences of then."""
        known = [grants for since, grants in self.states if since <= moment][-1]
        quota = FeatureTerms(self.key, FeatureKind.QUOTA, 0, Overage.FORBIDDEN, False)
        return Supply(quota, known, moment).now.limit


def fresh(account: Account, key: str, units: int) -> Licence:
    return Licence(partner_id=account.partner_id, account_id=account.id, feature=key, units=units,
                   max_units_per_claim=None, starts_at=in_days(-1), ends_at=None, grace_days=0,
                   source=LicenceSource.MANUAL)  # fmt: skip


async def licences_of(db: Any, account: Account, key: str) -> list[Licence]:
    return list(await db.scalars(select(Licence).where(Licence.account_id == account.id, Licence.feature == key)))


async def past_the_limit(owner: Owner, history: History) -> list[str]:
    """Replays claims and releases in the order of time; those that passed a limit as it was at that moment."""
    rows = await owner.rows(
        "SELECT id, units, created_at, released_at FROM claims WHERE feature = $1 ORDER BY id", history.key
    )
    steps = [(row["created_at"], 1, row["id"], row["units"]) for row in rows]
    steps += [(row["released_at"], 0, row["id"], -row["units"]) for row in rows if row["released_at"]]
    used, wrong = 0, list[str]()
    for moment, _, claim_id, units in sorted(steps):
        used += units
        if units > 0 and used > history.limit(moment):
            wrong.append(f"{claim_id} at {moment}: {used} of {history.limit(moment)}")
    return wrong


async def user_of_units(servers: Fleet, wire: Wire, key: str, seed: int, stop: asyncio.Event) -> Counter[str]:
    """Claims and releases at random, alone and in batches."""
    chance, done = random.Random(seed), Counter[str]()
    while not stop.is_set():
        resource, units = f"asset:{chance.randrange(30)}", chance.randrange(1, 4)
        if chance.random() < 0.6:
            said = await servers.claim(wire, key, resource, units)
        elif chance.random() < 0.5:
            said = await servers.release(wire, key, resource)
        else:
            one, other = ({"feature": key, "resource": f"asset:{n}"} for n in chance.sample(range(30), 2))
            body = {"releases": [one], "claims": [other | {"units": units}]}
            said = await wire.send("POST", f"{at(servers.account)}/claim-batches", body)
        assert said.status < 500, said
        done[said.body["code"] if said.status >= 400 else str(said.status)] += 1
    await wire.close()
    return done


async def test_used_is_the_sum_of_live_claims_and_within_the_limit_at_claim_time_whatever_goes_on(
    world: World, owner: Owner, tmp_path: Path
):
    async with fleet(world, tmp_path, members=12) as servers:
        key, chance = await feature(world), random.Random(3)
        history = History(servers.account, key)
        async with world.transaction(servers.account.partner_id) as db:
            await pools.hold(db, servers.account.partner_id, servers.account.id, [key])
            rows = [fresh(servers.account, key, 8) for _ in range(2)]
            db.add_all(rows)
            history.states.append((in_days(-1), []))
            history.note(rows)
        stop, give_up = asyncio.Event(), time.monotonic() + 60
        users = [asyncio.create_task(user_of_units(servers, wire, key, n, stop))
                 for n, wire in enumerate(servers.wires(24))]  # fmt: skip
        while len(history.states) < 80:
            await history.change(world, chance)
            await nothing_is_lost(owner)
            assert time.monotonic() < give_up
        stop.set()
        done = sum([await user for user in users], Counter[str]())
        assert await past_the_limit(owner, history) == []
        await nothing_is_lost(owner)
        assert {"201", "200", "204", "licence_exhausted", "claimed_with_other_units", "not_found"} <= set(done), done
        assert done["201"] > 40


async def test_killing_a_server_in_the_middle_loses_and_doubles_nothing(world: World, owner: Owner, tmp_path: Path):
    async with fleet(world, tmp_path, members=20) as servers:
        key = await feature(world)
        await licence(world, servers.account, key, 400)
        numbers, acknowledged = itertools.count(), set[str]()

        async def work(n: int) -> None:
            at_home, elsewhere = servers.shells[n % 3], servers.shells[(n + 1) % 3]
            wire = Wire(at_home.url, servers.tokens[n % 20])
            while (number := next(numbers)) < 600:
                resource = f"asset:{number}"
                for _ in range(5):
                    with contextlib.suppress(Lost):
                        said = await servers.claim(wire, key, resource)
                        assert said.status in (201, 200, 409), said
                        if said.status < 300:
                            acknowledged.add(resource)
                        if len(acknowledged) == 100:
                            servers.processes[0].kill()
                        break
                    wire = Wire(elsewhere.url, servers.tokens[n % 20])
                else:
                    raise AssertionError("no server is left")
            await wire.close()

        await asyncio.gather(*(work(n) for n in range(30)))
        assert servers.processes[0].poll() is not None
        rows = await owner.rows("SELECT resource FROM claims WHERE released_at IS NULL")
        assert len(rows) == 400
        assert {row["resource"] for row in rows} >= acknowledged
        assert await owner.value("SELECT used FROM usages WHERE feature = $1", key) == 400
        await nothing_is_lost(owner)
