"""The two walls between tenants: a session sees the rows of the one partner that it is confined to."""

from typing import Final, cast
from uuid import UUID

from sqlalchemy import ClauseElement, Table, event, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction, with_loader_criteria
from sqlalchemy.sql import visitors

from app.models import Base, Partner, Tenanted

EVERYONE: Final = "everyone"
TENANTED = {cast(Table, m.local_table) for m in Base.registry.mappers if issubclass(m.class_, (Tenanted, Partner))}


async def confine(session: AsyncSession, tenant: UUID | str) -> None:
    """Confine all further statements of this session to one partner's rows, in code and in the database.

    Flushes first, so that what was added before still belongs where it was added. `EVERYONE` lifts the wall
    in code; in the database it opens nothing but reading `partners`.
    """
    before = session.sync_session.info.get("tenant")
    if before == tenant and session.in_transaction():
        return
    if before is not None:
        await session.flush()
    connection = await session.connection()
    if EVERYONE in (before, tenant):
        await connection.exec_driver_sql(f"SET LOCAL app.operator = '{'on' if tenant == EVERYONE else ''}'")
    partner = "" if tenant == EVERYONE else str(UUID(str(tenant)))  # nothing but hexadecimal digits and dashes
    await connection.exec_driver_sql(f"SET LOCAL app.partner_id = '{partner}'")
    session.sync_session.info["tenant"] = tenant


@event.listens_for(Session, "after_transaction_end")
def _forget(session: Session, transaction: object) -> None:
    """SET LOCAL ends with the transaction, and so does the wall in code: both fail closed."""
    if getattr(transaction, "parent", None) is None:
        session.info.pop("tenant", None)


@event.listens_for(Session, "do_orm_execute")
def _confine_queries(state: ORMExecuteState) -> None:
    """Fail closed: a statement that cannot be confined raises; it never leaks."""
    parts = list(visitors.iterate(cast(ClauseElement, state.statement)))
    touched = TENANTED & {cast(Table, e) for e in parts if isinstance(e, Table)}
    tenant = state.session.info.get("tenant")
    if not touched or tenant == EVERYONE:
        return
    if tenant is None:
        raise RuntimeError(f"query on {touched} before confine()")
    entities = {e._annotations["parententity"] for e in parts if "parententity" in e._annotations}
    if state.is_insert or not touched <= {inspect(e).mapper.local_table for e in entities}:
        raise RuntimeError(f"query on {touched} cannot be confined: use the mapped class")
    state.statement = state.statement.options(
        with_loader_criteria(Tenanted, lambda cls: cls.partner_id == tenant, include_aliases=True),
        with_loader_criteria(Partner, lambda cls: cls.id == tenant, include_aliases=True),
    )


@event.listens_for(Session, "before_flush")
def _confine_writes(session: Session, _context: UOWTransaction, _instances: object) -> None:
    tenant = session.info.get("tenant")
    for row in [*session.new, *(r for r in session.dirty if session.is_modified(r)), *session.deleted]:
        if not isinstance(row, (Tenanted, Partner)):
            continue
        owner = row.partner_id if isinstance(row, Tenanted) else row.id
        if owner != tenant:
            raise RuntimeError(f"{type(row).__name__} of another tenant in this session")
