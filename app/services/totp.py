"""The second factor: one-time codes of an authenticator app (RFC 6238), with recovery codes."""

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import security
from app.models import PLATFORM, RecoveryCode, User, utc_now
from app.policy import Caller
from app.problems import Fault, Invalid, SecondFactorConflict, Text
from app.services import events, mail, sessions, users

WRONG_CODE = Fault("/code", "wrong_code", Text("Not the code that the app shows now.",
                                               "Nicht der Code, den die App jetzt zeigt."))  # fmt: skip


async def recovery_codes_left(db: AsyncSession, user: User) -> int:
    return await db.scalar(select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user.id)) or 0


async def start(db: AsyncSession, keys: security.Keys, caller: Caller, user: User) -> str:
    """A fresh secret, kept aside until a code of it is confirmed.

    Raises:
        SecondFactorConflict: it is on already.
    """
    if user.totp_enabled_at is not None:
        raise SecondFactorConflict
    secret = security.new_totp_secret()
    await users.set_secrets(db, user, totp_secret=security.sealed(keys, secret))
    events.record_own(db, caller, "user.totp_started", user)
    return secret


async def confirm(db: AsyncSession, keys: security.Keys, caller: Caller, user: User, *, code: str) -> Sequence[str]:
    """Switch the second factor on; the recovery codes are shown this once. Other sessions end.

    Raises:
        SecondFactorConflict: it was not started, or is on already.
        Invalid: the code is wrong.
    """
    if user.totp_secret is None or user.totp_enabled_at is not None:
        raise SecondFactorConflict
    step = security.totp_step(security.opened(keys, user.totp_secret), code, utc_now())
    if step is None:
        raise Invalid(errors=[WRONG_CODE])
    await users.set_secrets(db, user, totp_enabled_at=utc_now(), totp_last_step=step)
    await sessions.end_all(db, caller, "second_factor_changed", but=caller.session_id)
    events.record_own(db, caller, "user.totp_enabled", user)
    mail.enqueue(db, PLATFORM, "totp_changed", subject_id=user.id, enabled=True)
    return await _new_codes(db, user)


async def disable(db: AsyncSession, caller: Caller, user: User) -> None:
    """Switch it off, after the password was found right.

    Raises:
        SecondFactorConflict: it is not on.
    """
    _require_on(user)
    await users.set_secrets(db, user, totp_secret=None, totp_enabled_at=None)
    await db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    events.record_own(db, caller, "user.totp_disabled", user)
    mail.enqueue(db, PLATFORM, "totp_changed", subject_id=user.id, enabled=False)


async def renew_codes(db: AsyncSession, caller: Caller, user: User) -> Sequence[str]:
    """New recovery codes in place of all old ones, after the password was found right.

    Raises:
        SecondFactorConflict: it is not on.
    """
    _require_on(user)
    await db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.id))
    events.record_own(db, caller, "user.recovery_codes_renewed", user)
    return await _new_codes(db, user)


def _require_on(user: User) -> None:
    if user.totp_enabled_at is None:
        raise SecondFactorConflict


async def _new_codes(db: AsyncSession, user: User) -> Sequence[str]:
    codes = security.new_recovery_codes()
    db.add_all(RecoveryCode(user_id=user.id, code_hash=security.recovery_digest(code)) for code in codes)
    await db.flush()
    return codes
