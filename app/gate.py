"""The guard of `in_partner` on the express lane: who calls, in one statement with what the call is for."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import and_, case, null, or_

from app.access import CLOSED, PASSED, PartnerId, granted_in_partner
from app.bearer import Token, token_of
from app.express import KEPT, Glance, Guess, Inside, Prepared, Step, transaction
from app.idempotency import recall_express
from app.lines import Lines
from app.models import Partner, PartnerMember, User
from app.policy import GRANTS, PARTNER_ROLES, Access, Permission, Role
from app.problems import Problem
from app.recent import Recent
from app.records import record
from app.standing import (
    AS_BEFORE,
    GLANCE,
    STANDING,
    WIDTH,
    Standing,
    asked_as_before,
    asked_of,
    long_unseen,
    look_up_express,
)

MAX_FAMILIAR: Final = 10_000


@record
class Gate:
    """One caller before it."""

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
            access = granted_in_partner(self.request, self.token, found, self.permission, self.partner_id)
            _familiar.note((self.token.session_id, self.partner_id), found)
            await recall_express(self.request, line, self.partner_id, access.caller.id)
            version, guessed = more
            yield Inside(access, line, version, guessed if guess and _may_see(guess, access) else None)

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
        access = granted_in_partner(self.request, self.token, standing, self.permission, self.partner_id)
        _familiar.note((self.token.session_id, self.partner_id), standing)
        if not _may_see(guess, access):
            return None
        self.request.scope["gate"] = PASSED
        return Glance(access, found[-1])

    @property
    def presumed(self) -> "Presumed | None":
        """What the caller was when let in before: to be made sure of before anything comes of it.

        None: not let in before, or not for this, or an API client, or the answer is to be kept (Idempotency-Key), which
        takes a transaction of more steps: go through `enter`.
        """
        was = _familiar.get((self.token.session_id, self.partner_id))
        if was is None or was.client_id is not None or "idempotency" in self.request.scope:
            return None
        try:
            return Presumed(granted_in_partner(self.request, self.token, was, self.permission, self.partner_id), was)
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


@record
class Presumed:
    """Who the caller is if they still are what they were."""

    access: Access
    was: Standing


_familiar = Recent[tuple[UUID, UUID], Standing](MAX_FAMILIAR)
"""Sessions that were let into a partner, and what they were there."""


@lru_cache(maxsize=KEPT)
def _with_guess(guess: Guess | None) -> Prepared:
    """Who calls, the version of the partner's columns, and the guess: worked out for those only who may see it."""
    more = null() if guess is None else _guessed(guess)
    return Prepared(STANDING.add_columns(Partner.properties_version, more))


@lru_cache(maxsize=KEPT)
def _at_a_glance(guess: Guess) -> Prepared:
    return Prepared(GLANCE.add_columns(_guessed(guess)))


def _guessed(guess: Guess) -> Any:
    """The guess, for whoever may see it, if the columns are still those it was made with."""
    open_to = frozenset(Role).intersection(*(GRANTS[permission] for permission in guess.needs))
    may_see = or_(User.operator, PartnerMember.role.in_(open_to & PARTNER_ROLES))
    return case((and_(Partner.properties_version == guess.version, may_see), guess.value))


def _may_see(guess: Guess, access: Access) -> bool:
    """The database goes by the roles of users: what a client may of what its owner may, is known here."""
    return all(map(access.may, guess.needs))


def at_gate(permission: Permission) -> Any:
    """Guard of a hot `/partners/{partner_id}/…`: it hands out a gate, and nothing is read but through it."""

    async def guard(request: Request, partner_id: PartnerId) -> Gate:
        request.scope["gate"] = CLOSED
        return Gate(request, await token_of(request), partner_id, permission)

    vars(guard).update(permission=permission, gate=True)
    return Depends(guard, scope="function")
