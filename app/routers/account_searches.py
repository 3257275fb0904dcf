"""The accounts table, asked with a typed body."""

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Request, Response

from app.access import Gate, at_gate
from app.policy import Permission
from app.problems import ColumnNotReady, raises
from app.rest import PAGING, Page, Route, paging
from app.routers.listing import page_through
from app.schemas.account import AccountRead
from app.schemas.account_search import AccountSearch, SearchCondition
from app.services.lists import Condition, Query

router = APIRouter(prefix="/v1/partners/{partner_id}/account-searches", tags=["accounts"], route_class=Route)

MayList = Annotated[Gate, at_gate(Permission.ACCOUNT_LIST)]


@router.post("", response_model=Page[AccountRead], openapi_extra=raises(ColumnNotReady))
async def search_accounts(body: AccountSearch, gate: MayList, request: Request) -> Response:
    """The accounts table by typed conditions, a page at a time. Changes nothing, so it may be repeated freely."""
    page = paging(request, body.limit, body.cursor, body.model_dump_json(exclude=set(PAGING)), count=body.count,
                  pointer="/cursor")  # fmt: skip
    query = Query(sort=body.sort, q=body.q, all=_conditions(body.all, "/all"), any=_conditions(body.any, "/any"),
                  sort_pointer="/sort")  # fmt: skip
    return await page_through(gate, page, query, None if body.columns is None else tuple(body.columns), "/columns")


def _conditions(asked: list[SearchCondition], pointer: str) -> tuple[Condition, ...]:
    return tuple(Condition(c.field, c.operator, _text(c.value), f"{pointer}/{n}") for n, c in enumerate(asked))


def _text(value: str | bool | float | list[str]) -> str:
    """A value as a filter's text has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, str):
        return value
    found = f"{Decimal(repr(value)):f}"
    return found.rstrip("0").rstrip(".") if "." in found else found
