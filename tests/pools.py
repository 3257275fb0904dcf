"""Features, licences and articles as rows, for tests of what is made of them; and what must be true of all claims."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from httpx import AsyncClient, Response

from app.models import (
    PLATFORM,
    Account,
    Article,
    BillingPeriod,
    Feature,
    FeatureKind,
    Licence,
    LicenceSource,
    Overage,
    new_id,
    utc_now,
)
from app.services import pools
from tests.conftest import Owner, World

LONG_AGO = timedelta(days=400)


def at(account: Account) -> str:
    """The address of an account."""
    return f"/v1/partners/{account.partner_id}/accounts/{account.id}"


async def feature(
    world: World, key: str = "assets", *, kind: FeatureKind = FeatureKind.QUOTA, default: int = 0,
    overage: Overage = Overage.FORBIDDEN, archived: bool = False,
) -> str:  # fmt: skip
    """A feature of the catalogue."""
    unit = {"en": "unit", "de": "Einheit"} if kind is FeatureKind.QUOTA else {}
    async with world.transaction(PLATFORM) as db:
        db.add(Feature(key=key, kind=kind, name={"en": key.title()}, description={}, unit=unit, search=key,
                       default_units=default, overage=overage, archived_at=utc_now() if archived else None))  # fmt: skip
    return key


async def licence(world: World, account: Account, key: str = "assets", units: int = 10, **given: Any) -> UUID:
    """A licence of the account, in force for ever unless told otherwise; made as whoever changes licences makes it."""
    values: dict[str, Any] = {
        "max_units_per_claim": None, "starts_at": utc_now() - LONG_AGO, "ends_at": None, "grace_days": 0,
        "source": LicenceSource.MANUAL,
    }  # fmt: skip
    row = Licence(partner_id=account.partner_id, account_id=account.id, feature=key, units=units, **values | given)
    async with world.transaction(account.partner_id) as db:
        await pools.hold(db, account.partner_id, account.id, [key])
        db.add(row)
    return row.id


async def change(world: World, account: Account, licence_id: UUID, **values: Any) -> None:
    """Change a licence, as whoever changes licences does: while its pool is held."""
    async with world.transaction(account.partner_id) as db:
        row = await db.get_one(Licence, (account.partner_id, licence_id))
        await pools.hold(db, account.partner_id, account.id, [row.feature])
        for name, value in values.items():
            setattr(row, name, value)


async def article(world: World, number: str, amount: str, *grants: dict[str, Any], **given: Any) -> str:
    """An article of the catalogue."""
    own: dict[str, Any] = {"name": {"en": number}, "description": {}, "currency": "EUR", "search": number,
                           "billing_period": BillingPeriod.MONTHLY}  # fmt: skip
    async with world.transaction(PLATFORM) as db:
        db.add(Article(number=number, amount=Decimal(amount), grants=list(grants), **own | given))
    return number


def grant(key: str = "assets", units: int = 10, cap: int | None = None) -> dict[str, Any]:
    return {"feature": key, "units": units, "duration": None, "grace_days": 0, "max_units_per_claim": cap}


async def claim(
    client: AsyncClient, account: Account, resource: str, units: int = 1, key: str = "assets", **headers: str
) -> Response:
    body = {"feature": key, "resource": resource, "units": units}
    return await client.post(f"{at(account)}/claims", json=body, headers=headers)


MISCOUNTED = """
    SELECT coalesce(u.account_id, c.account_id) AS account_id, u.feature, u.used, c.units
      FROM usages u
      FULL JOIN (SELECT partner_id, account_id, feature, sum(units) AS units FROM claims
                  WHERE released_at IS NULL GROUP BY 1, 2, 3) c USING (partner_id, account_id, feature)
     WHERE coalesce(u.used, 0) <> coalesce(c.units, 0)
"""
"""Pools that do not count as many units as their live claims hold: never one."""

UNTOLD = """
    SELECT c.id FROM claims c
     WHERE (SELECT count(*) FROM events e WHERE e.partner_id = c.partner_id AND e.subject_id = c.id
             AND e.type = 'claim.created') <> 1
        OR (SELECT count(*) FROM events e WHERE e.partner_id = c.partner_id AND e.subject_id = c.id
             AND e.type = 'claim.released') <> (c.released_at IS NOT NULL)::int
"""
"""Claims of which the change log does not tell once what became of them: never one."""


async def nothing_is_lost(owner: Owner) -> None:
    assert await owner.rows(MISCOUNTED) == []
    assert await owner.rows(UNTOLD) == []


def in_days(days: float) -> datetime:
    return utc_now() + timedelta(days=days)


__all__ = ["MISCOUNTED", "UNTOLD", "new_id"]
