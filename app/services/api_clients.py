"""API clients: programs that call for a partner; or for the cloud, as its services."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import PLATFORM, ApiClient, PartnerMember, User, UserStatus, utc_now
from app.policy import Access, Role, scopes_of
from app.problems import ApiClientRevoked, Fault, Invalid, NameTaken, NotFound, Text, TooManyApiClients
from app.services import api_credentials, events, lists, partners, walks

MOST: Final = 100
TABLE: Final = lists.Table(
    ApiClient,
    {
        "name": lists.Column(ApiClient.name, lists.TEXT, sortable=True),
        "created_at": lists.Column(ApiClient.created_at, lists.ORDER, lists.moment, sortable=True),
        "revoked": lists.Column(ApiClient.revoked_at.is_not(None), ("eq", "in"), lists.truth),
    },
    sort="name",
    hidden={"revoked": ApiClient.revoked_at.is_(None)},
)
NO_SCOPE = Text("No API client may have this scope here.", "Diesen Scope darf hier kein API-Client haben.")
OVER = Text("Must lie in the future.", "Muss in der Zukunft liegen.")


async def listed(
    db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> walks.Listed:
    return await walks.fetch(db, select(ApiClient), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, client_id: UUID, *, lock: bool = False) -> ApiClient:
    """One client of the partner, a revoked one too; with `lock`, it stays as it is."""
    found = select(ApiClient).where(ApiClient.id == client_id)
    client = await db.scalar(found.with_for_update() if lock else found)
    if client is None:
        raise NotFound
    return client


async def hold(db: AsyncSession, client_id: UUID) -> ApiClient:
    """One that is to be changed.

    Raises:
        ApiClientRevoked: nothing of it changes any more.
    """
    client = await get(db, client_id, lock=True)
    if client.revoked_at is not None:
        raise ApiClientRevoked
    return client


async def create(db: AsyncSession, access: Access, values: Mapping[str, Any]) -> tuple[ApiClient, str]:
    """Make a client that acts for the caller; with its first secret, which is shown this once.

    Raises:
        Invalid: a scope that no client may have there, or an end that is over.
        NameTaken, TooManyApiClients
    """
    _check(access, values)
    if access.partner_id != PLATFORM:
        await partners.get(db, access.partner_id, lock=True)
    if (
        await db.scalars(select(func.count()).select_from(ApiClient).where(ApiClient.revoked_at.is_(None)))
    ).one() >= MOST:
        raise TooManyApiClients
    client = ApiClient(partner_id=access.partner_id, owner_id=access.user_id,
                       name_key=words.name_key(values["name"]), **values)  # fmt: skip
    await _save(db, client)
    events.record(db, access, "api_client.created", client, after=events.facts(client))
    _, secret = await api_credentials.add_secret(db, access, client)
    return client, secret


async def update(db: AsyncSession, access: Access, client: ApiClient, patch: Mapping[str, Any]) -> ApiClient:
    """Change a client (a merge patch): its tokens and keys may do more or less with the next request.

    Raises:
        Invalid: a scope that no client may have there, or an end that is over.
        NameTaken
    """
    values = dict(patch)
    _check(access, values)
    if "name" in values:
        values["name_key"] = words.name_key(values["name"])
    before, after = events.changed(client, values)
    if after:
        await _save(db, client)
        await api_credentials.adapt(db, client)
        events.record(db, access, "api_client.updated", client, before=before, after=after)
    return client


async def take_over(db: AsyncSession, access: Access, client: ApiClient) -> ApiClient:
    """Make the caller the owner: what it may is from now on bounded by what the caller is. Its secrets stay good."""
    before, after = events.changed(client, {"owner_id": access.user_id})
    if after:
        await db.flush()
        await api_credentials.adapt(db, client)
        events.record(db, access, "api_client.taken_over", client, before=before, after=after)
    return client


async def revoke(db: AsyncSession, access: Access, client: ApiClient) -> None:
    """End all that the client has, at once and for good."""
    now = utc_now()
    before, after = events.changed(client, {"revoked_at": now})
    client.name_key = f"{client.name_key} {client.id}"
    await db.flush()
    await api_credentials.end_all(db, client, now)
    events.record(db, access, "api_client.revoked", client, before=before, after=after)


def may_act(client: ApiClient, user_id: UUID) -> bool:
    """Whether it is in force, and still acts for this user."""
    over = client.expires_at is not None and client.expires_at <= utc_now()
    return client.revoked_at is None and not over and client.owner_id == user_id


async def shown(db: AsyncSession, clients: Sequence[ApiClient]) -> list[dict[str, Any]]:
    """Clients as the API shows them, each with what it proves itself with."""
    known = await api_credentials.of(db, [client.id for client in clients])
    owners = await _active_owners(db, clients)
    return [_shown(client, known.get(client.id, []), client.owner_id in owners) for client in clients]


def _shown(client: ApiClient, credentials: Sequence[Mapping[str, Any]], owner_active: bool) -> dict[str, Any]:
    own = ("id", "name", "owner_id", "scopes", "networks", "expires_at", "revoked_at", "created_at", "updated_at")
    used = [c["last_used_at"] for c in credentials if c["last_used_at"]]
    return {name: getattr(client, name) for name in own} | {
        "partner_id": None if client.partner_id == PLATFORM else client.partner_id,
        "status": _status(client, owner_active, utc_now()), "last_used_at": max(used, default=None),
        "credentials": credentials,
    }  # fmt: skip


def _status(client: ApiClient, owner_active: bool, now: datetime) -> str:
    if client.revoked_at is not None:
        return "revoked"
    if client.expires_at is not None and client.expires_at <= now:
        return "expired"
    return "active" if owner_active else "owner_gone"


async def _active_owners(db: AsyncSession, clients: Sequence[ApiClient]) -> set[UUID]:
    """Whoever of the owners may still sign in, and is somebody where the client is."""
    found = (
        select(User.id)
        .outerjoin(PartnerMember, PartnerMember.user_id == User.id)
        .where(User.id.in_({client.owner_id for client in clients}), User.status == UserStatus.ACTIVE,
               or_(User.operator, PartnerMember.id.is_not(None)))
    )  # fmt: skip
    return set(await db.scalars(found))


def _check(access: Access, values: Mapping[str, Any]) -> None:
    role = Role.SERVICE if access.partner_id == PLATFORM else Role.PARTNER_ADMIN
    allowed = scopes_of(role)
    faults = [Fault(f"/scopes/{n}", "scope_not_grantable", NO_SCOPE)
              for n, scope in enumerate(values.get("scopes", ())) if scope not in allowed]  # fmt: skip
    expires_at = values.get("expires_at")
    if expires_at is not None and expires_at <= utc_now():
        faults.append(Fault("/expires_at", "in_the_past", OVER))
    if faults:
        raise Invalid(errors=faults)


async def _save(db: AsyncSession, client: ApiClient) -> None:
    try:
        async with db.begin_nested():
            db.add(client)
    except IntegrityError as error:
        if "uq_api_clients_name_key" not in str(error.orig):
            raise
        raise NameTaken from None
