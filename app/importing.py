"""Works at imports: fetches the file, reads it, and does its rows batch by batch, a transaction each."""

import asyncio
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app import sheets
from app.db import Sessions, is_outage, is_transient, unit_of_work
from app.models import ImportStatus, utc_now
from app.problems import Internal
from app.problems import Text as Said
from app.services import columns, import_changes, import_intents, import_plans, import_rows, import_steps
from app.services.columns import Columns
from app.services.import_changes import Seen
from app.services.import_intents import Intent
from app.services.import_plans import Plan, Unusable
from app.services.import_rows import Draft
from app.services.import_steps import Job, Lost, Stopped
from app.services.import_writes import Raced
from app.sheets import Layout, Record, Unreadable
from app.tenancy import confine

log = structlog.get_logger("worker")

BATCH: Final = 1_000
MAX_ROWS: Final = 100_000
MAX_OPEN: Final = 20
"""Files that a worker has open at once; more imports than that wait for their turn."""
TRIES: Final = 5


@dataclass
class Batch:
    """Some rows, and what they say by the plan of a moment."""

    plan: Plan
    records: list[Record]
    drafts: list[Draft]
    foreseen: Intent | None = None
    """What they are to make of accounts, if that could be found while the rows before were being done."""


@dataclass
class Reader:
    """The open file of one import. It reads a batch ahead, in a thread, while the database does the one before; and
    where that opens accounts only, it looks ahead as well for what the next is to make of them.
    """

    job: Job
    path: Path
    plan: Plan
    records: Iterator[Record]
    at: int
    seen: Seen = field(default_factory=Seen)
    count: int = 0
    ahead: "asyncio.Task[Batch] | None" = None
    done: object = None
    """The mark of what was done last."""

    async def take(self) -> Batch:
        """The next rows; none at the end.

        Raises:
            Unreadable, Unusable: the file is broken, or too long.
        """
        batch = await (self.ahead or asyncio.create_task(asyncio.to_thread(self._read)))
        self.ahead = asyncio.create_task(asyncio.to_thread(self._read)) if batch.records else None
        return batch

    def _read(self) -> Batch:
        records = list(islice(self._behind(), BATCH))
        self.count += len(records)
        if self.count > MAX_ROWS:
            raise Unusable("too_many_rows", f"At most {MAX_ROWS:,} rows: split the file.",
                           f"Höchstens {MAX_ROWS // 1000}.000 Zeilen: teilen Sie die Datei.")  # fmt: skip
        return self.understood(self.plan, records)

    def _behind(self) -> Iterator[Record]:
        """What comes behind the rows that were done before a crash; of those, no row may be for the same account."""
        for record in self.records:
            if record.row > self.job.row:
                yield record
                continue
            self.count += 1
            if (key := import_rows.key_of(self.plan, record)) is not None:
                self.seen.keys.setdefault(hash(key), record.row)

    def understood(self, plan: Plan, records: list[Record]) -> Batch:
        drafts = import_rows.understood(plan, records)
        import_changes.note_keys(plan, drafts, self.seen)
        return Batch(plan, records, drafts)

    def look_ahead(self, begin: Sessions, doing: Intent) -> None:
        """Find out what the next rows are to make of accounts, while these are being done."""
        if self.ahead is not None:
            self.ahead = asyncio.create_task(self._foresee(begin, self.ahead, doing))

    async def _foresee(self, begin: Sessions, ahead: "asyncio.Task[Batch]", doing: Intent) -> Batch:
        batch = await ahead
        batch.foreseen = None
        if not batch.records:
            return batch
        try:
            async with unit_of_work(begin) as db:
                await confine(db, self.job.partner_id)
                found = await import_intents.foreseen(db, batch.plan, batch.drafts, doing)
            batch.foreseen = await import_intents.ready(found) if found else None
        except Exception as error:  # whatever it is: it is found out when they are done, too
            log.warning("import could not look ahead", account_import=str(self.job.id), error=type(error).__name__)
        return batch

    async def close(self) -> None:
        try:
            if self.ahead is not None:
                await asyncio.gather(self.ahead, return_exceptions=True)
        finally:
            await asyncio.to_thread(self.path.unlink, missing_ok=True)


class Importer:
    """The imports in the hands of one worker, at most one of each partner."""

    def __init__(self, begin: Sessions, worker_id: UUID, lease: timedelta) -> None:
        self.begin, self.worker_id, self.lease = begin, worker_id, lease
        self.readers: dict[UUID, Reader] = {}

    async def step(self, partner_id: UUID) -> bool:
        """One batch of a partner's import; False when there was nothing to do, or nothing that could be done now."""
        try:
            return await self._step(partner_id)
        except Lost:
            await self._drop(partner_id)
            return True
        except BaseException:  # whatever it is: who goes on with it begins with a fresh file
            await self._drop(partner_id)
            raise

    async def close(self) -> None:
        """Leave all files; the imports go on when their leases are over, or with this worker."""
        for partner_id in list(self.readers):
            await self._drop(partner_id)

    async def _drop(self, partner_id: UUID) -> None:
        reader = self.readers.pop(partner_id, None)
        if reader is not None:
            await reader.close()

    async def _step(self, partner_id: UUID) -> bool:
        reader = self.readers.get(partner_id)
        if reader is None:
            return len(self.readers) < MAX_OPEN and await self._open(partner_id)
        try:
            batch = await reader.take()
            await self._again(partial(self._work, reader, batch))
        except (Unreadable, Unusable, Stopped) as error:
            await self._fail(reader.job, reader.at, error)
        except (Lost, asyncio.CancelledError):
            raise
        except Raced:  # others were in the way every time: it stays as it is, and goes on later
            log.warning("import raced", account_import=str(reader.job.id))
            await self._drop(partner_id)
            return False
        except Exception as error:
            if is_outage(error) or is_transient(error):
                raise
            log.exception("import failed", account_import=str(reader.job.id))
            await self._fail(reader.job, reader.at, error)
        else:
            if not batch.records:
                await self._drop(partner_id)
            return True
        await self._drop(partner_id)
        return True

    # one batch

    async def _again(self, attempt: Any) -> None:
        """Run a transaction; once more when others were in its way, for it is undone."""
        for n in range(1, TRIES):
            try:
                return await attempt()
            except Exception as error:
                if not (isinstance(error, Raced) or is_transient(error)):
                    raise
            await asyncio.sleep(0.01 * 2**n)
        return await attempt()

    async def _work(self, reader: Reader, batch: Batch) -> None:
        async with unit_of_work(self.begin) as db:
            row = await self._held(db, reader.job, reader.at)
            access = await import_steps.acting(db, row)
            if not batch.records:
                await import_steps.finish(db, row)
                return
            found = await columns.steady(db, row.partner_id)
            if batch.plan.columns.version != found.version:
                await self._replan(reader, batch, found)
            running = row.status == ImportStatus.RUNNING
            intent, batch.foreseen = batch.foreseen, None
            at_hand = (access, batch.plan, batch.drafts)
            if intent is None or not await import_intents.holds(db, intent, *at_hand, reader.done):
                within = Seen() if running else reader.seen  # what earlier batches took is in the table by now
                intent = await import_intents.intended(db, *at_hand, within, lock=running)
            if running and intent.only_opens:
                reader.look_ahead(self.begin, intent)
            await import_steps.do(db, row, intent, batch.drafts)
        reader.at, reader.done = batch.records[-1].row, intent.mark

    async def _replan(self, reader: Reader, batch: Batch, found: Columns) -> None:
        """Definitions have changed since the rows were read: what they say is found out anew."""
        if reader.plan.columns.version != found.version:
            reader.plan = import_plans.planned(found, reader.plan.layout, reader.job.options)
        fresh = await asyncio.to_thread(reader.understood, reader.plan, batch.records)
        batch.plan, batch.drafts = fresh.plan, fresh.drafts

    async def _held(self, db: AsyncSession, job: Job, at: int) -> Any:
        await confine(db, job.partner_id)
        return await import_steps.held(db, job, self.worker_id, at, self.lease)

    async def _fail(self, job: Job, at: int, error: Exception) -> None:
        said = getattr(error, "said", None)
        if isinstance(error, Unreadable):
            said = Said(error.en, error.de)
        code: str = getattr(error, "code", Internal.code) if said else Internal.code
        async with unit_of_work(self.begin) as db:
            row = await self._held(db, job, at)
            await import_steps.fail(db, row, code, said or Internal.title)

    # the file

    async def _open(self, partner_id: UUID) -> bool:
        """Take up the import that waits longest; False when none does."""
        async with unit_of_work(self.begin) as db:
            await confine(db, partner_id)
            job = await import_steps.claim(db, self.worker_id, self.lease)
            if job is None:
                return bool(await import_steps.expire(db, utc_now()))
        at = 0 if job.status == ImportStatus.CHECKING else job.row
        path = await self._fetch(job)
        try:
            layout, plan = await self._understand(job, path, at)
        except BaseException as error:
            await asyncio.to_thread(path.unlink)
            if not isinstance(error, Unreadable | Unusable):
                raise
            await self._fail(job, at, error)
            return True
        self.readers[partner_id] = Reader(job, path, plan, sheets.records(path, layout), at)
        return True

    async def _fetch(self, job: Job) -> Path:
        """The file on this machine's disk, piece by piece."""
        handle, name = tempfile.mkstemp(prefix="tenantry-import-")
        number = 0
        with os.fdopen(handle, "wb") as file:
            while True:
                async with unit_of_work(self.begin) as db:
                    await confine(db, job.partner_id)
                    data = await import_steps.chunk(db, job, number)
                if data is None:
                    return Path(name)
                await asyncio.to_thread(file.write, data)
                number += 1

    async def _understand(self, job: Job, path: Path, at: int) -> tuple[Layout, Plan]:
        """How the file is read: as it was before, or as it looks."""
        given = {k: job.options[k] for k in ("encoding", "separator", "decimal", "dates", "sheet")}
        layout = Layout.of(job.layout) if job.layout else await asyncio.to_thread(sheets.detect, path, **given)
        async with unit_of_work(self.begin) as db:
            row = await self._held(db, job, at)
            plan = import_plans.planned(await columns.load(db, job.partner_id), layout, job.options)
            import_steps.note_layout(row, plan)
        return layout, plan
