"""Delivers webhooks: finds those with something to send, and keeps a courier for each as long as there is."""

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import column, func, select

from app import security
from app.config import Settings
from app.db import Sessions, unit_of_work
from app.logs import report
from app.metrics import WEBHOOK_ATTEMPTS
from app.models import utc_now
from app.outbound import SECONDS, Answer, Outlet
from app.security import Keys
from app.services import webhook_retries, webhook_turns
from app.services.webhook_retries import Attempt
from app.services.webhook_turns import Done, Hand, Holder, Item
from app.tenancy import confine

log = structlog.get_logger("worker")

OF_WEBHOOK: Final = 8
"""Connections of this worker to one receiver at a time: a slow one holds so many, and no more."""
OF_PARTNER: Final = 64
OF_WORKER: Final = 400
UNWRITTEN: Final = 32
"""Answers of one receiver that are not written down yet: of a worker that is killed, they (and those that are on their
way) are sent again, so nothing more is sent before they are.
"""
TURNS: Final = 2
"""Transactions at a time: the pool is for the rest of the worker as well."""
STOP_SECONDS: Final = 5.0
PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
AGENT: Final = "Tenantry-Webhooks/1"


def headers(secrets: Any, message_id: UUID, body: str) -> dict[str, str]:
    """What goes with a message that is sent now."""
    signed = security.webhook_headers(secrets, message_id, utc_now(), body)
    return {"Content-Type": "application/json", "User-Agent": AGENT, **signed}


def said(answer: Answer, at: Any) -> dict[str, Any]:
    """What is kept of an answer."""
    return {"at": at, "milliseconds": answer.milliseconds, "status": answer.status, "error": answer.error,
            "content_type": answer.content_type, "body": answer.body}  # fmt: skip


class Courier:
    """The deliveries of one webhook in the hands of this worker: turns at the database, and lanes in flight between.

    What has happened while a turn took place is written down in the next, all of it together.
    """

    def __init__(self, owner: "Deliverer", partner_id: UUID, webhook_id: UUID) -> None:
        self.owner, self.partner_id, self.webhook_id = owner, partner_id, webhook_id
        self.done, self.wake = Done(), asyncio.Event()
        self.writing, self.written = 0, asyncio.Event()
        self.lanes = dict[UUID, asyncio.Task[None]]()

    async def run(self) -> None:
        failed = 0
        while True:
            self.wake.clear()
            done, self.done = self.done, Done()
            self.writing = len(done.attempts)
            try:
                hand = await self.owner.turn(self, done)
            except Exception as error:
                self.done = Done(done.attempts + self.done.attempts, done.lanes | self.done.lanes)
                report("deliver webhooks", error)
                if failed >= len(PAUSES):  # leases run out, and it is sent again
                    return await self.stop()
                await asyncio.sleep(PAUSES[failed])
                failed += 1
                continue
            failed = self.writing = 0
            self.written.set()
            for lane, items in hand.lanes.items():
                if lane not in self.lanes:  # else it is ours still, though its lease was over
                    self.lanes[lane] = asyncio.create_task(self._send_all(hand, lane, items))
            if not self.lanes and not self.done and not hand.more:
                return None
            if not hand.more:
                await self.wake.wait()

    async def stop(self) -> None:
        """Break off what is in flight."""
        for task in list(self.lanes.values()):
            task.cancel()
        await asyncio.gather(*self.lanes.values(), return_exceptions=True)

    async def _send_all(self, hand: Hand, lane: UUID, items: Any) -> None:
        """One after the other; after a failure, those behind it wait."""
        due_at, started = utc_now(), time.monotonic()
        try:
            for item in items:
                while self.writing + len(self.done.attempts) >= UNWRITTEN:
                    self.written.clear()
                    await self.written.wait()
                made = await self._send(hand, item)
                due_at = made.next_at or utc_now()
                if not made.taken or self.owner.is_over(started):
                    break
        except Exception as error:  # a mistake of ours: it must not keep others waiting, nor be tried at once
            report("deliver webhooks", error)
            due_at = utc_now() + self.owner.holder.lease
        finally:
            self.done.lanes[lane] = due_at
            del self.lanes[lane]
            self.wake.set()

    async def _send(self, hand: Hand, item: Item) -> Attempt:
        at = utc_now()
        sent = headers(hand.secrets, item.id, item.body)
        answer = await self.owner.outlet.post(hand.url, sent, item.body.encode(), self.owner.seconds, self.partner_id)
        WEBHOOK_ATTEMPTS.labels(answer.error or "delivered").inc()
        made = webhook_retries.attempt(
            item.id, utc_now(), said(answer, at), tries=item.tries, begun_at=item.begun_at,
            retry_after=answer.retry_after,
        )  # fmt: skip
        if answer.error:
            log.info("webhook not taken", webhook=str(self.webhook_id), delivery=str(item.id), error=answer.error,
                     status=answer.status, attempt=item.tries + 1, state=made.state.value)  # fmt: skip
        self.done.attempts.append(made)
        self.wake.set()
        return made


class Deliverer:
    """The webhooks that this worker delivers. Any number of workers may: each lane is in the hands of one."""

    def __init__(self, begin: Sessions, keys: Keys, settings: Settings, worker_id: UUID,
                 outlet: Outlet | None = None) -> None:  # fmt: skip
        self.begin, self.keys = begin, keys
        lease = timedelta(seconds=settings.lease_seconds)
        self.holder = Holder(worker_id, lease, timedelta(days=settings.webhook_failing_days))
        self.seconds = min(SECONDS, settings.lease_seconds / 2)
        self.outlet = outlet or Outlet(settings.webhook_networks)
        self.couriers = dict[UUID, tuple[Courier, asyncio.Task[None]]]()
        self._turns, self._stopping = asyncio.Semaphore(TURNS), False

    async def poll(self) -> int:
        """Have a courier at work for each webhook with something to send; how many there are to do."""
        async with unit_of_work(self.begin) as db:
            found = func.webhooks_with_work(utc_now()).table_valued(column("partner_id"), column("webhook_id"))
            work = [(UUID(str(p)), UUID(str(w))) for p, w in await db.execute(select(found))]
        for partner_id, webhook_id in work:
            if (known := self.couriers.get(webhook_id)) is not None:
                if self._room(known[0]):
                    known[0].wake.set()
                continue
            courier = Courier(self, partner_id, webhook_id)
            task = asyncio.create_task(courier.run())
            self.couriers[webhook_id] = (courier, task)
            task.add_done_callback(lambda _, webhook_id=webhook_id: self.couriers.pop(webhook_id, None))
        return len(work)

    async def drain(self) -> None:
        """Deliver all that is due, and return when it is done."""
        while await self.poll():
            while self.couriers:
                await asyncio.wait([task for _, task in self.couriers.values()])

    async def close(self) -> None:
        """Finish what is in flight, within seconds; hand the rest back."""
        self._stopping = True
        tasks = [task for _, task in self.couriers.values()]
        for courier, _ in self.couriers.values():
            courier.wake.set()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for courier, _ in list(self.couriers.values()):
                await courier.stop()
            if late:
                _, late = await asyncio.wait(late, timeout=1)
            for task in late:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        await self.outlet.close()

    # for couriers

    async def turn(self, courier: Courier, done: Done) -> Hand:
        async with self._turns, unit_of_work(self.begin) as db:
            await confine(db, courier.partner_id)
            return await webhook_turns.turn(
                db, self.keys, self.holder, courier.partner_id, courier.webhook_id, utc_now(), done,
                self._room(courier),
            )  # fmt: skip

    def is_over(self, started: float) -> bool:
        """Whether so much of a lease has gone by that no further delivery may begin."""
        return self._stopping or time.monotonic() - started > self.holder.lease.total_seconds() / 3

    def _room(self, courier: Courier) -> int:
        """How many lanes a courier may take in hand besides those that it has."""
        if self._stopping:
            return 0
        others = [c for c, _ in self.couriers.values()]
        of_partner = sum(len(c.lanes) for c in others if c.partner_id == courier.partner_id)
        everywhere = sum(len(c.lanes) for c in others)
        return max(0, min(OF_WEBHOOK - len(courier.lanes), OF_PARTNER - of_partner, OF_WORKER - everywhere))
