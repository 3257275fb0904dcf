"""Notices: what accounts and their partners have been told of in time, so that they are told once."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, word


class NoticeKind(StrEnum):
    """What there is to be told of a licence, or of what is used of a feature."""

    ENDS_IN_30_DAYS = "ends_in_30_days"
    ENDS_IN_7_DAYS = "ends_in_7_days"
    ENDS_IN_1_DAY = "ends_in_1_day"
    NEARLY_USED = "nearly_used"
    USED_UP = "used_up"


class Notice(Tenanted, Identified, Base):
    """One thing that was told; written with the event and the mails that tell it.

    Told again of a licence when its end is another one; of use, when it had fallen below the threshold meanwhile.
    """

    __tablename__ = "notices"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "account_id"], ["accounts.partner_id", "accounts.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["partner_id", "licence_id"], ["licences.partner_id", "licences.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["feature"], ["features.key"], ondelete="RESTRICT"),
        CheckConstraint(
            "kind IN ('ends_in_30_days', 'ends_in_7_days', 'ends_in_1_day', 'nearly_used', 'used_up')", "kind"
        ),
        CheckConstraint("(licence_id IS NULL) = (ends_at IS NULL)", "ends_at"),
        Index(
            "uq_notices_kind", "partner_id", "account_id", "feature", "licence_id", "kind", unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_notices_partner_id_licence_id", "partner_id", "licence_id"),
    )  # fmt: skip

    account_id: Mapped[UUID]
    feature: Mapped[str] = mapped_column(Text(collation="C"))
    kind: Mapped[NoticeKind] = mapped_column(word(NoticeKind))
    licence_id: Mapped[UUID | None] = mapped_column(default=None)
    ends_at: Mapped[datetime | None] = mapped_column(default=None)
    """The end of the licence that was told of."""
    armed: Mapped[bool] = mapped_column(default=False)
    """Whether use has fallen below the threshold since, so that reaching it is news again."""
    mailed_at: Mapped[datetime | None] = mapped_column(default=None)


class NoticeRound(Tenanted, Base):
    """How far a partner has been looked through for what is to be told. Whoever looks holds it."""

    __tablename__ = "notice_rounds"
    __table_args__ = (ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),)

    position: Mapped[int] = mapped_column(BigInteger)
    """The last event that was looked at."""
    looked_at: Mapped[datetime]
    """Until when it is known which licences came near their end."""
    next_at: Mapped[datetime]
    """When the clock alone gives reason to look again."""
    walk_at: Mapped[datetime]
    """When all accounts are due to be looked at again."""
    walked_to: Mapped[UUID | None] = mapped_column(default=None)
    """The last account of a walk that is under way."""
