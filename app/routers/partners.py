"""Partners, as operators manage them and their people read them."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from app.access import creating_partner, in_partner, operator
from app.db import Db
from app.models import Partner
from app.policy import Access, Permission, Role
from app.problems import PreconditionRequired, TooManyInvitations, VersionMismatch, raises
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.partner import PartnerCreate, PartnerRead, PartnerUpdate
from app.services import invitations, lists, partners

router = APIRouter(prefix="/v1/partners", tags=["partners"], route_class=IdempotentRoute)

MayCreate = Annotated[Access, creating_partner(Permission.PARTNER_CREATE)]
MayList = Annotated[Access, operator(Permission.PARTNER_LIST)]
MayRead = Annotated[Access, in_partner(Permission.PARTNER_READ)]
MayUpdate = Annotated[Access, in_partner(Permission.PARTNER_UPDATE)]
PartnerQuery = Annotated[lists.Query, list_query(partners.TABLE)]


@router.post("", response_model=PartnerRead, status_code=201, openapi_extra=raises(TooManyInvitations))
async def create_partner(
    body: PartnerCreate, access: MayCreate, db: Db, request: Request, response: Response
) -> Partner:
    """Take on a partner and invite its first admin. A mail with a link leads the admin to the registration."""
    partner = await partners.create(db, access, **body.model_dump(exclude={"first_admin_email"}))
    if body.first_admin_email is not None:
        state = request.app.state
        await invitations.create(db, access, state.keys, email=body.first_admin_email, role=Role.PARTNER_ADMIN,
                                 days=state.settings.invitation_days)  # fmt: skip
    return created(response, request, partner, partner.id)


@router.get("", response_model=Page[PartnerRead])
async def list_partners(_: MayList, db: Db, page: PageQuery, query: PartnerQuery, response: Response) -> Page[Any]:
    """List all partners of the service, a page at a time. Partners see their own by `getMe`."""
    found = await partners.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response)


@router.get("/{partner_id}", response_model=PartnerRead)
async def get_partner(access: MayRead, db: Db, response: Response) -> Partner:
    """Read one partner, as an operator or as one of its own people. It says whether the partner is active, and its
    partner management on.
    """
    return tagged(response, await partners.get(db, access.partner_id))


@router.patch("/{partner_id}", response_model=PartnerRead, openapi_extra=raises(VersionMismatch, PreconditionRequired))
async def update_partner(body: PartnerUpdate, access: MayUpdate, db: Db, match: IfMatch, response: Response) -> Partner:
    """Change a partner: its name, status, partner management, language or time zone.

    Suspended, it shuts out all its people and the members of its accounts at once; with partner management off, only
    the partner's own people are shut out.
    """
    partner = match.check(await partners.get(db, access.partner_id, lock=True))
    return tagged(response, await partners.update(db, access, partner, body.model_dump(exclude_unset=True)))
