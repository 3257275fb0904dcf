"""The guard of `in_account` for what is asked of one thing thousands of times a minute: many pass it together.

Who calls is asked for all of them in the transaction that serves them, never remembered: whoever was removed a moment
ago is refused. Strangers do not get that far, so that they wait for nobody and nobody for them.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, Final, Protocol, cast
from uuid import UUID

from fastapi import Depends, Request, Response
from sqlalchemy import (
    ARRAY,
    LABEL_STYLE_TABLENAME_PLUS_COL,
    BindParameter,
    FromClause,
    Integer,
    Text,
    Uuid,
    column,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.visitors import replacement_traverse

from app.access import CLOSED, PASSED, AccountId, PartnerId, granted_in_account
from app.bearer import Token, token_of
from app.express import Driver, Prepared, param
from app.idempotency import recall_express, remember_express
from app.lines import Lines
from app.models import Account, AccountStatus, utc_now
from app.policy import Access, Permission
from app.problems import Problem, Unauthenticated
from app.queues import Queues
from app.recent import Recent
from app.records import record
from app.standing import (
    GLANCE_IN_ACCOUNT,
    SEEN_EVERY,
    STANDING,
    WIDTH,
    Standing,
    asked_of,
    long_unseen,
    look_up_express,
)

MAX_INTRODUCED: Final = 10_000


class Pool(Protocol):
    """What a desk knows of the thing."""

    @property
    def fresh(self) -> bool: ...


class Desk(Protocol):
    """What is behind the turnstile: how a thing is held, what is to be known of it, and what is done then."""

    def lock(self, partner_id: UUID, account_id: UUID, feature: str, /) -> str: ...
    def known(self, asked: FromClause, subject: Any, number: Any, /) -> tuple[FromClause, list[Any]]: ...
    def subject(self, ask: Any, /) -> str: ...
    def pool_of(self, found: Sequence[Any], at: datetime, /) -> Pool: ...
    async def open_(self, line: Driver, partner_id: UUID, account_id: UUID, feature: str, /) -> None: ...
    async def settle(
        self, line: Driver, partner_id: UUID, account_id: UUID, feature: str,
        arrivals: Sequence[tuple[Access, AccountStatus, Any, Sequence[Any]]], pool: Any, /,
    ) -> tuple[Sequence[Any], bool]: ...  # fmt: skip


@record
class Place:
    """One thing of an account that is waited for, and who sees to it."""

    desk: Desk
    holds: Lines
    partner_id: UUID
    account_id: UUID
    thing: str


@record
class Turnstile:
    """One caller before it."""

    request: Request
    token: Token
    partner_id: UUID
    account_id: UUID
    permission: Permission

    async def settle(self, desk: Desk, thing: str, ask: Any, respond: Callable[[Any], Response]) -> Response:
        """Pass with all others who want something of the same thing, and have it settled in one transaction.

        A request with an Idempotency-Key passes alone: its answer is written with its effect. Few
        of them do so at a time, for each holds a connection while it waits for the thing.

        Raises:
            The problems of `in_account`, and those of the desk.
        """
        self.request.scope["gate"] = PASSED
        state = self.request.app.state
        place = Place(desk, state.holds, self.partner_id, self.account_id, thing)
        await self._introduce(place.holds, state.lines)
        queues: Queues = state.queues
        key = (self.partner_id, self.account_id, thing)
        if "idempotency" in self.request.scope:
            async with queues.alone(key):
                return await _alone(place, self, ask, respond)
        return respond(await queues.join(key, (self, ask), partial(_serve, place)))

    async def _introduce(self, holds: Lines, lines: Lines) -> None:
        """Make sure, in a transaction of its own, that this is no stranger: every few minutes."""
        who, now = (self.token.session_id, self.partner_id, self.account_id), time.monotonic()
        if (_introduced.get(who) or 0) > now:
            return
        if not await self._is_known(lines):
            async with holds.transaction(self.partner_id, "") as line:
                found, _ = await look_up_express(line, self.token, self.partner_id, _CALLER, self.account_id)
                self.admit(found)
        _introduced.note(who, now + SEEN_EVERY.total_seconds())

    async def _is_known(self, lines: Lines) -> bool:
        """Whether a glance suffices, which is one round trip; whom it does not know is refused by a closer look."""
        found = await lines.one(_GLANCE, **asked_of(self.token, self.partner_id, self.account_id))
        if found is None or long_unseen(standing := Standing(*found)):
            return False
        try:
            self.admit(standing)
        except Problem:
            return False
        return True

    def admit(self, found: Standing) -> Access:
        """Raises:
        The problems of `in_account`.
        """
        return granted_in_account(self.request, self.token, found, self.permission, self.partner_id, self.account_id)


_introduced = Recent[tuple[UUID, UUID, UUID], float](MAX_INTRODUCED)
"""Until when it is enough to ask who calls together with what they ask for."""
_CALLER: Final = Prepared(STANDING)
_GLANCE: Final = Prepared(GLANCE_IN_ACCOUNT)


def at_turnstile(permission: Permission) -> Any:
    """Guard of a hot `/partners/{partner_id}/accounts/{account_id}/…`: nothing is read or written but through it."""

    async def guard(request: Request, partner_id: PartnerId, account_id: AccountId) -> Turnstile:
        request.scope["gate"] = CLOSED
        return Turnstile(request, await token_of(request), partner_id, account_id, permission)

    vars(guard).update(permission=permission, gate=True)
    return Depends(guard, scope="function")


# --- serving those who wait ---

Callers = Sequence[tuple[Turnstile, Any]]


class _NothingWritten(Exception):
    def __init__(self, answers: Sequence[Any]) -> None:
        self.answers = answers


async def _serve(place: Place, callers: Callers) -> Sequence[Any]:
    """One transaction for all of them; an answer or a problem for each."""
    hold = place.desk.lock(place.partner_id, place.account_id, place.thing)
    try:
        async with place.holds.transaction(place.partner_id, hold) as line:
            return await _pass(place, line, callers)
    except _NothingWritten as undone:
        return undone.answers


async def _pass(place: Place, line: Driver, callers: Callers) -> Sequence[Any]:
    """What is read here is true until the end, for the thing is held: its row is, or is made and held now."""
    pool, rows = await _found(place, line, callers)
    admitted = _admitted(callers, rows)
    fresh = pool.fresh and any(isinstance(access, Access) for access in admitted)  # else there may be no such account
    if fresh:
        await place.desk.open_(line, place.partner_id, place.account_id, place.thing)
        pool, rows = await _found(place, line, callers)
        admitted = _admitted(callers, rows)
    arrivals = [(access, row[WIDTH], ask, row[WIDTH + 1 :])
                for access, row, (_, ask) in zip(admitted, rows, callers, strict=True)
                if isinstance(access, Access)]  # fmt: skip
    settled, wrote = await place.desk.settle(line, place.partner_id, place.account_id, place.thing, arrivals, pool)
    given = iter(settled)
    answers = [next(given) if isinstance(access, Access) else access for access in admitted]
    if fresh and not wrote:
        raise _NothingWritten(answers)  # nor is there anything to be held
    return answers


def _admitted(callers: Callers, rows: Sequence[Sequence[Any]]) -> list[Access | Problem]:
    return [_admit(turnstile, row) for (turnstile, _), row in zip(callers, rows, strict=True)]


def _admit(turnstile: Turnstile, row: Sequence[Any]) -> Access | Problem:
    try:
        if row[0] is None:  # no session, or one that has ended
            return Unauthenticated()
        return turnstile.admit(Standing(*row[:WIDTH]))
    except Problem as problem:
        return problem


async def _alone(place: Place, turnstile: Turnstile, ask: Any, respond: Callable[[Any], Response]) -> Response:
    request = turnstile.request
    async with place.holds.transaction(place.partner_id, "") as line:
        found, _ = await look_up_express(line, turnstile.token, place.partner_id, _CALLER, place.account_id)
        access = turnstile.admit(found)
        await recall_express(request, line, place.partner_id, access.caller.id)
        await line.execute(place.desk.lock(place.partner_id, place.account_id, place.thing))
        try:
            (answer,) = await _pass(place, line, [(turnstile, ask)])
        except _NothingWritten as undone:
            (answer,) = undone.answers
        if isinstance(answer, Problem):
            raise answer
        response = respond(answer)
        await remember_express(request, line, response)
    return response


# --- who calls, of one or many at once ---

_ONE: Final[Any] = select(
    param("one_session", Uuid()).label("session"), param("one_bearer", Uuid()).label("bearer"),
    param("one_subject", Text()).label("subject"), literal_column("1", Integer()).label("number"),
).subquery("asked")  # fmt: skip
"""As most are: values cost the driver less than arrays of one."""

_MANY: Final[Any] = (
    func.unnest(
        param("sessions", ARRAY(Uuid())), param("bearers", ARRAY(Uuid())), param("subjects", ARRAY(Text()))
    )
    .table_valued(
        column("session", Uuid()), column("bearer", Uuid()), column("subject", Text()),
        with_ordinality="number", name="asked",
    )
    .render_derived()
)  # fmt: skip


async def _found(place: Place, line: Driver, callers: Callers) -> tuple[Pool, list[tuple[Any, ...]]]:
    at = utc_now()
    asked = {"partner": place.partner_id, "account": place.account_id, "thing": place.thing, "now": at}
    if len(callers) == 1:
        ((turnstile, ask),) = callers
        token = turnstile.token
        asked |= {
            "one_session": token.session_id,
            "one_bearer": token.bearer_id,
            "one_subject": place.desk.subject(ask),
        }
        rows = await statement(place.desk, _ONE).all(line, **asked)
    else:
        tokens = [turnstile.token for turnstile, _ in callers]
        asked |= {"sessions": [token.session_id for token in tokens], "bearers": [token.bearer_id for token in tokens],
                  "subjects": [place.desk.subject(ask) for _, ask in callers]}  # fmt: skip
        rows = await statement(place.desk, _MANY).all(line, **asked)
    return place.desk.pool_of(rows[0], at), rows


def statement(desk: Desk, callers: Any = _ONE) -> Prepared:
    """What is asked of one caller, or of many."""
    return _prepared(cast("Any", desk), callers)


@cache
def _prepared(desk: Any, callers: Any) -> Prepared:
    """`STANDING` for each caller, the account's status, and what the desk wants to know."""
    given = {"session": callers.c.session, "bearer": callers.c.bearer}

    def of_each(element: Any, **_: Any) -> Any:
        return given.get(element.key) if isinstance(element, BindParameter) else None

    standing: Any = replacement_traverse(STANDING.add_columns(Account.status), {}, of_each)
    one = standing.limit(1).correlate(callers)  # each looked up by itself: nobody else's sessions or members are read
    caller = one.set_label_style(LABEL_STYLE_TABLENAME_PLUS_COL).lateral("caller")
    rows, more = desk.known(callers.outerjoin(caller, true()), callers.c.subject, callers.c.number)
    return Prepared(select(*caller.c, *more).select_from(rows).order_by(callers.c.number))
