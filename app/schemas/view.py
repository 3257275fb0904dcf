from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.schemas.account_search import SearchCondition, ShownCondition
from app.schemas.base import In, Instant, Name, Out, ShownName


def _once(names: list[str] | None) -> list[str] | None:
    if names is not None and len(set(names)) < len(names):
        raise PydanticCustomError("duplicate_key", "every column once")
    return names


CONTRACTS = "Contracts ending soon"
ViewName = Annotated[
    Name,
    Field(description="Unique among your private views, or among the partner's shared ones.", examples=[CONTRACTS]),
]
Shared = Annotated[
    bool, Field(strict=True, description="Whether all people of the partner see it; else only its owner does.")
]
ColumnName = Annotated[str, Field(pattern=r"^[a-z0-9_.]+$", max_length=60, examples=["properties.contract_end"])]
ColumnNames = Annotated[
    list[ColumnName] | None,
    Field(
        max_length=120,
        description="Columns in the order of display: `name`, `status`, `properties.contract_end` …; null: all.",
        examples=[["name", "properties.contract_end"]],
    ),
]
WantedColumns = Annotated[ColumnNames, AfterValidator(_once)]
All = Annotated[list[SearchCondition], Field(max_length=20, description="All of these must hold.")]
Any_ = Annotated[list[SearchCondition], Field(max_length=20, description="If there are some, at least one must hold.")]
Words = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=100,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Search in names and texts.",
        examples=["nordwerk"],
    ),
]
Sort = Annotated[
    str | None,
    Field(
        max_length=200,
        pattern=r"^[a-z0-9_.,-]+$",
        description="As in the query parameter `sort`; null: by name.",
        examples=["properties.contract_end,name"],
    ),
]


class ViewCreate(In):
    """A question to the accounts table, to be kept under a name."""

    name: ViewName
    shared: Shared = False
    columns: WantedColumns = None
    all: Annotated[All, Field(default_factory=list[SearchCondition])]
    any: Annotated[Any_, Field(default_factory=list[SearchCondition])]
    q: Words = None
    sort: Sort = None


class ViewUpdate(In):
    """JSON merge patch: a field left out stays as it is. Lists are replaced as a whole."""

    name: Annotated[ViewName, Field(default=None, validate_default=False)]
    shared: Annotated[Shared, Field(default=None, validate_default=False)]
    columns: WantedColumns = None
    all: Annotated[All | None, Field(description="All of these must hold; null: no condition.")] = None
    any: Annotated[Any_ | None, Field(description="At least one of these must hold; null: no condition.")] = None
    q: Words = None
    sort: Sort = None


class ViewRead(Out):
    """A saved view of the accounts table."""

    id: UUID
    partner_id: UUID
    owner_id: Annotated[UUID, Field(description="Who made it; may have left the partner since.")]
    name: ShownName
    shared: Shared
    columns: ColumnNames
    all: Annotated[list[ShownCondition], Field(max_length=20, description="All of these must hold.")]
    any: Annotated[list[ShownCondition], Field(max_length=20, description="If there are some, at least one must hold.")]
    q: Words
    sort: Sort
    broken: Annotated[
        list[Annotated[str, Field(max_length=40)]],
        Field(
            max_length=200,
            description="Pointers to the parts that name a column which is gone, no longer filterable, or hidden from "
            "you. Such columns are left out of the table; such a condition or sort makes the view unusable (422).",
            examples=[["/all/0"]],
        ),
    ]
    created_at: Instant
    updated_at: Instant
