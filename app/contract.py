"""Finishing touches of openapi.json: mechanical, so that no route repeats them and none can forget them."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Final, cast

from app import callbacks
from app.phrases import (
    ALWAYS_SENT,
    BETTER_SAID,
    DONE,
    HEADERS,
    IDEMPOTENCY_KEY,
    IF_NONE_MATCH,
    INFO,
    NOT_WITH_OTHERS,
    PAGE,
    SCHEME,
    SECURITY,
    SERVER,
    TAGS,
    UNIONS,
)
from app.problems import KINDS, Problem, ProblemDetails
from app.tidying import EXAMPLE_ID, example_of, name_of, tidy, title_of, walk

Document = dict[str, Any]

METHODS: Final = ("get", "put", "post", "delete", "patch")
PROBLEM: Final = "application/problem+json"
LIMITED: Final = "/v1/"
RATES: Final = ("RateLimit", "RateLimit-Policy")
ALWAYS: Final = ("X-Request-Id", "Access-Control-Allow-Origin")
FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")
EVERYWHERE: Final = (
    "malformed_request", "content_too_large", "unsupported_media_type", "invalid", "headers_too_large",
    "internal_error", "unavailable",
)  # fmt: skip
"""What any request can meet: also one whose address takes no body may bring one, or a `Content-Encoding`."""
IN_PARTNER: Final = ("partner_suspended", "partner_management_off", "client_owner_gone", "network_not_allowed")
SHARED_PARAMETERS: Final = (
    "partner_id", "account_id", "Idempotency-Key", "If-Match", "If-None-Match", "limit", "cursor", "count", "q",
)  # fmt: skip
"""What most operations take, and is described once for all of them."""
SHARED_REFUSALS: Final[dict[tuple[str, ...], str]] = {
    ("insufficient_scope", "forbidden"): "NotAllowed",
    ("insufficient_scope", "forbidden", *IN_PARTNER): "NotAllowedInPartner",
    ("invalid", "idempotency_key_reused"): "InvalidOrKeyReused",
}
"""The names of responses that are of several problems and of many operations."""
NOTHING: Final[Document] = {"application/json": {"schema": {}}}
"""What FastAPI says of an endpoint that makes its own answer, and shows nothing."""


def finalise(document: Document) -> Document:
    """The document as it is published: FastAPI's, with problems, headers and security on every operation."""
    # Page[AccountRead] is AccountPage: a name that a generated client can bear
    doc: Document = json.loads(re.sub(r"Page_(\w+?)(?:Read)?_(?=\")", r"\1Page", json.dumps(document)))
    doc["info"] |= INFO
    doc["servers"] = [SERVER]
    doc["tags"] = [{"name": n, "description": d} for n, d in TAGS.items()]
    components = doc.setdefault("components", {})
    components["securitySchemes"] = SECURITY
    schemas = components.setdefault("schemas", {})
    for gone in ("HTTPValidationError", "ValidationError"):
        schemas.pop(gone, None)
    for shape in {ProblemDetails, *(kind.shape for kind in KINDS.values())}:
        own = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= own.pop("$defs") | {shape.__name__: own}
    callbacks.add(doc)
    _add_shared(components)
    for path, method, operation in _operations(doc):
        _name_form(schemas, operation)
        _finish(path, method, operation)
    walk(doc, partial(_name_union, schemas))
    walk([doc["paths"], components["pathItems"], components["parameters"], schemas], tidy)
    _share_parameters(doc)
    _describe(schemas)
    components["schemas"] = dict(sorted(schemas.items()))
    for kind in ("responses", "headers", "examples"):  # responses first: the others may be theirs alone
        text, shared = json.dumps(doc), cast("Document", components[kind])
        components[kind] = {n: s for n, s in shared.items() if f'"#/components/{kind}/{n}"' in text}
    return doc


def _add_shared(components: Document) -> None:
    """Headers, and what every problem looks like."""
    components["headers"] = deepcopy(HEADERS | {name: HEADERS[name] | {"required": True} for name in ALWAYS_SENT})
    components["examples"] = {_name(k): {"summary": k.title.en, "value": _example(k)} for k in KINDS.values()}
    components["responses"] |= {_name(k): _response([k], f". {k.detail.en}") for k in KINDS.values()}
    components["responses"] |= {n: _response([KINDS[c] for c in codes]) for codes, n in SHARED_REFUSALS.items()}


def _describe(schemas: Document) -> None:
    """Every schema has an example."""
    for name, said in BETTER_SAID.items():
        schemas[name]["examples"] = [example_of(schemas[name], schemas) | said]
    for name, schema in schemas.items():
        schema.pop("title", None)
        if name.endswith("Page"):
            schema["description"] = PAGE
        example = example_of(schema, schemas)
        for other in NOT_WITH_OTHERS.get(name, ()):
            example.pop(other, None)
        if not _like_a_schema(example):
            schema.setdefault("examples", [example])


def _like_a_schema(example: Any) -> bool:
    """Whether Spectral takes an example for a schema: a definition of a column, which has a type and a default. The
    examples of its fields must do.
    """
    return '"default":' in json.dumps(example)


def _share_parameters(doc: Document) -> None:
    """What most operations take stands among the components, once; another of the same name stays where it is."""
    every = [one for _, _, operation in _operations(doc) for one in operation.get("parameters", ())]
    counts = Counter(json.dumps(one) for one in every if one["name"] in SHARED_PARAMETERS)
    shared: Document = {}
    for text, _ in counts.most_common():
        one = json.loads(text)
        shared.setdefault(name_of(one["name"]), one)
    for _, _, operation in _operations(doc):
        for place, one in enumerate(operation.get("parameters", ())):
            if shared.get(name_of(one["name"])) == one:
                operation["parameters"][place] = {"$ref": f"#/components/parameters/{name_of(one['name'])}"}
    doc["components"]["parameters"] |= shared


def _operations(doc: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in doc["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


# --- one operation ---


def _name_form(schemas: Document, operation: Document) -> None:
    """A form that an endpoint reads by itself has a name, as every other body: its title."""
    content: Document = operation.get("requestBody", {}).get("content", {})
    for form in (content[media_type] for media_type in FORMS if media_type in content):
        if "title" in form["schema"]:
            name = form["schema"].pop("title")
            schemas[name], form["schema"] = form["schema"], {"$ref": f"#/components/schemas/{name}"}


def _name_union(schemas: Document, node: Document) -> None:
    """A union of objects has a name, too, wherever it is used."""
    first: str = (node.get("oneOf") or [Document()])[0].get("$ref", "").rpartition("/")[2]
    if first in UNIONS and node is not schemas.get(UNIONS[first][0]):
        name, description = UNIONS[first]
        schemas[name] = {
            "description": description,
            "oneOf": node.pop("oneOf"),
            "discriminator": node.pop("discriminator"),
        }
        node.pop("title", None)
        node["$ref"] = f"#/components/schemas/{name}"


def _finish(path: str, method: str, operation: Document) -> None:
    permission = operation["x-permission"]
    operation["summary"] = title_of(operation["description"])
    if permission == "public":
        operation["security"] = [{}, {SCHEME: []}] if operation.pop("x-optional-token", False) else []
    else:
        operation["security"] = [{SCHEME: []}]
    parameters = operation.setdefault("parameters", [])
    idempotent = operation.pop("x-idempotent", False)
    if idempotent:
        parameters.append(IDEMPOTENCY_KEY)
    headers = _success_headers(operation, method, idempotent=idempotent)
    tagged = method == "get" and "ETag" in headers
    if tagged:
        parameters.append(IF_NONE_MATCH)
    # as in the path: generated methods take them in this order
    parameters.sort(key=lambda one: path.index(f"{{{one['name']}}}") if one["in"] == "path" else len(path))
    if not parameters:
        del operation["parameters"]
    responses = {s: r for s, r in operation["responses"].items() if s[0] in "23"}
    _finish_successes(path, responses, headers, idempotent=idempotent)
    if tagged:
        responses["304"] = {"description": "It is what you have.", "headers": _refs([*ALWAYS, "ETag", *RATES])}
    for status, kinds in _by_status(_codes(path, operation, idempotent=idempotent)).items():
        responses[status] = _error(kinds)
    operation["responses"] = dict(sorted(responses.items()))


def _finish_successes(path: str, responses: Document, headers: Sequence[str], *, idempotent: bool) -> None:
    for status, response in responses.items():
        if response.get("content") == NOTHING:
            del response["content"]
        response["description"] = DONE.get(status, response["description"])
        response["headers"] = _refs([*ALWAYS, *headers])
        if idempotent:
            response["headers"] |= _refs(["Idempotency-Replayed"])
        if path.startswith(LIMITED):
            response["headers"] |= _refs(RATES)


def _codes(path: str, operation: Document, *, idempotent: bool) -> list[str]:
    codes = [*EVERYWHERE, *operation.pop("x-problems", [])]
    if path.startswith(LIMITED):
        codes.append("too_many_requests")
    permission = operation["x-permission"]
    if permission != "public" or len(operation["security"]) > 1:
        codes += ["unauthenticated", "insufficient_scope"]
    if permission == "anyone":
        codes.append("network_not_allowed")
    if ":" in permission:
        codes.append("forbidden")
    if "{partner_id}" in path:
        codes += IN_PARTNER
    if "{" in path:
        codes.append("not_found")
    if "requestBody" in operation:
        codes.append("request_timeout")
    if "422" in operation["responses"]:
        codes.append("invalid")
    if idempotent:
        codes += ["request_timeout", "idempotency_key_in_use", "idempotency_key_reused"]
    return list(dict.fromkeys(codes))


def _by_status(codes: list[str]) -> dict[str, list[type[Problem]]]:
    found: dict[str, list[type[Problem]]] = {}
    for code in codes:
        found.setdefault(str(KINDS[code].status), []).append(KINDS[code])
    return found


def _error(kinds: Sequence[type[Problem]]) -> Document:
    name = _name(kinds[0]) if len(kinds) == 1 else SHARED_REFUSALS.get(tuple(k.code for k in kinds))
    return {"$ref": f"#/components/responses/{name}"} if name else _response(kinds)


def _success_headers(operation: Document, method: str, *, idempotent: bool) -> list[str]:
    if "x-headers" in operation:  # an endpoint that knows better
        return operation.pop("x-headers")
    responses: dict[str, Document] = operation["responses"]
    success: Document = next((r for s, r in responses.items() if s[0] == "2"), Document())
    content: Document = success.get("content", {})
    reference: str = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    if reference.endswith("Page"):
        return ["Link"]
    if "text/event-stream" in content:
        return []
    if content and not any(media_type.endswith("json") for media_type in content):
        return ["Content-Disposition"]  # a file
    tagged = bool(content) and (method in ("get", "patch") or idempotent)
    return (["ETag"] if tagged else []) + (["Location"] if idempotent and "201" in responses else [])


# --- shared responses ---


def _name(kind: type[Problem]) -> str:
    return name_of(kind.code)


def _headers_of(kind: type[Problem]) -> list[str]:
    own = [h for h in kind.fixed_headers if h in HEADERS]
    return [
        *ALWAYS,
        "Content-Language",
        *own,
        *(["Retry-After"] if kind.status == 429 else []),
        *(["Allow"] if kind.status == 405 else []),
        *RATES,
    ]


def _response(kinds: Sequence[type[Problem]], more: str = ".") -> Document:
    headers = dict.fromkeys(h for k in kinds for h in _headers_of(k))
    return {
        "description": "; ".join(f"`{k.code}`: {k.title.en}" for k in kinds) + more,
        "headers": _refs(list(headers)),
        "content": {PROBLEM: {
            "schema": _shape(kinds),
            "examples": {k.code: {"$ref": f"#/components/examples/{_name(k)}"} for k in kinds},
        }},
    }  # fmt: skip


def _shape(kinds: Sequence[type[Problem]]) -> Document:
    """The one document that all of them are: a union would be of no use to most generators."""
    shapes = [k.shape for k in kinds]
    widest = max(shapes, key=lambda s: len(s.model_fields))
    if not all(issubclass(widest, s) for s in shapes):
        raise RuntimeError(f"no one shape for {kinds}")
    return {"$ref": f"#/components/schemas/{widest.__name__}"}


def _example(kind: type[Problem]) -> Document:
    errors = [{"pointer": "/name", "code": "missing", "detail": "This is required."}] if kind.status == 422 else []
    return {
        "type": f"https://tenantry.example.com/problems/{kind.code}",
        "title": kind.title.en,
        "status": kind.status,
        "code": kind.code,
        "detail": kind.detail.en,
        "request_id": EXAMPLE_ID,
        "errors": errors,
        **kind.example,
    }


def _refs(headers: Sequence[str]) -> Document:
    return {h: {"$ref": f"#/components/headers/{h}"} for h in headers}


def pretty(document: Document) -> str:
    """The document as it is committed: a line a value, so that a change shows in a diff."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
