"""The parts of which a process of the service is made, by its settings: database, keys, and the way to the mail."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from app import security
from app.config import Settings
from app.db import APP_ROLE
from app.localpg import LocalPg
from app.post import Mailbox, Smtp, Transport


@asynccontextmanager
async def alongside(work: Any) -> AsyncGenerator[None]:
    """Work that goes on while this is open."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def database(settings: Settings) -> AsyncGenerator[tuple[str, str | None]]:
    """Address and role under which the application works; the embedded server runs while this is open."""
    if settings.database_url is not None:
        role = None if settings.owner_database_url else APP_ROLE
        yield settings.database_url.get_secret_value(), role
        return
    server = embedded(settings)
    await asyncio.to_thread(server.acquire)
    try:
        async with alongside(server.watch()):
            yield server.url(user=APP_ROLE), None
    finally:
        await asyncio.to_thread(server.release)


def embedded(settings: Settings) -> LocalPg:
    return LocalPg(settings.data_dir / "postgres", bin_dir=settings.pg_bin)


def load_keys(settings: Settings) -> security.Keys:
    """The configured keys, or those under the data directory, made on first use."""
    folder = settings.data_dir / "keys"
    pems = [Path(f).read_bytes() for f in settings.signing_keys] or [
        security.kept_secret(folder / "signing.pem", security.new_signing_key())
    ]
    given = settings.secret_key
    secret = given.get_secret_value().encode() if given else security.kept_secret(folder / "secret")
    return security.load_keys(pems, secret)


def mailbox_of(settings: Settings) -> Mailbox | None:
    """The development mailbox; None in production, or when there is a mail server."""
    return Mailbox(settings.data_dir / "mailbox") if settings.development and settings.smtp_url is None else None


def transport_of(settings: Settings) -> Transport:
    mailbox = mailbox_of(settings)
    if mailbox is not None:
        return mailbox
    if settings.smtp_url is None:
        raise ValueError("SMTP_URL is missing")
    return Smtp(settings.smtp_url.get_secret_value())
