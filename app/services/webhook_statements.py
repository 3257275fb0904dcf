"""The statements of a worker's turn at a webhook (`webhook_turns`), made once: it takes hundreds a second.

They go past the session, so each names the partner itself, as those of the express lane do; row-level security holds
in any case.
"""

from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    DateTime,
    Integer,
    String,
    Uuid,
    and_,
    bindparam,
    case,
    column,
    delete,
    func,
    literal,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from app.models import PLATFORM, DeliveryState, Event, Partner, Webhook, WebhookDelivery, WebhookLane, WebhookSecret

MOST_ATTEMPTS: Final = 100
MOMENT: Final = DateTime(timezone=True)
PENDING, DELIVERED = DeliveryState.PENDING, DeliveryState.DELIVERED

_partner, _webhook = bindparam("partner", type_=Uuid()), bindparam("webhook", type_=Uuid())
_at, _worker = bindparam("at", type_=MOMENT), bindparam("worker", type_=Uuid())
_lanes: Any = bindparam("lanes", type_=ARRAY(Uuid()))
_most: Any = bindparam("most", type_=Integer())
_hook = (Webhook.partner_id == _partner, Webhook.id == _webhook)
_lane = (WebhookLane.partner_id == _partner, WebhookLane.webhook_id == _webhook)
_delivery = (WebhookDelivery.partner_id == _partner, WebhookDelivery.webhook_id == _webhook)


def _rows(*kinds: Any) -> Any:
    """Rows of our own as a table."""
    found = func.jsonb_to_recordset(bindparam("rows", type_=JSONB())).table_valued(*kinds)
    return found.render_derived("r", with_types=True)


# --- the webhook ---

_end = select(func.max(Event.position)).where(Event.partner_id == _partner).scalar_subquery()
_state = (
    select(Webhook.url, Webhook.types, Webhook.status, Webhook.position, Webhook.failures, Webhook.failing_since,
           Webhook.paused_until, Partner.status, Partner.partner_management_enabled, func.coalesce(_end, 0))
    .join(Partner, Partner.id == Webhook.partner_id).where(*_hook)
)  # fmt: skip
WAIT: Final = _state.with_for_update(of=Webhook, key_share=True)
HOLD: Final = _state.with_for_update(of=Webhook, key_share=True, skip_locked=True)
SECRETS: Final = (
    select(WebhookSecret.sealed)
    .where(WebhookSecret.partner_id == _partner, WebhookSecret.webhook_id == _webhook,
           or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > _at))
    .order_by(WebhookSecret.id.desc())
)  # fmt: skip
HEALTH: Final = update(Webhook).where(*_hook).values(
    failures=bindparam("failed", type_=Integer()), failing_since=bindparam("since", type_=MOMENT),
    paused_until=bindparam("pause", type_=MOMENT), updated_at=Webhook.updated_at,
)  # fmt: skip


# --- new events ---


def _fan_out() -> Any:
    lane = func.coalesce(Event.account_id, literal(PLATFORM, Uuid()))
    new = (
        select(Event.id, Event.position, Event.type, Event.account_id, lane.label("lane"))
        .where(Event.partner_id == _partner, Event.position > bindparam("after", type_=BigInteger()),
               Event.position <= bindparam("until", type_=BigInteger()),
               or_(bindparam("every", type_=Boolean()),
                   Event.type == func.any(bindparam("wanted", type_=ARRAY(String())))))
        .cte("new")
    )  # fmt: skip
    names = ["partner_id", "webhook_id", "id", "position", "type", "account_id", "lane", "begun_at", "state", "tries",
             "attempts", "created_at"]  # fmt: skip
    rows = select(_partner, _webhook, new.c.id, new.c.position, new.c.type, new.c.account_id, new.c.lane, _at,
                  literal(PENDING.value, String()), literal(0), literal([], JSONB()), _at)  # fmt: skip
    made = insert(WebhookDelivery).from_select(names, rows, include_defaults=False)
    anew = {"state": PENDING, "begun_at": _at, "tries": 0, "next_attempt_at": None, "finished_at": None}
    made = made.on_conflict_do_update(
        index_elements=["partner_id", "webhook_id", "id"], set_=anew, where=WebhookDelivery.state != PENDING
    )
    lanes = insert(WebhookLane).from_select(
        ["partner_id", "webhook_id", "lane", "due_at"], select(_partner, _webhook, new.c.lane, _at).distinct(),
        include_defaults=False,
    )  # fmt: skip
    waiting = lanes.on_conflict_do_nothing()  # whoever takes lanes away holds the webhook's row, as we do
    moved = update(Webhook).where(*_hook)
    moved = moved.values(position=bindparam("until", type_=BigInteger()), updated_at=Webhook.updated_at)
    return moved.add_cte(made.cte("made"), waiting.cte("waiting"))


FAN_OUT: Final = _fan_out()


# --- what is taken in hand ---

IN_HAND: Final = (
    select(WebhookLane.lane).where(*_lane, WebhookLane.leased_by.is_not(None), WebhookLane.due_at > _at).limit(1)
)
_late = (
    select(WebhookDelivery.id)
    .where(*_delivery, WebhookDelivery.state == PENDING, WebhookDelivery.begun_at <= bindparam("before", type_=MOMENT))
    .limit(_most)
)
GIVE_UP: Final = (
    update(WebhookDelivery)
    .where(*_delivery, WebhookDelivery.id.in_(_late))
    .values(state=DeliveryState.FAILED, finished_at=_at, next_attempt_at=None)
)  # fmt: skip
_due = select(WebhookLane.lane).where(*_lane, WebhookLane.due_at <= _at).order_by(WebhookLane.due_at).limit(_most)
CLAIM: Final = (
    update(WebhookLane)
    .where(*_lane, WebhookLane.lane.in_(_due))
    .values(due_at=bindparam("until", type_=MOMENT), leased_by=_worker)
    .returning(WebhookLane.lane)
)


def _items() -> Any:
    taken = func.unnest(_lanes).table_valued(column("lane", Uuid())).render_derived("taken")
    head = (
        select(WebhookDelivery.id, WebhookDelivery.tries, WebhookDelivery.begun_at, WebhookDelivery.position)
        .where(*_delivery, WebhookDelivery.lane == taken.c.lane, WebhookDelivery.state == PENDING)
        .order_by(WebhookDelivery.position).limit(_most).lateral("head")
    )  # fmt: skip
    event = [getattr(Event, c.key) for c in Event.__mapper__.column_attrs]
    return (
        select(taken.c.lane, head.c.tries, head.c.begun_at, *event)
        .select_from(taken).join(head, true())
        .join(Event, and_(Event.partner_id == _partner, Event.id == head.c.id)).order_by(head.c.position)
    )  # fmt: skip


ITEMS: Final = _items()


# --- what has happened ---


def _note() -> Any:
    row = _rows(column("id", Uuid()), column("state", String()), column("said", JSONB()), column("at", MOMENT),
                column("next_at", MOMENT))  # fmt: skip
    told: Any = WebhookDelivery.attempts
    kept = case((func.jsonb_array_length(told) >= MOST_ATTEMPTS, told.op("-")(0)), else_=told)
    return (
        update(WebhookDelivery)
        .where(*_delivery, WebhookDelivery.id == row.c.id,
               or_(WebhookDelivery.state == PENDING, row.c.state == DELIVERED.value))
        .values(state=row.c.state, attempts=kept.op("||")(func.jsonb_build_array(row.c.said)),
                tries=WebhookDelivery.tries + 1, next_attempt_at=row.c.next_at,
                finished_at=case((row.c.state == PENDING.value, null()), else_=row.c.at))
    )  # fmt: skip


NOTE: Final = _note()
_waits = (
    select(WebhookDelivery.id)
    .where(*_delivery, WebhookDelivery.lane == WebhookLane.lane, WebhookDelivery.state == PENDING)
    .exists()
)
OVER: Final = delete(WebhookLane).where(
    *_lane, WebhookLane.leased_by == _worker, WebhookLane.lane == func.any(_lanes), ~_waits
)
_freed = _rows(column("lane", Uuid()), column("due_at", MOMENT))
FREE: Final = (
    update(WebhookLane)
    .where(*_lane, WebhookLane.leased_by == _worker, WebhookLane.lane == _freed.c.lane)
    .values(due_at=_freed.c.due_at, leased_by=None)
)
WAKE: Final = update(WebhookLane).where(*_lane, WebhookLane.leased_by.is_(None)).values(due_at=_at)
