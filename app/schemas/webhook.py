from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app import words
from app.event_types import FEED
from app.models.webhook import DisabledReason, WebhookStatus
from app.schemas.base import In, Instant, Out


def _text(value: str) -> str:
    found = words.clean(value)
    if not words.is_printable(found):
        raise PydanticCustomError("unprintable", "unprintable characters")
    return found


WebhookUrl = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2000,
        description="Where events are sent to: an absolute https address in a public network, without user and "
        "fragment. What stands in its query is shown to all who may read webhooks.",
        examples=["https://erp.example.com/hooks/tenantry"],
        json_schema_extra={"format": "uri"},
    ),
]
WebhookDescription = Annotated[
    str,
    Field(max_length=500, description="What it is for, in your own words.", examples=["Orders into the ERP"]),
    AfterValidator(_text),
]


def _known(value: str) -> str:
    if value not in FEED:
        raise PydanticCustomError("unknown_event_type", "no event type")
    return value


EventType = Annotated[str, Field(max_length=60, pattern=r"^[a-z_]+\.[a-z_]+$", examples=["account.created"])]
GivenEventType = Annotated[EventType, AfterValidator(_known)]
GivenEventTypes = Annotated[
    list[GivenEventType],
    Field(
        max_length=100,
        description="Types of the events that are sent, as the `webhooks` of this contract name them; empty: all.",
        examples=[["account.created", "account.updated"]],
    ),
]
EventTypes = Annotated[
    list[EventType],
    Field(
        max_length=100,
        description="Types of the events that are sent; empty: all.",
        examples=[["account.created", "account.updated"]],
    ),
]
Status = Annotated[WebhookStatus, Field(description="Whether anything is sent.")]


class WebhookCreate(In):
    """An address to which events are sent from now on."""

    url: WebhookUrl
    description: WebhookDescription = ""
    types: GivenEventTypes = []


class WebhookUpdate(In):
    """JSON merge patch: a field left out stays as it is. The list of types is replaced as a whole."""

    url: Annotated[WebhookUrl, Field(default=None, validate_default=False)]
    description: Annotated[WebhookDescription, Field(default=None, validate_default=False)]
    types: Annotated[GivenEventTypes, Field(default=None, validate_default=False)]
    status: Annotated[
        WebhookStatus,
        Field(
            default=None,
            validate_default=False,
            description="`disabled`: nothing is sent, and no event waits for it. `enabled`: what happens from now on "
            "is sent, and before it what waited when it was disabled; ask for the rest with `redeliver`.",
        ),
    ]


class WebhookSecretRead(Out):
    """When a secret came into force, and until when it signs; the secret itself is shown once, when it is made."""

    id: UUID
    created_at: Instant
    expires_at: Annotated[Instant | None, Field(description="Null: until it is replaced.")]


class WebhookRead(Out):
    """An address to which a partner's events are sent."""

    id: UUID
    partner_id: UUID
    url: WebhookUrl
    description: WebhookDescription
    types: EventTypes
    status: Status
    status_since: Instant
    disabled_reason: Annotated[
        DisabledReason | None,
        Field(
            description="`by_hand`; `failing`: the receiver has taken nothing for days; `gone`: it answered with 410."
        ),
    ]
    failing_since: Annotated[
        Instant | None,
        Field(description="Since when the receiver has taken nothing; null: the last attempt succeeded."),
    ]
    secrets: Annotated[
        list[WebhookSecretRead], Field(max_length=10, description="The secrets that sign, the newest first.")
    ]
    created_by: Annotated[UUID, Field(description="Who made it; may have left the partner since.")]
    created_at: Instant
    updated_at: Instant


Secret = Annotated[
    str,
    Field(
        max_length=100,
        pattern=r"^whsec_[A-Za-z0-9+/=]+$",
        description="What receivers verify signatures with. Shown this once.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="],
    ),
]


class WebhookCreated(WebhookRead):
    """A webhook, with its new secret."""

    secret: Secret


class WebhookSecretCreate(In):
    """For how long the secrets that there are sign besides the new one."""

    overlap_hours: Annotated[
        int,
        Field(
            ge=0,
            le=720,
            strict=True,
            description="Hours in which old and new secrets sign; 0 ends the old ones at once.",
            examples=[24],
        ),
    ] = 24


class WebhookAttempt(Out):
    """One request, and what came of it."""

    at: Annotated[Instant, Field(description="When it was sent.")]
    milliseconds: Annotated[int, Field(ge=0, le=600_000, description="From the look-up of the name to the answer.")]
    status: Annotated[int | None, Field(ge=100, le=999, description="Status of the answer; null: there was none.")]
    error: Annotated[
        Literal[
            "refused", "redirect", "timeout", "refused_address", "unknown_host", "connect", "tls", "connection_lost",
            "protocol", "invalid_url",
        ]
        | None,
        Field(
            description="Why it was not taken; null: it was. `refused`: a status other than 2xx; `redirect`: a 3xx, "
            "which is not followed; `refused_address`: the host is an address that is not public; `unknown_host`: "
            "there is no such name, or not all of its addresses are public."
        ),
    ]  # fmt: skip
    content_type: Annotated[str | None, Field(max_length=200, examples=["application/json"])]
    body: Annotated[
        str, Field(max_length=1024, description="The first 1,024 bytes of the answer, as text.", examples=["ok"])
    ]
