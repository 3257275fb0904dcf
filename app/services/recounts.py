"""Members of accounts are counted again, for what an older release, or somebody with SQL, has left uncounted."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import PLATFORM, Account, AccountMember
from app.policy import Access, Caller
from app.services import columns, members

BATCH: Final = 1_000
NOBODY: Final = Caller(PLATFORM, PLATFORM)


async def step(db: AsyncSession, partner_id: UUID, after: UUID | None) -> UUID | None:
    """One batch of a partner's accounts, from behind the account `after`; where the next begins, None at the end.

    An account that somebody has locked is left out: who changes its members counts them, and for all others there
    is a next time.
    """
    some = select(Account.id).order_by(Account.id).limit(BATCH)
    ids = (await db.scalars(some if after is None else some.where(Account.id > after))).all()
    wrong = (await db.scalars(_wrong(ids))).all() if ids else ()
    if wrong:
        await columns.steady(db, partner_id)  # before the rows, as all do
        free = select(Account.id).where(Account.id.in_(wrong)).with_for_update(key_share=True, skip_locked=True)
        for account_id in (await db.scalars(free)).all():
            await members.recount(db, Access(NOBODY, partner_id, frozenset(), account_id))
    return ids[-1] if len(ids) == BATCH else None


def _wrong(ids: Sequence[UUID]) -> Select[Any]:
    of_account = and_(AccountMember.partner_id == Account.partner_id, AccountMember.account_id == Account.id)
    counted = select(Account.id).outerjoin(AccountMember, of_account).where(Account.id.between(ids[0], ids[-1]))
    return counted.group_by(Account.id, Account.member_count).having(
        Account.member_count != func.count(AccountMember.id)
    )
