"""Sends the outbox, numbers events, delivers webhooks, imports accounts, gives notices, cleans up.

Any number of workers may do it at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import Function, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import limits, post
from app.bells import CHANNEL
from app.config import Settings
from app.db import Sessions, unit_of_work
from app.delivering import Deliverer
from app.importing import Importer
from app.logs import report
from app.mailing import Mailer
from app.metrics import NOTICES, OUTBOX_AGE, OUTBOX_DEPTH
from app.models import PLATFORM, WorkerBeat, first_id, new_id, utc_now
from app.security import Keys
from app.services import (
    api_credentials,
    data_exports,
    erasures,
    health,
    notices,
    passwords,
    recounts,
    refreshes,
    sessions,
    throttles,
)
from app.tenancy import confine

T = TypeVar("T")

BEAT_SECONDS: Final = 10.0
EVENTS_AT_ONCE: Final = 500
PURGED_AT_ONCE: Final = 10_000
PURGES: Final = (
    sessions.purge,
    passwords.purge,
    throttles.purge,
    api_credentials.purge,
    data_exports.purge,
    limits.purge,
)


async def measure(begin: Sessions) -> None:
    """Put the outbox into the figures of this process."""
    async with unit_of_work(begin) as db:
        depth, age = await health.outbox(db)
    OUTBOX_DEPTH.set(depth)
    OUTBOX_AGE.set(age)


async def measure_for_ever(begin: Sessions) -> None:
    """For a server process without a worker inside: the figures of workers elsewhere do not reach it."""
    while True:
        await asyncio.sleep(BEAT_SECONDS)
        try:
            await measure(begin)
        except Exception as error:
            report("measure", error)


class Worker:
    """One worker. Cancel `run` to stop it: it finishes the mail in its hands, within seconds, and begins no other."""

    def __init__(self, begin: Sessions, keys: Keys, settings: Settings, transport: post.Transport) -> None:
        self.begin, self.keys, self.settings = begin, keys, settings
        self.id = new_id()
        self.lease = timedelta(seconds=settings.lease_seconds)
        self.mailer = Mailer(begin, keys, settings, transport, self.lease)
        self.importer = Importer(begin, self.id, self.lease)
        self.deliverer = Deliverer(begin, keys, settings, self.id)

    async def run(self) -> None:
        """Work for ever."""
        async with asyncio.TaskGroup() as tasks:  # unlike gather, it waits for all of them when it is cancelled
            tasks.create_task(self._repeat(self.mail_all, 0.5))
            tasks.create_task(self._repeat(self.number_all, 0.2))
            tasks.create_task(self._repeat(self.refresh_all, 1))
            tasks.create_task(self._import_for_ever())
            tasks.create_task(self._call_webhooks_for_ever())
            tasks.create_task(self._repeat(self.tell_all, 60))
            tasks.create_task(self._repeat(self.serve_people, 2))
            tasks.create_task(self._repeat(self.beat, BEAT_SECONDS))
            tasks.create_task(self._repeat(self.clean_up, 3600))
            tasks.create_task(self._repeat(self.erase_all, 3600))
            tasks.create_task(self._repeat(self.recount_all, 86_400))

    async def _repeat(self, work: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Once more after each pause, whatever happened: a database that is away comes back."""
        while True:
            try:
                await work()
            except Exception as error:
                report(getattr(work, "__name__", ""), error)
                await asyncio.sleep(1)
            await asyncio.sleep(seconds)

    async def mail_all(self) -> int:
        """Send all mails that are due, one of each partner in turn: a burst of one delays no mail of another."""
        sent = 0
        while partners := await self._partners(func.partners_with_due_deliveries(utc_now())):
            before = sent
            for partner_id in partners:
                sent += await self.mailer.step(partner_id)
            if sent == before:  # others have them in their hands
                break
        return sent

    async def number_all(self) -> None:
        """Give committed events their positions: only numbered events are read by feeds, webhooks and exports."""
        waiting = await self._partners(func.partners_with_unnumbered_events())
        while waiting:  # in turns, so that one partner's thousands do not hold up the others
            waiting = [p for p in waiting if await self._number(p) >= EVENTS_AT_ONCE]

    async def _number(self, partner_id: UUID) -> int:
        async with unit_of_work(self.begin) as db:
            numbered = await db.scalar(select(func.number_events(partner_id, EVENTS_AT_ONCE))) or 0
            if numbered:  # heard when this is committed: see bells
                await db.execute(select(func.pg_notify(CHANNEL, str(partner_id))))
            return numbered

    async def refresh_all(self) -> None:
        """Bring accounts up to date with definitions that have changed, a batch of each partner in turn."""
        waiting = await self._partners(func.partners_with_stale_properties())
        while waiting:
            waiting = [p for p in waiting if await self._refresh(p)]

    async def _refresh(self, partner_id: UUID) -> bool:
        async with unit_of_work(self.begin) as db:
            await confine(db, partner_id)
            return await refreshes.step(db, partner_id)

    async def import_all(self) -> None:
        """Work at the imports that wait, a batch of each partner in turn."""
        while partners := await self._partners(func.partners_with_waiting_imports(utc_now(), self.id)):
            if not any([await self.importer.step(partner_id) for partner_id in partners]):
                break

    async def _import_for_ever(self) -> None:
        try:
            await self._repeat(self.import_all, 0.5)
        finally:
            await self.importer.close()

    async def _call_webhooks_for_ever(self) -> None:
        try:
            await self._repeat(self.deliverer.poll, 0.25)
        finally:
            await self.deliverer.close()

    async def tell_all(self) -> None:
        """Tell in time of licences that end and of limits that are reached, a batch of each partner in turn."""
        last = UUID(int=0)
        while partners := await self._partners(func.partners_to_be_told(utc_now(), last)):
            last, waiting = max(partners), partners
            while waiting:
                waiting = [p for p in waiting if await self._tell(p)]

    async def _tell(self, partner_id: UUID) -> bool:
        told = await self._try("tell", lambda db: notices.step(db, partner_id, utc_now()), partner_id)
        if told is None:
            return False
        for kind, number in told.given.items():
            NOTICES.labels(kind).inc(number)
        return told.more

    async def serve_people(self) -> None:
        """Write the files of what is kept about people, and erase those who asked for it: step by step, in turns."""
        more = True
        while more:
            erased = await self._try("erase people", lambda db: erasures.step(db, self.keys.derived("throttles")))
            more = await self._try("export", data_exports.step) or bool(erased)

    async def beat(self) -> None:
        """Say that this worker lives, readiness asks for it; and measure the outbox."""
        now: datetime = utc_now()
        async with unit_of_work(self.begin) as db:
            sign = insert(WorkerBeat).values(id=self.id, seen_at=now)
            await db.execute(sign.on_conflict_do_update(index_elements=["id"], set_={"seen_at": now}))
            await db.execute(delete(WorkerBeat).where(WorkerBeat.seen_at < now - timedelta(hours=1)))
        await measure(self.begin)

    async def clean_up(self) -> None:
        """Delete what has served its time: each kind in a transaction of its own, so that one that fails (or of which
        there is too much) leaves the others to be deleted.
        """
        now = utc_now()
        for purge in PURGES:
            name = purge.__module__.rpartition(".")[2]
            await self._try(f"clean up {name}", lambda db, purge=purge: purge(db, now), PLATFORM)
        for function in (func.purge_tenant_rows(), func.purge_imports(), func.purge_invitations()):
            await self._try(function.name, lambda db, function=function: db.execute(select(function)), PLATFORM)
        old = func.purge_webhook_rows(first_id(now - timedelta(days=self.settings.event_days)), PURGED_AT_ONCE)
        while await self._try(old.name, lambda db: db.scalar(select(old)), PLATFORM) == PURGED_AT_ONCE:
            pass

    async def erase_all(self) -> None:
        """Erase what events say, and from where, once they are older than the audit log goes back."""
        days = self.settings.audit_days
        while partners := await self._partners(func.partners_with_old_events(days)):
            if not any([await self._erase(partner_id, days) for partner_id in partners]):
                break  # another worker is at it, or none can be

    async def _erase(self, partner_id: UUID, days: int) -> int:
        step = select(func.erase_events(partner_id, days, EVENTS_AT_ONCE))
        return await self._try("erase events", lambda db: db.scalar(step)) or 0

    async def recount_all(self) -> None:
        """Set right how many members accounts have, where an older release or somebody with SQL let one in or out.

        At the start: the last process of a release that starts is there when the last one of the release before goes.
        """
        last = UUID(int=0)
        while partners := await self._partners(func.partners_behind(last)):
            for partner_id in partners:
                await self._recount(partner_id)
            last = max(partners)

    async def _recount(self, partner_id: UUID) -> None:
        after, more = None, True
        while more:
            step = partial(recounts.step, partner_id=partner_id, after=after)
            after = await self._try("recount", step, partner_id)
            more = after is not None

    async def _try(
        self, work: str, step: Callable[[AsyncSession], Awaitable[T]], partner_id: UUID | None = None
    ) -> T | None:
        """One transaction (confined to the partner). None when it fails, which is told: now is the others' turn."""
        try:
            async with unit_of_work(self.begin) as db:
                if partner_id is not None:
                    await confine(db, partner_id)
                return await step(db)
        except Exception as error:
            report(work, error)
            return None

    async def _partners(self, source: Function[UUID]) -> list[UUID]:
        async with unit_of_work(self.begin) as db:
            found = source.table_valued("partner_id")
            return [UUID(str(p)) for p in await db.scalars(select(found.c.partner_id))]
