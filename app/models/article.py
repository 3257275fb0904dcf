"""Articles: what is sold. Global: operators keep the catalogue."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Numeric, String, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Versioned, word


class BillingPeriod(StrEnum):
    """How often an article is paid for."""

    ONCE = "once"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"


class Article(Versioned, Identified, Base):
    """A commercial product, known by its number, as on orders and invoices. Never deleted: purchases name it."""

    __tablename__ = "articles"
    __subject__ = "article"
    __table_args__ = (
        UniqueConstraint("number"),
        CheckConstraint("billing_period IN ('once', 'monthly', 'quarterly', 'yearly')", "billing_period"),
    )

    number: Mapped[str] = mapped_column(Text(collation="C"))
    name: Mapped[dict[str, Any]]
    description: Mapped[dict[str, Any]]
    amount: Mapped[Decimal] = mapped_column(Numeric(18, 4))
    """Price of one, for one billing period."""
    currency: Mapped[str] = mapped_column(String(3))
    search: Mapped[str] = mapped_column(Text(collation="C"))
    billing_period: Mapped[BillingPeriod] = mapped_column(word(BillingPeriod))
    grants: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    """What one of it gives: `{feature, units, duration, grace_days, max_units_per_claim}`; the duration is an ISO 8601
    one, null for as long as the purchase lasts."""
    active_from_at: Mapped[datetime | None] = mapped_column(default=None)
    active_until_at: Mapped[datetime | None] = mapped_column(default=None)
    """From when until when it can be sold."""
    archived_at: Mapped[datetime | None] = mapped_column(default=None)
