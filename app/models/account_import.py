"""Imports of accounts from files: the job, the file while it is needed, and the rows that could not be taken."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, word


class ImportStatus(StrEnum):
    """How far an import is: its dry run first, then the import itself."""

    CHECKING = "checking"
    CHECKED = "checked"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AccountImport(Versioned, Tenanted, Identified, Base):
    """One file, from its upload through the dry run to the last row.

    `row` is the last row of the file that was dealt with: it advances in the transaction that did so, and whoever
    goes on after a crash begins behind it.
    """

    __tablename__ = "account_imports"
    __subject__ = "account_import"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),
        CheckConstraint("status IN ('checking', 'checked', 'running', 'done', 'failed', 'cancelled')", "status"),
        Index(
            "ix_account_imports_unfinished", "partner_id", "id",
            postgresql_where=text("status IN ('checking', 'checked', 'running')"),
        ),
        Index("ix_account_imports_finished_at", "finished_at"),
    )  # fmt: skip

    file_name: Mapped[str] = mapped_column(String(200))
    file_search: Mapped[str] = mapped_column(Text(collation="C"))
    file_bytes: Mapped[int]
    options: Mapped[dict[str, Any]]
    """What the user said about the file, and what is to be done with it."""
    created_by: Mapped[UUID]
    status: Mapped[ImportStatus] = mapped_column(word(ImportStatus), default=ImportStatus.CHECKING)
    confirmed_by: Mapped[UUID | None] = mapped_column(default=None)
    client_id: Mapped[UUID | None] = mapped_column(default=None)
    """The API client through which the present work was set going; null: none."""
    credential_id: Mapped[UUID | None] = mapped_column(default=None)
    """What that client proved itself with then: no foreign key, the row outlives it."""
    client_scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text()), default=None)
    """What its token was good for then: the work is done with no more, nor with more than it may by now."""
    request_id: Mapped[str | None] = mapped_column(String(64), default=None)
    """Of the request that set the present work going, and from where it came: events of the rows name them."""
    address: Mapped[str | None] = mapped_column(String(64), default=None)
    skip_errors: Mapped[bool] = mapped_column(default=False)
    layout: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    columns: Mapped[list[Any]] = mapped_column(JSONB, default_factory=list[Any])
    match: Mapped[str | None] = mapped_column(String(60), default=None)
    row: Mapped[int] = mapped_column(default=0)
    rows_done: Mapped[int] = mapped_column(default=0)
    rows_total: Mapped[int | None] = mapped_column(default=None)
    planned: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    result: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    errors_kept: Mapped[int] = mapped_column(default=0)
    failure: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    confirmed_at: Mapped[datetime | None] = mapped_column(default=None)
    finished_at: Mapped[datetime | None] = mapped_column(default=None)
    leased_by: Mapped[UUID | None] = mapped_column(default=None)
    leased_until: Mapped[datetime | None] = mapped_column(default=None)


class ImportChunk(Tenanted, Base):
    """A piece of the file: the worker that reads it may be on another machine. Gone when the import ends."""

    __tablename__ = "account_import_chunks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["partner_id", "import_id"], ["account_imports.partner_id", "account_imports.id"], ondelete="CASCADE"
        ),
    )

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]


class ImportFault(Tenanted, Base):
    """Why a row of the file is not taken, in both languages; nothing of what the row holds is repeated."""

    __tablename__ = "account_import_errors"
    __table_args__ = (
        ForeignKeyConstraint(
            ["partner_id", "import_id"], ["account_imports.partner_id", "account_imports.id"], ondelete="CASCADE"
        ),
    )

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    row: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    column: Mapped[str | None] = mapped_column(String(200))
    code: Mapped[str] = mapped_column(String(80))
    en: Mapped[str] = mapped_column(String(500))
    de: Mapped[str] = mapped_column(String(500))
