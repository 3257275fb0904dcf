"""Sends the mails of the outbox, one at a time: leases it, sends it, and marks what became of it."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import post
from app.config import Settings
from app.db import Sessions, is_outage, unit_of_work
from app.logs import report
from app.metrics import DELIVERIES
from app.models import Delivery, utc_now
from app.security import Keys
from app.services import letters
from app.tenancy import confine

log = structlog.get_logger("worker")

MAX_ATTEMPTS: Final = 8
STOP_SECONDS: Final = 5.0
MARK_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)


class Mailer:
    """The mails that this worker sends. Any number of workers may: each mail is in the hands of one."""

    def __init__(self, begin: Sessions, keys: Keys, settings: Settings, transport: post.Transport,
                 lease: timedelta) -> None:  # fmt: skip
        self.begin, self.keys, self.settings, self.transport, self.lease = begin, keys, settings, transport, lease

    async def step(self, partner_id: UUID) -> bool:
        """Send the mail of a partner that has been due longest; False when there is none.

        Who is cancelled meanwhile still finishes it: between the server's yes and the mark, giving up would repeat it.
        """
        work = asyncio.create_task(self._step(partner_id))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work], timeout=STOP_SECONDS)
            raise
        finally:
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await work

    async def _step(self, partner_id: UUID) -> bool:
        """Lease, send, mark: three steps, so that no transaction is open while a mail server takes its time.

        A worker that is killed after the server said yes and before the mark leaves a mail that is sent twice, with
        the same Message-ID; SMTP has no transaction that could span both sides.
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
        except Exception as error:
            if is_outage(error):  # the database's, before anything was sent: no fault of this mail
                raise
            # A mistake of ours: loud, and tried again after it is mended.
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
        """Write down what became of it; again after a moment if the database fails, for else it would be repeated."""
        DELIVERIES.labels(delivery.template, outcome).inc()
        for pause in MARK_PAUSES:
            try:
                return await self._mark_once(delivery, outcome, error)
            except Exception as failure:
                report("mark", failure)
            await asyncio.sleep(pause)
        return await self._mark_once(delivery, outcome, error)

    async def _mark_once(self, delivery: Delivery, outcome: str, error: str | None) -> None:
        async with unit_of_work(self.begin) as db:
            row = await self._again(db, delivery)
            if row.done_at is not None:  # the commit before went through, though its answer did not
                return
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
