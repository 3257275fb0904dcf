from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.models.article import BillingPeriod
from app.schemas.article import ArticleNumber
from app.schemas.base import GivenInstant, In, Instant, InvoiceNumber, OrderNumber, Out, Reason
from app.schemas.grant import ArticleGrant
from app.schemas.price import Price
from app.schemas.price_model import PriceModelKey
from app.schemas.property import Label

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
    grants: Annotated[list[ArticleGrant], Field(max_length=100, description="What one of it gave when it was sold.")]
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
