"""Webhooks: a partner's events, sent to its own systems."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app import security
from app.access import in_partner
from app.config import Settings
from app.db import Db, Sessions, UnitsOfWork, unit_of_work
from app.delivering import headers, said
from app.downloads import Places
from app.gate import Gate, at_gate
from app.idempotency import keep_sealed, leave, remember_apart
from app.models import Webhook, new_id, utc_now
from app.outbound import Outlet
from app.policy import Access, Permission
from app.problems import PreconditionRequired, TooManySecrets, TooManyWebhooks, VersionMismatch, raises
from app.rest import BARE, IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.webhook import (
    WebhookAttempt,
    WebhookCreate,
    WebhookCreated,
    WebhookRead,
    WebhookSecretCreate,
    WebhookUpdate,
)
from app.services import lists, webhook_messages, webhooks
from app.tenancy import confine

AT = "/v1/partners/{partner_id}/webhooks"
router = APIRouter(prefix=AT, tags=["webhooks"], route_class=IdempotentRoute)

MayRead = Annotated[Access, in_partner(Permission.WEBHOOK_READ)]
MayManage = Annotated[Access, in_partner(Permission.WEBHOOK_MANAGE)]
MayPing = Annotated[Gate, at_gate(Permission.WEBHOOK_MANAGE)]
WebhookQuery = Annotated[lists.Query, list_query(webhooks.TABLE, example="enabled")]
WebhookId = Annotated[UUID, Path(description="Id of the webhook.")]


@router.get("", response_model=Page[WebhookRead])
async def list_webhooks(_: MayRead, db: Db, page: PageQuery, query: WebhookQuery, response: Response) -> Page[Any]:
    """List the partner's webhooks, the oldest first. A webhook is an address that events are sent to as they happen."""
    found = await webhooks.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    secrets = await webhooks.secrets(db, [row.id for row in found.rows], utc_now())
    return page_of(found, page, response, lambda row: webhooks.shown(row, secrets[row.id]))


@router.post("", response_model=WebhookCreated, status_code=201, openapi_extra=raises(TooManyWebhooks))
async def create_webhook(
    body: WebhookCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Have events sent to an address, from now on. The answer shows the secret that signs them, this once.

    An API client needs `event:read` besides.
    """
    row, secret = await webhooks.create(db, access, request.app.state.keys, _rules(request), **body.model_dump())
    keep_sealed(request)
    shown = await _shown(db, row, response)
    created(response, request, row, row.id, response.headers["ETag"].strip('"').partition(".")[2])
    return shown | {"secret": secret}


@router.get("/{webhook_id}", response_model=WebhookRead)
async def get_webhook(webhook_id: WebhookId, access: MayRead, db: Db, response: Response) -> dict[str, Any]:
    """Read one webhook, and how its receiver fares. The secrets that sign its messages are not shown again."""
    return await _shown(db, await webhooks.get(db, access, webhook_id), response)


@router.patch("/{webhook_id}", response_model=WebhookRead, openapi_extra=raises(VersionMismatch, PreconditionRequired))
async def update_webhook(
    body: WebhookUpdate, webhook_id: WebhookId, access: MayManage, db: Db, match: IfMatch, request: Request,
    response: Response,
) -> dict[str, Any]:  # fmt: skip
    """Change address, description or types; disable it, or enable it again.

    With another address, what was known of the receiver before is forgotten: what waits is tried at once. For anything
    but disabling, an API client needs `event:read` besides.
    """
    row = match.check(await webhooks.get(db, access, webhook_id, lock=True))
    row = await webhooks.change(db, access, _rules(request), row, body.model_dump(exclude_unset=True))
    return await _shown(db, row, response)


@router.delete("/{webhook_id}", status_code=204, openapi_extra=raises(VersionMismatch, PreconditionRequired))
async def delete_webhook(webhook_id: WebhookId, access: MayManage, db: Db, match: IfMatch) -> None:
    """Delete a webhook with its secrets and deliveries. What is on its way may still arrive."""
    await webhooks.delete(db, access, match.check(await webhooks.get(db, access, webhook_id, lock=True)))


@router.post("/{webhook_id}/secrets", response_model=WebhookCreated, status_code=201,
             openapi_extra=raises(TooManySecrets))  # fmt: skip
async def rotate_webhook_secret(
    body: WebhookSecretCreate, webhook_id: WebhookId, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Make another secret, which the answer shows this once. Those before sign as well until the overlap is over."""
    row = await webhooks.get(db, access, webhook_id, lock=True)
    secret = await webhooks.rotate(db, access, request.app.state.keys, row, overlap_hours=body.overlap_hours)
    keep_sealed(request)
    response.headers["Location"] = request.url.path.removesuffix("/secrets")
    return await _shown(db, row, response) | {"secret": secret}


@router.post("/{webhook_id}/ping", response_model=WebhookAttempt, openapi_extra=BARE)
async def ping_webhook(webhook_id: WebhookId, gate: MayPing, begin: UnitsOfWork, request: Request) -> Response:
    """Send a `webhook.ping` now, and see what the receiver answers. It is sent also while the webhook is disabled.

    Its `data` is `{"webhook_id": …}`; there is no event behind it, and it is not tried again.
    """
    async with gate.enter() as inside:
        access = inside.access
    try:
        attempt = WebhookAttempt.model_validate(await _pinged(request, begin, access, webhook_id))
        response = Response(attempt.model_dump_json(), media_type="application/json")
        await remember_apart(request, access.partner_id, response)
    except Exception:
        await leave(request, access.partner_id)
        raise
    return response


async def _pinged(request: Request, begin: Sessions, access: Access, webhook_id: UUID) -> dict[str, Any]:
    """What came of a ping, in no transaction while it is on its way."""
    async with unit_of_work(begin) as db:  # over before anything is sent
        await confine(db, access.partner_id)
        row = await webhooks.get(db, access, webhook_id)
        sealed = (await webhooks.secrets(db, [row.id], utc_now()))[row.id]
    secrets = [security.opened(request.app.state.keys, s.sealed) for s in sealed]
    at = utc_now()
    body = webhook_messages.ping(row.id, at)
    outlet: Outlet = request.app.state.outlet
    pings: Places = request.app.state.pings
    with pings.taken(access.partner_id):
        sent = headers(secrets, new_id(), body)
        return said(await outlet.post(row.url, sent, body.encode(), whose=access.partner_id), at)


async def _shown(db: Db, row: Webhook, response: Response) -> dict[str, Any]:
    in_force = (await webhooks.secrets(db, [row.id], utc_now()))[row.id]
    tagged(response, row, webhooks.looks(row, in_force))
    return webhooks.shown(row, in_force)


def _rules(request: Request) -> webhooks.Rules:
    settings: Settings = request.app.state.settings
    return webhooks.Rules(settings.webhooks_per_partner, settings.webhook_networks)
