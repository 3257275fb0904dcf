from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from app.policy import Actor
from app.schemas.base import Instant, Out
from app.schemas.property import Key


class ValueChangeRead(Out):
    """One value that changed."""

    key: Key
    before: Annotated[Any, Field(description="Null: there was none.", examples=["2026-12-31"])]
    after: Annotated[Any, Field(description="Null: it was removed.", examples=["2027-01-31"])]
    masked: Annotated[bool, Field(description="The property is sensitive, and its values are not shown to you.")]


class PropertyHistoryRead(Out):
    """One change of an account's values."""

    id: UUID
    at: Instant
    actor: Annotated[Actor, Field(description="In what capacity it was done.")]
    actor_id: Annotated[UUID | None, Field(description="The user; null: the service itself.")]
    changes: Annotated[list[ValueChangeRead], Field(max_length=100)]
