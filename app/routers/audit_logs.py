"""The audit log: who did what, for people who must account for it."""

from typing import Annotated, Any

from fastapi import APIRouter, Response

from app.access import in_partner
from app.db import Db
from app.policy import Access, Permission
from app.rest import Page, PageQuery, Route
from app.routers.listing import list_query, page_of
from app.schemas.audit_log import AuditLogEntry
from app.services import audit_logs, columns, lists

router = APIRouter(prefix="/v1/partners/{partner_id}/audit-log", tags=["events"], route_class=Route)

MayRead = Annotated[Access, in_partner(Permission.AUDIT_LOG_READ)]
EntryQuery = Annotated[lists.Query, list_query(audit_logs.TABLE, sorts=False, example="account.updated")]


@router.get("", response_model=Page[AuditLogEntry])
async def list_audit_log(access: MayRead, db: Db, page: PageQuery, query: EntryQuery, response: Response) -> Page[Any]:
    """Every change in the partner: who made it, in what capacity, from where, from what to what; the newest first."""
    found = await audit_logs.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    known = await columns.load(db, access.partner_id)
    return page_of(found, page, response, lambda event: audit_logs.shown(known, access, event))
