"""Prices: exact amounts of a currency. A price of one may be finer than what is ever paid, such as 0.0042 EUR."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from iso4217 import Currency
from sqlalchemy import ARRAY, Integer, Numeric, Text, case, cast, func, literal_column

from app.problems import Fault, Invalid
from app.services import values
from app.services.written import said

Price = Mapping[str, Any]
_PLACES: Final = [(cast(said(f"{{{','.join(c.code for c in Currency if c.exponent == places)}}}"), ARRAY(Text)),
                   literal_column(str(places), Integer)) for places in (2, 3, 4)]  # fmt: skip
"""The currencies that have decimal places."""


def checked(price: Price, pointer: str) -> dict[str, str]:
    """A price in its one form: see `shown`.

    Raises:
        Invalid: there is no such currency.
    """
    try:
        values.places_of(price["currency"])
    except values.Refused as wrong:
        raise Invalid(errors=[Fault(f"{pointer}/currency", wrong.code, wrong.said)]) from None
    return shown(Decimal(price["amount"]), price["currency"])


def read(price: Price, *, pointer: str = "/price") -> tuple[Decimal, str]:
    """Amount and currency of a price.

    Raises:
        Invalid: as `checked`.
    """
    found = checked(price, pointer)
    return Decimal(found["amount"]), found["currency"]


def shown(amount: Decimal, currency: str) -> dict[str, str]:
    """A price with as many decimal places as its currency has, or as it needs."""
    try:
        places = values.places_of(currency)
    except values.Refused:  # a currency that was given up: what was sold for it was
        places = 0
    exponent = amount.normalize().as_tuple().exponent
    return {"amount": f"{amount:.{max(places, -int(exponent))}f}", "currency": currency}


def written(amount: Any, currency: Any) -> Any:
    """The same amount as the database writes it."""
    places = case(*((currency == func.any(codes), n) for codes, n in _PLACES), else_=literal_column("0", Integer))
    return func.round(amount, func.greatest(func.scale(func.trim_scale(amount)), places), type_=Numeric())
