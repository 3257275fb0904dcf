"""The accounts table of one partner: its fixed columns, and those that the partner invented, as a list can be asked."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import func

from app import words
from app.models import Account, AccountStatus, PropertyType
from app.problems import ColumnNotReady
from app.services import lists
from app.services.columns import Columns, Definition
from app.services.lists import Column, Query, Table

FIXED: Final[Mapping[str, Column]] = {
    "name": Column(Account.name_search, lists.TEXT, words.search_key, sortable=True, sought=str),
    "status": Column(Account.status, lists.EQUALITY, lists.one_of(AccountStatus)),
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
    return Column(getattr(Account, d.slot), d.kind.operators, d.kind.ask, sortable=True, nullable=True,
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
    return Account.properties[key].has_key(option)
