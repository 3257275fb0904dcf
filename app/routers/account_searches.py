"""The accounts table, asked with a typed body."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from app.access import in_partner
from app.db import Db
from app.models import Account
from app.policy import Access, Permission
from app.problems import ColumnNotReady, raises
from app.rest import PAGING, Page, Route, paging
from app.routers.listing import page_of
from app.schemas.account import AccountRead
from app.schemas.account_search import AccountSearch
from app.services import accounts, lists, views
from app.services.columns import chosen, load

router = APIRouter(prefix="/v1/partners/{partner_id}/account-searches", tags=["accounts"], route_class=Route)

MayList = Annotated[Access, in_partner(Permission.ACCOUNT_LIST)]


@router.post("", response_model=Page[AccountRead], openapi_extra=raises(ColumnNotReady))
async def search_accounts(
    body: AccountSearch, access: MayList, db: Db, request: Request, response: Response
) -> Page[Any]:
    """The accounts table by typed conditions, a page at a time. Changes nothing, so it may be repeated freely."""
    known = await load(db, access.partner_id)
    page = paging(request, body.limit, body.cursor, body.model_dump_json(exclude=set(PAGING)), count=body.count,
                  pointer="/cursor")  # fmt: skip
    query = lists.Query(sort=body.sort, q=body.q, all=lists.typed(map(dict, body.all), "/all"),
                        any=lists.typed(map(dict, body.any), "/any"), sort_pointer="/sort")  # fmt: skip
    query, names, stamp = await views.applied(db, access, known, body.view, query, body.columns, pointer="/view")
    only, page = chosen(known, names, "/columns"), page.stamped(stamp, "/cursor")
    found = await accounts.listed(db, access, known, query, limit=page.limit, after=page.after, count=page.count)

    def show(row: Account) -> dict[str, Any]:
        return accounts.shown(known, access, row, only)

    return page_of(found, page, response, show)
