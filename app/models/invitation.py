"""Invitations: an e-mail and a role, waiting to become a membership."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, utc_now, word
from app.policy import Role


class InvitationStatus(StrEnum):
    """What became of an invitation."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    REVOKED = "revoked"


class MailStatus(StrEnum):
    """What became of the mail of an invitation."""

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"


class Invitation(Versioned, Tenanted, Identified, Base):
    """Into an account, or into the partner itself when `account_id` is null.

    `status` stays `pending` when time runs out; whoever reads it asks `state_at`.
    """

    __tablename__ = "invitations"
    __subject__ = "invitation"
    __table_args__ = (
        ForeignKeyConstraint(["partner_id"], ["partners.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["partner_id", "account_id"], ["accounts.partner_id", "accounts.id"], ondelete="CASCADE"),
        CheckConstraint("status IN ('pending', 'accepted', 'expired', 'revoked')", "status"),
        CheckConstraint("mail_status IN ('queued', 'sent', 'failed')", "mail_status"),
        CheckConstraint("(account_id IS NULL) = (role LIKE 'partner\\_%')", "role_fits"),
        Index(
            "uq_invitations_pending", "partner_id", "account_id", "email_key", unique=True,
            postgresql_nulls_not_distinct=True, postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_invitations_partner_id_account_id_id", "partner_id", "account_id", "id"),
        Index("ix_invitations_invited_by", "invited_by"),
    )  # fmt: skip

    account_id: Mapped[UUID | None]
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254, collation="C"))
    role: Mapped[Role] = mapped_column(word(Role))
    invited_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="NO ACTION"))
    token_hash: Mapped[bytes]
    generation: Mapped[int]
    expires_at: Mapped[datetime]
    status: Mapped[InvitationStatus] = mapped_column(word(InvitationStatus), default=InvitationStatus.PENDING)
    mail_status: Mapped[MailStatus] = mapped_column(word(MailStatus), default=MailStatus.QUEUED)
    accepted_by: Mapped[UUID | None] = mapped_column(default=None)

    def state_at(self, now: datetime) -> InvitationStatus:
        """What it is at a moment: a pending one whose time is over has expired."""
        over = self.status == InvitationStatus.PENDING and self.expires_at <= now
        return InvitationStatus.EXPIRED if over else self.status

    @property
    def state(self) -> InvitationStatus:
        return self.state_at(utc_now())

    @property
    def etag(self) -> str:
        return f"{self.version}-{self.state}"
