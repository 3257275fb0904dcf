from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.models.account_import import ImportStatus
from app.schemas.base import In, Instant, Out

Mode = Literal["upsert", "create", "update"]
Encoding = Literal["utf-8", "utf-8-sig", "cp1252"]
Separator = Literal["comma", "semicolon", "tab"]
Decimal = Literal["point", "comma"]
Dates = Literal["iso", "german", "us"]
Empty = Literal["clear", "keep"]

MODE = "`upsert` creates and updates, `create` and `update` do one of both and refuse the rows for the other."
MATCH = "By which column rows are matched to accounts: `id`, `name`, or the key of a unique property."
EMPTY = "What an empty cell of an existing account's row does: clear the value, or keep it."


class AccountImportCreate(In):
    """A file of accounts. What is not said about it is detected, and shown by the dry run."""

    file: Annotated[
        bytes,
        Field(description="CSV or XLSX with a header, at most 100,000 rows in 50 MiB."),
    ]
    mode: Annotated[Mode, Field(default="upsert", description=MODE)]
    match: Annotated[
        str,
        Field(
            default=None, validate_default=False, min_length=2, max_length=51, pattern=r"^[a-z][a-z0-9_.]*$",
            description=f"{MATCH} Unless given: `id` if there is such a column, else `name`.", examples=["name"],
        ),
    ]  # fmt: skip
    empty: Annotated[Empty, Field(default="clear", description=EMPTY)]
    ignore_unknown: Annotated[
        bool,
        Field(default=False, description="Pass over columns that are none of the table, instead of refusing them."),
    ]
    encoding: Annotated[Encoding, Field(default=None, validate_default=False, description="Of a CSV file.")]
    separator: Annotated[Separator, Field(default=None, validate_default=False, description="Of a CSV file.")]
    decimal: Annotated[
        Decimal, Field(default=None, validate_default=False, description="Decimal sign of numbers that are text.")
    ]
    dates: Annotated[
        Dates,
        Field(
            default=None,
            validate_default=False,
            description="How dates are written: 2026-12-31, 31.12.2026, 12/31/2026.",
        ),
    ]
    sheet: Annotated[
        str,
        Field(default=None, validate_default=False, min_length=1, max_length=31,
              description="A workbook's sheet; unless given, the first that is visible.", examples=["Customers"]),
    ]  # fmt: skip


class ImportLayout(Out):
    """How the file is read: as it was told, or as it looks."""

    format: Literal["csv", "xlsx"]
    encoding: Encoding | None
    separator: Separator | None
    decimal: Decimal
    dates: Dates
    sheet: Annotated[str, Field(max_length=200, description="The workbook's sheet.", examples=["Customers"])] | None


class ImportColumn(Out):
    """Which column of the accounts table a column of the file is."""

    header: Annotated[str, Field(max_length=200, examples=["Umsatz"])]
    field: Annotated[
        str | None, Field(max_length=60, description="Null: it is ignored.", examples=["properties.revenue"])
    ]


class ImportCounts(Out):
    """Rows by what becomes of them."""

    created: Annotated[int, Field(ge=0)]
    updated: Annotated[int, Field(ge=0)]
    unchanged: Annotated[int, Field(ge=0, description="Rows that say what the account has already.")]
    errors: Annotated[int, Field(ge=0, description="Rows that are not taken; `…/errors` says why.")]


class ImportFailure(Out):
    """Why the import ended before its last row."""

    code: Annotated[str, Field(max_length=80, pattern=r"^[a-z0-9_]+$", examples=["unknown_columns"])]
    detail: Annotated[str, Field(max_length=500, examples=["No column of the accounts table: “Umsatz”."])]


class AccountImportRead(Out):
    """An import of accounts: `checking` (the dry run), `checked` (waits to be confirmed), `running`, and its end."""

    id: UUID
    status: ImportStatus
    file_name: Annotated[str, Field(max_length=200, examples=["customers.csv"])]
    file_bytes: Annotated[int, Field(ge=0)]
    mode: Annotated[Mode, Field(description=MODE)]
    match: Annotated[str | None, Field(max_length=60, description=MATCH, examples=["name"])]
    empty: Annotated[Empty, Field(description=EMPTY)]
    layout: Annotated[ImportLayout | None, Field(description="Null until the file was looked at.")]
    columns: Annotated[list[ImportColumn], Field(max_length=200, description="In the order of the file.")]
    rows_done: Annotated[
        int, Field(ge=0, description="How many rows the dry run, or the import itself, has dealt with.")
    ]
    rows_total: Annotated[int | None, Field(ge=0, description="Null until the dry run has seen them all.")]
    planned: Annotated[ImportCounts | None, Field(description="What the dry run says would become of the rows.")]
    result: Annotated[ImportCounts | None, Field(description="What has become of the rows; null until confirmed.")]
    skip_errors: Annotated[bool, Field(description="Confirmed although rows have errors: those are left out.")]
    failure: Annotated[ImportFailure | None, Field(description="Null unless it has failed.")]
    created_by: Annotated[UUID, Field(description="The user who uploaded the file.")]
    confirmed_by: Annotated[UUID | None, Field(description="The user who does it, and becomes admin of new accounts.")]
    created_at: Instant
    updated_at: Instant
    confirmed_at: Instant | None
    finished_at: Instant | None


class ImportRowError(Out):
    """Why a row is not taken."""

    row: Annotated[int, Field(ge=1, description="As a spreadsheet numbers it; the header is row 1.", examples=[17])]
    column: Annotated[str | None, Field(max_length=200, description="Its header in the file.", examples=["Umsatz"])]
    code: Annotated[str, Field(max_length=80, pattern=r"^[a-z0-9_]+$", examples=["number_type"])]
    detail: Annotated[str, Field(max_length=500, examples=["Must be a number."])]


def form() -> dict[str, Any]:
    """The upload's form as the contract has it."""
    return AccountImportCreate.model_json_schema()
