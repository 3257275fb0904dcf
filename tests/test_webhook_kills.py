"""Webhooks under fire: workers killed at random, a receiver that fails, hangs, redirects, answers late and is away.

Nothing is missing, what comes twice is counted, and each account's events come in their order. With
`WEBHOOK_EVENTS=10000 pytest tests/test_webhook_kills.py -n 0` it is the run that docs/webhooks.md quotes.
"""

import asyncio
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from app.config import Settings
from app.delivering import OF_WEBHOOK, UNWRITTEN
from app.models import Partner, new_id
from app.policy import Access, Caller, Role
from app.services import events
from tests.conftest import Owner, World, running
from tests.receivers import ALLOWED, Got, Receiver, Reply, reaching, receiving
from tests.test_mail import start_worker

EVENTS = int(os.environ.get("WEBHOOK_EVENTS", "600"))
ACCOUNTS = 40
WORKERS = 2
LEASE = 3.0
KILLS = max(8, EVENTS // 250)
OUTAGES = max(1, EVENTS // 2_000)


class Fact:
    """What happens to an account, by the thousand."""

    __subject__ = "account"

    def __init__(self, account_id: UUID) -> None:
        self.id = account_id


async def happen(world: World, partner: Partner, accounts: list[UUID], count: int, dice: random.Random) -> None:
    """Events of many accounts, in many transactions that overlap."""
    user = await world.user("Anna")
    left = iter(range(count))

    async def write() -> None:
        for number in left:
            account_id = dice.choice(accounts)
            access = Access(Caller(user.id, user.id), partner.id, frozenset({Role.PARTNER_ADMIN}), account_id)
            async with world.transaction(partner.id) as db:
                events.record(db, access, "account.updated", Fact(account_id), after={"n": number})
                if dice.random() < 0.2:
                    await asyncio.sleep(0.005)

    await asyncio.gather(*(write() for _ in range(4)))


def moody(dice: random.Random) -> Any:
    """A receiver that takes most, and does everything else as well."""

    def reply(_: Got) -> Reply:
        match dice.random():
            case x if x < 0.02:
                return Reply(500)
            case x if x < 0.03:
                return Reply(302, headers={"Location": "http://127.0.0.1:1/"})
            case x if x < 0.035:
                return Reply(hang=True)
            case x if x < 0.045:
                return Reply(cut=True)
            case x if x < 0.06:
                return Reply(200, seconds=dice.uniform(0.2, 1))
            case _:
                return Reply(200)

    return reply


class Fleet:
    """Worker processes, of which one is killed now and then, and replaced."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.log, self.killed = settings, settings.data_dir / "workers.log", 0
        self.processes = [self.start() for _ in range(WORKERS)]

    def start(self) -> Any:
        return start_worker(self.settings, self.log, TENANTRY_LEASE_SECONDS=str(LEASE),
                            TENANTRY_WEBHOOK_ALLOW=",".join(ALLOWED), TENANTRY_SMTP_URL="smtp://127.0.0.1:1")  # fmt: skip

    def kill(self, number: int) -> None:
        process = self.processes[number]
        assert process.poll() is None, self.log.read_text()[-2000:]
        process.kill()
        process.wait()
        self.killed += 1
        self.processes[number] = self.start()

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(20)


@asynccontextmanager
async def fleet(settings: Settings) -> AsyncGenerator[Fleet]:
    found = Fleet(settings)
    try:
        yield found
    finally:
        await asyncio.to_thread(found.stop)


async def hurry(owner: Owner) -> None:
    """What waits after a failure is tried again within a second, not within hours: the test has no three days."""
    while True:
        await owner.execute(
            "UPDATE webhook_lanes SET due_at = now() WHERE leased_by IS NULL AND due_at > now() + interval '1 s'"
        )
        await owner.execute("UPDATE webhooks SET paused_until = NULL WHERE paused_until > now() + interval '1 s'")
        await asyncio.sleep(0.5)


@pytest.mark.slow
async def test_events_arrive_at_least_once_and_in_order_whoever_is_killed(
    settings: Settings, owner: Owner, capsys: pytest.CaptureFixture[str]
):
    dice = random.Random(6)
    short = reaching(settings, lease_seconds=LEASE, smtp_url=None)
    async with running(short) as world, receiving() as receiver, receiving() as calm, fleet(_posting(short)) as crew:
        partner = await world.partner(Anna=Role.PARTNER_ADMIN)
        anna, here = await world.client("Anna"), f"/v1/partners/{partner.id}"
        for at in (receiver, calm):
            made = await anna.post(f"{here}/webhooks", json={"url": at.url, "types": ["account.updated"]})
            assert made.status_code == 201, made.text
        receiver.reply = moody(random.Random(7))
        accounts = [new_id() for _ in range(ACCOUNTS)]
        hurrying = asyncio.create_task(hurry(owner))
        started = time.monotonic()
        making = asyncio.create_task(happen(world, partner, accounts, EVENTS, dice))
        try:
            for number in range(KILLS):
                share = EVENTS * (number + 1) // (KILLS + 2)
                await _until(240, lambda share=share: len(set(receiver.ids)) >= share)
                await asyncio.sleep(dice.uniform(0, 0.05))
                await asyncio.to_thread(crew.kill, dice.randrange(WORKERS))
                if number % (KILLS // OUTAGES) == 1:  # and the receiver's machine goes down for a while
                    await receiver.stop()
                    await asyncio.sleep(1)
                    await receiver.start()
            await making
            await _until(600, lambda: _taken(receiver) == _taken(calm) == EVENTS)
            seconds = time.monotonic() - started
            await _until_done(owner)
        finally:
            making.cancel()
            hurrying.cancel()
            with suppress(asyncio.CancelledError):
                await hurrying
        positions = {str(r["id"]): r["position"] for r in await owner.rows(
            "SELECT id, position FROM events WHERE partner_id = $1 AND type = 'account.updated'", partner.id)}  # fmt: skip
        for name, at in (("moody", receiver), ("calm", calm)):
            assert set(at.ids) == set(positions)
            twice = _in_order(at)
            with capsys.disabled():
                print(  # noqa: T201 - the figures that the documentation quotes
                    f"\n{name} receiver: {EVENTS} events, {ACCOUNTS} accounts, {crew.killed} workers killed; "
                    f"{len(at.got)} requests, {sum(not g.taken for g in at.got)} not taken, {twice} for what it had "
                    f"taken before; 0 missing; {seconds:.0f} s"
                )
            if at is calm:  # those on their way, and those whose answer was not written down
                assert twice <= KILLS * (OF_WEBHOOK + UNWRITTEN)
        assert crew.killed == KILLS
        states = await owner.rows("SELECT state, count(*) AS n FROM webhook_deliveries GROUP BY state")
        assert [(r["state"], r["n"]) for r in states] == [("delivered", 2 * EVENTS)]
        assert await owner.value("SELECT count(*) FROM webhook_lanes") == 0
        assert {e.type for e in await world.events(partner.id)} >= {"account.updated"}
        assert not any(e.type == "webhook.disabled" for e in await world.events(partner.id))


def _taken(receiver: Receiver) -> int:
    return len({g.id for g in receiver.got if g.taken})


def _in_order(receiver: Receiver) -> int:
    """Each account's events come in order: none comes for the first time, nor is taken for the first time, after a later
    one. How many came again after they had been taken.
    """
    taken = [g for g in receiver.got if g.taken]
    for got in (receiver.got, taken):
        seen, last = set[str](), defaultdict[str | None, int](int)
        for one in got:
            if one.id not in seen:
                seen.add(one.id)
                assert one.position > last[one.account], "out of order"
                last[one.account] = one.position
    assert len(Counter(g.account for g in receiver.got)) == ACCOUNTS
    first = {g.id: n for n, g in reversed([*enumerate(receiver.got)]) if g.taken}
    return sum(n > first[g.id] for n, g in enumerate(receiver.got))


def _posting(settings: Settings) -> Settings:
    return settings.model_copy(update={"smtp_url": SecretStr("smtp://127.0.0.1:1")})


async def _until(seconds: float, what: Any) -> None:
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - other processes work
            await asyncio.sleep(0.02)


async def _until_done(owner: Owner) -> None:
    async with asyncio.timeout(60):
        waits = "SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'"
        while await owner.value(waits):  # noqa: ASYNC110 - other processes work
            await asyncio.sleep(0.1)
