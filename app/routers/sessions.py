"""Logging in, renewing, logging out."""

from typing import Any

from fastapi import APIRouter, Request

from app import security
from app.access import Origin, Public, Self
from app.db import Db, UnitsOfWork, unit_of_work
from app.models import PLATFORM, utc_now
from app.problems import (
    OneTimeCodeRequired,
    RefreshRaced,
    RefreshTokenInvalid,
    TooManyAttempts,
    WrongCredentials,
    raises,
)
from app.rest import Route
from app.schemas.session import SessionCreate, SessionRefresh, SessionTokens
from app.services import sessions
from app.tenancy import confine

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], route_class=Route)


@router.post(
    "",
    response_model=SessionTokens,
    status_code=201,
    dependencies=[Public],
    openapi_extra=raises(WrongCredentials, OneTimeCodeRequired, TooManyAttempts),
)
async def create_session(body: SessionCreate, begin: UnitsOfWork, origin: Origin, request: Request) -> dict[str, Any]:
    """Log in. An unknown address, a wrong password and a suspended user get the same answer, after the same time."""
    state = request.app.state  # hashed between two transactions: no connection waits for it
    async with unit_of_work(begin) as db:
        attempt = await sessions.begin(
            db, state.keys.derived("throttles"), email=body.email, address=origin.address,
            free_failures=state.settings.login_free_failures,
        )  # fmt: skip
    if not await security.verify_password(body.password, attempt.password_hash):
        raise WrongCredentials
    async with unit_of_work(begin) as db:
        await confine(db, PLATFORM)
        renewed = await sessions.log_in(
            db, state.keys, attempt, origin, code=body.one_time_code, days=state.settings.session_days,
            user_agent=request.headers.get("User-Agent", ""),
        )  # fmt: skip
    return _tokens(request, renewed)


@router.post(
    "/refresh",
    response_model=SessionTokens,
    dependencies=[Public],
    openapi_extra=raises(RefreshTokenInvalid, RefreshRaced),
)
async def refresh_session(body: SessionRefresh, db: Db, request: Request) -> dict[str, Any]:
    """Trade a refresh token for a new pair. Each is good once; a second use ends the session, for a copy may be stolen.

    Within ten seconds of its use, a token is answered 409 `refresh_raced` instead: two tabs of one browser.
    """
    await confine(db, PLATFORM)
    return _tokens(request, await sessions.refresh(db, body.refresh_token))


@router.delete("", status_code=204)
async def delete_session(caller: Self, db: Db) -> None:
    """Log out: end the session of this token."""
    await sessions.end(db, caller, caller.session_id)


def _tokens(request: Request, renewed: sessions.Renewed) -> dict[str, Any]:
    tokens: security.Tokens = request.app.state.tokens
    session = renewed.session
    return {
        "access_token": tokens.issue(session.user_id, session.id, utc_now()),
        "token_type": "Bearer",
        "expires_in": int(tokens.lifetime.total_seconds()),
        "refresh_token": renewed.refresh_token,
        "session_id": session.id,
        "session_expires_at": session.expires_at,
    }
