from typing import Annotated, Final
from uuid import UUID

from pydantic import Field

from app.models.article import BillingPeriod
from app.schemas.base import GivenInstant, In, Instant, Out
from app.schemas.grant import ArticleGrant
from app.schemas.price import Price
from app.schemas.property import Label
from app.schemas.text import Description

NUMBER: Final = r"^[A-Z0-9][A-Z0-9._-]{0,39}$"
ArticleNumber = Annotated[
    str,
    Field(
        pattern=NUMBER,
        max_length=40,
        description="Number of an article, as it stands on orders and invoices. Never changes.",
        examples=["SEN-T-100"],
    ),
]
ArticlePrice = Annotated[
    Price,
    Field(description="Of one piece, for one billing period; an account's price model may have another price."),
]
Period = Annotated[
    BillingPeriod,
    Field(description="How often the price is due: once, or for every month, quarter or year.", examples=["monthly"]),
]
Grants = Annotated[
    list[ArticleGrant],
    Field(max_length=20, description="What one piece gives the account; a purchase copies them. Each feature once."),
]
FROM: Final = "From when it can be sold; null: from the beginning."
UNTIL: Final = "Until just before when it can be sold, later than `active_from_at`; null: without end."


class ArticleCreate(In):
    """A new article."""

    number: ArticleNumber
    name: Label
    description: Description = Description()
    price: ArticlePrice
    billing_period: Period
    grants: Grants = []
    active_from_at: Annotated[GivenInstant | None, Field(description=FROM)] = None
    active_until_at: Annotated[GivenInstant | None, Field(description=UNTIL)] = None


class ArticleUpdate(In):
    """JSON merge patch: a field (and a language) left out stays as it is, null clears it.

    Price and grants are replaced as a whole.
    """

    name: Annotated[Label, Field(default=None, validate_default=False)]
    description: Description | None = None
    price: Annotated[ArticlePrice, Field(default=None, validate_default=False)]
    billing_period: Annotated[Period, Field(default=None, validate_default=False)]
    grants: Annotated[Grants, Field(default=None, validate_default=False)]
    active_from_at: Annotated[GivenInstant | None, Field(description=FROM)] = None
    active_until_at: Annotated[GivenInstant | None, Field(description=UNTIL)] = None


class ArticleRead(Out):
    """A commercial product: what is sold."""

    id: UUID
    number: ArticleNumber
    name: Label
    description: Description
    price: ArticlePrice
    billing_period: Period
    grants: Grants
    active_from_at: Annotated[Instant | None, Field(description=FROM)]
    active_until_at: Annotated[Instant | None, Field(description=UNTIL)]
    archived_at: Annotated[
        Instant | None, Field(description="Archived, it cannot be sold any more; what was sold goes on.")
    ]
    created_at: Instant
    updated_at: Instant
