"""The one guard: who calls, in which role, is it allowed; then the session is confined to the partner."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import and_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import policy
from app.db import Db, UnitsOfWork, unit_of_work
from app.models import PLATFORM, Account, AccountMember, Partner, PartnerMember, Session, User, new_id, utc_now
from app.models.partner import PartnerStatus
from app.models.user import UserStatus
from app.policy import (
    ACCOUNT_ROLES,
    GRANTS,
    INSIDE,
    PARTNER_ROLES,
    WITH_SESSION_ONLY,
    Access,
    Caller,
    Permission,
    Role,
    allowing,
)
from app.problems import (
    Forbidden,
    InsufficientScope,
    NotAMember,
    NotFound,
    PartnerManagementOff,
    PartnerSuspended,
    Unauthenticated,
)
from app.rest import recall
from app.tenancy import EVERYONE, confine

SELF, PUBLIC = "self", "public"
SEEN_EVERY = timedelta(minutes=5)

PartnerId = Annotated[UUID, Path(description="Id of the partner.")]
AccountId = Annotated[UUID, Path(description="Id of the account.")]


# --- who calls ---


@dataclass(frozen=True)
class Token:
    """A verified access token; with an account, one that is good for that account alone."""

    user_id: UUID
    session_id: UUID
    partner_id: UUID | None
    account_id: UUID | None


def _token(request: Request) -> Token:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    claims: Mapping[str, Any] = request.app.state.tokens.verify(credentials.strip())
    partner_id, account_id = (UUID(claims[c]) if c in claims else None for c in ("partner_id", "account_id"))
    return Token(UUID(claims["sub"]), UUID(claims["sid"]), partner_id, account_id)


@dataclass(frozen=True)
class Standing:
    """What the caller is, where: as one statement reads it. Null: not there, or no member."""

    operator: bool
    last_used_at: datetime
    partner_status: PartnerStatus | None
    partner_management_enabled: bool | None
    partner_role: Role | None
    account_id: UUID | None
    account_role: Role | None

    @property
    def partner_roles(self) -> set[Role]:
        """The roles that come from outside the account."""
        member = {self.partner_role} if self.partner_role else set[Role]()
        return member | ({Role.OPERATOR} if self.operator else set[Role]())


async def _look_up(db: AsyncSession, token: Token, partner_id: UUID, account_id: UUID | None) -> Standing:
    """User, session, partner, account and both roles, in one statement.

    Raises:
        Unauthenticated: the session has ended or its user may not sign in.
    """
    statement = (
        select(
            User.operator, Session.last_used_at, Partner.status, Partner.partner_management_enabled,
            PartnerMember.role, Account.id, AccountMember.role,
        )
        .select_from(Session)
        .join(User, User.id == Session.user_id)
        .outerjoin(Partner, Partner.id == partner_id)
        .outerjoin(PartnerMember, and_(PartnerMember.partner_id == partner_id, PartnerMember.user_id == User.id))
        .outerjoin(Account, and_(Account.partner_id == partner_id, Account.id == account_id))
        .outerjoin(AccountMember, and_(AccountMember.partner_id == partner_id, AccountMember.user_id == User.id,
                                       AccountMember.account_id == account_id))
        .where(Session.id == token.session_id, Session.user_id == token.user_id, Session.ended_at.is_(None),
               Session.expires_at > utc_now(), User.status == UserStatus.ACTIVE)
    )  # fmt: skip
    found = (await db.execute(statement)).one_or_none()
    if found is None:
        raise Unauthenticated
    standing = Standing(*found)
    await _mark_used(db, token.session_id, standing.last_used_at)
    return standing


async def _mark_used(db: AsyncSession, session_id: UUID, last_used_at: datetime) -> None:
    """Remember the use of a session, to within five minutes: most requests write nothing."""
    now = utc_now()
    if now - last_used_at > SEEN_EVERY:
        await db.execute(update(Session).where(Session.id == session_id).values(last_used_at=now))


def origin_of(request: Request) -> policy.Request:
    """Where a request comes from: the proxy's word for it, if the proxy is trusted."""
    return policy.Request(request.scope["request_id"], request.client.host if request.client else None)


Origin = Annotated[policy.Request, Depends(origin_of)]


def _caller(request: Request, token: Token, *, operator: bool) -> Caller:
    origin = origin_of(request)
    return Caller(token.user_id, token.session_id, operator, origin.id, origin.address)


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
        await recall(request, db, PLATFORM, caller.user_id)
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
        token = _token(request)
        await confine(db, partner_id)
        found = await _look_up(db, token, partner_id, None)
        if found.partner_status is None:
            raise NotFound
        if token.account_id is not None:
            raise InsufficientScope if token.partner_id == partner_id else NotFound
        roles = found.partner_roles
        return await _grant(request, db, _caller(request, token, operator=found.operator), found, roles, permission,
                            partner_id, None)  # fmt: skip

    return _marked(guard, permission)


def in_account(permission: Permission) -> Any:
    """Guard of `/partners/{partner_id}/accounts/{account_id}/…`, for partner people and for account members.

    Raises:
        NotFound: no such account of this partner, or the caller has nothing to do with it.
        PartnerSuspended, PartnerManagementOff: see `in_partner`; account members work on while it is merely off.
        NotAMember: only members may, and the caller is none.
        Forbidden: no role of the caller grants `permission`.
    """

    async def guard(request: Request, db: Db, partner_id: PartnerId, account_id: AccountId) -> Access:
        token = _token(request)
        await confine(db, partner_id)
        found = await _look_up(db, token, partner_id, account_id)
        if found.account_id is None or token.account_id not in (None, account_id):
            raise NotFound
        if token.account_id is not None and permission in WITH_SESSION_ONLY:
            raise InsufficientScope
        roles = {found.account_role} if found.account_role else set[Role]()
        if token.account_id is None:
            roles |= found.partner_roles
        return await _grant(request, db, _caller(request, token, operator=found.operator), found, roles, permission,
                            partner_id, account_id)  # fmt: skip

    return _marked(guard, permission)


async def _grant(request: Request, db: AsyncSession, caller: Caller, found: Standing, roles: set[Role],
                 permission: Permission, partner_id: UUID, account_id: UUID | None) -> Access:  # fmt: skip
    """The last word, the same for partner and account."""
    if not roles:
        raise NotFound
    suspended = found.partner_status == PartnerStatus.SUSPENDED
    awake = roles & {Role.OPERATOR} if suspended else roles
    if not found.partner_management_enabled and roles & PARTNER_ROLES:  # its own people: in as members, no more
        awake = awake & ({Role.OPERATOR, *ACCOUNT_ROLES} if permission in INSIDE else {Role.OPERATOR})
    granted = allowing(awake, permission)
    if not granted:
        if awake != roles:
            raise PartnerSuspended if suspended else PartnerManagementOff
        raise NotAMember if GRANTS[permission] <= ACCOUNT_ROLES and not roles & ACCOUNT_ROLES else Forbidden
    await recall(request, db, partner_id, caller.user_id)
    return Access(caller, partner_id, granted, account_id)


async def _signed_in(request: Request, db: AsyncSession) -> Caller:
    token = _token(request)
    await confine(db, PLATFORM)
    found = await _look_up(db, token, PLATFORM, None)
    if token.account_id is not None:
        raise InsufficientScope
    return _caller(request, token, operator=found.operator)


async def _self_guard(request: Request, db: Db) -> Caller:
    """Guard of what everybody who is signed in may do with their own user."""
    return await _signed_in(request, db)


async def _self_guard_apart(request: Request, begin: UnitsOfWork) -> Caller:
    """The same in a transaction of its own: for what hashes a password and must hold no connection meanwhile."""
    async with unit_of_work(begin) as db:
        return await _signed_in(request, db)


async def _optional(request: Request, db: Db) -> Caller | None:
    return await _signed_in(request, db) if "Authorization" in request.headers else None


def public() -> None:
    """Says, in so many words, that an endpoint needs no permission."""


def _marked(guard: Callable[..., Any], permission: str) -> Any:
    guard.permission = permission  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess]
    return Depends(guard, scope="function")


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


def refuse_unguarded(routes: Iterable[APIRoute]) -> None:
    """Stop the start of an app with an endpoint that has no guard, or two; note the permission in the contract.

    Raises:
        RuntimeError: names the endpoint.
    """
    for route in routes:
        granted = permissions_of(route.dependant)
        if len(granted) != 1:
            raise RuntimeError(f"{route.methods} {route.path} needs exactly one guard, has {granted}")
        route.openapi_extra = {"x-permission": str(granted[0])} | (route.openapi_extra or {})
