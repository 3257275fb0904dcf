from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.models.article import BillingPeriod
from app.schemas.base import GivenInstant, In, Instant, InvoiceNumber, OrderNumber, Out, Reason
from app.schemas.price import Price
from app.schemas.price_model import PriceModelKey
from app.schemas.property import Label

ArticleNumber = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Number of the article in the catalogue.",
        examples=["DL-100"],
    ),
]
FeatureKey = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_]{0,39}$", max_length=40, description="Key of the feature.", examples=["assets"]),
]
Count = Annotated[int, Field(ge=1, le=100_000, strict=True, examples=[1])]
Quantity = Annotated[Count, Field(description="How many; licences are for so many times the units.")]
SameQuantity = Annotated[Count | None, Field(description="How many; null: as many as before.")]
Own = Annotated[
    Price | None,
    Field(description="Price of one, for one billing period; null: that of the account's price model, or the "
          "article's."),
]  # fmt: skip


class AccountArticleCreate(In):
    """An article to be bought for an account."""

    article: ArticleNumber
    quantity: Quantity = 1
    price: Own = None
    order_number: OrderNumber | None = None
    invoice_number: InvoiceNumber | None = None
    starts_at: Annotated[
        GivenInstant | None, Field(description="When it starts, in the past or the future; null: now.")
    ] = None
    ends_at: Annotated[GivenInstant | None, Field(description="When it ends; null: it runs until it is cancelled.")] = (
        None
    )


class AccountArticleUpdate(In):
    """JSON merge patch: a field left out stays as it is, null clears it."""

    order_number: OrderNumber | None = None
    invoice_number: InvoiceNumber | None = None


class AccountArticleCancel(In):
    """When and why a purchase ends."""

    at: Annotated[
        GivenInstant | None,
        Field(description="When it ends, within its period; null: now, or where it starts if that is later. One that "
              "ends where it starts never runs."),
    ] = None  # fmt: skip
    reason: Reason | None = None


class AccountArticleRenew(In):
    """On which terms a purchase goes on after its end."""

    starts_at: Annotated[
        GivenInstant | None, Field(description="When the renewal starts; null: where the purchase ends.")
    ] = None
    ends_at: Annotated[
        GivenInstant | None, Field(description="When the renewal ends; null: it runs until it is cancelled.")
    ] = None
    quantity: SameQuantity = None
    price: Own = None
    order_number: OrderNumber | None = None
    invoice_number: InvoiceNumber | None = None


class AccountArticleUpgrade(In):
    """By which article a purchase is replaced, from when on, and on which terms."""

    article: ArticleNumber
    at: Annotated[
        GivenInstant | None,
        Field(description="Where the one ends and the other starts, within the period of the one; null: now, or where "
              "it starts if that is later."),
    ] = None  # fmt: skip
    ends_at: Annotated[
        GivenInstant | None,
        Field(description="When the new purchase ends; left out: as the one that it replaces; null: it runs until it "
              "is cancelled."),
    ] = None  # fmt: skip
    quantity: SameQuantity = None
    price: Own = None
    order_number: OrderNumber | None = None
    invoice_number: InvoiceNumber | None = None


class SoldGrant(Out):
    """What one of it gave when it was sold."""

    feature: FeatureKey
    units: Annotated[int, Field(ge=0, le=2_147_483_647, description="Units of one; of a switch 0 or 1.", examples=[10])]
    duration: Annotated[
        str | None,
        Field(
            pattern=r"^P[1-9][0-9]{0,3}[DWMY]$",
            max_length=6,
            description="How long from the start of the purchase (ISO 8601); null: as long as it runs.",
            examples=["P1Y"],
        ),
    ]
    grace_days: Annotated[
        int, Field(ge=0, le=100_000, description="Days after its end for which its licences go on.", examples=[0])
    ]
    max_units_per_claim: Annotated[
        int | None,
        Field(ge=1, le=2_147_483_647, description="The most that one use may take of them; null: all.", examples=[5]),
    ]


class AccountArticleRead(Out):
    """One purchase: an article that an account bought, on the terms of that day."""

    id: UUID
    partner_id: UUID
    account_id: UUID
    article: ArticleNumber
    name: Label
    state: Annotated[
        Literal["scheduled", "active", "ended"],
        Field(description="What the clock makes of its period, which holds its start and not its end."),
    ]
    quantity: Quantity
    price: Annotated[Price, Field(description="Price of one, for one billing period.")]
    billing_period: BillingPeriod
    grants: Annotated[list[SoldGrant], Field(max_length=100, description="What one of it gave when it was sold.")]
    price_model: Annotated[
        PriceModelKey | None, Field(description="Key of the price model that the price came from, if it did.")
    ]
    order_number: OrderNumber | None
    invoice_number: InvoiceNumber | None
    starts_at: Instant
    ends_at: Annotated[Instant | None, Field(description="Null: it runs until it is cancelled.")]
    cancelled_at: Annotated[
        Instant | None, Field(description="When it was cancelled; it ends at `ends_at`, which may be later.")
    ]
    cancellation_reason: Reason | None
    renews_id: Annotated[UUID | None, Field(description="The purchase that this one continues.")]
    replaces_id: Annotated[UUID | None, Field(description="The purchase that was upgraded to this one.")]
    created_at: Instant
    updated_at: Instant
