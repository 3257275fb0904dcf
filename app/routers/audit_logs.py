"""The audit log: who did what, for people who must account for it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from app.access import in_partner
from app.db import Db
from app.models import Event
from app.policy import Access, Permission
from app.rest import Page, PageQuery, Route
from app.schemas.audit_log import AuditLogEntry
from app.schemas.base import GivenInstant
from app.services import audit_logs, columns, feeds
from app.services.audit_logs import Asked

router = APIRouter(prefix="/v1/partners/{partner_id}/audit-log", tags=["events"], route_class=Route)

MayRead = Annotated[Access, in_partner(Permission.AUDIT_LOG_READ)]


async def asked(
    actor_id: Annotated[UUID | None, Query(description="Only what this user did.")] = None,
    type: Annotated[
        str | None,
        Query(max_length=60, pattern=r"^[a-z_]+\.[a-z_]+$", examples=["account.updated"],
              description="Only entries of this type."),
    ] = None,
    subject_id: Annotated[UUID | None, Query(description="Only what happened to this thing.")] = None,
    account_id: Annotated[UUID | None, Query(description="Only entries of this account.")] = None,
    since: Annotated[GivenInstant | None, Query(alias="from", description="Only entries from this moment on.")] = None,
    until: Annotated[GivenInstant | None, Query(description="Only entries before this moment.")] = None,
) -> Asked:  # fmt: skip
    return Asked(actor_id, type, subject_id, account_id, since, until)


@router.get("", response_model=Page[AuditLogEntry])
async def list_audit_log(
    access: MayRead, db: Db, page: PageQuery, asked: Annotated[Asked, Depends(asked)], response: Response
) -> Page[Any]:
    """Every change in the partner: who made it, in what capacity, from where, from what to what; the newest first."""
    found = await audit_logs.listed(db, asked, limit=page.limit, after=page.after, count=page.count)
    known, masked = await columns.load(db, access.partner_id), columns.masks(access)
    answer = page.page(found.rows, lambda entry: [str(entry.id)], response, found.total)
    own = ("id", "position", "type", "subject_type", "subject_id", "account_id", "actor", "actor_id", "on_behalf_of",
           "request_id")  # fmt: skip

    def shown(event: Event) -> dict[str, Any]:
        sides = {name: feeds.side(event, name, known, masked=masked) for name in ("before", "after")}
        return {name: getattr(event, name) for name in own} | sides | {
            "occurred_at": event.created_at, "hash": event.hash.hex() if event.hash else None,
            "address": (event.origin or {}).get("address"),
        }  # fmt: skip

    return answer.model_copy(update={"items": [shown(event) for event in answer.items]})
