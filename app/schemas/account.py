from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.models.account import AccountStatus
from app.policy import Role
from app.schemas.base import In, Instant, Name, Out, ShownName, TimeZone
from app.schemas.price_model import PriceModelKey

AccountName = Annotated[
    Name, Field(description="Unique among the partner's accounts that are not archived.", examples=["Nordwerk GmbH"])
]


PROPERTIES = {"contract_end": "2027-01-31", "tags": ["vip"], "revenue": 12500.5}
Values = Annotated[
    dict[str, Any],
    Field(
        max_length=100,
        description="Property values by key, each as its definition's type has it: text, url, email, phone, select, "
        'user: string; number; boolean; date `2027-01-31`; datetime (RFC 3339); money `{"amount": "12.50", '
        '"currency": "EUR"}`; multi_select: list of option keys. Null is no value.',
        examples=[PROPERTIES],
    ),
]


GivenPriceModel = Annotated[
    PriceModelKey | None,
    Field(description="Key of a price model that is not archived; null: none. Set by those who have the permission "
          "`account_price_model:set`; others get 403 with the pointer `/price_model`."),
]  # fmt: skip


AccountZone = Annotated[
    TimeZone | None,
    Field(
        description="IANA time zone whose calendar its periods follow; null: its partner's. What was bought before it "
        "changes keeps its moments.",
        examples=["Europe/Berlin"],
    ),
]


class AccountCreate(In):
    """A new child account; its creator becomes its admin."""

    name: AccountName
    price_model: GivenPriceModel = None
    time_zone: AccountZone = None
    properties: Annotated[Values, Field(default_factory=dict)]


class AccountUpdate(In):
    """JSON merge patch: a field left out stays as it is."""

    name: Annotated[AccountName, Field(default=None, validate_default=False)]
    status: Annotated[
        Literal["active", "suspended"],
        Field(
            default=None,
            validate_default=False,
            description="In a suspended account nothing can be used; it can be read.",
        ),
    ]
    price_model: GivenPriceModel = None
    time_zone: AccountZone = None
    properties: Annotated[
        Values,
        Field(default=None, validate_default=False, description="Merge patch: a value left out stays, null clears it."),
    ]


class AccountRead(Out):
    """One customer of a partner."""

    id: UUID
    partner_id: UUID
    name: ShownName
    status: AccountStatus
    price_model: Annotated[PriceModelKey | None, Field(description="Key of the price model that it is in, if any.")]
    time_zone: AccountZone
    member_count: Annotated[int, Field(ge=0, le=100_000_000, description="How many members it has.", examples=[3])]
    properties: Annotated[Values, Field(description="Every column that is not archived; null when empty or masked.")]
    masked_properties: Annotated[
        list[Annotated[str, Field(max_length=60, examples=["revenue"])]],
        Field(max_length=100, description="Columns that have a value which you may not see."),
    ]
    created_at: Instant
    updated_at: Instant


class AccountToken(Out):
    """An access token that is good for one account alone."""

    access_token: Annotated[
        str,
        Field(
            max_length=4096,
            description="JWT (RFC 9068) with `partner_id`, `account_id` and `role`; other services verify it with "
            "the keys at /.well-known/jwks.json and the audience `<public URL>/accounts`.",
            examples=["eyJhbGciOiJFUzI1NiJ9.e30.c2ln"],
        ),
    ]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(ge=1, le=3600, description="Seconds.", examples=[900])]
    partner_id: UUID
    account_id: UUID
    role: Role
