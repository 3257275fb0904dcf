"""What API clients prove themselves with: secrets, and public keys of theirs. Each has a session of its own.

Guards ask for sessions anyhow; so a client, a secret or a key that has ended is refused with the next request.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import proofs, security
from app.models import PLATFORM, ApiClient, ApiCredential, CredentialKind, Session, UsedAssertion, new_id, utc_now
from app.policy import Access
from app.problems import Fault, Invalid, NotFound, Text, TooManyCredentials
from app.services import events

MOST: Final = 10
NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
ORIGIN: Final = "api-client"
NO_KEY = Text(
    "Must be the public half of an EC key on P-256.", "Muss der öffentliche Teil eines EC-Schlüssels auf P-256 sein."
)

KEY_TAKEN = Text("The client has this key already.", "Diesen Schlüssel hat der Client schon.")


async def of(db: AsyncSession, client_ids: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """What of each client is in force, the newest first."""
    rows = await db.execute(
        select(ApiCredential, Session)
        .join(Session, Session.id == ApiCredential.id)
        .where(ApiCredential.client_id.in_(client_ids), *_in_force())
        .order_by(ApiCredential.id.desc())
    )
    found: dict[UUID, list[dict[str, Any]]] = {}
    for credential, session in rows:
        used = session.last_used_at if session.last_used_at > session.created_at else None
        shown = {name: getattr(credential, name) for name in ("id", "kind", "hint", "expires_at")}
        shown |= {"created_at": session.created_at, "last_used_at": used}
        found.setdefault(credential.client_id, []).append(shown)
    return found


async def add(db: AsyncSession, access: Access, client: ApiClient, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Another secret or public key; as it is shown once.

    Raises:
        Invalid: it is no key on P-256, or one that is in force already.
        TooManyCredentials: ten are in force.
    """
    overlap_hours, secret = asked["overlap_hours"], None
    if asked["kind"] == CredentialKind.SECRET:
        credential_id, secret = await add_secret(db, access, client, overlap_hours=overlap_hours)
    else:
        try:
            key = proofs.public_key(asked["public_key"])
        except ValueError:
            raise Invalid(errors=[Fault("/public_key", "public_key", NO_KEY)]) from None
        credential_id = await add_key(db, access, client, key, overlap_hours=overlap_hours)
    (found,) = (c for c in (await of(db, [client.id]))[client.id] if c["id"] == credential_id)
    return found | {"secret": secret}


async def add_secret(
    db: AsyncSession, access: Access, client: ApiClient, *, overlap_hours: int | None = None
) -> tuple[UUID, str]:
    """A new secret, shown this once: only its hash is kept. The others end after so many hours; null: they stay.

    Raises:
        TooManyCredentials: ten are in force.
    """
    credential_id = new_id()
    secret = proofs.new_key(credential_id)
    credential = ApiCredential(id=credential_id, client_id=client.id, kind=CredentialKind.SECRET,
                               hint=secret[-4:], secret_hash=security.digest(secret))  # fmt: skip
    await _add(db, access, client, credential, overlap_hours)
    return credential_id, secret


async def add_key(
    db: AsyncSession,
    access: Access,
    client: ApiClient,
    key: Mapping[str, str],
    *,
    overlap_hours: int | None = None,
) -> UUID:
    """A public key, with whose private half the client signs its assertions (RFC 7523).

    Raises:
        Invalid: it is in force already.
        TooManyCredentials: ten are in force.
    """
    hint = security.thumbprint(key)
    if hint in {c["hint"] for c in (await of(db, [client.id])).get(client.id, ())}:
        raise Invalid(errors=[Fault("/public_key", "public_key_taken", KEY_TAKEN)])
    credential = ApiCredential(id=new_id(), client_id=client.id, kind=CredentialKind.PUBLIC_KEY,
                               hint=hint, public_key=dict(key))  # fmt: skip
    await _add(db, access, client, credential, overlap_hours)
    return credential.id


async def end(db: AsyncSession, access: Access, client: ApiClient, credential_id: UUID) -> None:
    """End one of them at once, and the tokens that were had with it.

    Raises:
        NotFound: it is none of this client's, or has ended.
    """
    session = await db.scalar(_sessions(client).where(Session.id == credential_id))
    if session is None:
        raise NotFound
    session.ended_at, session.end_reason = utc_now(), "ended"
    await db.flush()
    events.record(db, access, "api_client.credential_ended", client, before={"credential": str(credential_id)})


async def is_ended(db: AsyncSession, credential_id: UUID) -> bool:
    """Whether somebody ended it, so that what it set going is to stop. One that has run out by itself was good then,
    and one that was forgotten ran out long ago.
    """
    return await db.scalar(select(Session.ended_at).where(Session.id == credential_id)) is not None


async def end_all(db: AsyncSession, client: ApiClient, now: datetime) -> None:
    for session in await db.scalars(_sessions(client)):
        session.ended_at, session.end_reason = now, "revoked"
    await db.flush()


async def adapt(db: AsyncSession, client: ApiClient) -> None:
    """Let all that is in force say of the client what is true of it now."""
    own = {c.id: c.expires_at for c in await db.scalars(_of(client))}
    for session in await db.scalars(_sessions(client)):
        _say(session, client, own[session.id])
    await db.flush()


async def purge(db: AsyncSession, now: datetime) -> None:
    """Forget assertions that would be refused for their age anyhow."""
    await db.execute(delete(UsedAssertion).where(UsedAssertion.expires_at < now))


async def _add(db: AsyncSession, access: Access, client: ApiClient, credential: ApiCredential,
               overlap_hours: int | None) -> None:  # fmt: skip
    now = utc_now()
    others = (await db.scalars(_sessions(client))).all()
    if len(others) >= MOST:
        raise TooManyCredentials
    session = Session(id=credential.id, user_id=client.owner_id, expires_at=NEVER, network=ORIGIN, user_agent="",
                      client_id=client.id)  # fmt: skip
    _say(session, client, None)
    db.add(session)
    await db.flush()
    session.last_used_at = session.created_at
    db.add(credential)
    if overlap_hours is not None:
        await _limit(db, client, others, now + timedelta(hours=overlap_hours))
    await db.flush()
    said = {"credential": str(credential.id), "kind": credential.kind, "hint": credential.hint}
    if overlap_hours is not None:
        said |= {"overlap_hours": overlap_hours}
    events.record(db, access, "api_client.credential_added", client, after=said)


async def _limit(db: AsyncSession, client: ApiClient, sessions: Sequence[Session], at: datetime) -> None:
    own = {c.id: c for c in await db.scalars(_of(client))}
    for session in sessions:
        credential = own[session.id]
        credential.expires_at = min(credential.expires_at or NEVER, at)
        _say(session, client, credential.expires_at)
        if at <= utc_now():  # not left to run out: ended
            session.ended_at, session.end_reason = at, "ended"


def _say(session: Session, client: ApiClient, expires_at: datetime | None) -> None:
    session.user_id = client.owner_id
    session.expires_at = min(expires_at or NEVER, client.expires_at or NEVER)
    session.client_partner_id = None if client.partner_id == PLATFORM else client.partner_id
    session.client_scopes, session.client_networks = list(client.scopes), list(client.networks) or None


def _in_force() -> tuple[Any, ...]:
    return Session.ended_at.is_(None), Session.expires_at > utc_now()


def _of(client: ApiClient) -> Any:
    return select(ApiCredential).where(ApiCredential.client_id == client.id)


def _sessions(client: ApiClient) -> Any:
    """Those of all that is in force or may be so again, held: an end that the client has may be put off."""
    ids = select(ApiCredential.id).where(ApiCredential.client_id == client.id)
    own = select(ApiCredential.id).where(ApiCredential.client_id == client.id, ApiCredential.expires_at <= utc_now())
    return (
        select(Session)
        .where(Session.id.in_(ids), Session.id.not_in(own), Session.ended_at.is_(None))
        .order_by(Session.id)
        .with_for_update()
    )
