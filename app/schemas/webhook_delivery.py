from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.models.webhook import DeliveryState
from app.schemas.base import GivenInstant, In, Instant, Out
from app.schemas.event import OfAccount, Position, Type
from app.schemas.webhook import WebhookAttempt, WebhookUrl
from app.schemas.webhook_message import WebhookMessage

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class WebhookDeliveryRead(Out):
    """One event for one webhook, and what became of it."""

    id: Annotated[UUID, Field(description="Id of the event: what the receiver got as `webhook-id`.")]
    webhook_id: UUID
    type: Type
    account_id: OfAccount
    position: Annotated[Position, Field(description="Place of the event in the partner's events.")]
    state: Annotated[
        DeliveryState,
        Field(description="`delivered`: the receiver took it; `failed`: it was given up after three days."),
    ]
    attempt_count: Annotated[Count, Field(description="How often it was tried; the latest hundred are kept.")]
    last_attempt: WebhookAttempt | None
    next_attempt_at: Annotated[
        Instant | None, Field(description="When it is tried again, after it failed; earlier if the receiver recovers.")
    ]
    finished_at: Annotated[Instant | None, Field(description="When it was delivered or given up.")]
    created_at: Instant


class WebhookRequest(Out):
    """The request of a delivery."""

    url: WebhookUrl
    headers: Annotated[
        dict[str, Annotated[str, Field(max_length=1000)]],
        Field(
            max_length=10,
            description="Those of the last attempt that say what it is; the signature is hidden.",
            examples=[{"webhook-id": "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60", "webhook-timestamp": "1795600000"}],
        ),
    ]
    body: WebhookMessage


class WebhookDeliveryDetail(WebhookDeliveryRead):
    """A delivery with its request and all its attempts."""

    request: WebhookRequest
    attempts: Annotated[list[WebhookAttempt], Field(max_length=100, description="The latest last.")]


class WebhookRedelivery(In):
    """From when on events are sent again."""

    since: Annotated[GivenInstant, Field(description="Events that happened at this moment or later are sent again.")]


class WebhookRedeliveryRead(Out):
    """What will be sent again."""

    events: Annotated[Count, Field(description="How many events, as the webhook's types choose them.")]
