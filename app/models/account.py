"""Child accounts and their members."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, word
from app.models.property import NUMBER_SLOTS, TEXT_SLOTS
from app.policy import Role


class AccountStatus(StrEnum):
    """Whether an account can be used; an archived one is out of the table as well."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ARCHIVED = "archived"


def _text_slot() -> Any:
    return mapped_column(Text(collation="C"), default=None)


def _number_slot() -> Any:
    return mapped_column(Double(), default=None)


class Account(Versioned, Tenanted, Identified, Base):
    """A child account: one customer of a partner."""

    __tablename__ = "accounts"
    __subject__ = "account"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["price_model"], ["price_models.key"], ondelete="RESTRICT"),
        CheckConstraint("status IN ('active', 'suspended', 'archived')", "status"),
        # An archived account keeps its name without keeping others from it.
        Index(
            "uq_accounts_name_key", "partner_id", "name_key", unique=True,
            postgresql_where=text("status <> 'archived'"),
        ),
        Index("ix_accounts_partner_id_name_search_id", "partner_id", "name_search", "id"),
        Index("ix_accounts_partner_id_created_at_id", "partner_id", "created_at", "id"),
        Index("ix_accounts_partner_id_status_id", "partner_id", "status", "id"),
        Index("ix_accounts_partner_id_price_model_id", "partner_id", "price_model", "id"),
        Index("ix_accounts_partner_id_member_count_id", "partner_id", "member_count", "id"),
        Index("ix_accounts_search_pieces", text("search_pieces(partner_id, search)"), postgresql_using="gin"),
        *(Index(f"ix_accounts_partner_id_{slot}_id", "partner_id", slot, "id") for slot in TEXT_SLOTS + NUMBER_SLOTS),
        {"postgresql_with": {"fillfactor": 85}},
    )  # fmt: skip

    name: Mapped[str] = mapped_column(String(120))
    name_key: Mapped[str] = mapped_column(Text(collation="C"))
    name_search: Mapped[str] = mapped_column(Text(collation="C"))
    status: Mapped[AccountStatus] = mapped_column(word(AccountStatus), default=AccountStatus.ACTIVE)
    price_model: Mapped[str | None] = mapped_column(Text(collation="C"), default=None)
    """Key of the price model: shown, filtered and sorted as it is, without a join."""
    member_count: Mapped[int] = mapped_column(default=1)
    """How many members it has: a new one has its creator. `services.members` counts."""
    time_zone: Mapped[str | None] = mapped_column(String(64), default=None)
    """IANA name of the zone whose calendar its periods follow; null: its partner's."""
    properties: Mapped[dict[str, Any]] = mapped_column(default_factory=dict[str, Any])
    """The values, by property key: the truth. What follows is a projection of it for filters, sorts and `q`."""
    search: Mapped[str] = mapped_column(Text(collation="C"), default="")

    t1: Mapped[str | None] = _text_slot()
    t2: Mapped[str | None] = _text_slot()
    t3: Mapped[str | None] = _text_slot()
    t4: Mapped[str | None] = _text_slot()
    t5: Mapped[str | None] = _text_slot()
    t6: Mapped[str | None] = _text_slot()
    t7: Mapped[str | None] = _text_slot()
    t8: Mapped[str | None] = _text_slot()
    t9: Mapped[str | None] = _text_slot()
    t10: Mapped[str | None] = _text_slot()
    t11: Mapped[str | None] = _text_slot()
    t12: Mapped[str | None] = _text_slot()
    n1: Mapped[float | None] = _number_slot()
    n2: Mapped[float | None] = _number_slot()
    n3: Mapped[float | None] = _number_slot()
    n4: Mapped[float | None] = _number_slot()
    n5: Mapped[float | None] = _number_slot()
    n6: Mapped[float | None] = _number_slot()
    n7: Mapped[float | None] = _number_slot()
    n8: Mapped[float | None] = _number_slot()
    n9: Mapped[float | None] = _number_slot()
    n10: Mapped[float | None] = _number_slot()
    n11: Mapped[float | None] = _number_slot()
    n12: Mapped[float | None] = _number_slot()


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
