"""The price models of the catalogue: kept by operators, read by everybody who is signed in."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app.access import Anyone, on_platform
from app.db import Db
from app.policy import Access, Permission
from app.problems import KeyTaken, PreconditionRequired, VersionMismatch, raises
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.price_model import PriceModelCreate, PriceModelRead, PriceModelUpdate
from app.schemas.property import KEY
from app.services import catalogue, lists, price_models

router = APIRouter(prefix="/v1/price-models", tags=["catalogue"], route_class=IdempotentRoute)

MayManage = Annotated[Access, on_platform(Permission.CATALOGUE_MANAGE)]
Key = Annotated[str, Path(pattern=KEY, max_length=40, description="Key of the price model.", examples=["basic"])]
PriceModelQuery = Annotated[lists.Query, list_query(price_models.TABLE)]


@router.get("", response_model=Page[PriceModelRead])
async def list_price_models(
    _: Anyone, db: Db, page: PageQuery, query: PriceModelQuery, response: Response
) -> Page[Any]:
    """List the price models that accounts can be in. Archived ones are left out unless a filter names `archived`."""
    found = await price_models.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response, price_models.shown)


@router.post("", response_model=PriceModelRead, status_code=201, openapi_extra=raises(KeyTaken))
async def create_price_model(
    body: PriceModelCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Add a price model to the catalogue of the service. It gives its accounts licences of their own (base grants), and
    prices of articles that hold for them.
    """
    row = await price_models.create(db, access, **body.model_dump())
    return price_models.shown(created(response, request, row, row.key))


@router.get("/{key}", response_model=PriceModelRead)
async def get_price_model(key: Key, _: Anyone, db: Db, response: Response) -> dict[str, Any]:
    """Read one price model of the catalogue, archived or not. It says which licences its accounts get by it, and which
    prices hold for them.
    """
    return price_models.shown(tagged(response, await price_models.get(db, key)))


@router.patch("/{key}", response_model=PriceModelRead, openapi_extra=raises(VersionMismatch, PreconditionRequired))
async def update_price_model(
    key: Key, body: PriceModelUpdate, access: MayManage, db: Db, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Change a price model: texts, base grants or article prices; its key never changes.

    A list replaces the one there was. Accounts that are in the price model keep the base grants that they have.
    """
    row = match.check(await price_models.get(db, key, lock=True))
    row = await price_models.update(db, access, row, body.model_dump(exclude_unset=True))
    return price_models.shown(tagged(response, row))


@router.post("/{key}/archive", response_model=PriceModelRead)
async def archive_price_model(key: Key, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Archive a price model: it is given to no further account. Those that have it keep it; asked again, it changes
    nothing.
    """
    row = await price_models.get(db, key, lock=True)
    return price_models.shown(tagged(response, await catalogue.archive(db, access, row, archived=True)))


@router.post("/{key}/restore", response_model=PriceModelRead)
async def restore_price_model(key: Key, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Bring an archived price model back into the catalogue. Asked again, it changes nothing."""
    row = await price_models.get(db, key, lock=True)
    return price_models.shown(tagged(response, await catalogue.archive(db, access, row, archived=False)))
