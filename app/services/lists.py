"""Lists: one compiler for filter, search, sort and keyset, used by every noun."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.problems import Fault, Invalid, Text

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip
MAX_FILTERS = 20
MAX_VALUES = 200
EQUALITY = ("eq", "ne", "in")
ORDER = ("eq", "ne", "lt", "lte", "gt", "gte")
TEXT = (*EQUALITY, "contains", "starts_with")


@dataclass(frozen=True)
class Column:
    """One column that a list can be filtered (and perhaps sorted) by."""

    expression: Any
    operators: Sequence[str]
    parse: Callable[[str], Any] = str
    sortable: bool = False
    """Sorted columns are never null."""


@dataclass(frozen=True)
class Query:
    """What the client asked for, not yet checked: `filter=field:op:value` (repeatable), `sort`, `q`."""

    filter: Sequence[str] = ()
    sort: str | None = None
    q: str | None = None


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


async def fetch(db: AsyncSession, statement: Select[Any], table: Table, query: Query, *, limit: int,
                after: list[Any] | None, count: bool) -> Listed:  # fmt: skip
    """Run `statement` under the client's conditions, in its order, from its cursor on.

    Raises:
        Invalid: unknown field, operator that the field has not, or a value that is none.
    """
    statement = statement.where(*_conditions(table, query))
    total = await db.scalar(select(func.count()).select_from(statement.order_by(None).subquery())) if count else None
    name, descending = _sort(table, query.sort)
    by, ids = table.columns[name].expression, table.model.id
    if after is not None:
        row, last = tuple_(by, ids), tuple_(*_last(table.columns[name], after))
        statement = statement.where(row < last if descending else row > last)
    order = (by.desc(), ids.desc()) if descending else (by, ids)
    rows = (await db.execute(statement.order_by(*order).limit(limit + 1))).all()
    entities = [r[0] if len(r) == 1 else r for r in rows]
    key = by.key

    def position(row: Any) -> list[Any]:
        value = getattr(row, key)
        return [value.isoformat() if isinstance(value, datetime) else str(value), str(row.id)]

    return Listed(entities, total, position)


def _last(column: Column, after: list[Any]) -> list[Any]:
    value, row_id = after
    return [moment(value) if column.parse is moment else value, UUID(row_id)]


def _sort(table: Table, sort: str | None) -> tuple[str, bool]:
    asked = sort or table.sort
    name = asked.removeprefix("-")
    if name not in table.columns or not table.columns[name].sortable:
        names = ", ".join(n for n, c in table.columns.items() if c.sortable)
        raise Invalid(errors=[Fault("query:sort", "unknown_field", Text(
            f"Sorts by {names}; a minus in front turns the order round.",
            f"Sortiert nach {names}; ein Minus davor kehrt die Reihenfolge um."))])  # fmt: skip
    return name, asked.startswith("-")


def _conditions(table: Table, query: Query) -> list[ColumnElement[bool]]:
    if len(query.filter) > MAX_FILTERS:
        raise _refused("too_many", f"At most {MAX_FILTERS} filters.", f"Höchstens {MAX_FILTERS} Filter.")
    found = [_condition(table, text) for text in query.filter]
    named = {text.partition(":")[0] for text in query.filter}
    found += [condition for name, condition in table.hidden.items() if name not in named]
    if query.q and (q := words.search_key(query.q)):
        found.append(table.search.contains(q, autoescape=True))
    return found


def _condition(table: Table, text: str) -> ColumnElement[bool]:
    parts = re.fullmatch(r"([a-z_]+):([a-z_]+):(.*)", text, re.DOTALL)
    if parts is None:
        raise _refused("malformed_filter", "Write field:operator:value.", "Schreiben Sie Feld:Operator:Wert.")
    name, comparison, value = parts.groups()
    column = table.columns.get(name)
    if column is None:
        names = ", ".join(table.columns)
        raise _refused("unknown_field", f"Filters by {names}.", f"Filtert nach {names}.")
    if comparison not in column.operators:
        names = ", ".join(column.operators)
        raise _refused("unknown_operator", f"This field takes {names}.", f"Dieses Feld nimmt {names}.")
    return _compare(column, comparison, value)


def _compare(column: Column, name: str, value: str) -> ColumnElement[bool]:
    by = column.expression
    try:
        if name == "in":
            values = value.split(",")
            if len(values) > MAX_VALUES:
                raise ValueError(f"At most {MAX_VALUES} values.", f"Höchstens {MAX_VALUES} Werte.")
            return by.in_([column.parse(v) for v in values])
        parsed = column.parse(value)
    except ValueError as error:
        said = error.args if len(error.args) == 2 else ("Not a value of this field.", "Kein Wert dieses Feldes.")
        raise _refused("invalid_value", *said) from None
    if name == "contains":
        return by.contains(parsed, autoescape=True)
    if name == "starts_with":
        return by.startswith(parsed, autoescape=True)
    return COMPARISONS[name](by, parsed)


def _refused(code: str, en: str, de: str) -> Invalid:
    return Invalid(errors=[Fault("query:filter", code, Text(en, de))])


def moment(value: str) -> datetime:
    """A date or a date-time (ISO 8601), UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError("A date or time in ISO 8601.", "Ein Datum oder Zeitpunkt nach ISO 8601.") from None


def one_of(kinds: Iterable[StrEnum]) -> Callable[[str], Any]:
    """Parses one of the given words, and says which there are."""
    known = {k.value: k for k in kinds}
    names = ", ".join(known)

    def parse(value: str) -> Any:
        if value not in known:
            raise ValueError(f"One of {names}.", f"Eines von {names}.")
        return known[value]

    return parse


__all__ = ["EQUALITY", "ORDER", "TEXT", "Column", "Listed", "Query", "Table", "fetch", "moment", "one_of"]
