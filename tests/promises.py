"""What the contract promises of answers, checked on every answer that a test receives.

Of each: that the operation has this status, these headers (and each as its schema says), and a body of this media type.
Of bodies in JSON, and of texts that are read at once: all that the schema says, and that there is no field besides. Of
problems: that the operation names this code. Of what is sent piece by piece (CSV, workbooks, Server-Sent Events), while
the test reads it: `tests/bodies.py`. Where the contract has no operation, that a refusal is a problem document all the same.

The clients of `World`, of `Shell` and `Wire`, raw connections and browsers are checked by it. What stays outside, and why:

- what uvicorn itself answers to that which is no HTTP: there is no request yet, and no `X-Request-Id`;
- what curl, HTTPie, Node and `http.client` of the guides receive (`tests/test_guides.py`): other programs hold it. Those
  answers are compared with what the pages show; the generated clients of `make contract` check the same answers by types;
- streams that a test breaks off, or reads too slowly on purpose, behind the place to which it has read; bodies in other
  encodings than gzip; and in browsers, bodies of pages that were left before they could be read;
- the figures of `bench/`, which would measure the check.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple, cast
from urllib.parse import urljoin

import jsonschema_rs
from httpx import Request, Response

from contract.document import DOCUMENT, METHODS, resolved
from tests.bodies import SEPARATORS, Csv, Events, Look, Watched, Workbook

PROBLEM: Final = "application/problem+json"
WORKBOOK: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
IN_PIECES: Final = ("text/csv", "text/event-stream", WORKBOOK)
EVERYWHERE: Final = frozenset({
    "content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "date", "server", "vary",
    "cache-control", "x-content-type-options", "referrer-policy", "cross-origin-resource-policy", "x-frame-options",
    "content-security-policy", "strict-transport-security", "access-control-allow-origin",
    "access-control-expose-headers", "access-control-allow-credentials", "x-accel-buffering",
})  # fmt: skip
"""Headers of HTTP itself, and those that tell browsers and proxies what to do: no client reads them."""


class Broken(AssertionError):
    """An answer that the contract does not know."""


class Place(NamedTuple):
    """An address of the contract, and what its operations answer."""

    address: re.Pattern[str]
    operations: dict[str, dict[str, Any]]
    """Responses by status, by method."""


class Header(NamedTuple):
    """One of an answer."""

    whole: bool
    """Whether it is a whole number."""
    validator: Any


class Promise(NamedTuple):
    """What is promised of an operation's answers with one status."""

    known: frozenset[str]
    required: frozenset[str]
    headers: dict[str, Header]
    bodies: dict[str, Any]
    """Validators by media type; None: it comes piece by piece."""
    codes: frozenset[str]
    """Of problems."""


@cache
def contract() -> Any:
    """The document; its schemas closed, for an answer may hold no field that they do not name."""
    document = json.loads(DOCUMENT.read_text())
    for schema in document["components"]["schemas"].values():
        _close(schema)
    return document


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        found = cast("dict[str, Any]", schema)
        if "properties" in found:
            found.setdefault("additionalProperties", False)
        for name, inner in found.items():
            if name == "properties":
                for one in inner.values():
                    _close(one)
            elif name not in ("example", "examples", "default"):
                _close(inner)
    elif isinstance(schema, list):
        for one in cast("list[Any]", schema):
            _close(one)


@cache
def _places() -> dict[int, list[Place]]:
    """By the number of their steps: few are to be looked through."""
    found: dict[int, list[Place]] = {}
    for path, item in contract()["paths"].items():
        address = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        operations = {method.upper(): item[method]["responses"] for method in METHODS if method in item}
        found.setdefault(path.count("/"), []).append(Place(address, operations))
    return found


@cache
def _promise(address: re.Pattern[str], method: str, status: str) -> Promise | None:
    """None: there is no such status."""
    (place,) = [place for places in _places().values() for place in places if place.address is address]
    if status not in place.operations[method]:
        return None
    response = resolved(contract(), place.operations[method][status])
    given = {name.lower(): resolved(contract(), one) for name, one in response.get("headers", {}).items()}
    headers = {name: one["schema"] for name, one in given.items()}
    content: dict[str, Any] = response.get("content", {})
    return Promise(
        EVERYWHERE | headers.keys(),
        frozenset(name for name, one in given.items() if one.get("required")),
        {name: Header(schema["type"] == "integer", _validator(schema)) for name, schema in headers.items()},
        {kind: None if kind in IN_PIECES else _validator(one["schema"]) for kind, one in content.items()},
        frozenset(content.get(PROBLEM, {}).get("examples", ())),
    )


def _validator(schema: Any) -> Any:
    return _compiled(json.dumps(schema))


@cache
def _compiled(schema: str) -> Any:
    return jsonschema_rs.validator_for(
        {**json.loads(schema), "components": contract()["components"]}, validate_formats=True
    )


async def kept(answer: Response) -> None:
    """A hook for clients: raises Broken where an answer says what the contract does not, at once or while it is read."""
    if _is_read_at_once(answer):
        await answer.aread()
    _check(answer)


def kept_at_once(answer: Response) -> None:
    """The same, for clients that are not async."""
    if _is_read_at_once(answer):
        answer.read()
    _check(answer)


def heard(method: str, url: str, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
    """The same, for an answer that came by another way; without a body: its head only.

    Raises:
        Broken: it says what the contract does not.
    """
    content = b"" if body is None else body
    known = [
        (name, value)
        for name, value in headers.items()
        if name.lower() not in ("content-encoding", "transfer-encoding")
    ]
    answer = Response(status, headers=known, content=content, request=Request(method, urljoin("http://localhost", url)))
    _check(answer, whole=body is not None)


def head_heard(method: str, url: str, head: bytes) -> None:
    """The same, for what stands before the body."""
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    heard(method, url, int(first.split()[1]), headers, None)


def _is_read_at_once(answer: Response) -> bool:
    return _media_type(answer).endswith(("json", "jwt"))


def _check(answer: Response, *, whole: bool = True) -> None:
    def report(faults: Iterator[str]) -> None:
        for fault in faults:
            raise Broken(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {fault}")

    media_type = _media_type(answer)
    report(_faults(answer, media_type, whole=whole))
    if not whole or media_type not in IN_PIECES or answer.request.method == "HEAD":
        return
    look = _look(answer, media_type)
    if hasattr(answer, "_content"):  # it has been read
        report(look.at(answer.content))
        report(look.at_end())
    elif (encoding := answer.headers.get("content-encoding", "")) in ("", "gzip"):
        answer.stream = Watched(answer.stream, look, report, encoding=encoding)


def _look(answer: Response, media_type: str) -> Look:
    if media_type == "text/csv":
        return Csv(SEPARATORS[answer.request.url.params.get("separator", "comma")])
    return Workbook() if media_type == WORKBOOK else Events(_validator({"$ref": "#/components/schemas/EventRead"}))


def _media_type(answer: Response) -> str:
    return answer.headers.get("content-type", "").partition(";")[0]


def _faults(answer: Response, media_type: str, *, whole: bool) -> Iterator[str]:
    method, path = "GET" if answer.request.method == "HEAD" else answer.request.method, answer.request.url.path
    place = next((one for one in _places().get(path.count("/"), ()) if one.address.fullmatch(path)), None)
    if place is None or method not in place.operations:
        yield from _faults_elsewhere(answer, media_type, known=place is not None, whole=whole)
        return
    promise = _promise(place.address, method, str(answer.status_code))
    if promise is None:
        yield "is not among its statuses"
        return
    if unknown := sorted({*answer.headers} - promise.known):
        yield f"has headers that are not named: {', '.join(unknown)}"
    if missing := sorted(promise.required - {*answer.headers}):
        yield f"lacks headers: {', '.join(missing)}"
    for name, header in promise.headers.items():
        if (value := answer.headers.get(name)) is not None:
            given = int(value) if header.whole and value.isdecimal() else value
            yield from (f"{name}: {error.message[-500:]}" for error in header.validator.iter_errors(given))
    if answer.request.method != "HEAD" and answer.status_code != 304:
        yield from _wrong_body(answer, media_type, promise, whole=whole)


def _faults_elsewhere(answer: Response, media_type: str, *, known: bool, whole: bool) -> Iterator[str]:
    """Where there is no operation: no address, no such method of it, or a page for people."""
    if known and answer.status_code < 400 and answer.request.method != "OPTIONS":  # which browsers ask (CORS)
        yield "is an answer where there is no operation"
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        if media_type != PROBLEM:
            yield f"has a body of {media_type or 'no type'}, not of {PROBLEM}"
        elif whole:
            yield from _not_like(_validator({"$ref": "#/components/schemas/ProblemDetails"}), answer.json())


def _not_like(validator: Any, body: Any) -> Iterator[str]:
    for error in validator.iter_errors(body):
        yield f"at /{'/'.join(map(str, error.instance_path))}: {error.message[:500]}"


def _wrong_body(answer: Response, media_type: str, promise: Promise, *, whole: bool) -> Iterator[str]:
    if media_type not in promise.bodies:
        if promise.bodies or media_type:
            yield f"has a body of {media_type or 'no type'}, not of {' or '.join(promise.bodies) or 'none'}"
    elif whole and (validator := promise.bodies[media_type]):
        body: Any = answer.json() if media_type.endswith("json") else answer.text
        yield from _not_like(validator, body)
        if media_type == PROBLEM and (code := body.get("code")) not in promise.codes:
            yield f"is {code}, which is not among its problems"
