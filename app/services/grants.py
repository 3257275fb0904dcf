"""Grants: the units of features that an article or a price model gives."""

from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Feature, FeatureKind
from app.problems import Fault, Invalid, Text
from app.services import features

Grant = Mapping[str, Any]
Wrong = tuple[str, str, Text]

UNKNOWN: Final = Text("There is no such feature.", "Dieses Merkmal gibt es nicht.")
ARCHIVED: Final = Text("The feature is archived: nothing else can grant it.",
                       "Das Merkmal ist archiviert: nichts anderes kann es gewähren.")  # fmt: skip
TWICE: Final = Text("Every feature once.", "Jedes Merkmal nur einmal.")
ONE_UNIT: Final = Text("A switch has one unit.", "Ein Schalter hat eine Einheit.")


OF_PRICE_MODEL: Final = {"grace_days": 0, "max_units_per_claim": None}
"""What a grant says unless it says otherwise."""
OF_ARTICLE: Final = {"duration": None, **OF_PRICE_MODEL}


async def checked(
    db: AsyncSession, given: Sequence[Grant], before: Sequence[Grant], pointer: str, blank: Grant
) -> list[dict[str, Any]]:
    """Grants that may take the place of those of `before`, which may go on naming features that are archived by now.

    Raises:
        Invalid: of any, its feature does not exist or is archived or is named twice, or has not so many units.
    """
    known = await features.steady(db, {grant["feature"] for grant in given})
    kept = {grant["feature"] for grant in before}
    wrong = [(n, _wrong(grant, known, kept, {g["feature"] for g in given[:n]})) for n, grant in enumerate(given)]
    if faults := [Fault(f"{pointer}/{n}/{field}", code, text) for n, found in wrong for field, code, text in found]:
        raise Invalid(errors=faults)
    return [{**blank, **grant} for grant in given]


def _wrong(grant: Grant, known: Mapping[str, Feature], kept: Set[str], earlier: Set[str]) -> list[Wrong]:
    key = grant["feature"]
    if key in earlier:
        return [("feature", "duplicate_feature", TWICE)]
    if key not in known:
        return [("feature", "unknown_feature", UNKNOWN)]
    feature, found = known[key], list[Wrong]()
    if feature.archived_at is not None and key not in kept:
        found.append(("feature", "archived_feature", ARCHIVED))
    if feature.kind == FeatureKind.SWITCH and grant["units"] > 1:
        found.append(("units", "too_many_units", ONE_UNIT))
    return found
