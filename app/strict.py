"""JSON as RFC 8259 means it: what is ambiguous, or no text of ours can hold, is refused before anything looks at it."""

import json
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from fastapi import Request

from app.problems import ContentTooLarge, Fault, Invalid, Malformed, Text, UnsupportedMediaType

MAX_DEPTH: Final = 32
MAX_PARTS: Final = 10_000
WHOLE: Final = 2**53
"""Up to here, floats tell all integers apart."""
MAX_NUMBER: Final = 4_000
"""Characters of a number, and its places behind the point: as a fraction of two integers, a longer one takes seconds
to write, and `1e-999999999` does not end."""
JSON_TYPES = {"application/json", "application/merge-patch+json"}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _finite(number: str) -> float | int | Decimal:
    """A float, or, where that would be another number than was written, the exact one: whoever takes it must see it.
    Without a fraction, it is an integer, however it is written (JSON Schema): some languages write 12 as 12.0.
    """
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise ValueError("too large")
    exact = _exact(number)
    if exact == value and value.is_integer() and abs(value) <= WHOLE:
        return int(value)
    return value if Decimal(repr(value)) == exact else exact


def _exact(number: str) -> Decimal:
    if len(number) > MAX_NUMBER:
        raise ValueError("too long")
    try:
        found = Decimal(number)
    except InvalidOperation:
        raise ValueError("an exponent of twenty digits") from None
    if found and found.adjusted() < -MAX_NUMBER:
        raise ValueError("too small")
    return found


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)


def _strings(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Every string in a JSON value, with its pointer."""
    if depth > MAX_DEPTH:
        raise Malformed
    match value:
        case str():
            yield path, value
        case dict():
            for key, inner in cast("dict[str, Any]", value).items():
                yield path, key
                yield from _strings(inner, f"{path}/{key[:60]}", depth + 1)
        case list():
            for n, inner in enumerate(cast("list[Any]", value)):
                yield from _strings(inner, f"{path}/{n}", depth + 1)
        case _:
            return


def strict_json(body: bytes) -> Any:
    """Parse a body as RFC 8259 means it, or refuse.

    Raises:
        ContentTooLarge: more than 10,000 commas and brackets: so many parts cost seconds to parse and check.
        Malformed: not UTF-8 JSON, duplicate keys, NaN or infinity, a number of thousands of digits, deeper than 32,
            an unpaired surrogate.
        Invalid: a string holds a NUL character, which no text of ours can.
    """
    opened = body.count(b"[") + body.count(b"{")
    if body.count(b",") + opened > MAX_PARTS:
        raise ContentTooLarge
    try:
        value = _STRICT.decode(body.decode())
        if opened <= MAX_DEPTH and b"\\u" not in body:  # neither is written otherwise, nor nested deeper than opened
            return value
        nul: list[str] = []
        for pointer, text in _strings(value, "", 0):
            text.encode()  # fails on an unpaired surrogate
            if "\0" in text:
                nul.append(pointer)
    except (ValueError, RecursionError):
        raise Malformed from None
    if nul:
        raise Invalid(errors=[Fault(p, "unprintable", Text("Holds a NUL character.", "Enthält ein NUL-Zeichen."))
                              for p in nul[:10]])  # fmt: skip
    return value


class StrictRequest(Request):
    """A request whose JSON was checked before anything else looks at it."""

    async def check(self, *, expects_body: bool) -> None:
        if not expects_body:
            return
        body = await self.body()
        if not body:
            return
        kind, _, parameters = self.headers.get("content-type", "").partition(";")
        charset = parameters.lower().replace(" ", "").replace('"', "")
        if kind.strip().lower() not in JSON_TYPES or charset not in ("", "charset=utf-8"):
            raise UnsupportedMediaType
        self._json = strict_json(body)
