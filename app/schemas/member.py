from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.policy import Role
from app.schemas.base import In, Instant, Out, ShownEmail

PartnerRole = Literal["partner_admin", "partner_manager", "partner_viewer"]
AccountRole = Literal["account_admin", "account_editor", "account_viewer"]


class PartnerMemberUpdate(In):
    """Another role for a member of a partner."""

    role: PartnerRole


class AccountMemberUpdate(In):
    """Another role for a member of an account."""

    role: AccountRole


class MemberRead(Out):
    """A user with a role in a partner or in an account."""

    user_id: UUID
    name: Annotated[str, Field(max_length=120, examples=["Eva Nord"])]
    email: ShownEmail
    role: Role
    created_at: Instant
    updated_at: Instant
