"""A worker's turn at a webhook: write down what came of deliveries, make those of new events, take some in hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    DateTime,
    String,
    Uuid,
    and_,
    case,
    column,
    delete,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import security
from app.models import (
    PLATFORM,
    DeliveryState,
    DisabledReason,
    Event,
    Partner,
    PartnerStatus,
    Webhook,
    WebhookDelivery,
    WebhookLane,
    WebhookStatus,
)
from app.services import columns, events, webhook_messages, webhooks
from app.services.webhook_retries import GIVE_UP, Attempt, Health

EVENTS: Final = 1_000
"""Positions that are looked through in one turn."""
RUN: Final = 10
"""Deliveries of one account that are taken in hand together: they are sent one after the other."""
MOST_ATTEMPTS: Final = 100
APART: Final = {"synchronize_session": False}


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


_STATE: Final = tuple(getattr(Webhook, name) for name in _State._fields)


async def turn(db: AsyncSession, keys: security.Keys, holder: Holder, partner_id: UUID, webhook_id: UUID, at: datetime,
               done: Done, room: int) -> Hand:  # fmt: skip
    """One turn, in one transaction. The webhook's row is held: others wait, or turn to something else.

    `room` is how many lanes may be taken in hand; 0: only write down.
    """
    asked = select(*_STATE).where(Webhook.id == webhook_id)
    found = (await db.execute(asked.with_for_update(key_share=True, skip_locked=not done))).one_or_none()
    if found is None:
        return Hand()
    state = _State(*found)
    health = Health(state.failures, state.failing_since, state.paused_until)
    if done and await _write_down(db, holder, partner_id, webhook_id, at, done, health):
        return Hand()
    if state.status != WebhookStatus.ENABLED or not await _may_go_on(db, partner_id):
        return Hand()
    until = await _fan_out(db, partner_id, webhook_id, at, state)
    if room == 0:
        return Hand()
    lanes = await _claim(db, holder, webhook_id, at, health, room)
    items = await _items(db, partner_id, webhook_id, lanes) if lanes else {}
    sealed = (await webhooks.secrets(db, [webhook_id], at))[webhook_id] if lanes else []
    secrets = [security.opened(keys, one.sealed) for one in sealed]
    return Hand(state.url, secrets, items, more=until > state.position + EVENTS)


async def _may_go_on(db: AsyncSession, partner_id: UUID) -> bool:
    """While a partner is suspended, or its management is off, nobody there sees what happens: its events wait."""
    partner = select(Partner.status, Partner.partner_management_enabled).where(Partner.id == partner_id)
    status, managed = (await db.execute(partner)).one()
    return status == PartnerStatus.ACTIVE and managed


# --- new events ---


async def _fan_out(db: AsyncSession, partner_id: UUID, webhook_id: UUID, at: datetime, state: _State) -> int:
    """A delivery for each event behind the webhook's position that it wants; where the change log ends.

    Deliveries, lanes and position are written in one statement: none is missed, and none is made twice. Where the
    position was set back, the deliveries that there are begin anew.
    """
    end = await webhooks.latest(db)
    until = min(end, state.position + EVENTS)
    if until > state.position:
        await (await db.connection()).execute(_deliveries(partner_id, webhook_id, at, state, until))
    return end


def _deliveries(partner_id: UUID, webhook_id: UUID, at: datetime, state: _State, until: int) -> Any:
    lane = func.coalesce(Event.account_id, PLATFORM)
    some = select(Event.id, Event.position, Event.type, Event.account_id, lane.label("lane")).where(
        Event.partner_id == partner_id, Event.position > state.position, Event.position <= until
    )
    if state.types:
        some = some.where(Event.type.in_(state.types))
    new = some.cte("new")
    own = (literal(partner_id, Uuid()), literal(webhook_id, Uuid()))
    names = ["partner_id", "webhook_id", "id", "position", "type", "account_id", "lane", "begun_at", "state", "tries",
             "attempts", "created_at"]  # fmt: skip
    now = literal(at, DateTime(timezone=True))
    rows = select(*own, new.c.id, new.c.position, new.c.type, new.c.account_id, new.c.lane, now,
                  literal(DeliveryState.PENDING.value, String()), literal(0), literal([], JSONB()), now)  # fmt: skip
    made = insert(WebhookDelivery).from_select(names, rows, include_defaults=False)
    anew = {"state": DeliveryState.PENDING, "begun_at": at, "tries": 0, "next_attempt_at": None, "finished_at": None}
    made = made.on_conflict_do_update(
        index_elements=["partner_id", "webhook_id", "id"], set_=anew,
        where=WebhookDelivery.state != DeliveryState.PENDING,
    )  # fmt: skip
    lanes = insert(WebhookLane).from_select(
        ["partner_id", "webhook_id", "lane", "due_at"], select(*own, new.c.lane, now).distinct(), include_defaults=False
    )
    waiting = lanes.on_conflict_do_nothing()  # it is held by the webhook's row: no lane goes away meanwhile
    moved = update(Webhook).where(Webhook.partner_id == partner_id, Webhook.id == webhook_id)
    moved = moved.values(position=until, updated_at=Webhook.updated_at)
    return moved.add_cte(made.cte("made"), waiting.cte("waiting"))


# --- what is taken in hand ---


async def _claim(db: AsyncSession, holder: Holder, webhook_id: UUID, at: datetime, health: Health,
                 room: int) -> list[UUID]:  # fmt: skip
    """The lanes that are due longest. A receiver that fails again and again gets one at a time, and time between."""
    if health.paused_until is not None and health.paused_until > at:
        return []
    of_webhook = WebhookLane.webhook_id == webhook_id
    if health.open:
        await _give_up(db, webhook_id, at)
        in_hand = select(WebhookLane.lane).where(
            of_webhook, WebhookLane.leased_by.is_not(None), WebhookLane.due_at > at
        )
        room = min(room, 1) if await db.scalar(in_hand.limit(1)) is None else 0
    if room == 0:
        return []
    due = select(WebhookLane.lane).where(of_webhook, WebhookLane.due_at <= at)
    due = due.order_by(WebhookLane.due_at).limit(room)
    taken = update(WebhookLane).where(of_webhook, WebhookLane.lane.in_(due))
    taken = taken.values(due_at=at + holder.lease, leased_by=holder.worker_id).returning(WebhookLane.lane)
    return list(await db.scalars(taken.execution_options(**APART)))


async def _give_up(db: AsyncSession, webhook_id: UUID, at: datetime) -> None:
    """What has waited three days behind others for a dead receiver has had its time, too."""
    late = update(WebhookDelivery).where(
        WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.state == DeliveryState.PENDING,
        WebhookDelivery.begun_at <= at - GIVE_UP,
    )  # fmt: skip
    gone = late.values(state=DeliveryState.FAILED, finished_at=at, next_attempt_at=None)
    await db.execute(gone.execution_options(**APART))


async def _items(db: AsyncSession, partner_id: UUID, webhook_id: UUID, lanes: Sequence[UUID]) -> dict[UUID, list[Item]]:
    """The next deliveries of each lane with their messages. A lane that has none (any more) is empty."""
    known = await columns.load(db, partner_id)
    lane = func.unnest(literal(list(lanes), ARRAY(Uuid()))).table_valued(column("lane", Uuid())).render_derived("taken")
    head = (
        select(WebhookDelivery.id, WebhookDelivery.lane, WebhookDelivery.tries, WebhookDelivery.begun_at,
               WebhookDelivery.position)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.lane == lane.c.lane,
               WebhookDelivery.state == DeliveryState.PENDING)
        .order_by(WebhookDelivery.position).limit(RUN).lateral("head")
    )  # fmt: skip
    asked = (
        select(head.c.lane, head.c.id, head.c.tries, head.c.begun_at, Event)
        .select_from(lane).join(head, true()).join(Event, and_(Event.id == head.c.id)).order_by(head.c.position)
    )  # fmt: skip
    found: dict[UUID, list[Item]] = {one: [] for one in lanes}
    for of_lane, delivery_id, tries, begun_at, event in await db.execute(asked):
        found[of_lane].append(Item(delivery_id, tries, begun_at, webhook_messages.of_event(known, event)))
    db.expunge_all()
    return found


# --- what has happened ---


async def _write_down(db: AsyncSession, holder: Holder, partner_id: UUID, webhook_id: UUID, at: datetime, done: Done,
                      health: Health) -> bool:  # fmt: skip
    """Note attempts, let go of lanes, and what it says of the receiver; whether the webhook is disabled for it."""
    if done.attempts:
        await _note(db, webhook_id, done.attempts)
    if done.lanes:
        await _let_go(db, holder, webhook_id, done.lanes)
    if not done.attempts:
        return False
    before = (health.failures, health.failing_since, health.paused_until)
    recovered = health.note(done.attempts)
    if before != (health.failures, health.failing_since, health.paused_until):
        kept = {"failures": health.failures, "failing_since": health.failing_since,
                "paused_until": health.paused_until, "updated_at": Webhook.updated_at}  # fmt: skip
        await (await db.connection()).execute(
            update(Webhook).where(Webhook.partner_id == partner_id, Webhook.id == webhook_id).values(kept)
        )
    if recovered:
        waiting = update(WebhookLane).where(WebhookLane.webhook_id == webhook_id, WebhookLane.leased_by.is_(None))
        await db.execute(waiting.values(due_at=at).execution_options(**APART))
    reason = None
    if any(one.gone for one in done.attempts):
        reason = DisabledReason.GONE
    elif health.failing_since is not None and health.failing_since <= at - holder.failing:
        reason = DisabledReason.FAILING
    if reason is not None:
        await webhooks.disable(db, partner_id, webhook_id, reason)
    return reason is not None


async def _note(db: AsyncSession, webhook_id: UUID, attempts: Sequence[Attempt]) -> None:
    """What is delivered stays so, whatever a second worker, whose lease was over, has met."""
    row = _recordset(
        [{"id": str(a.delivery_id), "state": a.state.value, "said": events.plain(a.said), "at": a.at.isoformat(),
          "next_at": a.next_at and a.next_at.isoformat()} for a in attempts],
        column("id", Uuid()), column("state", String()), column("said", JSONB()),
        column("at", DateTime(timezone=True)), column("next_at", DateTime(timezone=True)),
    )  # fmt: skip
    told: Any = WebhookDelivery.attempts
    kept = case((func.jsonb_array_length(told) >= MOST_ATTEMPTS, told.op("-")(0)), else_=told)
    pending, delivered = DeliveryState.PENDING.value, DeliveryState.DELIVERED.value
    noted = (
        update(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.id == row.c.id,
               or_(WebhookDelivery.state == DeliveryState.PENDING, row.c.state == delivered))
        .values(state=row.c.state, attempts=kept.op("||")(func.jsonb_build_array(row.c.said)),
                tries=WebhookDelivery.tries + 1, next_attempt_at=row.c.next_at,
                finished_at=case((row.c.state == pending, null()), else_=row.c.at))
    )  # fmt: skip
    await db.execute(noted.execution_options(**APART))


async def _let_go(db: AsyncSession, holder: Holder, webhook_id: UUID, lanes: Mapping[UUID, datetime]) -> None:
    ours = (WebhookLane.webhook_id == webhook_id, WebhookLane.leased_by == holder.worker_id)
    waits = exists().where(
        WebhookDelivery.partner_id == WebhookLane.partner_id, WebhookDelivery.webhook_id == webhook_id,
        WebhookDelivery.lane == WebhookLane.lane, WebhookDelivery.state == DeliveryState.PENDING,
    )  # fmt: skip
    over = delete(WebhookLane).where(*ours, WebhookLane.lane.in_(list(lanes)), ~waits)
    await db.execute(over.execution_options(**APART))
    row = _recordset(
        [{"lane": str(lane), "due_at": due_at.isoformat()} for lane, due_at in lanes.items()],
        column("lane", Uuid()), column("due_at", DateTime(timezone=True)),
    )  # fmt: skip
    free = update(WebhookLane).where(*ours, WebhookLane.lane == row.c.lane)
    await db.execute(free.values(due_at=row.c.due_at, leased_by=None).execution_options(**APART))


def _recordset(rows: Sequence[Mapping[str, Any]], *kinds: Any) -> Any:
    """Rows of our own as a table."""
    found = func.jsonb_to_recordset(literal(list(rows), JSONB())).table_valued(*kinds)
    return found.render_derived("r", with_types=True)
