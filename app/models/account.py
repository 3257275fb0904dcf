"""Child accounts and their members."""

from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, word
from app.policy import Role


class AccountStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ARCHIVED = "archived"


class Account(Versioned, Tenanted, Identified, Base):
    """A child account: one customer of a partner."""

    __tablename__ = "accounts"
    __subject__ = "account"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),
        CheckConstraint("status IN ('active', 'suspended', 'archived')", "status"),
        # An archived account keeps its name without keeping others from it.
        Index(
            "uq_accounts_name_key", "partner_id", "name_key", unique=True,
            postgresql_where=text("status <> 'archived'"),
        ),
        Index("ix_accounts_partner_id_name_search_id", "partner_id", "name_search", "id"),
        Index("ix_accounts_partner_id_created_at_id", "partner_id", "created_at", "id"),
    )  # fmt: skip

    name: Mapped[str] = mapped_column(String(120))
    name_key: Mapped[str] = mapped_column(Text(collation="C"))
    name_search: Mapped[str] = mapped_column(Text(collation="C"))
    status: Mapped[AccountStatus] = mapped_column(word(AccountStatus), default=AccountStatus.ACTIVE)


class AccountMember(Versioned, Tenanted, Identified, Base):
    """A user's role in an account. Without one, nobody enters the account."""

    __tablename__ = "account_members"
    __subject__ = "account_member"
    __table_args__ = (
        UniqueConstraint("partner_id", "account_id", "user_id"),
        ForeignKeyConstraint(["partner_id", "account_id"], ["accounts.partner_id", "accounts.id"], ondelete="CASCADE"),
        CheckConstraint("role IN ('account_admin', 'account_editor', 'account_viewer')", "role"),
        Index("ix_account_members_user_id", "user_id"),
    )

    account_id: Mapped[UUID]
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    role: Mapped[Role] = mapped_column(word(Role))
