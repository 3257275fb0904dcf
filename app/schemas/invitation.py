from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.models.invitation import InvitationStatus, MailStatus
from app.policy import Role
from app.schemas.base import Email, In, Instant, Out, ShownEmail
from app.schemas.member import AccountRole, PartnerRole


class PartnerInvitationCreate(In):
    """An invitation into a partner."""

    email: Email
    role: PartnerRole


class AccountInvitationCreate(In):
    """An invitation into an account."""

    email: Email
    role: AccountRole


class InvitationRead(Out):
    """An e-mail and a role, waiting to become a membership."""

    id: UUID
    email: ShownEmail
    role: Role
    account_id: Annotated[UUID | None, Field(description="Null: into the partner itself.")]
    status: Annotated[InvitationStatus, Field(validation_alias="state")]
    mail_status: Annotated[MailStatus, Field(description="What became of the latest mail.")]
    invited_by: Annotated[UUID | None, Field(description="The user who invited; null: a command at the shell.")]
    expires_at: Instant
    created_at: Instant
    updated_at: Instant
