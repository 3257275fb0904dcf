"""Price models: operators keep the catalogue; partners put their accounts into one of them."""

import re
from collections.abc import Iterable, Mapping, Set
from typing import Any, Final

from sqlalchemy import ARRAY, func, select
from sqlalchemy import Text as Text_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.express import Driver, Prepared, param
from app.models import PriceModel, utc_now
from app.policy import Access, Permission, Role, allowing
from app.problems import Fault, Forbidden, Invalid, KeyTaken, NotFound, Text
from app.services import events, lists, walks

NO_NAME = Text("A name in at least one language.", "Ein Name in mindestens einer Sprache.")
NOT_YOURS = Text("Your role may not set the price model.", "Ihre Rolle darf das Preismodell nicht setzen.")
UNKNOWN = Text("There is no such price model.", "Dieses Preismodell gibt es nicht.")
ARCHIVED = Text("The price model is archived: accounts keep it, and no other gets it.",
                "Das Preismodell ist archiviert: Konten behalten es, kein anderes bekommt es.")  # fmt: skip
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
    statement = select(PriceModel).where(PriceModel.key == key)
    found = await db.scalar(statement.with_for_update(key_share=True) if lock else statement)
    if found is None:
        raise NotFound
    return found


async def create(
    db: AsyncSession, access: Access, *, key: str, name: Mapping[str, Any], description: Mapping[str, Any]
) -> PriceModel:
    """Add a price model to the catalogue.

    Raises:
        KeyTaken: there is one of this key, perhaps an archived one.
        Invalid: it has a name in no language.
    """
    given = _merged({}, name)
    row = PriceModel(key=key, name=given, description=_merged({}, description), search=_search(key, given))
    try:
        async with db.begin_nested():
            db.add(row)
    except IntegrityError as error:
        if "uq_price_models_key" not in str(error.orig):
            raise
        raise KeyTaken from None
    events.record(db, access, "price_model.created", row, after=events.facts(row))
    return row


async def update(db: AsyncSession, access: Access, row: PriceModel, patch: Mapping[str, Any]) -> PriceModel:
    """Change name or description (a merge patch, each language for itself).

    Raises:
        Invalid: it would have a name in no language.
    """
    new = {field: _merged(getattr(row, field), texts or {}, empty=texts is None) for field, texts in patch.items()}
    before, after = events.changed(row, new)
    row.search = _search(row.key, row.name)
    await db.flush()
    if after:
        events.record(db, access, "price_model.updated", row, before=before, after=after)
    return row


async def archive(db: AsyncSession, access: Access, row: PriceModel, *, archived: bool) -> PriceModel:
    """Take a price model off the catalogue, or put it back; accounts that have it keep it either way."""
    if (row.archived_at is not None) != archived:
        before, after = events.changed(row, {"archived_at": utc_now() if archived else None})
        await db.flush()
        name = "price_model.archived" if archived else "price_model.restored"
        events.record(db, access, name, row, before=before, after=after)
    return row


def shown(row: PriceModel) -> dict[str, Any]:
    """A price model as the API shows it; a text in one language does for both."""
    own = {k: getattr(row, k) for k in ("id", "key", "archived_at", "created_at", "updated_at")}
    return own | {"name": words.both(row.name), "description": words.both(row.description)}


async def check(line: Driver, access: Access, before: str | None, after: str | None) -> None:
    """Whether this caller may give an account that has `before` the price model `after`.

    Raises:
        Forbidden: no role of the caller sets price models.
        Invalid: there is no such price model, or it is archived.
    """
    if after == before:
        return
    known = {} if after is None else await archived(line, [after])
    if wrong := refusal(access.roles, before, after, known):
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


def refusal(roles: Set[Role], before: str | None, after: str | None,
            known: Mapping[str, bool]) -> tuple[str, Text] | None:  # fmt: skip
    """Why these roles may not give an account that has `before` the price model `after`: a code, and what to do."""
    if after == before:
        return None
    if not allowing(roles, Permission.PRICE_MODEL_SET):
        return "not_editable", NOT_YOURS
    if after is None:
        return None
    if after not in known:
        return "unknown_price_model", UNKNOWN
    return ("archived_price_model", ARCHIVED) if known[after] else None


def _merged(old: Mapping[str, Any], patch: Mapping[str, Any], *, empty: bool = False) -> dict[str, str]:
    """Texts by language after a merge patch (RFC 7396); `empty` when the patch says null."""
    texts = {} if empty else {**old, **patch}
    return {language: text for language, given in texts.items() if (text := words.clean(given or ""))}


def _search(key: str, name: Mapping[str, Any]) -> str:
    """Raises:
    Invalid: the name says nothing.
    """
    if not name:
        raise Invalid(errors=[Fault("/name", "missing", NO_NAME)])
    return "\n".join([key, *(words.search_key(text) for _, text in sorted(name.items()))])
