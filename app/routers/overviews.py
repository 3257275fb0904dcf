"""The overview: everything of one account in one call."""

from typing import Annotated

from fastapi import APIRouter, Response

from app.door import Door, at_door
from app.policy import Permission
from app.rest import Route
from app.schemas.account import AccountRead
from app.schemas.overview import AccountOverview
from app.services import columns, overviews, terms

router = APIRouter(prefix="/v1/partners/{partner_id}/accounts/{account_id}", tags=["accounts"], route_class=Route)

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
        return _shown(overviews.read(seen.found, known, seen.access, at))
    async with door.enter(at=at) as inside:
        known = await columns.at(inside.line, door.partner_id, inside.version)
        return _shown(overviews.read(inside.guessed, known, inside.access, at))


def _shown(found: overviews.Overview) -> Response:
    account = AccountRead.model_validate(found.account).model_dump_json()
    return Response(f'{{"account":{account},{found.rest}}}', media_type="application/json")
