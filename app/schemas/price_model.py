from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.schemas.base import In, Instant, Out
from app.schemas.property import KEY, Label

PriceModelKey = Annotated[
    str,
    Field(
        pattern=KEY,
        max_length=40,
        description="Stable name of a price model: what accounts, filters and files use. Never changes.",
        examples=["professional"],
    ),
]
Prose = Annotated[str, Field(min_length=1, max_length=1000, examples=["Up to 100 assets, support on working days."])]


class Description(BaseModel):
    """What it offers, in English or German; where one is missing, the other is shown."""

    model_config = {"extra": "forbid"}

    en: Prose | None = None
    de: Prose | None = None


class PriceModelCreate(In):
    """A new price model."""

    key: PriceModelKey
    name: Label
    description: Description = Description()


class PriceModelUpdate(In):
    """JSON merge patch: a field (and a language) left out stays as it is, null clears it."""

    name: Annotated[Label, Field(default=None, validate_default=False)]
    description: Description | None = None


class PriceModelRead(Out):
    """A tariff that accounts can be in."""

    id: UUID
    key: PriceModelKey
    name: Label
    description: Description
    archived_at: Annotated[
        Instant | None, Field(description="Archived, it stays on accounts that have it and cannot be given to others.")
    ]
    created_at: Instant
    updated_at: Instant
