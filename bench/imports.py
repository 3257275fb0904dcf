"""Imports a generated file of accounts, and says how fast that goes and how much memory it takes.

    .venv/bin/python -m bench.imports [rows]

The file has ten properties of mixed types, of which some 15 % are empty. It is uploaded over HTTP to the real
application with an embedded PostgreSQL of its own; a worker in this process checks it and imports it. Then the database
writes the same rows once more by itself: an import over one connection can hardly be faster.
"""

import asyncio
import csv
import gc
import io
import random
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psutil
from httpx import ASGITransport, AsyncClient
from sqlalchemy import inspect

from app.config import Settings
from app.db import unit_of_work
from app.main import create_app
from app.models import PLATFORM, Account, AccountMember, Event, PartnerMember, UniqueValue, utc_now
from app.operate import migrate_up
from app.policy import Access, Caller, Request, Role
from app.post import Mailbox
from app.services import partners, sessions, users
from app.tenancy import confine
from app.worker import Worker

CITIES = ("Hamburg", "Berlin", "München", "Köln", "Leeds", "Bristol", "Zürich", "Wien", "Graz", "Düsseldorf")
KINDS = ("GmbH", "AG", "KG", "eG", "Ltd", "plc", "GmbH & Co. KG")
WORDS = ("Nord", "Süd", "Kälte", "Sensor", "Wasser", "Hydro", "Agrar", "Blue", "River", "Stahl", "Licht", "Data")
OPTIONS = ("small", "medium", "large", "key_account")
PROPERTIES: list[dict[str, Any]] = [
    {"key": "customer_number", "type": "text", "unique": True},
    {"key": "city", "type": "text"},
    {"key": "revenue", "type": "number", "min": 0},
    {"key": "contract_value", "type": "money", "currency": "EUR"},
    {"key": "contract_end", "type": "date"},
    {"key": "premium", "type": "boolean"},
    {"key": "size", "type": "select", "options": [{"key": k, "label": {"en": k.title()}} for k in OPTIONS]},
    {"key": "contact", "type": "email"},
    {"key": "phone", "type": "phone"},
    {"key": "website", "type": "url"},
]


def rows_of(count: int) -> Any:
    chance = random.Random(7)
    first = date(2026, 1, 1)
    for n in range(count):
        city = chance.choice(CITIES)
        name = f"{chance.choice(WORDS)}{chance.choice(WORDS).lower()} {city} {n} {chance.choice(KINDS)}"
        values = [
            f"K-{n:06}", city, f"{chance.uniform(0, 1e6):.2f}", f"{chance.uniform(10, 1e5):.2f} EUR",
            (first + timedelta(days=chance.randrange(1500))).isoformat(), chance.choice(("true", "false")),
            chance.choices(OPTIONS, (50, 30, 15, 5))[0], f"info{n}@customer{n}.example.com",
            f"+4940{chance.randrange(10**6, 10**7)}", f"https://customer{n}.example.com/",
        ]  # fmt: skip
        yield [name, *(v if chance.random() > 0.15 else "" for v in values)]


def file_of(count: int) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", *(p["key"] for p in PROPERTIES)])
    writer.writerows(rows_of(count))
    return text.getvalue().encode()


async def measure(count: int, folder: Path) -> None:
    settings = Settings(_env_file=None, data_dir=folder, embedded_worker=False, log_level="warning")  # pyright: ignore[reportCallIssue]
    await migrate_up(settings)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        partner_id, token = await scene(app)
        headers = {"Authorization": f"Bearer {token}"}
        async with AsyncClient(
            transport=ASGITransport(app), base_url="http://localhost", headers=headers, timeout=600
        ) as api:
            await run(app, api, f"/v1/partners/{partner_id}", count)
        rate = await database_alone(app, partner_id, count)
        print(f"database alone: {rate:,.0f} rows/s")


async def scene(app: Any) -> tuple[Any, str]:
    """A partner with an admin who is signed in."""
    begin = app.state.sessions
    async with unit_of_work(begin) as db:
        await confine(db, PLATFORM)
        user = await users.create(db, email="a@example.com", name="A", password_hash="x", language="en", operator=True)
        opened = await sessions.log_in(
            db, app.state.keys, sessions.Attempt(user.id, user.password_hash, []), Request("bench", None), code=None,
            days=1, user_agent="bench",
        )  # fmt: skip
    access = Access(Caller(user.id, PLATFORM), partner_id := user.id, frozenset({Role.OPERATOR}))
    async with unit_of_work(begin) as db:
        await confine(db, partner_id)
        await partners.create(db, access, name="Bench", partner_management_enabled=True, language="en")
        db.add(PartnerMember(partner_id=partner_id, user_id=user.id, role=Role.PARTNER_ADMIN))
    return partner_id, app.state.tokens.issue(user.id, opened.session.id, utc_now())


async def run(app: Any, api: AsyncClient, path: str, count: int) -> None:
    for definition in PROPERTIES:
        answer = await api.post(f"{path}/properties", json=definition | {"label": {"en": definition["key"].title()}})
        assert answer.status_code == 201, answer.text
    worker = Worker(
        app.state.sessions, app.state.keys, app.state.settings, Mailbox(app.state.settings.data_dir / "mail")
    )
    await worker.refresh_all()
    warm = await checked(api, worker, path, file_of(2_000))  # compiled statements, caches, imports
    await finished(api, worker, warm, 2_000)
    content = file_of(count)
    gc.freeze()  # as server and worker do when they have started
    print(f"{count:,} rows, {len(PROPERTIES)} properties, {len(content) / 1e6:.1f} MB")
    answer = await api.post(f"{path}/account-imports", files={"file": ("bench.csv", content)}, data={"match": "name"})
    assert answer.status_code == 201, answer.text
    del content
    process, before = psutil.Process(), psutil.Process().memory_info().rss
    peak = asyncio.create_task(watch(process))
    here = f"{path}/account-imports/{answer.json()['id']}"
    for what in ("dry run", "import"):
        if what == "import":
            assert (await api.post(f"{here}/confirm")).status_code == 200
        start, cpu, server = time.perf_counter(), of_process(process), of_database(app)
        await worker.import_all()
        seconds, cpu, server = time.perf_counter() - start, of_process(process) - cpu, of_database(app) - server
        print(
            f"{what}: {count / seconds:,.0f} rows/s ({seconds:.1f} s; CPU: {cpu:.1f} s here, {server:.1f} s in the "
            f"database; load of the machine {psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores)"
        )
    found = (await api.get(here)).json()
    assert (found["status"], found["result"]["errors"]) == ("done", 0), found
    peak.cancel()
    print(f"memory: {before / 1e6:.0f} MB before, at most {(HIGHEST[0] - before) / 1e6:+.0f} MB while it ran")


COPIED: Final[tuple[tuple[Any, str, dict[str, str]], ...]] = (
    (Account, "id", {"id": "new", "name_key": "name_key || '+'", "name_search": "name_search || '+'"}),
    (AccountMember, "account_id", {"id": "uuidv7()", "account_id": "new"}),
    (Event, "account_id", {"id": "uuidv7()", "account_id": "new", "position": "NULL", "hash": "NULL"}),
    (UniqueValue, "account_id", {"digest": "sha256(digest)", "account_id": "new"}),
)
"""What an import has written: by what it belongs to an account, and what a copy of it has of its own."""


AGAIN: Final = """
    CREATE TEMP TABLE again AS
        SELECT id, uuidv7() AS new, (row_number() OVER (ORDER BY id) - 1) / 1000 AS batch FROM accounts
         WHERE partner_id = current_setting('app.partner_id')::uuid
"""


async def database_alone(app: Any, partner_id: UUID, count: int) -> float:
    """Rows a second, when all that an import has written is copied by statements that bring no values: by the
    application's role, a thousand accounts a transaction.
    """
    async with app.state.engine.connect() as connection:
        line = (await connection.get_raw_connection()).driver_connection
        await line.execute(f"SET app.partner_id = '{partner_id}'")
        await line.execute(AGAIN)
        copying = [await _copying(line, *how) for how in COPIED]
        start = time.perf_counter()
        for batch in range(batches := max(1, count // 1_000)):
            async with line.transaction():
                for statement in copying:
                    await line.execute(statement, batch)
        return 1_000 * batches / (time.perf_counter() - start)


async def _copying(line: Any, model: Any, key: str, own: dict[str, str]) -> str:
    """A statement that copies a batch, out of a table on the side where all is found at once."""
    name = model.__tablename__
    values = {f'"{c.name}"': own.get(c.name, f'"{c.name}"') for c in inspect(model).local_table.columns}
    await line.execute(
        f"CREATE TEMP TABLE old_{name} AS SELECT t.*, a.new, a.batch FROM {name} t JOIN again a ON a.id = t.{key}"
    )
    await line.execute(f"CREATE INDEX ON old_{name} (batch); ANALYZE old_{name}")
    return (
        f"INSERT INTO {name} ({', '.join(values)}) SELECT {', '.join(values.values())} FROM old_{name} WHERE batch = $1"
    )


async def checked(api: AsyncClient, worker: Worker, path: str, content: bytes) -> str:
    content = content.replace(b"customer", b"warm").replace(b"K-", b"W-").replace(b" GmbH", b" warm")
    content = content.replace(b"warm_number", b"customer_number").replace(b"\r\n", b"\r\nW", content.count(b"\r\n") - 1)
    answer = await api.post(f"{path}/account-imports", files={"file": ("warm.csv", content)}, data={"match": "name"})
    await worker.import_all()
    return f"{path}/account-imports/{answer.json()['id']}"


async def finished(api: AsyncClient, worker: Worker, here: str, count: int) -> None:
    answer = await api.post(f"{here}/confirm")
    assert answer.status_code == 200, (
        (await api.get(here)).json(),
        (await api.get(f"{here}/errors")).json()["items"][:3],
    )
    await worker.import_all()
    assert (await api.get(here)).json()["result"]["created"] == count


def of_process(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def of_database(app: Any) -> float:
    """CPU seconds of the backends that this process is connected to."""
    folder, found = str(app.state.settings.data_dir), 0.0
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and process.cwd().startswith(folder):
                found += of_process(process)
        except psutil.Error:
            continue
    return found


HIGHEST = [0]


async def watch(process: psutil.Process) -> None:
    while True:
        HIGHEST[0] = max(HIGHEST[0], process.memory_info().rss)
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as home:
        asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, Path(home)))
