"""Saved views of the accounts table."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, String, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned


class View(Versioned, Tenanted, Identified, Base):
    """A question to the accounts table, kept under a name: of one person alone, or shared with the whole partner.

    `owner_id` is no foreign key: a shared view outlives the membership, and the user, of whoever made it.
    """

    __tablename__ = "views"
    __subject__ = "view"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),
        Index("uq_views_shared_name_key", "partner_id", "name_key", unique=True, postgresql_where=text("shared")),
        Index("uq_views_owner_id_name_key", "partner_id", "owner_id", "name_key", unique=True,
              postgresql_where=text("NOT shared")),
    )  # fmt: skip

    owner_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(120))
    name_key: Mapped[str] = mapped_column(Text(collation="C"))
    name_search: Mapped[str] = mapped_column(Text(collation="C"))
    shared: Mapped[bool]
    columns: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    """Names of columns, in the order of display; none: all there are."""
    all: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    any: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    q: Mapped[str | None]
    sort: Mapped[str | None]
