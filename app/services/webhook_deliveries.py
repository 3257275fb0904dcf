"""Deliveries of webhooks: what was sent, what was answered, and sending again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import (
    DeliveryState,
    Event,
    Webhook,
    WebhookDelivery,
    WebhookLane,
    WebhookStatus,
    first_id,
    utc_now,
)
from app.policy import Access
from app.problems import NotFound, WebhookDisabled
from app.services import columns, events, feeds, lists, walks, webhooks

STRETCH: Final = 10_000
HIDDEN: Final = "v1,(hidden)"
TABLE: Final = lists.Table(
    WebhookDelivery,
    {
        "state": lists.Column(WebhookDelivery.state, lists.EQUALITY, lists.one_of(DeliveryState)),
        "type": lists.Column(WebhookDelivery.type, lists.EQUALITY, events.type_of),
        "account_id": lists.Column(
            WebhookDelivery.account_id, ("eq", "in", "is_null"), lists.id_of, nullable=True
        ),
        "position": lists.Column(WebhookDelivery.position, lists.ORDER, lists.number_of, sortable=True),
        "created_at": lists.Column(WebhookDelivery.created_at, lists.ORDER, lists.moment),
    },
    sort="-position",
)  # fmt: skip


async def listed(db: AsyncSession, webhook: Webhook, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    asked = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    return await walks.fetch(db, asked, TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, webhook: Webhook, delivery_id: UUID) -> WebhookDelivery:
    row = await db.get(WebhookDelivery, (webhook.partner_id, webhook.id, delivery_id))
    if row is None:
        raise NotFound
    return row


async def redeliver(db: AsyncSession, access: Access, webhook: Webhook, row: WebhookDelivery) -> WebhookDelivery:
    """Send it again, as soon as it is its turn among those of its account; one that waits is tried at once.

    Raises:
        WebhookDisabled: nothing is sent.
    """
    _refuse_disabled(webhook)
    now = utc_now()
    if row.state != DeliveryState.PENDING:
        row.state, row.begun_at, row.tries, row.finished_at = DeliveryState.PENDING, now, 0, None
    row.next_attempt_at = None
    await db.flush()
    lane = insert(WebhookLane).values(
        partner_id=webhook.partner_id, webhook_id=webhook.id, lane=row.lane, due_at=now, leased_by=None
    )
    await (await db.connection()).execute(lane.on_conflict_do_nothing())
    at_once = update(WebhookLane).where(WebhookLane.webhook_id == webhook.id, WebhookLane.lane == row.lane,
                                        WebhookLane.leased_by.is_(None))  # fmt: skip
    await db.execute(at_once.values(due_at=now).execution_options(synchronize_session=False))
    await _unpause(db, webhook)
    events.record(db, access, "webhook.redelivery_requested", webhook, after={"delivery_id": row.id})
    return row


async def redeliver_since(db: AsyncSession, access: Access, webhook: Webhook, since: datetime, *, days: int) -> int:
    """Send again all that happened since a moment, in order, before what happens from now on; how many events.

    The webhook's position is set back: the worker goes through the change log once more from there on.

    Raises:
        WebhookDisabled: nothing is sent.
    """
    _refuse_disabled(webhook)
    start = await _position_before(db, max(since, utc_now() - timedelta(days=days)))
    start = min(start, webhook.position)
    count = await _between(db, start, webhook.types)
    back = update(Webhook).where(Webhook.partner_id == webhook.partner_id, Webhook.id == webhook.id)
    await (await db.connection()).execute(back.values(position=start, updated_at=Webhook.updated_at))
    await _unpause(db, webhook)
    events.record(db, access, "webhook.redelivery_requested", webhook, after={"since": since, "events": count})
    return count


async def _between(db: AsyncSession, start: int, types: Sequence[str]) -> int:
    """How many events there are behind a position. Positions have no gaps: only those of some types are counted."""
    if not types:
        return await webhooks.latest(db) - start
    asked = select(func.count()).select_from(Event).where(Event.position > start, Event.type.in_(types))
    return await db.scalar(asked) or 0


def shown(row: WebhookDelivery) -> dict[str, Any]:
    """A delivery as the list shows it, with its last attempt."""
    own = ("id", "webhook_id", "type", "account_id", "position", "state", "next_attempt_at", "finished_at",
           "created_at")  # fmt: skip
    last = row.attempts[-1] if row.attempts else None
    return {name: getattr(row, name) for name in own} | {
        "attempt_count": len(row.attempts), "last_attempt": last and attempt(last)
    }  # fmt: skip


async def detailed(db: AsyncSession, access: Access, webhook: Webhook, row: WebhookDelivery) -> dict[str, Any]:
    """A delivery with all its attempts, and with the request that is sent: all but what proves that it is ours.

    Raises:
        InsufficientScope: see `webhooks.refuse_blind`.
    """
    webhooks.refuse_blind(access)
    event = await db.get_one(Event, (row.partner_id, row.id))
    known = await columns.load(db, row.partner_id)
    headers = {"content-type": "application/json", "webhook-id": str(row.id), "webhook-signature": HIDDEN}
    if row.attempts:
        sent = datetime.fromisoformat(row.attempts[-1]["at"])
        headers["webhook-timestamp"] = str(int(sent.timestamp()))
    message = {"type": event.type, "timestamp": words.stamp(event.created_at), "data": feeds.shown(known, event)}
    return shown(row) | {
        "attempts": [attempt(one) for one in row.attempts],
        "request": {"url": webhook.url, "headers": headers, "body": message},
    }


def told(detail: dict[str, Any]) -> bytes:
    """A delivery with all of it, as JSON; the event in it as it was recorded, whatever an older release wrote."""
    return orjson.dumps(detail, default=_said, option=orjson.OPT_PASSTHROUGH_DATETIME)


def _said(value: object) -> str:
    return words.stamp(value) if isinstance(value, datetime) else str(value)


def attempt(kept: dict[str, Any]) -> dict[str, Any]:
    """An attempt as the API shows it."""
    return {**kept, "at": datetime.fromisoformat(kept["at"])}


async def _unpause(db: AsyncSession, webhook: Webhook) -> None:
    """Whoever asks for it expects it to be tried now."""
    ours = update(Webhook).where(Webhook.partner_id == webhook.partner_id, Webhook.id == webhook.id)
    await (await db.connection()).execute(ours.values(paused_until=None, updated_at=Webhook.updated_at))


async def _position_before(db: AsyncSession, since: datetime) -> int:
    """The position behind which the events since a moment stand: ids are nearly in the order of positions."""
    some = select(Event.position).where(Event.id >= first_id(since), Event.position.is_not(None))
    first = some.order_by(Event.id).limit(STRETCH).subquery()
    found: int | None = await db.scalar(select(func.min(first.c.position)))
    return await webhooks.latest(db) if found is None else found - 1


def _refuse_disabled(webhook: Webhook) -> None:
    if webhook.status != WebhookStatus.ENABLED:
        raise WebhookDisabled
