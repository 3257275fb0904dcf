"""API clients: programs that call the service for a partner, or for the cloud, and what they prove it with."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.models.base import Base, Identified, Tenanted, Versioned, word


class ApiClient(Versioned, Tenanted, Identified, Base):
    """A program of a partner's; of `PLATFORM`, one of the operators': a service of the cloud."""

    __tablename__ = "api_clients"
    __subject__ = "api_client"
    __table_args__ = (Index("uq_api_clients_name_key", "partner_id", "name_key", unique=True),)

    name: Mapped[str] = mapped_column(String(120))
    name_key: Mapped[str] = mapped_column(Text(collation="C"))
    """The name to tell it apart by; that of a revoked one holds its id too, and so is free again."""
    owner_id: Mapped[UUID]
    """The user it acts for: no foreign key, the row outlives the owner."""
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    networks: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class CredentialKind(StrEnum):
    """What a client proves itself with."""

    SECRET = "secret"  # noqa: S105 - a kind of one
    PUBLIC_KEY = "public_key"


class ApiCredential(Base):
    """What a client proves itself with: the hash of a secret, or a public key. Its session says whether it is in force.

    Global as sessions are: it is looked up before anybody knows in which partner.
    """

    __tablename__ = "api_credentials"
    __table_args__ = (
        CheckConstraint("kind IN ('secret', 'public_key')", "kind"),
        CheckConstraint("(secret_hash IS NULL) = (public_key IS NOT NULL)", "either"),
        Index("ix_api_credentials_client_id", "client_id"),
    )

    id: Mapped[UUID] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    client_id: Mapped[UUID]
    kind: Mapped[CredentialKind] = mapped_column(word(CredentialKind))
    hint: Mapped[str] = mapped_column(String(64))
    """What it is recognised by: the end of a secret, the thumbprint (RFC 7638) of a key."""
    secret_hash: Mapped[bytes | None] = mapped_column(default=None)
    public_key: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    expires_at: Mapped[datetime | None] = mapped_column(default=None)
    """When it ends by itself, whatever its client does."""


class UsedAssertion(Base):
    """A signed assertion that a token was given for: it is good once (RFC 7523, 3)."""

    __tablename__ = "used_assertions"
    __table_args__ = (Index("ix_used_assertions_expires_at", "expires_at"),)

    assertion_hash: Mapped[bytes] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]
