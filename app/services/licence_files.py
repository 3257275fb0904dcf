"""Licence files: what an account may use, said once for devices that cannot ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.express import line_of
from app.models import new_id
from app.policy import Access
from app.services import accounts, entitlements, events, supplies
from app.services.verdicts import Level, Supply


@dataclass(frozen=True)
class LicenceFile:
    """What a file says, before it is signed."""

    __subject__: ClassVar = "licence_file"

    content: Mapping[str, Any]
    id: UUID = field(default_factory=new_id)


async def issue(db: AsyncSession, access: Access, at: datetime, until: datetime, *, taken: bool) -> LicenceFile:
    """What the account may use from now until then, if nothing but the clock changes anything.

    Raises:
        AccountSuspended, AccountArchived: nobody may use anything there.
    """
    account = await accounts.get(db, access)
    accounts.refuse_inactive(account)
    features = (await db.scalars(entitlements.concerning(access, at))).all()
    known = await supplies.of(await line_of(db), access.partner_id, account.id, [f.key for f in features], at)
    file = LicenceFile({
        "partner_id": account.partner_id, "account_id": account.id, "account_name": account.name,
        "entitlements": [said for key in sorted(known) if (said := _said(known[key][0], until))],
    })  # fmt: skip
    if taken:
        events.record(db, access, "licence_file.issued", file, after={"until_at": until})
    return file


def _said(supply: Supply, until: datetime) -> dict[str, Any] | None:
    """One feature: what there is now, and each change to come; null when there is nothing, now or until then."""
    changes: list[tuple[datetime, Level]] = []
    for at, level in supply.later():
        if at < until and level != (changes[-1][1] if changes else supply.now):
            changes.append((at, level))
    if supply.feature is None or not any(level.licensed for level in (supply.now, *(level for _, level in changes))):
        return None
    return {
        "feature": supply.feature.key, "kind": supply.feature.kind, **_level(supply.now),
        "expires_at": supply.expires_at, "changes": [{"at": at, **_level(level)} for at, level in changes],
    }  # fmt: skip


def _level(level: Level) -> dict[str, Any]:
    return {"limit": level.limit, "reach": level.reach, "max_units_per_claim": level.cap}
