"""Features: what may be used, and what happens at the limit. Global: operators keep the catalogue."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Versioned, word


class FeatureKind(StrEnum):
    """Whether a feature is counted in units, or there or not."""

    QUOTA = "quota"
    SWITCH = "switch"


class Overage(StrEnum):
    """How far above their limit claims may go."""

    FORBIDDEN = "forbidden"
    UP_TO_125 = "up_to_125"
    UP_TO_150 = "up_to_150"
    UP_TO_200 = "up_to_200"
    ALLOWED = "allowed"


class Feature(Versioned, Identified, Base):
    """Something that may be used, known by its key: so many units of a quota, or a switch (0 or 1).

    Never deleted: licences and claims outlive its place in the catalogue.
    """

    __tablename__ = "features"
    __subject__ = "feature"
    __table_args__ = (
        UniqueConstraint("key"),
        CheckConstraint("kind IN ('quota', 'switch')", "kind"),
        CheckConstraint("overage IN ('forbidden', 'up_to_125', 'up_to_150', 'up_to_200', 'allowed')", "overage"),
        CheckConstraint("default_units >= 0 AND (kind = 'quota' OR default_units <= 1)", "default_units"),
    )

    key: Mapped[str] = mapped_column(Text(collation="C"))
    kind: Mapped[FeatureKind] = mapped_column(word(FeatureKind))
    name: Mapped[dict[str, Any]]
    description: Mapped[dict[str, Any]]
    unit: Mapped[dict[str, Any]]
    """What one of it is called, by language: "asset", "Anlage". Empty for a switch."""
    search: Mapped[str] = mapped_column(Text(collation="C"))
    default_units: Mapped[int] = mapped_column(default=0)
    """The limit of an account that has no licence for it in force."""
    overage: Mapped[Overage] = mapped_column(word(Overage), default=Overage.FORBIDDEN)
    archived_at: Mapped[datetime | None] = mapped_column(default=None)
