"""Deliveries of webhooks: what was sent and answered, and sending again."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app.db import Db
from app.problems import WebhookDisabled, raises
from app.rest import BARE, IdempotentRoute, Page, PageQuery
from app.routers.listing import list_query, page_of
from app.routers.webhooks import AT, MayManage, MayRead, WebhookId
from app.schemas.webhook_delivery import (
    WebhookDeliveryDetail,
    WebhookDeliveryRead,
    WebhookRedelivery,
    WebhookRedeliveryRead,
)
from app.services import lists, webhook_deliveries, webhooks

router = APIRouter(prefix=f"{AT}/{{webhook_id}}", tags=["webhooks"], route_class=IdempotentRoute)

DeliveryQuery = Annotated[lists.Query, list_query(webhook_deliveries.TABLE, example="failed")]
DeliveryId = Annotated[UUID, Path(description="Id of the event, which the receiver got as `webhook-id`.")]


@router.get("/deliveries", response_model=Page[WebhookDeliveryRead])
async def list_webhook_deliveries(
    webhook_id: WebhookId, access: MayRead, db: Db, page: PageQuery, query: DeliveryQuery, response: Response
) -> Page[Any]:
    """List what was sent to a webhook, waits to be, or was given up. The newest event comes first; each has its last
    answer.

    Kept as long as the events feed gives events.
    """
    webhook = await webhooks.get(db, access, webhook_id)
    found = await webhook_deliveries.listed(
        db, webhook, query, limit=page.limit, after=page.after, count=page.count
    )  # fmt: skip
    return page_of(found, page, response, webhook_deliveries.shown)


@router.get("/deliveries/{delivery_id}", response_model=WebhookDeliveryDetail)
async def get_webhook_delivery(webhook_id: WebhookId, delivery_id: DeliveryId, access: MayRead, db: Db) -> Response:
    """One delivery: its request, as it is sent, and every attempt with what was answered.

    The event is in it: an API client needs `event:read` besides.
    """
    webhook = await webhooks.get(db, access, webhook_id)
    found = await webhook_deliveries.detailed(
        db, access, webhook, await webhook_deliveries.get(db, webhook, delivery_id)
    )
    return Response(webhook_deliveries.told(found), media_type="application/json")


@router.post("/deliveries/{delivery_id}/redeliver", response_model=WebhookDeliveryRead, status_code=202,
             openapi_extra=raises(WebhookDisabled) | BARE)  # fmt: skip
async def redeliver_webhook_delivery(
    webhook_id: WebhookId, delivery_id: DeliveryId, access: MayManage, db: Db
) -> dict[str, Any]:
    """Send one event again, under the same `webhook-id`. Later ones of its account wait for it.

    One that waits already is tried at once.
    """
    webhook = await webhooks.get(db, access, webhook_id, lock=True)
    row = await webhook_deliveries.get(db, webhook, delivery_id)
    return webhook_deliveries.shown(await webhook_deliveries.redeliver(db, access, webhook, row))


@router.post(
    "/redeliver", response_model=WebhookRedeliveryRead, status_code=202, openapi_extra=raises(WebhookDisabled) | BARE
)
async def redeliver_webhook(
    body: WebhookRedelivery, webhook_id: WebhookId, access: MayManage, db: Db, request: Request
) -> dict[str, Any]:
    """Send all events since a moment again, in order. Among them are those that happened while the webhook was
    disabled.

    Those from now on come after them. Events that are older than the feed keeps are not sent again.
    """
    webhook = await webhooks.get(db, access, webhook_id, lock=True)
    days = request.app.state.settings.event_days
    return {"events": await webhook_deliveries.redeliver_since(db, access, webhook, body.since, days=days)}
