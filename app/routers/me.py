"""The signed-in user: profile, password, second factor, sessions."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app import security
from app.access import Self, SelfApart
from app.db import Db, UnitsOfWork, unit_of_work
from app.models import PLATFORM, PartnerStatus, User
from app.policy import Caller
from app.problems import (
    Fault,
    Invalid,
    PreconditionRequired,
    SecondFactorConflict,
    Text,
    TooManyAttempts,
    VersionMismatch,
    WrongCredentials,
    raises,
)
from app.rest import IfMatch, Route, tagged
from app.schemas.password import PasswordChange
from app.schemas.session import SessionList
from app.schemas.totp import Code, PasswordProof, RecoveryCodeList, TotpRead, TotpSetup
from app.schemas.user import Me, MeUpdate
from app.services import passwords, sessions, totp, users
from app.services.users import MeView
from app.tenancy import confine

router = APIRouter(prefix="/v1/me", tags=["me"], route_class=Route)

SessionId = Annotated[UUID, Path(description="Id of the session.")]
WRONG_PASSWORD = Text("Not your present password.", "Nicht Ihr jetziges Passwort.")


@router.get("", response_model=Me)
async def get_me(caller: Self, db: Db, response: Response) -> dict[str, Any]:
    """Read who is signed in. By the user's partners, accounts and roles, a frontend knows what its menu has to show."""
    return _shown(tagged(response, await users.me(db, caller)))


@router.patch("", response_model=Me, openapi_extra=raises(VersionMismatch, PreconditionRequired))
async def update_me(body: MeUpdate, caller: Self, db: Db, match: IfMatch, response: Response) -> dict[str, Any]:
    """Change one's own name or language, or whether notices of licences come by mail. All else stays as it is."""
    view = match.check(await users.me(db, caller))
    await users.update(db, caller, view.user, body.model_dump(exclude_unset=True))
    return _shown(tagged(response, view))


@router.post("/password", status_code=204, openapi_extra=raises(WrongCredentials, TooManyAttempts))
async def change_password(body: PasswordChange, caller: SelfApart, begin: UnitsOfWork, request: Request) -> None:
    """Set a new password. All other sessions of the user end, and a mail says so."""
    user = await proven(request, begin, caller, body.current_password, "/current_password")
    settings = request.app.state.settings
    least = settings.password_min_length_with_totp if user.totp_enabled_at else settings.password_min_length
    passwords.check(body.password, min_length=least, context=passwords.about(user))
    old_hash, new_hash = user.password_hash, await security.hash_password(body.password)
    async with unit_of_work(begin) as db:
        await confine(db, PLATFORM)
        await passwords.change(
            db, caller, await users.get(db, caller.user_id, lock=True), old_hash=old_hash, new_hash=new_hash
        )


@router.get("/totp", response_model=TotpRead)
async def get_totp(caller: Self, db: Db) -> dict[str, Any]:
    """Read whether the second factor is on. It also says how many recovery codes are left."""
    user = await users.get(db, caller.user_id)
    return {
        "enabled": user.totp_enabled_at is not None,
        "recovery_codes_left": await totp.recovery_codes_left(db, user),
    }


@router.post("/totp", response_model=TotpSetup, openapi_extra=raises(SecondFactorConflict, TooManyAttempts))
async def start_totp(body: PasswordProof, caller: SelfApart, begin: UnitsOfWork, request: Request) -> dict[str, str]:
    """Begin to switch the second factor on: a secret for the authenticator app. Confirm a code of it next."""
    await proven(request, begin, caller, body.password, "/password")
    async with unit_of_work(begin) as db:
        await confine(db, PLATFORM)
        user = await users.get(db, caller.user_id, lock=True)
        secret = await totp.start(db, request.app.state.keys, caller, user)
    return {"secret": secret, "uri": security.totp_uri(secret, email=user.email, issuer="Tenantry")}


@router.post("/totp/confirm", response_model=RecoveryCodeList, openapi_extra=raises(SecondFactorConflict))
async def confirm_totp(body: Code, caller: Self, db: Db, request: Request) -> dict[str, Any]:
    """Switch the second factor on with a code of the app. The recovery codes are shown this once; keep them."""
    user = await users.get(db, caller.user_id, lock=True)
    return {"recovery_codes": await totp.confirm(db, request.app.state.keys, caller, user, code=body.code)}


@router.post("/totp/disable", status_code=204, openapi_extra=raises(SecondFactorConflict, TooManyAttempts))
async def disable_totp(body: PasswordProof, caller: SelfApart, begin: UnitsOfWork, request: Request) -> None:
    """Switch the second factor off. The password must be long enough to stand alone: change it first, if it is not."""
    await proven(request, begin, caller, body.password, "/password")
    passwords.check(body.password, min_length=request.app.state.settings.password_min_length, context=[])
    async with unit_of_work(begin) as db:
        await confine(db, PLATFORM)
        await totp.disable(db, caller, await users.get(db, caller.user_id, lock=True))


@router.post(
    "/totp/recovery-codes", response_model=RecoveryCodeList, openapi_extra=raises(SecondFactorConflict, TooManyAttempts)
)
async def renew_recovery_codes(
    body: PasswordProof, caller: SelfApart, begin: UnitsOfWork, request: Request
) -> dict[str, Any]:
    """Get ten new recovery codes. They are shown this once, and the old ones are void."""
    await proven(request, begin, caller, body.password, "/password")
    async with unit_of_work(begin) as db:
        await confine(db, PLATFORM)
        return {"recovery_codes": await totp.renew_codes(db, caller, await users.get(db, caller.user_id, lock=True))}


@router.get("/sessions", response_model=SessionList)
async def list_sessions(caller: Self, db: Db) -> dict[str, Any]:
    """List where the user is logged in, latest first. Browser and network of each help to tell a stranger's from one's
    own.
    """
    found = await sessions.listed(db, caller.user_id)
    fields = ("id", "user_agent", "network", "created_at", "last_used_at", "expires_at")
    return {"items": [{f: getattr(s, f) for f in fields} | {"current": s.id == caller.session_id} for s in found]}


@router.delete("/sessions/{session_id}", status_code=204)
async def end_session(caller: Self, db: Db, session_id: SessionId) -> None:
    """Log out somewhere else: the session's tokens stop with the next request."""
    await sessions.end(db, caller, session_id)


async def proven(request: Request, begin: UnitsOfWork, caller: Caller, password: str, pointer: str) -> User:
    """The caller's user, once the password was found right. Counted like a log-in: a stolen token must not guess.

    Raises:
        Invalid: the password is wrong. TooManyAttempts: it was, too often.
    """
    state = request.app.state
    async with unit_of_work(begin) as db:
        user = await users.get(db, caller.user_id)
        attempt = await sessions.prove(
            db, state.keys.derived("throttles"), user, free_failures=state.settings.login_free_failures
        )
    if not await security.verify_password(password, attempt.password_hash):
        raise Invalid(errors=[Fault(pointer, "wrong_password", WRONG_PASSWORD)])
    async with unit_of_work(begin) as db:
        await sessions.forgive(db, attempt)
    return user


def _shown(view: MeView) -> dict[str, Any]:
    partners = [m for m in view.memberships if m.account_id is None]
    accounts = [m for m in view.memberships if m.account_id is not None]
    user = view.user
    usable = any(m.partner_management_enabled and m.partner_status == PartnerStatus.ACTIVE for m in partners)
    return {
        "id": user.id, "email": user.email, "name": user.name, "language": user.language, "operator": user.operator,
        "totp_enabled": user.totp_enabled_at is not None, "licence_notices": user.licence_notices,
        "partners": [{"id": m.partner_id, "name": m.partner_name, "status": m.partner_status,
                      "partner_management_enabled": m.partner_management_enabled, "role": m.role} for m in partners],
        "accounts": [{"id": m.account_id, "partner_id": m.partner_id, "name": m.account_name,
                      "status": m.account_status, "role": m.role} for m in accounts],
        "navigation": {"partner_management": usable, "operator": user.operator},
    }  # fmt: skip
