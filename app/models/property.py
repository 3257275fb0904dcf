"""The columns that partners invent, and the values that no two of a partner's accounts may share."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, String, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, word


class PropertyType(StrEnum):
    """Of what type the values of a column are."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    SELECT = "select"
    MULTI_SELECT = "multi_select"
    URL = "url"
    EMAIL = "email"
    PHONE = "phone"
    USER = "user"


TEXT_SLOTS = tuple(f"t{n}" for n in range(1, 13))
NUMBER_SLOTS = tuple(f"n{n}" for n in range(1, 13))


class Property(Versioned, Tenanted, Identified, Base):
    """A typed definition, made by a partner, that shows as a column of its accounts table.

    A deleted one stays until its values are gone from the accounts (`deleted_at`): until then neither its key nor
    its slot is anybody else's.
    """

    __tablename__ = "properties"
    __subject__ = "property"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),
        UniqueConstraint("partner_id", "key"),
        UniqueConstraint("partner_id", "slot"),
        Index("ix_properties_stale", "partner_id", postgresql_where=text("stale")),
    )

    key: Mapped[str] = mapped_column(Text(collation="C"))
    type: Mapped[PropertyType] = mapped_column(word(PropertyType))
    label: Mapped[dict[str, Any]]
    help: Mapped[dict[str, Any]]
    inputs: Mapped[dict[str, Any]]
    """What its type asks for: lengths, bounds, options …"""
    default: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    required: Mapped[bool]
    unique: Mapped[bool]
    filterable: Mapped[bool]
    sensitive: Mapped[bool]
    editable_by: Mapped[list[str]] = mapped_column(JSONB)
    position: Mapped[int]
    archived_at: Mapped[datetime | None] = mapped_column(default=None)
    deleted_at: Mapped[datetime | None] = mapped_column(default=None)
    slot: Mapped[str | None] = mapped_column(String(4), default=None)
    stale: Mapped[bool] = mapped_column(default=False)
    """The accounts' slots, search texts or values do not follow this definition yet: the worker is at it."""
    refreshed_to: Mapped[UUID | None] = mapped_column(default=None)
    """The last account that the worker has dealt with."""


class UniqueValue(Tenanted, Base):
    """That a value of a unique property is taken, and by which account: the primary key lets nobody else have it."""

    __tablename__ = "unique_values"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "account_id"], ["accounts.partner_id", "accounts.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["partner_id", "property_id"], ["properties.partner_id", "properties.id"], ondelete="CASCADE"
        ),
        Index("ix_unique_values_partner_id_account_id", "partner_id", "account_id"),
    )

    property_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-10)
    digest: Mapped[bytes] = mapped_column(primary_key=True, sort_order=-9)
    account_id: Mapped[UUID]
