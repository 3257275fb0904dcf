"""The one guard: who calls, in which role, is it allowed; then the session is confined to the partner."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncSession

from app import networks, policy
from app.bearer import Token, take_as_stranger, token_of
from app.db import Db, UnitsOfWork, get_session, unit_of_work
from app.idempotency import recall
from app.looks import through
from app.models import PLATFORM, new_id
from app.models.partner import PartnerStatus
from app.policy import WITH_SESSION_ONLY, Access, Actor, Caller, Permission, Role, allowing, decide
from app.problems import KINDS, ClientOwnerGone, Forbidden, InsufficientScope, NetworkNotAllowed, NotFound
from app.standing import (
    Standing,
    look_up,
)
from app.tenancy import EVERYONE, confine
from app.turns import note_let_in

SELF, ANYONE, PUBLIC = "self", "anyone", "public"
CLOSED, PASSED = "closed", "passed"
LIMITED = "/v1/"
"""Whoever watches over the service, or fetches its keys, is not counted."""

PartnerId = Annotated[UUID, Path(description="Id of the partner.")]
AccountId = Annotated[UUID, Path(description="Id of the account.")]


# --- who calls ---


def origin_of(request: Request) -> policy.Request:
    """Where a request comes from: the proxy's word for it, if the proxy is trusted."""
    return policy.Request(request.scope["request_id"], request.client.host if request.client else None)


async def _origin(request: Request) -> policy.Request:
    return origin_of(request)


Origin = Annotated[policy.Request, Depends(_origin)]


def _caller(request: Request, token: Token, found: Standing) -> Caller:
    origin = origin_of(request)
    if found.client_id is None:
        return Caller(token.bearer_id, token.session_id, found.operator, origin.id, origin.address)
    owner = UUID(int=found.user_id.int)  # the driver's ids are of a type of their own
    return Caller(owner, token.session_id, False, origin.id, origin.address, Actor.API_CLIENT, token.bearer_id)


# --- what the caller may do ---


def operator(permission: Permission) -> Any:
    """Guard of what only staff of the service may do. The session sees all partners, and nothing else of theirs.

    Raises:
        InsufficientScope: the token is that of an account.
        Forbidden: the caller is no operator.
    """

    async def guard(request: Request, db: Db) -> Access:
        caller = await _signed_in(request, db)
        roles = allowing({Role.OPERATOR} if caller.operator else set(), permission)
        if not roles:
            raise Forbidden
        await recall(request, db, PLATFORM, caller.id)
        await confine(db, EVERYONE)
        return Access(caller, PLATFORM, roles)

    return _marked(guard, permission)


def in_partner(permission: Permission) -> Any:
    """Guard of `/partners/{partner_id}/…`.

    Raises:
        NotFound: the partner does not exist, or the caller is neither a member nor an operator.
        PartnerSuspended, PartnerManagementOff: the caller is a member, but that is the partner's state.
        InsufficientScope: the token is that of an account.
        Forbidden: no role of the caller grants `permission`.
    """

    async def guard(request: Request, db: Db, partner_id: PartnerId) -> Access:
        token = await token_of(request)
        await confine(db, partner_id)
        found = await look_up(db, token, partner_id, None)
        access = granted_in_partner(request, token, found, permission, partner_id)
        await recall(request, db, partner_id, token.bearer_id)
        return access

    return _marked(guard, permission)


def granted_in_partner(request: Request, token: Token, found: Standing, permission: Permission,
                       partner_id: UUID) -> Access:  # fmt: skip
    """What `in_partner` says of a caller of whom this was found.

    Raises:
        The problems of `in_partner`.
    """
    if found.partner_status is None:
        raise NotFound
    _refuse_client(request, found, partner_id)
    if token.account_id is not None:
        raise InsufficientScope if token.partner_id == partner_id else NotFound
    caller = _caller(request, token, found)
    access = _granted(caller, token, found, found.partner_roles, permission, partner_id, None)
    return through(request, permission, access, lent=found.lent)


def _refuse_client(request: Request, found: Standing, partner_id: UUID) -> None:
    """What holds of API clients besides.

    Raises:
        NotFound: it is the client of another partner.
        ClientOwnerGone: its owner is none of the partner's people any more, or no operator.
        NetworkNotAllowed: it calls from elsewhere than it may.
    """
    if found.client_id is None:
        return
    if found.client_partner_id not in (None, partner_id):
        raise NotFound
    if not found.partner_roles:
        raise ClientOwnerGone
    if not networks.hold(found.client_networks, origin_of(request).address):
        raise NetworkNotAllowed


def _scopes(token: Token, found: Standing) -> frozenset[str]:
    """What an API client may: as of now, and as its token says."""
    now = frozenset(found.client_scopes or ())
    return now if token.scopes is None else now & token.scopes


def in_account(permission: Permission) -> Any:
    """Guard of `/partners/{partner_id}/accounts/{account_id}/…`, for partner people and for account members.

    Raises:
        NotFound: no such account of this partner, or the caller has nothing to do with it.
        PartnerSuspended, PartnerManagementOff: see `in_partner`; account members work on while it is merely off.
        NotAMember: only members may, and the caller is none.
        Forbidden: no role of the caller grants `permission`.
    """

    async def guard(request: Request, db: Db, partner_id: PartnerId, account_id: AccountId) -> Access:
        token = await token_of(request)
        await confine(db, partner_id)
        found = await look_up(db, token, partner_id, account_id)
        access = granted_in_account(request, token, found, permission, partner_id, account_id)
        await recall(request, db, partner_id, token.bearer_id)
        return access

    return _marked(guard, permission)


def granted_in_account(request: Request, token: Token, found: Standing, permission: Permission, partner_id: UUID,
                       account_id: UUID) -> Access:  # fmt: skip
    """What `in_account` says of a caller of whom this was found.

    Raises:
        The problems of `in_account`.
    """
    if found.account_id is None or token.account_id not in (None, account_id):
        raise NotFound
    _refuse_client(request, found, partner_id)
    if token.account_id is not None and permission in WITH_SESSION_ONLY:
        raise InsufficientScope
    member = found.account_role if found.client_id is None else None  # it is no member, whatever its owner is
    roles = {member} if member else set[Role]()
    if token.account_id is None:
        roles |= found.partner_roles
    caller = _caller(request, token, found)
    access = _granted(caller, token, found, roles, permission, partner_id, account_id)
    return through(request, permission, access, lent=found.lent)


def _granted(caller: Caller, token: Token, found: Standing, roles: set[Role], permission: Permission,
             partner_id: UUID, account_id: UUID | None) -> Access:  # fmt: skip
    """The last word, the same for partner and account."""
    granted = decide(roles, permission, suspended=found.partner_status == PartnerStatus.SUSPENDED,
                     managed=bool(found.partner_management_enabled))  # fmt: skip
    if isinstance(granted, str):
        raise KINDS[granted]
    scopes = None if found.client_id is None else _scopes(token, found)
    if scopes is not None and permission not in scopes:  # which one it lacks: RFC 6750, 3
        raise InsufficientScope(
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{permission}"'}
        )
    note_let_in(token.session_id, partner_id)
    return Access(caller, partner_id, granted, account_id, scopes)


async def _signed_in(request: Request, db: AsyncSession) -> Caller:
    token = await token_of(request)
    await confine(db, PLATFORM)
    found = await look_up(db, token, PLATFORM, None)
    if token.account_id is not None or found.client_id is not None:
        raise InsufficientScope
    return _caller(request, token, found)


async def _anyone_guard(request: Request, db: Db) -> Caller:
    """Guard of what is nobody's, and everybody may read who is somebody: people, and API clients of any scope."""
    token = await token_of(request)
    await confine(db, PLATFORM)
    found = await look_up(db, token, PLATFORM, None)
    if token.account_id is not None:
        raise InsufficientScope
    if not networks.hold(found.client_networks, origin_of(request).address):
        raise NetworkNotAllowed
    return _caller(request, token, found)


async def _self_guard(request: Request, db: Db) -> Caller:
    """Guard of what everybody who is signed in may do with their own user."""
    return await _signed_in(request, db)


async def _self_guard_apart(request: Request, begin: UnitsOfWork) -> Caller:
    """The same in a transaction of its own: for what hashes a password and must hold no connection meanwhile."""
    async with unit_of_work(begin) as db:
        return await _signed_in(request, db)


async def _optional(request: Request, db: Db) -> Caller | None:
    return await _signed_in(request, db) if "Authorization" in request.headers else None


async def public(request: Request) -> None:
    """Says, in so many words, that an endpoint needs no permission."""
    if request.url.path.startswith(LIMITED):
        await take_as_stranger(request)


def _marked(guard: Callable[..., Any], permission: str) -> Any:
    guard.permission = permission  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess]
    return Depends(guard, scope="function")


Anyone = Annotated[Caller, _marked(_anyone_guard, ANYONE)]
Self = Annotated[Caller, _marked(_self_guard, SELF)]
SelfApart = Annotated[Caller, _marked(_self_guard_apart, SELF)]
Public = _marked(public, PUBLIC)
MaybeSelf = Annotated[Caller | None, Depends(_optional, scope="function")]


def on_platform(permission: Permission) -> Any:
    """Guard of what operators change for all partners. The session is confined to what belongs to none.

    Raises:
        InsufficientScope, Forbidden: see `operator`.
    """
    admit = operator(permission).dependency

    async def guard(request: Request, db: Db) -> Access:
        access: Access = await admit(request, db)
        await confine(db, access.partner_id)
        return access

    return _marked(guard, permission)


def creating_partner(permission: Permission) -> Any:
    """Guard of the operator's creation of a partner: the session is confined to the one to be, by its new id."""
    admit = operator(permission).dependency

    async def guard(request: Request, db: Db) -> Access:
        access: Access = await admit(request, db)
        partner_id = new_id()
        await confine(db, partner_id)
        return replace(access, partner_id=partner_id)

    return _marked(guard, permission)


# --- no endpoint without a guard ---


def permissions_of(dependant: Dependant) -> list[str]:
    own = getattr(dependant.call, "permission", None)
    return [own] if own else [p for d in dependant.dependencies for p in permissions_of(d)]


def has_gate(dependant: Dependant) -> bool:
    return any(getattr(d.call, "gate", False) for d in dependant.dependencies)


def needs(dependant: Dependant, call: Callable[..., Any]) -> bool:
    return any(d.call is call or needs(d, call) for d in dependant.dependencies)


def refuse_unguarded(routes: Iterable[APIRoute]) -> None:
    """Stop the start of an app with an endpoint that has no guard, or two; note the permission in the contract.

    Raises:
        RuntimeError: names the endpoint.
    """
    for route in routes:
        granted = permissions_of(route.dependant)
        if len(granted) != 1:
            raise RuntimeError(f"{route.methods} {route.path} needs exactly one guard, has {granted}")
        if has_gate(route.dependant) and needs(route.dependant, get_session):
            raise RuntimeError(f"{route.methods} {route.path} has a gate, and a way around it")
        route.openapi_extra = {"x-permission": str(granted[0])} | (route.openapi_extra or {})
