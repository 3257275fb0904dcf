"""What an operator of the service does at a shell for a person: give out what is kept about them, and erase it."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app import operate
from app.config import Settings
from app.db import Sessions, connect, unit_of_work
from app.models import PLATFORM, User, utc_now
from app.parts import load_keys
from app.problems import LastAdmin, Problem, StillLastAdmin
from app.services import data_exports, erasures, people, users
from app.services.holdings import Person
from app.tenancy import confine


@asynccontextmanager
async def _as_owner(settings: Settings) -> AsyncGenerator[Sessions]:
    """Transactions of the tables' owner, which are confined to partners in code as those of the service are."""
    async with operate.owner_url(settings) as url:
        engine, sessions = connect(url, pool_size=1)
        try:
            yield sessions
        finally:
            await engine.dispose()


async def export_person(settings: Settings, email: str, target: Path | None) -> None:
    """Write all that is kept about the user of an address, as `POST /v1/me/data-exports` does: into a new file that
    only its owner may read, or to standard output.
    """
    async with _as_owner(settings) as sessions:
        async with unit_of_work(sessions) as db:
            person = await people.of(db, (await _user(db, email)).id)
        with _opened(target) as out:
            await _write(sessions, person, out)


def _opened(target: Path | None) -> BinaryIO:
    if target is None:
        return os.fdopen(os.dup(1), "wb")
    return os.fdopen(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


async def _write(sessions: Sessions, person: Person, out: BinaryIO) -> None:
    out.write(data_exports.beginning(person.id, utc_now()))
    place: people.Place | None = people.Place()
    first = True
    while place is not None:
        async with unit_of_work(sessions) as db:
            found, place = await people.step(db, person, place)
        out.write(data_exports.written(found, first=first))
        first = first and not found
    out.write(data_exports.END)


async def erase_person(settings: Settings, email: str) -> UUID:
    """Erase the user of an address, and see it through; their id, which is a pseudonym from now on."""
    secret = load_keys(settings).derived("throttles")
    async with _as_owner(settings) as sessions:
        async with unit_of_work(sessions) as db:
            await confine(db, PLATFORM)
            user = await users.get(db, (await _user(db, email)).id, lock=True)
            try:
                await erasures.ask(db, user, None)
            except (StillLastAdmin, LastAdmin) as problem:
                raise operate.Refused(_needed(problem)) from None
        while True:
            async with unit_of_work(sessions) as db:
                if not await erasures.step(db, secret, user.id):
                    return user.id


def _needed(problem: Problem) -> str:
    places = [p["account_name"] or p["partner_name"] for p in problem.members.get("admin_of", ())]
    return f"the last admin must stay: {', '.join(places) or 'there is no other operator'}"


async def _user(db: AsyncSession, email: str) -> User:
    user = await users.by_email(db, email)
    if user is None:
        raise operate.Refused("no user has this address")
    return user
