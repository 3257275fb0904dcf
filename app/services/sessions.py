"""Sessions: logging in, renewing, ending."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import networks, security
from app.models import PLATFORM, RecoveryCode, RefreshToken, Session, User, UserStatus, utc_now
from app.policy import Caller, Request
from app.problems import NotFound, OneTimeCodeRequired, RefreshRaced, RefreshTokenInvalid, WrongCredentials
from app.services import events, throttles, users

RACE_GRACE: Final = timedelta(seconds=10)
MOST_SESSIONS: Final = 100
KNOWN_FOR: Final = timedelta(days=90)


@dataclass(frozen=True)
class Attempt:
    """A log-in under way: counted as a failure until it has succeeded."""

    user_id: UUID | None
    password_hash: str | None
    counters: Sequence[bytes]
    """That of the address, then that of the network, if it counts."""


@dataclass(frozen=True)
class Renewed:
    """A session with a fresh refresh token (shown once, only its hash is kept)."""

    session: Session
    refresh_token: str


async def begin(db: AsyncSession, secret: bytes, *, email: str, address: str | None, free_failures: int) -> Attempt:
    """Count the attempt before the password is looked at, so that a burst of guesses cannot outrun the count.

    The counter is the address together with where it comes from: the owner's networks (those of earlier
    log-ins) each have one of their own, and all unknown networks share one. So a guesser slows himself and
    other strangers, not the owner at home. Another counter, per unknown network and day, slows who tries many
    addresses; a success takes back its own count only, or an account of one's own would buy more guesses.

    Raises:
        TooManyAttempts: wait first.
    """
    now, network = utc_now(), networks.around(address)
    user = await users.by_email(db, email)
    known = await db.scalar(
        select(Session.id).where(Session.user_id == (user.id if user else PLATFORM), Session.network == network,
                                 Session.created_at > now - KNOWN_FOR).limit(1)
    )  # fmt: skip
    counters = [throttles.key(secret, "log-in", users.key_of(email), network if known else "elsewhere")]
    await throttles.count(db, counters[0], now, free=free_failures)
    if not known:
        counters.append(throttles.key(secret, "network", network, now.date().isoformat()))
        await throttles.count(db, counters[1], now, free=free_failures * 20)
    active = user is not None and user.status == UserStatus.ACTIVE
    return Attempt(user.id, user.password_hash, counters) if user and active else Attempt(None, None, counters)


async def log_in(db: AsyncSession, keys: security.Keys, attempt: Attempt, request: Request, *, code: str | None,
                 user_agent: str, days: int) -> Renewed:  # fmt: skip
    """Open a session, after the password was found right.

    Raises:
        OneTimeCodeRequired: the user has a second factor, and there was no code.
        WrongCredentials: the code is wrong or was used before.
    """
    user = await users.get(db, attempt.user_id, lock=True) if attempt.user_id else None
    if user is None or user.password_hash != attempt.password_hash:
        raise WrongCredentials
    if user.totp_enabled_at is not None:
        if code is None:
            raise OneTimeCodeRequired  # the attempt stays counted: else it would clear the count of guessed codes
        await _spend_code(db, keys, user, code, request)
    await forgive(db, attempt)
    now = utc_now()
    session = Session(
        user_id=user.id,
        expires_at=now + timedelta(days=days),
        network=networks.around(request.address),
        user_agent="".join(c for c in user_agent if c.isprintable())[:200],
    )
    db.add(session)
    await db.flush()
    await _end_oldest(db, request.by(user.id))
    events.record_own(db, request.by(user.id), "session.started", session, after=events.facts(session))
    return await _renewed(db, session)


async def _spend_code(db: AsyncSession, keys: security.Keys, user: User, code: str, request: Request) -> None:
    """Accept a one-time code once, or a recovery code once and for all."""
    plain = code.strip().replace(" ", "")
    if user.totp_secret is not None and len(plain) == 6:
        step = security.totp_step(security.opened(keys, user.totp_secret), plain, utc_now())
        if step is not None and step > user.totp_last_step:
            await users.set_secrets(db, user, totp_last_step=step)
            return
    found = await db.get(RecoveryCode, (user.id, security.recovery_digest(plain)), with_for_update=True)
    if found is None:
        raise WrongCredentials
    await db.delete(found)
    events.record_own(db, request.by(user.id), "user.recovery_code_used", user)


async def refresh(db: AsyncSession, token: str) -> Renewed:
    """Trade a refresh token for the next one.

    Each is good once. A token that was just traded (10 s) is answered `refresh_raced`, without a new one: that
    is two tabs of one browser. Any later use means that a copy is in other hands, and ends the session.

    Raises:
        RefreshRaced: see above.
        RefreshTokenInvalid: unknown, used, or of a session that has ended.
    """
    now = utc_now()
    row = await db.get(RefreshToken, security.digest(token), with_for_update=True)
    session = await db.get(Session, row.session_id, with_for_update=True) if row else None
    if row is None or session is None or session.ended_at is not None or session.expires_at <= now:
        raise RefreshTokenInvalid
    user = await users.get(db, session.user_id)
    if user.status != UserStatus.ACTIVE:
        raise RefreshTokenInvalid
    if row.used_at is not None:
        if now - row.used_at < RACE_GRACE:
            raise RefreshRaced
        _end(session, "refresh_token_reused", now)
        events.record_system(db, PLATFORM, "session.ended", session, after={"reason": session.end_reason})
        await db.flush()
        raise RefreshTokenInvalid
    row.used_at = session.last_used_at = now
    return await _renewed(db, session)


async def know(db: AsyncSession, user: User, request: Request) -> None:
    """Remember where a user proved to read the address's mail: from there, strangers' guesses do not lock them out."""
    now = utc_now()
    db.add(Session(user_id=user.id, expires_at=now, network=networks.around(request.address), user_agent="",
                   ended_at=now, end_reason="mail_proof"))  # fmt: skip


async def prove(db: AsyncSession, secret: bytes, user: User, *, free_failures: int) -> Attempt:
    """Count the attempt to prove by password that the session is still its owner's: by user, wherever they are.

    Raises:
        TooManyAttempts: wait first.
    """
    counter = throttles.key(secret, "proof", str(user.id))
    await throttles.count(db, counter, utc_now(), free=free_failures)
    return Attempt(user.id, user.password_hash, [counter])


async def listed(db: AsyncSession, user_id: UUID) -> Sequence[Session]:
    """A user's sessions that are in force, latest first."""
    found = await db.scalars(
        select(Session).where(*_log_ins(user_id), Session.expires_at > utc_now())
        .order_by(Session.last_used_at.desc(), Session.id).limit(1000)
    )  # fmt: skip
    return found.all()


async def end(db: AsyncSession, caller: Caller, session_id: UUID) -> None:
    """End one of the caller's own sessions: its tokens stop with the next request."""
    session = await db.get(Session, session_id, with_for_update=True)
    if session is None or session.user_id != caller.user_id or session.client_id is not None:
        raise NotFound
    if session.ended_at is not None:
        if session.id == caller.session_id:  # a twin of this log-out was faster
            return
        raise NotFound
    _end(session, "logged_out", utc_now())
    await db.flush()
    events.record_own(db, caller, "session.ended", session, after={"reason": session.end_reason})


async def end_all(db: AsyncSession, caller: Caller, reason: str, *, but: UUID | None = None) -> None:
    """End all sessions of the caller, perhaps but one: after a change of password or of the second factor."""
    open_ones = await db.scalars(select(Session).where(*_log_ins(caller.user_id), Session.id != but).with_for_update())
    for session in open_ones:
        _end(session, reason, utc_now())
        events.record_own(db, caller, "session.ended", session, after={"reason": reason})


async def _end_oldest(db: AsyncSession, caller: Caller) -> None:
    """Nobody is logged in at more places than MOST_SESSIONS: the one unused for longest makes room."""
    too_many = await db.scalars(
        select(Session).where(*_log_ins(caller.user_id))
        .order_by(Session.last_used_at.desc(), Session.id.desc()).offset(MOST_SESSIONS).with_for_update()
    )  # fmt: skip
    for session in too_many:
        _end(session, "too_many", utc_now())
        events.record_own(db, caller, "session.ended", session, after={"reason": session.end_reason})


async def purge(db: AsyncSession, now: datetime) -> None:
    """Forget sessions (and with them their tokens, and the credentials of API clients) that ran out 90 days ago; those
    of API clients, which may never run out, also 90 days after they were ended.
    """
    old = now - KNOWN_FOR
    await db.execute(delete(Session).where(Session.expires_at < old))
    await db.execute(delete(Session).where(Session.client_id.is_not(None), Session.ended_at < old))


def _log_ins(user_id: UUID) -> tuple[ColumnElement[bool], ...]:
    """Of a user's sessions those that somebody opened with a password and that have not ended."""
    return Session.user_id == user_id, Session.ended_at.is_(None), Session.client_id.is_(None)


def _end(session: Session, reason: str, now: datetime) -> None:
    session.ended_at, session.end_reason = now, reason


async def _renewed(db: AsyncSession, session: Session) -> Renewed:
    token = security.random_token("tnr")
    db.add(RefreshToken(token_hash=security.digest(token), session_id=session.id))
    await db.flush()
    return Renewed(session, token)


async def forgive(db: AsyncSession, attempt: Attempt) -> None:
    """The password was right after all: forget the owner's failures before it; take back the network's count."""
    for own in attempt.counters[:1]:
        await throttles.clear(db, own)
    for shared in attempt.counters[1:]:
        await throttles.uncount(db, shared)
