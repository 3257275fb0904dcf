from typing import Annotated

from pydantic import Field

from app.schemas.base import Instant, Out
from app.schemas.event import EventRead, Type


class WebhookMessage(Out):
    """The body of a webhook, after Standard Webhooks. Verify its signature before you believe it."""

    type: Type
    timestamp: Annotated[Instant, Field(description="When it happened, in UTC (RFC 3339).")]
    data: Annotated[EventRead, Field(description="The event, as the feed gives it.")]
