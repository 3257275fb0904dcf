"""Imports of accounts from files, as their users see them: uploaded, checked, confirmed, cancelled."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import AccountImport, ImportChunk, ImportFault, ImportStatus, utc_now
from app.policy import Access
from app.problems import ImportFinished, ImportHasErrors, ImportNotChecked, NotFound, TooManyImports
from app.services import events, lists, partners, walks

UNFINISHED: Final = (ImportStatus.CHECKING, ImportStatus.CHECKED, ImportStatus.RUNNING)
MAX_UNFINISHED: Final = 5
COUNTS: Final = ("created", "updated", "unchanged", "errors")
TABLE: Final = lists.Table(
    AccountImport,
    {
        "status": lists.Column(AccountImport.status, lists.EQUALITY, lists.one_of(ImportStatus)),
        "created_at": lists.Column(AccountImport.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="-created_at",
    search=AccountImport.file_search,
)


@dataclass(frozen=True)
class Faults:
    """A page of row errors and one more, if there is one; `total` when it was asked for."""

    rows: Sequence[ImportFault]
    total: int | None


async def create(db: AsyncSession, access: Access, *, file_name: str, file_bytes: int, options: Mapping[str, Any],
                 chunks: AsyncIterator[bytes]) -> AccountImport:  # fmt: skip
    """Take a file in; a worker checks it, and changes nothing before somebody confirms.

    Raises:
        TooManyImports: five of the partner's are unfinished.
    """
    await partners.get(db, access.partner_id, lock=True)
    await refuse_too_many(db)
    row = AccountImport(
        partner_id=access.partner_id, file_name=file_name, file_search=words.search_key(file_name),
        file_bytes=file_bytes, options=dict(options),
        created_by=access.user_id, client_id=access.caller.client_id, request_id=access.caller.request_id,
        address=access.caller.address, client_scopes=_scopes(access), credential_id=access.caller.credential_id,
    )  # fmt: skip
    db.add(row)
    await db.flush()
    number = 0
    async for data in chunks:
        chunk = ImportChunk(partner_id=access.partner_id, import_id=row.id, number=number, data=data)
        db.add(chunk)
        await db.flush()
        db.expunge(chunk)  # a piece at a time in memory
        number += 1
    said = {"file_name": file_name, "file_bytes": file_bytes, "options": row.options}
    events.record(db, access, "account_import.created", row, after=said | {"status": row.status})
    return row


async def refuse_too_many(db: AsyncSession) -> None:
    """Raises:
    TooManyImports: five of the partner's are unfinished.
    """
    unfinished = select(func.count()).select_from(AccountImport).where(AccountImport.status.in_(UNFINISHED))
    if (await db.scalar(unfinished) or 0) >= MAX_UNFINISHED:
        raise TooManyImports


async def listed(db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    return await walks.fetch(db, select(AccountImport), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, access: Access, import_id: UUID, *, lock: bool = False) -> AccountImport:
    """The import; with `lock`, no worker goes on with it until this transaction ends."""
    row = await db.get(
        AccountImport, (access.partner_id, import_id), with_for_update={"key_share": True} if lock else None
    )
    if row is None:
        raise NotFound
    return row


async def faults(db: AsyncSession, row: AccountImport, *, limit: int, after: list[Any] | None, count: bool) -> Faults:
    """The rows that are not taken, in the order of the file."""
    found = select(ImportFault).where(ImportFault.import_id == row.id)
    total = await db.scalar(select(func.count()).select_from(found.subquery())) if count else None
    if after is not None:
        found = found.where(tuple_(ImportFault.row, ImportFault.number) > tuple_(*after))
    rows = await db.scalars(found.order_by(ImportFault.row, ImportFault.number).limit(limit + 1))
    return Faults(rows.all(), total)


def _scopes(access: Access) -> list[str] | None:
    return None if access.scopes is None else sorted(access.scopes)


async def confirm(db: AsyncSession, access: Access, row: AccountImport, *, skip_errors: bool) -> AccountImport:
    """Let a worker do what the dry run said. Whoever confirms is the one who does it, and the admin of what is new.

    Raises:
        ImportNotChecked: it does not wait for this.
        ImportHasErrors: rows have errors, and nobody said to leave them out.
    """
    if row.status != ImportStatus.CHECKED:
        raise ImportNotChecked
    if (row.planned or {}).get("errors") and not skip_errors:
        raise ImportHasErrors
    row.confirmed_by, row.confirmed_at, row.skip_errors = access.user_id, utc_now(), skip_errors
    row.client_id, row.request_id, row.address = (
        access.caller.client_id, access.caller.request_id, access.caller.address
    )  # fmt: skip
    row.client_scopes, row.credential_id = _scopes(access), access.caller.credential_id
    row.row, row.rows_done, row.result = 0, 0, dict.fromkeys(COUNTS, 0)
    before, after = events.changed(row, {"status": ImportStatus.RUNNING})
    events.record(db, access, "account_import.confirmed", row, before=before,
                  after=after | {"skip_errors": skip_errors, "planned": row.planned})  # fmt: skip
    return await _saved(db, row)


async def cancel(db: AsyncSession, access: Access, row: AccountImport) -> AccountImport:
    """Stop an import; what it has done stays.

    Raises:
        ImportFinished: it has ended before.
    """
    if row.status not in UNFINISHED:
        raise ImportFinished
    before = await end(db, row, ImportStatus.CANCELLED)
    events.record(db, access, "account_import.cancelled", row, before=before, after=outcome(row))
    return await _saved(db, row)


async def end(db: AsyncSession, row: AccountImport, status: ImportStatus) -> dict[str, Any]:
    """The last state of an import: its file is gone. What it was before, for the event."""
    before, _ = events.changed(row, {"status": status})
    row.finished_at, row.leased_by, row.leased_until = utc_now(), None, None
    await db.execute(delete(ImportChunk).where(ImportChunk.import_id == row.id))
    return before


def outcome(row: AccountImport) -> dict[str, Any]:
    return {"status": row.status, "rows_done": row.rows_done, "result": row.result, "failure": row.failure}


async def _saved(db: AsyncSession, row: AccountImport) -> AccountImport:
    await db.flush()
    return row
