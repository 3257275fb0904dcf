"""How a list's query parameters become a `lists.Query`, and its rows a page."""

from typing import Annotated, Any

from fastapi import Depends, Query, Response

from app.rest import Page, Paging
from app.services import lists

PARAMETER = r"^[^\x00-\x1f\x7f]*$"


def list_query(table: lists.Table) -> Any:
    """Dependency for the list's `filter`, `sort` and `q`, documented with the columns of its table."""
    filters = "; ".join(f"`{name}`: {', '.join(c.operators)}" for name, c in table.columns.items())
    sorts = ", ".join(f"`{name}`" for name, c in table.columns.items() if c.sortable)

    def query(
        filter: Annotated[
            list[Annotated[str, Query(max_length=500, pattern=PARAMETER)]] | None,
            Query(max_length=lists.MAX_FILTERS, description=f"`field:operator:value`, repeatable, and-ed. {filters}.",
                  examples=[["name:contains:nord"]]),
        ] = None,
        sort: Annotated[
            str | None, Query(max_length=60, pattern=r"^-?[a-z_]+$",
                              description=f"One of {sorts}; with a minus, descending. Unless given: `{table.sort}`.")
        ] = None,
        q: Annotated[
            str | None, Query(max_length=100, pattern=PARAMETER,
                              description="Search; case and accents do not count.", examples=["nordwerk"])
        ] = None,
    ) -> lists.Query:  # fmt: skip
        return lists.Query(filter or (), sort, q)

    return Depends(query)


def page_of(listed: lists.Listed, paging: Paging, response: Response) -> Page[Any]:
    return paging.page(listed.rows, listed.position, response, listed.total)
