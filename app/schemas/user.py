from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.models.account import AccountStatus
from app.models.partner import PartnerStatus
from app.policy import Role
from app.schemas.base import In, Language, Name, Out, ShownEmail, ShownName

PersonName = Annotated[Name, Field(examples=["Eva Nord"])]
Wanted = Annotated[
    bool,
    Field(strict=True, description="Whether to get mails, as an admin of partners and accounts, when licences end soon "
          "and limits are reached."),
]  # fmt: skip


class UserRead(Out):
    """A person."""

    id: UUID
    email: ShownEmail
    name: ShownName
    language: Language


class MyPartner(Out):
    """A partner that the user belongs to."""

    id: UUID
    name: ShownName
    status: PartnerStatus
    partner_management_enabled: bool
    role: Role


class MyAccount(Out):
    """An account that the user is a member of."""

    id: UUID
    partner_id: UUID
    name: ShownName
    status: AccountStatus
    role: Role


class Navigation(Out):
    """What a frontend's menu shows."""

    partner_management: Annotated[
        bool, Field(description="Show the Partner menu: some active partner of the user has partner management on.")
    ]
    operator: Annotated[bool, Field(description="Show the operator's menu.")]


class Me(Out):
    """The signed-in user, and what a frontend shows it."""

    id: UUID
    email: ShownEmail
    name: ShownName
    language: Language
    operator: bool
    totp_enabled: bool
    licence_notices: Wanted
    partners: Annotated[list[MyPartner], Field(max_length=1000)]
    accounts: Annotated[list[MyAccount], Field(max_length=10000)]
    navigation: Navigation


class MeUpdate(In):
    """JSON merge patch: a field left out stays as it is."""

    name: Annotated[PersonName, Field(default=None, validate_default=False)]
    language: Annotated[Language, Field(default=None, validate_default=False)]
    licence_notices: Annotated[Wanted, Field(default=None, validate_default=False)]
