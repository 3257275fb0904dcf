"""Texts by language that several nouns have."""

from typing import Annotated

from pydantic import BaseModel, Field

Prose = Annotated[str, Field(min_length=1, max_length=1000, examples=["Up to 100 assets, support on working days."])]


class Description(BaseModel):
    """What it offers, in English or German; where one is missing, the other is shown."""

    model_config = {"extra": "forbid"}

    en: Prose | None = None
    de: Prose | None = None
