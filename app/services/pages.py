"""A page of the accounts table as one statement, with its JSON made by the database: what a partner looks at all day.

The one place where SQL writes an account as JSON; everywhere else `accounts.shown` does, and a test holds the two
together. Each statement names the partner itself: see `app.express`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    Text,
    TextClause,
    Uuid,
    and_,
    case,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.express import CHOOSING, KEPT, WALKING, Driver, Guess, Inside, Prepared, compiled, param
from app.policy import Permission
from app.problems import Problem
from app.records import record
from app.services import columns, lists, searches, tables, walks
from app.services.columns import Columns, Definition
from app.services.lists import Query
from app.services.tables import ACCOUNTS
from app.services.written import NULL, concatenated, moment, number, said

MAX_KEPT: Final = 1_000
"""Characters of a query whose statements are worth keeping."""
PARTNER: Final = param("partner", Uuid())
NOTHING: Final = literal_column("'null'::jsonb", JSONB)
NOT_ALL: Final = literal_column("'{}'::bytea[]", ARRAY(LargeBinary))

_READ: Final[Sequence[Any]] = (
    ACCOUNTS.id, ACCOUNTS.partner_id, ACCOUNTS.name, ACCOUNTS.status, ACCOUNTS.price_model, ACCOUNTS.time_zone,
    ACCOUNTS.member_count, ACCOUNTS.properties, ACCOUNTS.created_at, ACCOUNTS.updated_at,
)  # fmt: skip
"""What an account's JSON is made of."""

ROW: Final = "r"
"""The name of the subquery of a page's rows; `_written` counts on it."""
TEXTS: Final = "t"
"""That of what is written of them; `_piece` does."""
ROOM: Final = param("room", Integer())

Piece = Sequence[bytes | None]
"""What a walk found for a page: its accounts as JSON, with commas between; the sort values of the one that would fill
the page, as JSON; and how many there are, up to one more than a page holds. Empty: there may be more to be found."""
Statement = Callable[[], Prepared]
"""Compiled when it is needed, and kept."""
Page = Callable[..., Select[Any]]
"""Makes a page of a walk: see `_page`."""


@record
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


@record
class Found:
    """The accounts of a page as JSON, with commas between; the place of the last one, if there are more, as JSON;
    `total` when it was asked for.
    """

    items: bytes
    place: bytes | None
    total: int | None = None


@record
class Guessed:
    """What will most likely be asked once the caller is known: see `Guess`."""

    guess: Guess
    values: Mapping[str, Any]
    asking: "Asking"


def guess(partner_id: UUID, asked: Asked, after: Sequence[Any] | None) -> Guessed | None:
    """None if memory has no columns, or what is asked cannot be: that is told to those only who may ask."""
    known = columns.kept(partner_id)
    if known is None:
        return None
    try:
        found = _asking(known, asked, after, masked=False)
        return Guessed(found.guess, found.values(asked, after), found)
    except (Problem, walks.StrangeCursor):
        return None


def at_a_glance(guessed: Guessed, asked: Asked, piece: Piece) -> Found | None:
    """The page, if what was guessed is all of it."""
    page = _Pieces(asked.limit)
    page.add(piece)
    return page.found() if page.full or len(guessed.asking.ways[0]) == 1 else None


async def fetched(inside: Inside, asked: Asked, after: Sequence[Any] | None) -> Found:
    """The page, of which the first walk may have been guessed.

    Raises:
        Invalid, ColumnNotReady: see `walks.plan`, `tables.of`, `columns.chosen`.
    """
    known = await columns.at(inside.line, inside.access.partner_id, inside.version)
    asking = _asking(known, asked, after, masked=columns.masks(inside.access))
    given = asking.values(asked, after) | {"partner": inside.access.partner_id}
    found = await _walked(inside, asking, given, asked.limit)
    return replace(found, total=await _total(inside.line, asking, given) if asked.count else None)


async def _walked(inside: Inside, asking: "Asking", given: Mapping[str, Any], limit: int) -> Found:
    """Near, among those that hold the text, or all along the order: see `searches`."""
    guessed = inside.guessed
    for way in asking.ways:
        found = await _along(inside.line, way, given, limit, guessed)
        if found is not None:
            return found
        guessed = None
    raise AssertionError("a walk along the order comes to its end")


async def _along(line: Driver, walks: Sequence[Statement], given: Mapping[str, Any], limit: int,
                 guessed: Piece | None) -> Found | None:  # fmt: skip
    """One walk after the other, until the page is full; None if this is not the way to fill it."""
    page = _Pieces(limit)
    for n, walk in enumerate(walks):
        piece = guessed if n == 0 else None
        if piece is None:
            (piece,) = await walk().one(line, **{**given, "room": page.room}) or ((),)
        if not piece:
            return None
        page.add(piece)
        if page.full:
            break
    return page.found()


class _Pieces:
    """A page that is being put together."""

    def __init__(self, limit: int) -> None:
        self.room, self.full = limit, False
        self._items: list[bytes] = []
        self._place: bytes | None = None

    def add(self, piece: Piece) -> None:
        items, place, count = piece
        rows = int(count or 0)
        self.full = rows > self.room
        self.room -= min(rows, self.room)
        self._place = place or self._place
        if items:
            self._items.append(items)

    def found(self) -> Found:
        return Found(b",".join(self._items), self._place if self.full else None)


async def _total(line: Driver, asking: "Asking", given: Mapping[str, Any]) -> int:
    for total in asking.totals:
        (found,) = await total().one(line, **given) or (0,)
        if found is not None:
            return found
    raise AssertionError("a count along the order comes to its end")


# --- the statements, each made once ---


@record
class Asking:
    """The statements of a page, but for the values of its cursor."""

    guess: Guess
    ways: Sequence[Sequence[Statement]]
    """One after the other, until one leads there: see `searches`. Each is walks along an index."""
    totals: Sequence[Statement]
    orders: Sequence[lists.Order]

    def values(self, asked: Asked, after: Sequence[Any] | None) -> dict[str, Any]:
        bounds = walks.revived(self.orders, after) if after else ()
        return {"room": asked.limit} | {f"after_{n}": value for n, value in enumerate(bounds)}


def _asking(known: Columns, asked: Asked, after: Sequence[Any] | None, *, masked: bool) -> Asking:
    nulls = None if after is None else tuple(v is None for v in after)
    make = _made if asked.query.length <= MAX_KEPT else _made.__wrapped__
    return make(known, masked, asked.query, asked.columns, asked.columns_pointer, asked.limit, nulls)


@lru_cache(maxsize=KEPT)
def _made(known: Columns, masked: bool, query: Query, only: tuple[str, ...] | None, pointer: str, limit: int,
          nulls: tuple[bool, ...] | None) -> Asking:  # fmt: skip
    shown = columns.chosen(known, only, pointer)
    table = tables.of(known, query, masked=masked)
    matching = lists.conditions(table, query)  # whatever is wrong with them is told before what is with the order
    orders = lists.sorts(table, query)
    after = None if nulls is None else _bounds(orders, nulls)
    read: dict[str, Any] = {c.key: c for c in (*_READ, *(o.by for o in orders))}
    accounts: Any = select(*read.values()).where(ACCOUNTS.partner_id == PARTNER)
    plan = walks.plan(accounts, table, query, after)
    shown_columns = known.active if shown is None else [known.open[key] for key in shown if key in known.open]

    def page(rows: Select[Any], unfinished: Any = None) -> Select[Any]:
        return _page(rows, plan.orders, limit, shown_columns, known, masked=masked, unfinished=unfinished)

    ways: list[list[Callable[[], Select[Any]]]] = [[partial(page, walk) for walk in plan.walks]]
    totals = [partial(walks.counted, plan.matching)]
    if text := searches.sought(table, query):
        rows = searches.looked_at(query, limit)
        plain = walks.walks(accounts, plan.orders, after, ACCOUNTS.id)
        few, hits = searches.few(table, query, PARTNER), searches.hits(query, PARTNER, text)
        near = [partial(_near, page, walk, matching, rows) for walk in plain]
        among = [[partial(_among, page, walk, ids) for walk in plan.walks] for ids in (*few, hits)]
        ways = [*among[:-1], near, among[-1], *ways]
        counted = searches.hits(query, PARTNER, text, counted=True)
        totals = [*(partial(_counted_among, plan.matching, ids) for ids in (*few, counted)), *totals]
    guess = Guess(known.version, ways[0][0]().scalar_subquery(), columns.sees(Permission.ACCOUNT_LIST),
                  query.length <= MAX_KEPT)  # fmt: skip
    return Asking(guess, [[_statement(walk) for walk in way] for way in ways], [*map(_statement, totals)], plan.orders)


def _statement(make: Callable[[], Any]) -> Statement:
    return cache(lambda: Prepared(make()))


def _near(page: Page, walk: Select[Any], matching: Sequence[ColumnElement[bool]], rows: int) -> Select[Any]:
    return page(*searches.near(walk, matching, rows))


def _among(page: Page, walk: Select[Any], ids: CTE) -> Select[Any]:
    return page(walk.where(searches.among(ids)), searches.too_many(ids))


def _counted_among(matching: Select[Any], ids: CTE) -> Select[Any]:
    """How many, or nothing if this is not the way to count them."""
    found = walks.counted(matching.where(searches.among(ids))).scalar_subquery()
    return select(case((searches.too_many(ids), None), else_=found))


def _bounds(orders: Sequence[lists.Order], nulls: tuple[bool, ...]) -> list[Any]:
    """The values of a cursor, to come; those that are empty are known to be."""
    kinds = [*(o.by.type for o in orders), Uuid()]
    return [
        None if empty else param(f"after_{n}", kind) for n, (kind, empty) in enumerate(zip(kinds, nulls, strict=True))
    ]


def _page(walk: Select[Any], orders: Sequence[lists.Order], limit: int, shown: Sequence[Definition], known: Columns, *,
          masked: bool, unfinished: Any = None) -> Select[Any]:  # fmt: skip
    """All rows of a walk as one value: a `Piece`. If they do not fill the page and `unfinished` holds, an empty one."""
    keys = (*(o.by.key for o in orders), "id")
    rows = walk.limit(number(limit + 1)).subquery(ROW)
    account = _written(known, tuple(shown), masked).label("account")
    last: list[Any] = [literal_column(f"{ROW}.{key}").label(key) for key in keys]
    texts = select(account, *last).select_from(rows)
    found: Any = _piece(keys)
    if unfinished is not None:
        found = case((and_(func.count() <= ROOM, unfinished), NOT_ALL), else_=found)
    return select(found).select_from(texts.subquery(TEXTS))


@cache
def _piece(keys: tuple[str, ...]) -> TextClause:
    """The rows of `TEXTS` as a `Piece`, in the bytes that go on to the client; `keys` are columns of the table.

    Written out, for SQLAlchemy would take longer over it than over the walk.
    """
    last = ", ".join(f"(array_agg({TEXTS}.{key}))[:room]" for key in keys)
    place = f"CASE WHEN :room > 0 AND count(*) >= :room THEN CAST(json_build_array({last}) AS TEXT) END"
    items = f"array_to_string((array_agg({TEXTS}.account))[1 : :room], ',')"
    sent = (f"convert_to({one}, 'UTF8')" for one in (items, place, "CAST(count(*) AS TEXT)"))
    return TextClause(f"ARRAY[{', '.join(sent)}]").bindparams(ROOM)


@lru_cache(maxsize=KEPT)
def _written(known: Columns, shown: tuple[Definition, ...], masked: bool) -> ColumnElement[str]:
    """The JSON of an account in `ROW`: compiled once for all queries, of whose statements it is by far the most."""
    row = select(*_READ).subquery(ROW)
    return literal_column(compiled(concatenated(_account(row.c, shown, known, masked=masked))), Text)


def _account(row: Any, shown: Sequence[Definition], known: Columns, *, masked: bool) -> list[Any]:
    """An account's JSON in pieces."""
    hidden = [d for d in known.active if masked and d.sensitive]
    found: list[Any] = ['{"id":"', row.id, '","partner_id":"', row.partner_id, '","name":', func.to_json(row.name),
                        ',"status":"', row.status, '","price_model":',
                        func.coalesce(func.to_json(row.price_model), NULL), ',"time_zone":',
                        func.coalesce(func.to_json(row.time_zone), NULL), ',"member_count":', row.member_count,
                        ',"properties":{']  # fmt: skip
    for n, d in enumerate(shown):
        found += [f'{"," if n else ""}"{d.key}":', "null" if d in hidden else _value(row.properties, d)]
    found += ['},"masked_properties":[']
    if hidden:
        names = (case((row.properties.has_key(said(d.key)), said(f'"{d.key}"'))) for d in hidden)
        found.append(func.concat_ws(said(","), *names))
    found += ['],"created_at":"', moment(row.created_at), '","updated_at":"', moment(row.updated_at), '"}']
    return found


def _value(properties: Any, d: Definition) -> Any:
    """A value's JSON, or null: of most types put together of its text, which costs less than JSON of JSON."""
    key = said(d.key)
    text = properties[key].astext
    match d.kind.written:
        case "string":
            return func.coalesce(func.to_json(text), NULL)
        case "word":
            return func.coalesce(said('"').concat(text).concat(said('"')), said("null"))
        case "plain":
            return func.coalesce(text, said("null"))
        case None:
            return func.coalesce(properties[key], NOTHING)
