"""Licences: the rights of accounts to units of features, for a period."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, word


class LicenceSource(StrEnum):
    """Where a licence comes from: a purchase, a price model, or somebody's hand."""

    ARTICLE = "article"
    PRICE_MODEL = "price_model"
    MANUAL = "manual"


class SuspendedBy(StrEnum):
    """Who stopped a licence, and alone may lift that; an operator may lift either."""

    OPERATOR = "operator"
    PARTNER = "partner"


class Licence(Versioned, Tenanted, Identified, Base):
    """The right of an account to so many units of a feature, from `starts_at` until `ends_at` (open: without end).

    Whether it is scheduled, active, in its grace period or expired follows from the clock; nothing has to run for it.
    """

    __tablename__ = "licences"
    __subject__ = "licence"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "account_id"], ["accounts.partner_id", "accounts.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["partner_id", "account_article_id"], ["account_articles.partner_id", "account_articles.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["feature"], ["features.key"], ondelete="RESTRICT"),
        CheckConstraint("source IN ('article', 'price_model', 'manual')", "source"),
        CheckConstraint("suspended_by IN ('operator', 'partner')", "suspended_by"),
        CheckConstraint("units >= 0", "units"),
        CheckConstraint("ends_at >= starts_at", "period"),
        CheckConstraint("grace_days >= 0", "grace_days"),
        CheckConstraint("max_units_per_claim > 0", "max_units_per_claim"),
        Index("ix_licences_partner_id_account_id_feature_id", "partner_id", "account_id", "feature", "id"),
        Index("ix_licences_partner_id_ends_at_id", "partner_id", "ends_at", "id"),
        Index("ix_licences_partner_id_account_article_id", "partner_id", "account_article_id"),
    )  # fmt: skip

    account_id: Mapped[UUID]
    feature: Mapped[str] = mapped_column(Text(collation="C"))
    units: Mapped[int]
    max_units_per_claim: Mapped[int | None]
    """The most that one use may take of it; null: all of it."""
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    grace_days: Mapped[int]
    """For so many days (of 24 hours) after its end it goes on giving its units."""
    source: Mapped[LicenceSource] = mapped_column(word(LicenceSource))
    account_article_id: Mapped[UUID | None] = mapped_column(default=None)
    article: Mapped[str | None] = mapped_column(Text(collation="C"), default=None)
    price_model: Mapped[str | None] = mapped_column(Text(collation="C"), default=None)
    order_number: Mapped[str | None] = mapped_column(Text(collation="C"), default=None)
    reason: Mapped[str | None] = mapped_column(default=None)
    suspended_at: Mapped[datetime | None] = mapped_column(default=None)
    suspended_by: Mapped[SuspendedBy | None] = mapped_column(word(SuspendedBy), default=None)
    """Whose people lift it again: a partner's lift their own suspensions only."""
    suspension_reason: Mapped[str | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)
    revocation_reason: Mapped[str | None] = mapped_column(default=None)
