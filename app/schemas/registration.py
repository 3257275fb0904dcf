from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.policy import Role
from app.schemas.base import In, Instant, Language, Name, Out, Password, ShownEmail
from app.schemas.user import UserRead

InvitationToken = Annotated[
    str,
    Field(
        min_length=1, max_length=200, description="From the link's fragment (`#token=…`).", examples=["tni_AZjFsnoe"]
    ),
]


class InvitationPreviewRequest(In):
    """Which invitation to look at."""

    token: InvitationToken


class Reference(Out):
    """A partner or account by id and name."""

    id: UUID
    name: Annotated[str, Field(max_length=120, examples=["Nordwerk GmbH"])]


class InvitationPreview(Out):
    """Who invites whom into what."""

    partner: Reference
    account: Annotated[Reference | None, Field(description="Null: into the partner itself.")]
    email: ShownEmail
    role: Role
    invited_by: Annotated[str, Field(max_length=120, description="Name.", examples=["Eva Nord"])] | None
    expires_at: Instant
    user_exists: Annotated[bool, Field(description="Whether to log in, rather than to register.")]


class RegistrationCreate(In):
    """Accept an invitation: as the logged-in user with the token alone, else with a name and a password."""

    token: InvitationToken
    name: Annotated[Name | None, Field(description="Only for a new user.", examples=["Eva Nord"])] = None
    password: Annotated[Password | None, Field(description="Only for a new user.")] = None
    language: Annotated[Language | None, Field(description="Only for a new user; else the partner's.")] = None


class RegistrationRead(Out):
    """The membership that came of it."""

    user: UserRead
    partner_id: UUID
    account_id: UUID | None
    role: Role
