"""A worker's turn at a webhook: write down what came of deliveries, make those of new events, take some in hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app import security
from app.models import DisabledReason, Event, PartnerStatus, WebhookStatus
from app.services import columns, events, webhook_messages, webhooks
from app.services import webhook_statements as statements
from app.services.webhook_retries import GIVE_UP, Attempt, Health

EVENTS: Final = 1_000
"""Positions that are looked through in one turn."""
GIVEN_UP: Final = 10_000
"""Deliveries that are given up in one turn."""
RUN: Final = 10
"""Deliveries of one account that are taken in hand together: they are sent one after the other."""


@dataclass(frozen=True)
class Holder:
    """Who takes deliveries in hand, for how long, and after how long a receiver that fails is given up."""

    worker_id: UUID
    lease: timedelta
    failing: timedelta


@dataclass(frozen=True)
class Item:
    """One delivery, ready to be sent."""

    id: UUID
    tries: int
    begun_at: datetime
    body: str


@dataclass
class Done:
    """What has happened since the last turn: attempts, and lanes that are out of hand, with the time when each is due
    again.
    """

    attempts: list[Attempt] = field(default_factory=list[Attempt])
    lanes: dict[UUID, datetime] = field(default_factory=dict[UUID, datetime])

    def __bool__(self) -> bool:
        return bool(self.attempts or self.lanes)


@dataclass(frozen=True)
class Hand:
    """What was taken in hand: lanes, each with its next deliveries in order; where to send them, signed with what."""

    url: str = ""
    secrets: Sequence[str] = ()
    lanes: Mapping[UUID, Sequence[Item]] = field(default_factory=dict[UUID, Sequence[Item]])
    more: bool = False
    """There are further events to be looked through at once."""


class _State(NamedTuple):
    url: str
    types: list[str]
    status: WebhookStatus
    position: int
    failures: int
    failing_since: datetime | None
    paused_until: datetime | None
    partner_status: PartnerStatus
    managed: bool
    end: int
    """Where the partner's change log ends."""

    @property
    def goes_on(self) -> bool:
        """While a partner is suspended, or its management is off, nobody there sees what happens: its events wait."""
        return self.status == WebhookStatus.ENABLED and self.partner_status == PartnerStatus.ACTIVE and self.managed


async def turn(db: AsyncSession, keys: security.Keys, holder: Holder, partner_id: UUID, webhook_id: UUID, at: datetime,
               done: Done, room: int) -> Hand:  # fmt: skip
    """One turn, in one transaction. The webhook's row is held: others wait, or turn to something else.

    `room` is how many lanes may be taken in hand; 0: only write down.
    """
    own = {"partner": partner_id, "webhook": webhook_id}
    line = await db.connection()
    found = (await line.execute(statements.WAIT if done else statements.HOLD, own)).one_or_none()
    if found is None:
        return Hand()
    state = _State(*found)
    health = Health(state.failures, state.failing_since, state.paused_until)
    if done and await _write_down(db, holder, own, at, done, health):
        return Hand()
    if not state.goes_on:
        return Hand()
    await _fan_out(line, own, at, state)
    if room == 0:
        return Hand()
    lanes = await _claim(line, holder, own, at, health, room)
    if not lanes:
        return Hand(more=state.end > state.position + EVENTS)
    sealed = (await line.scalars(statements.SECRETS, own | {"at": at})).all()
    items = await _items(db, own, lanes)
    return Hand(
        state.url, [security.opened(keys, one) for one in sealed], items, more=state.end > state.position + EVENTS
    )


# --- new events ---


async def _fan_out(line: AsyncConnection, own: Mapping[str, UUID], at: datetime, state: _State) -> None:
    """A delivery for each event behind the webhook's position that it wants.

    Deliveries, lanes and position are written in one statement: none is missed, and none is made twice. Where the
    position was set back, the deliveries that there are begin anew.
    """
    until = min(state.end, state.position + EVENTS)
    if until > state.position:
        asked = {"after": state.position, "until": until, "at": at, "wanted": state.types, "every": not state.types}
        await line.execute(statements.FAN_OUT, {**own, **asked})


# --- what is taken in hand ---


async def _claim(line: AsyncConnection, holder: Holder, own: Mapping[str, UUID], at: datetime, health: Health,
                 room: int) -> Sequence[UUID]:  # fmt: skip
    """The lanes that are due longest. A receiver that fails again and again gets one at a time, and time between."""
    if health.paused_until is not None and health.paused_until > at:
        return []
    if health.open:
        if (await line.execute(statements.IN_HAND, {**own, "at": at})).first() is not None:
            return []
        room = 1
        # What has waited three days behind others for a dead receiver has had its time, too. Once for each probe, and
        # some at a time: all that waits is looked through, and there may be days of it.
        await line.execute(statements.GIVE_UP, {**own, "at": at, "before": at - GIVE_UP, "most": GIVEN_UP})
    asked = {**own, "at": at, "until": at + holder.lease, "worker": holder.worker_id, "most": room}
    return (await line.scalars(statements.CLAIM, asked)).all()


async def _items(db: AsyncSession, own: Mapping[str, UUID], lanes: Sequence[UUID]) -> dict[UUID, list[Item]]:
    """The next deliveries of each lane with their messages. A lane that has none (any more) is empty."""
    known = await columns.load(db, own["partner"])
    found: dict[UUID, list[Item]] = {one: [] for one in lanes}
    for row in await (await db.connection()).execute(statements.ITEMS, {**own, "lanes": lanes, "most": RUN}):
        message = webhook_messages.of_event(known, cast("Event", row))
        found[row.lane].append(Item(row.id, row.tries, row.begun_at, message))
    return found


# --- what has happened ---


async def _write_down(db: AsyncSession, holder: Holder, own: Mapping[str, UUID], at: datetime, done: Done,
                      health: Health) -> bool:  # fmt: skip
    """Note attempts, let go of lanes, and what it says of the receiver; whether the webhook is disabled for it."""
    line = await db.connection()
    if done.attempts:
        await _note(line, own, done.attempts)
    if done.lanes:
        await _let_go(line, holder, own, done.lanes)
    if not done.attempts:
        return False
    before = replace(health)
    recovered = health.note(done.attempts)
    if before != health:
        now = {"failed": health.failures, "since": health.failing_since, "pause": health.paused_until}
        await line.execute(statements.HEALTH, {**own, **now})
    if recovered:
        await line.execute(statements.WAKE, {**own, "at": at})
    reason = None
    if any(one.gone for one in done.attempts):
        reason = DisabledReason.GONE
    elif health.failing_since is not None and health.failing_since <= at - holder.failing:
        reason = DisabledReason.FAILING
    if reason is not None:
        await webhooks.disable(db, own["partner"], own["webhook"], reason)
    return reason is not None


async def _note(line: AsyncConnection, own: Mapping[str, UUID], attempts: Sequence[Attempt]) -> None:
    """What is delivered stays so, whatever a second worker, whose lease was over, has met."""
    rows = [{"id": str(a.delivery_id), "state": a.state.value, "said": events.plain(a.said), "at": a.at.isoformat(),
             "next_at": a.next_at and a.next_at.isoformat()} for a in attempts]  # fmt: skip
    await line.execute(statements.NOTE, {**own, "rows": rows})


async def _let_go(line: AsyncConnection, holder: Holder, own: Mapping[str, UUID],
                  lanes: Mapping[UUID, datetime]) -> None:  # fmt: skip
    """Lanes in which nothing waits are gone; the others are due again at their time."""
    ours = {**own, "worker": holder.worker_id}
    await line.execute(statements.OVER, {**ours, "lanes": list(lanes)})
    rows = [{"lane": str(lane), "due_at": due_at.isoformat()} for lane, due_at in lanes.items()]
    await line.execute(statements.FREE, {**ours, "rows": rows})
