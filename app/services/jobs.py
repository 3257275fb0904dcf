"""Jobs: what a worker does for a partner over minutes, of whatever kind, as one list."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import case, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import AccountImport, ImportStatus
from app.models.job import JobKind, JobStatus
from app.services import lists, walks

STATUS: Final = {
    ImportStatus.CHECKING: JobStatus.RUNNING,
    ImportStatus.CHECKED: JobStatus.WAITING,
    ImportStatus.RUNNING: JobStatus.RUNNING,
    ImportStatus.DONE: JobStatus.DONE,
    ImportStatus.FAILED: JobStatus.FAILED,
    ImportStatus.CANCELLED: JobStatus.CANCELLED,
}
TABLE: Final = lists.Table(
    AccountImport,
    {
        "kind": lists.Column(literal(JobKind.ACCOUNT_IMPORT.value), lists.EQUALITY, lists.one_of(JobKind)),
        "status": lists.Column(
            case(*((AccountImport.status == own, shared.value) for own, shared in STATUS.items())),
            lists.EQUALITY,
            lists.one_of(JobStatus),
        ),
        "created_by": lists.Column(AccountImport.created_by, ("eq", "in"), lists.id_of),
        "created_at": lists.Column(AccountImport.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="-created_at",
)


async def listed(db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    return await walks.fetch(db, select(AccountImport), TABLE, query, limit=limit, after=after, count=count)


def shown(partner_id: UUID, row: AccountImport) -> dict[str, Any]:
    """An import as a job."""
    return {
        "id": row.id, "kind": JobKind.ACCOUNT_IMPORT, "status": STATUS[row.status], "title": row.file_name,
        "url": f"/v1/partners/{partner_id}/account-imports/{row.id}",
        "done": row.rows_done, "total": row.rows_total, "created_by": row.created_by, "client_id": row.client_id,
        "created_at": row.created_at, "updated_at": row.updated_at, "finished_at": row.finished_at,
    }  # fmt: skip
