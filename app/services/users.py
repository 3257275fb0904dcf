"""People: global, known by their e-mail address."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, select
from sqlalchemy import update as change
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import PLATFORM, User
from app.policy import Caller, Request
from app.problems import LogInRequired, NotFound
from app.services import events

MEMBERSHIPS = ("partner_id", "partner_name", "partner_status", "partner_management_enabled", "account_id",
               "account_name", "account_status", "role")  # fmt: skip


MOST_MEMBERSHIPS = 10_000


@dataclass(frozen=True)
class MeView:
    """A user with all memberships."""

    user: User
    memberships: Sequence[Any]

    @property
    def etag(self) -> str:
        """Changes with the user and with any membership."""
        shown = orjson.dumps([self.user.totp_enabled_at is not None, *([str(v) for v in m] for m in self.memberships)])
        return f"{self.user.id.hex[-4:]}-{self.user.version}-{hashlib.blake2b(shown, digest_size=6).hexdigest()}"


async def create(db: AsyncSession, *, email: str, name: str, password_hash: str, language: str, operator: bool = False,
                 invited_into: UUID | None = None, request: Request | None = None) -> User:  # fmt: skip
    """A new user, who made the `request` themselves. The session must be confined to `PLATFORM`, whose stream
    tells of users.

    Raises:
        LogInRequired: the address has a user already.
    """
    user = User(email=email, email_key=words.email_key(email), name=name, name_search=words.search_key(name),
                password_hash=password_hash, language=language, operator=operator)  # fmt: skip
    try:
        async with db.begin_nested():
            db.add(user)
    except IntegrityError as error:
        if "uq_users_email_key" not in str(error.orig):
            raise
        raise LogInRequired from None
    after = events.facts(user) | {"invited_into": invited_into}
    if request is None:
        events.record_system(db, PLATFORM, "user.created", user, after=after)
    else:
        events.record_own(db, request.by(user.id), "user.created", user, after=after)
    return user


async def set_secrets(db: AsyncSession, user: User, **values: Any) -> None:
    """Change what signs a user in. Nobody is shown it, so the row's version (and every ETag made of it) stays."""
    await db.execute(change(User).where(User.id == user.id).values(**values))


async def get(db: AsyncSession, user_id: UUID, *, lock: bool = False) -> User:
    """The user; with `lock`, what signs them in stays as it is until this transaction ends."""
    user = await db.get(User, user_id, with_for_update={"key_share": True} if lock else None)
    if user is None:
        raise NotFound
    return user


async def by_email(db: AsyncSession, email: str) -> User | None:
    """The user of an address, however it is written; None also for what is no address."""
    return await db.scalar(select(User).where(User.email_key == key_of(email)))


def key_of(email: str) -> str:
    """The key of an address, or of whatever somebody typed instead of one (which no user has)."""
    try:
        return words.email_key(email)
    except ValueError:
        return email.strip().lower()


async def me(db: AsyncSession, caller: Caller) -> MeView:
    """The caller, with partners and accounts over all tenants (one audited function of the database reads them)."""
    found = func.memberships_of(caller.user_id).table_valued(*MEMBERSHIPS)
    order = (found.c.account_id.is_not(None), found.c.partner_name, found.c.account_name, found.c.account_id)
    memberships = (await db.execute(select(found).order_by(*order).limit(MOST_MEMBERSHIPS))).all()
    return MeView(await get(db, caller.user_id), memberships)


async def update(db: AsyncSession, caller: Caller, user: User, values: dict[str, Any]) -> None:
    """Change the caller's own name, language or wishes."""
    if "name" in values:
        values = values | {"name_search": words.search_key(values["name"])}
    before, after = events.changed(user, values)
    await db.flush()
    if after:
        events.record_own(db, caller, "user.updated", user, before=before, after=after)
