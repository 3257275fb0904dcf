"""The accounts table, asked with a typed body."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from app.gate import Gate, at_gate
from app.policy import Permission
from app.problems import ColumnNotReady, raises
from app.rest import PAGING, Page, Route, paging
from app.routers.listing import Question, page_through
from app.schemas.account import AccountRead
from app.schemas.account_search import AccountSearch
from app.services import lists

router = APIRouter(prefix="/v1/partners/{partner_id}/account-searches", tags=["accounts"], route_class=Route)

MayList = Annotated[Gate, at_gate(Permission.ACCOUNT_LIST)]


@router.post("", response_model=Page[AccountRead], openapi_extra=raises(ColumnNotReady))
async def search_accounts(body: AccountSearch, gate: MayList, request: Request) -> Response:
    """The accounts table by typed conditions, a page at a time. Changes nothing, so it may be repeated freely."""
    page = paging(request, body.limit, body.cursor, body.model_dump_json(exclude=set(PAGING)), count=body.count,
                  pointer="/cursor")  # fmt: skip
    query = lists.Query(sort=body.sort, q=body.q, all=lists.typed(map(dict, body.all), "/all"),
                        any=lists.typed(map(dict, body.any), "/any"), sort_pointer="/sort")  # fmt: skip
    names = None if body.columns is None else tuple(body.columns)
    return await page_through(gate, page, Question(query, names, body.view, at="/"))
