"""Time zones: by whose calendar the periods of an account are counted."""

from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, Partner


async def of(db: AsyncSession, account: Account) -> ZoneInfo:
    """The zone that the account's periods follow: its own, or else its partner's."""
    name = account.time_zone
    if name is None:
        name = (await db.execute(select(Partner.time_zone).where(Partner.id == account.partner_id))).scalar_one()
    return ZoneInfo(name)
