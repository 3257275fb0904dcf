"""Events, as programs get them: a union of one model a noun, told apart by `type`, made of the table of types."""

from typing import Annotated, Any, Final, Literal, Union
from uuid import UUID

from pydantic import ConfigDict, Field, RootModel, create_model

from app.event_types import FEED
from app.policy import Actor
from app.schemas.base import Instant, Out
from app.schemas.event_facts import FACTS

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


class _Event(Out):
    id: UUID
    position: Annotated[Position, Field(description="Its place in the partner's events, from 1 on without gaps.")]
    subject_id: SubjectId
    account_id: OfAccount
    actor: By
    actor_id: ById
    occurred_at: Instant


def _camel(noun: str) -> str:
    return "".join(word.title() for word in noun.split("_"))


def _member(noun: str) -> type[_Event]:
    """The events of one noun: `type` tells them apart, and `data` is the same for all."""
    types = {name: kind for name, kind in FEED.items() if kind.noun == noun}
    type_: Any = Literal[tuple(types)]  # pyright: ignore[reportInvalidTypeForm] - made when the module is
    subject: Any = Literal[next(iter(types.values())).subject]  # pyright: ignore[reportInvalidTypeForm]
    side: Any = FACTS[noun] | None
    said = "Null: there was nothing, or it was erased."
    data: Any = create_model(
        f"{_camel(noun)}Change", __base__=Out, __doc__="From what to what: sensitive values are null.",
        before=(side, Field(description=f"The fields that changed, as they were; all of what is gone. {said}")),
        after=(side, Field(description=f"The fields that changed, as they are; all of what is new. {said}")),
    )  # fmt: skip
    listed = " ".join(f"`{name}`: {kind.description}" for name, kind in types.items())
    return create_model(
        f"{_camel(noun)}Event", __base__=_Event, __doc__=" ".join(kind.description for kind in types.values()),
        type=(type_, Field(description=listed, json_schema_extra={"x-extensible": True})),
        subject_type=(subject, Field(description="The kind of thing it happened to.")),
        data=(data, Field(description="What changed.")),
    )  # fmt: skip


MEMBERS: Final = {noun: _member(noun) for noun in FACTS}


_Any: Any = Union[tuple(MEMBERS.values())]  # noqa: UP007 - how many they are, the table says


class EventRead(RootModel[Annotated[_Any, Field(discriminator="type")]]):
    """Something that happened in a partner; `type` says what, and so what `data` holds. More types come in time, and
    more fields: pass over those that you do not know."""

    model_config = ConfigDict(json_schema_extra={"x-extensible": True})


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
