"""Prices: exact amounts of a currency, as property values of the type money are."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from app.problems import Fault, Invalid
from app.services import values

Price = Mapping[str, Any]


def checked(price: Price, pointer: str) -> dict[str, str]:
    """A price in its one form: with as many decimal places as its currency has.

    Raises:
        Invalid: there is no such currency, or it has fewer decimal places.
    """
    currency = {"currency": price["currency"]}
    try:
        return {"amount": values.amount(Decimal(price["amount"]), currency), **currency}
    except values.Refused as wrong:
        field = "currency" if wrong.code == "currency" else "amount"
        raise Invalid(errors=[Fault(f"{pointer}/{field}", wrong.code, wrong.said)]) from None


def shown(amount: Decimal, currency: str) -> dict[str, str]:
    """A price that is kept as a number."""
    try:
        return {"amount": f"{amount:.{values.places_of(currency)}f}", "currency": currency}
    except values.Refused:  # a currency that was given up: what was sold for it was
        return {"amount": f"{amount.normalize():f}", "currency": currency}
