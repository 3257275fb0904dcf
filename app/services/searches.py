"""Accounts that hold a text: how a page of them is found when they are few, or far away in the order of the page.

If the other conditions leave a few accounts, the page is made of these (`few`). Else one looks at the next rows of the
order (`near`), which are enough if what is sought is frequent, or the table small. Then come the accounts that hold the
text, by its pieces (`hits`; migrations: `accounts_matching`). Only if they are many, yet none of them near, the order
is walked until the page is full.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import CTE, ColumnElement, Select, Text, Uuid, and_, any_, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from app import words
from app.services import lists
from app.services.lists import Condition, Query, Table
from app.services.tables import ACCOUNTS
from app.services.written import number

NEAR, NEAR_MIXED = 40, 400
"""Rows of the order that are looked at for each row of a page: more, if there are other conditions."""
FEW: Final = 2_000
"""Accounts that satisfy the other conditions."""
MOST, MOST_ALONE = 20_000, 200_000
"""Accounts that hold the text: while other conditions may be the better way in, and if there are none."""
INDEXED: Final = frozenset({"eq", "in", "lt", "lte", "gt", "gte", "starts_with"})


def sought(table: Table, query: Query) -> str:
    """The longest text that `search` holds in every account that is asked for; empty if none is certain.

    Of a query that `lists.conditions` has found good.
    """
    found = [words.search_key(query.q or "")]
    for asked in _asked(query):
        column = table.columns[asked.field]
        if asked.operator == "contains" and column.sought:
            found.append(column.sought(column.parse(asked.value)))
    return max(found, key=len)


def near(walk: Select[Any], matching: Sequence[ColumnElement[bool]], rows: int) -> tuple[Select[Any], Any]:
    """Of the next rows of a walk without conditions, those that match; and whether there are more to be looked at."""
    hit = walk.add_columns(and_(*matching).label("hit")).limit(number(rows)).subquery()
    beyond = walk.with_only_columns(ACCOUNTS.id).order_by(None).offset(number(rows)).limit(number(1)).exists()
    return select(hit).where(hit.c.hit), beyond


def looked_at(query: Query, limit: int) -> int:
    return limit * (NEAR if _alone(query) else NEAR_MIXED)


def few(table: Table, query: Query, partner: Any) -> list[CTE]:
    """The ids of the accounts that satisfy what else is asked, as far as an index knows; null if there are many."""
    asked = [lists.condition(table, c) for c in _asked(query) if c.operator in INDEXED]
    if not asked:
        return []
    some = select(ACCOUNTS.id).where(ACCOUNTS.partner_id == partner, *asked).limit(number(FEW + 1))
    ids = select(func.array(some.scalar_subquery(), type_=_IDS).label("ids")).offset(number(0)).subquery()  # once only
    return [select(case((func.cardinality(ids.c.ids) <= FEW, ids.c.ids)).label("ids")).cte("few")]


def hits(query: Query, partner: Any, text: str, *, counted: bool = False) -> CTE:
    """The ids of the accounts that hold a text; null if there are many. To be counted, many are sooner too many."""
    most = MOST_ALONE if _alone(query) and not counted else MOST
    ids = func.accounts_matching(partner, literal(text, Text), number(most), type_=_IDS)
    return select(ids.label("ids")).cte("hits")


def among(found: CTE) -> ColumnElement[bool]:
    return ACCOUNTS.id == any_(cast(select(found.c.ids).scalar_subquery(), _IDS))


def too_many(found: CTE) -> ColumnElement[bool]:
    return select(found.c.ids.is_(None)).scalar_subquery()


def _asked(query: Query) -> list[Condition]:
    return [*map(lists.parsed, query.filter), *query.all]


def _alone(query: Query) -> bool:
    return not (query.any or query.also_any) and all(c.operator == "contains" for c in _asked(query))


_IDS: Final = ARRAY(Uuid)
