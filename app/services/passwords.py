"""Passwords: changing one's own, and setting a new one by mail."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import networks, security
from app.models import PLATFORM, PasswordReset, User, utc_now
from app.policy import Caller, Request
from app.problems import Invalid, NotFound, ResetExpired, ResetUsed, TooManyAttempts, WrongCredentials
from app.services import events, mail, sessions, throttles, users

PREFIX = "tnp"
PAUSE: Final = timedelta(minutes=1)


def check(password: str, *, min_length: int, context: list[str]) -> None:
    """Raises:
    Invalid: too short, too long, or too easy to guess.
    """
    fault = security.password_fault(password, min_length=min_length, context=[c.casefold() for c in context])
    if fault:
        raise Invalid(errors=[fault])


def about(user: User) -> list[str]:
    """What a password must not be built of."""
    return ["tenantry", user.email.partition("@")[0], *user.name.split()]


async def change(db: AsyncSession, caller: Caller, user: User, *, old_hash: str, new_hash: str) -> None:
    """Set the caller's new password, after the old one was found right; all other sessions end.

    Raises:
        WrongCredentials: the password was changed meanwhile.
    """
    if user.password_hash != old_hash:
        raise WrongCredentials
    await _set(db, user, new_hash)
    await sessions.end_all(db, caller, "password_changed", but=caller.session_id)
    events.record_own(db, caller, "user.password_changed", user)
    mail.enqueue(db, PLATFORM, "password_changed", subject_id=user.id)


async def ask_reset(db: AsyncSession, secret: bytes, *, email: str, address: str | None, free: int) -> None:
    """Have a link mailed, if the address has a user. Whether it has is found out later, by the worker:
    so the answer, and the time it takes, is the same for every address. No address gets a flood of mails:
    after the first few, each must wait, and what is asked for meanwhile is dropped without a word.

    Raises:
        TooManyAttempts: this network asks for too many addresses.
    """
    now = utc_now()
    network, day = networks.around(address), now.date().isoformat()
    await throttles.count(db, throttles.key(secret, "resets from", network, day), now, free=free * 10)
    try:
        await throttles.count(db, throttles.key(secret, "resets of", users.key_of(email)), now, free=free)
    except TooManyAttempts:
        return
    mail.enqueue(db, PLATFORM, "password_reset", email=users.key_of(email))


async def open_reset(db: AsyncSession, keys: security.Keys, delivery_id: UUID, user: User, *, minutes: int) -> str:
    """The token for the mail of a delivery: the same however often it is written."""
    token = security.derived_token(keys, PREFIX, [delivery_id], 1)
    if await db.get(PasswordReset, delivery_id) is None:
        db.add(PasswordReset(id=delivery_id, user_id=user.id, token_hash=security.digest(token),
                             expires_at=utc_now() + timedelta(minutes=minutes)))  # fmt: skip
        events.record_system(db, PLATFORM, "user.password_reset_opened", user)
        await db.flush()
    return token


async def was_just_mailed(db: AsyncSession, user: User, *, minutes: int) -> bool:
    """Whether a link went out in the last minute: who asks again and again fills nobody's mailbox."""
    opened_before = utc_now() + timedelta(minutes=minutes) - PAUSE
    found = select(PasswordReset.id).where(PasswordReset.user_id == user.id, PasswordReset.expires_at > opened_before)
    return await db.scalar(found.limit(1)) is not None


async def purge(db: AsyncSession, now: datetime) -> None:
    """Forget links a day after their time was over."""
    await db.execute(delete(PasswordReset).where(PasswordReset.expires_at < now - timedelta(days=1)))


async def find_reset(db: AsyncSession, token: str, *, lock: bool = False) -> tuple[PasswordReset, User]:
    """The reset that a token is for, and whose it is.

    Raises:
        NotFound: none of ours. ResetUsed, ResetExpired: too late.
    """
    ids = security.ids_in(token, PREFIX, 1)
    reset = await db.get(PasswordReset, ids[0], with_for_update=lock) if ids else None
    if reset is None or not security.matches(token, reset.token_hash):
        raise NotFound
    if reset.used_at is not None:
        raise ResetUsed
    if reset.expires_at <= utc_now():
        raise ResetExpired
    return reset, await users.get(db, reset.user_id, lock=lock)


async def reset(db: AsyncSession, token: str, request: Request, *, new_hash: str) -> None:
    """Set a new password with the token of a mail; all sessions end. The second factor stays on."""
    _, user = await find_reset(db, token, lock=True)
    await _set(db, user, new_hash)
    await sessions.end_all(db, request.by(user.id), "password_reset")
    await sessions.know(db, user, request)
    events.record_own(db, request.by(user.id), "user.password_reset", user)
    mail.enqueue(db, PLATFORM, "password_changed", subject_id=user.id)


async def _set(db: AsyncSession, user: User, new_hash: str) -> None:
    """Besides, no link that was mailed before sets another one."""
    await users.set_secrets(db, user, password_hash=new_hash)
    await db.execute(
        update(PasswordReset).where(PasswordReset.user_id == user.id, PasswordReset.used_at.is_(None))
        .values(used_at=utc_now())
    )  # fmt: skip
