"""The overview: everything of one account in one call."""

from typing import Annotated

from fastapi import APIRouter, Response

from app.door import Door, at_door
from app.lanes import ExpressRoute
from app.policy import Permission
from app.schemas.overview import AccountOverview
from app.services import columns, overviews, terms

router = APIRouter(
    prefix="/v1/partners/{partner_id}/accounts/{account_id}", tags=["accounts"], route_class=ExpressRoute
)

MayRead = Annotated[Door, at_door(Permission.ACCOUNT_READ, overviews.WANTED)]


@router.get("/overview", response_model=AccountOverview)
async def get_account_overview(door: MayRead) -> Response:
    """Everything of one account in one call: the account, its members and pending invitations, price model, purchases,
    licences and entitlements, all as of one moment.
    """
    at = terms.now()
    seen = await door.glance(at=at)
    known = columns.kept(door.partner_id, seen.version) if seen else None
    if seen and known:
        return _answer(overviews.read(seen.found, known, seen.access, at))
    async with door.enter(at=at) as inside:
        known = await columns.at(inside.line, door.partner_id, inside.version)
        return _answer(overviews.read(inside.guessed, known, inside.access, at))


def _answer(overview: str) -> Response:
    return Response(overview, media_type="application/json")
