"""Accepting invitations."""

from typing import Any

from fastapi import APIRouter, Request

from app import security
from app.access import MaybeSelf, Origin, Public
from app.db import Db, UnitsOfWork, unit_of_work
from app.models import Invitation, User
from app.problems import (
    AccountArchived,
    AlreadyMember,
    Fault,
    Invalid,
    InvitationExpired,
    InvitationForAnother,
    InvitationReplaced,
    InvitationRevoked,
    InvitationUsed,
    LogInRequired,
    NotFound,
    PartnerSuspended,
    Text,
    raises,
)
from app.rest import Route
from app.schemas.registration import InvitationPreview, InvitationPreviewRequest, RegistrationCreate, RegistrationRead
from app.services import passwords, registrations

router = APIRouter(prefix="/v1", tags=["registrations"], route_class=Route, dependencies=[Public])

TOO_LATE = (
    NotFound,
    InvitationUsed,
    InvitationExpired,
    InvitationRevoked,
    InvitationReplaced,
    PartnerSuspended,
    AccountArchived,
)
REQUIRED = Text("Required, unless you are logged in.", "Erforderlich, wenn Sie nicht angemeldet sind.")


@router.post("/invitations/preview", response_model=InvitationPreview, openapi_extra=raises(*TOO_LATE))
async def preview_invitation(body: InvitationPreviewRequest, db: Db, request: Request) -> dict[str, Any]:
    """Show who invites whom into what, by the token of the invitation. It accepts nothing."""
    invited = await registrations.find(db, request.app.state.keys, body.token)
    return {
        "partner": invited.partner,
        "account": invited.account,
        "email": invited.invitation.email,
        "role": invited.invitation.role,
        "invited_by": invited.inviter,
        "expires_at": invited.invitation.expires_at,
        "user_exists": invited.user is not None,
    }


@router.post(
    "/registrations",
    response_model=RegistrationRead,
    status_code=201,
    openapi_extra=raises(*TOO_LATE, InvitationForAnother, LogInRequired, AlreadyMember) | {"x-optional-token": True},
)
async def create_registration(
    body: RegistrationCreate, caller: MaybeSelf, db: Db, begin: UnitsOfWork, origin: Origin, request: Request
) -> dict[str, Any]:
    """Accept an invitation: with name and password as a new user, or with a bearer token as the user it invites."""
    keys = request.app.state.keys
    if caller is not None:
        return _shown(*await registrations.accept(db, keys, body.token, caller))
    name, password = _required(body)
    async with unit_of_work(begin) as looking:  # a bad token is refused before the costly hash
        invited = await registrations.find(looking, keys, body.token)
        if invited.user is not None:
            raise LogInRequired
    passwords.check(
        password,
        min_length=request.app.state.settings.password_min_length,
        context=["tenantry", invited.invitation.email.partition("@")[0], *name.split()],
    )
    user, invitation = await registrations.register(
        db, keys, body.token, origin, name=name, password_hash=await security.hash_password(password),
        language=body.language,
    )  # fmt: skip
    return _shown(user, invitation)


def _required(body: RegistrationCreate) -> tuple[str, str]:
    missing = [f for f in ("name", "password") if getattr(body, f) is None]
    if body.name is None or body.password is None:
        raise Invalid(errors=[Fault(f"/{f}", "missing", REQUIRED) for f in missing])
    return body.name, body.password


def _shown(user: User, invitation: Invitation) -> dict[str, Any]:
    return {
        "user": user,
        "partner_id": invitation.partner_id,
        "account_id": invitation.account_id,
        "role": invitation.role,
    }
