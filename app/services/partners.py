"""Partners: the resellers, each a tenant."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import Partner
from app.models.partner import PartnerStatus
from app.policy import Access
from app.problems import NotFound
from app.services import events, lists, walks

TABLE = lists.Table(
    Partner,
    {
        "name": lists.Column(Partner.name_search, lists.TEXT, words.search_key, sortable=True),
        "status": lists.Column(Partner.status, lists.EQUALITY, lists.one_of(PartnerStatus)),
        "created_at": lists.Column(Partner.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="name",
    search=Partner.name_search,
)


async def create(
    db: AsyncSession, access: Access, *, name: str, partner_management_enabled: bool, language: str,
    time_zone: str = "UTC",
) -> Partner:  # fmt: skip
    """Take on a partner, under the id that `access` names. It has no members yet: invite its first admin."""
    partner = Partner(
        id=access.partner_id, name=name, name_search=words.search_key(name), language=language,
        partner_management_enabled=partner_management_enabled, time_zone=time_zone,
    )  # fmt: skip
    db.add(partner)
    await db.flush()
    events.record(db, access, "partner.created", partner, after=events.facts(partner))
    return partner


async def listed(
    db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> walks.Listed:
    return await walks.fetch(db, select(Partner), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, partner_id: UUID, *, lock: bool = False) -> Partner:
    """The partner; with `lock`, nobody else changes its members or itself until this transaction ends."""
    partner = await db.get(Partner, partner_id, with_for_update={"key_share": True} if lock else None)
    if partner is None:
        raise NotFound
    return partner


async def update(db: AsyncSession, access: Access, partner: Partner, values: dict[str, Any]) -> Partner:
    """Rename, suspend, resume, switch partner management on or off, change the language of mails or the time zone."""
    if "name" in values:
        values = values | {"name_search": words.search_key(values["name"])}
    before, after = events.changed(partner, values)
    await db.flush()
    if after:
        events.record(db, access, "partner.updated", partner, before=before, after=after)
    return partner
