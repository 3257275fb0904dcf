from typing import Annotated

from pydantic import BaseModel, Field


class Price(BaseModel):
    """An exact amount of money."""

    model_config = {"extra": "forbid"}

    amount: Annotated[
        str,
        Field(
            pattern=r"^[0-9]{1,14}(\.[0-9]{1,4})?$",
            max_length=19,
            description="Decimal number, as a string.",
            examples=["12.50"],
        ),
    ]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3, description="ISO 4217.", examples=["EUR"])]
