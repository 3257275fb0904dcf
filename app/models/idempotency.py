"""Answers kept for repeated requests."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Tenanted, utc_now


class StoredAnswer(Tenanted, Base):
    """The answer to a POST with an Idempotency-Key, kept for 24 hours in the transaction of its effect."""

    __tablename__ = "stored_answers"
    __table_args__ = (Index("ix_stored_answers_created_at", "created_at"),)

    actor_id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
