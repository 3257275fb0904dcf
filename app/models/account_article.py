"""Purchases: the articles that accounts bought."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, Numeric, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.article import BillingPeriod
from app.models.base import Base, Identified, Tenanted, Versioned, word


class AccountArticle(Versioned, Tenanted, Identified, Base):
    """One purchase: an article that an account bought, with the terms it was sold at.

    It runs from `starts_at` until `ends_at` (open: until it is cancelled); what it is at a moment follows from these.
    """

    __tablename__ = "account_articles"
    __subject__ = "account_article"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "account_id"], ["accounts.partner_id", "accounts.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["article"], ["articles.number"], ondelete="RESTRICT"),
        CheckConstraint("quantity > 0", "quantity"),
        CheckConstraint("ends_at >= starts_at", "period"),
        Index("ix_account_articles_partner_id_account_id_starts_at_id", "partner_id", "account_id", "starts_at", "id"),
        Index("ix_account_articles_partner_id_starts_at_id", "partner_id", "starts_at", "id"),
        Index("ix_account_articles_partner_id_article_id", "partner_id", "article", "id"),
        Index("ix_account_articles_partner_id_order_number_id", "partner_id", "order_number", "id"),
        Index("ix_account_articles_partner_id_invoice_number_id", "partner_id", "invoice_number", "id"),
    )

    account_id: Mapped[UUID]
    article: Mapped[str] = mapped_column(Text(collation="C"))
    name: Mapped[dict[str, Any]]
    quantity: Mapped[int]
    amount: Mapped[Decimal] = mapped_column(Numeric(18, 4))
    """Price of one, for one billing period."""
    currency: Mapped[str] = mapped_column(String(3))
    billing_period: Mapped[BillingPeriod] = mapped_column(word(BillingPeriod))
    grants: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """What one gave when it was sold; see `Article.grants`."""
    price_model: Mapped[str | None] = mapped_column(Text(collation="C"))
    """The account's price model when it was sold, if the price came from there."""
    order_number: Mapped[str | None] = mapped_column(Text(collation="C"))
    invoice_number: Mapped[str | None] = mapped_column(Text(collation="C"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None] = mapped_column(default=None)
    """When it was cancelled; it ends at `ends_at`, which may be later."""
    cancellation_reason: Mapped[str | None] = mapped_column(default=None)
    renews_id: Mapped[UUID | None] = mapped_column(default=None)
    """The purchase that this one continues."""
    replaces_id: Mapped[UUID | None] = mapped_column(default=None)
    """The purchase of another article that was upgraded to this one."""
