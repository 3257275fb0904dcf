"""Accounts follow a changed definition: slots and search texts are made anew, deleted values removed, in batches."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, Partner, Property
from app.services import columns
from app.services.columns import Columns

BATCH: Final = 500
NOWHERE: Final = UUID(int=0)
THROUGH: Final = UUID(int=(1 << 128) - 1)


async def step(db: AsyncSession, partner_id: UUID) -> bool:
    """One batch of a partner's accounts; whether there is more to do. Killed at any moment, it goes on where it was.

    Only when all accounts have been dealt with may a column be filtered by its slot, or the slot of a deleted one
    become another's: that is decided alone, while nobody writes values.
    """
    if all(p.refreshed_to == THROUGH for p in await _stale(db)):
        await columns.alone(db, partner_id)
        return await _finish(db)
    found = await columns.steady(db, partner_id)
    stale = await _stale(db)
    start = min((p.refreshed_to or NOWHERE for p in stale), default=THROUGH)
    some = select(Account).where(Account.id > start).order_by(Account.id).limit(BATCH)
    rows = (await db.scalars(some.with_for_update(key_share=True))).all()
    gone = {d.key for d in found.all if d.deleted}
    for row in rows:
        await _refresh(db, found, row, gone)
    await _note(db, [p.id for p in stale if (p.refreshed_to or NOWHERE) <= start],
                rows[-1].id if len(rows) == BATCH else THROUGH)  # fmt: skip
    return True


async def _stale(db: AsyncSession) -> Sequence[Property]:
    return (await db.scalars(select(Property).where(Property.stale).execution_options(populate_existing=True))).all()


async def _refresh(db: AsyncSession, found: Columns, row: Account, gone: set[str]) -> None:
    """Nothing that the API shows changes, so neither do version and `updated_at`."""
    kept = {k: v for k, v in row.properties.items() if k not in gone}
    projected: dict[str, Any] = {"properties": kept, **found.projected(row.name_search, kept)}
    new = {k: v for k, v in projected.items() if getattr(row, k) != v}
    if new:
        await _quietly(db, Account, row.id, new | {"updated_at": row.updated_at})


async def _quietly(db: AsyncSession, model: Any, row_id: UUID, new: dict[str, Any]) -> None:
    statement = update(model).where(model.id == row_id).values(new)
    await db.execute(statement.execution_options(synchronize_session=False))


async def _note(db: AsyncSession, ids: Sequence[UUID], last: UUID) -> None:
    statement = update(Property).where(Property.id.in_(ids)).values(refreshed_to=last, updated_at=Property.updated_at)
    await db.execute(statement.execution_options(synchronize_session=False))


async def _finish(db: AsyncSession) -> bool:
    """Declare what is through to be up to date. More to do, if a definition changed since it was looked at."""
    stale = await _stale(db)
    through = [p for p in stale if p.refreshed_to == THROUGH]
    for row in through:
        if row.deleted_at is not None:
            await db.delete(row)
        else:
            slot = row.slot if row.filterable else None
            await _quietly(
                db,
                Property,
                row.id,
                {"stale": False, "slot": slot, "updated_at": row.updated_at, "version": row.version + 1},
            )
    if through:
        counted = {"properties_version": Partner.properties_version + 1, "updated_at": Partner.updated_at}
        await db.execute(update(Partner).values(counted).execution_options(synchronize_session=False))
    return len(through) < len(stale)
