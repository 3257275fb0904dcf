"""The audit log: who did what, for people who must account for it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from app.access import in_partner
from app.db import Db, Sessions, UnitsOfWork, snapshot
from app.downloads import Download
from app.models import utc_now
from app.policy import Access, Permission
from app.problems import ExportsBusy, raises
from app.rest import Page, PageQuery, Route
from app.routers.exports import Place, Separator, csv_file
from app.routers.listing import list_query, page_of
from app.schemas.audit_log import AuditLogEntry
from app.services import audit_logs, columns, lists
from app.sheets import CsvWriter, Writer
from app.tenancy import confine

router = APIRouter(prefix="/v1/partners/{partner_id}/audit-log", tags=["events"], route_class=Route)

MayRead = Annotated[Access, in_partner(Permission.AUDIT_LOG_READ)]
EntryQuery = Annotated[lists.Query, list_query(audit_logs.TABLE, sorts=False, example="account.updated")]


@router.get("", response_model=Page[AuditLogEntry])
async def list_audit_log(access: MayRead, db: Db, page: PageQuery, query: EntryQuery, response: Response) -> Page[Any]:
    """Every change in the partner: who made it, in what capacity, from where, from what to what; the newest first."""
    found = await audit_logs.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    known = await columns.load(db, access.partner_id)
    return page_of(found, page, response, lambda event: audit_logs.shown(known, access, event))


CSV: Final = csv_file(
    "RFC 4180 in UTF-8: a row with the names of the columns, then a row for each entry, the newest first; `before` and "
    "`after` are JSON.",
    "occurred_at,type,subject_type,…\r\n2026-11-23T09:30:00.000Z,account.created,account,…\r\n",
)
Separated = Annotated[Separator, Query(description="What stands between the cells.", examples=["comma"])]
CHARACTERS: Final[dict[str, str]] = {"comma": ",", "semicolon": ";", "tab": "\t"}


@router.get(".csv", response_class=Response, responses=CSV, openapi_extra=raises(ExportsBusy))
async def export_audit_log_as_csv(
    request: Request, access: MayRead, db: Db, begin: UnitsOfWork, query: EntryQuery, _place: Place,
    separator: Separated = "comma",
) -> Download:  # fmt: skip
    """Export the audit log as a CSV file: all entries that the filters find, the newest first.

    The file is one state of the log; that it was taken is an entry itself. A file that could not be finished ends in a
    broken connection.
    """
    await audit_logs.note(db, access, query, taken="head" not in request.scope)
    writer = CsvWriter(separator=CHARACTERS[separator])
    return Download(_pieces(access, begin, query, writer), name=f"audit-log-{utc_now():%Y-%m-%d}.csv",
                    media_type=writer.media_type, seconds=request.app.state.settings.export_seconds)  # fmt: skip


async def _pieces(access: Access, begin: Sessions, query: lists.Query, writer: Writer) -> AsyncGenerator[bytes]:
    """The file, read in a transaction of its own: that of the request ends before its answer is sent."""
    async with snapshot(begin) as db:
        await confine(db, access.partner_id)
        async with aclosing(audit_logs.pieces(db, access, query, writer)) as pieces:
            async for piece in pieces:
                yield piece
