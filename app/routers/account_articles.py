"""Purchases: what accounts bought."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app.access import in_account, in_partner
from app.db import Db
from app.models import AccountArticle
from app.policy import Access, Permission
from app.problems import (
    AccountArchived,
    AccountSuspended,
    ArticleNotSold,
    PreconditionRequired,
    PurchaseContinued,
    PurchaseOpenEnded,
    PurchaseOver,
    TooManyLicences,
    VersionMismatch,
    raises,
)
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.account_article import (
    AccountArticleCancel,
    AccountArticleCreate,
    AccountArticleRead,
    AccountArticleRenew,
    AccountArticleUpdate,
    AccountArticleUpgrade,
)
from app.services import account_articles, lists, purchases, terms

PARTNER, ACCOUNT = "/v1/partners/{partner_id}/account-articles", "/v1/partners/{partner_id}/accounts/{account_id}"
ARTICLES = f"{ACCOUNT}/articles"

router = APIRouter(tags=["purchases"], route_class=IdempotentRoute)

MayReadAll = Annotated[Access, in_partner(Permission.ACCOUNT_ARTICLE_READ)]
MayRead = Annotated[Access, in_account(Permission.ACCOUNT_ARTICLE_READ)]
MayManage = Annotated[Access, in_account(Permission.ACCOUNT_ARTICLE_MANAGE)]
OfPartner = Annotated[lists.Query, list_query(account_articles.OF_PARTNER, example="LIC-A-10")]
OfAccount = Annotated[lists.Query, list_query(account_articles.TABLE, example="LIC-A-10")]
PurchaseId = Annotated[UUID, Path(description="Id of the purchase.")]


@router.get(PARTNER, response_model=Page[AccountArticleRead])
async def list_partner_account_articles(
    access: MayReadAll, db: Db, page: PageQuery, query: OfPartner, response: Response
) -> Page[Any]:
    """What all accounts of the partner bought, the latest first: what billing reads."""
    found = await account_articles.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    at = terms.now()
    return page_of(found, page, response, lambda row: account_articles.shown(row, at))


@router.get(ARTICLES, response_model=Page[AccountArticleRead])
async def list_account_articles(
    access: MayRead, db: Db, page: PageQuery, query: OfAccount, response: Response
) -> Page[Any]:
    """What the account bought: running, to come and ended, by its start."""
    found = await account_articles.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    at = terms.now()
    return page_of(found, page, response, lambda row: account_articles.shown(row, at))


@router.post(
    ARTICLES, response_model=AccountArticleRead, status_code=201,
    openapi_extra=raises(AccountSuspended, AccountArchived, TooManyLicences),
)  # fmt: skip
async def buy_article(
    body: AccountArticleCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Buy an article for the account: the licences that it grants come into being with it.

    It keeps the name, the price and the grants that the article has today, whatever the catalogue becomes.
    """
    purchase = await purchases.buy(db, access, body.model_dump())
    at = terms.now()
    created(response, request, purchase, purchase.id, account_articles.looks(purchase, at))
    return account_articles.shown(purchase, at)


@router.get(f"{ARTICLES}/{{purchase_id}}", response_model=AccountArticleRead)
async def get_account_article(purchase_id: PurchaseId, access: MayRead, db: Db, response: Response) -> dict[str, Any]:
    """Read one purchase of the account. It says what was bought, for how much, for which period, and whether it was
    cancelled.
    """
    return _shown(await account_articles.get(db, access, purchase_id), response)


@router.patch(
    f"{ARTICLES}/{{purchase_id}}", response_model=AccountArticleRead,
    openapi_extra=raises(AccountArchived, VersionMismatch, PreconditionRequired),
)  # fmt: skip
async def update_account_article(
    body: AccountArticleUpdate, purchase_id: PurchaseId, access: MayManage, db: Db, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Note the order or invoice number of a purchase. What was sold, and for how much, never changes."""
    account, purchase = await account_articles.hold(db, access, purchase_id)
    patch = body.model_dump(exclude_unset=True)
    return _shown(await account_articles.update(db, access, account, match.check(purchase), patch), response)


@router.post(
    f"{ARTICLES}/{{purchase_id}}/cancel", response_model=AccountArticleRead,
    openapi_extra=raises(AccountArchived, PurchaseOver),
)  # fmt: skip
async def cancel_account_article(
    body: AccountArticleCancel, purchase_id: PurchaseId, access: MayManage, db: Db, response: Response
) -> dict[str, Any]:
    """End a purchase and its licences, now or at a moment of its period. There are no days of grace after it."""
    account, purchase = await account_articles.hold(db, access, purchase_id)
    return _shown(await purchases.cancel(db, access, account, purchase, at=body.at, reason=body.reason), response)


@router.post(
    f"{ARTICLES}/{{purchase_id}}/renew", response_model=AccountArticleRead, status_code=201,
    openapi_extra=raises(AccountSuspended, AccountArchived, PurchaseOver, PurchaseContinued, PurchaseOpenEnded,
                         ArticleNotSold, TooManyLicences),
)  # fmt: skip
async def renew_account_article(
    body: AccountArticleRenew, purchase_id: PurchaseId, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Continue a purchase from its end on: a purchase of its own, at today's price and with today's grants."""
    account, purchase = await account_articles.hold(db, access, purchase_id)
    new = await purchases.renew(db, access, account, purchase, body.model_dump())
    return _continued(new, request, response)


@router.post(
    f"{ARTICLES}/{{purchase_id}}/upgrade", response_model=AccountArticleRead, status_code=201,
    openapi_extra=raises(AccountSuspended, AccountArchived, PurchaseOver, PurchaseContinued, TooManyLicences),
)  # fmt: skip
async def upgrade_account_article(
    body: AccountArticleUpgrade, purchase_id: PurchaseId, access: MayManage, db: Db, request: Request,
    response: Response,
) -> dict[str, Any]:  # fmt: skip
    """Replace a purchase by one of another article: at no moment has the account neither, and at none both."""
    account, purchase = await account_articles.hold(db, access, purchase_id)
    keep_end = "ends_at" not in body.model_fields_set
    new = await purchases.upgrade(db, access, account, purchase, body.model_dump(), keep_end=keep_end)
    return _continued(new, request, response)


def _shown(purchase: AccountArticle, response: Response) -> dict[str, Any]:
    at = terms.now()
    return account_articles.shown(tagged(response, purchase, account_articles.looks(purchase, at)), at)


def _continued(purchase: AccountArticle, request: Request, response: Response) -> dict[str, Any]:
    """A new purchase beside the one whose address was asked."""
    response.headers["Location"] = f"{request.url.path.rsplit('/', 2)[0]}/{purchase.id}"
    return _shown(purchase, response)
