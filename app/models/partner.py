"""Partners and their members."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, word
from app.policy import Role


class PartnerStatus(StrEnum):
    """Whether a partner's people can do anything."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Partner(Versioned, Identified, Base):
    """A reseller with child accounts: the tenant."""

    __tablename__ = "partners"
    __subject__ = "partner"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'suspended')", "status"),
        CheckConstraint("language IN ('en', 'de')", "language"),
        Index("ix_partners_name_search_id", "name_search", "id"),
    )

    name: Mapped[str] = mapped_column(String(120))
    name_search: Mapped[str] = mapped_column(Text(collation="C"))
    status: Mapped[PartnerStatus] = mapped_column(word(PartnerStatus), default=PartnerStatus.ACTIVE)
    partner_management_enabled: Mapped[bool] = mapped_column(default=True)
    language: Mapped[str] = mapped_column(String(2), default="en")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC", server_default="UTC")
    """IANA name of the zone whose calendar the periods of its accounts follow, unless they have one of their own."""
    properties_version: Mapped[int] = mapped_column(default=0)
    """Counts the changes of its property definitions: what is kept of them in memory is good for one number."""


class PartnerMember(Versioned, Tenanted, Identified, Base):
    """A user's role in a partner."""

    __tablename__ = "partner_members"
    __subject__ = "partner_member"
    __table_args__ = (
        UniqueConstraint("partner_id", "user_id"),
        ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),
        CheckConstraint("role IN ('partner_admin', 'partner_manager', 'partner_viewer')", "role"),
        Index("ix_partner_members_user_id", "user_id"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[Role] = mapped_column(word(Role))
