"""The one guard: who calls, in which role, is it allowed; then the session is confined to the partner."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import and_, case, null, or_
from sqlalchemy.ext.asyncio import AsyncSession

from app import policy
from app.db import Db, UnitsOfWork, get_session, unit_of_work
from app.express import Glance, Guess, Inside, Prepared, Step, transaction
from app.idempotency import recall, recall_express
from app.lines import Lines
from app.looks import through
from app.models import PLATFORM, Partner, PartnerMember, User, new_id
from app.models.partner import PartnerStatus
from app.policy import WITH_SESSION_ONLY, Access, Caller, Permission, Role, allowing, decide
from app.problems import KINDS, Forbidden, InsufficientScope, NotFound, Problem
from app.recent import Recent
from app.standing import (
    AS_BEFORE,
    GLANCE,
    STANDING,
    WIDTH,
    Standing,
    Token,
    asked_as_before,
    asked_of,
    long_unseen,
    look_up,
    look_up_express,
    token_of,
)
from app.tenancy import EVERYONE, confine

SELF, PUBLIC = "self", "public"
CLOSED, PASSED = "closed", "passed"
MAX_FAMILIAR = 10_000

PartnerId = Annotated[UUID, Path(description="Id of the partner.")]
AccountId = Annotated[UUID, Path(description="Id of the account.")]


# --- who calls ---


def origin_of(request: Request) -> policy.Request:
    """Where a request comes from: the proxy's word for it, if the proxy is trusted."""
    return policy.Request(request.scope["request_id"], request.client.host if request.client else None)


async def _origin(request: Request) -> policy.Request:
    return origin_of(request)


Origin = Annotated[policy.Request, Depends(_origin)]


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
        token = token_of(request)
        await confine(db, partner_id)
        found = await look_up(db, token, partner_id, None)
        access = _granted_in_partner(request, token, found, permission, partner_id)
        await recall(request, db, partner_id, token.user_id)
        return access

    return _marked(guard, permission)


def _granted_in_partner(request: Request, token: Token, found: Standing, permission: Permission,
                        partner_id: UUID) -> Access:  # fmt: skip
    if found.partner_status is None:
        raise NotFound
    if token.account_id is not None:
        raise InsufficientScope if token.partner_id == partner_id else NotFound
    caller = _caller(request, token, operator=found.operator)
    return through(request, permission, _granted(caller, found, found.partner_roles, permission, partner_id, None))


@dataclass(frozen=True)
class Gate:
    """The guard of `in_partner` on the express lane: it asks who calls in one statement with what the call is for."""

    request: Request
    token: Token
    partner_id: UUID
    permission: Permission

    @property
    def familiar(self) -> bool:
        """Whether this caller was let in here before: only then is it worth guessing, and tells strangers nothing."""
        return (self.token.session_id, self.partner_id) in _familiar

    @asynccontextmanager
    async def enter(
        self, guess: Guess | None = None, *, plans: str = "", lock: int | None = None, **values: Any
    ) -> AsyncGenerator[Inside]:
        """Open a transaction and find out whether the caller may; `guess`, with its `values`, is answered besides.

        Raises:
            The problems of `in_partner`.
        """
        self.request.scope["gate"] = PASSED
        async with transaction(self.request.app.state.engine, self.partner_id, plans=plans, lock=lock) as line:
            statement = _with_guess(guess) if guess is None or guess.lasting else _with_guess.__wrapped__(guess)
            found, more = await look_up_express(line, self.token, self.partner_id, statement, **values)
            access = _granted_in_partner(self.request, self.token, found, self.permission, self.partner_id)
            _familiar.note((self.token.session_id, self.partner_id), found)
            await recall_express(self.request, line, self.partner_id, access.user_id)
            yield Inside(access, line, *more)

    async def glance(self, guess: Guess, **values: Any) -> Glance | None:
        """The same in one round trip, if all that is to be known is what was guessed; None: go through `enter`.

        For those who are `familiar`.

        Raises:
            The problems of `in_partner`.
        """
        lines: Lines = self.request.app.state.lines
        found = await lines.one(_at_a_glance(guess), **asked_of(self.token, self.partner_id, None), **values)
        if found is None or found[-1] is None:
            return None
        standing = Standing(*found[:WIDTH])
        if standing.partner_status is None or long_unseen(standing):
            return None
        access = _granted_in_partner(self.request, self.token, standing, self.permission, self.partner_id)
        _familiar.note((self.token.session_id, self.partner_id), standing)
        self.request.scope["gate"] = PASSED
        return Glance(access, found[-1])

    @property
    def presumed(self) -> "Presumed | None":
        """What the caller was when let in before: to be made sure of before anything comes of it.

        None: not let in before, or not for this, or the answer is to be kept (Idempotency-Key), which takes a
        transaction of more steps: go through `enter`.
        """
        was = _familiar.get((self.token.session_id, self.partner_id))
        if was is None or "idempotency" in self.request.scope:
            return None
        try:
            return Presumed(_granted_in_partner(self.request, self.token, was, self.permission, self.partner_id), was)
        except Problem:  # what the caller is by now is for the database to say
            return None

    async def write(self, step: Step, presumed: "Presumed", version: int, lock: int) -> bool:
        """Write a step that was made for whom the caller is presumed to be and for this version of the partner's
        columns, in one round trip; whether it was. If not, nothing was: go through `enter`.
        """
        lines: Lines = self.request.app.state.lines
        asked = AS_BEFORE.arguments(asked_as_before(self.token, self.partner_id, presumed.was, version, lock))
        if not await lines.write(step.behind(AS_BEFORE), [*asked, *step.values]):
            return False
        self.request.scope["gate"] = PASSED
        return True


@dataclass(frozen=True)
class Presumed:
    """Who the caller is if they still are what they were."""

    access: Access
    was: Standing


_familiar = Recent[tuple[UUID, UUID], Standing](MAX_FAMILIAR)
"""Sessions that were let into a partner, and what they were there."""


@lru_cache(maxsize=128)
def _with_guess(guess: Guess | None) -> Prepared:
    """Who calls, the version of the partner's columns, and the guess: worked out for those only who may see it."""
    more = null() if guess is None else _guessed(guess)
    return Prepared(STANDING.add_columns(Partner.properties_version, more))


@lru_cache(maxsize=128)
def _at_a_glance(guess: Guess) -> Prepared:
    return Prepared(GLANCE.add_columns(_guessed(guess)))


def _guessed(guess: Guess) -> Any:
    """The guess, for whoever may see it, if the columns are still those it was made with."""
    may_see = or_(User.operator, PartnerMember.role.in_(guess.open_to - {Role.OPERATOR}))
    return case((and_(Partner.properties_version == guess.version, may_see), guess.value))


def at_gate(permission: Permission) -> Any:
    """Guard of a hot `/partners/{partner_id}/…`: it hands out a gate, and nothing is read but through it."""

    async def guard(request: Request, partner_id: PartnerId) -> Gate:
        request.scope["gate"] = CLOSED
        return Gate(request, token_of(request), partner_id, permission)

    vars(guard)["gate"] = True
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
        token = token_of(request)
        await confine(db, partner_id)
        found = await look_up(db, token, partner_id, account_id)
        access = granted_in_account(request, token, found, permission, partner_id, account_id)
        await recall(request, db, partner_id, token.user_id)
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
    if token.account_id is not None and permission in WITH_SESSION_ONLY:
        raise InsufficientScope
    roles = {found.account_role} if found.account_role else set[Role]()
    if token.account_id is None:
        roles |= found.partner_roles
    caller = _caller(request, token, operator=found.operator)
    return through(request, permission, _granted(caller, found, roles, permission, partner_id, account_id))


def _granted(caller: Caller, found: Standing, roles: set[Role], permission: Permission, partner_id: UUID,
             account_id: UUID | None) -> Access:  # fmt: skip
    """The last word, the same for partner and account."""
    granted = decide(roles, permission, suspended=found.partner_status == PartnerStatus.SUSPENDED,
                     managed=bool(found.partner_management_enabled))  # fmt: skip
    if isinstance(granted, str):
        raise KINDS[granted]
    return Access(caller, partner_id, granted, account_id)


async def _signed_in(request: Request, db: AsyncSession) -> Caller:
    token = token_of(request)
    await confine(db, PLATFORM)
    found = await look_up(db, token, PLATFORM, None)
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


async def public() -> None:
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
