"""Whether the service can do its work."""

from collections.abc import Mapping, Set
from datetime import timedelta
from typing import Final

from sqlalchemy import String, column, func, select, table
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import WorkerBeat, utc_now
from app.problems import Fault, Text

WORKER_SILENCE = timedelta(seconds=60)
NO_DATABASE: Final = {"database": False}  # of the rest nothing is known then
WHY: Final = {
    "database": Text("The database does not answer.", "Die Datenbank antwortet nicht."),
    "migrations": Text("The database waits for `tenantry migrate`.", "Die Datenbank wartet auf `tenantry migrate`."),
    "worker": Text("No worker gave a sign of life.", "Kein Worker gab ein Lebenszeichen."),
}


async def checks(db: AsyncSession, *, outdated: Set[str | None]) -> dict[str, bool]:
    """Database, migrations (at none of the `outdated` revisions), worker: true where all is well."""
    version = await db.scalar(select(column("version_num", String)).select_from(table("alembic_version")))
    seen = await db.scalar(select(func.max(WorkerBeat.seen_at)))
    alive = seen is not None and utc_now() - seen < WORKER_SILENCE
    return {"database": True, "migrations": version not in outdated, "worker": alive}


def faults(checks: Mapping[str, bool]) -> list[Fault]:
    """The checks that failed, each with its reason."""
    return [Fault("", name, WHY[name]) for name, passed in checks.items() if not passed]


async def outbox(db: AsyncSession) -> tuple[int, float]:
    """How many deliveries are not done, and for how many seconds the oldest has been due."""
    found = func.outbox_state().table_valued("depth", "oldest")
    depth, oldest = (await db.execute(select(found))).one()
    return depth, max(0.0, (utc_now() - oldest).total_seconds()) if oldest else 0.0
