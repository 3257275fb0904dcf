"""Members of partners and of accounts."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response

from app.access import in_account, in_partner
from app.db import Db
from app.policy import Access, Permission, Role
from app.problems import AccountArchived, LastAdmin, PreconditionRequired, VersionMismatch, raises
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, tagged
from app.routers.listing import list_query, page_of
from app.schemas.member import AccountMemberUpdate, MemberRead, PartnerMemberUpdate
from app.services import lists, members

PARTNER, ACCOUNT = "/v1/partners/{partner_id}/members", "/v1/partners/{partner_id}/accounts/{account_id}/members"

router = APIRouter(tags=["members"], route_class=IdempotentRoute)

MayReadPartner = Annotated[Access, in_partner(Permission.PARTNER_MEMBER_READ)]
MayManagePartner = Annotated[Access, in_partner(Permission.PARTNER_MEMBER_MANAGE)]
MayReadAccount = Annotated[Access, in_account(Permission.ACCOUNT_MEMBER_READ)]
MayManageAccount = Annotated[Access, in_account(Permission.ACCOUNT_MEMBER_MANAGE)]
PartnerMemberQuery = Annotated[lists.Query, list_query(members.table_of(of_account=False))]
AccountMemberQuery = Annotated[lists.Query, list_query(members.table_of(of_account=True))]
UserId = Annotated[UUID, Path(description="Id of the member's user.")]
CHANGE = raises(LastAdmin, VersionMismatch, PreconditionRequired)
CHANGE_IN_ACCOUNT = raises(LastAdmin, AccountArchived, VersionMismatch, PreconditionRequired)


@router.get(PARTNER, response_model=Page[MemberRead])
async def list_partner_members(
    access: MayReadPartner, db: Db, page: PageQuery, query: PartnerMemberQuery, response: Response
) -> Page[Any]:
    """List who belongs to the partner, in which role. Members of single accounts are not among them: each account has
    its own.
    """
    found = await members.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response)


@router.get(f"{PARTNER}/{{user_id}}", response_model=MemberRead)
async def get_partner_member(access: MayReadPartner, db: Db, user_id: UserId, response: Response) -> members.MemberView:
    """Read one member of the partner, by the id of the user. Somebody who is only a member of one of its accounts is
    not found here.
    """
    return tagged(response, await members.get(db, access, user_id))


@router.patch(f"{PARTNER}/{{user_id}}", response_model=MemberRead, openapi_extra=CHANGE)
async def update_partner_member(
    body: PartnerMemberUpdate, access: MayManagePartner, db: Db, match: IfMatch, user_id: UserId, response: Response
) -> members.MemberView:
    """Give a member of the partner another role. The last admin stays one."""
    member = await _checked(db, access, match, user_id)
    return tagged(response, await members.change_role(db, access, member, role=Role(body.role)))


@router.delete(f"{PARTNER}/{{user_id}}", status_code=204, openapi_extra=CHANGE)
async def remove_partner_member(access: MayManagePartner, db: Db, match: IfMatch, user_id: UserId) -> None:
    """End a membership of the partner, from the next request on. Memberships of its accounts stay."""
    await members.remove(db, access, await _checked(db, access, match, user_id))


@router.get(ACCOUNT, response_model=Page[MemberRead])
async def list_account_members(
    access: MayReadAccount, db: Db, page: PageQuery, query: AccountMemberQuery, response: Response
) -> Page[Any]:
    """List who may enter the account, in which role. The partner's people manage it without being among them."""
    found = await members.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response)


@router.get(f"{ACCOUNT}/{{user_id}}", response_model=MemberRead)
async def get_account_member(access: MayReadAccount, db: Db, user_id: UserId, response: Response) -> members.MemberView:
    """Read one member of the account, by the id of the user. Somebody who is only a member of the partner is not found
    here.
    """
    return tagged(response, await members.get(db, access, user_id))


@router.patch(f"{ACCOUNT}/{{user_id}}", response_model=MemberRead, openapi_extra=CHANGE_IN_ACCOUNT)
async def update_account_member(
    body: AccountMemberUpdate, access: MayManageAccount, db: Db, match: IfMatch, user_id: UserId, response: Response
) -> members.MemberView:
    """Give a member of the account another role. The last admin stays one."""
    member = await _checked(db, access, match, user_id)
    return tagged(response, await members.change_role(db, access, member, role=Role(body.role)))


@router.delete(f"{ACCOUNT}/{{user_id}}", status_code=204, openapi_extra=CHANGE_IN_ACCOUNT)
async def remove_account_member(access: MayManageAccount, db: Db, match: IfMatch, user_id: UserId) -> None:
    """End a membership of the account, from the next request on. Other memberships of the user stay; the last admin
    stays one.
    """
    await members.remove(db, access, await _checked(db, access, match, user_id))


async def _checked(db: Db, access: Access, match: IfMatch, user_id: UUID) -> Any:
    """The membership to change; the version that counts is the one that GET shows, the user's included."""
    member = await members.find(db, access, user_id)
    match.check(await members.get(db, access, user_id))
    return member
