"""The accounts table: a partner's customers."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from app.access import in_account, in_partner
from app.db import Db
from app.models import Account
from app.policy import Access, Permission
from app.problems import AccountArchived, NameTaken, PreconditionRequired, VersionMismatch, raises
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.account import AccountCreate, AccountOverview, AccountRead, AccountUpdate
from app.services import accounts, invitations, lists, members

router = APIRouter(prefix="/v1/partners/{partner_id}/accounts", tags=["accounts"], route_class=IdempotentRoute)

MayCreate = Annotated[Access, in_partner(Permission.ACCOUNT_CREATE)]
MayList = Annotated[Access, in_partner(Permission.ACCOUNT_LIST)]
MayRead = Annotated[Access, in_account(Permission.ACCOUNT_READ)]
MayUpdate = Annotated[Access, in_account(Permission.ACCOUNT_UPDATE)]
AccountQuery = Annotated[lists.Query, list_query(accounts.TABLE)]


@router.post("", response_model=AccountRead, status_code=201, openapi_extra=raises(NameTaken))
async def create_account(
    body: AccountCreate, access: MayCreate, db: Db, request: Request, response: Response
) -> Account:
    """Open a child account. The caller becomes its admin."""
    account = await accounts.create(db, access, name=body.name)
    return created(response, request, account, account.id)


@router.get("", response_model=Page[AccountRead])
async def list_accounts(_: MayList, db: Db, page: PageQuery, query: AccountQuery, response: Response) -> Page[Any]:
    """The accounts table, a page at a time. Archived accounts are left out unless a filter names `status`."""
    found = await accounts.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response)


@router.get("/{account_id}", response_model=AccountRead)
async def get_account(access: MayRead, db: Db, response: Response) -> Account:
    """One account: for the partner's people, and for its members."""
    return tagged(response, await accounts.get(db, access))


@router.get("/{account_id}/overview", response_model=AccountOverview)
async def get_account_overview(access: MayRead, db: Db) -> dict[str, Any]:
    """Everything of one account in one call: the account, its members and its pending invitations."""
    return {
        "account": await accounts.get(db, access),
        "members": await members.all_of_account(db, access),
        "pending_invitations": await invitations.pending_of_account(db, access),
    }


@router.patch(
    "/{account_id}",
    response_model=AccountRead,
    openapi_extra=raises(NameTaken, AccountArchived, VersionMismatch, PreconditionRequired),
)
async def update_account(body: AccountUpdate, access: MayUpdate, db: Db, match: IfMatch, response: Response) -> Account:
    """Rename, suspend or resume an account. A suspended one can be read, not entered."""
    account = match.check(await accounts.get(db, access, lock=True))
    return tagged(response, await accounts.update(db, access, account, body.model_dump(exclude_unset=True)))


@router.delete(
    "/{account_id}", status_code=204, openapi_extra=raises(AccountArchived, VersionMismatch, PreconditionRequired)
)
async def archive_account(access: MayUpdate, db: Db, match: IfMatch) -> None:
    """Take an account out of the table. Nothing is lost; it can be restored."""
    await accounts.archive(db, access, match.check(await accounts.get(db, access, lock=True)))


@router.post("/{account_id}/restore", response_model=AccountRead, openapi_extra=raises(NameTaken))
async def restore_account(access: MayUpdate, db: Db, response: Response) -> Account:
    """Bring an archived account back as active. Asked again, it changes nothing."""
    return tagged(response, await accounts.restore(db, access, await accounts.get(db, access, lock=True)))
