from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.models.account import AccountStatus
from app.policy import Role
from app.schemas.base import In, Instant, Name, Out, ShownName
from app.schemas.invitation import InvitationRead
from app.schemas.member import MemberRead

AccountName = Annotated[
    Name, Field(description="Unique among the partner's accounts that are not archived.", examples=["Nordwerk GmbH"])
]


class AccountCreate(In):
    """A new child account; its creator becomes its admin."""

    name: AccountName


class AccountUpdate(In):
    """JSON merge patch: a field left out stays as it is."""

    name: Annotated[AccountName, Field(default=None, validate_default=False)]
    status: Annotated[
        Literal["active", "suspended"],
        Field(
            default=None,
            validate_default=False,
            description="In a suspended account nothing can be used; it can be read.",
        ),
    ]


class AccountRead(Out):
    """One customer of a partner."""

    id: UUID
    partner_id: UUID
    name: ShownName
    status: AccountStatus
    created_at: Instant
    updated_at: Instant


class AccountOverview(Out):
    """Everything of one account."""

    account: AccountRead
    members: Annotated[list[MemberRead], Field(max_length=1000, description="By name.")]
    pending_invitations: Annotated[list[InvitationRead], Field(max_length=1000, description="Newest first.")]


class AccountToken(Out):
    """An access token that is good for one account alone."""

    access_token: Annotated[
        str,
        Field(
            max_length=4096,
            description="JWT (RFC 9068) with `partner_id`, `account_id` and `role`; other services verify it with "
            "the keys at /.well-known/jwks.json and the audience `<public URL>/accounts`.",
        ),
    ]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(ge=1, le=3600, description="Seconds.", examples=[900])]
    partner_id: UUID
    account_id: UUID
    role: Role
