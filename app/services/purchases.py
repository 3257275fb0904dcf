"""Buying, cancelling, renewing and upgrading: purchases and their licences begin and end together."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, AccountArticle, Article
from app.policy import Access
from app.problems import ArticleNotSold, Fault, Invalid, PurchaseContinued, PurchaseOpenEnded, PurchaseOver, Text
from app.services import account_articles, accounts, articles, events, licence_grants, price_models, prices
from app.services.account_articles import PurchaseState

UNKNOWN = Text("There is no such article.", "Diesen Artikel gibt es nicht.")
ARCHIVED = Text("The article is archived: it is no longer sold.",
                "Der Artikel ist archiviert: er wird nicht mehr verkauft.")  # fmt: skip
NOT_THEN = Text("The article is not sold at the moment when the purchase starts.",
                "Der Artikel wird zum Beginn des Kaufs nicht verkauft.")  # fmt: skip
AFTER_START = Text("Must be after the start.", "Muss nach dem Beginn liegen.")
NOT_BEFORE_END = Text("Must not be before the end of the purchase that it continues.",
                      "Darf nicht vor dem Ende des Kaufs liegen, den er fortsetzt.")  # fmt: skip
WITHIN = Text("Must be within the period of the purchase.", "Muss in der Laufzeit des Kaufs liegen.")
POINTER: Final = "/article"
KEPT: Final = ("order_number", "invoice_number")


async def buy(db: AsyncSession, access: Access, values: Mapping[str, Any]) -> AccountArticle:
    """Buy an article for the account; its licences come into being with it.

    Raises:
        AccountSuspended, AccountArchived: nothing is bought there.
        Invalid: no such article, or not sold (then); no such price; a period that is none; too many units.
        TooManyLicences: the account has as many of a feature as it may have.
    """
    return (await buy_all(db, access, [values]))[0]


async def buy_all(db: AsyncSession, access: Access, orders: Sequence[Mapping[str, Any]]) -> Sequence[AccountArticle]:
    """The same of several articles: all of them, or none.

    Raises:
        AccountSuspended, AccountArchived, Invalid: as `buy`.
    """
    account = await accounts.get(db, access, lock=True)
    accounts.refuse_inactive(account)
    found = await _articles(db, [order["article"] for order in orders])
    now = await licence_grants.hold(db, account, *(article.grants for article in found))
    sold = [(article, dict(order) | {"starts_at": order["starts_at"] or now})
            for article, order in zip(found, orders, strict=True)]  # fmt: skip
    if wrong := [fault for article, given in sold if (fault := _unsold(article, given["starts_at"]))]:
        raise Invalid(errors=wrong)
    return await _sell(db, access, account, sold)


async def cancel(db: AsyncSession, access: Access, account: Account, purchase: AccountArticle, *,
                 at: datetime | None, reason: str | None) -> AccountArticle:  # fmt: skip
    """End a purchase and its licences at a moment; one that has not begun never does.

    Raises:
        PurchaseOver: it has ended.
        Invalid: the moment is not within its period.
    """
    now = await licence_grants.hold(db, account, purchase.grants)
    if account_articles.state(purchase, now) == PurchaseState.ENDED:
        raise PurchaseOver
    ends_at = _within(purchase, at, now)
    if purchase.ends_at is not None and ends_at > purchase.ends_at:
        raise _wrong("/at", "outside_period", WITHIN)
    values = {"ends_at": ends_at, "cancelled_at": now, "cancellation_reason": reason}
    before, after = events.changed(purchase, values)
    await db.flush()
    events.record(db, access, "account_article.cancelled", purchase, before=before, after=after)
    await licence_grants.end(db, access, purchase, ends_at)
    return purchase


async def renew(db: AsyncSession, access: Access, account: Account, purchase: AccountArticle,
                values: Mapping[str, Any]) -> AccountArticle:  # fmt: skip
    """Continue a purchase from its end on, on the terms that the catalogue has today. Days of grace end with its start.

    Raises:
        AccountSuspended: nothing is bought there.
        PurchaseOver, PurchaseContinued, PurchaseOpenEnded: it cannot be renewed (any more).
        ArticleNotSold: its article is not sold (then).
        Invalid, TooManyLicences: as `buy`; a start before the end.
    """
    accounts.refuse_inactive(account)
    (article,) = await _articles(db, [purchase.article])
    now = await licence_grants.hold(db, account, purchase.grants, article.grants)
    await _refuse_finished(db, purchase, now)
    if purchase.ends_at is None:
        raise PurchaseOpenEnded
    starts_at = values["starts_at"] or purchase.ends_at
    if starts_at < purchase.ends_at:
        raise _wrong("/starts_at", "before_end", NOT_BEFORE_END)
    if _unsold(article, starts_at):
        raise ArticleNotSold
    terms_ = dict(values) | {"starts_at": starts_at, "quantity": values["quantity"] or purchase.quantity}
    await licence_grants.end(db, access, purchase, starts_at)  # days of grace bridge a gap, and there is none then
    (new,) = await _sell(db, access, account, [(article, terms_)], renews_id=purchase.id)
    events.record(db, access, "account_article.renewed", purchase, before={}, after={"renewed_by_id": new.id})
    return new


async def upgrade(db: AsyncSession, access: Access, account: Account, purchase: AccountArticle,
                  values: Mapping[str, Any], *, keep_end: bool) -> AccountArticle:  # fmt: skip
    """Replace a purchase by one of another article: where the one ends, the other starts. With `keep_end` the other
    ends when the one would have.

    Raises:
        AccountSuspended: nothing is bought there.
        PurchaseOver, PurchaseContinued: it cannot be upgraded (any more).
        Invalid, TooManyLicences: as `buy`; the moment is not within its period.
    """
    accounts.refuse_inactive(account)
    (article,) = await _articles(db, [values["article"]])
    now = await licence_grants.hold(db, account, purchase.grants, article.grants)
    await _refuse_finished(db, purchase, now)
    at = _within(purchase, values["at"], now)
    if purchase.ends_at is not None and at >= purchase.ends_at:
        raise _wrong("/at", "outside_period", WITHIN)
    if wrong := _unsold(article, at):
        raise Invalid(errors=[wrong])
    terms_ = dict(values) | {"starts_at": at, "quantity": values["quantity"] or purchase.quantity}
    if keep_end:
        terms_["ends_at"] = purchase.ends_at
    before, after = events.changed(purchase, {"ends_at": at})
    await db.flush()
    await licence_grants.end(db, access, purchase, at)
    (new,) = await _sell(db, access, account, [(article, terms_)], replaces_id=purchase.id)
    after |= {"replaced_by_id": new.id}
    events.record(db, access, "account_article.upgraded", purchase, before=before, after=after)
    return new


async def _sell(db: AsyncSession, access: Access, account: Account, sold: Sequence[tuple[Article, Mapping[str, Any]]],
                **continues: Any) -> Sequence[AccountArticle]:  # fmt: skip
    """Purchases and their licences; the pools of their grants are held."""
    own = {} if all(given["price"] for _, given in sold) else await price_models.article_prices(db, account.id)
    found = [_purchase(account, article, given, own, continues) for article, given in sold]
    db.add_all(found)
    await db.flush()  # their licences refer to them
    for purchase in found:
        events.record(db, access, "account_article.bought", purchase, after=events.facts(purchase))
    await licence_grants.begin(db, access, account, found)
    await db.flush()
    return found


def _purchase(account: Account, article: Article, given: Mapping[str, Any], own: Mapping[str, prices.Price],
              continues: Mapping[str, Any]) -> AccountArticle:  # fmt: skip
    """At the price that was given, or the one that the price model has for it, or the article's."""
    starts_at, ends_at = given["starts_at"], given["ends_at"]
    if ends_at is not None and ends_at <= starts_at:
        raise _wrong("/ends_at", "not_after_start", AFTER_START)
    price = given["price"] or own.get(article.number)
    amount, currency = (article.amount, article.currency) if price is None else prices.read(price)
    return AccountArticle(
        partner_id=account.partner_id, account_id=account.id, article=article.number, name=article.name,
        quantity=given["quantity"], amount=amount, currency=currency, billing_period=article.billing_period,
        grants=article.grants, price_model=account.price_model if price and not given["price"] else None,
        starts_at=starts_at, ends_at=ends_at, **{name: given[name] for name in KEPT}, **continues,
    )  # fmt: skip


async def _articles(db: AsyncSession, numbers: Sequence[str]) -> list[Article]:
    """The articles of these numbers, in their order."""
    found = await db.scalars(select(Article).where(Article.number.in_(set(numbers))))
    known = {article.number: article for article in found}
    if not known.keys() >= set(numbers):
        raise _wrong(POINTER, "unknown_article", UNKNOWN)
    return [known[number] for number in numbers]


def _unsold(article: Article, at: datetime) -> Fault | None:
    """Why the article cannot be sold for that start."""
    if article.archived_at is not None:
        return Fault(POINTER, "archived_article", ARCHIVED)
    return None if articles.sellable(article, at) else Fault(POINTER, "article_not_sold_then", NOT_THEN)


def _within(purchase: AccountArticle, at: datetime | None, now: datetime) -> datetime:
    """The moment that was asked for, unless it is before the start; or now, or the start if that is later."""
    if at is None:
        return max(now, purchase.starts_at)
    if at < purchase.starts_at:
        raise _wrong("/at", "outside_period", WITHIN)
    return at


async def _refuse_finished(db: AsyncSession, purchase: AccountArticle, now: datetime) -> None:
    if purchase.cancelled_at is not None or account_articles.state(purchase, now) == PurchaseState.ENDED:
        raise PurchaseOver
    later = select(AccountArticle.id).where(
        AccountArticle.account_id == purchase.account_id,
        or_(AccountArticle.renews_id == purchase.id, AccountArticle.replaces_id == purchase.id),
        or_(AccountArticle.ends_at.is_(None), AccountArticle.ends_at > AccountArticle.starts_at),  # not called off
    )
    if (await db.scalars(later.limit(1))).first() is not None:
        raise PurchaseContinued


def _wrong(pointer: str, code: str, said: Text) -> Invalid:
    return Invalid(errors=[Fault(pointer, code, said)])
