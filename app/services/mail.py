"""What is to be mailed: rows of the outbox, written in the transaction that causes them."""

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Delivery


def enqueue(
    db: AsyncSession, partner_id: UUID, template: str, *, subject_id: UUID | None = None, **values: Any
) -> None:
    """Have the worker send a mail, at least once, after this transaction. `values` must hold no secret."""
    db.add(Delivery(partner_id=partner_id, template=template, subject_id=subject_id, values=values))
