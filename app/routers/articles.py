"""The articles of the catalogue: kept by operators, read by everybody who is signed in."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app.access import Anyone, on_platform
from app.db import Db
from app.policy import Access, Permission
from app.problems import NumberTaken, PreconditionRequired, VersionMismatch, raises
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.article import NUMBER, ArticleCreate, ArticleRead, ArticleUpdate
from app.services import articles, catalogue, lists

router = APIRouter(prefix="/v1/articles", tags=["catalogue"], route_class=IdempotentRoute)

MayManage = Annotated[Access, on_platform(Permission.CATALOGUE_MANAGE)]
Number = Annotated[
    str, Path(pattern=NUMBER, max_length=40, description="Number of the article.", examples=["ASSET-100"])
]
ArticleQuery = Annotated[lists.Query, list_query(articles.TABLE, example="SEN")]


@router.get("", response_model=Page[ArticleRead])
async def list_articles(_: Anyone, db: Db, page: PageQuery, query: ArticleQuery, response: Response) -> Page[Any]:
    """List the articles of the catalogue: what accounts can buy. Archived ones are left out unless a filter names
    `archived`.
    """
    found = await articles.listed(db, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response, articles.shown)


@router.post("", response_model=ArticleRead, status_code=201, openapi_extra=raises(NumberTaken))
async def create_article(
    body: ArticleCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Add an article to the catalogue of the service: something that accounts can buy. It has a price and the licences
    that it grants; its number is for good.
    """
    row = await articles.create(db, access, **body.model_dump())
    return articles.shown(created(response, request, row, row.number))


@router.get("/{number}", response_model=ArticleRead)
async def get_article(number: Number, _: Anyone, db: Db, response: Response) -> dict[str, Any]:
    """Read one article of the catalogue, archived or not. It says what the article costs, which licences it grants, and
    when it is sold.
    """
    return articles.shown(tagged(response, await articles.get(db, number)))


@router.patch("/{number}", response_model=ArticleRead, openapi_extra=raises(VersionMismatch, PreconditionRequired))
async def update_article(
    number: Number, body: ArticleUpdate, access: MayManage, db: Db, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Change an article: texts, price, billing period, grants, or the time in which it is sold; its number never
    changes.

    Whoever bought it keeps the name, the price and the grants that it had then.
    """
    row = match.check(await articles.get(db, number, lock=True))
    row = await articles.update(db, access, row, body.model_dump(exclude_unset=True))
    return articles.shown(tagged(response, row))


@router.post("/{number}/archive", response_model=ArticleRead)
async def archive_article(number: Number, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Archive an article: it is sold no more. Those that bought it keep it; asked again, it changes nothing."""
    row = await articles.get(db, number, lock=True)
    return articles.shown(tagged(response, await catalogue.archive(db, access, row, archived=True)))


@router.post("/{number}/restore", response_model=ArticleRead)
async def restore_article(number: Number, access: MayManage, db: Db, response: Response) -> dict[str, Any]:
    """Bring an archived article back into the catalogue. Asked again, it changes nothing."""
    row = await articles.get(db, number, lock=True)
    return articles.shown(tagged(response, await catalogue.archive(db, access, row, archived=False)))
