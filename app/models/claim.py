"""Claims: the single uses of what accounts are entitled to, and how many units of each feature are in use."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, word
from app.policy import Actor

LIVE = "released_at IS NULL"


class Usage(Tenanted, Base):
    """How many units of a feature an account's live claims hold: the row that claims wait for.

    Whoever claims, releases, or changes a licence of that feature holds it first, and so reads what is true then.
    """

    __tablename__ = "usages"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "account_id"], ["accounts.partner_id", "accounts.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["feature"], ["features.key"], ondelete="RESTRICT"),
        CheckConstraint("used >= 0", "used"),
        {"postgresql_with": {"fillfactor": 50}},
    )

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    feature: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    used: Mapped[int] = mapped_column(default=0)


class Claim(Tenanted, Identified, Base):
    """One use of an entitlement: units that a resource takes until it is released."""

    __tablename__ = "claims"
    __subject__ = "claim"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id", "account_id"], ["accounts.partner_id", "accounts.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["feature"], ["features.key"], ondelete="RESTRICT"),
        CheckConstraint("units > 0", "units"),
        CheckConstraint("actor IN ('user', 'operator', 'api_client', 'system')", "actor"),
        Index("uq_claims_resource", "partner_id", "account_id", "feature", "resource", unique=True,
              postgresql_where=text(LIVE)),
        Index("ix_claims_live", "partner_id", "account_id", "feature", "id", postgresql_where=text(LIVE)),
        Index("ix_claims_partner_id_account_id_id", "partner_id", "account_id", "id"),
    )  # fmt: skip

    account_id: Mapped[UUID]
    feature: Mapped[str] = mapped_column(Text(collation="C"))
    resource: Mapped[str] = mapped_column(String(200, collation="C"))
    """What it is for, in the words of whoever claims: `asset:4711`."""
    units: Mapped[int]
    actor: Mapped[Actor] = mapped_column(word(Actor))
    user_id: Mapped[UUID | None]
    """Who made it, a user or an API client, as `actor` says: outside it is `actor_id`, as in the change log. No foreign
    key: a claim outlives its maker's membership."""
    reason: Mapped[str | None]
    reference: Mapped[str | None]
    released_at: Mapped[datetime | None] = mapped_column(default=None)
    release_reason: Mapped[str | None] = mapped_column(default=None)
    release_reference: Mapped[str | None] = mapped_column(default=None)
