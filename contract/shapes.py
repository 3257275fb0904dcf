"""Refusals that speak of a shape and are about more: those which a request may meet although it fits the contract, and
those of what the tool sent and took for fitting. And which DELETE leaves something to be read.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

OF_PARTNERS: Final = {"properties", "default"}
"""Steps of pointers to values that follow a definition that is a partner's, not the contract's."""


def is_more_than_shape(operation: str, body: Any, pointer: str, code: str) -> bool:
    """Whether `code`, which says something of the shape of what is at `pointer`, is about more than its schema says."""
    value = value_at(body, pointer)
    if OF_PARTNERS.intersection(pointer.split("/")):
        return True
    if operation == "updateProperty":
        # which fields a column has, and what bounds it, depends on its type, which a change does not say
        return code == "extra_forbidden" or pointer in ("/min", "/max")
    if code == "string_too_short":
        return isinstance(value, str) and not value.strip()  # without the space at its ends
    if code == "missing":
        return value is not None  # of a label, one language: either
    if code == "datetime_parsing":
        return isinstance(value, str) and not in_our_time(value)  # no format says from when to when
    return code == "date_parsing" and not is_a_day(value)  # a bound is a day or a moment, by a pattern


def is_misfit(pointer: str, headers: Mapping[str, Any], path: Mapping[str, Any]) -> bool:
    """Whether the tool sent there what does not fit the contract, and took it for what does.

    Of the pattern of If-Match it at times makes values that do not match: `0`. And a field of an answer that is null
    (an invitation into no account) it follows as an id: `None`, `null`.
    """
    place, _, name = pointer.partition(":")
    if pointer == "header:If-Match":
        return not str(headers[name]).startswith(("*", '"', "W/"))
    return place == "path" and str(path[name]) in ("None", "null")


def is_kept(operation: str) -> bool:
    """Whether a DELETE of this name ends a thing and keeps it: an account is archived, a claim given back."""
    return operation.startswith(("archive", "end", "release", "revoke"))


def in_our_time(moment: str) -> bool:
    """Whether it is from 2000 to 2999 in UTC, wherever it is told."""
    try:
        return 2000 <= datetime.fromisoformat(moment).astimezone(UTC).year <= 2999
    except (ValueError, OverflowError):
        return "2000" <= moment[:4] <= "2999"


def is_a_day(value: Any) -> bool:
    try:
        return bool(date.fromisoformat(value[:10]))
    except (TypeError, ValueError):
        return False


def value_at(body: Any, pointer: str) -> Any:
    """What a JSON pointer leads to; None: nothing."""
    found = body
    for part in pointer.split("/")[1:]:
        try:
            found = found[int(part) if type(found) is list else part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return found
