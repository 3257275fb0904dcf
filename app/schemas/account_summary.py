"""Summaries of the accounts table: one model a kind of column, told apart by `kind`."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from app.schemas.account_search import SavedView, SearchCondition
from app.schemas.base import In, Instant, Out

COUNT = Field(ge=0, le=100_000_000)
Count = Annotated[int, COUNT]


class AccountSummaryQuery(In):
    """What to sum up: the accounts that an account search with the same conditions finds."""

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
    view: SavedView = None
    columns: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z0-9_.]+$", max_length=60)]] | None,
        Field(
            max_length=30,
            description="Which columns to sum up; unless given, those of the view, or all: of these, the first 30.",
            examples=[["properties.revenue", "status"]],
        ),
    ] = None


class _Summary(Out):
    column: Annotated[
        str, Field(max_length=60, description="Full name of the column.", examples=["properties.revenue"])
    ]
    filled: Annotated[int, COUNT, Field(description="Accounts that have a value.")]


class TextSummary(_Summary):
    """Of texts, web addresses, e-mail addresses and telephone numbers."""

    kind: Literal["text"]
    distinct: Annotated[
        Annotated[int, COUNT] | None,
        Field(description="How many different values; null when the column is not filterable: its texts may be long."),
    ]


class NumberSummary(_Summary):
    """Of numbers. Null when no account has one."""

    kind: Literal["number"]
    min: Annotated[float | None, Field(description="Smallest value.", examples=[9])]
    max: Annotated[float | None, Field(description="Largest value.", examples=[100])]
    sum: Annotated[
        str | None,
        Field(
            max_length=64,
            pattern=r"^-?[0-9]+(\.[0-9]+)?$",
            description="Exact, as a string: it may have more digits than a JSON number holds.",
            examples=["119.5"],
        ),
    ]
    average: Annotated[
        float | None, Field(description="Sum by filled, to the nearest JSON number.", examples=[39.833333333333336])
    ]


class SummedMoney(Out):
    """An exact amount of money."""

    amount: Annotated[
        str,
        Field(max_length=40, pattern=r"^-?[0-9]+(\.[0-9]{1,4})?$", description="Decimal number.", examples=["99.90"]),
    ]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$", max_length=3, description="ISO 4217.", examples=["EUR"])]


class MoneySummary(_Summary):
    """Of amounts of money, exact. Null when no account has one."""

    kind: Literal["money"]
    min: Annotated[SummedMoney | None, Field(description="Smallest amount.")]
    max: Annotated[SummedMoney | None, Field(description="Largest amount.")]
    sum: Annotated[SummedMoney | None, Field(description="All amounts together.")]


class BooleanSummary(_Summary):
    """Of yes-or-no columns."""

    kind: Literal["boolean"]
    true_count: Annotated[int, COUNT, Field(description="Accounts that have true.")]
    false_count: Annotated[int, COUNT, Field(description="Accounts that have false.")]


class DateSummary(_Summary):
    """Of days. Null when no account has one."""

    kind: Literal["date"]
    min: Annotated[date | None, Field(description="First day.", examples=["2026-12-31"])]
    max: Annotated[date | None, Field(description="Last day.", examples=["2027-06-30"])]


class DatetimeSummary(_Summary):
    """Of moments. Null when no account has one."""

    kind: Literal["datetime"]
    min: Annotated[Instant | None, Field(description="First moment.")]
    max: Annotated[Instant | None, Field(description="Last moment.")]


class OptionCount(Out):
    """How often one option occurs."""

    value: Annotated[str, Field(max_length=400, description="Key of the option, or id of the user.", examples=["vip"])]
    count: Annotated[int, COUNT, Field(description="Accounts that have it.")]


class OptionsSummary(_Summary):
    """Of `status`, and of columns of options or users."""

    kind: Literal["options"]
    options: Annotated[
        list[OptionCount], Field(max_length=20, description="The most frequent ones, first the most frequent.")
    ]
    others: Annotated[
        int,
        Field(ge=0, le=2_000_000_000, description="How often all further options occur together."),
    ]


ColumnSummary = Annotated[
    TextSummary | NumberSummary | MoneySummary | BooleanSummary | DateSummary | DatetimeSummary | OptionsSummary,
    Field(discriminator="kind"),
]


class AccountSummaries(Out):
    """What the accounts table holds under some conditions, column by column, all at one moment."""

    count: Annotated[int, COUNT, Field(description="Accounts for which the conditions hold.")]
    columns: Annotated[
        list[ColumnSummary],
        Field(max_length=30, description="In the order asked for. Columns that you may not see are left out."),
    ]
