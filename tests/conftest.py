"""The world in which tests act: a real PostgreSQL, the real app over HTTP, real tokens, real commits."""

import asyncio
import gc
import os
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import structlog
import uvloop
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import security
from app.config import Settings
from app.db import Sessions, unit_of_work
from app.localpg import BRIEF, LocalPg
from app.main import create_app
from app.models import PLATFORM, Account, Event, Partner, PartnerMember, User, new_id, utc_now
from app.policy import Access, Caller, Request, Role
from app.post import Mailbox
from app.problems import KINDS
from app.services import accounts, partners, sessions, users
from app.services import members as memberships
from app.tenancy import confine
from app.worker import Worker
from tests import promises
from tests.databases import Databases, Server

# Tracebacks of provoked failures without the values of locals: rendering those takes seconds.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

ROOT = Path(__file__).parent.parent
PASSWORD = "a staple of correct horses"
SECRET = "test-" * 10
PROMISES: Any = {"response": [promises.kept]}
"""Every answer is checked by the contract."""


@cache
def password_hash() -> str:
    return security._hasher.hash(PASSWORD)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: at the end, nobody waits for one that began late."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What is loaded by now stays, as in `app.main.serve`: looking through it again and again takes an eighth of the time."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories() -> dict[str, Any]:
    """The loop in which uvicorn runs the service, so that tests run in it, too."""
    return {"uvloop": uvloop.new_event_loop}


# --- databases ---


@pytest.fixture(scope="session")
def server() -> Generator[Server]:
    """TENANTRY_TEST_DATABASE_URL (a login that may create databases and roles), else the embedded PostgreSQL."""
    configured = os.environ.get("TENANTRY_TEST_DATABASE_URL")
    if configured:
        yield Server(configured.replace("postgresql://", "postgresql+asyncpg://"))
        return
    with LocalPg(ROOT / ".data" / "test-postgres", keeping=BRIEF) as local:
        yield Server(local.url("postgres"))


@pytest.fixture(scope="session")
def databases(server: Server) -> Generator[Databases]:
    found = asyncio.run(Databases.on(server))
    yield found
    asyncio.run(found.drop_all())


@pytest.fixture
async def database(request: pytest.FixtureRequest, databases: Databases) -> AsyncGenerator[str]:
    """The name of a migrated database that is empty, and the test's own while it runs.

    It is new, and nobody's afterwards, for those that run processes or have their hands on the server: they might leave
    somebody behind who still writes, or something that emptying does not undo.
    """
    rough = request.node.get_closest_marker("slow") or "server" in signature(request.function).parameters
    name = await (databases.new() if rough else databases.empty())
    yield name
    await (databases.drop(name) if rough else databases.hand_on(name))


class Owner:
    """Reads and writes past the walls, as the owner of the tables: to check what is true, and to move time.

    One statement at a time, however many tasks of a test have one.
    """

    def __init__(self, connection: Any) -> None:
        self._connection, self._free = connection, asyncio.Lock()

    async def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        async with self._free:
            return [dict(row) for row in await self._connection.fetch(query, *values)]

    async def value(self, query: str, *values: object) -> Any:
        async with self._free:
            return await self._connection.fetchval(query, *values)

    async def execute(self, statement: str, *values: object) -> None:
        async with self._free:
            await self._connection.execute(statement, *values)

    def transaction(self) -> Any:
        """Context in which all of this owner's statements are one transaction."""
        return self._connection.transaction()


@pytest.fixture
async def owner(server: Server, database: str) -> AsyncGenerator[Owner]:
    """The owner of the test's database."""
    address = server.url(database, owner=True).replace("+asyncpg", "")
    connection = await asyncpg.connect(address)  # pyright: ignore[reportUnknownVariableType] - it has no types
    yield Owner(connection)
    await connection.close()


@pytest.fixture
def settings(server: Server, database: str, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        database_url=SecretStr(server.url(database)),
        owner_database_url=SecretStr(server.url(database, owner=True)),
        data_dir=tmp_path / "data",
        secret_key=SecretStr(SECRET),
        embedded_worker=False,
        pool_size=8,
        rate_per_minute=1_000_000,
        rate_of_address_per_minute=1_000_000,
        event_stream_seconds=0.3,
    )


@pytest.fixture
async def world(settings: Settings) -> AsyncGenerator["World"]:
    async with running(settings) as world:
        yield world


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator["World"]:
    """A world whose app has started with these settings."""
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        yield World(app, stack)


# --- the world ---


@dataclass
class World:
    """Builds the state that a test starts from, and clients that act in it."""

    app: FastAPI
    stack: AsyncExitStack
    people: dict[str, User] = field(default_factory=dict[str, User])

    @property
    def settings(self) -> Settings:
        return self.app.state.settings

    @property
    def begin(self) -> Sessions:
        return self.app.state.sessions

    # who there is

    async def user(self, name: str, *, operator: bool = False, language: str = "en") -> User:
        """The person of this name, made on first use: `Anna` is anna@example.com. The password is PASSWORD."""
        if name not in self.people:
            async with self.transaction(PLATFORM) as db:
                self.people[name] = await users.create(
                    db, email=f"{name.lower()}@example.com", name=name, password_hash=password_hash(), language=language,
                    operator=operator,
                )  # fmt: skip
        return self.people[name]

    async def partner(self, name: str = "Acme", *, language: str = "en", **members: Role) -> Partner:
        """A partner with members: `world.partner(Anna=Role.PARTNER_ADMIN)`."""
        crew = [(await self.user(who), role) for who, role in members.items()]
        partner_id = new_id()
        access = Access(Caller(crew[0][0].id if crew else PLATFORM, PLATFORM), partner_id, frozenset({Role.OPERATOR}))
        async with self.transaction(partner_id) as db:
            partner = await partners.create(db, access, name=name, partner_management_enabled=True, language=language)
            db.add_all(PartnerMember(partner_id=partner_id, user_id=user.id, role=role) for user, role in crew)
        return partner

    async def account(self, partner: Partner, name: str = "Nordwerk GmbH", *, by: str, **members: Role) -> Account:
        """An account, created by `by` (who becomes its admin), with further members."""
        creator = await self.user(by)
        crew = [(await self.user(who), role) for who, role in members.items()]
        access = Access(Caller(creator.id, PLATFORM), partner.id, frozenset({Role.PARTNER_ADMIN}))
        async with self.transaction(partner.id) as db:
            account = await accounts.create(db, access, name=name)
            for user, role in crew:
                await join(db, account, user.id, role)
        return account

    # who acts

    async def token(self, name: str, *, operator: bool = False) -> str:
        """An access token of a session of its own."""
        user = await self.user(name, operator=operator)
        attempt = sessions.Attempt(user.id, user.password_hash, [])
        async with self.transaction(PLATFORM) as db:
            opened = await sessions.log_in(db, self.app.state.keys, attempt, Request("test", "127.0.0.1"), code=None,
                                           days=30, user_agent="tests")  # fmt: skip
        return self.app.state.tokens.issue(user.id, opened.session.id, utc_now())

    async def client(self, name: str | None = None, *, operator: bool = False, token: str | None = None) -> AsyncClient:
        """A client that is signed in as this person (or sends this token, or is anonymous)."""
        if name is not None:
            token = await self.token(name, operator=operator)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = ASGITransport(self.app, raise_app_exceptions=False)
        client = AsyncClient(transport=transport, base_url="http://localhost", headers=headers, event_hooks=PROMISES)
        return await self.stack.enter_async_context(client)

    # what is true

    @asynccontextmanager
    async def transaction(self, tenant: uuid.UUID | str) -> AsyncGenerator[AsyncSession]:
        async with unit_of_work(self.begin) as db:
            await confine(db, tenant)
            yield db

    async def events(self, partner_id: uuid.UUID) -> list[Event]:
        """The change log of a partner (or of PLATFORM), oldest first."""
        async with self.transaction(partner_id) as db:
            return list(await db.scalars(select(Event).order_by(Event.id)))

    # mail

    @property
    def mailbox(self) -> Mailbox:
        return Mailbox(self.settings.data_dir / "mailbox")

    def worker(self) -> Worker:
        return Worker(self.begin, self.app.state.keys, self.settings, self.mailbox)

    async def mails(self) -> list[EmailMessage]:
        """Send what is due; all mails so far, newest first."""
        await self.worker().mail_all()
        found = [self.mailbox.read(kept.id) for kept in self.mailbox.listed()]
        return [mail for mail in found if mail is not None]


async def join(db: AsyncSession, account: Account, user_id: uuid.UUID, role: Role) -> None:
    """Make somebody a member of an account, without an invitation."""
    access = Access(Caller(user_id, PLATFORM), account.partner_id, frozenset({role}), account.id)
    await memberships.add(db, access, user_id=user_id, role=role)


MISCOUNTED = """
    SELECT a.id, a.member_count, count(m.id) AS members FROM accounts a
      LEFT JOIN account_members m ON m.partner_id = a.partner_id AND m.account_id = a.id
     GROUP BY a.partner_id, a.id HAVING a.member_count <> count(m.id)
"""
"""Accounts of any partner that do not have as many members as they say: never one."""


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def link_of(mail: EmailMessage) -> str:
    """The link in a mail's text."""
    return next(word for word in text_of(mail).split() if word.startswith("http"))


def token_of(mail: EmailMessage) -> str:
    """The token in the fragment of a mail's link."""
    return urlsplit(link_of(mail)).fragment.removeprefix("token=")


def problem(answer: Any) -> tuple[int, str]:
    """Status and code of an answer that must be a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert set(body) >= {"type", "title", "status", "code", "detail", "request_id", "errors"}
    assert set(body) == set(KINDS[body["code"]].shape.model_fields)
    assert (body["status"], body["request_id"]) == (answer.status_code, answer.headers["x-request-id"])
    return answer.status_code, body["code"]
