from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.models.licence import LicenceSource, SuspendedBy
from app.schemas.article import ArticleNumber
from app.schemas.base import GivenInstant, In, Instant, OrderNumber, Out, Reason
from app.schemas.feature import FeatureKey
from app.schemas.grant import Duration, GraceDays, MaxUnits
from app.schemas.price_model import PriceModelKey

Units = Annotated[
    int, Field(ge=0, le=2_147_483_647, strict=True, description="How many; of a switch 0 or 1.", examples=[10])
]


class LicenceCreate(In):
    """A licence to be granted by hand."""

    feature: FeatureKey
    units: Units
    reason: Reason
    starts_at: Annotated[
        GivenInstant | None, Field(description="When it begins, in the past or the future; null: now.")
    ] = None
    ends_at: Annotated[GivenInstant | None, Field(description="When it ends; null: never, or after `duration`.")] = None
    duration: Annotated[Duration | None, Field(description="How long, instead of `ends_at`.")] = None
    grace_days: GraceDays = 0
    max_units_per_claim: MaxUnits = None
    order_number: OrderNumber | None = None


class LicenceUpdate(In):
    """JSON merge patch: a field left out stays as it is."""

    units: Annotated[Units, Field(default=None, validate_default=False)]
    ends_at: Annotated[GivenInstant | None, Field(description="When it ends; null: never.")] = None
    grace_days: Annotated[GraceDays, Field(default=None, validate_default=False)]
    max_units_per_claim: MaxUnits = None
    order_number: OrderNumber | None = None
    reason: Annotated[Reason, Field(default=None, validate_default=False)]


class LicenceSuspend(In):
    """Why a licence is suspended."""

    reason: Reason


class LicenceRevoke(In):
    """Why a licence is revoked."""

    reason: Reason


class LicenceSuspension(Out):
    """Who stopped a licence from giving its units, when and why."""

    by: Annotated[SuspendedBy, Field(description="Whose people lift it: a partner's lift their own, operators any.")]
    reason: Reason
    at: Instant


class LicenceRevocation(Out):
    """When a licence was ended for good, and why."""

    reason: Reason
    at: Instant


class LicenceRead(Out):
    """The right of an account to units of a feature, for a period."""

    id: UUID
    partner_id: UUID
    account_id: UUID
    feature: FeatureKey
    state: Annotated[
        Literal["scheduled", "active", "grace", "expired", "suspended", "revoked"],
        Field(description="What it is now; it gives its units while `active` and in its `grace` period."),
    ]
    units: Units
    max_units_per_claim: MaxUnits
    starts_at: Instant
    ends_at: Annotated[Instant | None, Field(description="When it ends; null: never by itself.")]
    grace_days: GraceDays
    over_at: Annotated[
        Instant | None, Field(description="When it gives nothing any more: its end and its days of grace.")
    ]
    source: Annotated[LicenceSource, Field(description="What granted it.")]
    account_article_id: Annotated[UUID | None, Field(description="The purchase that it came with.")]
    article: Annotated[ArticleNumber | None, Field(description="The article of that purchase.")]
    price_model: Annotated[PriceModelKey | None, Field(description="The price model that it came with.")]
    order_number: OrderNumber | None
    reason: Annotated[Reason | None, Field(description="Why it was granted by hand.")]
    suspension: Annotated[LicenceSuspension | None, Field(description="Null unless it is suspended.")]
    revocation: Annotated[LicenceRevocation | None, Field(description="Null unless it was revoked.")]
    created_at: Instant
    updated_at: Instant
