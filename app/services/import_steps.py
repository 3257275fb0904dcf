"""An import's steps in the database: which is whose, one batch of rows, its end. Each is one transaction's work."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    LargeBinary,
    Text,
    Uuid,
    any_,
    column,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import (
    Account,
    AccountImport,
    ImportChunk,
    ImportFault,
    ImportStatus,
    Partner,
    PartnerMember,
    UniqueValue,
    User,
    UserStatus,
    new_id,
    utc_now,
)
from app.models.partner import PartnerStatus
from app.policy import Access, Caller, Permission, Role, allowing
from app.problems import Text as Said
from app.services import bulks, cells, events, import_rows, import_writes, imports, price_models
from app.services.import_plans import Plan, shown
from app.services.import_rows import Change, Draft, Known, Named, RowFault, Seen

WORKING: Final = (ImportStatus.CHECKING, ImportStatus.RUNNING)
MAX_KEPT: Final = 10_000
KEPT: Final = timedelta(days=1)


class Lost(Exception):
    """The import is no longer in this worker's hands, or not where the worker thought: it was cancelled, or taken."""


class Stopped(Exception):
    """It cannot go on: a stable code, and why."""

    def __init__(self, code: str, said: Said) -> None:
        super().__init__(code)
        self.code, self.said = code, said


@dataclass(frozen=True)
class Job:
    """What a worker needs to know of an import to work at it."""

    partner_id: UUID
    id: UUID
    status: ImportStatus
    row: int
    options: dict[str, Any]
    layout: dict[str, Any] | None


# --- whose it is ---


async def claim(db: AsyncSession, worker_id: UUID, lease: timedelta) -> Job | None:
    """The partner's import that waits longest; until the lease is over, no other worker touches it."""
    now = utc_now()
    row = await db.scalar(
        select(AccountImport)
        .where(AccountImport.status.in_(WORKING),
               or_(AccountImport.leased_until.is_(None), AccountImport.leased_until <= now,
                   AccountImport.leased_by == worker_id))
        .order_by(AccountImport.id).limit(1).with_for_update(skip_locked=True, key_share=True)
    )  # fmt: skip
    if row is None:
        return None
    row.leased_by, row.leased_until = worker_id, now + lease
    if row.status == ImportStatus.CHECKING and row.row:  # what was seen of the file is gone: from the beginning
        await _begin_again(db, row)
    await db.flush()
    return Job(row.partner_id, row.id, row.status, row.row, row.options, row.layout)


async def _begin_again(db: AsyncSession, row: AccountImport) -> None:
    row.row, row.rows_done, row.planned, row.errors_kept = 0, 0, None, 0
    await db.execute(delete(ImportFault).where(ImportFault.import_id == row.id))


async def chunk(db: AsyncSession, job: Job, number: int) -> bytes | None:
    """A piece of the file; None behind the last."""
    return await db.scalar(
        select(ImportChunk.data).where(ImportChunk.import_id == job.id, ImportChunk.number == number)
    )


async def held(db: AsyncSession, job: Job, worker_id: UUID, at: int, lease: timedelta) -> AccountImport:
    """The import, locked, if it is still where this worker left it; the lease begins anew.

    Raises:
        Lost: it is not.
    """
    row = await db.get(AccountImport, (job.partner_id, job.id), with_for_update={"key_share": True})
    if row is None or (row.status, row.leased_by, row.row) != (job.status, worker_id, at):
        raise Lost
    row.leased_until = utc_now() + lease
    return row


async def acting(db: AsyncSession, row: AccountImport) -> Access:
    """Whoever the import is done for, with the roles of this moment.

    Raises:
        Stopped: that user may not do it (any more).
    """
    user_id = row.confirmed_by or row.created_by
    found = (await db.execute(
        select(User.status, User.operator, PartnerMember.role, Partner.status, Partner.partner_management_enabled)
        .select_from(User).join(Partner, Partner.id == row.partner_id)
        .outerjoin(PartnerMember, (PartnerMember.user_id == User.id) & (PartnerMember.partner_id == row.partner_id))
        .where(User.id == user_id)
    )).one_or_none()  # fmt: skip
    if found is None or found[0] != UserStatus.ACTIVE:
        raise Stopped("not_allowed", NOT_ALLOWED)
    _, operator, role, status, enabled = found
    roles = ({role} if role else set[Role]()) | ({Role.OPERATOR} if operator else set[Role]())
    awake = roles if enabled and status == PartnerStatus.ACTIVE else roles & {Role.OPERATOR}
    granted = allowing(awake, Permission.ACCOUNT_IMPORT)
    if not granted:
        if allowing(roles, Permission.ACCOUNT_IMPORT):
            raise Stopped(*(OFF if status == PartnerStatus.ACTIVE else SUSPENDED))
        raise Stopped("not_allowed", NOT_ALLOWED)
    caller = Caller(user_id, UUID(int=0), bool(operator), row.request_id, row.address)
    return Access(caller, row.partner_id, granted)


NOT_ALLOWED = Said("The user who imports may no longer do it.", "Der importierende Benutzer darf das nicht mehr.")
OFF = (
    "partner_management_off",
    Said("Partner management was switched off.", "Die Partnerverwaltung wurde abgeschaltet."),
)
SUSPENDED = ("partner_suspended", Said("The partner was suspended.", "Der Partner wurde gesperrt."))
EXPIRED = ("expired", Said("Nobody confirmed it within a day.", "Niemand hat ihn innerhalb eines Tages bestätigt."))


# --- its states ---


def note_layout(row: AccountImport, plan: Plan) -> None:
    """How the file is read: as it was detected, for the user to see."""
    row.layout, row.columns, row.match = asdict(plan.layout), shown(plan), plan.match


async def finish(db: AsyncSession, row: AccountImport) -> None:
    """All rows were looked at, or all were done."""
    if row.status == ImportStatus.CHECKING:
        row.planned = row.planned or dict.fromkeys(imports.COUNTS, 0)
        row.rows_total, row.leased_by, row.leased_until = row.rows_done, None, None
        before, after = events.changed(row, {"status": ImportStatus.CHECKED})
        after |= {"rows_total": row.rows_total, "planned": row.planned}
        events.record_system(db, row.partner_id, "account_import.checked", row, before=before, after=after)
        return
    before = await imports.end(db, row, ImportStatus.DONE)
    events.record_system(db, row.partner_id, "account_import.finished", row, before=before, after=imports.outcome(row))


async def fail(db: AsyncSession, row: AccountImport, code: str, said: Said) -> None:
    """It cannot go on; what it has done stays."""
    row.failure = {"code": code, "en": said.en[:500], "de": said.de[:500]}
    before = await imports.end(db, row, ImportStatus.FAILED)
    events.record_system(db, row.partner_id, "account_import.failed", row, before=before, after=imports.outcome(row))


async def expire(db: AsyncSession, now: datetime) -> int:
    """End what nobody confirmed within a day: the file is not ours to keep."""
    rows = await db.scalars(
        select(AccountImport)
        .where(AccountImport.status == ImportStatus.CHECKED, AccountImport.updated_at <= now - KEPT)
        .with_for_update(skip_locked=True)
    )
    return len([await fail(db, row, *EXPIRED) for row in rows])


# --- a batch of rows ---


async def work(db: AsyncSession, row: AccountImport, access: Access, plan: Plan, drafts: Sequence[Draft],
               seen: Seen) -> None:  # fmt: skip
    """Look at some rows, or do them; the position advances with it.

    Raises:
        Raced: somebody else took a name or a value between our look and our write; all of it must be done again.
    """
    running = row.status == ImportStatus.RUNNING
    known = await _known(db, plan, drafts, lock=running)
    named = await _named(db, drafts)
    changes = await asyncio.to_thread(import_rows.decided, plan, access.roles, drafts, known, named, new_id)
    names, holders = await _names(db, changes), await _holders(db, changes)
    within = Seen() if running else seen  # what earlier batches took is in the table, when they were done
    good, faults = import_rows.settled(plan, changes, within, names, holders)
    faults += [fault for draft in drafts for fault in (*draft.faults, *draft.misfits)]
    if running:
        await import_writes.write(db, access, plan, good)
    await _note(db, row, drafts, good, faults)


async def _known(db: AsyncSession, plan: Plan, drafts: Sequence[Draft], *, lock: bool) -> dict[Any, Known]:
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
    found = select(Account.id, Account.name, Account.name_key, Account.status, Account.price_model, Account.properties)
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


async def _named(db: AsyncSession, drafts: Sequence[Draft]) -> Named:
    """What the rows name besides accounts, looked up at once: members by id or by address, price models by key."""
    models = await price_models.archived(db, {draft.price_model for draft in drafts if draft.price_model})
    addresses = {raw for draft in drafts for raw, _ in draft.doubtful.values() if isinstance(raw, cells.Mailbox)}
    chosen = {
        value for draft in drafts for value in draft.given.values() if isinstance(value, str) and len(value) == 36
    }
    ids = list(filter(None, map(_uuid, chosen)))
    if not addresses and not ids:
        return Named({}, {}, models)
    members = select(User.email_key, PartnerMember.user_id, PartnerMember.role).join(
        User, User.id == PartnerMember.user_id).where(
        or_(User.email_key == _any(list(addresses), Text()), User.id == _any(ids, Uuid())))  # fmt: skip
    rows = (await db.execute(members)).all()
    return Named(
        {key: str(user_id) for key, user_id, _ in rows},
        {str(user_id): role.value for _, user_id, role in rows},
        models,
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _names(db: AsyncSession, changes: Iterable[Change]) -> dict[str, UUID]:
    """Whose the names are that the rows want."""
    wanted = sorted({c.name_key for c in changes if c.known is None or c.name_key != c.known.name_key})
    if not wanted:
        return {}
    keys = _keys(wanted, Text())
    found = select(Account.name_key, Account.id).where(Account.name_key == keys.c.key, NOT_ARCHIVED)
    return {key: account_id for key, account_id in await _each(db, keys, found)}


async def _holders(db: AsyncSession, changes: Iterable[Change]) -> dict[tuple[UUID, bytes], UUID]:
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


async def _note(db: AsyncSession, row: AccountImport, drafts: Sequence[Draft], good: Sequence[Change],
                faults: Sequence[RowFault]) -> None:  # fmt: skip
    """Count, keep what went wrong, and advance."""
    running = row.status == ImportStatus.RUNNING
    counts = dict((row.result if running else row.planned) or dict.fromkeys(imports.COUNTS, 0))
    counts["created"] += sum(c.new for c in good)
    counts["updated"] += sum(bool(c.changes) for c in good)
    counts["unchanged"] += sum(not c.new and not c.changes for c in good)
    counts["errors"] += len({f.row for f in faults})
    if running:
        row.result = counts
        if row.errors_kept:  # what the dry run said of these rows
            told = (ImportFault.row > row.row, ImportFault.row <= drafts[-1].row)
            gone = await db.execute(delete(ImportFault).where(ImportFault.import_id == row.id, *told))
            row.errors_kept -= gone.rowcount  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    else:
        row.planned = counts
    order = {heading["header"]: n for n, heading in enumerate(row.columns)}
    inorder = sorted(faults, key=lambda fault: (fault.row, order.get(fault.column, len(order))))
    kept = _numbered(row, inorder[: MAX_KEPT - row.errors_kept])
    row.errors_kept += await bulks.insert(db, ImportFault, kept)
    row.row, row.rows_done = drafts[-1].row, row.rows_done + len(drafts)
    await db.flush()


def _numbered(row: AccountImport, faults: Iterable[RowFault]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    number, last = 0, 0
    for fault in faults:
        number = number + 1 if fault.row == last else 1
        last = fault.row
        found.append({
            "partner_id": row.partner_id, "import_id": row.id, "row": fault.row, "number": number,
            "column": fault.column and fault.column[:200], "code": fault.code[:80],
            "en": fault.said.en[:500], "de": fault.said.de[:500],
        })  # fmt: skip
    return found
