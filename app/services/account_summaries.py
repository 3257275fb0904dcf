"""Summaries: what the accounts table holds, column by column, under the same conditions as the table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    DateTime,
    Numeric,
    Text,
    cast,
    collate,
    func,
    literal,
    null,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.ext.asyncio import AsyncSession

from app import problems
from app.models import Account, PropertyType
from app.policy import Access
from app.problems import Fault, Invalid
from app.services import columns, lists, tables, values, views
from app.services.columns import Columns, Definition

MAX_COLUMNS: Final = 30
MAX_OPTIONS: Final = 20
TOTALS: Final = -1

UNKNOWN = problems.Text("There is no such column.", "Diese Spalte gibt es nicht.")
TOO_MANY = problems.Text(f"At most {MAX_COLUMNS} columns.", f"Höchstens {MAX_COLUMNS} Spalten.")

Kind = Literal["text", "number", "money", "boolean", "date", "datetime", "options"]
T = PropertyType
KINDS: Final[Mapping[T, Kind]] = {
    T.TEXT: "text", T.NUMBER: "number", T.MONEY: "money", T.BOOLEAN: "boolean", T.DATE: "date",
    T.DATETIME: "datetime", T.SELECT: "options", T.MULTI_SELECT: "options", T.URL: "text", T.EMAIL: "text",
    T.PHONE: "text", T.USER: "options",
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A column to be summed up: of which kind, and its value in a row of the table."""

    name: str
    kind: Kind
    value: Any
    many: bool = False
    """Whether its value is a list."""
    distinct: bool = True
    """Whether to tell its texts apart: not where they may be long."""
    currency: str = ""


async def of(db: AsyncSession, access: Access, query: lists.Query, *, view_id: UUID | None,
             asked: Sequence[str] | None, at: str) -> dict[str, Any]:  # fmt: skip
    """What a question to the table finds, column by column; `at` is what pointers to its parts begin with.

    One statement: its figures are of one moment and agree with each other. It reads the values themselves, not their
    slots, so that a column counts the moment it is defined; only conditions may have to wait for theirs.

    Raises:
        Invalid: unknown view or column, or a wrong condition.
        ColumnNotReady: a condition by a column that is only being made filterable.
    """
    if asked is not None and len(asked) > MAX_COLUMNS:
        raise Invalid(errors=[Fault(f"{at}columns", "too_many", TOO_MANY)])
    known = await columns.load(db, access.partner_id)
    query, names, _ = await views.applied(db, access, known, view_id, query, asked, pointer=f"{at}view")
    masked = columns.masks(access)
    conditions = lists.conditions(tables.of(known, query, masked=masked), query)
    subjects = _chosen(known, names, masked=masked, pointer=f"{at}columns")
    values_ = [s.value.label(f"c{n}") for n, s in enumerate(subjects)]
    rows = select(Account.id, *values_).where(*conditions).cte("matched")
    found = (await db.execute(union_all(_totals(rows, subjects), *_groups(rows, subjects)))).all()
    totals = next(row for row in found if row.n == TOTALS)
    groups: list[list[tuple[str, int]]] = [[] for _ in subjects]
    for row in found:
        if row.n != TOTALS:
            groups[row.n].append((row.value, row.count))
    measures = iter(totals.measures)
    return {"count": totals.count, "columns": [_shown(s, measures, groups[n]) for n, s in enumerate(subjects)]}


# --- which columns ---


def _chosen(known: Columns, names: Sequence[str] | None, *, masked: bool, pointer: str) -> list[Subject]:
    """The columns that are asked for, in that order; what the caller must not see is left out."""
    offered = {name: _of_fixed(name, column) for name, column in tables.FIXED.items()}
    offered |= {s.name: s for s in (_of_property(d) for d in known.active if not (masked and d.sensitive))}
    if names is None:
        names = list(offered)
    wanted = dict.fromkeys(tables.full_name(known, name) for name in names)
    if not wanted.keys() <= tables.names_of(known):
        raise Invalid(errors=[Fault(pointer, "unknown_field", UNKNOWN)])
    return [offered[name] for name in wanted if name in offered][:MAX_COLUMNS]


def _of_fixed(name: str, column: lists.Column) -> Subject:
    """Of columns that every account has, the kind shows in how they are kept and filtered."""
    by = column.expression
    if isinstance(by.type, DateTime):
        return Subject(name, "datetime", by)
    if issubclass(by.type.python_type, int | float | Decimal):
        return Subject(name, "number", by)
    return Subject(name, "text" if "contains" in column.operators else "options", _text(cast(by, Text)))


def _of_property(d: Definition) -> Subject:
    kind, value = KINDS[d.type], Account.properties[d.key]
    many, currency = d.type == T.MULTI_SELECT, d.inputs.get("currency", "")
    match kind:
        case "number":
            value = cast(value, Numeric)
        case "money":
            value = cast(Account.properties[(d.key, "amount")].astext, Numeric)
        case "boolean":
            value = cast(value, Boolean)
        case "options" if many:
            pass
        case _:  # days and moments, too: as they are written, they sort as they follow each other
            value = _text(value.astext)
    return Subject(tables.PREFIX + d.key, kind, value, many, d.filterable, currency)


def _text(value: Any) -> Any:
    return collate(value, "C")


# --- the statement ---


def _totals(rows: CTE, subjects: Sequence[Subject]) -> Any:
    measures = [cast(m, Text) for n, s in enumerate(subjects) for m in _measures(s, rows.c[f"c{n}"])]
    return select(
        literal(TOTALS).label("n"), cast(null(), Text).label("value"), func.count(rows.c.id).label("count"),
        cast(array(measures), ARRAY(Text)).label("measures"),
    )  # fmt: skip


def _measures(subject: Subject, by: Any) -> list[Any]:
    """What is computed over all rows; `_shown` reads it in the same order."""
    match subject.kind:
        case "number" | "money":
            return [func.count(by), func.min(by), func.max(by), func.sum(by)]
        case "date" | "datetime":
            return [func.count(by), func.min(by), func.max(by)]
        case "boolean":
            return [func.count(by), func.count().filter(by)]
        case "options":
            return [func.count(by), func.sum(func.jsonb_array_length(by)) if subject.many else func.count(by)]
        case "text":
            return [func.count(by)]


def _groups(rows: CTE, subjects: Sequence[Subject]) -> Iterator[Any]:
    """What takes a look at the rows of its own: the most frequent options, and how many different texts there are."""
    for n, subject in enumerate(subjects):
        by = rows.c[f"c{n}"]
        if subject.kind == "options":
            options = func.jsonb_array_elements_text(by).table_valued("value")
            value = _text(options.c.value) if subject.many else by
            top = _group(n, value, func.count()).select_from(rows.join(options, true()) if subject.many else rows)
            top = top.where(by.is_not(None)).group_by(value).order_by(func.count().desc(), value).limit(MAX_OPTIONS)
            yield top.subquery().select()
        elif subject.kind == "text" and subject.distinct:
            different = select(by.label("value")).where(by.is_not(None)).distinct().subquery()
            yield _group(n, null(), func.count(different.c.value))


def _group(n: int, value: Any, count: Any) -> Any:
    return select(literal(n).label("n"), cast(value, Text).label("value"), count.label("count"),
                  cast(null(), ARRAY(Text)).label("measures"))  # fmt: skip


# --- the answer ---


def _shown(subject: Subject, measures: Iterator[str | None], group: Sequence[tuple[str, int]]) -> dict[str, Any]:
    filled = _int(next(measures))
    found: dict[str, Any] = {"column": subject.name, "kind": subject.kind, "filled": filled}
    match subject.kind:
        case "number":
            least, most, total = (Decimal(m) if (m := next(measures)) else None for _ in range(3))
            average = None if total is None else total / filled
            return found | {"min": least, "max": most, "sum": _plain(total), "average": average}
        case "money":
            return found | {name: _money(subject, next(measures)) for name in ("min", "max", "sum")}
        case "date":
            return found | {name: date.fromisoformat(m) if (m := next(measures)) else None for name in ("min", "max")}
        case "datetime":
            return found | {name: datetime.fromisoformat(m) if (m := next(measures)) else None
                            for name in ("min", "max")}  # fmt: skip
        case "boolean":
            true = _int(next(measures))
            return found | {"true_count": true, "false_count": filled - true}
        case "options":
            others = _int(next(measures)) - sum(count for _, count in group)
            return found | {"options": [{"value": v, "count": count} for v, count in group], "others": others}
        case "text":
            return found | {"distinct": group[0][1] if group else None}


def _int(measure: str | None) -> int:
    return int(measure or 0)


def _plain(value: Decimal | None) -> str | None:
    """All digits of a number, and no zero that says nothing."""
    if value is None:
        return None
    found = f"{value:f}"
    return found.rstrip("0").rstrip(".") if "." in found else found


def _money(subject: Subject, measure: str | None) -> dict[str, str] | None:
    if measure is None:
        return None
    amount = f"{Decimal(measure):.{values.places_of(subject.currency)}f}"
    return {"amount": amount, "currency": subject.currency}
