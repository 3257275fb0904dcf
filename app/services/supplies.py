"""What accounts have of features: what `verdicts` judges by, as one statement reads it from the database."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, DateTime, Select, Text, Uuid, and_, cast, func, select

from app.express import Driver, Prepared, param
from app.models import Feature, FeatureKind, Licence, Overage, SuspendedBy, Usage
from app.services import terms
from app.services.verdicts import FeatureTerms, Grant, Supply

PARTNER, ACCOUNT = param("partner", Uuid()), param("account", Uuid())
NOW: Final = param("now", DateTime(timezone=True))
_KINDS: Final[Mapping[str, FeatureKind]] = {kind.value: kind for kind in FeatureKind}
_OVERAGES: Final[Mapping[str, Overage]] = {overage.value: overage for overage in Overage}


def pools(*conditions: Any) -> Select[Any]:
    """Of each feature that satisfies the conditions, what the account has and uses, as JSON that `read` reads.

    Licences that are over are left out: what it costs does not grow with the past.
    """
    licences = (
        select(granting(Licence))
        .where(Licence.partner_id == PARTNER, Licence.account_id == ACCOUNT, Licence.feature == Feature.key,
               terms.lasting(NOW))
        .correlate(Feature)
        .scalar_subquery()
    )  # fmt: skip
    of_account = and_(Usage.partner_id == PARTNER, Usage.account_id == ACCOUNT, Usage.feature == Feature.key)
    return (
        select(cast(func.json_build_array(*pool(licences, Usage.used)), Text))
        .select_from(Feature)
        .outerjoin(Usage, of_account)
        .where(*conditions)
    )  # fmt: skip


def pool(licences: Any, used: Any) -> list[Any]:
    """What is to be known of a feature and of what an account has of it, in the order in which `known` takes it."""
    return [Feature.key, Feature.kind, Feature.default_units, Feature.overage, Feature.archived_at.is_not(None), used,
            licences]  # fmt: skip


def granting(licence: Any) -> Any:
    """The same of all its licences; `licence` is their table, or what of it counts."""
    return func.json_agg(func.json_build_array(
        licence.units, licence.max_units_per_claim, licence.starts_at, licence.ends_at, licence.grace_days,
        licence.suspended_by, licence.revoked_at,
    ))  # fmt: skip


def read(document: str | None, at: datetime) -> tuple[Supply, int | None]:
    """What `pools` wrote, and how many units are in use: null when nobody has ever claimed any."""
    return (Supply(None, (), at), None) if document is None else known(orjson.loads(document), at)


def known(pool: Sequence[Any], at: datetime) -> tuple[Supply, int | None]:
    """The same of a document that was read already."""
    key, kind, default_units, overage, archived, used, licences = pool
    feature = FeatureTerms(key, _KINDS[kind], default_units, _OVERAGES[overage], archived)
    return Supply(feature, [_grant(*licence) for licence in licences or ()], at), used


def _grant(units: int, cap: int | None, starts: str, ends: str | None, grace: int, suspended_by: str | None,
           revoked: str | None) -> Grant:  # fmt: skip
    return Grant(units, cap, datetime.fromisoformat(starts), datetime.fromisoformat(ends) if ends else None, grace,
                 SuspendedBy(suspended_by) if suspended_by else None,
                 datetime.fromisoformat(revoked) if revoked else None)  # fmt: skip


_OF_FEATURES: Final = Prepared(pools(Feature.key == func.any(param("features", ARRAY(Text())))))


async def of(
    line: Driver, partner_id: UUID, account_id: UUID, features: Iterable[str], at: datetime
) -> dict[str, tuple[Supply, int]]:
    """What the account has and uses of each of these features; those that the catalogue does not know are missing."""
    rows: Sequence[tuple[Any, ...]] = await _OF_FEATURES.all(
        line, partner=partner_id, account=account_id, features=sorted(set(features)), now=at
    )
    found = [read(document, at) for (document,) in rows]
    return {supply.feature.key: (supply, used or 0) for supply, used in found if supply.feature is not None}
