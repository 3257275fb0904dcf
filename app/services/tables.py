"""The accounts table of one partner: its fixed columns, and those that the partner invented, as a list can be asked."""

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import func

from app import words
from app.models import Account, AccountStatus
from app.problems import ColumnNotReady
from app.services import lists
from app.services.columns import Columns, Definition
from app.services.lists import Column, Query, Table


def _key(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", text):
        raise ValueError("The key of a price model.", "Der Schlüssel eines Preismodells.")
    return text


FIXED: Final[Mapping[str, Column]] = {
    "name": Column(Account.name_search, lists.TEXT, words.search_key, sortable=True),
    "status": Column(Account.status, lists.EQUALITY, lists.one_of(AccountStatus)),
    "price_model": Column(Account.price_model, (*lists.EQUALITY, "is_null"), _key, sortable=True, nullable=True),
    "member_count": Column(Account.member_count, (*lists.ORDER, "in"), lists.number_of, sortable=True),
    "created_at": Column(Account.created_at, lists.ORDER, lists.moment, sortable=True),
}
PREFIX: Final = "properties."


def fixed() -> Table:
    """The table of a partner that has invented nothing."""
    hidden = {"status": Account.status != AccountStatus.ARCHIVED}
    return Table(Account, FIXED, sort="name", search=Account.search, hidden=hidden)


def of(columns: Columns, query: Query, *, masked: bool) -> Table:
    """The table as this caller may ask it: what is masked is neither filtered nor sorted by, or it could be guessed.

    Raises:
        ColumnNotReady: the query names a column that is being made filterable at this moment.
    """
    open_ = [d for d in columns.active if d.filterable and not (masked and d.sensitive)]
    stale = {PREFIX + d.key for d in open_ if d.stale and d.slot is not None}
    if stale & _named(query):
        raise ColumnNotReady
    plain = fixed()
    return Table(
        Account, {**FIXED, **{PREFIX + d.key: _column(d) for d in open_}}, plain.sort, plain.search, plain.hidden
    )


def _named(query: Query) -> set[str]:
    sorts = {s.removeprefix("-") for s in (query.sort or "").split(",")}
    return sorts | {c.field for c in (*map(lists.parsed, query.filter), *query.all, *query.any)}


def _column(d: Definition) -> Column:
    if d.slot is None:  # a list of options: found without an index
        return Column(func.jsonb_extract_path(Account.properties, d.key), d.kind.operators, nullable=True,
                      contains=lambda option: _holds(d.key, option))  # fmt: skip
    return Column(getattr(Account, d.slot), d.kind.operators, d.kind.ask, sortable=True, nullable=True)


def _holds(key: str, option: str) -> Any:
    return Account.properties[key].has_key(option)
