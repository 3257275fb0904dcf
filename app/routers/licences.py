"""Licences: what accounts may use, and for how long."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app.access import in_account, in_partner
from app.db import Db
from app.models import Licence
from app.policy import Access, Permission
from app.problems import (
    AccountArchived,
    AccountSuspended,
    LicenceNotByHand,
    LicenceNotSuspended,
    LicenceOver,
    LicenceSuspended,
    PreconditionRequired,
    SuspendedByOperator,
    TooManyLicences,
    VersionMismatch,
    raises,
)
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.licence import LicenceCreate, LicenceRead, LicenceRevoke, LicenceSuspend, LicenceUpdate
from app.services import licences, lists, terms

PARTNER = "/v1/partners/{partner_id}/licences"
ACCOUNT = "/v1/partners/{partner_id}/accounts/{account_id}/licences"

router = APIRouter(tags=["licences"], route_class=IdempotentRoute)

MayReadAll = Annotated[Access, in_partner(Permission.LICENCE_READ)]
MayRead = Annotated[Access, in_account(Permission.LICENCE_READ)]
MayManage = Annotated[Access, in_account(Permission.LICENCE_MANAGE)]
OfPartner = Annotated[lists.Query, list_query(licences.OF_PARTNER, example="assets")]
OfAccount = Annotated[lists.Query, list_query(licences.TABLE, example="assets")]
LicenceId = Annotated[UUID, Path(description="Id of the licence.")]


@router.get(PARTNER, response_model=Page[LicenceRead])
async def list_partner_licences(
    access: MayReadAll, db: Db, page: PageQuery, query: OfPartner, response: Response
) -> Page[Any]:
    """List the licences of all accounts of the partner. Those that end first come first: what is to be renewed is on
    top.
    """
    found = await licences.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    at = terms.now()
    return page_of(found, page, response, lambda row: licences.shown(row, at))


@router.get(ACCOUNT, response_model=Page[LicenceRead])
async def list_account_licences(
    access: MayRead, db: Db, page: PageQuery, query: OfAccount, response: Response
) -> Page[Any]:
    """The licences of the account: in force, to come and over, by feature."""
    found = await licences.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    at = terms.now()
    return page_of(found, page, response, lambda row: licences.shown(row, at))


@router.post(
    ACCOUNT,
    response_model=LicenceRead,
    status_code=201,
    openapi_extra=raises(AccountSuspended, AccountArchived, TooManyLicences),
)
async def grant_licence(
    body: LicenceCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Grant units of a feature by hand, for a reason: a trial, a favour, what an order has that no article covers."""
    licence = await licences.grant(db, access, body.model_dump())
    at = terms.now()
    created(response, request, licence, licence.id, licences.looks(licence, at))
    return licences.shown(licence, at)


@router.get(f"{ACCOUNT}/{{licence_id}}", response_model=LicenceRead)
async def get_licence(licence_id: LicenceId, access: MayRead, db: Db, response: Response) -> dict[str, Any]:
    """Read one licence of the account. It says how many units of which feature it gives, from when until when, and
    where it comes from.
    """
    return _shown(await licences.get(db, access, licence_id), response)


@router.patch(
    f"{ACCOUNT}/{{licence_id}}", response_model=LicenceRead,
    openapi_extra=raises(
        AccountArchived, LicenceNotByHand, LicenceOver, TooManyLicences, VersionMismatch, PreconditionRequired
    ),
)  # fmt: skip
async def update_licence(
    body: LicenceUpdate, licence_id: LicenceId, access: MayManage, db: Db, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Change a licence that was granted by hand. Claims above a smaller limit stay; no new ones pass."""
    licence = match.check(await licences.hold(db, access, licence_id))
    return _shown(await licences.update(db, access, licence, body.model_dump(exclude_unset=True)), response)


@router.post(
    f"{ACCOUNT}/{{licence_id}}/suspend", response_model=LicenceRead,
    openapi_extra=raises(AccountArchived, LicenceOver, LicenceSuspended),
)  # fmt: skip
async def suspend_licence(
    body: LicenceSuspend, licence_id: LicenceId, access: MayManage, db: Db, response: Response
) -> dict[str, Any]:
    """Stop a licence from giving its units until it is resumed. An operator's suspension takes over a partner's."""
    licence = await licences.hold(db, access, licence_id)
    return _shown(await licences.suspend(db, access, licence, reason=body.reason), response)


@router.post(
    f"{ACCOUNT}/{{licence_id}}/resume", response_model=LicenceRead,
    openapi_extra=raises(AccountArchived, LicenceOver, LicenceNotSuspended, SuspendedByOperator),
)  # fmt: skip
async def resume_licence(licence_id: LicenceId, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Lift a suspension. What an operator has suspended, only operators lift."""
    licence = await licences.hold(db, access, licence_id)
    return _shown(await licences.resume(db, access, licence), response)


@router.post(
    f"{ACCOUNT}/{{licence_id}}/revoke", response_model=LicenceRead, openapi_extra=raises(AccountArchived, LicenceOver)
)
async def revoke_licence(
    body: LicenceRevoke, licence_id: LicenceId, access: MayManage, db: Db, response: Response
) -> dict[str, Any]:
    """End a licence at once and for good, days of grace included. Claims above the limit that is left stay; no new ones
    pass.
    """
    licence = await licences.hold(db, access, licence_id)
    return _shown(await licences.revoke(db, access, licence, reason=body.reason), response)


def _shown(licence: Licence, response: Response) -> dict[str, Any]:
    at = terms.now()
    return licences.shown(tagged(response, licence, licences.looks(licence, at)), at)
