"""Price models: operators keep the catalogue; partners put their accounts into one of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, func, select
from sqlalchemy import Text as Text_
from sqlalchemy.ext.asyncio import AsyncSession

from app.express import Driver, Prepared, param
from app.models import Account, PriceModel
from app.policy import Access, Permission
from app.problems import Fault, Forbidden, Invalid, Text
from app.services import articles, catalogue, grants, lists, prices, walks
from app.services.grants import OF_PRICE_MODEL

NOT_YOURS = Text("Your role may not set the price model.", "Ihre Rolle darf das Preismodell nicht setzen.")
UNKNOWN = Text("There is no such price model.", "Dieses Preismodell gibt es nicht.")
ARCHIVED = Text("The price model is archived: accounts keep it, and no other gets it.",
                "Das Preismodell ist archiviert: Konten behalten es, kein anderes bekommt es.")  # fmt: skip
NO_ARTICLE = Text("There is no such article.", "Diesen Artikel gibt es nicht.")
TWICE = Text("Every article once.", "Jeder Artikel nur einmal.")
POINTER: Final = "/price_model"

TABLE = lists.Table(
    PriceModel,
    {
        "key": lists.Column(PriceModel.key, lists.TEXT, sortable=True),
        "archived": lists.Column(PriceModel.archived_at.is_not(None), ("eq", "in"), lists.truth),
        "created_at": lists.Column(PriceModel.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="key",
    search=PriceModel.search,
    hidden={"archived": PriceModel.archived_at.is_(None)},
)


async def listed(
    db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> walks.Listed:
    return await walks.fetch(db, select(PriceModel), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, key: str, *, lock: bool = False) -> PriceModel:
    """A price model, archived or not; with `lock`, it stays as it is until this transaction ends."""
    return await catalogue.get(db, PriceModel, PriceModel.key == key, lock=lock)


async def create(
    db: AsyncSession, access: Access, *, key: str, name: Mapping[str, Any], description: Mapping[str, Any],
    base_grants: Sequence[grants.Grant] = (), article_prices: Sequence[Mapping[str, Any]] = (),
) -> PriceModel:  # fmt: skip
    """Add a price model to the catalogue.

    Raises:
        KeyTaken: there is one of this key, perhaps an archived one.
        Invalid: it has a name in no language, grants that cannot be, or prices of what is no article.
    """
    said = catalogue.merged({}, name)
    row = PriceModel(
        key=key, name=said, description=catalogue.merged({}, description), search=catalogue.search(key, said),
        base_grants=await _granted(db, base_grants, ()),
        article_prices=await _priced(db, article_prices),
    )  # fmt: skip
    return await catalogue.add(db, access, row)


async def update(db: AsyncSession, access: Access, row: PriceModel, patch: Mapping[str, Any]) -> PriceModel:
    """Change texts, base grants or prices (each list as a whole); accounts that are in it keep what they have.

    Raises:
        Invalid: as `create`.
    """
    new = dict(patch)
    if "base_grants" in new:
        new["base_grants"] = await _granted(db, new["base_grants"], row.base_grants)
    if "article_prices" in new:
        new["article_prices"] = await _priced(db, new["article_prices"])
    return await catalogue.change(db, access, row, new)


def shown(row: PriceModel) -> dict[str, Any]:
    """A price model as the API shows it."""
    return catalogue.shown(row, "key", "base_grants", "article_prices")


async def _granted(
    db: AsyncSession, given: Sequence[grants.Grant], before: Sequence[grants.Grant]
) -> list[dict[str, Any]]:
    return await grants.checked(db, given, before, "/base_grants", OF_PRICE_MODEL)


async def _priced(db: AsyncSession, given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What articles cost in it, each in its one form.

    Raises:
        Invalid: of any, there is no such article, or it is named twice, or its price is none.
    """
    known = await articles.known(db, (entry["article"] for entry in given))
    found, faults, seen = list[dict[str, Any]](), list[Fault](), set[str]()
    for n, entry in enumerate(given):
        number, at = entry["article"], f"/article_prices/{n}"
        if number in seen or number not in known:
            wrong = ("duplicate_article", TWICE) if number in seen else ("unknown_article", NO_ARTICLE)
            faults.append(Fault(f"{at}/article", *wrong))
        seen.add(number)
        try:
            found.append({"article": number, "price": prices.checked(entry["price"], f"{at}/price")})
        except Invalid as invalid:
            faults += invalid.errors
    if faults:
        raise Invalid(errors=faults)
    return found


async def article_prices(db: AsyncSession, account_id: UUID) -> dict[str, prices.Price]:
    """What articles cost in an account's price model, where that is not their own price."""
    found = select(PriceModel.article_prices).join(Account, Account.price_model == PriceModel.key)
    own = await db.scalar(found.where(Account.id == account_id)) or []
    return {entry["article"]: entry["price"] for entry in own}


async def check(line: Driver, access: Access, before: str | None, after: str | None) -> None:
    """Whether this caller may give an account that has `before` the price model `after`.

    Raises:
        Forbidden: no role of the caller sets price models.
        Invalid: there is no such price model, or it is archived.
    """
    if after == before:
        return
    known = {} if after is None else await archived(line, [after])
    if wrong := refusal(access, before, after, known):
        refused = Forbidden if wrong[0] == "not_editable" else Invalid
        raise refused(errors=[Fault(POINTER, *wrong)])


async def archived(line: Driver, keys: Iterable[str]) -> dict[str, bool]:
    """Those of the keys that are price models', and whether these are archived."""
    wanted = sorted({key for key in keys if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", key)})
    return dict(await _ARCHIVED.all(line, keys=wanted)) if wanted else {}


_ARCHIVED: Final = Prepared(
    select(PriceModel.key, PriceModel.archived_at.is_not(None)).where(
        PriceModel.key == func.any(param("keys", ARRAY(Text_())))
    )
)


def refusal(access: Access, before: str | None, after: str | None,
            known: Mapping[str, bool]) -> tuple[str, Text] | None:  # fmt: skip
    """Why this caller may not give an account that has `before` the price model `after`: a code, and what to do."""
    if after == before:
        return None
    if not access.may(Permission.PRICE_MODEL_SET):
        return "not_editable", NOT_YOURS
    if after is None:
        return None
    if after not in known:
        return "unknown_price_model", UNKNOWN
    return ("archived_price_model", ARCHIVED) if known[after] else None
