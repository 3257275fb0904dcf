"""Invitations into partners and into accounts."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app.access import in_account, in_partner
from app.db import Db
from app.models import Invitation
from app.policy import Access, Permission, Role
from app.problems import (
    AccountArchived,
    AlreadyInvited,
    AlreadyMember,
    InvitationClosed,
    PreconditionRequired,
    TooManyInvitations,
    VersionMismatch,
    raises,
)
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.invitation import AccountInvitationCreate, InvitationRead, PartnerInvitationCreate
from app.services import invitations, lists, members

PARTNER = "/v1/partners/{partner_id}/invitations"
ACCOUNT = "/v1/partners/{partner_id}/accounts/{account_id}/invitations"

router = APIRouter(tags=["invitations"], route_class=IdempotentRoute)

MayReadPartner = Annotated[Access, in_partner(Permission.PARTNER_MEMBER_READ)]
MayManagePartner = Annotated[Access, in_partner(Permission.PARTNER_MEMBER_MANAGE)]
MayReadAccount = Annotated[Access, in_account(Permission.ACCOUNT_MEMBER_READ)]
MayManageAccount = Annotated[Access, in_account(Permission.ACCOUNT_MEMBER_MANAGE)]
InvitationQuery = Annotated[lists.Query, list_query(invitations.table())]
InvitationId = Annotated[UUID, Path(description="Id of the invitation.")]
REVOKE = raises(InvitationClosed, VersionMismatch, PreconditionRequired)
RESEND = raises(InvitationClosed, AlreadyInvited, TooManyInvitations)


@router.post(
    PARTNER,
    response_model=InvitationRead,
    status_code=201,
    openapi_extra=raises(AlreadyMember, AlreadyInvited, TooManyInvitations),
)
async def create_partner_invitation(
    body: PartnerInvitationCreate, access: MayManagePartner, db: Db, request: Request, response: Response
) -> Any:
    """Invite somebody into the partner. A mail with a link goes out; who has a user already logs in to accept."""
    return await _create(body, access, db, request, response)


@router.get(PARTNER, response_model=Page[InvitationRead])
async def list_partner_invitations(
    access: MayReadPartner, db: Db, page: PageQuery, query: InvitationQuery, response: Response
) -> Page[Any]:
    """List the partner's invitations, the newest first. `filter=status:eq:pending` lists those that nobody has accepted
    yet.
    """
    return await _list(access, db, page, query, response)


@router.get(f"{PARTNER}/{{invitation_id}}", response_model=InvitationRead)
async def get_partner_invitation(
    access: MayReadPartner, db: Db, invitation_id: InvitationId, response: Response
) -> Any:
    """Read one invitation into the partner. It says whom it makes what, whether its mail went out, and what became of
    it.
    """
    return tagged(response, await invitations.get(db, access, invitation_id))


@router.delete(f"{PARTNER}/{{invitation_id}}", status_code=204, openapi_extra=REVOKE)
async def revoke_partner_invitation(
    access: MayManagePartner, db: Db, match: IfMatch, invitation_id: InvitationId
) -> None:
    """Withdraw an invitation into the partner: its link dies, the record stays as `revoked`."""
    await _revoke(access, db, match, invitation_id)


@router.post(f"{PARTNER}/{{invitation_id}}/resend", response_model=InvitationRead, openapi_extra=RESEND)
async def resend_partner_invitation(
    access: MayManagePartner, db: Db, invitation_id: InvitationId, request: Request, response: Response
) -> Any:
    """Mail a new link for an invitation into the partner, good for the full time. The old one dies. It also revives an
    invitation that has expired.
    """
    return await _resend(access, db, invitation_id, request, response)


@router.post(
    ACCOUNT,
    response_model=InvitationRead,
    status_code=201,
    openapi_extra=raises(AlreadyMember, AlreadyInvited, AccountArchived, TooManyInvitations),
)
async def create_account_invitation(
    body: AccountInvitationCreate, access: MayManageAccount, db: Db, request: Request, response: Response
) -> Any:
    """Invite somebody into the account. A mail with a link goes out; who has a user already logs in to accept."""
    return await _create(body, access, db, request, response)


@router.get(ACCOUNT, response_model=Page[InvitationRead])
async def list_account_invitations(
    access: MayReadAccount, db: Db, page: PageQuery, query: InvitationQuery, response: Response
) -> Page[Any]:
    """List the account's invitations, the newest first. `filter=status:eq:pending` lists those that nobody has accepted
    yet.
    """
    return await _list(access, db, page, query, response)


@router.get(f"{ACCOUNT}/{{invitation_id}}", response_model=InvitationRead)
async def get_account_invitation(
    access: MayReadAccount, db: Db, invitation_id: InvitationId, response: Response
) -> Any:
    """Read one invitation into the account. It says whom it makes what, whether its mail went out, and what became of
    it.
    """
    return tagged(response, await invitations.get(db, access, invitation_id))


@router.delete(f"{ACCOUNT}/{{invitation_id}}", status_code=204, openapi_extra=REVOKE)
async def revoke_account_invitation(
    access: MayManageAccount, db: Db, match: IfMatch, invitation_id: InvitationId
) -> None:
    """Withdraw an invitation into the account: its link dies, the record stays as `revoked`."""
    await _revoke(access, db, match, invitation_id)


@router.post(
    f"{ACCOUNT}/{{invitation_id}}/resend",
    response_model=InvitationRead,
    openapi_extra=raises(InvitationClosed, AlreadyInvited, AccountArchived, TooManyInvitations),
)
async def resend_account_invitation(
    access: MayManageAccount, db: Db, invitation_id: InvitationId, request: Request, response: Response
) -> Any:
    """Mail a new link for an invitation into the account, good for the full time. The old one dies. It also revives an
    invitation that has expired.
    """
    return await _resend(access, db, invitation_id, request, response)


async def _create(body: PartnerInvitationCreate | AccountInvitationCreate, access: Access, db: Db, request: Request,
                  response: Response) -> Invitation:  # fmt: skip
    state = request.app.state
    invitation = await invitations.create(
        db, access, state.keys, email=body.email, role=Role(body.role), days=state.settings.invitation_days
    )
    return created(response, request, invitation, invitation.id)


async def _list(access: Access, db: Db, page: PageQuery, query: lists.Query, response: Response) -> Page[Any]:
    found = await invitations.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response)


async def _revoke(access: Access, db: Db, match: IfMatch, invitation_id: UUID) -> None:
    await members.lock_owner(db, access, archived=True)
    await invitations.revoke(db, access, match.check(await invitations.get(db, access, invitation_id, lock=True)))


async def _resend(access: Access, db: Db, invitation_id: UUID, request: Request, response: Response) -> Invitation:
    state = request.app.state
    await members.lock_owner(db, access)
    invitation = await invitations.get(db, access, invitation_id, lock=True)
    days = state.settings.invitation_days
    return tagged(response, await invitations.resend(db, access, state.keys, invitation, days=days))
