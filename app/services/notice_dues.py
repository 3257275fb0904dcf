"""What is to be told, of some accounts at a moment: asked of the database as a difference from what has been told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Executable,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.models import (
    Account,
    AccountStatus,
    Feature,
    FeatureKind,
    Licence,
    Notice,
    NoticeKind,
    Overage,
    Usage,
)
from app.services import terms
from app.services.entitlements import limit_of

NEARLY: Final = 80
"""Per cent of its limit from which on a feature is nearly used."""
DAYS: Final = {30: NoticeKind.ENDS_IN_30_DAYS, 7: NoticeKind.ENDS_IN_7_DAYS, 1: NoticeKind.ENDS_IN_1_DAY}
"""How many days of 24 hours before its end a licence is told of."""

_AT: Final = bindparam("at", type_=DateTime(timezone=True))
_ACCOUNTS: Final = bindparam("accounts", type_=ARRAY(Uuid()))


class Ending(NamedTuple):
    """A licence whose end is to be told of: as the narrowest of the notices whose time has come."""

    licence: Licence
    account_name: str
    days: int
    limit_then: int
    """What the limit will be when it gives nothing any more."""
    had: Notice | None
    """What was told of another end."""


class Using(NamedTuple):
    """What is used of a feature, where that is not what was told: it is more, or less again."""

    account_id: UUID
    account_name: str
    feature: str
    used: int
    limit: int
    near: bool
    full: bool
    had_near: Notice | None
    had_full: Notice | None


async def ending(db: AsyncSession, at: datetime, accounts: Sequence[UUID]) -> list[Ending]:
    """The licences of active accounts of which there is to be told that they end."""
    return [Ending(*row) for row in await db.execute(_ENDING, {"at": at, "accounts": list(accounts)})]


async def using(db: AsyncSession, at: datetime, accounts: Sequence[UUID]) -> list[Using]:
    """The use of quotas in active accounts that there is something to be told of, or that fell below a threshold."""
    return [Using(*row) for row in await db.execute(_USING, {"at": at, "accounts": list(accounts)})]


def _ending() -> Executable:
    """A licence at whose end, as far as the clock knows, the limit will be no lower than it is now is told nothing of:
    another follows it. Neither is one of which that notice's time had come before it began.
    """
    row: Any = aliased(Licence)
    over = terms.over_of(row)
    now, then = terms.giving(_AT), terms.giving(over)
    levels = (
        select(
            func.count().filter(now).label("giving"), func.sum(Licence.units).filter(now).label("units"),
            func.count().filter(then).label("giving_then"), func.sum(Licence.units).filter(then).label("units_then"),
        )
        .where(Licence.account_id == row.account_id, Licence.feature == row.feature, terms.lasting(_AT))
        .lateral("levels")
    )  # fmt: skip
    limit, limit_then = (limit_of(levels.c.giving, levels.c.units), limit_of(levels.c.giving_then, levels.c.units_then))
    near = [(row.ends_at <= _AT + literal(days) * terms.DAY, days) for days in sorted(DAYS)]
    days = case(*near[:-1], else_=near[-1][1])
    kind = case(*((condition, DAYS[n].value) for condition, n in near[:-1]), else_=DAYS[near[-1][1]].value)
    told = and_(Notice.account_id == row.account_id, Notice.feature == row.feature, Notice.licence_id == row.id,
                Notice.kind == kind)  # fmt: skip
    return (
        select(row, Account.name, days, limit_then, Notice)
        .join(Account, Account.id == row.account_id)
        .join(Feature, Feature.key == row.feature)
        .join(levels, literal(True))
        .outerjoin(Notice, told)
        .where(
            row.account_id == any_(_ACCOUNTS), row.ends_at > _AT, row.ends_at <= _AT + literal(max(DAYS)) * terms.DAY,
            row.suspended_by.is_(None), row.revoked_at.is_(None), row.starts_at < row.ends_at - days * terms.DAY,
            Account.status == AccountStatus.ACTIVE, limit_then < limit,
            or_(Notice.id.is_(None), Notice.ends_at != row.ends_at),
        )
        .order_by(row.account_id, row.ends_at, row.feature, row.id)
    )  # fmt: skip


def _using() -> Executable:
    """Where nothing is licensed but all may be used, there is no limit to be told of."""
    giving = (
        select(func.count().label("giving"), func.sum(Licence.units).label("units"))
        .where(Licence.account_id == Usage.account_id, Licence.feature == Usage.feature, terms.giving(_AT))
        .lateral("levels")
    )
    limit, used = limit_of(giving.c.giving, giving.c.units), cast(Usage.used, BigInteger)
    near: Any = aliased(Notice)
    full: Any = aliased(Notice)
    is_near, is_full = and_(used > 0, used * 100 >= limit * NEARLY), and_(used > 0, used >= limit)
    was_near, was_full = (func.coalesce(not_(notice.armed), false()) for notice in (near, full))
    return (
        select(Usage.account_id, Account.name, Usage.feature, Usage.used, limit, is_near, is_full, near, full)
        .join(Account, Account.id == Usage.account_id)
        .join(Feature, Feature.key == Usage.feature)
        .join(giving, literal(True))
        .outerjoin(near, _told(near, NoticeKind.NEARLY_USED))
        .outerjoin(full, _told(full, NoticeKind.USED_UP))
        .where(
            Usage.account_id == any_(_ACCOUNTS), Feature.kind == FeatureKind.QUOTA,
            Account.status == AccountStatus.ACTIVE, or_(limit > 0, Feature.overage != Overage.ALLOWED),
            or_(is_near != was_near, is_full != was_full),
        )
        .order_by(Usage.account_id, Usage.feature)
    )  # fmt: skip


def _told(notice: Any, kind: NoticeKind) -> Any:
    return and_(notice.account_id == Usage.account_id, notice.feature == Usage.feature, notice.kind == kind)


# Built once: the building takes as long as the asking.
_ENDING: Final = _ending()
_USING: Final = _using()
