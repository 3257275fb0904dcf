"""The outbox."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, utc_now


class Delivery(Tenanted, Identified, Base):
    """One mail still to send, or sent; written in the transaction that caused it.

    `values` names what the mail is about, never a token: that is made when the mail is written.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        Index("ix_deliveries_due", "partner_id", "due_at", postgresql_where=text("done_at IS NULL")),
        Index("ix_deliveries_done_at", "done_at"),
    )

    template: Mapped[str] = mapped_column(String(40))
    values: Mapped[dict[str, Any]]
    subject_id: Mapped[UUID | None] = mapped_column(default=None)
    due_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    leased_until: Mapped[datetime | None] = mapped_column(default=None)
    attempts: Mapped[int] = mapped_column(default=0)
    done_at: Mapped[datetime | None] = mapped_column(default=None)
    outcome: Mapped[str | None] = mapped_column(String(20), default=None)
    last_error: Mapped[str | None] = mapped_column(default=None)
