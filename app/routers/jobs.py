"""What workers do for a partner: one list of all kinds of jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Response

from app.access import PartnerId, in_partner
from app.db import Db
from app.policy import Access, Permission
from app.rest import Page, PageQuery, Route
from app.routers.listing import list_query, page_of
from app.schemas.job import JobRead
from app.services import jobs, lists

router = APIRouter(prefix="/v1/partners/{partner_id}/jobs", tags=["jobs"], route_class=Route)

MayRead = Annotated[Access, in_partner(Permission.JOB_READ)]
JobQuery = Annotated[lists.Query, list_query(jobs.TABLE, example="account_import")]


@router.get("", response_model=Page[JobRead])
async def list_jobs(
    partner_id: PartnerId, _: MayRead, db: Db, page: PageQuery, query: JobQuery, response: Response
) -> Page[Any]:
    """List what is being done for the partner, and what was in the last 90 days, the newest first.

    At present jobs are imports of accounts. What a job is in detail, and what may be done with it, is at its `url`.
    """
    found = await jobs.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response, lambda row: jobs.shown(partner_id, row))
