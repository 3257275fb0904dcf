"""How a list's query parameters become a `lists.Query`, and its rows a page."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Query, Response

from app.access import Gate
from app.rest import Page, Paging
from app.services import lists, pages

PARAMETER = r"^[^\x00-\x1f\x7f]*$"


def list_query(table: lists.Table, more: str = "") -> Any:
    """Dependency for the list's `filter`, `sort` and `q`, documented with the columns of its table (and `more`)."""
    filters = "; ".join(f"`{name}`: {', '.join(c.operators)}" for name, c in table.columns.items())
    sorts = ", ".join(f"`{name}`" for name, c in table.columns.items() if c.sortable)

    async def query(
        filter: Annotated[
            list[Annotated[str, Query(max_length=500, pattern=PARAMETER)]] | None,
            Query(max_length=lists.MAX_FILTERS,
                  description=f"`field:operator:value`, repeatable, and-ed. {filters}{more}.",
                  examples=[[f"{next(iter(table.columns))}:contains:nord"]]),
        ] = None,
        sort: Annotated[
            str | None, Query(max_length=200, pattern=r"^[a-z0-9_.,-]+$",
                              description=f"Up to three of {sorts}{more}, separated by commas; with a minus, "
                              f"descending. Empty values come last either way. Unless given: `{table.sort}`.",
                              examples=[table.sort])
        ] = None,
        q: Annotated[
            str | None, Query(max_length=100, pattern=PARAMETER,
                              description="Search; case and accents do not count.", examples=["nordwerk"])
        ] = None,
    ) -> lists.Query:  # fmt: skip
        return lists.Query(tuple(filter or ()), sort, q)

    return Depends(query)


def page_of(
    listed: lists.Listed, paging: Paging, response: Response, show: Callable[[Any], Any] = lambda row: row
) -> Page[Any]:
    page = paging.page(listed.rows, listed.position, response, listed.total)
    return page.model_copy(update={"items": [show(row) for row in page.items]})


async def page_through(
    gate: Gate, page: Paging, query: lists.Query, columns: tuple[str, ...] | None, columns_pointer: str
) -> Response:
    """A page of the accounts table, on the express lane."""
    after = None if page.after is None else tuple(page.after)
    asked = pages.Asked(query, columns, page.limit, after, page.count, columns_pointer)
    guess, values = pages.guess(gate.partner_id, asked)
    async with gate.enter(guess, plans=asked.plans, **values) as inside:
        found = await pages.fetched(inside, asked)
    return page.answer(found.rows, found.total)
