from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from app.schemas.base import In

MAX_VALUE = 500


def _short(value: str | bool | float | list[str]) -> str | bool | float | list[str]:
    if any(
        len(text) > MAX_VALUE
        for text in ([value] if isinstance(value, str) else value if isinstance(value, list) else [])
    ):
        raise PydanticCustomError("string_too_long", "too long", {"max_length": MAX_VALUE})
    return value


Scalar = Annotated[
    str | bool | float | list[str],
    AfterValidator(_short),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "maxLength": MAX_VALUE},
                {"type": "boolean"},
                {"type": "number"},
                {"type": "array", "maxItems": 200, "items": {"type": "string", "maxLength": MAX_VALUE}},
            ]
        }
    ),
    Field(
        description="What to compare with, as the field's type has it; for `in` a list, for `is_null` true or false; "
        "for money the amount.",
        examples=["2027-01-01"],
    ),
]


class _Comparison(In):
    field: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9_.]+$",
            max_length=60,
            description="As in `filter`: `name`, `status`, `price_model`, `properties.contract_end` …",
            examples=["properties.contract_end"],
        ),
    ]
    operator: Annotated[
        str,
        Field(
            pattern=r"^[a-z_]+$",
            max_length=20,
            description="`eq`, `ne`, `lt`, `lte`, `gt`, `gte`, `in`, `contains`, `starts_with`, `is_null`: those that "
            "make sense for the field.",
            examples=["lt"],
        ),
    ]


class SearchCondition(_Comparison):
    """One comparison."""

    value: Scalar


class ShownCondition(_Comparison):
    """One comparison of a saved view, as the caller may see it."""

    value: Annotated[
        Scalar | None,
        Field(
            description="As it was saved; null where the column is hidden from you, for "
            "viewers also where it is deleted."
        ),
    ]


SavedView = Annotated[
    UUID | None,
    Field(
        description="Id of a saved view: its conditions hold besides those given here; its columns, sort and `q` do "
        "unless others are given."
    ),
]


class AccountSearch(In):
    """A query of the accounts table: what `filter`, `sort` and `q` say, typed, and with alternatives."""

    all: Annotated[
        list[SearchCondition], Field(default_factory=list, max_length=20, description="All of these must hold.")
    ]
    any: Annotated[
        list[SearchCondition],
        Field(default_factory=list, max_length=20, description="If there are some, at least one must hold."),
    ]
    q: Annotated[str | None, Field(max_length=100, description="Search in names and texts.", examples=["nordwerk"])] = (
        None
    )
    sort: Annotated[
        str | None,
        Field(
            max_length=200,
            pattern=r"^[a-z0-9_.,-]+$",
            description="As in the query parameter `sort`.",
            examples=["-properties.revenue,name"],
        ),
    ] = None
    columns: Annotated[
        list[Annotated[str, Field(max_length=60)]] | None,
        Field(max_length=100, description="Which property columns to return; unless given, all.", examples=[["tags"]]),
    ] = None
    view: SavedView = None
    limit: Annotated[int, Field(ge=1, le=200, strict=True)] = 50
    cursor: Annotated[
        str | None,
        Field(max_length=8192, description="`next_cursor` of the page before.", examples=["eyJhIjpbXX0.c2ln"]),
    ] = None
    count: Annotated[bool, Field(strict=True, description="Also count all rows, as `total`.")] = False
