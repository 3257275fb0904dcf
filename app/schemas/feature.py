from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field

from app.models.feature import FeatureKind, Overage
from app.schemas.base import In, Instant, Out
from app.schemas.property import KEY, Label
from app.schemas.text import Description

FeatureKey = Annotated[
    str,
    Field(
        pattern=KEY,
        max_length=40,
        description="Stable name of a feature: what grants, licences and claims use. Never changes.",
        examples=["assets"],
    ),
]
Kind = Annotated[
    FeatureKind,
    Field(
        description="`quota`: so many units; `switch`: on or off, one unit or none. Never changes.", examples=["quota"]
    ),
]
UnitWord = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$", examples=["asset"])]
DefaultUnits = Annotated[
    int,
    Field(
        ge=0, le=1_000_000_000, strict=True, examples=[3],
        description="The limit of an account that has no licence for it in force; of a switch, 0 or 1. A change counts "
        "at once.",
    ),
]  # fmt: skip
GivenOverage = Annotated[
    Overage,
    Field(
        description="How far above the limit claims may go: not at all, up to so many per cent of it (rounded down), "
        "or as far as they like. What lies above is marked. A switch: `forbidden`. A change counts at once.",
        examples=["forbidden"],
    ),
]


class Unit(BaseModel):
    """What one of it is called, in English or German; where one is missing, the other is shown. A switch has none."""

    model_config = {"extra": "forbid"}

    en: UnitWord | None = None
    de: UnitWord | None = None


class FeatureCreate(In):
    """A new feature."""

    key: FeatureKey
    kind: Kind
    name: Label
    description: Description = Description()
    unit: Unit = Unit()
    default_units: DefaultUnits = 0
    overage: GivenOverage = Overage.FORBIDDEN


class FeatureUpdate(In):
    """JSON merge patch: a field (and a language) left out stays as it is, null clears it."""

    name: Annotated[Label, Field(default=None, validate_default=False)]
    description: Description | None = None
    unit: Unit | None = None
    default_units: Annotated[DefaultUnits, Field(default=None, validate_default=False)]
    overage: Annotated[GivenOverage, Field(default=None, validate_default=False)]


class FeatureRead(Out):
    """Something that may be used: units of a quota, or a switch."""

    id: UUID
    key: FeatureKey
    kind: Kind
    name: Label
    description: Description
    unit: Unit
    default_units: DefaultUnits
    overage: GivenOverage
    archived_at: Annotated[
        Instant | None, Field(description="Archived, it cannot be granted any more; what was granted of it goes on.")
    ]
    created_at: Instant
    updated_at: Instant
