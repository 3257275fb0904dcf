from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from app import words
from app.policy import Actor
from app.schemas.base import In, Instant, Out
from app.schemas.feature import FeatureKey


def _printable(value: str) -> str:
    if not words.is_printable(value):
        raise PydanticCustomError("unprintable", "unprintable characters")
    return value


Resource = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="What the units are for, in your own words; it holds one claim of a feature at a time.",
        examples=["asset:4711"],
    ),
    AfterValidator(_printable),
]
Units = Annotated[int, Field(ge=1, le=1_000_000, strict=True, description="Units that it takes.", examples=[1])]
Reason = Annotated[
    str, Field(min_length=1, max_length=500, description="Why, for people.", examples=["Installed in hall 3"]),
    AfterValidator(_printable),
]  # fmt: skip
Reference = Annotated[
    str,
    Field(min_length=1, max_length=100, description="An order, ticket or job of yours.", examples=["WO-2207"]),
    AfterValidator(_printable),
]  # fmt: skip


class ClaimCreate(In):
    """Units of a feature that a resource is to take."""

    feature: FeatureKey
    resource: Resource
    units: Units = 1
    reason: Reason | None = None
    reference: Reference | None = None


class ClaimRelease(In):
    """A resource whose units are to be given back."""

    feature: FeatureKey
    resource: Resource
    reason: Reason | None = None
    reference: Reference | None = None


class ClaimBatch(In):
    """What is to be released, and what is then to be claimed: all of it, or nothing."""

    releases: Annotated[
        list[ClaimRelease],
        Field(
            default_factory=list[ClaimRelease],
            max_length=100,
            description="Done first: a moved resource gives its units back before they are claimed.",
        ),
    ]
    claims: Annotated[
        list[ClaimCreate], Field(default_factory=list[ClaimCreate], max_length=100, description="Made in this order.")
    ]

    @model_validator(mode="after")
    def _each_once(self) -> "ClaimBatch":
        for some in (self.releases, self.claims):
            if len({(one.feature, one.resource) for one in some}) < len(some):
                raise PydanticCustomError("duplicate_key", "every resource once")
        return self


class ClaimRead(Out):
    """Units of a feature that a resource takes, until they are released."""

    id: UUID
    partner_id: UUID
    account_id: UUID
    feature: FeatureKey
    resource: Annotated[str, Field(max_length=200, description="What the units are for.", examples=["asset:4711"])]
    units: Annotated[int, Field(ge=1, le=1_000_000, examples=[1])]
    over_limit: Annotated[
        bool,
        Field(description="Whether it lies above the limit, wholly or in part: the newest claims do, when a limit "
              "shrank or may be overrun. It stays until it is released."),
    ]  # fmt: skip
    actor: Annotated[Actor, Field(description="In what capacity it was made.")]
    actor_id: Annotated[
        UUID | None,
        Field(description="Who made it: a user, who may have left the account since; or, if `actor` is `api_client`, "
              "that client."),
    ]  # fmt: skip
    reason: Annotated[
        str | None, Field(max_length=500, description="Why it was made.", examples=["Installed in hall 3"])
    ]
    reference: Annotated[str | None, Field(max_length=100, description="Your number for it.", examples=["WO-2207"])]
    created_at: Instant
    released_at: Annotated[Instant | None, Field(description="Null while it is live.")]
    release_reason: Annotated[
        str | None, Field(max_length=500, description="Why it was released.", examples=["Machine sold"])
    ]
    release_reference: Annotated[
        str | None, Field(max_length=100, description="Your number for its release.", examples=["WO-2211"])
    ]


class ClaimBatchRead(Out):
    """The claims of a batch, in the order in which they were asked for."""

    claims: Annotated[list[ClaimRead], Field(max_length=100)]
