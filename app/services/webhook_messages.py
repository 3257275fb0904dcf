"""What a webhook is sent: an event as the feed shows it, in the form of Standard Webhooks."""

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app import words
from app.models import Event
from app.services import feeds
from app.services.columns import Columns


def body(type: str, at: datetime, data: dict[str, Any]) -> str:
    """`{type, timestamp, data}`: the same text each time that it is sent."""
    whole = {"type": type, "timestamp": words.stamp(at), "data": data}
    return orjson.dumps(whole, default=str).decode()  # asyncpg has UUIDs of its own


def of_event(known: Columns, event: Event) -> str:
    """The message of an event. Sensitive values stay here, as in the feed."""
    return body(event.type, event.created_at, feeds.shown(known, event))


def ping(webhook_id: UUID, at: datetime) -> str:
    """The message of a test: there is no event behind it."""
    return body("webhook.ping", at, {"webhook_id": webhook_id})
