"""Databases full of accounts, made once: kept in the embedded PostgreSQL until migrations or generator change."""

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from app import migrate, words
from app.db import APP_ROLE
from app.localpg import LocalPg
from app.models import (
    NUMBER_SLOTS,
    TEXT_SLOTS,
    Partner,
    PartnerMember,
    Property,
    Session,
    User,
    utc_now,
)
from app.policy import Role
from app.schemas.property import CREATES
from app.services import columns, definitions, values
from bench import data

HOME: Final = Path(__file__).parent.parent / ".data" / "bench"
OTHERS: Final = 2_000
"""The other partners, of a few to a few dozen accounts each."""
BATCH: Final = 20_000
PARTNER: Final = UUID("01850000-0000-7000-8000-000000000001")
USER: Final = UUID("01850000-0000-7000-8000-000000000002")
SESSION: Final = UUID("01850000-0000-7000-8000-000000000003")


def version() -> str:
    """Stands for all that a database follows from."""
    found = hashlib.sha256(f"{data.VERSION}".encode())
    for file in sorted(migrate.SCRIPTS.rglob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()[:8]


@dataclass(frozen=True)
class Server:
    """The embedded PostgreSQL that holds them, as the application has it."""

    local: LocalPg

    def url(self, database: str, user: str | None = None) -> str:
        """An address as the application takes it; the owner's, unless it is another user's."""
        return self.local.url(database) if user is None else self.local.url(database, user)

    def connection(self, database: str = "postgres") -> AbstractAsyncContextManager[Any]:
        return connected(self.url(database))


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any]:
    """A connection of the driver's own, to an address as the application takes it."""
    found: Any = await asyncpg.connect(url.replace("+asyncpg", ""))  # pyright: ignore[reportUnknownVariableType] - it has no types
    try:
        yield found
    finally:
        await found.close()


def ready(server: Server, count: int) -> str:
    """The name of the database in which one partner has so many accounts, made if it is not there."""
    return asyncio.run(_ready(server, count))


def clone(server: Server, source: str, name: str) -> str:
    """A copy that may be written to, in the place of the one that a run before has left."""
    asyncio.run(_clone(server, source, name))
    return name


def execute(server: Server, database: str, *statements: str) -> None:
    async def all_of_them() -> None:
        async with server.connection(database) as connection:
            for statement in statements:
                await connection.execute(statement)

    asyncio.run(all_of_them())


def rows(server: Server, database: str, query: str, *values: object) -> list[Any]:
    """What a query finds, asked by the owner."""

    async def fetch() -> list[Any]:
        async with server.connection(database) as connection:
            return await connection.fetch(query, *values)

    return asyncio.run(fetch())


def counts(server: Server, database: str, *tables: str) -> list[int]:
    """How many rows each table has, all at one moment."""
    return list(rows(server, database, f"SELECT {', '.join(f'(SELECT count(*) FROM {t})' for t in tables)}")[0])


def written(server: Server, database: str, account_id: str) -> dict[str, Any]:
    """All that the creation of an account has written, without what differs each time: ids, moments, salts, hashes."""
    found: dict[str, Any] = {}
    for table, column in {"accounts": "id", "account_members": "account_id", "events": "account_id"}.items():
        query = f"SELECT * FROM {table} WHERE partner_id = $1 AND {column} = $2 ORDER BY id"
        found[table] = [_lasting(r, account_id) for r in rows(server, database, query, PARTNER, UUID(account_id))]
    return found


FLEETING: Final = {"id", "account_id", "subject_id", "request_id", "created_at", "updated_at", "position",
                   "hash", "salt", "details_hash", "origin_salt", "origin_hash"}  # fmt: skip


def _lasting(row: Any, account_id: str) -> dict[str, Any]:
    found = {k: v for k, v in dict(row).items() if k not in FLEETING}
    assert all(row[k] is not None for k in FLEETING & set(row.keys()) - {"position", "hash"})
    return found | {"details": found["details"].replace(account_id, "")} if "details" in found else found


async def _ready(server: Server, count: int) -> str:
    name = f"bench_{count}_{version()}"
    async with server.connection() as connection:
        known = [r["datname"] for r in await connection.fetch("SELECT datname FROM pg_database")]
        for stale in known:
            if stale.startswith("bench_") and not stale.endswith(version()):
                await connection.execute(f"DROP DATABASE {stale} WITH (FORCE)")
        if name in known:
            return name
        started, fresh = time.monotonic(), f"{name}_new"  # of its name only when it is whole
        await connection.execute(f"DROP DATABASE IF EXISTS {fresh} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {fresh}")
        await _fill(server, fresh, count)
        await connection.execute(f"ALTER DATABASE {fresh} RENAME TO {name}")
        print(f"{name}: made in {time.monotonic() - started:.0f} s")
    return name


async def _clone(server: Server, source: str, name: str) -> None:
    async with server.connection() as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {source}")


async def _fill(server: Server, name: str, count: int) -> None:
    await migrate.upgrade(server.url(name))
    async with server.connection(name) as connection:
        await connection.execute(f"ALTER ROLE {APP_ROLE} LOGIN")
        await fill(connection, count, others=OTHERS)


async def fill(connection: Any, count: int, *, others: int) -> None:
    """So many accounts of one partner, and those of so many others, into an empty migrated database; as its owner."""
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'accounts' AND indexname NOT LIKE 'pk%'"
    )
    for index in indexes:  # made anew behind the data: one sort each, instead of a search for every row
        await connection.execute(f"DROP INDEX {index['indexname']}")
    await _people(connection)
    chance, step = random.Random(data.VERSION), timedelta(minutes=1)
    await _partner(connection, PARTNER, "Sensorhaus GmbH", count, turn=0)
    for number in range(others):
        size = min(60, 3 + int(chance.expovariate(1 / 18)))
        partner_id = data.uuid7(data.START + step * number, chance)
        await _partner(connection, partner_id, f"Partner {number:04}", size, turn=number)
    await connection.execute("SET maintenance_work_mem = '512MB'")
    for index in indexes:
        await connection.execute(index["indexdef"])
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")


async def _people(connection: Any) -> None:
    """The partner's admin, who asks for all of it, with a session that lasts."""
    email = "petra.sommer@example.com"
    user = User(email=email, email_key=words.email_key(email), name="Petra Sommer", name_search="petra sommer",
                password_hash="none")  # fmt: skip
    user.id = USER
    session = Session(
        user_id=USER, expires_at=utc_now() + timedelta(days=3650), network="127.0.0.1", user_agent="bench"
    )
    session.id = SESSION
    await _copy(connection, "users", [_row(user)])
    await _copy(connection, "sessions", [_row(session)])


async def _partner(connection: Any, partner_id: UUID, name: str, count: int, *, turn: int) -> None:
    """A partner with its columns and accounts. The columns' order, and so their slots, differ between partners."""
    partner = Partner(name=name, name_search=words.search_key(name), properties_version=len(data.DEFINITIONS))
    partner.id = partner_id
    await _copy(connection, "partners", [_row(partner)])
    rows = properties(partner_id, turn=turn)
    await _copy(connection, "properties", [_row(r) for r in rows])
    if partner_id == PARTNER:
        member = PartnerMember(partner_id=PARTNER, user_id=USER, role=Role.PARTNER_ADMIN)
        await _copy(connection, "partner_members", [_row(member)])
    found = columns.Columns(0, tuple(columns.definition(r) for r in rows))
    for batch in _batches(data.accounts(count, seed=str(partner_id))):
        await _copy(connection, "accounts", [account_row(found, partner_id, made) for made in batch])


def properties(partner_id: UUID, *, turn: int = 0) -> list[Property]:
    """The definitions as `services.properties.create` would have made them, one after the other."""
    at = turn % len(data.DEFINITIONS)
    free = {"text": list(TEXT_SLOTS), "number": list(NUMBER_SLOTS)}
    found: list[Property] = []
    for position, document in enumerate(data.DEFINITIONS[at:] + data.DEFINITIONS[:at], 1):
        checked = CREATES[document["type"]].model_validate(document)
        row = Property(partner_id=partner_id, position=position, **definitions.row_values(checked.model_dump()))
        kind = values.KINDS[row.type].slots
        row.slot = free[kind].pop(0) if kind and row.filterable else None
        found.append(row)
    return found


def account_row(found: columns.Columns, partner_id: UUID, made: data.Made) -> dict[str, Any]:
    """All columns of an account's row: what follows from its name and values comes from the application's functions."""
    name_search = words.search_key(made.name)
    return {
        "partner_id": partner_id, "id": made.id, "name": made.name, "name_key": words.name_key(made.name),
        "name_search": name_search, "status": made.status, "properties": made.properties,
        "created_at": made.created_at, "updated_at": made.updated_at, "version": 1,
        **found.projected(name_search, made.properties),
    }  # fmt: skip


def _batches(made: Iterable[data.Made]) -> Iterator[list[data.Made]]:
    batch: list[data.Made] = []
    for account in made:
        batch.append(account)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


def _row(row: Any) -> dict[str, Any]:
    """A row as the session would insert it."""
    found = {c.key: getattr(row, c.key) for c in row.__mapper__.column_attrs}
    return found | ({"version": 1} if "version" in found else {})


async def _copy(connection: Any, table: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        names = list(rows[0])
        records = [[_plain(row[name]) for name in names] for row in rows]
        await connection.copy_records_to_table(table, records=records, columns=names)


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
