"""The change log."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, word
from app.policy import Actor


class Event(Tenanted, Identified, Base):
    """One fact that happened: who changed what, on which subject, from what to what.

    Append-only for the application's role. Written without a number; the sequencer (`number_events`, in
    the database) gives committed events their `position` and chains their `hash`, so that a reader that
    remembers a position skips nothing. What may be personal stands in two parts, each with a salt of its own:
    `details` (before and after) and `origin` (from where). The chain covers only their hashes, so either can
    be erased (with its salt) and the chain still verifies. No foreign keys: the log outlives what it speaks of.
    """

    __tablename__ = "events"
    __table_args__ = (
        CheckConstraint("actor IN ('user', 'operator', 'api_client', 'system')", "actor"),
        Index("ix_events_unnumbered", "partner_id", "id", postgresql_where=text("position IS NULL")),
        Index("ix_events_partner_id_position", "partner_id", "position"),
        Index("ix_events_partner_id_subject_id_id", "partner_id", "subject_id", "id"),
    )

    type: Mapped[str] = mapped_column(String(60))
    subject_type: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    account_id: Mapped[UUID | None]
    actor: Mapped[Actor] = mapped_column(word(Actor))
    actor_id: Mapped[UUID | None]
    on_behalf_of: Mapped[UUID | None]
    request_id: Mapped[str | None] = mapped_column(String(64))
    details: Mapped[dict[str, Any] | None]
    salt: Mapped[bytes | None]
    details_hash: Mapped[bytes]
    origin: Mapped[dict[str, Any] | None]
    origin_salt: Mapped[bytes | None]
    origin_hash: Mapped[bytes]
    position: Mapped[int | None] = mapped_column(BigInteger, default=None)
    hash: Mapped[bytes | None] = mapped_column(default=None)


class EventKeeping(Tenanted, Base):
    """Up to where the contents of a partner's events have been erased: the database's `erase_events` goes on there."""

    __tablename__ = "event_keepings"

    erased_to: Mapped[UUID]
