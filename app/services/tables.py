"""The accounts table of one partner: its fixed columns, and those that the partner invented, as a list can be asked."""

import re
from collections.abc import Callable, Mapping, Set
from typing import Any, Final

from sqlalchemy import func

from app import words
from app.models import Account, AccountStatus, PropertyType
from app.problems import ColumnNotReady
from app.services import columns, lists
from app.services.columns import Columns, Definition
from app.services.lists import Column, Query, Table


def _key(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", text):
        raise ValueError("The key of a price model.", "Der Schlüssel eines Preismodells.")
    return text


ACCOUNTS: Final = Account.__table__.c
"""The columns themselves: what is asked of those that are mapped to them takes SQLAlchemy twice as long to compile. A
session refuses a statement of nothing else, since it could not confine it.
"""

FIXED: Final[Mapping[str, Column]] = {
    "name": Column(ACCOUNTS.name_search, lists.TEXT, words.search_key, sortable=True, sought=str),
    "status": Column(ACCOUNTS.status, lists.EQUALITY, lists.one_of(AccountStatus)),
    "price_model": Column(ACCOUNTS.price_model, (*lists.EQUALITY, "is_null"), _key, sortable=True, nullable=True),
    "member_count": Column(ACCOUNTS.member_count, (*lists.ORDER, "in"), lists.number_of, sortable=True),
    "created_at": Column(ACCOUNTS.created_at, lists.ORDER, lists.moment, sortable=True),
}
PREFIX: Final = "properties."


def fixed() -> Table:
    """The table of a partner that has invented nothing."""
    hidden = {"status": ACCOUNTS.status != AccountStatus.ARCHIVED}
    return Table(ACCOUNTS, FIXED, sort="name", search=ACCOUNTS.search, hidden=hidden)


def of(known: Columns, query: Query, *, masked: bool) -> Table:
    """The table as this caller may ask it: what is masked is neither filtered nor sorted by, or it could be guessed.

    Raises:
        ColumnNotReady: the query names a column that is being made filterable at this moment.
    """
    stale = {PREFIX + d.key for d in known.active if d.filterable and d.stale and d.slot is not None}
    found = all_of(known, masked=masked)
    if stale & found.columns.keys() & query.fields():
        raise ColumnNotReady
    if masked and query.q and any(d.sensitive and d.stale and d.kind.searched for d in known.active):
        raise ColumnNotReady  # what `q` searches still holds what is hidden by now
    return found


def all_of(known: Columns, *, masked: bool) -> Table:
    """The same, those columns included that are only being made filterable."""
    plain = fixed()
    open_ = {PREFIX + d.key: _column(d) for d in known.active if d.filterable and not (masked and d.sensitive)}
    return Table(ACCOUNTS, {**FIXED, **open_}, plain.sort, plain.search, plain.hidden)


def names_of(known: Columns) -> Set[str]:
    """Every column that can be shown, by its full name."""
    return {*columns.FIXED, *FIXED, *(PREFIX + d.key for d in known.active)}


def full_name(known: Columns, name: str) -> str:
    """`tags` is `properties.tags`: in lists of columns, either will do."""
    return PREFIX + name if name in known.open else name


def _column(d: Definition) -> Column:
    if d.slot is None:  # a list of options: found without an index
        return Column(func.jsonb_extract_path(ACCOUNTS.properties, d.key), d.kind.operators, nullable=True,
                      contains=lambda option: _holds(d.key, option))  # fmt: skip
    return Column(ACCOUNTS[d.slot], d.kind.operators, d.kind.ask, sortable=True, nullable=True,
                  sought=_sought(d))  # fmt: skip


def _sought(d: Definition) -> Callable[[Any], str] | None:
    """What `search` holds when the slot contains something: a slot of texts holds them as `search` does.

    Of the others, which are ASCII but for an address' domain, `search` has the folded form; and what is folded of a
    part is a part of what is folded of the whole.
    """
    if d.sensitive or not d.kind.searched:
        return None
    return str if d.type is PropertyType.TEXT else words.search_key


def _holds(key: str, option: str) -> Any:
    return ACCOUNTS.properties[key].has_key(option)
