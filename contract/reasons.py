"""What Schemathesis loads for a run of contract/fuzz.py: a check of our own, and what it must leave as it is.

The check: a request that is as the contract says may be refused, but only for a reason that no schema can state. Of the
built-in `positive_data_acceptance`, which knows statuses only, this is the stricter half.
"""

import json
import os
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_args
from uuid import uuid4

SCHEMATHESIS: Any = import_module("schemathesis")  # in contract/.venv, not in ours
SHAPES: Final[frozenset[str]] = frozenset(get_args(import_module("pydantic_core.core_schema").ErrorType)) - {
    "value_error"
}
"""Codes of what a schema does state: lengths, patterns, types, what is missing, what is not known."""
OF_PARTNERS: Final = ("/properties", "/create/properties", "/update/properties", "/default")
"""Where a value follows a definition that is a partner's, not the contract's."""
KEPT: Final[dict[str, dict[str, dict[str, str]]]] = json.loads(Path(os.environ["FUZZ_KEPT"]).read_text())
"""By operation and parameter of its path: what it must leave as it is, and what it gets in its place."""
EXAMPLE: Final = "5e4f0b1c-order-1188"
"""The contract's, of an Idempotency-Key."""
BOOLEANS: Final = frozenset({"0", "1", "off", "on", "f", "t", "n", "y", "no", "yes", "false", "true"})
"""How a boolean may be written where all is text."""
WAITS: Final = {str(seconds) for seconds in range(1, 31)}
"""How long one may ask to wait for events, in seconds."""


@SCHEMATHESIS.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Nobody ends what all the others need: oneself, or the partner and the account in which everything is. Nobody
    waits for events, or repeats what another operation did.
    """
    given: dict[str, Any] = case.path_parameters or {}
    for name, others in KEPT.get(case.operation.definition.raw["operationId"], {}).items():
        if given.get(name) in others:
            given[name] = others[given[name]]
    if (case.headers or {}).get("Idempotency-Key") == EXAMPLE:  # that of every operation: each would be a repeat
        case.headers["Idempotency-Key"] = f"key-{uuid4()}"
    if "wait" in (case.query or ()) and str(case.query["wait"]) in WAITS:  # else a run takes hours
        case.query["wait"] = 0


@SCHEMATHESIS.hook
def filter_case(_context: Any, case: Any) -> bool:
    """A form is text, and `0` or `yes` in it is read as a boolean, as in an address: no wrong type is seen in it."""
    if case.operation.definition.raw["operationId"] != "createAccountImport" or not hasattr(case.body, "get"):
        return True
    value: Any = case.body.get("ignore_unknown")
    return isinstance(value, bool) or str(value).lower() not in BOOLEANS


@SCHEMATHESIS.check
def refused_for_a_reason(_context: Any, response: Any, case: Any) -> None:
    """A request that the contract allows is not refused for its shape."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (400, 422):
        return
    for error in response.json()["errors"]:
        fault = f"{error['pointer']} is refused as {error['code']}, and the contract allows it"
        assert error["code"] not in SHAPES or is_more_than_shape(case, error["pointer"], error["code"]), fault


def is_more_than_shape(case: Any, pointer: str, code: str) -> bool:
    """Whether a code that says something of a shape is about more."""
    value: Any = value_at(case.body, pointer)
    if pointer == "header:If-Match":  # of its pattern, the tool at times makes values that do not match: `0`
        return not str(case.headers["If-Match"]).startswith(("*", '"', "W/"))
    if any(place in pointer for place in OF_PARTNERS):
        return True
    if case.operation.definition.raw["operationId"] == "updateProperty":
        # which fields a column has, and what bounds it, depends on its type, which a change does not say
        return code == "extra_forbidden" or pointer in ("/min", "/max")
    if code == "string_too_short":
        return isinstance(value, str) and not value.strip()  # without the space at its ends
    if code == "missing":
        return value is not None  # of a label, one language: either
    if code == "datetime_parsing":
        return isinstance(value, str) and not "2000" <= value[:4] <= "2999"  # no format says from when to when
    return code == "date_parsing" and not is_a_day(value)  # a bound is a day or a moment, by a pattern


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
