"""Price models: the tariffs that accounts are in. Global: operators keep the catalogue, every partner uses it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Versioned


class PriceModel(Versioned, Identified, Base):
    """A tariff, known by its key. Never deleted: an archived one stays on the accounts that have it."""

    __tablename__ = "price_models"
    __subject__ = "price_model"
    __table_args__ = (UniqueConstraint("key"),)

    key: Mapped[str] = mapped_column(Text(collation="C"))
    name: Mapped[dict[str, Any]]
    description: Mapped[dict[str, Any]]
    search: Mapped[str] = mapped_column(Text(collation="C"))
    """What `q` searches: the key, and the name in each language."""
    base_grants: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, default_factory=list[dict[str, Any]], server_default="[]"
    )
    """What an account has for as long as it is in this price model: `{feature, units, grace_days, …}`."""
    article_prices: Mapped[list[dict[str, Any]]] = mapped_column(
        JSONB, default_factory=list[dict[str, Any]], server_default="[]"
    )
    """Articles that cost something else in it: `{article, price: {amount, currency}}`."""
    archived_at: Mapped[datetime | None] = mapped_column(default=None)
