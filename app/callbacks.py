"""The section `webhooks` of the contract: an entry for every type of event that is sent to whoever asked for it."""

from typing import Any, Final

from app.event_types import FEED
from app.schemas.webhook_message import WebhookMessage
from app.tidying import title_of

Document = dict[str, Any]

TAG: Final = "webhook-messages"
"""No route's: generators make a file of each tag, and would write one over the other."""
TAG_DESCRIPTION: Final = "What is sent to the addresses that a partner has registered: requests to you, not to us."
REFERENCE: Final = "#/components/schemas/{model}"

_PARAMETERS: Final[list[Document]] = [
    {
        "name": "webhook-id", "in": "header", "required": True, "example": "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60",
        "description": "Id of the message, the same whenever it is sent again: by it, drop what you have already.",
        "schema": {"type": "string", "maxLength": 80, "pattern": "^[A-Za-z0-9_-]+$"}},
    {
        "name": "webhook-timestamp", "in": "header", "required": True, "example": "1764061800",
        "description": "When it is sent, in seconds since 1970 (UTC): refuse what is older than five minutes.",
        "schema": {"type": "string", "maxLength": 12, "pattern": "^[0-9]+$"}},
    {
        "name": "webhook-signature", "in": "header", "required": True,
        "example": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
        "description": "Standard Webhooks: `v1,` and the HMAC-SHA256 of id, timestamp and body, in Base64; several, "
        "separated by spaces, while secrets are rotated: one must be right.",
        "schema": {"type": "string", "maxLength": 1000, "pattern": "^[A-Za-z0-9,+/= ]+$"}},
]  # fmt: skip
_ANSWERS: Final[Document] = {
    "WebhookTaken": {"description": "Taken. Any 2xx says so; anything else, or none in time, and it is sent again."},
    "WebhookUnwanted": {
        "description": "Nobody wants it any more: nothing is sent to this address until it is enabled again."
    },
}

PINGED: Final = "webhook.ping"
PING: Final[Document] = {
    "type": "object", "description": "A test, which no event is behind.", "required": ["type", "timestamp", "data"],
    "properties": {
        "type": {"type": "string", "enum": [PINGED]},
        "timestamp": {"type": "string", "format": "date-time", "maxLength": 35, "description": "When it was asked for.",
                      "examples": ["2026-11-23T09:30:00.000Z"]},
        "data": {
            "type": "object", "description": "Which webhook is tried out.", "required": ["webhook_id"],
            "properties": {"webhook_id": {"type": "string", "format": "uuid"}},
        },
    },
}  # fmt: skip


def add(document: Document) -> None:
    """Put the section into the document, behind components: generators stumble over one that stands there itself."""
    components = document["components"]
    schema = WebhookMessage.model_json_schema(mode="serialization", ref_template=REFERENCE)
    components["schemas"] |= schema.pop("$defs") | {WebhookMessage.__name__: schema}
    components["schemas"] |= {"WebhookPing": PING}
    items = {_name(kind): {"post": _operation(kind, said.description, "WebhookMessage")} for kind, said in FEED.items()}
    items[_name(PINGED)] = {"post": _operation(PINGED, "Somebody tries out whether messages arrive.", "WebhookPing")}
    components |= {"pathItems": items, "parameters": Document(), "responses": dict(_ANSWERS)}
    document["webhooks"] = {kind: {"$ref": f"#/components/pathItems/{_name(kind)}"} for kind in (*FEED, PINGED)}
    document["tags"].append({"name": TAG, "description": TAG_DESCRIPTION})


def _name(kind: str) -> str:
    """`account.role_changed` as `accountRoleChanged`."""
    first, *rest = kind.replace(".", "_").split("_")
    return first + "".join(word.title() for word in rest)


def _operation(kind: str, said: str, schema: str) -> Document:
    body: Document = {"schema": {"$ref": REFERENCE.format(model=schema)}}
    return {
        "tags": [TAG], "operationId": f"on{_name(kind)[0].upper()}{_name(kind)[1:]}", "summary": title_of(said),
        "description": f"{said} The message's `type` is `{kind}`.", "security": [],
        "parameters": _PARAMETERS,  # as they are: openapi-generator takes references here for one and the same
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {status: {"$ref": f"#/components/responses/{name}"}
                      for status, name in zip(("200", "410"), _ANSWERS, strict=True)},
    }  # fmt: skip
