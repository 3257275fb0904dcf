"""Features: what may be used. Operators keep the catalogue; articles and price models give units of them."""

from collections.abc import Mapping, Set
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Feature, FeatureKind, Overage
from app.policy import Access
from app.problems import Fault, Invalid, Text
from app.services import catalogue, lists, walks

ONE_UNIT: Final = Text("A switch is off or on: 0 or 1.", "Ein Schalter ist aus oder an: 0 oder 1.")
NO_UNIT: Final = Text("A switch has no unit.", "Ein Schalter hat keine Einheit.")
NO_OVERAGE: Final = Text("A switch has nothing above its limit: forbidden.",
                         "Ein Schalter hat nichts über seinem Limit: forbidden.")  # fmt: skip

TABLE = lists.Table(
    Feature,
    {
        "key": lists.Column(Feature.key, lists.TEXT, sortable=True),
        "kind": lists.Column(Feature.kind, lists.EQUALITY, lists.one_of(FeatureKind)),
        "overage": lists.Column(Feature.overage, lists.EQUALITY, lists.one_of(Overage)),
        "archived": lists.Column(Feature.archived_at.is_not(None), ("eq", "in"), lists.truth),
        "created_at": lists.Column(Feature.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="key",
    search=Feature.search,
    hidden={"archived": Feature.archived_at.is_(None)},
)


async def listed(
    db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> walks.Listed:
    return await walks.fetch(db, select(Feature), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, key: str, *, lock: bool = False) -> Feature:
    """A feature, archived or not; with `lock`, it stays as it is until this transaction ends."""
    return await catalogue.get(db, Feature, Feature.key == key, lock=lock)


async def steady(db: AsyncSession, keys: Set[str]) -> dict[str, Feature]:
    """Those of the keys that are features', which are not archived (nor restored) until this transaction ends."""
    if not keys:
        return {}
    statement = select(Feature).where(Feature.key.in_(keys)).order_by(Feature.key)
    return {row.key: row for row in await db.scalars(statement.with_for_update(read=True))}


async def create(
    db: AsyncSession, access: Access, *, key: str, kind: FeatureKind, name: Mapping[str, Any],
    description: Mapping[str, Any], unit: Mapping[str, Any], default_units: int = 0,
    overage: Overage = Overage.FORBIDDEN,
) -> Feature:  # fmt: skip
    """Add a feature to the catalogue.

    Raises:
        KeyTaken: there is one of this key, perhaps an archived one.
        Invalid: it has a name in no language, or is a switch with more than a switch has.
    """
    _refuse_unfit(kind, {"unit": unit, "default_units": default_units, "overage": overage})
    said = catalogue.merged({}, name)
    row = Feature(
        key=key, kind=kind, name=said, description=catalogue.merged({}, description), unit=catalogue.merged({}, unit),
        search=catalogue.search(key, said), default_units=default_units, overage=overage,
    )  # fmt: skip
    return await catalogue.add(db, access, row)


async def update(db: AsyncSession, access: Access, row: Feature, patch: Mapping[str, Any]) -> Feature:
    """Change texts, default or overage; what was sold of it stays as it is.

    Raises:
        Invalid: as `create`.
    """
    _refuse_unfit(row.kind, patch)
    return await catalogue.change(db, access, row, patch)


def _refuse_unfit(kind: FeatureKind, given: Mapping[str, Any]) -> None:
    """Whether a feature of this kind may have these."""
    if kind == FeatureKind.QUOTA:
        return
    wrong = [("default_units", "too_many_units", ONE_UNIT)] if given.get("default_units", 0) > 1 else []
    if catalogue.merged({}, given.get("unit") or {}):
        wrong.append(("unit", "unit_of_switch", NO_UNIT))
    if given.get("overage", Overage.FORBIDDEN) != Overage.FORBIDDEN:
        wrong.append(("overage", "overage_of_switch", NO_OVERAGE))
    if wrong:
        raise Invalid(errors=[Fault(f"/{field}", code, text) for field, code, text in wrong])


def shown(row: Feature) -> dict[str, Any]:
    return catalogue.shown(row, "key", "kind", "default_units", "overage")
