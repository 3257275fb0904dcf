"""What an import asks the accounts table about a batch of rows: each question in one statement."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    LargeBinary,
    Text,
    Uuid,
    any_,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.express import line_of
from app.models import (
    Account,
    PartnerMember,
    PropertyType,
    UniqueValue,
    User,
)
from app.services import cells, price_models
from app.services.import_changes import Change, Known, Named
from app.services.import_plans import Plan
from app.services.import_rows import Draft


async def known(db: AsyncSession, plan: Plan, drafts: Sequence[Draft], *, lock: bool) -> dict[Any, Known]:
    """The accounts that the rows are for, by what matches them."""
    keys = sorted({draft.key for draft in drafts if draft.key is not None})
    if not keys:
        return {}
    if plan.matching is not None:
        holders = await _holders_of(db, plan.matching.id, keys)
        accounts = await _accounts(db, sorted(holders.values()), by_id=True, lock=lock)
        by_id = {a.id: a for a in accounts}
        return {digest: by_id[account_id] for digest, account_id in holders.items() if account_id in by_id}
    if plan.match == "id":
        return {a.id: a for a in await _accounts(db, keys, by_id=True, lock=lock)}
    return {a.name_key: a for a in await _accounts(db, keys, by_id=False, lock=lock)}


async def _accounts(db: AsyncSession, keys: Sequence[Any], *, by_id: bool, lock: bool) -> list[Known]:
    found = select(Account.id, Account.name, Account.name_key, Account.status, Account.price_model,
                   Account.properties)  # fmt: skip
    wanted = _keys(keys, Uuid() if by_id else Text())
    found = (
        found.where(Account.id == wanted.c.key)
        if by_id
        else found.where(Account.name_key == wanted.c.key, NOT_ARCHIVED)
    )
    if lock:
        found = found.with_for_update(key_share=True)
    return [Known(*values) for values in await _each(db, wanted, found)]


# Written out, or a plan for any status could not use the index of names that are taken.
NOT_ARCHIVED: Final = Account.status != literal_column("'archived'")


def _keys(values: Sequence[Any], kind: Any) -> Any:
    return func.unnest(literal(list(values), ARRAY(kind))).table_valued(column("key", kind)).render_derived()


async def _each(db: AsyncSession, keys: Any, one: Any) -> Sequence[Any]:
    """For each key its row, if there is one: a walk down an index for each, whatever the planner believes of the
    table, which may have been empty when it was last looked at.
    """
    inner = one.limit(1).lateral()
    return (await db.execute(select(*inner.c).select_from(keys).join(inner, true()))).all()


def _any(values: Sequence[Any], kind: Any) -> Any:
    return any_(literal(list(values), ARRAY(kind)))


async def named(db: AsyncSession, plan: Plan, drafts: Sequence[Draft]) -> Named:
    """Whom and what the rows name: members of the partner, by address or by id; price models."""
    keys = {draft.price_model for draft in drafts if draft.price_model}
    models = await price_models.archived(await line_of(db), keys) if keys else {}
    columns = [h.definition.key for h in plan.headings if h.definition and h.definition.type == PropertyType.USER]
    doubtful = {d.doubtful[key][0] for d in drafts for key in columns if key in d.doubtful}
    boxes = [raw for raw in doubtful if isinstance(raw, cells.Mailbox)]
    ids = [UUID(d.given[key]) for d in drafts for key in columns if d.given.get(key)]
    if not boxes and not ids:
        return Named({}, {}, models)
    members = select(User.email_key, PartnerMember.user_id, PartnerMember.role).join(
        User, User.id == PartnerMember.user_id).where(
        or_(User.email_key == _any(boxes, Text()), User.id == _any(ids, Uuid())))  # fmt: skip
    rows = (await db.execute(members)).all()
    return Named(
        {key: str(user_id) for key, user_id, _ in rows}, {str(user_id): role.value for _, user_id, role in rows}, models
    )


async def names(db: AsyncSession, changes: Iterable[Change]) -> dict[str, UUID]:
    """Whose the names are that the rows want."""
    wanted = sorted({c.name_key for c in changes if c.renamed})
    if not wanted:
        return {}
    keys = _keys(wanted, Text())
    found = select(Account.name_key, Account.id).where(Account.name_key == keys.c.key, NOT_ARCHIVED)
    return {key: account_id for key, account_id in await _each(db, keys, found)}


async def holders(db: AsyncSession, changes: Iterable[Change]) -> dict[tuple[UUID, bytes], UUID]:
    """Whose the unique values are that the rows want."""
    wanted: dict[UUID, list[bytes]] = {}
    for change in changes:
        for d, digest in change.takes:
            wanted.setdefault(d.id, []).append(digest)
    found: dict[tuple[UUID, bytes], UUID] = {}
    for property_id, digests in wanted.items():
        held = await _holders_of(db, property_id, digests)
        found |= {(property_id, digest): account_id for digest, account_id in held.items()}
    return found


async def _holders_of(db: AsyncSession, property_id: UUID, digests: Sequence[bytes]) -> dict[bytes, UUID]:
    keys = _keys(digests, LargeBinary())
    found = select(UniqueValue.digest, UniqueValue.account_id).where(
        UniqueValue.property_id == property_id, UniqueValue.digest == keys.c.key
    )
    return {digest: account_id for digest, account_id in await _each(db, keys, found)}
