"""Accounts from CSV and XLSX files: uploaded, checked in a dry run, confirmed, and then imported by a worker."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import in_partner
from app.db import Db
from app.faults import language_of
from app.idempotency import is_known
from app.models import AccountImport, ImportFault
from app.policy import Access, Permission
from app.problems import ImportFinished, ImportHasErrors, ImportNotChecked, TooManyImports, UploadsBusy, raises
from app.rest import IdempotentRoute, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.account_import import AccountImportCreate, AccountImportRead, ImportRowError, form
from app.services import imports, lists
from app.uploads import FORM, Upload, UploadRoute, received

AT = "/v1/partners/{partner_id}/account-imports"
router = APIRouter(prefix=AT, tags=["imports"], route_class=IdempotentRoute)
uploads = APIRouter(prefix=AT, tags=["imports"], route_class=UploadRoute)

MayRead = Annotated[Access, in_partner(Permission.ACCOUNT_IMPORT_READ)]
MayImport = Annotated[Access, in_partner(Permission.ACCOUNT_IMPORT)]


async def _room(request: Request, db: AsyncSession, access: Access) -> None:
    """Refuse a file that would be one too many before it has arrived, unless it is a repeated one."""
    if not await is_known(request, db, access.partner_id, access.caller.id):
        await imports.refuse_too_many(db)


Received = Annotated[
    Upload[AccountImportCreate], Depends(received(Permission.ACCOUNT_IMPORT, AccountImportCreate, _room))
]
ImportQuery = Annotated[lists.Query, list_query(imports.TABLE, example="checked")]
ImportId = Annotated[UUID, Path(description="Id of the import.")]
SkipErrors = Annotated[bool, Query(description="Leave out the rows with errors; otherwise they refuse it (409).")]

BODY = {"requestBody": {"required": True, "content": {FORM: {"schema": form()}}}}
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
DECIMALS = {".": "point", ",": "comma"}


@uploads.post(
    "", response_model=AccountImportRead, status_code=201, openapi_extra=BODY | raises(TooManyImports, UploadsBusy)
)
async def create_account_import(
    upload: Received, access: MayImport, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Upload a file of accounts. A dry run begins: it shows how the file is read and what would happen, and changes
    nothing.
    """
    row = await imports.create(
        db, access, file_name=upload.name, file_bytes=upload.size, options=_options(upload.form),
        chunks=upload.chunks(),
    )  # fmt: skip
    return _shown(request, created(response, request, row, row.id, _view(request)))


@router.get("", response_model=Page[AccountImportRead])
async def list_account_imports(
    _: MayRead, db: Db, page: PageQuery, query: ImportQuery, request: Request, response: Response
) -> Page[Any]:
    """List the partner's imports of accounts, the newest first. Those of the last 90 days are kept; each says how far
    it is, and what it did.
    """
    found = await imports.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response, lambda row: _shown(request, row))


@router.get("/{import_id}", response_model=AccountImportRead)
async def get_account_import(
    import_id: ImportId, access: MayRead, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """One import: how far it is, and what the dry run and the import itself have found."""
    row = await imports.get(db, access, import_id)
    return _shown(request, tagged(response, row, _view(request)))


@router.get("/{import_id}/errors", response_model=Page[ImportRowError])
async def list_account_import_errors(
    import_id: ImportId, access: MayRead, db: Db, page: PageQuery, request: Request, response: Response
) -> Page[Any]:
    """The rows that are not taken, in the order of the file: the first 10,000 errors are kept."""
    row = await imports.get(db, access, import_id)
    found = await imports.faults(db, row, limit=page.limit, after=page.after, count=page.count)
    shown = page.page(found.rows, lambda fault: [fault.row, fault.number], response, found.total)
    return shown.model_copy(update={"items": [_error(request, fault) for fault in shown.items]})


@router.post("/{import_id}/confirm", response_model=AccountImportRead,
             openapi_extra=raises(ImportNotChecked, ImportHasErrors))  # fmt: skip
async def confirm_account_import(import_id: ImportId, access: MayImport, db: Db, request: Request, response: Response,
                                 skip_errors: SkipErrors = False) -> dict[str, Any]:  # fmt: skip
    """Do what the dry run says. The caller becomes admin of the accounts that are created."""
    row = await imports.get(db, access, import_id, lock=True)
    row = await imports.confirm(db, access, row, skip_errors=skip_errors)
    return _shown(request, tagged(response, row, _view(request)))


@router.post("/{import_id}/cancel", response_model=AccountImportRead, openapi_extra=raises(ImportFinished))
async def cancel_account_import(
    import_id: ImportId, access: MayImport, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Stop an import. What it has done stays; `result` says how much that is."""
    row = await imports.get(db, access, import_id, lock=True)
    return _shown(request, tagged(response, await imports.cancel(db, access, row), _view(request)))


def _options(told: AccountImportCreate) -> dict[str, Any]:
    """What the form says, in the words of those who read the file."""
    said = told.model_dump(exclude={"file"})
    return said | {"separator": _sign(SEPARATORS, told.separator), "decimal": _sign(DECIMALS, told.decimal)}


def _sign(signs: dict[str, str], word: str | None) -> str | None:
    return next((sign for sign, name in signs.items() if name == word), None)


def _view(request: Request) -> int:
    """The number, in an ETag, of the language in which a failure is told."""
    return 2 if language_of(request.scope) == "de" else 1


def _shown(request: Request, row: AccountImport) -> dict[str, Any]:
    own = {c.key: getattr(row, c.key) for c in row.__mapper__.column_attrs}
    layout = row.layout and row.layout | {
        "separator": SEPARATORS.get(row.layout["separator"]),
        "decimal": DECIMALS[row.layout["decimal"]],
    }
    failure = row.failure and {"code": row.failure["code"], "detail": row.failure[language_of(request.scope)]}
    told = {k: row.options[k] for k in ("mode", "empty")}
    return own | told | {"layout": layout, "failure": failure, "match": row.match or row.options["match"]}


def _error(request: Request, fault: ImportFault) -> dict[str, Any]:
    detail = fault.de if language_of(request.scope) == "de" else fault.en
    return {"row": fault.row, "column": fault.column, "code": fault.code, "detail": detail}
