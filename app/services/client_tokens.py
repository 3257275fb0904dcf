"""Access tokens for API clients: the client credentials grant (RFC 6749, 4.4)."""

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import proofs, security
from app.models import ApiCredential, CredentialKind, Session, UsedAssertion, User, UserStatus, utc_now
from app.problems import InvalidClient, InvalidScope


@dataclass(frozen=True)
class Proven:
    """A client that has proved who it is, by one of its credentials."""

    client_id: UUID
    session_id: UUID
    scopes: Sequence[str]
    networks: Sequence[str] | None
    service: bool

    def scope(self, asked: str | None) -> str:
        """The scope of a token: what was asked for, or else all that the client may.

        Raises:
            InvalidScope: the client may not have all of it, or it is empty.
        """
        wanted = list(dict.fromkeys(self.scopes if asked is None else asked.split(" ")))
        if not wanted or not set(wanted) <= set(self.scopes):
            raise InvalidScope
        return " ".join(wanted)


async def by_secret(db: AsyncSession, client_id: str, secret: str) -> Proven:
    """Raises:
    InvalidClient: there is no such client, or this is none of its secrets.
    """
    credential_id = proofs.id_in_key(secret)
    if credential_id is None:
        raise InvalidClient
    credential, proven = await _look_up(db, ApiCredential.id == credential_id)
    if str(proven.client_id) != client_id.lower() or not hmac.compare_digest(
        credential.secret_hash or b"", security.digest(secret)
    ):
        raise InvalidClient
    return proven


async def by_assertion(db: AsyncSession, assertion: str, audiences: Collection[str], client_id: str | None) -> Proven:
    """By an assertion that the client signed with a key of its own (`private_key_jwt`; RFC 7523). It is good once.

    Raises:
        InvalidClient: it is not signed by a client's key, not for us, over, or was used before.
    """
    try:
        said = proofs.assertion_of(assertion)
    except ValueError:
        raise InvalidClient from None
    if client_id is not None and client_id.lower() != str(said.client_id):
        raise InvalidClient
    credential, proven = await _look_up(
        db, ApiCredential.client_id == said.client_id, ApiCredential.hint == said.kid,
        ApiCredential.kind == CredentialKind.PUBLIC_KEY,
    )  # fmt: skip
    now = utc_now()
    try:
        expires_at = proofs.verify_assertion(assertion, credential.public_key or {}, said, audiences, now)
    except ValueError:
        raise InvalidClient from None
    await _use(db, said, expires_at)
    return proven


async def _use(db: AsyncSession, said: proofs.Assertion, expires_at: datetime) -> None:
    used = security.digest(f"{said.client_id} {said.jti}")
    first = insert(UsedAssertion).values(assertion_hash=used, expires_at=expires_at).on_conflict_do_nothing()
    if (await db.execute(first.returning(UsedAssertion.expires_at))).one_or_none() is None:
        raise InvalidClient


async def _look_up(db: AsyncSession, *which: Any) -> tuple[ApiCredential, Proven]:
    found = (await db.execute(
        select(ApiCredential, Session)
        .join(Session, Session.id == ApiCredential.id)
        .join(User, User.id == Session.user_id)
        .where(*which, Session.ended_at.is_(None), Session.expires_at > utc_now(), User.status == UserStatus.ACTIVE)
    )).first()  # fmt: skip
    if found is None:
        raise InvalidClient
    credential, session = found
    return credential, Proven(
        credential.client_id,
        session.id,
        session.client_scopes or (),
        session.client_networks,
        session.client_partner_id is None,
    )
