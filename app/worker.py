"""Sends what the outbox holds, numbers events, and cleans up: any number of workers may do it at once."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Function, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import post
from app.config import Settings
from app.db import Sessions, unit_of_work
from app.metrics import DELIVERIES
from app.models import PLATFORM, Delivery, WorkerBeat, new_id, utc_now
from app.security import Keys
from app.services import letters, passwords, sessions, throttles
from app.tenancy import confine

log = structlog.get_logger("worker")

MAX_ATTEMPTS = 8
BEAT_SECONDS = 10.0
KEEP_DELIVERIES = timedelta(days=30)
KEEP_ANSWERS = timedelta(hours=24)
EVENTS_AT_ONCE = 500


class Worker:
    """One worker. Cancel `run` to stop it: what it was sending is sent again by another, once its lease is over."""

    def __init__(self, begin: Sessions, keys: Keys, settings: Settings, transport: post.Transport) -> None:
        self.begin, self.keys, self.settings, self.transport = begin, keys, settings, transport
        self.id = new_id()
        self.lease = timedelta(seconds=settings.lease_seconds)

    async def run(self) -> None:
        """Work for ever."""
        await asyncio.gather(
            self._repeat(self.deliver_all, 0.5),
            self._repeat(self.number_all, 0.2),
            self._repeat(self.beat, BEAT_SECONDS),
            self._repeat(self.clean_up, 3600),
        )

    async def _repeat(self, work: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Once more after each pause, whatever happened: a database that is away comes back."""
        while True:
            try:
                await work()
            except Exception as error:
                log.warning("work failed", work=getattr(work, "__name__", ""), error=type(error).__name__)
                await asyncio.sleep(1)
            await asyncio.sleep(seconds)

    async def deliver_all(self) -> int:
        """Send all that is due, one of each partner in turn, so that no partner's burst delays another's mail."""
        sent = 0
        while partners := await self._partners(func.partners_with_due_deliveries(utc_now())):
            before = sent
            for partner_id in partners:
                sent += await self.deliver_one(partner_id)
            if sent == before:  # others have them in their hands
                break
        return sent

    async def deliver_one(self, partner_id: UUID) -> bool:
        """Send the delivery of a partner that has been due longest; False when there is none.

        Lease, send, mark: three steps, so that no transaction is open while a mail server takes its time. A
        worker that dies after the server said yes and before the mark leaves a mail that is sent twice, with the
        same Message-ID; SMTP has no transaction that could span both sides.
        """
        delivery = await self._lease(partner_id)
        if delivery is None:
            return False
        try:
            outcome = await self._send(delivery)
        except post.Undeliverable as error:
            await self._mark(delivery, "failed", f"refused: {error}")
        except (OSError, TimeoutError, post.SMTPException) as error:
            await self._retry(delivery, error)
        except Exception as error:  # a mistake of ours: loud, and tried again after it is mended
            log.exception("mail not written", delivery=str(delivery.id), template=delivery.template)
            await self._retry(delivery, error)
        else:
            await self._mark(delivery, outcome, None)
        return True

    async def _lease(self, partner_id: UUID) -> Delivery | None:
        now = utc_now()
        async with unit_of_work(self.begin) as db:
            await confine(db, partner_id)
            due = await db.scalar(
                select(Delivery)
                .where(Delivery.done_at.is_(None), Delivery.due_at <= now,
                       or_(Delivery.leased_until.is_(None), Delivery.leased_until <= now))
                .order_by(Delivery.due_at).limit(1).with_for_update(skip_locked=True)
            )  # fmt: skip
            if due is not None:
                due.leased_until = now + self.lease
            return due

    async def _send(self, delivery: Delivery) -> str:
        settings = self.settings
        async with unit_of_work(self.begin) as db:
            await confine(db, delivery.partner_id)
            letter = await letters.write(
                db, self.keys, delivery, url=settings.url, reset_minutes=settings.password_reset_minutes
            )
        if letter is None:
            return "dropped"
        message = post.compose(
            letter.template, letter.language, letter.values, sender=settings.mail_from, recipient=letter.recipient,
            message_id=str(delivery.id), at=delivery.created_at,
        )  # fmt: skip
        async with asyncio.timeout(self.lease.total_seconds() / 2):
            await self.transport.send(message)
        return "sent"

    async def _mark(self, delivery: Delivery, outcome: str, error: str | None) -> None:
        DELIVERIES.labels(delivery.template, outcome).inc()
        async with unit_of_work(self.begin) as db:
            row = await self._again(db, delivery)
            row.done_at, row.outcome, row.last_error = utc_now(), outcome, error
            if outcome != "dropped":
                await letters.note_outcome(db, row, sent=outcome == "sent")
        if error:
            log.error("mail refused", delivery=str(delivery.id), template=delivery.template, error=error)

    async def _retry(self, delivery: Delivery, error: Exception) -> None:
        """Later: 5 s, 20 s, 80 s, … so that eight attempts span some seven hours; then it has failed."""
        attempts = delivery.attempts + 1
        if attempts >= MAX_ATTEMPTS:
            await self._mark(delivery, "failed", type(error).__name__)
            return
        DELIVERIES.labels(delivery.template, "retried").inc()
        wait = timedelta(seconds=5 * 4 ** (attempts - 1) * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
        async with unit_of_work(self.begin) as db:
            row = await self._again(db, delivery)
            row.attempts, row.due_at, row.leased_until, row.last_error = (
                attempts,
                utc_now() + wait,
                None,
                type(error).__name__,
            )
        log.warning("mail not sent", delivery=str(delivery.id), template=delivery.template, attempt=attempts,
                    error=type(error).__name__)  # fmt: skip

    async def _again(self, db: AsyncSession, delivery: Delivery) -> Delivery:
        await confine(db, delivery.partner_id)
        return await db.get_one(Delivery, (delivery.partner_id, delivery.id))

    async def number_all(self) -> None:
        """Give committed events their positions: only numbered events are read by feeds, webhooks and exports."""
        for partner_id in await self._partners(func.partners_with_unnumbered_events()):
            async with unit_of_work(self.begin) as db:
                await db.execute(select(func.number_events(partner_id, EVENTS_AT_ONCE)))

    async def beat(self) -> None:
        """Say that this worker lives; readiness asks for it."""
        now: datetime = utc_now()
        async with unit_of_work(self.begin) as db:
            sign = insert(WorkerBeat).values(id=self.id, seen_at=now)
            await db.execute(sign.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))
            await db.execute(delete(WorkerBeat).where(WorkerBeat.seen_at < now - timedelta(hours=1)))

    async def clean_up(self) -> None:
        """Delete what has served its time."""
        now = utc_now()
        async with unit_of_work(self.begin) as db:
            await confine(db, PLATFORM)
            await db.execute(select(func.purge_tenant_rows(now - KEEP_DELIVERIES, now - KEEP_ANSWERS)))
            await sessions.purge(db, now)
            await passwords.purge(db, now)
            await throttles.purge(db, now)

    async def _partners(self, source: Function[UUID]) -> list[UUID]:
        async with unit_of_work(self.begin) as db:
            found = source.table_valued("partner_id")
            return [UUID(str(p)) for p in await db.scalars(select(found.c.partner_id))]
