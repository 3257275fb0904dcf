"""Property definitions: partners make, change, order, archive, restore and delete their columns."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete as delete_
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import NUMBER_SLOTS, TEXT_SLOTS, Account, Partner, Property, UniqueValue, utc_now
from app.policy import Access
from app.problems import Fault, KeyTaken, NoSlotLeft, NotFound, Text, TooManyProperties, ValuesConflict
from app.services import columns, events, uniques, values

MAX_PROPERTIES: Final = 100
MAX_NAMED: Final = 20
BATCH: Final = 1_000

CONFLICTS = Text("{count} accounts have values that this would make invalid; on_conflict=clear removes those.",
                 "{count} Konten haben Werte, die damit ungültig würden; on_conflict=clear entfernt sie.")  # fmt: skip
CONFLICT = Text("Account {id}.", "Konto {id}.")


@dataclass(frozen=True)
class Usage:
    """How much a definition is used: of how many accounts, how many have a value."""

    accounts: int
    filled: int


async def listed(db: AsyncSession) -> Sequence[Property]:
    """All definitions in the order of the columns, the archived ones too."""
    by = (Property.position, Property.id)
    return (await db.scalars(select(Property).where(Property.deleted_at.is_(None)).order_by(*by))).all()


async def get(db: AsyncSession, access: Access, key: str, *, lock: bool = False) -> Property:
    """One definition; with `lock`, nobody writes values or changes definitions until the end."""
    if lock:
        await columns.alone(db, access.partner_id)
    found = await db.scalar(select(Property).where(Property.key == key, Property.deleted_at.is_(None)))
    if found is None:
        raise NotFound
    return found


async def usage(db: AsyncSession, row: Property) -> Usage:
    filled = func.count().filter(Account.properties.has_key(row.key))
    found = (await db.execute(select(func.count(), filled).select_from(Account))).one()
    return Usage(*found)


async def create(db: AsyncSession, access: Access, definition: Mapping[str, Any]) -> Property:
    """Add a column, as the last one.

    Raises:
        KeyTaken: there is one of this key, or the values of a deleted one are still being removed.
        TooManyProperties, NoSlotLeft: the partner has as many (filterable) ones as there can be.
    """
    await columns.alone(db, access.partner_id)
    rows = (await db.scalars(select(Property))).all()
    if any(r.key == definition["key"] for r in rows):
        raise KeyTaken
    if len(rows) >= MAX_PROPERTIES:
        raise TooManyProperties
    row = Property(partner_id=access.partner_id, position=max((r.position for r in rows), default=0) + 1, **definition)
    row.slot = _free_slot(row, rows) if row.filterable else None
    db.add(row)
    await _changed(db)
    events.record(db, access, "property.created", row, after=events.facts(row))
    return row


async def change(db: AsyncSession, access: Access, row: Property, new: Mapping[str, Any], *, clear: bool) -> Property:
    """Change a definition; with `clear`, the values that it makes invalid are removed.

    Raises:
        ValuesConflict: it would make values invalid: says how many, and names accounts that have them.
        NoSlotLeft: as many filterable ones as there can be.
    """
    before, after = events.changed(row, new)
    if not after:
        return row
    if "filterable" in after and row.filterable and row.slot is None:
        row.slot = _free_slot(row, (await db.scalars(select(Property))).all())
    if after.keys() & {"filterable", "sensitive"}:
        row.stale, row.refreshed_to = True, None
    await db.flush()
    await _changed(db)
    if after.keys() & {"inputs", "unique"}:
        await _check_values(db, access, row, before, clear=clear)
    events.record(db, access, "property.updated", row, before=before, after=after)
    return row


async def order(db: AsyncSession, access: Access, keys: Sequence[str]) -> Sequence[Property]:
    """Put the columns into the order of `keys`; those that are not named follow as they were.

    Raises:
        NotFound: one of them does not exist.
    """
    await columns.alone(db, access.partner_id)
    rows = {r.key: r for r in await listed(db)}
    if not rows.keys() >= set(keys):
        raise NotFound
    wanted = [rows[k] for k in keys] + [r for k, r in rows.items() if k not in set(keys)]
    for position, row in enumerate(wanted, 1):
        before, after = events.changed(row, {"position": position})
        if after:
            events.record(db, access, "property.updated", row, before=before, after=after)
    await _changed(db)
    return wanted


async def archive(db: AsyncSession, access: Access, row: Property, *, archived: bool) -> Property:
    """Take a column out of sight, or bring it back, with its values."""
    if (row.archived_at is not None) != archived:
        before, after = events.changed(row, {"archived_at": utc_now() if archived else None})
        row.stale, row.refreshed_to = True, None  # for `q`
        await _changed(db)
        name = "property.archived" if archived else "property.restored"
        events.record(db, access, name, row, before=before, after=after)
    return row


async def delete(db: AsyncSession, access: Access, row: Property) -> int:
    """Delete a column; how many values go with it. They vanish at once, and from the disk within moments."""
    filled = (await usage(db, row)).filled
    row.deleted_at, row.stale, row.refreshed_to = utc_now(), True, None
    await _changed(db)
    events.record(db, access, "property.deleted", row, before=events.facts(row) | {"values": filled})
    return filled


def _free_slot(row: Property, rows: Sequence[Property]) -> str | None:
    kind = values.KINDS[row.type]
    if kind.slots is None:
        return None
    used = {r.slot for r in rows}
    free = [s for s in (TEXT_SLOTS if kind.slots == "text" else NUMBER_SLOTS) if s not in used]
    if not free:
        raise NoSlotLeft
    return free[0]


async def _changed(db: AsyncSession) -> None:
    """What is kept of the definitions in memory, anywhere, is out of date from the commit on."""
    counted = {"properties_version": Partner.properties_version + 1, "updated_at": Partner.updated_at}
    await db.execute(update(Partner).values(counted).execution_options(synchronize_session=False))


# --- values that a change of the definition would make invalid ---


async def _check_values(db: AsyncSession, access: Access, row: Property, before: Mapping[str, Any], *,
                        clear: bool) -> None:  # fmt: skip
    d, known = columns.definition(row), columns.Columns(0, tuple(map(columns.definition, await listed(db))))
    makes_unique = before.get("unique") is False
    if before.get("unique") is True:
        await db.execute(delete_(UniqueValue).where(UniqueValue.property_id == row.id))
    wrong: list[UUID] = []
    async for account in _with_value(db, row.key):
        value = account.properties[row.key]
        taken = makes_unique and row.key in uniques.held(account) and not await uniques.take(
            db, access.partner_id, d, account.id, value)  # fmt: skip
        if taken or not _still_valid(d, value):
            wrong.append(account.id)
            if clear:
                await _clear(db, access, account, d, known)
    if wrong and not clear:
        said = Text(*(t.format(count=len(wrong)) for t in CONFLICTS))
        at = _changed_field(row, before)
        named = [Fault(at, "conflicting_value", Text(*(t.format(id=i) for t in CONFLICT))) for i in wrong]
        raise ValuesConflict(errors=[Fault(at, "values_conflict", said), *named[:MAX_NAMED]])


def _changed_field(row: Property, before: Mapping[str, Any]) -> str:
    """Where the request has the (first) change that may make values invalid."""
    old = before.get("inputs", row.inputs)
    changed = [name for name in {**row.inputs, **old} if row.inputs.get(name) != old.get(name)]
    return f"/{[*changed, 'unique'][0]}"


def _still_valid(d: columns.Definition, value: Any) -> bool:
    """The options of a list may have got another order since: it stays as it is."""
    try:
        d.kind.check(value, columns.still_open(d.inputs, value))
    except values.Refused:
        return False
    return True


async def _clear(db: AsyncSession, access: Access, account: Account, d: columns.Definition,
                 known: columns.Columns) -> None:  # fmt: skip
    before = account.properties
    account.properties = {k: v for k, v in before.items() if k != d.key}
    columns.project(known, account)
    await db.execute(delete_(UniqueValue).where(UniqueValue.property_id == d.id, UniqueValue.account_id == account.id))
    events.record(db, access, "account.updated", account, before={"properties": {d.key: before[d.key]}},
                  after={"properties": {d.key: None}}, account_id=account.id)  # fmt: skip


async def _with_value(db: AsyncSession, key: str) -> AsyncIterator[Account]:
    """Every account that has a value for it, in batches; nobody writes values meanwhile."""
    last: UUID | None = None
    while True:
        some = select(Account).where(Account.properties.has_key(key)).order_by(Account.id).limit(BATCH)
        rows = (await db.scalars(some if last is None else some.where(Account.id > last))).all()
        for row in rows:
            yield row
        if len(rows) < BATCH:
            return
        last = rows[-1].id
        await db.flush()
        for row in rows:
            db.expunge(row)
