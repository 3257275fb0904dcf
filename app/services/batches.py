"""Many accounts in one call: each item by itself, so that one that fails keeps none of the others from succeeding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account
from app.policy import Access
from app.problems import Problem
from app.services import accounts


@dataclass(frozen=True)
class Item:
    """One account to make, or (with its id) to change."""

    account_id: UUID | None
    values: dict[str, Any]


async def run(db: AsyncSession, access: Access, items: Sequence[Item]) -> list[Account | Problem]:
    """Do one after the other; a later item sees what an earlier one did. What failed says why, and is as it was."""
    return [await _one(db, access, item) for item in items]


async def _one(db: AsyncSession, access: Access, item: Item) -> Account | Problem:
    try:
        async with db.begin_nested():
            if item.account_id is None:
                account = await accounts.create(db, access, **item.values)
            else:
                inside = replace(access, account_id=item.account_id)
                account = await accounts.get(db, inside, lock=True)
                account = await accounts.update(db, inside, account, dict(item.values))
            await db.flush()
            return account
    except Problem as problem:
        return problem
