"""The guard of `in_account` on the express lane: who calls, in one statement with the one thing that the call is for.

What that is, is worked out only for those who may see it; and for whoever was let in before, the statement is a
transaction of its own: one round trip.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import and_, case, or_

from app.access import CLOSED, PASSED, AccountId, PartnerId, granted_in_account
from app.bearer import Token, token_of
from app.express import Inside, Prepared, transaction
from app.lines import Lines
from app.models import Account, AccountMember, Partner, PartnerMember, User
from app.policy import ACCOUNT_ROLES, GRANTS, PARTNER_ROLES, Access, Permission, Role, allowing
from app.recent import Recent
from app.records import record
from app.standing import (
    GLANCE_IN_ACCOUNT,
    STANDING,
    WIDTH,
    Standing,
    asked_of,
    long_unseen,
    look_up_express,
)

MAX_FAMILIAR: Final = 10_000


class Question:
    """One value that is asked for in an account (its parameters `partner` and `account` are given), by whoever has
    this permission.
    """

    def __init__(self, permission: Permission, value: Any) -> None:
        self.permission, roles = permission, GRANTS[permission]
        open_to: list[Any] = [
            AccountMember.role.in_(roles & ACCOUNT_ROLES), PartnerMember.role.in_(roles & PARTNER_ROLES)
        ]  # fmt: skip
        if allowing({Role.OPERATOR}, permission):
            open_to.append(User.operator)
        more = Partner.properties_version, case((and_(Account.id.is_not(None), or_(*open_to)), value))
        self.inside, self.at_a_glance = (
            Prepared(STANDING.add_columns(*more)),
            Prepared(GLANCE_IN_ACCOUNT.add_columns(*more)),
        )


@record
class Seen:
    """Past the guard, with the answer, and with no line to ask for more; the version of the partner's columns."""

    access: Access
    version: int
    found: Any


@record
class Door:
    """One caller before it."""

    request: Request
    token: Token
    partner_id: UUID
    account_id: UUID
    question: Question

    async def glance(self, **values: Any) -> Seen | None:
        """The answer in one round trip, to those who were let in here before: how long others wait must not tell them
        what there is. None: go through `enter`.

        Raises:
            The problems of `in_account`.
        """
        if (self.token.session_id, self.account_id) not in _familiar:
            return None
        lines: Lines = self.request.app.state.lines
        found = await lines.one(self.question.at_a_glance, **self._asked(), **values)
        if found is None or found[WIDTH] is None:
            return None
        standing = Standing(*found[:WIDTH])
        if long_unseen(standing):
            return None
        access = self._admit(standing)
        return None if found[-1] is None else Seen(access, *found[WIDTH:])

    @asynccontextmanager
    async def enter(self, **values: Any) -> AsyncGenerator[Inside]:
        """The answer, as what was `guessed`, in a transaction in which more can be asked.

        Raises:
            The problems of `in_account`.
        """
        async with transaction(self.request.app.state.engine, self.partner_id) as line:
            found, more = await look_up_express(
                line, self.token, self.partner_id, self.question.inside, self.account_id, **values
            )
            access = self._admit(found)
            _familiar.note((self.token.session_id, self.account_id), True)
            yield Inside(access, line, *more)

    def _asked(self) -> dict[str, Any]:
        return asked_of(self.token, self.partner_id, self.account_id)

    def _admit(self, found: Standing) -> Access:
        access = granted_in_account(
            self.request, self.token, found, self.question.permission, self.partner_id, self.account_id
        )
        self.request.scope["gate"] = PASSED
        return access


_familiar = Recent[tuple[UUID, UUID], bool](MAX_FAMILIAR)
"""Sessions that were let into an account."""


def at_door(permission: Permission, value: Any) -> Any:
    """Guard of a `GET /partners/{partner_id}/accounts/{account_id}/…` whose answer is one value of the database's:
    nothing is read but through it.
    """
    question = Question(permission, value)

    async def guard(request: Request, partner_id: PartnerId, account_id: AccountId) -> Door:
        request.scope["gate"] = CLOSED
        return Door(request, await token_of(request), partner_id, account_id, question)

    vars(guard).update(permission=permission, gate=True)
    return Depends(guard, scope="function")
