"""What the contract promises of answers, checked on every answer that a test receives."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import jsonschema_rs
from httpx import Response

from contract.breaking import METHODS, resolved

DOCUMENT: Final = Path(__file__).parent.parent / "openapi.json"
EVERYWHERE: Final = frozenset({
    "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "date", "server", "vary",
    "cache-control", "x-content-type-options", "referrer-policy", "cross-origin-resource-policy", "x-frame-options",
    "content-security-policy", "strict-transport-security", "access-control-allow-origin",
    "access-control-expose-headers", "access-control-allow-credentials",
})  # fmt: skip
"""Headers of HTTP itself and those that keep browsers safe: no client reads them."""


class Broken(AssertionError):
    """An answer that the contract does not know."""


class Operation(NamedTuple):
    """One of the contract."""

    address: re.Pattern[str]
    method: str
    responses: dict[str, Any]


@cache
def contract() -> Any:
    """The document; its schemas closed, for an answer may hold no field that they do not name."""
    document = json.loads(DOCUMENT.read_text())
    for schema in document["components"]["schemas"].values():
        _close(schema)
    return document


def _close(node: Any) -> None:
    if isinstance(node, dict):
        if "properties" in node and isinstance(node["properties"], dict):
            node.setdefault("additionalProperties", False)
        for name, inner in node.items():
            if name not in ("example", "examples", "default"):
                _close(inner)
    elif isinstance(node, list):
        for inner in node:
            _close(inner)


@cache
def operations() -> list[Operation]:
    return [
        Operation(re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)) + "$"), method.upper(), one["responses"])
        for path, item in contract()["paths"].items()
        for method, one in item.items()
        if method in METHODS
    ]


@cache
def _validator(schema: str) -> Any:
    return jsonschema_rs.validator_for(
        {**json.loads(schema), "components": contract()["components"]}, validate_formats=True
    )


async def kept(answer: Response) -> None:
    """A hook for clients: reads an answer in JSON, and raises Broken where it says what the contract does not."""
    said = f"{answer.request.method} {answer.request.url.path}: {answer.status_code}"
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    if media_type.endswith("json"):
        await answer.aread()
    for fault in _faults(answer, media_type):
        raise Broken(f"{said} {fault}")


def _faults(answer: Response, media_type: str) -> Iterator[str]:
    method = "GET" if answer.request.method == "HEAD" else answer.request.method
    here = [one for one in operations() if one.address.match(answer.request.url.path)]
    (operation,) = [one for one in here if one.method == method] or [None]
    if operation is None:  # an address or a method that there is not, or a page for people
        if here and answer.status_code != 405 and answer.status_code != 400:
            yield "is an answer where there is no operation"
        return
    if str(answer.status_code) not in operation.responses:
        yield "is not among its statuses"
        return
    response = resolved(contract(), operation.responses[str(answer.status_code)])
    known = EVERYWHERE | {name.lower() for name in response.get("headers", {})}
    if unknown := sorted(set(answer.headers) - known):
        yield f"has headers that are not named: {', '.join(unknown)}"
    for name, header in response.get("headers", {}).items():
        yield from _wrong_header(answer, name, resolved(contract(), header)["schema"])
    if answer.request.method != "HEAD" and answer.status_code != 304:
        yield from _wrong_body(answer, media_type, response.get("content", {}))


def _wrong_header(answer: Response, name: str, schema: Any) -> Iterator[str]:
    value = answer.headers.get(name)
    if value is None:
        return
    given: Any = int(value) if schema["type"] == "integer" and value.isdecimal() else value
    for error in _validator(json.dumps(schema)).iter_errors(given):
        yield f"{name}: {error.message}"


def _wrong_body(answer: Response, media_type: str, content: Any) -> Iterator[str]:
    if media_type not in content:
        if content or media_type:
            yield f"has a body of {media_type or 'no type'}, not of {' or '.join(content) or 'none'}"
    elif media_type.endswith("json"):
        for error in _validator(json.dumps(content[media_type]["schema"])).iter_errors(answer.json()):
            where = "/".join(map(str, error.instance_path))
            yield f"at /{where}: {error.message[:500]}"
