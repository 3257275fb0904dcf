"""People, and what signs them in. Global: no partner owns these rows."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, String, Text, true
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Versioned, new_id, utc_now, word


class UserStatus(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


class User(Versioned, Identified, Base):
    """A person, known once across all partners by the e-mail address."""

    __tablename__ = "users"
    __subject__ = "user"
    __table_args__ = (
        CheckConstraint("status IN ('active', 'suspended')", "status"),
        CheckConstraint("language IN ('en', 'de')", "language"),
    )

    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254, collation="C"), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    name_search: Mapped[str] = mapped_column(Text(collation="C"))
    password_hash: Mapped[str]
    language: Mapped[str] = mapped_column(String(2), default="en")
    status: Mapped[UserStatus] = mapped_column(word(UserStatus), default=UserStatus.ACTIVE)
    operator: Mapped[bool] = mapped_column(default=False)
    totp_secret: Mapped[bytes | None] = mapped_column(default=None)
    totp_enabled_at: Mapped[datetime | None] = mapped_column(default=None)
    totp_last_step: Mapped[int] = mapped_column(default=0)
    licence_notices: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Whether the user, where they are an admin, wants mails of licences that end and limits that are reached."""


class RecoveryCode(Base):
    """One of a user's single-use codes, for when the authenticator is lost."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)


class Session(Identified, Base):
    """One log-in, from first password to its end; every token of it names it.

    Or one credential of an API client (`ApiCredential`, of the same id), which acts for its owner: then it says all
    that a guard must know of the client, so that whoever asks for the one knows the other.
    """

    __tablename__ = "sessions"
    __subject__ = "session"
    __table_args__ = (Index("ix_sessions_user_id", "user_id"), Index("ix_sessions_expires_at", "expires_at"))

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]
    network: Mapped[str] = mapped_column(String(64))
    user_agent: Mapped[str] = mapped_column(String(200))
    last_used_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
    ended_at: Mapped[datetime | None] = mapped_column(default=None)
    end_reason: Mapped[str | None] = mapped_column(String(40), default=None)
    client_id: Mapped[UUID | None] = mapped_column(default=None)
    client_partner_id: Mapped[UUID | None] = mapped_column(default=None)
    """The one partner that it is a client of; null: a service, which comes to all."""
    client_scopes: Mapped[list[str] | None] = mapped_column(ARRAY(Text()), default=None)
    client_networks: Mapped[list[str] | None] = mapped_column(ARRAY(Text()), default=None)
    """Where it may call from; null: from everywhere."""


class RefreshToken(Base):
    """One refresh token of a session; used once, then kept to recognise a second use."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_session_id", "session_id"),)

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"))
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class PasswordReset(Base):
    """A link to set a new password. Its id is that of the delivery that carries it."""

    __tablename__ = "password_resets"
    __table_args__ = (Index("ix_password_resets_user_id", "user_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None] = mapped_column(default=None)


class Throttle(Base):
    """Failures counted against one key (an address and where it was tried from)."""

    __tablename__ = "throttles"
    __table_args__ = (Index("ix_throttles_blocked_until", "blocked_until"),)

    key: Mapped[bytes] = mapped_column(primary_key=True)
    failures: Mapped[int]
    blocked_until: Mapped[datetime]


class WorkerBeat(Base):
    """A sign of life of one worker process."""

    __tablename__ = "worker_beats"

    id: Mapped[UUID] = mapped_column(primary_key=True, default_factory=new_id)
    seen_at: Mapped[datetime] = mapped_column(default_factory=utc_now)
