"""Articles: what is sold. Operators keep the catalogue; what was sold keeps the terms it was sold at."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Article, BillingPeriod
from app.policy import Access
from app.problems import Fault, Invalid, Text
from app.services import catalogue, grants, lists, prices, walks
from app.services.grants import OF_ARTICLE

BACKWARDS: Final = Text("Must be later than active_from_at.", "Muss nach active_from_at liegen.")


def sellable_at(at: Any) -> ColumnElement[bool]:
    """`sellable`, in SQL."""
    return and_(
        Article.archived_at.is_(None), or_(Article.active_from_at.is_(None), Article.active_from_at <= at),
        or_(Article.active_until_at.is_(None), Article.active_until_at > at),
    )  # fmt: skip


TABLE = lists.Table(
    Article,
    {
        "number": lists.Column(Article.number, lists.TEXT, str.upper, sortable=True),
        "currency": lists.Column(Article.currency, lists.EQUALITY, str.upper),
        "billing_period": lists.Column(Article.billing_period, lists.EQUALITY, lists.one_of(BillingPeriod)),
        "grants": lists.Column(Article.grants, ("contains",),
                               contains=lambda feature: Article.grants.contains([{"feature": feature}])),
        "sellable": lists.Column(sellable_at(func.now()), ("eq",), lists.truth),
        "archived": lists.Column(Article.archived_at.is_not(None), ("eq", "in"), lists.truth),
        "created_at": lists.Column(Article.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="number",
    search=Article.search,
    hidden={"archived": Article.archived_at.is_(None)},
)  # fmt: skip


def sellable(row: Article, at: datetime) -> bool:
    """Whether it can be sold at that moment: it is not archived, and within its time."""
    begun = row.active_from_at is None or row.active_from_at <= at
    return row.archived_at is None and begun and (row.active_until_at is None or at < row.active_until_at)


async def listed(
    db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> walks.Listed:
    return await walks.fetch(db, select(Article), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, number: str, *, lock: bool = False) -> Article:
    """An article, archived or not; with `lock`, it stays as it is until this transaction ends."""
    return await catalogue.get(db, Article, Article.number == number, lock=lock)


async def known(db: AsyncSession, numbers: Iterable[str]) -> set[str]:
    """Those of the numbers that are articles', archived or not."""
    wanted = set(numbers)
    return set(await db.scalars(select(Article.number).where(Article.number.in_(wanted)))) if wanted else set()


async def create(
    db: AsyncSession, access: Access, *, number: str, name: Mapping[str, Any], description: Mapping[str, Any],
    price: prices.Price, billing_period: BillingPeriod, grants: Sequence[grants.Grant] = (),
    active_from_at: datetime | None = None, active_until_at: datetime | None = None,
) -> Article:  # fmt: skip
    """Add an article to the catalogue.

    Raises:
        NumberTaken: there is one of this number, perhaps an archived one.
        Invalid: it has a name in no language, a price that is none, grants that cannot be, or no time to be sold in.
    """
    said = catalogue.merged({}, name)
    row = Article(
        number=number, name=said, description=catalogue.merged({}, description), search=catalogue.search(number, said),
        **_priced(price), billing_period=billing_period, grants=await _granted(db, grants, ()),
        active_from_at=active_from_at, active_until_at=active_until_at,
    )  # fmt: skip
    _refuse_backwards(active_from_at, active_until_at)
    return await catalogue.add(db, access, row)


async def update(db: AsyncSession, access: Access, row: Article, patch: Mapping[str, Any]) -> Article:
    """Change texts, price, billing period, grants or the time it is sold in; what was sold of it stays as it is.

    Raises:
        Invalid: as `create`.
    """
    new = {field: value for field, value in patch.items() if field != "price"}
    if "price" in patch:
        new |= _priced(patch["price"])
    if "grants" in patch:
        new["grants"] = await _granted(db, patch["grants"], row.grants)
    _refuse_backwards(new.get("active_from_at", row.active_from_at), new.get("active_until_at", row.active_until_at))
    return await catalogue.change(db, access, row, new)


def shown(row: Article) -> dict[str, Any]:
    """An article as the API shows it."""
    found = catalogue.shown(row, "number", "billing_period", "grants", "active_from_at", "active_until_at")
    return found | {"price": prices.shown(row.amount, row.currency)}


async def _granted(
    db: AsyncSession, given: Sequence[grants.Grant], before: Sequence[grants.Grant]
) -> list[dict[str, Any]]:
    return await grants.checked(db, given, before, "/grants", OF_ARTICLE)


def _priced(price: prices.Price) -> dict[str, Any]:
    found = prices.checked(price, "/price")
    return {"amount": Decimal(found["amount"]), "currency": found["currency"]}


def _refuse_backwards(start: datetime | None, end: datetime | None) -> None:
    if start is not None and end is not None and end <= start:
        raise Invalid(errors=[Fault("/active_until_at", "not_later", BACKWARDS)])
