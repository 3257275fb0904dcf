"""Webhooks: addresses to which a partner has its events sent, and the secrets that sign what is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import addresses, security
from app.addresses import Network, Strange
from app.models import (
    DisabledReason,
    Event,
    Webhook,
    WebhookLane,
    WebhookSecret,
    WebhookStatus,
    utc_now,
)
from app.policy import Access, Permission
from app.problems import Fault, InsufficientScope, Invalid, NotFound, Text, TooManySecrets, TooManyWebhooks
from app.services import events, lists, mail, partners, recipients, walks

MAX_SECRETS: Final = 5
TOLD: Final = ("url", "description", "types", "status", "disabled_reason", "created_by")
STATE: Final = ("status", "disabled_reason")
TABLE: Final = lists.Table(
    Webhook,
    {
        "status": lists.Column(Webhook.status, lists.EQUALITY, lists.one_of(WebhookStatus)),
        "created_at": lists.Column(Webhook.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="created_at",
)
SAID: Final[Mapping[str, Text]] = {
    "invalid_url": Text(
        "An absolute https:// address without user, fragment or any character outside of ASCII; a host by its name, or "
        "by its number in the usual form.",
        "Eine absolute https://-Adresse ohne Benutzer, Fragment und Zeichen außerhalb von ASCII; der Host mit Namen "
        "oder als Zahl in der üblichen Form.",
    ),
    "insecure_url": Text("Must begin with https://.", "Muss mit https:// beginnen."),
    "refused_address": Text("It leads into a network that is not public.",
                            "Sie führt in ein Netz, das nicht öffentlich ist."),
}  # fmt: skip
HIDDEN: Final = "(hidden)"
INSIDE: Final = ("localhost", "local", "internal", "home.arpa")


@dataclass(frozen=True)
class Rules:
    """What the settings say: how many webhooks a partner may have, and which networks are reached besides public."""

    most: int
    allowed: Sequence[Network]


async def listed(db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    return await walks.fetch(db, select(Webhook), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, access: Access, webhook_id: UUID, *, lock: bool = False) -> Webhook:
    """The webhook; with `lock`, nobody else changes it, nor what is delivered, until this transaction ends."""
    row = await db.get(Webhook, (access.partner_id, webhook_id), with_for_update={"key_share": True} if lock else None)
    if row is None:
        raise NotFound
    return row


async def create(db: AsyncSession, access: Access, keys: security.Keys, rules: Rules, *, url: str, description: str,
                 types: Sequence[str]) -> tuple[Webhook, str]:  # fmt: skip
    """A webhook that is sent what happens from now on; and its secret.

    Raises:
        TooManyWebhooks: the partner has as many as it may.
        Invalid: the address may not be connected to.
        InsufficientScope: see `refuse_blind`.
    """
    refuse_blind(access)
    refuse_address(url, rules.allowed)
    await partners.get(db, access.partner_id, lock=True)
    if (await db.scalar(select(func.count()).select_from(Webhook)) or 0) >= rules.most:
        raise TooManyWebhooks
    row = Webhook(
        partner_id=access.partner_id, url=url, description=description, types=_sorted(types),
        created_by=access.user_id, position=await latest(db),
    )  # fmt: skip
    db.add(row)
    await db.flush()
    secret = _new_secret(db, keys, row)
    await db.flush()
    events.record(db, access, "webhook.created", row, after=_told(row))
    return row, secret


async def change(db: AsyncSession, access: Access, rules: Rules, row: Webhook, patch: Mapping[str, Any]) -> Webhook:
    """Change address, description or types (a merge patch), enable or disable it.

    Raises:
        Invalid: the address may not be connected to.
        InsufficientScope: see `refuse_blind`.
    """
    if patch != {"status": WebhookStatus.DISABLED}:
        refuse_blind(access)
    values = dict(patch)
    status = values.pop("status", None)
    if "url" in values:
        refuse_address(values["url"], rules.allowed)
    if "types" in values:
        values["types"] = _sorted(values["types"] or ())
    before, after = events.changed(row, values)
    if "url" in after:  # another receiver: what was known of the one before says nothing of it
        await _begin_anew(db, row)
    if after:
        await db.flush()
        events.record(db, access, "webhook.updated", row, before=_hiding(before), after=_hiding(after))
    if status == WebhookStatus.DISABLED and row.status != status:
        before, after = await _disable(db, row, DisabledReason.BY_HAND)
        events.record(db, access, "webhook.disabled", row, before=before, after=after)
    elif status == WebhookStatus.ENABLED and row.status != status:
        before, after = events.changed(row, {"status": status, "disabled_reason": None})
        row.status_since, row.position = utc_now(), await latest(db)
        await _begin_anew(db, row)
        await db.flush()
        events.record(db, access, "webhook.enabled", row, before=before, after=after)
    return row


async def delete(db: AsyncSession, access: Access, row: Webhook) -> None:
    """Delete it, with its secrets and all that is known of its deliveries."""
    await db.delete(row)
    await db.flush()
    events.record(db, access, "webhook.deleted", row, before=_told(row))


async def rotate(db: AsyncSession, access: Access, keys: security.Keys, row: Webhook, *,
                 overlap_hours: int) -> str:  # fmt: skip
    """Give it another secret; those that it has sign as well until the time of overlap is over.

    Raises:
        TooManySecrets: as many as may be are in force already.
    """
    now = utc_now()
    until = now + timedelta(hours=overlap_hours)
    in_force = 0
    for old in await db.scalars(select(WebhookSecret).where(WebhookSecret.webhook_id == row.id)):
        if overlap_hours == 0 or (old.expires_at is not None and old.expires_at <= now):
            await db.delete(old)
        else:
            old.expires_at = min(old.expires_at or until, until)
            in_force += 1
    if in_force >= MAX_SECRETS:
        raise TooManySecrets
    secret = _new_secret(db, keys, row)
    row.updated_at = now  # the secrets are a part of it: a new version
    await db.flush()
    events.record(db, access, "webhook.secret_rotated", row, after={"overlap_hours": overlap_hours})
    return secret


async def disable(db: AsyncSession, partner_id: UUID, webhook_id: UUID, reason: DisabledReason) -> None:
    """Send nothing there any more, by the service's own decision, and tell the partner's admins."""
    row = await db.get_one(Webhook, (partner_id, webhook_id), populate_existing=True)
    if row.status == WebhookStatus.DISABLED:
        return
    since = row.failing_since
    before, after = await _disable(db, row, reason)
    events.record_system(db, partner_id, "webhook.disabled", row, before=before, after=after)
    partner = await partners.get(db, partner_id)
    host = addresses.place_of(row.url).host
    for user_id in await recipients.admins(db, partner_id):
        mail.enqueue(db, partner_id, "webhook_disabled", subject_id=user_id, partner_name=partner.name, host=host,
                     reason=reason, failing_since=events.plain(since))  # fmt: skip


async def secrets(db: AsyncSession, webhooks: Sequence[UUID], at: datetime) -> dict[UUID, list[WebhookSecret]]:
    """The secrets that sign at this moment, the newest first, by webhook."""
    in_force = or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > at)
    asked = select(WebhookSecret).where(WebhookSecret.webhook_id.in_(webhooks), in_force)
    found: dict[UUID, list[WebhookSecret]] = {webhook_id: [] for webhook_id in webhooks}
    for row in await db.scalars(asked.order_by(WebhookSecret.id.desc())):
        found[row.webhook_id].append(row)
    return found


def shown(row: Webhook, in_force: Sequence[WebhookSecret]) -> dict[str, Any]:
    """A webhook as the API shows it: of its secrets, when they come and go."""
    own = ("id", "partner_id", "url", "description", "types", "status", "status_since", "disabled_reason",
           "failing_since", "created_by", "created_at", "updated_at")  # fmt: skip
    return {name: getattr(row, name) for name in own} | {
        "secrets": [{"id": s.id, "created_at": s.created_at, "expires_at": s.expires_at} for s in in_force]
    }


def looks(row: Webhook, in_force: Sequence[WebhookSecret]) -> str:
    """What else a webhook is shown as besides its own version, as numbers for its ETag."""
    since = row.failing_since
    return f"{0 if since is None else int(since.timestamp() * 1000)}.{len(in_force)}"


async def latest(db: AsyncSession) -> int:
    """Where the partner's change log ends at the moment."""
    return await db.scalar(select(func.max(Event.position))) or 0


def refuse_blind(access: Access) -> None:
    """A webhook is a reading of the events: a client that says where they go, or sees what went, must be allowed that.

    Raises:
        InsufficientScope: it is not.
    """
    if not access.may(Permission.EVENT_READ):
        raise InsufficientScope


def refuse_address(url: str, allowed: Sequence[Network]) -> None:
    """Say early what will not be connected to. The check that counts is made when it is.

    Raises:
        Invalid: no such address, or one that leads into a network that is not public.
    """
    try:
        place = addresses.place_of(url)
        if place.scheme != "https" and not allowed:
            raise Strange("insecure_url")
        if addresses.literal(place.host) is not None:
            addresses.refuse_closed(place.host, allowed, listed_only=place.scheme != "https")
        elif not allowed and place.host.rpartition(".")[2] in INSIDE:
            raise Strange("refused_address")
    except Strange as error:
        raise Invalid(errors=[Fault("/url", error.code, SAID[error.code])]) from None


async def _begin_anew(db: AsyncSession, row: Webhook) -> None:
    """Forget that the receiver failed, and have what waits be tried at once."""
    row.failures, row.failing_since, row.paused_until = 0, None, None
    waiting = update(WebhookLane).where(WebhookLane.webhook_id == row.id, WebhookLane.leased_by.is_(None))
    await db.execute(waiting.values(due_at=utc_now()).execution_options(synchronize_session=False))


async def _disable(db: AsyncSession, row: Webhook, reason: DisabledReason) -> tuple[dict[str, Any], dict[str, Any]]:
    found = events.changed(row, {"status": WebhookStatus.DISABLED, "disabled_reason": reason})
    row.status_since = utc_now()
    await db.flush()
    return found


def _new_secret(db: AsyncSession, keys: security.Keys, row: Webhook) -> str:
    secret = security.new_webhook_secret()
    db.add(WebhookSecret(partner_id=row.partner_id, webhook_id=row.id, sealed=security.sealed(keys, secret)))
    return secret


def _sorted(types: Sequence[str]) -> list[str]:
    return sorted(set(types))


def _told(row: Webhook) -> dict[str, Any]:
    return _hiding({name: getattr(row, name) for name in TOLD})


def _hiding(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the change log may say: the query of an address may hold a secret, and more people read the log."""
    address, _, query = facts.get("url", "").partition("?")
    return {**facts, "url": f"{address}?{HIDDEN}"} if query else {**facts}
