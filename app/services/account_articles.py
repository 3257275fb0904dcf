"""Purchases of accounts: how they are found, listed and shown. `purchases` buys, cancels and continues them."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, case, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import Account, AccountArticle
from app.policy import Access
from app.problems import NotFound
from app.services import accounts, events, licence_grants, licences, lists, prices, terms, walks
from app.services.written import said


class PurchaseState(StrEnum):
    """What a purchase is at a moment."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    ENDED = "ended"


S = PurchaseState


def state_at(at: Any) -> Any:
    """`state` at that moment, as the database works it out."""
    never = AccountArticle.ends_at <= AccountArticle.starts_at
    return case(
        (or_(AccountArticle.ends_at <= at, never), said(S.ENDED)),
        (AccountArticle.starts_at > at, said(S.SCHEDULED)),
        else_=said(S.ACTIVE),
    )


STATE: Final = state_at(licences.NOW)
COLUMNS: Final = {
    "article": lists.Column(AccountArticle.article, lists.TEXT, sortable=True),
    "state": lists.Column(STATE, lists.EQUALITY, lambda text: lists.one_of(S)(text).value),
    "cancelled": lists.Column(AccountArticle.cancelled_at.is_not(None), ("eq",), lists.truth),
    "order_number": lists.Column(AccountArticle.order_number, (*lists.TEXT, "is_null"), sortable=True, nullable=True),
    "invoice_number": lists.Column(
        AccountArticle.invoice_number, (*lists.TEXT, "is_null"), sortable=True, nullable=True
    ),
    "price_model": lists.Column(AccountArticle.price_model, (*lists.EQUALITY, "is_null"), nullable=True),
    "renews_id": lists.Column(AccountArticle.renews_id, ("eq", "in", "is_null"), lists.id_of, nullable=True),
    "replaces_id": lists.Column(AccountArticle.replaces_id, ("eq", "in", "is_null"), lists.id_of, nullable=True),
    "starts_at": lists.Column(AccountArticle.starts_at, lists.ORDER, lists.moment, sortable=True),
    "ends_at": lists.Column(
        AccountArticle.ends_at, (*lists.ORDER, "is_null"), lists.moment, sortable=True, nullable=True
    ),
    "runs_until": lists.Column(
        terms.runs_until(AccountArticle.starts_at, AccountArticle.ends_at), lists.BOUNDS, lists.moment
    ),
    "created_at": lists.Column(AccountArticle.created_at, lists.ORDER, lists.moment, sortable=True),
}
SEARCH: Final = licences.searched(AccountArticle.article, AccountArticle.order_number, AccountArticle.invoice_number)
TABLE: Final = lists.Table(AccountArticle, COLUMNS, sort="-starts_at", search=SEARCH)
OF_PARTNER: Final = lists.Table(
    AccountArticle, COLUMNS | {"account_id": lists.Column(AccountArticle.account_id, ("eq", "in"), lists.id_of)},
    sort="-starts_at", search=SEARCH,
)  # fmt: skip
"""The same over all accounts of a partner."""


async def listed(db: AsyncSession, access: Access, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    """The purchases of the account that `access` is for, or of all accounts of its partner."""
    table = TABLE if access.account_id else OF_PARTNER
    return await walks.fetch(db, _of(access), table, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, access: Access, purchase_id: UUID) -> AccountArticle:
    purchase = await db.scalar(_of(access).where(AccountArticle.id == purchase_id))
    if purchase is None:
        raise NotFound
    return purchase


async def hold(db: AsyncSession, access: Access, purchase_id: UUID) -> tuple[Account, AccountArticle]:
    """A purchase and its account, to be changed: nobody else changes either meanwhile.

    Raises:
        AccountArchived: the account can only be read.
    """
    account = await accounts.get(db, access, lock=True)
    purchase = await get(db, access, purchase_id)
    accounts.refuse_archived(account)
    return account, purchase


async def update(db: AsyncSession, access: Access, account: Account, purchase: AccountArticle,
                 patch: Mapping[str, Any]) -> AccountArticle:  # fmt: skip
    """Change order or invoice number (a merge patch); its licences name the same order."""
    before, after = events.changed(purchase, patch)
    await db.flush()
    if after:
        events.record(db, access, "account_article.updated", purchase, before=before, after=after)
    if "order_number" in after:
        await licence_grants.hold(db, account, purchase.grants)
        await licence_grants.renumber(db, access, purchase)
    return purchase


def state(purchase: AccountArticle, at: datetime) -> PurchaseState:
    """What a purchase is at that moment. One that ends where it starts was cancelled before, and never runs."""
    if purchase.ends_at is not None and purchase.ends_at <= max(at, purchase.starts_at):
        return S.ENDED
    return S.SCHEDULED if at < purchase.starts_at else S.ACTIVE


def shown(purchase: AccountArticle, at: datetime) -> dict[str, Any]:
    """A purchase as the API shows it at that moment."""
    own = ("id", "partner_id", "account_id", "article", "quantity", "billing_period", "price_model", "order_number",
           "invoice_number", "starts_at", "ends_at", "cancelled_at", "cancellation_reason", "renews_id", "replaces_id",
           "created_at", "updated_at")  # fmt: skip
    return {name: getattr(purchase, name) for name in own} | {
        "state": state(purchase, at).value, "name": words.both(purchase.name),
        "price": prices.shown(purchase.amount, purchase.currency),
        "grants": purchase.grants,
    }  # fmt: skip


def looks(purchase: AccountArticle, at: datetime) -> int:
    """What the clock makes of a purchase besides its own version, as a number for its ETag."""
    return 1 + list(S).index(state(purchase, at))


def _of(access: Access) -> Select[Any]:
    found = select(AccountArticle)
    return found.where(AccountArticle.account_id == access.account_id) if access.account_id else found
