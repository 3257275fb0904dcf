"""Price models: the tariffs that accounts are in. Global: operators keep the catalogue, every partner uses it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Text, UniqueConstraint
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
    archived_at: Mapped[datetime | None] = mapped_column(default=None)
