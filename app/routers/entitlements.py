"""Entitlements: what accounts may use, and why."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from app.access import in_account, in_partner
from app.db import Db
from app.models import utc_now
from app.policy import Access, Permission
from app.rest import Page, PageQuery, Route
from app.routers.listing import list_query, page_of
from app.schemas.entitlement import AccountEntitlementRead, EntitlementCheck, EntitlementRead, ExplanationRead
from app.schemas.property import KEY
from app.services import entitlements, explanations, lists

PARTNER, ACCOUNT = "/v1/partners/{partner_id}", "/v1/partners/{partner_id}/accounts/{account_id}"
router = APIRouter(tags=["entitlements"], route_class=Route)

MayRead = Annotated[Access, in_account(Permission.ENTITLEMENT_READ)]
MayReadAll = Annotated[Access, in_partner(Permission.ENTITLEMENT_READ)]
AccountQuery = Annotated[lists.Query, list_query(entitlements.TABLE, example="assets")]
PartnerQuery = Annotated[lists.Query, list_query(entitlements.of_partner(utc_now())[1], example="80")]
Feature = Annotated[str, Path(pattern=KEY, max_length=40, description="Key of the feature.", examples=["assets"])]
Units = Annotated[int, Query(ge=1, le=1_000_000, description="How many units are asked about.")]
UserId = Annotated[UUID | None, Query(description="Id of the user in question; unless given, the caller.")]


@router.get(f"{PARTNER}/entitlements", response_model=Page[AccountEntitlementRead])
async def list_partner_entitlements(
    _: MayReadAll, db: Db, page: PageQuery, query: PartnerQuery, response: Response
) -> Page[Any]:
    """What all accounts of a partner may use and use: who is near a limit or above it, and what ends soon.

    Features that an account has a licence for or uses; archived accounts only if a filter names `account_status`.
    """
    found = await entitlements.listed_of_partner(db, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response, entitlements.shown_of_partner)


@router.get(f"{ACCOUNT}/entitlements", response_model=Page[EntitlementRead])
async def list_entitlements(
    access: MayRead, db: Db, page: PageQuery, query: AccountQuery, response: Response
) -> Page[Any]:
    """What an account may use and uses: the features that it is or will be licensed for, uses, or has by default."""
    found, shown = await entitlements.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response, lambda feature: shown[feature.id])


@router.get(f"{ACCOUNT}/entitlements/{{feature}}", response_model=EntitlementCheck)
async def get_entitlement(feature: Feature, access: MayRead, db: Db, units: Units = 1) -> dict[str, Any]:
    """Read what an account may use of a feature. For a button, it says whether the caller could claim so many units
    now.
    """
    return await entitlements.check(db, access, feature, units)


@router.get(f"{ACCOUNT}/entitlements/{{feature}}/explanation", response_model=ExplanationRead)
async def explain_entitlement(
    feature: Feature, access: MayRead, db: Db, user_id: UserId = None, units: Units = 1
) -> dict[str, Any]:
    """Why somebody may or may not use so many units: each step with its facts, and what would turn it.

    It is the verdict that a claim of theirs would get now. Of a user who has nothing to do with the account it says no
    more than that.
    """
    return await explanations.explain(db, access, feature, user_id, units)
