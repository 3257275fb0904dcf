"""Licences begin and end here, and nowhere else: those of purchases and by hand; `base_grants` has price models'."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, AccountArticle, Feature, FeatureKind, Licence, LicenceSource
from app.policy import Access
from app.problems import Fault, Invalid, Text
from app.services import events, pools, suspensions, terms, time_zones
from app.services.suspensions import FREE, Suspension

MAX_UNITS: Final = 2**31 - 1

TOO_MANY = Text("That would be more units of a feature than can be counted.",
                "Das wären mehr Einheiten eines Merkmals, als gezählt werden können.")  # fmt: skip


async def hold(db: AsyncSession, account: Account, *grants: Sequence[Mapping[str, Any]]) -> datetime:
    """Hold the pools that these grants change, until the end; the moment at which that is so."""
    await pools.hold(db, account.partner_id, account.id, {grant["feature"] for some in grants for grant in some})
    return terms.now()


async def begin(
    db: AsyncSession, access: Access, account: Account, purchases: Sequence[AccountArticle]
) -> list[Licence]:
    """Grant what purchases bring: so many times each of their grants; a switch is on or off. Their pools are held.

    What operators have suspended of the purchases that it continues goes on suspended.

    Raises:
        Invalid: it would be more than can be counted.
        TooManyLicences: the account has as many of a feature as it may have.
    """
    pairs = sorted({(account.id, grant["feature"]) for purchase in purchases for grant in purchase.grants})
    await pools.refuse_crowded(db, account.partner_id, pairs)
    kinds = await _kinds(db, (grant for purchase in purchases for grant in purchase.grants))
    zone = await time_zones.of(db, account)
    found: list[Licence] = []
    for purchase in purchases:
        suspended = await suspensions.of_purchases(db, purchase)
        found += [_licence(purchase, grant, kinds[grant["feature"]], zone, suspended.get(grant["feature"], FREE))
                  for grant in purchase.grants]  # fmt: skip
    return _granted(db, access, found)


def _licence(purchase: AccountArticle, grant: Mapping[str, Any], kind: FeatureKind, zone: ZoneInfo,
             suspension: Suspension) -> Licence:  # fmt: skip
    units = grant["units"] * (1 if kind == FeatureKind.SWITCH else purchase.quantity)
    if units > MAX_UNITS:
        raise Invalid(errors=[Fault("/quantity", "too_many_units", TOO_MANY)])
    ends = [purchase.ends_at] if purchase.ends_at else []
    if grant.get("duration"):
        ends.append(terms.after(purchase.starts_at, grant["duration"], zone))
    return Licence(
        partner_id=purchase.partner_id, account_id=purchase.account_id, feature=grant["feature"], units=units,
        max_units_per_claim=grant.get("max_units_per_claim"), grace_days=grant.get("grace_days") or 0,
        starts_at=purchase.starts_at, ends_at=min(ends, default=None), source=LicenceSource.ARTICLE,
        account_article_id=purchase.id, article=purchase.article, order_number=purchase.order_number,
        **suspension,
    )  # fmt: skip


async def by_hand(db: AsyncSession, access: Access, account: Account, values: Mapping[str, Any]) -> Licence:
    """Grant one licence that nothing sold; its pool is held.

    Raises:
        TooManyLicences: the account has as many of the feature as it may have.
    """
    await pools.refuse_crowded(db, account.partner_id, [(account.id, values["feature"])])
    licence = Licence(partner_id=account.partner_id, account_id=account.id, source=LicenceSource.MANUAL, **values)
    _granted(db, access, [licence])
    await db.flush()
    return licence


async def end(db: AsyncSession, access: Access, purchase: AccountArticle, at: datetime) -> None:
    """Have the licences of a purchase give nothing from that moment on, days of grace included. Their pools are held.

    One that was over before stays as it is; one whose days of grace would go beyond the moment ends then.
    """
    for licence in await of_purchase(db, purchase):
        over = terms.over_at(licence)
        if licence.revoked_at is None and (over is None or over > at):
            before, after = events.changed(licence, {"ends_at": at, "grace_days": 0})
            await db.flush()
            events.record(db, access, "licence.ended", licence, before=before, after=after)


async def renumber(db: AsyncSession, access: Access, purchase: AccountArticle) -> None:
    """Have the licences of a purchase name its order. Their pools are held."""
    for licence in await of_purchase(db, purchase):
        before, after = events.changed(licence, {"order_number": purchase.order_number})
        await db.flush()
        if after:
            events.record(db, access, "licence.updated", licence, before=before, after=after)


async def of_purchase(db: AsyncSession, purchase: AccountArticle) -> Sequence[Licence]:
    """The licences that a purchase brought."""
    found = select(Licence).where(Licence.account_article_id == purchase.id, Licence.account_id == purchase.account_id)
    return (await db.scalars(found.order_by(Licence.feature, Licence.id))).all()


def _granted(db: AsyncSession, access: Access, licences: list[Licence]) -> list[Licence]:
    db.add_all(licences)
    for licence in licences:
        events.record(db, access, "licence.granted", licence, after=events.facts(licence))
    return licences


async def _kinds(db: AsyncSession, grants: Iterable[Mapping[str, Any]]) -> dict[str, FeatureKind]:
    keys = {grant["feature"] for grant in grants}
    found = await db.execute(select(Feature.key, Feature.kind).where(Feature.key.in_(keys)))
    return {key: kind for key, kind in found}
