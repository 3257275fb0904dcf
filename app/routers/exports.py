"""Exports: the accounts table as a file."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from app.access import PartnerId, in_partner
from app.db import Db, Sessions, UnitsOfWork, snapshot
from app.downloads import Download
from app.models import utc_now
from app.policy import Access, Permission
from app.problems import ColumnNotReady, ExportsBusy, TooManyRows, raises
from app.rest import Route
from app.routers.accounts import AccountQuery
from app.routers.listing import ViewId
from app.services import exports
from app.services.exports import MAX_IN_SHEET, Asked
from app.sheets import CsvWriter, Writer, XlsxWriter
from app.tenancy import confine

router = APIRouter(prefix="/v1/partners/{partner_id}", tags=["accounts"], route_class=Route)

MayList = Annotated[Access, in_partner(Permission.ACCOUNT_LIST)]


async def place(request: Request, partner_id: PartnerId) -> AsyncGenerator[None]:
    """A place among the exports of this process, from here until the file is sent; a retry has its place already."""
    if "place" in request.scope:
        yield
        return
    with request.app.state.places.taken(partner_id):
        request.scope["place"] = True
        yield


Place = Annotated[None, Depends(place, scope="request")]
Separator = Literal["comma", "semicolon", "tab"]
Separated = Annotated[
    Separator,
    Query(
        description="What stands between the cells. `semicolon` is the file that spreadsheets set to German expect, "
        "with decimal commas, dates like 31.01.2027, `wahr` and `falsch`; the others have decimal points and dates in "
        "ISO 8601.",
        examples=["comma"],
    ),
]
Labels = Annotated[
    Literal["en", "de"] | None,
    Query(
        description="Language of the labels that the first row has instead of keys. A label by which another column "
        "could be meant gives way to the key.",
        examples=["de"],
    ),
]
Names = Annotated[
    str | None,
    Query(
        max_length=5000,
        pattern=r"^[a-z0-9_.,]+$",
        examples=["id,name,properties.contract_end"],
        description="Which columns, in which order, separated by commas: `id`, `name`, `status`, `price_model`, "
        "`member_count`, `created_at`, `updated_at`, `properties.<key>`. Unless given: id, name, status, price model, "
        "all properties, members, the two moments.",
    ),
]


async def asked(query: AccountQuery, columns: Names = None, labels: Labels = None, view: ViewId = None) -> Asked:
    return Asked(query, columns.split(",") if columns is not None else None, labels, view)


Export = Annotated[Asked, Depends(asked)]


def _file(media_type: str, schema: dict[str, Any], example: str) -> Any:
    """The success of an operation that answers with a file."""
    return {200: {"content": {media_type: {"schema": schema, "example": example}}}}


def csv_file(description: str, example: str) -> Any:
    schema = {"type": "string", "maxLength": 2_147_483_647, "pattern": "^[^\\u0000]*$", "description": description}
    return _file("text/csv", schema, example)


CSV = csv_file(
    "RFC 4180 in UTF-8: a row with the names of the columns, then a row for each account.",
    "id,name,status,revenue\r\n0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60,Nordwerk GmbH,active,12.5\r\n",
)  # fmt: skip
XLSX = _file(
    XlsxWriter.media_type,
    {"type": "string", "format": "binary",
     "description": "A workbook of one sheet: a row with the names of the columns, then a row for each account."},
    "the bytes of the workbook",
)  # fmt: skip


@router.get("/accounts.csv", response_class=Response, responses=CSV, openapi_extra=raises(ColumnNotReady, ExportsBusy))
async def export_accounts_as_csv(
    request: Request, access: MayList, db: Db, begin: UnitsOfWork, export: Export, _place: Place,
    separator: Separated = "comma",
) -> Download:  # fmt: skip
    """Export accounts as a CSV file: all that a query of the table finds, in the table's order.

    The file is one state of the table, whatever changes meanwhile. Archived accounts are left out unless a filter
    names `status`; sensitive values are left empty for those who may not see them. A file that could not be finished
    ends in a broken connection.
    """
    export = await _note(request, db, access, export, "csv")
    writer = _csv(separator, export)
    return _download(request, access, begin, export, writer, "csv")


@router.get(
    "/accounts.xlsx", response_class=Response, responses=XLSX,
    openapi_extra=raises(ColumnNotReady, ExportsBusy, TooManyRows),
)  # fmt: skip
async def export_accounts_as_xlsx(
    request: Request, access: MayList, db: Db, begin: UnitsOfWork, export: Export, _place: Place
) -> Download:
    """Export accounts as an Excel workbook: all that a query of the table finds, in the table's order.

    Numbers, dates and moments (in UTC) are such, and all text is text. Otherwise as the CSV file.
    """
    export = await _note(request, db, access, export, "xlsx")
    return _download(request, access, begin, export, XlsxWriter(sheet="Accounts"), "xlsx", most=MAX_IN_SHEET)


async def _note(request: Request, db: Db, access: Access, export: Asked, format: str) -> Asked:
    """Check what is asked for, and record it; a HEAD takes nothing along."""
    return await exports.note(db, access, export, format=format, taken="head" not in request.scope)


def _csv(separator: Separator, export: Asked) -> CsvWriter:
    """The writer of the file. A byte order mark tells spreadsheets what programs know: it is UTF-8."""
    if separator == "semicolon":
        return CsvWriter(style="german", bom=True)
    return CsvWriter(separator="\t" if separator == "tab" else ",", bom=export.labels is not None)


def _download(
    request: Request, access: Access, begin: Sessions, export: Asked, writer: Writer, format: str,
    most: int | None = None,
) -> Download:  # fmt: skip
    settings = request.app.state.settings
    name = f"accounts-{utc_now():%Y-%m-%d}.{format}"
    return Download(_pieces(access, begin, export, writer, most), name=name, media_type=writer.media_type,
                    seconds=settings.export_seconds)  # fmt: skip


async def _pieces(
    access: Access, begin: Sessions, export: Asked, writer: Writer, most: int | None
) -> AsyncGenerator[bytes]:
    """The file, read in a transaction of its own: that of the request ends before its answer is sent."""
    async with snapshot(begin) as db:
        await confine(db, access.partner_id)
        async with aclosing(exports.pieces(db, access, export, writer, most=most)) as pieces:
            async for piece in pieces:
                yield piece
