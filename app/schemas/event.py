from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import Field

from app.policy import Actor
from app.schemas.base import Instant, Out

MOST: Final = 2**53 - 1
"""JavaScript counts exactly so far."""
Position = Annotated[int, Field(ge=0, le=MOST, examples=[4711], json_schema_extra={"format": "int64"})]
Type = Annotated[str, Field(max_length=60, description="What happened: `noun.past`.", examples=["account.updated"])]
Side = Annotated[
    dict[str, Any] | None,
    Field(max_length=200, description="The fields that changed, by name; all of them for a new or a deleted thing. "
          "Null: there was nothing, or it was erased.", examples=[{"name": "Nordwerk GmbH"}]),
]  # fmt: skip
SubjectType = Annotated[
    str, Field(max_length=40, description="The kind of thing it happened to.", examples=["account"])
]
SubjectId = Annotated[UUID, Field(description="Id of the thing it happened to.")]
OfAccount = Annotated[UUID | None, Field(description="The account it belongs to; null: the partner's own.")]
By = Annotated[Actor, Field(description="In what capacity it was done.")]
ById = Annotated[UUID | None, Field(description="Who did it; null: the service itself.")]


class EventData(Out):
    """What changed, from what to what. Values of sensitive properties are null here."""

    before: Side
    after: Side


class EventRead(Out):
    """Something that happened in a partner."""

    id: UUID
    position: Annotated[Position, Field(description="Its place in the partner's events, from 1 on without gaps.")]
    type: Type
    subject_type: SubjectType
    subject_id: SubjectId
    account_id: OfAccount
    actor: By
    actor_id: ById
    occurred_at: Instant
    data: EventData


class EventFeed(Out):
    """A stretch of a partner's events, the oldest first."""

    items: Annotated[list[EventRead], Field(max_length=200)]
    cursor: Annotated[
        Position,
        Field(description="Pass it as `after` next time, also when `items` is empty: filters were looked through up to "
              "here."),
    ]  # fmt: skip
    more: Annotated[bool, Field(description="There is more to look through at once; `items` may be empty even so.")]
    latest: Annotated[Position, Field(description="Position of the newest event, whatever the filters.")]
