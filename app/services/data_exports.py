"""Exports of what is kept about a person, as a file of JSON: a worker writes it, a piece in each transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import DataExport, DataExportPart, DataExportStatus, utc_now
from app.policy import Caller
from app.problems import DataExportNotReady, DataExportRunning, NotFound
from app.services import events, people
from app.services.people import Place

KEPT_FOR: Final = timedelta(days=7)
END: Final = b"\n]}\n"


async def create(db: AsyncSession, caller: Caller) -> DataExport:
    """Have a file written of all that is kept about the caller; it takes the place of an earlier one.

    Raises:
        DataExportRunning: one is being written.
    """
    await people.of(db, caller.user_id, lock=True)  # two requests at once are one behind the other
    earlier = await db.scalars(select(DataExport).where(DataExport.user_id == caller.user_id))
    for export in earlier:
        if export.status == DataExportStatus.RUNNING:
            raise DataExportRunning
        await db.delete(export)
    export = DataExport(user_id=caller.user_id, expires_at=utc_now() + KEPT_FOR)
    db.add(export)
    await db.flush()
    db.add(DataExportPart(export_id=export.id, number=0, data=beginning(caller.user_id, export.created_at)))
    await db.flush()
    events.record_own(db, caller, "data_export.created", export)
    return export


async def get(db: AsyncSession, caller: Caller, export_id: UUID) -> DataExport:
    """One of the caller's own, until its time is over."""
    export = await db.get(DataExport, export_id)
    if export is None or export.user_id != caller.user_id or export.expires_at <= utc_now():
        raise NotFound
    return export


async def finished(db: AsyncSession, caller: Caller, export_id: UUID) -> DataExport:
    """One whose file is there.

    Raises:
        DataExportNotReady: it is still being written.
    """
    export = await get(db, caller, export_id)
    if export.status != DataExportStatus.DONE:
        raise DataExportNotReady
    return export


async def part(db: AsyncSession, export_id: UUID, number: int) -> bytes | None:
    """A piece of the file; None behind the last."""
    return await db.scalar(
        select(DataExportPart.data).where(DataExportPart.export_id == export_id, DataExportPart.number == number)
    )


async def step(db: AsyncSession) -> bool:
    """Write the next piece of an export that waits, with how far it is, in this transaction; False when none does.

    Killed before the commit, the piece was not written; whoever comes next writes it.
    """
    waiting = select(DataExport).where(DataExport.status == DataExportStatus.RUNNING).order_by(func.random()).limit(1)
    export = await db.scalar(waiting.with_for_update(skip_locked=True))
    if export is None:
        return False
    person = await people.of(db, export.user_id)
    found, place = await people.step(db, person, Place(export.at_partner, export.at_holding, export.at_id))
    data = written(found, first=export.records == 0)
    export.records += len(found)
    if place is None:
        data += END
        now = utc_now()
        export.status, export.finished_at, export.expires_at = DataExportStatus.DONE, now, now + KEPT_FOR
    else:
        export.at_partner, export.at_holding, export.at_id = place.partner_id, place.holding, place.after
    if data:
        last = select(func.max(DataExportPart.number)).where(DataExportPart.export_id == export.id)
        db.add(DataExportPart(export_id=export.id, number=(await db.scalar(last) or 0) + 1, data=data))
    await db.flush()
    return True


async def purge(db: AsyncSession, now: datetime) -> None:
    """Delete files whose time is over."""
    await db.execute(delete(DataExport).where(DataExport.expires_at < now, DataExport.status == DataExportStatus.DONE))


def beginning(user_id: UUID, at: datetime) -> bytes:
    said = orjson.dumps({"format": "tenantry-personal-data-1", "user_id": str(user_id), "created_at": at})
    return said[:-1] + b',"records":['


def written(records: Sequence[Mapping[str, Any]], *, first: bool) -> bytes:
    """Records as they stand in the file, behind others or not: one on a line."""
    lines: bytes = b",\n".join(orjson.dumps(record) for record in records)
    return (b"\n" if first else b",\n") + lines if lines else b""
