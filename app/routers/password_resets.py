"""Setting a forgotten password by mail."""

from fastapi import APIRouter, Request, Response

from app import security
from app.access import Origin, Public
from app.db import Db, UnitsOfWork, unit_of_work
from app.models import PLATFORM
from app.problems import NotFound, ResetExpired, ResetUsed, TooManyAttempts, raises
from app.rest import Route
from app.schemas.password import PasswordResetConfirm, PasswordResetCreate
from app.services import passwords
from app.tenancy import confine

router = APIRouter(prefix="/v1/password-resets", tags=["sessions"], route_class=Route, dependencies=[Public])


@router.post("", status_code=202, openapi_extra=raises(TooManyAttempts))
async def create_password_reset(body: PasswordResetCreate, db: Db, origin: Origin, request: Request) -> Response:
    """Have a link mailed that sets a new password. The answer is the same whether the address has a user or not."""
    await confine(db, PLATFORM)
    state = request.app.state
    await passwords.ask_reset(
        db, state.keys.derived("throttles"), email=body.email, address=origin.address,
        free=state.settings.password_resets_free,
    )  # fmt: skip
    return Response(status_code=202)


@router.post("/confirm", status_code=204, openapi_extra=raises(NotFound, ResetUsed, ResetExpired))
async def confirm_password_reset(
    body: PasswordResetConfirm, begin: UnitsOfWork, origin: Origin, request: Request
) -> None:
    """Set the new password with the token of the mail. All sessions of the user end."""
    settings = request.app.state.settings
    async with unit_of_work(begin) as db:
        _, user = await passwords.find_reset(db, body.token)
    least = settings.password_min_length_with_totp if user.totp_enabled_at else settings.password_min_length
    passwords.check(body.password, min_length=least, context=passwords.about(user))
    new_hash = await security.hash_password(body.password)
    async with unit_of_work(begin) as db:
        await confine(db, PLATFORM)
        await passwords.reset(db, body.token, origin, new_hash=new_hash)
