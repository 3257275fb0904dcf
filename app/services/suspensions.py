"""What operators have suspended stays so in what takes its place: what new licences begin with."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as Set_
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.models import AccountArticle, Licence, LicenceSource, SuspendedBy
from app.services.pools import Pool

Suspension = Mapping[str, Any]
"""The columns of a licence that say how it is suspended."""
COLUMNS: Final = (Licence.suspended_at, Licence.suspended_by, Licence.suspension_reason)
FREE: Final[Suspension] = dict.fromkeys((column.key for column in COLUMNS), None)


async def of_purchases(db: AsyncSession, purchase: AccountArticle) -> dict[str, Suspension]:
    """How operators have suspended, of each feature, the latest licence of the purchases that this one continues.

    All of them are looked at, one before the other: an article that does not grant the feature is no way out.
    """
    earlier = purchase.renews_id or purchase.replaces_id
    if earlier is None:
        return {}
    found, older = AccountArticle, aliased(AccountArticle)
    before = func.coalesce(found.renews_id, found.replaces_id)
    chain = (
        select(found.id, before.label("before"))
        .where(found.partner_id == purchase.partner_id, found.id == earlier)
        .cte("chain", recursive=True)
    )
    chain = chain.union(
        select(older.id, func.coalesce(older.renews_id, older.replaces_id))
        .join(chain, older.id == chain.c.before)
        .where(older.partner_id == purchase.partner_id)
    )
    latest = (
        select(Licence.feature, *COLUMNS)
        .join(chain, chain.c.id == Licence.account_article_id)
        .where(Licence.partner_id == purchase.partner_id, Licence.account_id == purchase.account_id)
        .ext(distinct_on(Licence.feature))
        .order_by(Licence.feature, Licence.id.desc())
    )
    return {row.feature: _kept(row) for row in await db.execute(latest) if row.suspended_by == SuspendedBy.OPERATOR}


async def of_price_models(db: AsyncSession, stopped: Sequence[UUID], begun: Set_[Pool]) -> dict[Pool, Suspension]:
    """How operators have suspended the latest licence of each pool that gets a new one from a price model, be it over
    or not. `stopped` are the licences that they have suspended.
    """
    if not stopped or not begun:
        return {}
    suspended = aliased(Licence)
    pools = select(suspended.account_id, suspended.feature).where(suspended.id.in_(stopped)).distinct().subquery()
    latest = (
        select(Licence.account_id, Licence.feature, *COLUMNS)
        .join(pools, (pools.c.account_id == Licence.account_id) & (pools.c.feature == Licence.feature))
        .where(Licence.source == LicenceSource.PRICE_MODEL)
        .ext(distinct_on(Licence.account_id, Licence.feature))
        .order_by(Licence.account_id, Licence.feature, Licence.id.desc())
    )
    return {(row.account_id, row.feature): _kept(row) for row in await db.execute(latest)
            if row.suspended_by == SuspendedBy.OPERATOR and (row.account_id, row.feature) in begun}  # fmt: skip


def _kept(row: Any) -> Suspension:
    return {column.key: getattr(row, column.key) for column in COLUMNS}
