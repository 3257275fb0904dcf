"""The rows that whoever uses or changes an entitlement waits for: see decision 13."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Usage


async def hold(db: AsyncSession, partner_id: UUID, account_id: UUID, features: Iterable[str]) -> dict[str, int]:
    """Hold an account's pools of these features until the transaction ends; what is used of each.

    What is read of licences and claims *afterwards* is true until then. All take several in the order of their keys.
    """
    keys = sorted(set(features))
    if not keys:
        return {}
    rows = [{"partner_id": partner_id, "account_id": account_id, "feature": key, "used": 0} for key in keys]
    await db.execute(insert(Usage).values(rows).on_conflict_do_nothing())
    found = await db.execute(
        select(Usage.feature, Usage.used)
        .where(Usage.partner_id == partner_id, Usage.account_id == account_id, Usage.feature.in_(keys))
        .order_by(Usage.feature)
        .with_for_update()
    )
    return {feature: used for feature, used in found}
