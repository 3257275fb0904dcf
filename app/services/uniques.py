"""Unique values: no two accounts of a partner share one, whoever writes at the same time."""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, literal
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, AccountStatus, UniqueValue
from app.problems import Fault, Text, ValueTaken
from app.services import values
from app.services.columns import Columns, Definition

TAKEN = Text("Another account has this value.", "Ein anderes Konto hat diesen Wert.")


def digest(d: Definition, value: Any) -> bytes:
    """What stands for a value: however long it is, its index entry is not."""
    return hashlib.sha256(values.unique_form(d.type, value).encode()).digest()


async def keep(db: AsyncSession, columns: Columns, account: Account, before: Mapping[str, Any],
               after: Mapping[str, Any]) -> None:  # fmt: skip
    """Let go of what an account no longer has, and take what it has now.

    Raises:
        ValueTaken: names every value that another account has.
    """
    unique = [d for d in columns.by_key.values() if d.unique and before.get(d.key) != after.get(d.key)]
    gone = [d.id for d in unique if d.key in before]
    if gone:
        await db.execute(
            delete(UniqueValue).where(UniqueValue.account_id == account.id, UniqueValue.property_id.in_(gone))
        )
    wanted = [d for d in unique if d.key in after]
    faults = [Fault(f"/properties/{d.key}", "value_taken", TAKEN) for d in wanted
              if not await take(db, account.partner_id, d, account.id, after[d.key])]  # fmt: skip
    if faults:
        raise ValueTaken(errors=faults)


async def take(db: AsyncSession, partner_id: UUID, d: Definition, account_id: UUID, value: Any) -> bool:
    """Take a value; False when another account has it. Waits for one who is about to."""
    row = {"partner_id": partner_id, "property_id": d.id, "digest": digest(d, value), "account_id": account_id}
    taking = insert(UniqueValue).values(**row).on_conflict_do_nothing().returning(literal(1))
    return bool(await (await db.connection()).scalar(taking))


def held(account: Account) -> Mapping[str, Any]:
    """What an account keeps others from having: nothing, once it is archived."""
    return {} if account.status == AccountStatus.ARCHIVED else account.properties
