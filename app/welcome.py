"""The first ten minutes: an operator to log in with, and what to do next."""

import json
import secrets
import threading
import time
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from app import security, words
from app.config import Settings
from app.db import connect, unit_of_work
from app.models import PLATFORM
from app.operate import Refused
from app.parts import database
from app.problems import LogInRequired
from app.services import users
from app.tenancy import confine

OPERATOR = "operator@example.com"
SECONDS = 30


@dataclass(frozen=True)
class LogIn:
    """What to log in with; `changed` when the password is no longer the one we made."""

    email: str
    password: str
    changed: bool


@asynccontextmanager
async def one_session(settings: Settings) -> AsyncGenerator[AsyncSession]:
    """A transaction of the application's role, for a command at the shell."""
    async with database(settings) as (url, role):
        engine, sessions = connect(url, role=role, pool_size=1)
        try:
            async with unit_of_work(sessions) as db:
                yield db
        finally:
            await engine.dispose()


async def create_operator(settings: Settings, *, email: str, name: str, password: str) -> None:
    """Raises:
    Refused: no address, a bad password, or the address has a user.
    """
    try:
        address = words.email(email)
    except ValueError:
        raise Refused("that is not an e-mail address") from None
    context = ["tenantry", address.partition("@")[0], *name.split()]
    fault = security.password_fault(password, min_length=settings.password_min_length, context=context)
    if fault:
        raise Refused(f"password: {fault.detail.en}")
    hashed = await security.hash_password(password)
    try:
        async with one_session(settings) as db:
            await confine(db, PLATFORM)
            await users.create(
                db, email=address, name=words.clean(name), password_hash=hashed, language="en", operator=True
            )
    except LogInRequired:
        raise Refused("this address has a user already") from None


async def ready_operator(settings: Settings) -> LogIn:
    """Development's own operator: made once, with a password that only this data directory knows."""
    password = security.kept_secret(
        settings.data_dir / "keys" / "operator-password", secrets.token_urlsafe(15).encode()
    ).decode()
    async with one_session(settings) as db:
        found = await users.by_email(db, OPERATOR)
        stored = found.password_hash if found else None
    if stored is None:
        await create_operator(settings, email=OPERATOR, name="Olivia Operator", password=password)
        return LogIn(OPERATOR, password, changed=False)
    return LogIn(OPERATOR, password, changed=not await security.verify_password(password, stored))


def announce(settings: Settings, log_in: LogIn) -> None:
    """Print where to go, once the server answers."""
    threading.Thread(target=_announce, args=(settings, log_in), daemon=True).start()


def _announce(settings: Settings, log_in: LogIn) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    give_up = time.monotonic() + SECONDS
    while time.monotonic() < give_up:
        with suppress(OSError), urllib.request.urlopen(f"http://{host}:{settings.port}/health/live", timeout=1):
            typer.echo(_text(settings, log_in))
            return
        time.sleep(0.05)


def _text(settings: Settings, log_in: LogIn) -> str:
    body = json.dumps({"email": log_in.email, "password": "<password>" if log_in.changed else log_in.password})
    mailbox = f"  Mailbox   {settings.url}/dev/mail\n" if settings.smtp_url is None else ""
    password = "(you changed it)" if log_in.changed else log_in.password
    return (
        f"\nTenantry serves on {settings.url}\n\n"
        f"  Operator  {log_in.email}  {password}\n"
        f"  Docs      {settings.url}/docs\n{mailbox}"
        f"  Log in    curl -s {settings.url}/v1/sessions -H 'Content-Type: application/json' -d '{body}'\n\n"
        "Ctrl-C stops it, the database included.\n"
    )
