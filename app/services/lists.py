"""Lists: one compiler for filter, search, sort and keyset, used by every noun."""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Select, String, and_, false, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.problems import Fault, Invalid, Text

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip
MAX_FILTERS = 20
MAX_SORTS = 3
MAX_VALUES = 200
MAX_ALL_VALUES = 500
EQUALITY = ("eq", "ne", "in")
ORDER = ("eq", "ne", "lt", "lte", "gt", "gte")
TEXT = (*EQUALITY, "contains", "starts_with")
NO_VALUE = ("Not a value of this field.", "Kein Wert dieses Feldes.")


@dataclass(frozen=True)
class Column:
    """One column that a list can be filtered (and perhaps sorted) by."""

    expression: Any
    operators: Sequence[str]
    parse: Callable[[str], Any] = str
    sortable: bool = False
    nullable: bool = False
    """Whether rows may have nothing there: such rows come last, in whichever direction one sorts."""
    contains: Callable[[Any], ColumnElement[bool]] | None = None
    """How it contains something, where that is not a matter of text."""
    sought: Callable[[Any], str] | None = None
    """What the table's `search` text holds wherever this column contains something, if that is certain."""


@dataclass(frozen=True)
class Condition:
    """One comparison that was asked for, not yet checked, and where to point if it is wrong."""

    field: str
    operator: str
    value: str
    pointer: str = "query:filter"


@dataclass(frozen=True)
class Query:
    """What the client asked for, not yet checked: `filter=field:op:value` (repeatable), `sort`, `q`.

    Of `all`, every condition must hold; of `any`, if there are some, one.
    """

    filter: Sequence[str] = ()
    sort: str | None = None
    q: str | None = None
    all: Sequence[Condition] = ()
    any: Sequence[Condition] = ()
    also_any: Sequence[Condition] = ()
    """Further alternatives, of which one must hold as well: those of a saved view."""
    sort_pointer: str = "query:sort"

    @property
    def size(self) -> int:
        """How many conditions it has."""
        return sum(map(len, (self.filter, self.all, self.any, self.also_any)))

    @property
    def length(self) -> int:
        """How many characters its conditions have."""
        typed_ = sum(len(c.value) for c in (*self.all, *self.any, *self.also_any))
        return sum(map(len, self.filter)) + typed_ + len(self.q or "")

    def fields(self) -> set[str]:
        """The columns that it names."""
        sorts = {name.removeprefix("-") for name in (self.sort or "").split(",")}
        return sorts | {c.field for c in (*map(parsed, self.filter), *self.all, *self.any, *self.also_any)}


@dataclass(frozen=True)
class Table:
    """What a list can be asked: its columns, what `q` searches, how it is sorted unless told otherwise."""

    model: Any
    columns: Mapping[str, Column]
    sort: str
    search: Any = None
    hidden: Mapping[str, ColumnElement[bool]] = field(default_factory=dict[str, "ColumnElement[bool]"])
    """Conditions that hold unless the column is named in a filter."""


@dataclass(frozen=True)
class Listed:
    """The rows of a page and one more, if there is one; `total` when it was asked for."""

    rows: Sequence[Any]
    total: int | None
    position: Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Order:
    """One column of a sort."""

    by: Any
    descending: bool
    nullable: bool

    def beyond(self, value: Any) -> ColumnElement[bool]:
        """Comes after a row that has this value; empty values come last."""
        if value is None:
            return false()
        found: ColumnElement[bool] = self.by < value if self.descending else self.by > value
        return or_(found, self.by.is_(None)) if self.nullable else found

    def same(self, value: Any) -> ColumnElement[bool]:
        return self.by.is_(None) if value is None else self.by == value

    @property
    def clause(self) -> Any:
        found = self.by.desc() if self.descending else self.by.asc()
        return found.nulls_last() if self.nullable else found


@dataclass(frozen=True)
class Plan:
    """A query as the database will be asked: one walk along an index after the other, until the page is full.

    A first column that may be empty makes two walks, the filled rows and then the empty ones: each is one walk along
    an index, which the two together are not.
    """

    matching: Select[Any]
    orders: Sequence[Order]
    walks: Sequence[Select[Any]]


def plan(statement: Select[Any], table: Table, query: Query, after: Sequence[Any] | None) -> Plan:
    """How to run `statement` under the client's conditions, in its order, from behind `after` on.

    Raises:
        Invalid: unknown field, operator that the field has not, or a value that is none.
    """
    matching = statement.where(*conditions(table, query))
    orders = sorts(table, query)
    return Plan(matching, orders, walks(matching, orders, after, table.model.id))


def counted(matching: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(matching.order_by(None).subquery())


async def fetch(db: AsyncSession, statement: Select[Any], table: Table, query: Query, *, limit: int,
                after: list[Any] | None, count: bool) -> Listed:  # fmt: skip
    """Run `statement` under the client's conditions, in its order, from its cursor on.

    Raises:
        Invalid: unknown field, operator that the field has not, or a value that is none.
    """
    asked = plan(statement, table, query, None if after is None else revived(sorts(table, query), after))
    total = await db.scalar(counted(asked.matching)) if count else None
    rows: list[Any] = []
    for walk in asked.walks:
        if len(rows) <= limit:
            rows += (await db.execute(walk.limit(limit + 1 - len(rows)))).all()
    entities = [r[0] if len(r) == 1 else r for r in rows]
    keys = [o.by.key for o in asked.orders]

    def position(row: Any) -> list[Any]:
        return [*(_kept(getattr(row, key)) for key in keys), str(row.id)]

    return Listed(entities, total, position)


def whole(statement: Select[Any], table: Table, query: Query) -> Select[Any]:
    """All rows that `fetch` finds page by page, in the same order, as one statement.

    Raises:
        Invalid: as `fetch`.
    """
    orders = sorts(table, query)
    return _walk(statement.where(*conditions(table, query)), orders, None, table.model.id, orders[0].descending)


def walks(statement: Select[Any], orders: Sequence[Order], after: Sequence[Any] | None, ids: Any) -> list[Select[Any]]:
    """`statement` in this order from behind `after` on: see `Plan`."""
    return list(_segments(statement, orders, after, ids))


def _segments(statement: Select[Any], orders: Sequence[Order], last: Sequence[Any] | None,
              ids: Any) -> Iterator[Select[Any]]:  # fmt: skip
    first, rest = replace(orders[0], nullable=False), orders[1:]
    if not orders[0].nullable:
        yield _walk(statement, [first, *rest], last, ids, first.descending)
        return
    among_empty = last is not None and last[0] is None
    if not among_empty:
        yield _walk(statement.where(first.by.is_not(None)), [first, *rest], last, ids, first.descending)
    yield _walk(statement.where(first.by.is_(None)), rest, last[1:] if last and among_empty else None, ids,
                first.descending)  # fmt: skip


def _walk(statement: Select[Any], orders: Sequence[Order], last: Sequence[Any] | None, ids: Any,
          descending: bool) -> Select[Any]:  # fmt: skip
    """In order, from behind the last row on; the id decides between equals."""
    ordered = [*orders, Order(ids, descending, nullable=False)]
    if last is not None:
        if all(o.descending == descending and not o.nullable for o in orders):  # the index knows where to begin
            row, bound = tuple_(*(o.by for o in ordered)), tuple_(*last)
            statement = statement.where(row < bound if descending else row > bound)
        else:
            statement = statement.where(*_behind(ordered, last))
    return statement.order_by(*(o.clause for o in ordered))


def _behind(orders: Sequence[Order], last: Sequence[Any]) -> list[ColumnElement[bool]]:
    first, value = orders[0], last[0]
    if len(orders) == 1:
        return [first.beyond(value)]
    further = or_(first.beyond(value), and_(first.same(value), *_behind(orders[1:], last[1:])))
    start = [] if first.nullable or value is None else [first.by <= value if first.descending else first.by >= value]
    return [*start, further]


def _kept(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def revived(orders: Sequence[Order], after: Sequence[Any]) -> list[Any]:
    """The values of a cursor as the database compares them.

    Raises:
        StrangeCursor: a column is of another type now than when the cursor was made.
    """
    return [*(_revived(o.by.type, v) for o, v in zip(orders, after[:-1], strict=True)), UUID(after[-1])]


class StrangeCursor(Exception):
    """A cursor of a list that is sorted by something else by now."""


def _revived(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or isinstance(value, str) != isinstance(kind, DateTime | String):
        raise StrangeCursor
    return moment(value) if isinstance(kind, DateTime) else value


def sorts(table: Table, query: Query) -> list[Order]:
    found: list[Order] = []
    for asked in (query.sort or table.sort).split(","):
        name = asked.removeprefix("-")
        column = table.columns.get(name)
        if column is None or not column.sortable:
            names = ", ".join(n for n, c in table.columns.items() if c.sortable)
            raise _refused(query.sort_pointer, "unknown_field",
                           f"Sorts by {names}; a minus in front turns the order round.",
                           f"Sortiert nach {names}; ein Minus davor kehrt die Reihenfolge um.")  # fmt: skip
        found.append(Order(column.expression, asked.startswith("-"), column.nullable))
    if len(found) > MAX_SORTS or len({o.by.key for o in found}) < len(found):
        raise _refused(query.sort_pointer, "too_many", f"At most {MAX_SORTS} columns, each once.",
                       f"Höchstens {MAX_SORTS} Spalten, jede einmal.")  # fmt: skip
    return found


def conditions(table: Table, query: Query) -> list[ColumnElement[bool]]:
    """What a row must satisfy, as filters, `any` and `q` say; what is hidden stays so unless a filter names it.

    Raises:
        Invalid: unknown field, operator that the field has not, or a value that is none.
    """
    asked = [*(parsed(text) for text in query.filter), *query.all]
    if len(every := [*asked, *query.any, *query.also_any]) > MAX_FILTERS:
        raise _refused(every[MAX_FILTERS].pointer, "too_many", f"At most {MAX_FILTERS} conditions.",
                       f"Höchstens {MAX_FILTERS} Bedingungen.")  # fmt: skip
    if sum(c.value.count(",") + 1 for c in every if c.operator == "in") > MAX_ALL_VALUES:
        raise _refused(every[-1].pointer, "too_many", f"At most {MAX_ALL_VALUES} values of all `in` together.",
                       f"Höchstens {MAX_ALL_VALUES} Werte in allen `in` zusammen.")  # fmt: skip
    found = [condition(table, c) for c in asked]
    found += [or_(*(condition(table, c) for c in some)) for some in (query.any, query.also_any) if some]
    named = {c.field for c in every}
    found += [hidden for name, hidden in table.hidden.items() if name not in named]
    if query.q and (q := words.search_key(query.q)):
        found.append(table.search.contains(q, autoescape=True))
    return found


def faults(table: Table, query: Query) -> list[Fault]:
    """All that is wrong with a query, where `fetch` stops at the first: every pointer of it."""
    attempts: list[Callable[[], object]] = [partial(condition, table, c) for c in (*query.all, *query.any)]
    found: list[Fault] = []
    for attempt in (*attempts, partial(sorts, table, query)):
        try:
            attempt()
        except Invalid as wrong:
            found += wrong.errors
    return found


def typed(asked: Iterable[Mapping[str, Any]], pointer: str) -> tuple[Condition, ...]:
    """Conditions as a typed body has them, `pointer` being where it does."""
    return tuple(Condition(c["field"], c["operator"], _text(c["value"]), f"{pointer}/{n}") for n, c in enumerate(asked))


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


def parsed(text: str) -> Condition:
    """`field:operator:value` as a condition.

    Raises:
        Invalid: it has not that form.
    """
    parts = re.fullmatch(r"([a-z0-9_.]+):([a-z_]+):(.*)", text, re.DOTALL)
    if parts is None:
        raise _refused("query:filter", "malformed_filter", "Write field:operator:value.",
                       "Schreiben Sie Feld:Operator:Wert.")  # fmt: skip
    return Condition(*parts.groups())


def condition(table: Table, asked: Condition) -> ColumnElement[bool]:
    """One comparison, as the database makes it.

    Raises:
        Invalid: unknown field, operator that the field has not, or a value that is none.
    """
    column = table.columns.get(asked.field)
    if column is None:
        names = ", ".join(table.columns)
        raise _refused(asked.pointer, "unknown_field", f"Filters by {names}.", f"Filtert nach {names}.")
    if asked.operator not in column.operators:
        names = ", ".join(column.operators)
        raise _refused(asked.pointer, "unknown_operator", f"This field takes {names}.", f"Dieses Feld nimmt {names}.")
    try:
        return _compare(column, asked.operator, asked.value)
    except ValueError as error:
        said = getattr(error, "said", error.args if len(error.args) == 2 else NO_VALUE)
        raise _refused(asked.pointer, "invalid_value", *said) from None


def _compare(column: Column, name: str, value: str) -> ColumnElement[bool]:
    by = column.expression
    if name == "is_null":
        return by.is_(None) if truth(value) else by.is_not(None)
    if name == "in":
        values = value.split(",")
        if len(values) > MAX_VALUES:
            raise ValueError(f"At most {MAX_VALUES} values.", f"Höchstens {MAX_VALUES} Werte.")
        return by.in_([column.parse(v) for v in values])
    asked = column.parse(value)
    if name == "contains":
        return column.contains(asked) if column.contains else by.contains(asked, autoescape=True)
    if name == "starts_with":
        end = words.behind(asked)  # a range reaches an index under row-level security, LIKE does not
        return and_(by >= asked, by < end) if end else by >= asked
    found: ColumnElement[bool] = COMPARISONS[name](by, asked)
    return or_(found, by.is_(None)) if name == "ne" and column.nullable else found


def _refused(pointer: str, code: str, en: str, de: str) -> Invalid:
    return Invalid(errors=[Fault(pointer, code, Text(en, de))])


def moment(value: str) -> datetime:
    """A date or a date-time (ISO 8601), UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("A date or time in ISO 8601.", "Ein Datum oder Zeitpunkt nach ISO 8601.") from None


def truth(value: str) -> bool:
    """`true` or `false`."""
    if value not in ("true", "false"):
        raise ValueError("Must be true or false.", "Muss true oder false sein.")
    return value == "true"


def number_of(value: str) -> int:
    """A number of things."""
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ValueError("A whole number.", "Eine ganze Zahl.")
    return int(value)


def one_of(kinds: Iterable[StrEnum]) -> Callable[[str], Any]:
    """Parses one of the given words, and says which there are."""
    known = {k.value: k for k in kinds}
    names = ", ".join(known)

    def parse(value: str) -> Any:
        if value not in known:
            raise ValueError(f"One of {names}.", f"Eines von {names}.")
        return known[value]

    return parse
