"""What Schemathesis loads for a run of contract/fuzz.py: a check of our own, and what it must leave as it is.

The check: a request that is as the contract says may be refused, but only for a reason that no schema can state. Of the
built-in `positive_data_acceptance`, which knows statuses only, this is the stricter half.
"""

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_args
from uuid import uuid4

from contract.shapes import is_kept, is_misfit, is_more_than_shape

SCHEMATHESIS: Any = import_module("schemathesis")  # in contract/.venv, not in ours
SHAPES: Final[frozenset[str]] = frozenset(get_args(import_module("pydantic_core.core_schema").ErrorType)) - {
    "value_error"
}
"""Codes of what a schema does state: lengths, patterns, types, what is missing, what is not known."""
CHECKS: Final[Any] = import_module("schemathesis.checks").CHECKS
AFTER_FREE: Final[Any] = CHECKS.get_one("use_after_free")
UseAfterFree: Final[Any] = import_module("schemathesis.openapi.checks").UseAfterFree
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
    operation = case.operation.definition.raw["operationId"]
    for error in response.json()["errors"]:
        pointer, code = error["pointer"], error["code"]
        if code in SHAPES and not is_misfit(pointer, case.headers or {}, case.path_parameters or {}):
            fault = f"{pointer} is refused as {code}, and the contract allows it"
            assert is_more_than_shape(operation, case.body, pointer, code), fault


def use_after_free(context: Any, response: Any, case: Any) -> Any:
    """The tool's own check of this name, but for a DELETE that ends a thing and keeps the record of it to be read."""
    try:
        return AFTER_FREE(context, response, case)
    except UseAfterFree as failure:
        ended = {other.id: other for other in context.internals.find_related(case_id=case.id)}[failure.deleted_case_id]
        if not is_kept(ended.operation.definition.raw["operationId"]):
            raise
        return None


CHECKS.register(use_after_free)  # in the place of the tool's own
