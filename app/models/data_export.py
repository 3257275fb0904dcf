"""Exports of what is kept about a person: asked for, written by a worker, and gone after some days."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import PLATFORM, Base, Identified, word


class DataExportStatus(StrEnum):
    """Whether the file is being written, or there."""

    RUNNING = "running"
    DONE = "done"


class DataExport(Identified, Base):
    """One file of all that is kept about its user; written step by step, each in a transaction with how far it is."""

    __tablename__ = "data_exports"
    __subject__ = "data_export"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'done')", "status"),
        Index("ix_data_exports_user_id", "user_id"),
        Index("ix_data_exports_unfinished", "id", postgresql_where=text("status = 'running'")),
        Index("ix_data_exports_expires_at", "expires_at"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]
    status: Mapped[DataExportStatus] = mapped_column(word(DataExportStatus), default=DataExportStatus.RUNNING)
    records: Mapped[int] = mapped_column(default=0)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    at_partner: Mapped[UUID] = mapped_column(default=PLATFORM)
    """Where the next step begins: see `people.Place`."""
    at_holding: Mapped[int] = mapped_column(default=0)
    at_id: Mapped[UUID | None] = mapped_column(default=None)


class DataExportPart(Base):
    """A piece of the file."""

    __tablename__ = "data_export_parts"

    export_id: Mapped[UUID] = mapped_column(ForeignKey("data_exports.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]
