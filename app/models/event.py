"""The change log."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, word


class Actor(StrEnum):
    """In what capacity somebody acted."""

    USER = "user"
    OPERATOR = "operator"
    API_CLIENT = "api_client"
    SYSTEM = "system"


class Event(Tenanted, Identified, Base):
    """One fact that happened: who changed what, on which subject, from what to what.

    Append-only for the application's role. Written without a number; the sequencer (`number_events`, in
    the database) gives committed events their `position` and chains their `hash`, so that a reader that
    remembers a position skips nothing. `details` holds everything personal; the chain covers only
    `details_hash`, so details can be erased (with their salt) and the chain still verifies.
    No foreign keys: the log outlives what it speaks of.
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
    position: Mapped[int | None] = mapped_column(BigInteger, default=None)
    hash: Mapped[bytes | None] = mapped_column(default=None)
