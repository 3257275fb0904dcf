"""The features of the catalogue: kept by operators, read by everybody who is signed in."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app.access import Anyone, on_platform
from app.db import Db
from app.policy import Access, Permission
from app.problems import KeyTaken, PreconditionRequired, VersionMismatch, raises
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.feature import FeatureCreate, FeatureRead, FeatureUpdate
from app.schemas.property import KEY
from app.services import catalogue, features, lists

router = APIRouter(prefix="/v1/features", tags=["catalogue"], route_class=IdempotentRoute)

MayManage = Annotated[Access, on_platform(Permission.CATALOGUE_MANAGE)]
Key = Annotated[str, Path(pattern=KEY, max_length=40, description="Key of the feature.", examples=["assets"])]
FeatureQuery = Annotated[lists.Query, list_query(features.TABLE, example="assets")]


@router.get("", response_model=Page[FeatureRead])
async def list_features(_: Anyone, db: Db, page: PageQuery, query: FeatureQuery, response: Response) -> Page[Any]:
    """List the features of the catalogue: what accounts can be licensed for. Archived ones are left out unless a filter
    names `archived`.
    """
    found = await features.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response, features.shown)


@router.post("", response_model=FeatureRead, status_code=201, openapi_extra=raises(KeyTaken))
async def create_feature(
    body: FeatureCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Add a feature to the catalogue of the service: something that accounts can be licensed for. Its key and its kind
    are for good.
    """
    row = await features.create(db, access, **body.model_dump())
    return features.shown(created(response, request, row, row.key))


@router.get("/{key}", response_model=FeatureRead)
async def get_feature(key: Key, _: Anyone, db: Db, response: Response) -> dict[str, Any]:
    """Read one feature of the catalogue, archived or not. It says how the feature is counted, and what accounts have of
    it without a licence.
    """
    return features.shown(tagged(response, await features.get(db, key)))


@router.patch("/{key}", response_model=FeatureRead, openapi_extra=raises(VersionMismatch, PreconditionRequired))
async def update_feature(
    key: Key, body: FeatureUpdate, access: MayManage, db: Db, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Change texts, default or overage of a feature; its key and its kind never change.

    Default and overage count at once, for every account; licences that were given stay as they are.
    """
    row = match.check(await features.get(db, key, lock=True))
    row = await features.update(db, access, row, body.model_dump(exclude_unset=True))
    return features.shown(tagged(response, row))


@router.post("/{key}/archive", response_model=FeatureRead)
async def archive_feature(key: Key, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Archive a feature: it is granted no more. Licences and claims of it go on as they are; asked again, it changes
    nothing.
    """
    row = await features.get(db, key, lock=True)
    return features.shown(tagged(response, await catalogue.archive(db, access, row, archived=True)))


@router.post("/{key}/restore", response_model=FeatureRead)
async def restore_feature(key: Key, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Bring an archived feature back into the catalogue. Asked again, it changes nothing."""
    row = await features.get(db, key, lock=True)
    return features.shown(tagged(response, await catalogue.archive(db, access, row, archived=False)))
