from typing import Annotated

from pydantic import BaseModel, Field

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3, description="ISO 4217.", examples=["EUR"])]


class Price(BaseModel):
    """An exact amount of a currency."""

    model_config = {"extra": "forbid"}

    amount: Annotated[
        str,
        Field(
            pattern=r"^[0-9]{1,12}(\.[0-9]{1,4})?$",
            max_length=17,
            description="Decimal number of up to four places; shown with those of its currency (ISO 4217), or as "
            "many as it needs.",
            examples=["12.50"],
        ),
    ]
    currency: Currency
