"""Finishing touches of openapi.json: mechanical, so that no route repeats them and none can forget them."""

import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, Final, cast

from app import callbacks
from app.problems import KINDS, Problem, ProblemDetails

Document = dict[str, Any]

METHODS: Final = ("get", "put", "post", "delete", "patch")
PROBLEM: Final = "application/problem+json"
LIMITED: Final = "/v1/"
RATES: Final = ["RateLimit", "RateLimit-Policy"]
FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")
SCHEME: Final = "accessToken"
EVERYWHERE: Final = ("malformed_request", "invalid", "headers_too_large", "internal_error", "unavailable")
EXAMPLE_ID: Final = "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60"

DONE: Final = {
    "200": "Done.",
    "201": "Created.",
    "202": "Taken; it is done soon.",
    "204": "Done; there is nothing to show.",
}

TAGS: Final = {
    "sessions": "Logging in and out, and forgotten passwords.",
    "me": "The signed-in user: profile, password, second factor, sessions, and the user's own data.",
    "registrations": "Accepting invitations.",
    "partners": "Resellers with child accounts.",
    "accounts": "Child accounts: the customers of a partner.",
    "imports": "Accounts from CSV and XLSX files: a dry run first, then a job.",
    "jobs": "What workers do for a partner over minutes, of all kinds.",
    "properties": "The columns of the accounts table that a partner invents.",
    "catalogue": "What the service offers: features that may be used, articles that are sold, and price models.",
    "purchases": "Articles that accounts bought: bought, cancelled, renewed, upgraded.",
    "licences": "What accounts may use and for how long: by purchase, by price model, by hand.",
    "entitlements": "What accounts may use, what of it they use, and why something may or may not be used.",
    "claims": "Single uses of what an account is entitled to: units that a resource takes until it is released.",
    "views": "Saved views of the accounts table.",
    "members": "Users with a role in a partner or in an account.",
    "invitations": "E-mails with a role, waiting to become memberships.",
    "events": "What happened in a partner: in order, for programs; and as the audit log, for people.",
    "api clients": "Programs that call for a partner, or for the cloud: their keys, and tokens for them.",
    "webhooks": "Addresses to which a partner has its events sent, signed as Standard Webhooks asks.",
    "policy": "Which role may do what, and the keys that verify tokens.",
    "operation": "Health checks.",
}

DESCRIPTION: Final = """\
Partner management for B2B and IoT clouds: partners create customer accounts, invite people, and see what
each account has.

Every error is a problem document (RFC 9457) with a stable `code`. Lists are paged by cursor. `PATCH` and
`DELETE` of a resource with an `ETag` need `If-Match`. A `POST` that is repeated with the same
`Idempotency-Key` has its effect once.
"""


def _header(description: str, example: object, **schema: Any) -> Document:
    return {"description": description, "schema": {"type": "string", "maxLength": 200, **schema}, "example": example}


HEADERS: Final[dict[str, Document]] = {
    "X-Request-Id": _header("Quote it when you report a problem; yours, if you sent one.", EXAMPLE_ID,
                            maxLength=64, pattern="^[A-Za-z0-9._-]+$"),
    "ETag": _header("Version of the resource, for If-Match and If-None-Match.", '"3"', pattern='^(W/)?"[!#-~]*"$'),
    "Location": _header("Address of the new resource.", f"/v1/partners/{EXAMPLE_ID}", maxLength=500,
                        format="uri-reference"),
    "Link": _header('RFC 8288; rel="next" while there is another page.', '</v1/partners?cursor=eyJ>; rel="next"',
                    maxLength=4000),
    "Content-Disposition": _header("RFC 6266: that it is a file, and its name.",
                                   'attachment; filename="accounts-2026-11-24.csv"'),
    "Allow": _header("Methods of this address.", "GET, PATCH"),
    "Idempotency-Replayed": _header("`true` when this is the answer to an earlier request with the same key.", "true",
                                    enum=["true"]),
    "Retry-After": {"description": "Seconds to wait.", "example": 2,
                    "schema": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 86400}},
    "RateLimit-Policy": _header("What the caller may spend: units (`q`) in so many seconds (`w`).",
                                '"credential";q=6000;w=60'),
    "RateLimit": _header("What is left of it (`r`), and in how many seconds all of it is there again (`t`).",
                         '"credential";r=5994;t=1'),
    "WWW-Authenticate": _header("RFC 9110, 11.6.1.", "Bearer"),
}  # fmt: skip

IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any unique string. A repeat within 24 hours with the same key gets the first answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "example": "5e4f0b1c-order-1188",
}
IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "An ETag that you have: 304 without a body when it is still the same.",
    "schema": {"type": "string", "maxLength": 200, "pattern": '^(\\*|(W/)?"[!#-~]*")$'},
    "example": '"3"',
}


def finalise(document: Document) -> Document:
    """The document as it is published: FastAPI's, with problems, headers and security on every operation."""
    # Page[AccountRead] is AccountPage: a name that a generated client can bear
    doc: Document = json.loads(re.sub(r"Page_(\w+?)(?:Read)?_(?=\")", r"\1Page", json.dumps(document)))
    doc["info"]["description"] = DESCRIPTION
    doc["servers"] = [{"url": "/", "description": "The service that answers with this document."}]
    doc["tags"] = [{"name": n, "description": d} for n, d in TAGS.items()]
    components = doc.setdefault("components", {})
    components["securitySchemes"] = {
        SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                 "description": "Access token (RFC 6750) of `createSession`, `switchAccount` or `createToken`: a JWT "
                                "as RFC8725 asks. Or the secret of an API client as it is."}
    }  # fmt: skip
    schemas = components.setdefault("schemas", {})
    for gone in ("HTTPValidationError", "ValidationError"):
        schemas.pop(gone, None)
    for shape in {ProblemDetails, *(kind.shape for kind in KINDS.values())}:
        own = shape.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= own.pop("$defs") | {shape.__name__: own}
    callbacks.add(doc)
    components["headers"] = deepcopy(HEADERS)
    components["responses"] = {_name(k): _response(k) for k in KINDS.values()}
    for path, method, operation in _operations(doc):
        _name_form(schemas, operation)
        _finish(path, method, operation)
    _walk([doc["paths"], components["pathItems"]], _tidy)
    _walk(schemas, _tidy)
    for schema in schemas.values():
        schema.pop("title", None)
    components["schemas"] = dict(sorted(schemas.items()))
    for kind in ("responses", "headers"):  # responses first: some headers are theirs alone
        text, shared = json.dumps(doc), cast("Document", components[kind])
        components[kind] = {n: s for n, s in shared.items() if f'"#/components/{kind}/{n}"' in text}
    return doc


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


def _finish(path: str, method: str, operation: Document) -> None:
    permission = operation["x-permission"]
    operation["summary"] = re.split(r"[.:]\s", operation["description"])[0].rstrip(".")
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
    if not parameters:
        del operation["parameters"]
    responses = {s: r for s, r in operation["responses"].items() if s[0] in "23"}
    for status, response in responses.items():
        response["description"] = DONE.get(status, response["description"])
        response["headers"] = _refs(["X-Request-Id", *headers])
        if idempotent:
            response["headers"] |= _refs(["Idempotency-Replayed"])
        if path.startswith(LIMITED):
            response["headers"] |= _refs(RATES)
    if tagged:
        responses["304"] = {"description": "It is what you have.", "headers": _refs(["X-Request-Id", "ETag"])}
    for status, kinds in _by_status(_codes(path, operation, idempotent=idempotent)).items():
        responses[status] = _error(kinds)
    operation["responses"] = dict(sorted(responses.items()))


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
        codes += ["partner_suspended", "partner_management_off", "client_owner_gone", "network_not_allowed"]
    if "{" in path:
        codes.append("not_found")
    if "requestBody" in operation:
        codes += ["request_timeout", "content_too_large", "unsupported_media_type", "invalid"]
    if "422" in operation["responses"]:
        codes.append("invalid")
    if idempotent:
        codes += ["idempotency_key_in_use", "idempotency_key_reused", "invalid"]
    return list(dict.fromkeys(codes))


def _by_status(codes: list[str]) -> dict[str, list[type[Problem]]]:
    found: dict[str, list[type[Problem]]] = {}
    for code in codes:
        found.setdefault(str(KINDS[code].status), []).append(KINDS[code])
    return found


def _error(kinds: list[type[Problem]]) -> Document:
    if len(kinds) == 1:
        return {"$ref": f"#/components/responses/{_name(kinds[0])}"}
    headers = dict.fromkeys(h for k in kinds for h in _headers_of(k))
    return {
        "description": "; ".join(f"`{k.code}`: {k.title.en}" for k in kinds) + ".",
        "headers": _refs(list(headers)),
        "content": {PROBLEM: {
            "schema": _shape(kinds),
            "examples": {k.code: {"summary": k.title.en, "value": _example(k)} for k in kinds},
        }},
    }  # fmt: skip


def _success_headers(operation: Document, method: str, *, idempotent: bool) -> list[str]:
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
    return "".join(word.title() for word in kind.code.split("_"))


def _headers_of(kind: type[Problem]) -> list[str]:
    own = [h for h in kind.fixed_headers if h in HEADERS]
    return [
        "X-Request-Id",
        *own,
        *(["Retry-After"] if kind.status == 429 else []),
        *(RATES if kind.code == "too_many_requests" else []),
        *(["Allow"] if kind.status == 405 else []),
    ]


def _response(kind: type[Problem]) -> Document:
    return {
        "description": f"`{kind.code}`: {kind.title.en}. {kind.detail.en}",
        "headers": _refs(_headers_of(kind)),
        "content": {PROBLEM: {
            "schema": _shape([kind]),
            "example": _example(kind),
        }},
    }  # fmt: skip


def _shape(kinds: list[type[Problem]]) -> Document:
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


def _refs(headers: list[str]) -> Document:
    return {h: {"$ref": f"#/components/headers/{h}"} for h in headers}


# --- schemas ---


def _walk(node: Any, visit: Callable[[Document], None]) -> None:
    if isinstance(node, dict):
        found = cast("Document", node)
        visit(found)
        for name, inner in list(found.items()):
            if name not in ("example", "examples"):
                _walk(inner, visit)
    elif isinstance(node, list):
        for inner in cast("list[Any]", node):
            _walk(inner, visit)


def _tidy(node: Document) -> None:
    """One schema as generators like it best."""
    properties: dict[str, Any] = node.get("properties") or {}
    for inner in properties.values():
        if isinstance(inner, dict):  # else `properties` is the name of a field, and this its schema
            cast("Document", inner).pop("title", None)
    if node.get("in") in ("query", "path", "header") and "schema" in node:
        _parameter(node["schema"])
    _fold_null(node)
    if node.get("type") in ("integer", ["integer", "null"]):
        node.setdefault("format", "int32")
        for bound in ("minimum", "maximum"):
            if isinstance(node.get(bound), float):
                node[bound] = int(node[bound])
    if "const" in node and "type" in node:
        node["enum"] = [node.pop("const")]
    if "default" in node and node["default"] is None:
        del node["default"]
    if node.get("type") == "string" and node.get("format") == "uuid":
        node.setdefault("examples", [EXAMPLE_ID])


def _fold_null(node: Document) -> None:
    """`anyOf: [T, null]` as `type: [T, "null"]`, which every generator reads as an optional T."""
    kinds = node.get("anyOf")
    if not isinstance(kinds, list) or {"type": "null"} not in kinds:
        return
    rest: list[Document] = [k for k in cast("list[Document]", kinds) if k != {"type": "null"}]
    if len(rest) == 1 and isinstance(rest[0].get("type"), str):
        del node["anyOf"]
        for key, value in rest[0].items():
            node.setdefault(key, value)
        node["type"] = [rest[0]["type"], "null"]
        if "enum" in node:
            node["enum"] = [*node["enum"], None]


def _parameter(schema: Document) -> None:
    """A parameter is there or not; it is never null."""
    schema.pop("title", None)
    _fold_null(schema)
    if isinstance(schema.get("type"), list):
        schema["type"] = next(t for t in schema["type"] if t != "null")
    if None in schema.get("enum", ()):
        schema["enum"].remove(None)
    if isinstance(schema.get("items"), dict):
        schema["items"].pop("title", None)


def pretty(document: Document) -> str:
    """The document as it is committed: a line a value, so that a change shows in a diff."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
