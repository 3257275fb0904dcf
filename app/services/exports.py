"""Exports: all rows of the accounts table that a query finds, in the list's order, as a file that is made by pieces."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, Literal, cast
from uuid import UUID

import orjson
from sqlalchemy import Row, Select, String, func, select
from sqlalchemy import cast as as_type
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, PartnerMember, PropertyType, User
from app.policy import Access, Permission
from app.problems import Text, TooManyRows
from app.services import columns, events, lists, partners, tables, views, walks
from app.services.columns import Columns, Definition
from app.sheets import Cell, Writer
from app.sheets.write import MAX_SHEET_ROWS

BATCH: Final = 2_000
MAX_IN_SHEET: Final = MAX_SHEET_ROWS - 1
"""Accounts in a sheet, below its header."""
LIST: Final = ", "
"""Between the options of a multi_select: an option's key has neither of the two characters."""

Make = Callable[[Any], Cell]
Emails = Mapping[str, str]
NOBODY: Emails = MappingProxyType({})


# --- cells ---


def _number(value: float) -> Cell:
    return Decimal(repr(value)) if isinstance(value, float) else value


CELLS: Final[Mapping[PropertyType, Make]] = {
    PropertyType.NUMBER: _number,
    PropertyType.MONEY: lambda value: Decimal(value["amount"]),
    PropertyType.DATE: date.fromisoformat,
    PropertyType.DATETIME: datetime.fromisoformat,
    PropertyType.MULTI_SELECT: LIST.join,
}
"""What becomes of a value; those of the other types are cells already."""


def to_cell(definition: Definition, value: Any, emails: Emails = NOBODY) -> Cell:
    """A property value as a cell: numbers and amounts of money exact, users by their e-mail address if it is known."""
    make = _make(definition, emails)
    return value if value is None or make is None else make(value)


def _make(definition: Definition, emails: Emails) -> Make | None:
    if definition.type == PropertyType.USER:
        return lambda user_id: emails.get(user_id, user_id)
    return CELLS.get(definition.type)


def _nothing(_: Any) -> Cell:
    return None


def _milliseconds(moment: datetime) -> Cell:
    """As the API shows it; a sheet holds no more either."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


# --- columns ---


@dataclass(frozen=True)
class Fixed:
    """A column of every account, whoever its partner is. Unless columns are named, some stand behind the properties."""

    expression: Any
    label: Text
    make: Make | None = None
    behind: bool = False


FIXED: Final[Mapping[str, Fixed]] = {
    "id": Fixed(Account.id, Text("Id", "Id"), str),
    "name": Fixed(Account.name, Text("Name", "Name")),
    "status": Fixed(Account.status, Text("Status", "Status"), str),
    "price_model": Fixed(Account.price_model, Text("Price model", "Preismodell")),
    "member_count": Fixed(Account.member_count, Text("Members", "Mitglieder"), behind=True),
    "created_at": Fixed(Account.created_at, Text("Created", "Erstellt"), _milliseconds, behind=True),
    "updated_at": Fixed(Account.updated_at, Text("Last changed", "Zuletzt geändert"), _milliseconds, behind=True),
}


@dataclass(frozen=True)
class Asked:
    """An export as the client asked for it, not yet checked."""

    query: lists.Query
    columns: Sequence[str] | None = None
    labels: Literal["en", "de"] | None = None
    """The language of the header; unless given, it has the keys."""
    view: UUID | None = None


@dataclass(frozen=True)
class Plan:
    """An export that can be made: its columns in order (those of properties with their definition), and its rows."""

    header: tuple[str, ...]
    columns: Mapping[str, Definition | None]
    masked: frozenset[str]
    statement: Select[Any]

    @property
    def fixed(self) -> list[str]:
        return [key for key, definition in self.columns.items() if definition is None]

    def makes(self, emails: Emails) -> list[tuple[str, Make | None]]:
        found: list[tuple[str, Make | None]] = []
        for key, d in self.columns.items():
            make = FIXED[key].make if d is None else _nothing if key in self.masked else _make(d, emails)
            found.append((key, make))
        return found


def planned(found: Columns, access: Access, asked: Asked) -> Plan:
    """What is to be exported, if this caller may ask for it.

    Raises:
        Invalid: there is no such column, or as `walks.whole`.
        ColumnNotReady: see `tables.of`.
    """
    masked = columns.masks(access)
    chosen = _chosen(found, asked.columns)
    table = tables.of(found, asked.query, masked=masked)
    fixed = [FIXED[key].expression.label(key) for key, definition in chosen.items() if definition is None]
    text = as_type(Account.properties, String)  # parsed apart, and faster
    return Plan(
        tuple(_headings(found, chosen, asked.labels)),
        chosen,
        frozenset(key for key, d in chosen.items() if masked and d is not None and d.sensitive),
        walks.whole(cast("Select[Any]", select(text, *fixed)), table, asked.query),
    )


def _chosen(found: Columns, asked: Sequence[str] | None) -> dict[str, Definition | None]:
    if asked is None:
        keys = [key for key, column in FIXED.items() if not column.behind]
        keys += [d.key for d in found.active]
        keys += [key for key, column in FIXED.items() if column.behind]
    else:
        columns.chosen(found, asked, "query:columns")
        keys = [name.removeprefix(tables.PREFIX) for name in asked]
    return {key: None if key in FIXED else found.by_key[key] for key in keys}


def _headings(found: Columns, chosen: Iterable[str], language: Literal["en", "de"] | None) -> Iterator[str]:
    """Keys, or labels; a label that could be taken for another column's label or key gives way to the key."""
    if language is None:
        yield from chosen
        return
    labels = {key: dict(zip(("en", "de"), column.label, strict=True)) for key, column in FIXED.items()}
    labels |= {key: {k: v.strip() for k, v in d.label.items() if v} for key, d in found.by_key.items()}
    names = Counter(
        name for key, said in labels.items() for name in {key, *(label.casefold() for label in said.values())}
    )
    for key in chosen:
        label = labels[key].get(language) or next(iter(labels[key].values()))
        plain = names[label.casefold()] == 1 and any(c.isalpha() for c in label)
        yield label if plain else key


# --- the file ---


async def note(db: AsyncSession, access: Access, asked: Asked, *, format: str, taken: bool = True) -> Asked:
    """Record that somebody takes accounts along: how much of them, not what it says. Not `taken`, it is only checked.

    Returns what is asked with the saved view worked into it.

    Raises:
        Invalid, ColumnNotReady: see `planned`, `views.applied`.
    """
    known = await columns.load(db, access.partner_id)
    applied = await views.applied(db, access, known, asked.view, asked.query, asked.columns, pointer="query:view")
    asked = replace(asked, query=applied.query, columns=applied.columns, view=None)
    plan = planned(known, access, asked)
    if not taken:
        return asked
    sensitive = [d for d in plan.columns.values() if d is not None and d.sensitive and d.key not in plan.masked]
    facts = {
        "format": format, "columns": len(plan.columns), "sensitive_columns": len(sensitive),
        "filters": asked.query.size, "searched": asked.query.q is not None,
    }  # fmt: skip
    events.record(db, access, "accounts.exported", await partners.get(db, access.partner_id), after=facts)
    return asked


async def pieces(db: AsyncSession, access: Access, asked: Asked, writer: Writer, *,
                 most: int | None = None) -> AsyncGenerator[bytes]:  # fmt: skip
    """The file, a batch of rows at a time; nothing is given away before the first rows are there.

    Call it in a transaction that sees one state of things from its beginning to its end.

    Raises:
        Invalid, ColumnNotReady: see `planned`.
        TooManyRows: there are more than `most`.
    """
    plan = planned(await columns.load(db, access.partner_id), access, asked)
    await _refuse_too_many(db, plan, most)
    makes = plan.makes(await _emails(db, access, plan))
    result = await db.stream(plan.statement, execution_options={"yield_per": BATCH})
    made = writer.head(plan.header)
    async with aclosing(_ahead(result.partitions())) as batches:
        async for rows in batches:
            yield made + await asyncio.to_thread(_written, writer, rows, plan.fixed, makes)
            made = b""
    yield made + await asyncio.to_thread(writer.end)


async def _ahead(batches: AsyncIterator[Sequence[Row[Any]]]) -> AsyncGenerator[Sequence[Row[Any]]]:
    """The same batches; while one is used, the database is at work on the next."""

    async def fetched() -> Sequence[Row[Any]] | None:
        return await anext(batches, None)

    coming = asyncio.create_task(fetched())
    try:
        while (rows := await coming) is not None:
            coming = asyncio.create_task(fetched())
            yield rows
    finally:  # nobody closes the transaction under a statement that is running
        await asyncio.wait({coming})
        if not coming.cancelled():
            coming.exception()


def _written(writer: Writer, rows: Sequence[Any], fixed: Sequence[str],
             makes: Sequence[tuple[str, Make | None]]) -> bytes:  # fmt: skip
    return writer.rows(_cells(rows, fixed, makes))


def _cells(rows: Sequence[Any], fixed: Sequence[str],
           makes: Sequence[tuple[str, Make | None]]) -> Iterator[Sequence[Cell]]:  # fmt: skip
    for properties, *others in rows:
        values = orjson.loads(properties)
        values.update(zip(fixed, others, strict=True))
        get = values.get
        yield [value if (value := get(key)) is None or make is None else make(value) for key, make in makes]


async def _refuse_too_many(db: AsyncSession, plan: Plan, most: int | None) -> None:
    if most is not None:
        some = plan.statement.with_only_columns(Account.id).order_by(None).limit(most + 1).subquery()
        if (await db.scalar(select(func.count()).select_from(some)) or 0) > most:
            raise TooManyRows


async def _emails(db: AsyncSession, access: Access, plan: Plan) -> Emails:
    """The addresses of all members, by user id, if a column shows some and the caller may list members."""
    if not access.may(Permission.PARTNER_MEMBER_READ):
        return NOBODY
    if all(d is None or d.type != PropertyType.USER for d in plan.columns.values()):
        return NOBODY
    users = select(PartnerMember.user_id, User.email).join(User, User.id == PartnerMember.user_id)
    return {str(UUID(int=user_id.int)): email for user_id, email in await db.execute(users)}
