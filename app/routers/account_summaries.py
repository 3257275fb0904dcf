"""The accounts table, summed up."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.access import in_partner
from app.db import Db
from app.policy import Access, Permission
from app.problems import ColumnNotReady, raises
from app.rest import Route
from app.routers.listing import ViewId, list_query
from app.schemas.account_summary import AccountSummaries, AccountSummaryQuery
from app.services import account_summaries, lists, tables

router = APIRouter(prefix="/v1/partners/{partner_id}/account-summaries", tags=["accounts"], route_class=Route)

MayList = Annotated[Access, in_partner(Permission.ACCOUNT_LIST)]
Filters = Annotated[
    lists.Query, list_query(tables.fixed(), "; `properties.<key>` of every filterable property", sorts=False)
]
ColumnNames = Annotated[
    str | None,
    Query(max_length=2000, pattern=r"^[a-z0-9_.,]+$", examples=["properties.revenue,status"],
          description="Up to 30 columns to sum up, separated by commas; unless given, those of the view, or all: of "
          "these, the first 30."),
]  # fmt: skip


@router.get("", response_model=AccountSummaries, openapi_extra=raises(ColumnNotReady))
async def get_account_summaries(access: MayList, db: Db, query: Filters, columns: ColumnNames = None,
                                view: ViewId = None) -> dict[str, Any]:  # fmt: skip
    """Sum up the accounts table under its filters: for each column counts, sums, extremes or top options."""
    asked = columns.split(",") if columns else None
    return await account_summaries.of(db, access, query, view_id=view, asked=asked, at="query:")


@router.post("", response_model=AccountSummaries, openapi_extra=raises(ColumnNotReady))
async def summarise_accounts(body: AccountSummaryQuery, access: MayList, db: Db) -> dict[str, Any]:
    """Sum up the accounts table by typed conditions. Changes nothing, so it may be repeated freely."""
    query = lists.Query(q=body.q, all=lists.typed(map(dict, body.all), "/all"),
                        any=lists.typed(map(dict, body.any), "/any"))  # fmt: skip
    return await account_summaries.of(db, access, query, view_id=body.view, asked=body.columns, at="/")
