"""Lists: the way to a page of them, along an index from behind a cursor on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Select, String, and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from app.services.lists import Order, Query, Table, conditions, moment, sorts


@dataclass(frozen=True)
class Listed:
    """The rows of a page and one more, if there is one; `total` when it was asked for."""

    rows: Sequence[Any]
    total: int | None
    position: Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Plan:
    """A query as the database will be asked: one walk along an index after the other, until the page is full.

    A first column that may be empty makes two walks, the filled rows and then the empty ones: each is one walk along
    an index, which the two together are not.
    """

    matching: Select[Any]
    orders: Sequence[Order]
    walks: Sequence[Select[Any]]


def plan(statement: Select[Any], table: Table, query: Query, after: Sequence[Any] | None) -> Plan:
    """How to run `statement` under the client's conditions, in its order, from behind `after` on.

    Raises:
        Invalid: unknown field, operator that the field has not, or a value that is none.
    """
    matching = statement.where(*conditions(table, query))
    orders = sorts(table, query)
    return Plan(matching, orders, walks(matching, orders, after, table.model.id))


def counted(matching: Select[Any]) -> Select[Any]:
    return select(func.count()).select_from(matching.order_by(None).subquery())


async def fetch(db: AsyncSession, statement: Select[Any], table: Table, query: Query, *, limit: int,
                after: list[Any] | None, count: bool) -> Listed:  # fmt: skip
    """Run `statement` under the client's conditions, in its order, from its cursor on.

    Raises:
        Invalid: unknown field, operator that the field has not, or a value that is none.
    """
    asked = plan(statement, table, query, None if after is None else revived(sorts(table, query), after))
    total = await db.scalar(counted(asked.matching)) if count else None
    rows: list[Any] = []
    for walk in asked.walks:
        if len(rows) <= limit:
            rows += (await db.execute(walk.limit(limit + 1 - len(rows)))).all()
    entities = [r[0] if len(r) == 1 else r for r in rows]
    keys = [o.by.key for o in asked.orders]

    def position(row: Any) -> list[Any]:
        return [*(_kept(getattr(row, key)) for key in keys), str(row.id)]

    return Listed(entities, total, position)


def whole(statement: Select[Any], table: Table, query: Query) -> Select[Any]:
    """All rows that `fetch` finds page by page, in the same order, as one statement.

    Raises:
        Invalid: as `fetch`.
    """
    orders = sorts(table, query)
    return _walk(statement.where(*conditions(table, query)), orders, None, table.model.id, orders[0].descending)


def walks(statement: Select[Any], orders: Sequence[Order], after: Sequence[Any] | None, ids: Any) -> list[Select[Any]]:
    """`statement` in this order from behind `after` on: see `Plan`."""
    return list(_segments(statement, orders, after, ids))


def _segments(statement: Select[Any], orders: Sequence[Order], last: Sequence[Any] | None,
              ids: Any) -> Iterator[Select[Any]]:  # fmt: skip
    first, rest = replace(orders[0], nullable=False), orders[1:]
    if not orders[0].nullable:
        yield _walk(statement, [first, *rest], last, ids, first.descending)
        return
    among_empty = last is not None and last[0] is None
    if not among_empty:
        yield _walk(statement.where(first.by.is_not(None)), [first, *rest], last, ids, first.descending)
    yield _walk(statement.where(first.by.is_(None)), rest, last[1:] if last and among_empty else None, ids,
                first.descending)  # fmt: skip


def _walk(statement: Select[Any], orders: Sequence[Order], last: Sequence[Any] | None, ids: Any,
          descending: bool) -> Select[Any]:  # fmt: skip
    """In order, from behind the last row on; the id decides between equals."""
    ordered = [*orders, Order(ids, descending, nullable=False)]
    if last is not None:
        if all(o.descending == descending and not o.nullable for o in orders):  # the index knows where to begin
            row, bound = tuple_(*(o.by for o in ordered)), tuple_(*last)
            statement = statement.where(row < bound if descending else row > bound)
        else:
            statement = statement.where(*_behind(ordered, last))
    return statement.order_by(*(o.clause for o in ordered))


def _behind(orders: Sequence[Order], last: Sequence[Any]) -> list[ColumnElement[bool]]:
    first, value = orders[0], last[0]
    if len(orders) == 1:
        return [first.beyond(value)]
    further = or_(first.beyond(value), and_(first.same(value), *_behind(orders[1:], last[1:])))
    start = [] if first.nullable or value is None else [first.by <= value if first.descending else first.by >= value]
    return [*start, further]


def _kept(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def revived(orders: Sequence[Order], after: Sequence[Any]) -> list[Any]:
    """The values of a cursor as the database compares them.

    Raises:
        StrangeCursor: a column is of another type now than when the cursor was made.
    """
    return [*(_revived(o.by.type, v) for o, v in zip(orders, after[:-1], strict=True)), UUID(after[-1])]


class StrangeCursor(Exception):
    """A cursor of a list that is sorted by something else by now."""


def _revived(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or isinstance(value, str) != isinstance(kind, DateTime | String):
        raise StrangeCursor
    return moment(value) if isinstance(kind, DateTime) else value
