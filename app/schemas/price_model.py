from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.schemas.article import ArticleNumber
from app.schemas.base import In, Instant, Out
from app.schemas.grant import BaseGrant
from app.schemas.price import Price
from app.schemas.property import KEY, Label
from app.schemas.text import Description

PriceModelKey = Annotated[
    str,
    Field(
        pattern=KEY,
        max_length=40,
        description="Stable name of a price model: what accounts, filters and files use. Never changes.",
        examples=["professional"],
    ),
]


class PriceOfArticle(BaseModel):
    """What one piece of an article costs an account that is in the price model, for one billing period."""

    model_config = {"extra": "forbid"}

    article: Annotated[ArticleNumber, Field(description="Number of an article; each at most once.")]
    price: Price


BaseGrants = Annotated[
    list[BaseGrant],
    Field(
        max_length=20,
        description="What an account has for as long as it is in this price model. Each feature once. A change is "
        "for accounts that come into it later: those in it keep what they have.",
    ),
]
ArticlePrices = Annotated[
    list[PriceOfArticle],
    Field(max_length=200, description="What articles cost in this price model, where it is not their own price."),
]


class PriceModelCreate(In):
    """A new price model."""

    key: PriceModelKey
    name: Label
    description: Description = Description()
    base_grants: BaseGrants = []
    article_prices: ArticlePrices = []


class PriceModelUpdate(In):
    """JSON merge patch: a field (and a language) left out stays as it is, null clears it.

    Lists are replaced as a whole.
    """

    name: Annotated[Label, Field(default=None, validate_default=False)]
    description: Description | None = None
    base_grants: Annotated[BaseGrants, Field(default=None, validate_default=False)]
    article_prices: Annotated[ArticlePrices, Field(default=None, validate_default=False)]


class PriceModelRead(Out):
    """A tariff that accounts can be in."""

    id: UUID
    key: PriceModelKey
    name: Label
    description: Description
    base_grants: BaseGrants
    article_prices: ArticlePrices
    archived_at: Annotated[
        Instant | None, Field(description="Archived, it stays on accounts that have it and cannot be given to others.")
    ]
    created_at: Instant
    updated_at: Instant
