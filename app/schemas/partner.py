from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.models.partner import PartnerStatus
from app.schemas.base import Email, In, Instant, Language, Name, Out, ShownName, TimeZone

PartnerName = Annotated[Name, Field(examples=["Sensorhaus GmbH"])]
PartnerZone = Annotated[
    TimeZone,
    Field(
        description="IANA time zone whose calendar the periods of its accounts follow, unless they have one of their "
        "own. What was bought before it changes keeps its moments."
    ),
]
Enabled = Annotated[bool, Field(strict=True, description="Whether the partner's people may use partner management.")]


class PartnerCreate(In):
    """A new partner, and who is to be its first admin."""

    name: PartnerName
    first_admin_email: Annotated[
        Email | None, Field(description="Invited as partner admin at once; null: invite somebody later.")
    ] = None
    partner_management_enabled: Enabled = True
    language: Language = "en"
    time_zone: PartnerZone = "UTC"


class PartnerUpdate(In):
    """JSON merge patch: a field left out stays as it is."""

    name: Annotated[PartnerName, Field(default=None, validate_default=False)]
    partner_management_enabled: Annotated[Enabled, Field(default=None, validate_default=False)]
    status: Annotated[
        PartnerStatus,
        Field(
            default=None, validate_default=False, description="A suspended partner's people and customers are shut out."
        ),
    ]
    language: Annotated[Language, Field(default=None, validate_default=False)]
    time_zone: Annotated[PartnerZone, Field(default=None, validate_default=False)]


class PartnerRead(Out):
    """A reseller with child accounts."""

    id: UUID
    name: ShownName
    status: PartnerStatus
    partner_management_enabled: Enabled
    language: Language
    time_zone: PartnerZone
    created_at: Instant
    updated_at: Instant
