"""Claims: the question that the rest of the cloud asks thousands of times a minute."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Request, Response

from app import words
from app.access import in_account
from app.db import Db
from app.express import line_of
from app.lanes import PostRoute
from app.policy import Access, Permission
from app.problems import (
    AccountArchived,
    AccountSuspended,
    ClaimedOtherwise,
    LicenceExhausted,
    NotAMember,
    NotLicensed,
    TooManyUnitsForOneUse,
    raises,
)
from app.rest import BARE, IdempotentRoute, Page, PageQuery
from app.routers.listing import list_query, page_of
from app.schemas.claim import (
    ClaimBatch,
    ClaimBatchRead,
    ClaimCreate,
    ClaimRead,
    Reason,
    Reference,
    Resource,
)
from app.schemas.feature import FeatureKey
from app.services import claims, counters, lists
from app.services.tallies import Ask, Given
from app.turnstile import Turnstile, at_turnstile

ACCOUNT = "/v1/partners/{partner_id}/accounts/{account_id}"
AT: Any = {"prefix": ACCOUNT, "tags": ["claims"]}
router = APIRouter(**AT, route_class=IdempotentRoute)
claiming = APIRouter(**AT, route_class=PostRoute)

MayClaim = Annotated[Turnstile, at_turnstile(Permission.CLAIM_MANAGE)]
MayManage = Annotated[Access, in_account(Permission.CLAIM_MANAGE)]
MayRead = Annotated[Access, in_account(Permission.CLAIM_READ)]
ClaimQuery = Annotated[lists.Query, list_query(claims.TABLE, example="assets")]
ClaimId = Annotated[UUID, Path(description="Id of the claim.")]
ReasonQuery = Annotated[Reason | None, Query(description="Why it is released, for people.")]
ReferenceQuery = Annotated[Reference | None, Query(description="Number of an order, ticket or job of yours.")]

REFUSALS = (
    NotAMember, NotLicensed, LicenceExhausted, TooManyUnitsForOneUse, ClaimedOtherwise, AccountSuspended,
    AccountArchived,
)  # fmt: skip


@router.get("/claims", response_model=Page[ClaimRead])
async def list_claims(access: MayRead, db: Db, page: PageQuery, query: ClaimQuery, response: Response) -> Page[Any]:
    """The claims of an account, live and released, the newest first. Those above a limit are marked."""
    found = await claims.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    listed = page_of(found, page, response)
    return listed.model_copy(update={"items": await claims.marked(await line_of(db), access, listed.items)})


@claiming.post(
    "/claims",
    response_model=ClaimRead,
    status_code=201,
    responses={200: {"model": ClaimRead, "description": "The resource has these units already."}},
    openapi_extra=raises(*REFUSALS),
)
async def create_claim(body: ClaimCreate, gate: MayClaim) -> Response:
    """Take units of a feature for a resource: 201, or 200 with the first claim when the resource has them already.

    It never passes a limit, however many ask at once and wherever. Members of the account with the role admin or
    editor may, with the token of their session or that of the account.
    """
    ask = Ask(body.feature, body.resource, body.units, body.reason, body.reference)
    return await gate.settle(counters, body.feature, ask, partial(_made, gate.request))


def _made(request: Request, given: Given) -> Response:
    shown = claims.shown(given.claim, over_limit=bool(given.over_limit))
    headers = {"ETag": f'"{claims.etag(given.claim)}"', "Location": f"{request.scope['path']}/{given.claim.id}"}
    if given.new:
        body = orjson.dumps(shown | {"created_at": words.stamp(given.claim.created_at)})
    else:
        body = ClaimRead.model_validate(shown).model_dump_json()
    return Response(body, 201 if given.new else 200, headers, "application/json")


@router.post("/claim-batches", response_model=ClaimBatchRead, openapi_extra=raises(*REFUSALS) | BARE)
async def run_claim_batch(body: ClaimBatch, access: MayManage, db: Db) -> dict[str, Any]:
    """Release and claim up to 100 resources each, releases first: all of it, or nothing.

    What is refused has a pointer in `errors`. A resource that has the units already keeps its claim.
    """
    asks = [Ask(c.feature, c.resource, c.units, c.reason, c.reference) for c in body.claims]
    return {"claims": await claims.batch(db, access, [r.model_dump() for r in body.releases], asks)}


@router.get("/claims/{claim_id}", response_model=ClaimRead)
async def get_claim(claim_id: ClaimId, access: MayRead, db: Db, response: Response) -> dict[str, Any]:
    """Read one claim, live or released. It says what its units are for, who took them, and when and why they were given
    back.
    """
    claim = await claims.get(db, access, claim_id)
    (shown,) = await claims.marked(await line_of(db), access, [claim])
    response.headers["ETag"] = f'"{claims.etag(claim)}{".1" if shown["over_limit"] else ""}"'
    return shown


@router.delete("/claims/{claim_id}", status_code=204, openapi_extra=raises(NotAMember))
async def release_claim(claim_id: ClaimId, access: MayManage, db: Db, reason: ReasonQuery = None,
                        reference: ReferenceQuery = None) -> None:  # fmt: skip
    """Give the units of a claim back. Asked again, it changes nothing. It needs no If-Match: a claim never changes."""
    await claims.release(db, access, await claims.get(db, access, claim_id), reason=reason, reference=reference)


@router.delete("/claims", status_code=204, openapi_extra=raises(NotAMember))
async def release_resource(
    access: MayManage, db: Db,
    feature: Annotated[FeatureKey, Query(description="Key of the feature.")],
    resource: Annotated[Resource, Query(description="What the units were claimed for.")],
    reason: ReasonQuery = None, reference: ReferenceQuery = None,
) -> None:  # fmt: skip
    """Give the units of a resource back, for those who keep no ids of claims: 404 when it holds none."""
    await claims.release_resource(db, access, (feature, resource), reason=reason, reference=reference)
