"""The accounts table: a partner's customers."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.access import in_account
from app.db import Db
from app.gate import Gate, at_gate
from app.idempotency import remember_express
from app.lanes import ExpressRoute, PostRoute
from app.models import Account
from app.policy import Access, Permission
from app.problems import (
    AccountArchived,
    ColumnNotReady,
    NameTaken,
    PreconditionRequired,
    PropertyNotEditable,
    TooManyLicences,
    ValueTaken,
    VersionMismatch,
    raises,
)
from app.rest import AskedPage, IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import Question, ViewId, list_query, page_through
from app.schemas.account import AccountCreate, AccountRead, AccountUpdate
from app.schemas.property import KEY
from app.schemas.property_history import PropertyHistoryRead
from app.services import accounts, columns, histories, lists, openings, tables

AT: Any = {"prefix": "/v1/partners/{partner_id}/accounts", "tags": ["accounts"]}
router = APIRouter(**AT, route_class=IdempotentRoute)
table = APIRouter(**AT, route_class=ExpressRoute)
opening = APIRouter(**AT, route_class=PostRoute)

MayCreate = Annotated[Gate, at_gate(Permission.ACCOUNT_CREATE)]
MayList = Annotated[Gate, at_gate(Permission.ACCOUNT_LIST)]
MayRead = Annotated[Access, in_account(Permission.ACCOUNT_READ)]
MayUpdate = Annotated[Access, in_account(Permission.ACCOUNT_UPDATE)]
AccountQuery = Annotated[lists.Query, list_query(tables.fixed(), "; `properties.<key>` of every filterable property")]
HistoryKey = Annotated[
    str | None,
    Query(pattern=KEY, max_length=40, description="Only changes of this property.", examples=["contract_end"]),
]
ColumnNames = Annotated[
    str | None,
    Query(max_length=2000, pattern=r"^[a-z0-9_.,]+$", examples=["properties.contract_end,properties.tags"],
          description="Which property columns to return, separated by commas; unless given, all."),
]  # fmt: skip


@opening.post(
    "", response_model=AccountRead, status_code=201, openapi_extra=raises(NameTaken, ValueTaken, PropertyNotEditable)
)
async def create_account(body: AccountCreate, gate: MayCreate) -> Response:
    """Open a child account. The caller becomes its admin."""
    if (response := await _created_at_once(body, gate)) is not None:
        return response
    async with gate.enter(lock=columns.lock_of(gate.partner_id)) as inside:
        known = await columns.at(inside.line, gate.partner_id, inside.version)
        account = await openings.write(inside.line, inside.access, known, **dict(body))
        response = _created(gate, inside.access, known, account)
        await remember_express(gate.request, inside.line, response)
    return response


async def _created_at_once(body: AccountCreate, gate: Gate) -> Response | None:
    """In one round trip, if the caller and the columns are still as they are remembered."""
    known, presumed = columns.kept(gate.partner_id), gate.presumed
    if known is None or presumed is None:
        return None
    step = await openings.at_once(presumed.access, known, **dict(body))
    if step is None or not await gate.write(step, presumed, known.version, columns.lock_of(gate.partner_id)):
        return None
    return _created(gate, presumed.access, known, step.opened)


def _created(gate: Gate, access: Access, known: columns.Columns, account: Account) -> Response:
    shown = AccountRead.model_validate(accounts.shown(known, access, account))
    response = Response(shown.model_dump_json(), 201, media_type="application/json")
    created(response, gate.request, account, account.id, accounts.looks(known, access, account))
    return response


@table.get("", response_model=Page[AccountRead], openapi_extra=raises(ColumnNotReady))
async def list_accounts(gate: MayList, page: AskedPage, query: AccountQuery, columns: ColumnNames = None,
                        view: ViewId = None) -> Response:  # fmt: skip
    """The accounts table, a page at a time. Archived accounts are left out unless a filter names `status`."""
    names = tuple(columns.split(",")) if columns else None
    return await page_through(gate, page.of(gate.request), Question(query, names, view))


@router.get("/{account_id}", response_model=AccountRead)
async def get_account(access: MayRead, db: Db, response: Response) -> dict[str, Any]:
    """One account: for the partner's people, and for its members."""
    return await _shown(db, access, await accounts.get(db, access), response)


@router.patch(
    "/{account_id}",
    response_model=AccountRead,
    openapi_extra=raises(
        NameTaken,
        ValueTaken,
        PropertyNotEditable,
        AccountArchived,
        TooManyLicences,
        VersionMismatch,
        PreconditionRequired,
    ),
)
async def update_account(
    body: AccountUpdate, access: MayUpdate, db: Db, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Change an account: its name, status, price model, time zone or property values. All of it is done, or nothing."""
    account = match.check(await accounts.get(db, access, lock=True))
    account = await accounts.update(db, access, account, body.model_dump(exclude_unset=True))
    return await _shown(db, access, account, response)


@router.delete(
    "/{account_id}", status_code=204, openapi_extra=raises(AccountArchived, VersionMismatch, PreconditionRequired)
)
async def archive_account(access: MayUpdate, db: Db, match: IfMatch) -> None:
    """Take an account out of the table. Nothing is lost; it can be restored."""
    await accounts.archive(db, access, match.check(await accounts.get(db, access, lock=True)))


@router.post("/{account_id}/restore", response_model=AccountRead, openapi_extra=raises(NameTaken, ValueTaken))
async def restore_account(access: MayUpdate, db: Db, response: Response) -> dict[str, Any]:
    """Bring an archived account back as active. Asked again, it changes nothing."""
    account = await accounts.restore(db, access, await accounts.get(db, access, lock=True))
    return await _shown(db, access, account, response)


@router.get("/{account_id}/property-history", response_model=Page[PropertyHistoryRead])
async def list_property_history(access: MayRead, db: Db, page: PageQuery, response: Response,
                                key: HistoryKey = None) -> Page[Any]:  # fmt: skip
    """How an account's values came to be what they are: every change with before and after, the newest first."""
    account, known = await accounts.get(db, access), await columns.load(db, access.partner_id)
    found = await histories.of_values(db, access, account.id, known, key=key, limit=page.limit, after=page.after,
                                      count=page.count)  # fmt: skip
    return page.page(found.entries, lambda entry: [str(entry.id)], response, found.total)


async def _shown(db: Db, access: Access, account: Account, response: Response | None = None) -> dict[str, Any]:
    known = await columns.load(db, access.partner_id)
    if response is not None:
        tagged(response, account, accounts.looks(known, access, account))
    return accounts.shown(known, access, account)
