"""The rows that whoever uses or changes an entitlement waits for: see decision 13."""

from collections import Counter
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, column, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Licence, Usage, utc_now
from app.problems import TooManyLicences
from app.services import bulks, terms

Pool = tuple[UUID, str]
"""An account and the key of a feature."""
MOST_LICENCES: Final = 1_000
"""How many licences a pool has that are not over: every claim reads all of them."""


async def hold(db: AsyncSession, partner_id: UUID, account_id: UUID, features: Iterable[str]) -> None:
    """Hold an account's pools of these features until the transaction ends.

    What is read of licences and claims *afterwards* is true until then.
    """
    await hold_many(db, partner_id, [(account_id, feature) for feature in features])


async def hold_many(db: AsyncSession, partner_id: UUID, pools: Iterable[Pool]) -> None:
    """The same for many accounts (and a feature of each) at once. All take several in the order of both."""
    pairs = sorted(set(pools))
    if not pairs:
        return
    rows = [{"account_id": account_id, "feature": feature} for account_id, feature in pairs]
    await bulks.insert(db, Usage, {"partner_id": partner_id, "used": 0}, rows)
    accounts, features = literal([a for a, _ in pairs], ARRAY(Uuid())), literal([f for _, f in pairs], ARRAY(Text()))
    wanted = func.unnest(accounts, features).table_valued(column("account_id", Uuid()), column("feature", Text()))
    asked = wanted.render_derived("asked")
    await db.execute(
        select(Usage.used)
        .join(asked, (Usage.account_id == asked.c.account_id) & (Usage.feature == asked.c.feature))
        .where(Usage.partner_id == partner_id)
        .order_by(Usage.account_id, Usage.feature)
        .with_for_update(of=Usage)
    )


async def refuse_crowded(db: AsyncSession, partner_id: UUID, coming: Iterable[Pool]) -> None:
    """See that pools, which are held, have room for these licences: one for each account and feature that is named.

    Raises:
        TooManyLicences: of a feature the account would have more than any may have.
    """
    wanted = Counter(coming)
    if not wanted:
        return
    accounts, features = {account_id for account_id, _ in wanted}, {feature for _, feature in wanted}
    found = await db.execute(
        select(Licence.account_id, Licence.feature, func.count())
        .where(
            Licence.partner_id == partner_id, Licence.account_id == func.any(literal(list(accounts), ARRAY(Uuid()))),
            Licence.feature.in_(features), terms.lasting(utc_now()),
        )
        .group_by(Licence.account_id, Licence.feature)
    )  # fmt: skip
    had = {(account_id, feature): count for account_id, feature, count in found}
    if any(had.get(pool, 0) + count > MOST_LICENCES for pool, count in wanted.items()):
        raise TooManyLicences
