"""Many rows in one statement, where a row at a time would take too long: SQL made by hand, here, in `openings`
and in `tallies`.

The ORM's wall between partners does not see such statements. So they carry the partner themselves: every row of an
insert, and the condition of an update. What a session sends is refused before it is sent if it is another partner's
than the session's; row-level security refuses it in any case.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Boolean, Column, DateTime, Double, Integer, LargeBinary, String, Table, Uuid, inspect
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, new_id, utc_now

Row = Mapping[str, Any]
TYPES: Mapping[type[Any], str] = {
    Uuid: "uuid", String: "text", Integer: "int8", Double: "float8", Boolean: "bool", DateTime: "timestamptz",
    LargeBinary: "bytea", JSONB: "text",
}  # fmt: skip


async def insert(db: AsyncSession, model: Any, shared: Row, rows: Sequence[Row]) -> int:
    """Write rows of one shape, which have what is `shared`; how many: a row whose key is taken is passed over."""
    if not rows:
        return 0
    _refuse_foreign(db, {shared["partner_id"]})
    table = _table(model)
    same = tuple(n for n, value in shared.items() if n not in rows[0] and value is not None)
    values = [_sent(table.c[n], shared[n]) for n in same]
    varying = tuple(rows[0])
    return await _send(db, _insert(table, same, varying), [*values, *_arrays(table, varying, rows)])


@cache
def _insert(table: Table, same: tuple[str, ...], varying: tuple[str, ...]) -> str:
    kinds = [TYPES[_kind(table.c[n])] for n in same]
    once = [f"${n}::{kind}" for n, kind in enumerate(kinds, 1)]
    once = [f"{value}::jsonb" if _kind(table.c[n]) is JSONB else value for value, n in zip(once, same, strict=True)]
    values = ", ".join([*once, _cast(table, varying)])
    rows = _unnest(table, varying, len(same) + 1)
    into = _quoted([*same, *varying])
    return f"INSERT INTO {table.name} ({into}) SELECT {values} FROM {rows} ON CONFLICT DO NOTHING"  # noqa: S608 - names of ours


@cache
def inserting(model: Any, count: int, first: int) -> str:
    """An insert of so many rows, with all columns, as a part of a statement whose parameters `first` … are theirs."""
    kinds = [_sent_as(column) for column in _table(model).columns]
    numbers = iter(range(first, first + count * len(kinds)))
    rows = (f"({', '.join(f'${next(numbers)}::{kind}' for kind in kinds)})" for _ in range(count))
    names = _quoted([column.name for column in _table(model).columns])
    some = f"VALUES {', '.join(rows)}" if count else f"SELECT {', '.join(f'NULL::{kind}' for kind in kinds)} LIMIT 0"
    return f"INSERT INTO {_table(model).name} ({names}) SELECT * FROM ({some}) AS r"  # noqa: S608 - names of ours


@cache
def gathering(model: Any, names: tuple[str, ...], first: int) -> str:
    """An insert of any number of rows with these columns, as a part of a statement: see `gathered`."""
    table = _table(model)
    return (
        f"INSERT INTO {table.name} ({_quoted(names)}) SELECT {_cast(table, names)} FROM {_unnest(table, names, first)}"  # noqa: S608 - names of ours
    )


def gathered(model: Any, names: tuple[str, ...], rows: Sequence[Row]) -> list[list[Any]]:
    """The parameters `first` … of `gathering`: one for each column."""
    return [[_json(row[name]) for row in rows] if json else [row[name] for row in rows]
            for name, json in _some_columns(model, names)]  # fmt: skip


def flat(model: Any, rows: Sequence[Row]) -> list[Any]:
    """The parameters of `inserting`; what a row says nothing of is null."""
    return [_json(row.get(name)) if json else row.get(name) for row in rows for name, json in _columns(model)]


def width(model: Any) -> int:
    """How many columns a row of it has."""
    return len(_columns(model))


@cache
def _some_columns(model: Any, names: tuple[str, ...]) -> list[tuple[str, bool]]:
    return [(name, _kind(_table(model).c[name]) is JSONB) for name in names]


@cache
def _columns(model: Any) -> list[tuple[str, bool]]:
    return [(column.name, _kind(column) is JSONB) for column in _table(model).columns]


def _sent_as(column: Column[Any]) -> str:
    return TYPES[_kind(column)] + ("::jsonb" if _kind(column) is JSONB else "")


@cache
def blank_account() -> Row:
    """What a column of an account holds when nobody says anything: a new column needs no word here."""
    bare = Account(partner_id=new_id(), name="", name_key="", name_search="")
    return {c.key: getattr(bare, c.key) for c in inspect(Account).column_attrs}


async def update_accounts(db: AsyncSession, partner_id: UUID, rows: Sequence[Row]) -> int:
    """Bring locked accounts into a new state, each by its `id`; a version further, as any change of them is."""
    if not rows:
        return 0
    _refuse_foreign(db, {partner_id})
    names, table = tuple(rows[0]), _table(Account)
    return await _send(db, _update(names), [partner_id, utc_now(), *_arrays(table, names, rows)])


@cache
def _update(names: tuple[str, ...]) -> str:
    table = _table(Account)
    sets = ", ".join(f'"{name}" = {_cast(table, (name,))}' for name in names if name != "id")
    sets += ", version = a.version + 1, updated_at = $2"
    rows = _unnest(table, names, 3)
    return f"UPDATE accounts AS a SET {sets} FROM {rows} WHERE a.partner_id = $1 AND a.id = r.id"  # noqa: S608 - ours


FREE = """
    DELETE FROM unique_values AS u USING unnest($2::uuid[], $3::uuid[]) AS r(account_id, property_id)
     WHERE u.partner_id = $1 AND u.account_id = r.account_id AND u.property_id = r.property_id
"""


async def free_values(db: AsyncSession, partner_id: UUID, accounts: Sequence[UUID], properties: Sequence[UUID]) -> None:
    """Let go of unique values: of each account, that of the property at the same place."""
    if accounts:
        _refuse_foreign(db, {partner_id})
        await _send(db, FREE, [partner_id, list(accounts), list(properties)])


def _refuse_foreign(db: AsyncSession, partners: set[UUID]) -> None:
    if partners != {db.sync_session.info.get("tenant")}:
        raise RuntimeError("rows of another tenant in this session")


async def _send(db: AsyncSession, statement: str, values: Sequence[Any]) -> int:
    await db.flush()
    done = await (await db.connection()).exec_driver_sql(statement, tuple(values))
    return done.rowcount


def _table(model: Any) -> Table:
    return inspect(model).local_table


def _kind(column: Column[Any]) -> type[Any]:
    return next(kind for kind in type(column.type).__mro__ if kind in TYPES)


def _cast(table: Table, names: Sequence[str]) -> str:
    return ", ".join(f'r."{n}"::jsonb' if _kind(table.c[n]) is JSONB else f'r."{n}"' for n in names)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _unnest(table: Table, names: Sequence[str], first: int) -> str:
    """Arrays as rows, a parameter for each column."""
    arrays = ", ".join(f"${n}::{TYPES[_kind(table.c[name])]}[]" for n, name in enumerate(names, first))
    return f"unnest({arrays}) AS r({_quoted(names)})"


def _arrays(table: Table, names: Sequence[str], rows: Sequence[Row]) -> list[list[Any]]:
    return [[_json(row[name]) for row in rows] if _kind(table.c[name]) is JSONB else [row[name] for row in rows]
            for name in names]  # fmt: skip


def _sent(column: Column[Any], value: Any) -> Any:
    return _json(value) if _kind(column) is JSONB else value


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()
