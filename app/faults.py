"""Answers every failure, the framework's own included, with a problem document (RFC 9457)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.db import is_outage, is_transient
from app.problems import (
    ContentTooLarge,
    Fault,
    FieldError,
    Invalid,
    Language,
    Malformed,
    MethodNotAllowed,
    NotFound,
    Problem,
    ProblemDetails,
    Text,
    Unavailable,
    VersionMismatch,
)

log = structlog.get_logger()
MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100
LONGEST = 400
"""Characters of the words of which one is expected; the contract has all of them."""

# What pydantic's error types say, in our words: its own messages quote the input, ours never do.
MESSAGES: dict[str, Text] = {
    "missing": Text("This is required.", "Das ist erforderlich."),
    "extra_forbidden": Text("There is no such field.", "Dieses Feld gibt es nicht."),
    "string_type": Text("Must be a string.", "Muss ein Text sein."),
    "string_too_short": Text("At least {min_length} characters.", "Mindestens {min_length} Zeichen."),
    "string_too_long": Text("At most {max_length} characters.", "Höchstens {max_length} Zeichen."),
    "string_pattern_mismatch": Text(
        "Must match {pattern}, a regular expression.", "Muss auf {pattern} passen, einen regulären Ausdruck."
    ),
    "bool_type": Text("Must be true or false.", "Muss true oder false sein."),
    "int_type": Text("Must be a whole number.", "Muss eine ganze Zahl sein."),
    "int_parsing": Text("Must be a whole number.", "Muss eine ganze Zahl sein."),
    "greater_than_equal": Text("At least {ge}.", "Mindestens {ge}."),
    "less_than_equal": Text("At most {le}.", "Höchstens {le}."),
    "uuid_type": Text("Must be a UUID.", "Muss eine UUID sein."),
    "uuid_parsing": Text("Must be a UUID.", "Muss eine UUID sein."),
    "enum": Text("Must be one of: {expected}.", "Muss eines davon sein: {expected}."),
    "literal_error": Text("Must be one of: {expected}.", "Muss eines davon sein: {expected}."),
    "too_long": Text("At most {max_length} entries.", "Höchstens {max_length} Einträge."),
    "model_attributes_type": Text("Must be an object.", "Muss ein Objekt sein."),
    "dict_type": Text("Must be an object.", "Muss ein Objekt sein."),
    "float_type": Text("Must be a number.", "Muss eine Zahl sein."),
    "list_type": Text("Must be a list.", "Muss eine Liste sein."),
    "duplicate_key": Text("Every key once.", "Jeder Schlüssel nur einmal."),
    "reserved_key": Text("A column of every account has this name.", "So heißt eine Spalte jedes Kontos."),
    "email": Text("Must be an e-mail address.", "Muss eine E-Mail-Adresse sein."),
    "network": Text(
        "Must be a network or an address: 203.0.113.0/24.", "Muss ein Netz oder eine Adresse sein: 203.0.113.0/24."
    ),
    "unknown_event_type": Text("There is no such type of event.", "Diese Art von Ereignis gibt es nicht."),
    "time_zone": Text(
        "Must be the name of a time zone: Europe/Berlin.", "Muss der Name einer Zeitzone sein: Europe/Berlin."
    ),
    "datetime_parsing": Text(
        "Must be a moment with its zone, from 2000 to 2999: 2027-01-31T09:30:00Z.",
        "Muss ein Zeitpunkt mit Zone sein, von 2000 bis 2999: 2027-01-31T09:30:00Z.",
    ),
    "duration_too_long": Text("At most a hundred years.", "Höchstens hundert Jahre."),
    "address_in_name": Text("Must not hold a web address.", "Darf keine Webadresse enthalten."),
    "unprintable": Text("Holds characters that cannot be shown.", "Enthält nicht darstellbare Zeichen."),
}
EMPTY = Text("Must not be empty.", "Darf nicht leer sein.")
UNKNOWN = Text("Is not valid.", "Ist nicht gültig.")


def language_of(scope: Scope) -> Language:
    """The language of titles and details: the best of `Accept-Language` (RFC 9110, 12.5.4) that we speak."""
    accepted = next((v.decode("latin-1") for k, v in scope["headers"] if k == b"accept-language"), "")
    best, found = 0.0, "en"
    for part in accepted.split(",")[:20]:
        tag, _, q = part.replace(" ", "").lower().partition(";q=")
        language = tag.split("-")[0]
        weight = float(q) if re.fullmatch(r"0(\.\d{1,3})?|1(\.0{1,3})?", q) else 0.0 if q else 1.0
        if language in ("en", "de") and weight > best:
            best, found = weight, language
    return found


def document(scope: Scope, problem: Problem) -> ProblemDetails:
    """The problem as the request in `scope` is told of it."""
    language = language_of(scope)
    return problem.shape(
        type=f"{scope['app'].state.settings.url}/problems/{problem.code}",
        title=problem.title.to(language),
        status=problem.status,
        code=problem.code,
        detail=problem.detail.to(language),
        request_id=scope.get("request_id", ""),
        errors=[FieldError(pointer=e.pointer[:300], code=e.code, detail=e.detail.to(language)[:500])
                for e in problem.errors[:MAX_ERRORS]],
        **problem.members,
    )  # fmt: skip


def answer(scope: Scope, problem: Problem) -> Response:
    """The problem as a response to the request in `scope`."""
    headers = {**problem.headers, "Content-Language": language_of(scope), "Vary": "Accept-Language"}
    return Response(
        document(scope, problem).model_dump_json(exclude_unset=True), problem.status, headers, media_type=MEDIA_TYPE
    )


def faults_in(errors: Sequence[Mapping[str, Any]], body: object = None) -> list[Fault]:
    return [_fault(e, body) for e in errors[:MAX_ERRORS]]


def _fault(error: Mapping[str, Any], body: object) -> Fault:
    where, *path = error["loc"]
    code = re.sub(r"[^a-z0-9_]", "_", str(error["type"]))[:80]
    context = cast("dict[str, Any]", error.get("ctx") or {})
    if code in TAG_FAULTS:
        path, code = [*path, str(context["discriminator"]).strip("'")], TAG_FAULTS[code]
        context = {"expected": context.get("expected_tags")}
    if len(expected := str(context.get("expected", ""))) > LONGEST:
        context = {"expected": expected[:LONGEST].rpartition(",")[0] + ", …"}
    if where == "body":
        pointer = "".join("/" + _safe(p).replace("~", "~0").replace("/", "~1") for p in _of_client(path, body))
    else:
        pointer = f"{where}:" + ".".join(_safe(p) for p in path)
    text = EMPTY if context.get("min_length") == 1 else MESSAGES.get(code, UNKNOWN)
    if "expected" in context:  # pydantic's list of the words ends in an English "or"
        german = {**context, "expected": str(context["expected"]).replace(" or ", " oder ")}
        return Fault(pointer, code, Text(text.en.format_map(context), text.de.format_map(german)))
    return Fault(pointer, code, Text(*(t.format_map(context) if context else t for t in text)))


# What pydantic says of the field that tells several models apart, in the words of any other field.
TAG_FAULTS = {"union_tag_invalid": "literal_error", "union_tag_not_found": "missing"}
TAGS = ("type", "action", "kind")


def _of_client(path: Sequence[Any], body: object) -> Iterator[Any]:
    """A path without the names of models that pydantic puts in: the client's document has no such parts."""
    node, last = body, len(path) - 1
    for n, part in enumerate(path):
        inner: Any = cast("dict[Any, Any]", node) if isinstance(node, dict) else {}
        has_parts = part in inner and (n == last or isinstance(inner[part], (dict, list)))
        if has_parts and n < last and path[n + 1] == part and part not in inner[part]:
            has_parts = False  # the model has the name of the field after it, and comes first
        if not has_parts and any(part == inner[tag] for tag in TAGS if tag in inner):
            continue
        yield part
        entries: Any = cast("list[Any]", node) if isinstance(node, list) else []
        node = entries[part] if isinstance(part, int) and part < len(entries) else inner.get(part)


def _safe(part: object) -> str:
    """A key of the client's in a pointer, if it could be the name of a field: nothing else of the input is repeated."""
    text = str(part)
    return text if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", text) else "?"


def of_http_exception(error: HTTPException, request: Request) -> Problem:
    """The framework's own refusals."""
    match error.status_code:
        case 404:
            return NotFound()
        case 405:
            return MethodNotAllowed(headers={"Allow": ", ".join(request.app.state.allowed(request.url.path))})
        case 413:
            return ContentTooLarge()
        case _:
            return Malformed()


def install(app: FastAPI) -> None:
    """Turn every expected exception of the app into a problem document."""

    @app.exception_handler(Problem)
    async def _(request: Request, exc: Problem) -> Response:
        return answer(request.scope, exc)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, exc: RequestValidationError) -> Response:
        return answer(request.scope, Invalid(errors=faults_in(exc.errors(), exc.body)))

    @app.exception_handler(HTTPException)
    async def _(request: Request, exc: HTTPException) -> Response:
        return answer(request.scope, of_http_exception(exc, request))

    @app.exception_handler(StaleDataError)
    async def _(request: Request, _exc: StaleDataError) -> Response:
        return answer(request.scope, VersionMismatch())

    @app.exception_handler(PoolTimeout)
    async def _(request: Request, _exc: PoolTimeout) -> Response:
        return answer(request.scope, Unavailable())

    @app.exception_handler(DBAPIError)
    async def _(request: Request, exc: DBAPIError) -> Response:
        if not (is_outage(exc) or is_transient(exc)):  # transient: it failed on every try
            raise exc
        log.warning("database unavailable", error=type(exc.orig).__name__)
        return answer(request.scope, Unavailable())

    @app.exception_handler(OSError)  # the database again: refused, too slow to accept, or its socket is gone
    async def _(request: Request, exc: OSError) -> Response:
        log.warning("database unavailable", error=type(exc).__name__)
        return answer(request.scope, Unavailable())
