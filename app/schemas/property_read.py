"""Property definitions as they are shown: one model a type, told apart by `type`."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.schemas.base import In, Instant, Out
from app.schemas.property import (
    BooleanInputs,
    DateInputs,
    DatetimeInputs,
    Editors,
    Flag,
    HelpText,
    Key,
    Label,
    MoneyInputs,
    NumberInputs,
    OptionInputs,
    TextInputs,
    UserInputs,
)


class _Read(Out):
    id: UUID
    key: Key
    label: Label
    help: HelpText
    required: Flag
    unique: Flag
    filterable: Flag
    ready: Annotated[
        Flag, Field(description="Whether filters may use it yet: making a column filterable takes a moment.")
    ]
    sensitive: Flag
    editable_by: Editors
    default: Annotated[Any, Field(description="Value of a new account for which none is given; null: none.")]
    position: Annotated[int, Field(ge=1, le=1_000_000, description="From the left; there may be gaps.")]
    archived_at: Instant | None
    created_at: Instant
    updated_at: Instant


class TextPropertyRead(_Read, TextInputs):
    """A text column."""

    type: Literal["text"]


class NumberPropertyRead(_Read, NumberInputs):
    """A number column."""

    type: Literal["number"]


class MoneyPropertyRead(_Read, MoneyInputs):
    """A column of amounts of one currency."""

    type: Literal["money"]


class BooleanPropertyRead(_Read, BooleanInputs):
    """A yes-or-no column."""

    type: Literal["boolean"]


class DatePropertyRead(_Read, DateInputs):
    """A column of days."""

    type: Literal["date"]


class DatetimePropertyRead(_Read, DatetimeInputs):
    """A column of moments."""

    type: Literal["datetime"]


class SelectPropertyRead(_Read, OptionInputs):
    """A column with one of several options."""

    type: Literal["select"]


class MultiSelectPropertyRead(_Read, OptionInputs):
    """A column with any of several options."""

    type: Literal["multi_select"]


class UrlPropertyRead(_Read):
    """A column of web addresses."""

    type: Literal["url"]


class EmailPropertyRead(_Read):
    """A column of e-mail addresses."""

    type: Literal["email"]


class PhonePropertyRead(_Read):
    """A column of telephone numbers."""

    type: Literal["phone"]


class UserPropertyRead(_Read, UserInputs):
    """A column of partner members."""

    type: Literal["user"]


PropertyRead = Annotated[
    TextPropertyRead
    | NumberPropertyRead
    | MoneyPropertyRead
    | BooleanPropertyRead
    | DatePropertyRead
    | DatetimePropertyRead
    | SelectPropertyRead
    | MultiSelectPropertyRead
    | UrlPropertyRead
    | EmailPropertyRead
    | PhonePropertyRead
    | UserPropertyRead,
    Field(discriminator="type"),
]


class PropertyDeleted(Out):
    """What was deleted."""

    key: Key
    values: Annotated[int, Field(ge=0, le=100_000_000, description="Accounts that had a value.")]


class PropertyUsage(Out):
    """How much a property is used."""

    accounts: Annotated[int, Field(ge=0, le=100_000_000, description="All accounts, archived ones included.")]
    filled: Annotated[
        int, Field(ge=0, le=100_000_000, description="Those that have a value: what goes with a deletion.")
    ]


def _once(keys: list[str]) -> list[str]:
    if len(set(keys)) < len(keys):
        raise PydanticCustomError("duplicate_key", "every key once")
    return keys


class PropertyOrder(In):
    """The columns from left to right; those that are not named follow as they were."""

    keys: Annotated[
        list[Key],
        Field(min_length=1, max_length=100, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_once),
    ]


class PropertyList(Out):
    """All definitions of a partner."""

    items: Annotated[list[PropertyRead], Field(max_length=100, description="In the order of the columns.")]
