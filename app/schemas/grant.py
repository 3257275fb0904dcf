"""Grants as articles and price models have them."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from app.schemas.feature import FeatureKey

DURATION: Final = r"^P[1-9][0-9]{0,3}[DWMY]$"
CENTURY: Final = {"D": 36_525, "W": 5_217, "M": 1_200, "Y": 100}


def _duration(value: str) -> str:
    if int(re.sub(r"[^0-9]", "", value)) > CENTURY[value[-1]]:
        raise PydanticCustomError("duration_too_long", "more than a hundred years")
    return value


Duration = Annotated[
    str,
    Field(
        pattern=DURATION,
        max_length=6,
        description="ISO 8601-1 duration of one part, in days, weeks, months or years, at most a hundred years. It "
        "is counted by the calendar of the account's time zone: a month from 31 January ends at the end of February.",
        examples=["P1Y"],
    ),
    AfterValidator(_duration),
]
Units = Annotated[
    int,
    Field(
        ge=1, le=1_000_000_000, strict=True, description="How many units of the feature it gives; a switch, one.",
        examples=[100],
    ),
]  # fmt: skip
GraceDays = Annotated[
    int,
    Field(
        ge=0, le=365, strict=True, examples=[14],
        description="For so many days of 24 hours after its end it goes on giving its units.",
    ),
]  # fmt: skip
MaxUnits = Annotated[
    int | None,
    Field(
        ge=1, le=1_000_000_000, strict=True, description="The most units that one claim may take; null: all of them.",
        examples=[10],
    ),
]  # fmt: skip


class BaseGrant(BaseModel):
    """Units of a feature that an account has for as long as it is in the price model."""

    model_config = {"extra": "forbid"}

    feature: Annotated[FeatureKey, Field(description="Key of a feature that is not archived; each at most once.")]
    units: Units
    grace_days: GraceDays = 0
    max_units_per_claim: MaxUnits = None


class ArticleGrant(BaseModel):
    """Units of a feature that one piece of the article gives."""

    model_config = {"extra": "forbid"}

    feature: Annotated[FeatureKey, Field(description="Key of a feature that is not archived; each at most once.")]
    units: Units
    duration: Annotated[
        Duration | None,
        Field(
            description="For how long from the start of the purchase, as an ISO 8601-1 duration of one part (`P30D`, "
            "`P6W`, `P12M`, `P1Y`; at most a hundred years) in the account's time zone; null: as long as the purchase "
            "lasts."
        ),
    ] = None
    grace_days: GraceDays = 0
    max_units_per_claim: MaxUnits = None
