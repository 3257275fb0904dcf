"""What callers have left of their rates."""

from datetime import datetime

from sqlalchemy import Double
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base


class RateBucket(Base):
    """How many units one caller may still spend, of all processes together: it fills up by the clock.

    Unlogged: a crash of the server fills all of them, and no commit waits for the disk.
    """

    __tablename__ = "rate_buckets"
    __table_args__ = {"prefixes": ["UNLOGGED"], "postgresql_with": {"fillfactor": 50}}

    key: Mapped[bytes] = mapped_column(primary_key=True)
    level: Mapped[float] = mapped_column(Double)
    at: Mapped[datetime]
    granted: Mapped[int]
    """What whoever asked last was given."""
