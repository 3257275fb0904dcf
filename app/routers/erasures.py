"""The end of a user."""

from fastapi import APIRouter, Request, Response

from app.access import SelfApart
from app.db import UnitsOfWork, unit_of_work
from app.models import PLATFORM
from app.problems import LastAdmin, StillLastAdmin, TooManyAttempts, WrongCredentials, raises
from app.rest import Route
from app.routers.me import proven
from app.schemas.totp import PasswordProof
from app.services import erasures, users
from app.tenancy import confine

router = APIRouter(prefix="/v1/me/erasure", tags=["me"], route_class=Route)


@router.post(
    "", status_code=202, openapi_extra=raises(StillLastAdmin, LastAdmin, TooManyAttempts, WrongCredentials)
)  # fmt: skip
async def erase_me(body: PasswordProof, caller: SelfApart, begin: UnitsOfWork, request: Request) -> Response:
    """Be erased, for good. You are logged out everywhere at once; the rest is done soon, and cannot be stopped.

    Memberships end; name, address, log-ins and mails are deleted. What you did stays in the logs of partners, under an
    id that nobody can lead back to you. Take an export of your data first, if you want one.
    """
    user = await proven(request, begin, caller, body.password, "/password")
    async with unit_of_work(begin) as db:
        await confine(db, PLATFORM)
        held = await users.get(db, caller.user_id, lock=True)
        await erasures.ask(db, held, caller, password_hash=user.password_hash)
    return Response(status_code=202)
