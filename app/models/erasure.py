"""Erasures of people: asked for, and done by a worker."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import PLATFORM, Base, utc_now


class Erasure(Base):
    """That a user is to be, or was, erased, and how far it is. It stays with the pseudonym that is left of the user."""

    __tablename__ = "erasures"
    __table_args__ = (Index("ix_erasures_unfinished", "user_id", postgresql_where=text("finished_at IS NULL")),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    asked_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    at_partner: Mapped[UUID] = mapped_column(default=PLATFORM)
    """The partner that is being dealt with; those with smaller ids are done."""
    at_event: Mapped[UUID | None] = mapped_column(default=None)
    """The last of its events that was looked at; null: its other rows are not done yet."""
