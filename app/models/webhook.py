"""Webhooks: where a partner wants its events sent, and what became of each."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKeyConstraint, Index, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, utc_now, word


class WebhookStatus(StrEnum):
    """Whether anything is sent."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class DisabledReason(StrEnum):
    """Why nothing is sent: somebody wanted it so, the receiver failed for days, or it said 410 Gone."""

    BY_HAND = "by_hand"
    FAILING = "failing"
    GONE = "gone"


class DeliveryState(StrEnum):
    """Whether an event waits for its receiver, was taken by it, or was given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Webhook(Versioned, Tenanted, Identified, Base):
    """An address to which a partner's events are sent.

    What the worker keeps here of its work (`position` and what follows) is no change of the webhook: the version stays.
    Whoever writes any of it holds the row, so all that happens to the deliveries of one webhook happens in turn.
    """

    __tablename__ = "webhooks"
    __subject__ = "webhook"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),
        CheckConstraint("status IN ('enabled', 'disabled')", "status"),
        CheckConstraint("disabled_reason IN ('by_hand', 'failing', 'gone')", "disabled_reason"),
        CheckConstraint("(status = 'disabled') = (disabled_reason IS NOT NULL)", "disabled"),
        Index("ix_webhooks_enabled", "partner_id", "id", postgresql_where=text("status = 'enabled'")),
    )

    url: Mapped[str]
    description: Mapped[str] = mapped_column(String(500))
    types: Mapped[list[str]] = mapped_column(ARRAY(String(60)))
    """The types of events that are sent; none: all."""
    created_by: Mapped[UUID]
    status: Mapped[WebhookStatus] = mapped_column(word(WebhookStatus), default=WebhookStatus.ENABLED)
    status_since: Mapped[datetime] = mapped_column(default_factory=utc_now)
    disabled_reason: Mapped[DisabledReason | None] = mapped_column(word(DisabledReason), default=None)
    position: Mapped[int] = mapped_column(BigInteger, default=0)
    """The last event that was looked at: up to here there are deliveries."""
    failures: Mapped[int] = mapped_column(default=0)
    """Attempts that failed since the last one that did not."""
    failing_since: Mapped[datetime | None] = mapped_column(default=None)
    paused_until: Mapped[datetime | None] = mapped_column(default=None)
    """Until when nothing is tried: the receiver fails again and again, or has asked for it."""


class WebhookSecret(Tenanted, Identified, Base):
    """A secret that signs; while it is being replaced, there are several, and each of them does."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "webhook_id"], ["webhooks.partner_id", "webhooks.id"], ondelete="CASCADE"),
        Index("ix_webhook_secrets_partner_id_webhook_id", "partner_id", "webhook_id"),
    )

    webhook_id: Mapped[UUID]
    sealed: Mapped[bytes]
    expires_at: Mapped[datetime | None] = mapped_column(default=None)


class WebhookDelivery(Tenanted, Base):
    """One event for one webhook. Its id is the event's, so there is one of each, and receivers know it by that id.

    Attempts stand in the row: an attempt is then one write, and there are some thirty of them at most.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "webhook_id"], ["webhooks.partner_id", "webhooks.id"], ondelete="CASCADE"),
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", "state"),
        Index("ix_webhook_deliveries_partner_id_webhook_id_position", "partner_id", "webhook_id", "position"),
        Index("ix_webhook_deliveries_pending", "partner_id", "webhook_id", "lane", "position",
              postgresql_where=text("state = 'pending'")),
    )  # fmt: skip

    webhook_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-15)
    id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-10)
    position: Mapped[int] = mapped_column(BigInteger)
    type: Mapped[str] = mapped_column(String(60))
    account_id: Mapped[UUID | None]
    lane: Mapped[UUID]
    """What is delivered in order: the events of one account; those of none, under the id zero."""
    begun_at: Mapped[datetime]
    """Since when it is tried, or waits to be: three days later it is given up."""
    state: Mapped[DeliveryState] = mapped_column(word(DeliveryState), default=DeliveryState.PENDING)
    tries: Mapped[int] = mapped_column(default=0)
    """Attempts since it was begun; `attempts` has those before as well."""
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default_factory=list[dict[str, Any]])
    """`{at, milliseconds, status, error, content_type, body}` of each, the latest last."""
    next_attempt_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now, init=False, sort_order=90)


class WebhookLane(Tenanted, Base):
    """Deliveries of one account that wait: one after the other, the earliest first. Gone when none does.

    Whoever has it in hand is `leased_by`, until `due_at`: a worker that dies leaves it due again.
    """

    __tablename__ = "webhook_lanes"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "webhook_id"], ["webhooks.partner_id", "webhooks.id"], ondelete="CASCADE"),
        Index("ix_webhook_lanes_partner_id_webhook_id_due_at", "partner_id", "webhook_id", "due_at"),
    )

    webhook_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-15)
    lane: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-10)
    due_at: Mapped[datetime]
    leased_by: Mapped[UUID | None] = mapped_column(default=None)
