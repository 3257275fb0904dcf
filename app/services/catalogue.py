"""What the nouns of the catalogue share: texts by language, names that never change, leaving it and coming back."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import Article, Feature, PriceModel, utc_now
from app.policy import Access
from app.problems import Fault, Invalid, KeyTaken, NotFound, NumberTaken, Text
from app.services import events

Entry = TypeVar("Entry", Article, Feature, PriceModel)
TEXTS: Final = frozenset({"name", "description", "unit"})
NO_NAME: Final = Text("A name in at least one language.", "Ein Name in mindestens einer Sprache.")


async def get(db: AsyncSession, model: type[Entry], called: ColumnElement[bool], *, lock: bool) -> Entry:
    """An entry, archived or not; with `lock`, it stays as it is until this transaction ends."""
    statement = select(model).where(called)
    found = await db.scalar(statement.with_for_update(key_share=True) if lock else statement)
    if found is None:
        raise NotFound
    return found


async def add(db: AsyncSession, access: Access, row: Entry) -> Entry:
    """Put an entry into the catalogue.

    Raises:
        KeyTaken, NumberTaken: there is one that is called so, perhaps an archived one.
    """
    try:
        async with db.begin_nested():
            db.add(row)
    except IntegrityError as error:
        if f"uq_{row.__tablename__}_" not in str(error.orig):
            raise
        raise (NumberTaken if isinstance(row, Article) else KeyTaken) from None
    events.record(db, access, f"{row.__subject__}.created", row, after=events.facts(row))
    return row


async def change(db: AsyncSession, access: Access, row: Entry, patch: Mapping[str, Any]) -> Entry:
    """Change fields of an entry: of texts each language for itself (a merge patch), anything else as a whole.

    Raises:
        Invalid: it would have a name in no language.
    """
    new = {field: merged(getattr(row, field), value or {}, empty=value is None) if field in TEXTS else value
           for field, value in patch.items()}  # fmt: skip
    before, after = events.changed(row, new)
    row.search = search(row.number if isinstance(row, Article) else row.key, row.name)
    await db.flush()
    if after:
        events.record(db, access, f"{row.__subject__}.updated", row, before=before, after=after)
    return row


async def archive(db: AsyncSession, access: Access, row: Entry, *, archived: bool) -> Entry:
    """Take an entry off the catalogue, or put it back; whatever names it goes on naming it either way."""
    if (row.archived_at is not None) != archived:
        before, after = events.changed(row, {"archived_at": utc_now() if archived else None})
        await db.flush()
        type = f"{row.__subject__}.{'archived' if archived else 'restored'}"
        events.record(db, access, type, row, before=before, after=after)
    return row


def merged(old: Mapping[str, Any], patch: Mapping[str, Any], *, empty: bool = False) -> dict[str, str]:
    """Texts by language after a merge patch (RFC 7396); `empty` when the patch says null."""
    texts = {} if empty else {**old, **patch}
    return {language: text for language, given in texts.items() if (text := words.clean(given or ""))}


def search(called: str, name: Mapping[str, Any]) -> str:
    """What `q` finds an entry by: what it is called, and its name in each language.

    Raises:
        Invalid: the name says nothing.
    """
    if not name:
        raise Invalid(errors=[Fault("/name", "missing", NO_NAME)])
    return "\n".join([words.search_key(called), *(words.search_key(text) for _, text in sorted(name.items()))])


def shown(row: Entry, *fields: str) -> dict[str, Any]:
    """An entry as the API shows it, with these fields of its own; a text in one language does for both."""
    own = {field: getattr(row, field) for field in ("id", *fields, "archived_at", "created_at", "updated_at")}
    return own | {field: words.both(getattr(row, field)) for field in TEXTS if hasattr(row, field)}
