"""How a list's query parameters become a `lists.Query`, and its rows a page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Response

from app.express import CHOOSING, WALKING
from app.gate import Gate
from app.problems import Fault, Invalid
from app.records import record
from app.rest import NO_CURSOR, Page, Paging
from app.services import lists, pages, views, walks

PARAMETER = r"^[^\x00-\x1f\x7f]*$"
FilterTexts = list[Annotated[str, Query(max_length=500, pattern=PARAMETER)]] | None
ViewId = Annotated[
    UUID | None,
    Query(description="Id of a saved view: its conditions hold besides the filters given here; its columns, sort and "
          "`q` do unless others are given."),
]  # fmt: skip


def list_query(table: lists.Table, more: str = "", *, sorts: bool = True, example: str = "nord") -> Any:
    """Dependency for the list's `filter`, `sort` and `q`, documented with the columns of its table (and `more`).
    There is no `q` where there is nothing to be searched.

    `example` is a value that its first column may be compared with.
    """
    first, column = next(iter(table.columns.items()))
    operator = "contains" if "contains" in column.operators else column.operators[0]
    filters = "; ".join(f"`{name}`: {', '.join(c.operators)}" for name, c in table.columns.items())
    sortable = ", ".join(f"`{name}`" for name, c in table.columns.items() if c.sortable)
    by_filter = Query(
        max_length=lists.MAX_FILTERS, description=f"`field:operator:value`, repeatable, and-ed. {filters}{more}.",
        examples=[[f"{first}:{operator}:{example}"]],
    )  # fmt: skip
    by_sort = Query(
        max_length=200, pattern=r"^[a-z0-9_.,-]+$", examples=[table.sort],
        description=f"Up to three of {sortable}{more}, separated by commas; with a minus, descending. Empty values "
        f"come last either way. Unless given: `{table.sort}`.",
    )  # fmt: skip
    by_words = Query(
        max_length=100, pattern=PARAMETER, description="Search; case and accents do not count.", examples=["nordwerk"]
    )

    async def query(filter: Annotated[FilterTexts, by_filter] = None, sort: Annotated[str | None, by_sort] = None,
                    q: Annotated[str | None, by_words] = None) -> lists.Query:  # fmt: skip
        return lists.Query(tuple(filter or ()), sort, q)

    async def unsorted(
        filter: Annotated[FilterTexts, by_filter] = None, q: Annotated[str | None, by_words] = None
    ) -> lists.Query:
        return lists.Query(tuple(filter or ()), q=q)

    async def unsearched(
        filter: Annotated[FilterTexts, by_filter] = None, sort: Annotated[str | None, by_sort] = None
    ) -> lists.Query:
        return lists.Query(tuple(filter or ()), sort)

    async def filtered(filter: Annotated[FilterTexts, by_filter] = None) -> lists.Query:
        return lists.Query(tuple(filter or ()))

    if table.search is None:
        return Depends(unsearched if sorts else filtered)
    return Depends(query if sorts else unsorted)


def page_of(
    listed: walks.Listed, paging: Paging, response: Response, show: Callable[[Any], Any] = lambda row: row
) -> Page[Any]:
    page = paging.page(listed.rows, listed.position, response, listed.total)
    return page.model_copy(update={"items": [show(row) for row in page.items]})


@record
class Question:
    """What is asked of the accounts table: conditions and order, columns, and perhaps a saved view with more of both.

    `at` is where its parts stand in the request: `query:` or `/`.
    """

    query: lists.Query
    columns: tuple[str, ...] | None
    view: UUID | None
    at: str = "query:"


async def page_through(gate: Gate, page: Paging, asked: Question) -> Response:
    """A page of the accounts table, on the express lane."""
    try:
        return await _page_through(gate, page, asked)
    except walks.StrangeCursor:
        raise Invalid(errors=[Fault(f"{asked.at}cursor", "invalid_cursor", NO_CURSOR)]) from None


async def _page_through(gate: Gate, page: Paging, asked: Question) -> Response:
    of = pages.Asked(asked.query, asked.columns, page.limit, page.count, f"{asked.at}columns")
    if asked.view is None:
        guessed = pages.guess(gate.partner_id, of, page.after) if gate.familiar else None
        if guessed and of.plans is WALKING and not of.count:
            seen = await gate.glance(guessed.guess, **guessed.values)
            if seen and (found := pages.at_a_glance(guessed, of, seen.guessed)):
                return page.answer(found.items, found.place)
        values: Mapping[str, Any] = guessed.values if guessed else {}
        async with gate.enter(guessed and guessed.guess, plans=of.plans, **values) as inside:
            found = await pages.fetched(inside, of, page.after)
    else:
        async with gate.enter(plans=CHOOSING) as inside:
            applied = await views.applied_at(inside, asked.view, of.query, of.columns, pointer=f"{asked.at}view")
            page = page.stamped(applied.stamp, f"{asked.at}cursor")
            of = replace(of, query=applied.query, columns=applied.columns)
            found = await pages.fetched(inside, of, page.after)
    return page.answer(found.items, found.place, found.total)
