"""Lists: one compiler for filter, search and sort, used by every noun. `walks` has the way to a page."""

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, or_

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
BOUNDS = ("lt", "lte", "gt", "gte")
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


def id_of(value: str) -> UUID:
    """The id of something."""
    try:
        return UUID(value)
    except ValueError:
        raise ValueError("A UUID.", "Eine UUID.") from None


def among(known: Collection[str], en: str, de: str) -> Callable[[str], str]:
    """Parses one of words that are too many to be listed; of any other, says so, and which come near it."""

    def parse(value: str) -> str:
        if value not in known:
            near = ", ".join(get_close_matches(value[:100], known))
            raise ValueError(f"{en} Near it: {near}." if near else en, f"{de} Ähnlich: {near}." if near else de)
        return value

    return parse


def one_of(kinds: Iterable[StrEnum]) -> Callable[[str], Any]:
    """Parses one of the given words, and says which there are."""
    known = {k.value: k for k in kinds}
    names = ", ".join(known)

    def parse(value: str) -> Any:
        if value not in known:
            raise ValueError(f"One of {names}.", f"Eines von {names}.")
        return known[value]

    return parse
