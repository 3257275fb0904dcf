"""Prices: exact amounts of one currency, as they are given, kept and shown."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.problems import Fault, Invalid
from app.services import values


def read(price: Mapping[str, Any], *, pointer: str = "/price") -> tuple[Decimal, str]:
    """Amount and currency of a price.

    Raises:
        Invalid: there is no such currency.
    """
    try:
        values.places_of(price["currency"])
    except values.Refused as refused:
        raise Invalid(errors=[Fault(f"{pointer}/currency", "currency", refused.said)]) from None
    return Decimal(price["amount"]), price["currency"]


def shown(amount: Decimal, currency: str) -> dict[str, str]:
    """A price with as many decimal places as its currency has, or as it needs."""
    places = max(values.places_of(currency), -_exponent(amount))
    return {"amount": f"{amount:.{places}f}", "currency": currency}


def _exponent(amount: Decimal) -> int:
    exponent = amount.normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0
