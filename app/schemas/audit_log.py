from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.schemas.base import Instant, Out
from app.schemas.event import By, ById, OfAccount, Position, Side, SubjectId, SubjectType, Type


class AuditLogEntry(Out):
    """Who did what, to which thing, from where."""

    id: UUID
    position: Annotated[Position | None, Field(description="Its place in the chain; null for a moment after it.")]
    hash: Annotated[
        str | None,
        Field(max_length=64, pattern="^[0-9a-f]{64}$", examples=["9f" * 32],
              description="SHA-256 over the entry and all before it: who keeps it notices what is changed later."),
    ]  # fmt: skip
    type: Type
    subject_type: SubjectType
    subject_id: SubjectId
    account_id: OfAccount
    actor: By
    actor_id: ById
    on_behalf_of: Annotated[UUID | None, Field(description="For whom the actor did it; null: for nobody else.")]
    occurred_at: Instant
    before: Side
    after: Side
    address: Annotated[
        str | None,
        Field(max_length=64, description="IP address it came from; null: none, or erased.", examples=["192.0.2.7"]),
    ]
    request_id: Annotated[
        str | None,
        Field(max_length=64, description="Id of the request, as in `X-Request-ID`.", examples=["0198c5b27a1e"]),
    ]
