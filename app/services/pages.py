"""A page of the accounts table as one statement, with its JSON made by the database: what a partner looks at all day.

The one place where SQL writes an account as JSON; everywhere else `accounts.shown` does, and a test holds the two
together. Each statement names the partner itself: see `app.express`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, JSONB, array

from app.express import CHOOSING, WALKING, Guess, Inside, Prepared, param
from app.models import Account
from app.policy import Permission
from app.problems import Problem
from app.services import columns, lists, tables
from app.services.columns import Columns, Definition
from app.services.lists import Query

MOST_ARGUMENTS: Final = 90
"""PostgreSQL's functions take a hundred."""
ZULU: Final = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
PARTNER: Final = param("partner", Uuid())
NOTHING: Final = literal_column("'null'::jsonb", JSONB)
NULL: Final = literal_column("'null'::json", JSON)

Row = tuple[str, str | None]
"""An account as JSON; and, if a page might end with it, its sort values as JSON."""


@dataclass(frozen=True)
class Asked:
    """A page that is asked for: which accounts in which order, which columns of them, how many."""

    query: Query
    columns: tuple[str, ...] | None
    limit: int
    count: bool
    columns_pointer: str = "query:columns"

    @property
    def plans(self) -> str:
        """Without conditions, the order of an index is the way; with some, it depends on them."""
        return CHOOSING if self.query.size or self.query.q else WALKING


@dataclass(frozen=True)
class Found:
    """The rows of a page and one more, if there is one; `total` when it was asked for."""

    rows: Sequence[Row]
    total: int | None


def guess(partner_id: UUID, asked: Asked, after: Sequence[Any] | None) -> tuple[Guess | None, dict[str, Any]]:
    """What will most likely be asked once the caller is known, with its values: see `Guess`. None if memory has none,
    or what is asked cannot be: that is told to those only who may ask.
    """
    known = columns.kept(partner_id)
    try:
        found = None if known is None else _asking(known, asked, after, masked=False)
    except Problem:
        found = None
    return (found.guess, found.values(asked, after)) if found else (None, {})


async def fetched(inside: Inside, asked: Asked, after: Sequence[Any] | None) -> Found:
    """The page, of which the first walk may have been guessed.

    Raises:
        Invalid, ColumnNotReady: see `lists.plan`, `tables.of`, `columns.chosen`.
    """
    known = await columns.at(inside.line, inside.access.partner_id, inside.version)
    asking = _asking(known, asked, after, masked=columns.masks(inside.access))
    given = asking.values(asked, after) | {"partner": inside.access.partner_id}
    rows: list[Row] = list(inside.guessed or ())
    for walk in asking.walks[0 if inside.guessed is None else 1 :]:
        if len(rows) <= asked.limit:
            (found,) = await walk.one(inside.line, **given | {"room": asked.limit - len(rows)}) or (None,)
            rows += found or ()
    total = (await asking.total.one(inside.line, **given) or (0,))[0] if asked.count else None
    return Found(rows, total)


# --- the statements, each made once ---


@dataclass(frozen=True)
class Asking:
    """The statements of a page, but for the values of its cursor."""

    guess: Guess
    walks: Sequence[Prepared]
    total: Prepared
    orders: Sequence[lists.Order]

    def values(self, asked: Asked, after: Sequence[Any] | None) -> dict[str, Any]:
        bounds = lists.revived(self.orders, after) if after else ()
        return {"room": asked.limit} | {f"after_{n}": value for n, value in enumerate(bounds)}


def _asking(known: Columns, asked: Asked, after: Sequence[Any] | None, *, masked: bool) -> Asking:
    nulls = None if after is None else tuple(v is None for v in after)
    return _made(known, masked, asked.query, asked.columns, asked.columns_pointer, asked.limit, nulls)


@lru_cache(maxsize=2000)
def _made(known: Columns, masked: bool, query: Query, only: tuple[str, ...] | None, pointer: str, limit: int,
          nulls: tuple[bool, ...] | None) -> Asking:  # fmt: skip
    shown = columns.chosen(known, only, pointer)
    table = tables.of(known, query, masked=masked)
    after = None if nulls is None else _bounds(lists.sorts(table, query), nulls)
    plan = lists.plan(select(Account).where(Account.partner_id == PARTNER), table, query, after)
    shown_columns = known.active if shown is None else [known.open[key] for key in shown if key in known.open]
    walks = [_page(walk, plan.orders, limit, shown_columns, known, masked=masked) for walk in plan.walks]
    open_to = columns.sees(Permission.ACCOUNT_LIST)
    return Asking(Guess(known.version, walks[0], open_to), [Prepared(select(w)) for w in walks],
                  Prepared(lists.counted(plan.matching)), plan.orders)  # fmt: skip


def _bounds(orders: Sequence[lists.Order], nulls: tuple[bool, ...]) -> list[Any]:
    """The values of a cursor, to come; those that are empty are known to be."""
    kinds = [*(o.by.type for o in orders), Uuid()]
    return [
        None if empty else param(f"after_{n}", kind) for n, (kind, empty) in enumerate(zip(kinds, nulls, strict=True))
    ]


def _page(walk: Select[Any], orders: Sequence[lists.Order], limit: int, shown: Sequence[Definition], known: Columns, *,
          masked: bool) -> ScalarSelect[Any]:  # fmt: skip
    """All rows of a walk as one value: `{{account, place}, …}`, the place only where a page may end."""
    rows = walk.limit(literal(limit + 1, literal_execute=True)).subquery()
    place = func.json_build_array(*(rows.c[o.by.key] for o in orders), rows.c.id)
    ends = case((func.row_number().over() == param("room", Integer()), cast(place, Text)))
    account = _concatenated(_account(rows.c, shown, known, masked=masked))
    texts = select(array([account, ends]).label("row")).subquery()
    return select(func.array_agg(texts.c.row, type_=ARRAY(Text, dimensions=2))).scalar_subquery()


def _account(row: Any, shown: Sequence[Definition], known: Columns, *, masked: bool) -> list[Any]:
    """An account's JSON in pieces."""
    hidden = [d for d in known.active if masked and d.sensitive]
    found: list[Any] = ['{"id":"', row.id, '","partner_id":"', row.partner_id, '","name":', func.to_json(row.name),
                        ',"status":"', row.status, '","price_model":',
                        func.coalesce(func.to_json(row.price_model), NULL), ',"member_count":', row.member_count,
                        ',"properties":{']  # fmt: skip
    for n, d in enumerate(shown):
        value = "null" if d in hidden else func.coalesce(row.properties[d.key], NOTHING)
        found += [f'{"," if n else ""}"{d.key}":', value]
    found += ['},"masked_properties":[']
    if hidden:
        names = (case((row.properties.has_key(d.key), _said(f'"{d.key}"'))) for d in hidden)
        found.append(func.concat_ws(_said(","), *names))
    found += ['],"created_at":"', _moment(row.created_at), '","updated_at":"', _moment(row.updated_at), '"}']
    return found


def _moment(at: Any) -> ColumnElement[str]:
    return func.to_char(func.timezone(_said("UTC"), at), _said(ZULU))


def _said(text: str) -> ColumnElement[str]:
    return literal(text, Text, literal_execute=True)


def _concatenated(pieces: Sequence[Any]) -> ColumnElement[str]:
    found = [_said(p) if isinstance(p, str) else p for p in pieces]
    parts = [func.concat(*found[n : n + MOST_ARGUMENTS]) for n in range(0, len(found), MOST_ARGUMENTS)]
    return cast(parts[0] if len(parts) == 1 else func.concat(*parts), Text)
