"""An import's steps in the database: which is whose, one batch of rows, its end. Each is one transaction's work."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    delete,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import (
    AccountImport,
    ApiClient,
    ImportChunk,
    ImportFault,
    ImportStatus,
    Partner,
    PartnerMember,
    User,
    UserStatus,
    utc_now,
)
from app.models.partner import PartnerStatus
from app.policy import Access, Actor, Caller, Permission, Role, allowing
from app.problems import Text as Said
from app.services import (
    api_clients,
    api_credentials,
    bulks,
    events,
    import_writes,
    imports,
)
from app.services.import_changes import Change
from app.services.import_intents import Intent
from app.services.import_plans import Plan, shown
from app.services.import_rows import Draft, RowFault

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
    roles = {role} if role else set[Role]()
    if operator and row.client_id is None:
        roles |= {Role.OPERATOR}
    elif operator and not roles:  # see `Standing.partner_roles`
        roles = {Role.PARTNER_ADMIN}
    awake = roles if enabled and status == PartnerStatus.ACTIVE else roles & {Role.OPERATOR}
    granted = allowing(awake, Permission.ACCOUNT_IMPORT)
    if not granted:
        if allowing(roles, Permission.ACCOUNT_IMPORT):
            raise Stopped(*(OFF if status == PartnerStatus.ACTIVE else SUSPENDED))
        raise Stopped("not_allowed", NOT_ALLOWED)
    actor = Actor.USER if row.client_id is None else Actor.API_CLIENT
    caller = Caller(user_id, UUID(int=0), bool(operator), row.request_id, row.address, actor, row.client_id)
    return Access(caller, row.partner_id, granted, scopes=await _scopes(db, row, user_id))


async def _scopes(db: AsyncSession, row: AccountImport, user_id: UUID) -> frozenset[str] | None:
    """What an API client may at this moment, and might by the token with which it set the import going; null: it was a
    person.

    Raises:
        Stopped: it may not do it (any more).
    """
    if row.client_id is None:
        return None
    client = await db.scalar(select(ApiClient).where(ApiClient.id == row.client_id))
    if client is None or not api_clients.may_act(client, user_id) or Permission.ACCOUNT_IMPORT not in client.scopes:
        raise Stopped("not_allowed", NOT_ALLOWED)
    if row.credential_id and await api_credentials.is_ended(db, row.credential_id):
        raise Stopped("not_allowed", NOT_ALLOWED)
    now = frozenset(client.scopes)
    return now if row.client_scopes is None else now & set(row.client_scopes)


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


async def do(db: AsyncSession, row: AccountImport, intent: Intent, drafts: Sequence[Draft]) -> None:
    """Do some rows, or note what they would do; the position advances with it.

    Raises:
        Raced: somebody else took a name or a value between our look and our write; all of it must be done again.
    """
    if row.status == ImportStatus.RUNNING:
        await import_writes.write(db, intent.access, intent.plan, intent.good, intent.made)
    await _note(db, row, drafts, intent.good, intent.faults)


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
    kept = _numbered(inorder[: MAX_KEPT - row.errors_kept])
    row.errors_kept += await bulks.insert(db, ImportFault, {"partner_id": row.partner_id, "import_id": row.id}, kept)
    row.row, row.rows_done = drafts[-1].row, row.rows_done + len(drafts)
    await db.flush()


def _numbered(faults: Iterable[RowFault]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    number, last = 0, 0
    for fault in faults:
        number = number + 1 if fault.row == last else 1
        last = fault.row
        found.append({
            "row": fault.row, "number": number,
            "column": fault.column and fault.column[:200], "code": fault.code[:80],
            "en": fault.said.en[:500], "de": fault.said.de[:500],
        })  # fmt: skip
    return found
