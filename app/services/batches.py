"""Many accounts in one call: each item by itself, so that one that fails keeps none of the others from succeeding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.policy import Access
from app.problems import Problem
from app.services import accounts, columns


@dataclass(frozen=True)
class Item:
    """One account to make, or (with its id) to change."""

    account_id: UUID | None
    values: dict[str, Any]


async def run(db: AsyncSession, access: Access, items: Sequence[Item]) -> list[dict[str, Any] | Problem]:
    """Do one after the other; a later item sees what an earlier one did. What failed says why, and is as it was.

    Each account is as its own item left it: a later one may change it again, or fail and have it forgotten.
    """
    return [await _one(db, access, item) for item in items]


async def _one(db: AsyncSession, access: Access, item: Item) -> dict[str, Any] | Problem:
    try:
        async with db.begin_nested():
            if item.account_id is None:
                account = await accounts.create(db, access, **item.values)
            else:
                inside = replace(access, account_id=item.account_id)
                account = await accounts.get(db, inside, lock=True)
                account = await accounts.update(db, inside, account, dict(item.values))
            await db.flush()
            return accounts.shown(await columns.load(db, access.partner_id), access, account)
    except Problem as problem:
        return problem
