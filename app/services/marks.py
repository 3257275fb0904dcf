"""Which claims lie above a limit: the newest ones, when it shrank or may be overrun."""

from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Text, Uuid, func, select

from app.express import Driver, Prepared, param
from app.models import Claim

EVERY: Final = UUID(int=0)
_LIVE: Final = (
    Claim.partner_id == param("partner", Uuid()), Claim.account_id == param("account", Uuid()),
    Claim.feature == param("feature", Text()), Claim.released_at.is_(None),
)  # fmt: skip
_UNITS: Final = param("units", BigInteger())


def _walk(by: Any, reached: Any) -> Any:
    """Live claims in order, each with what has been passed; no more of them than there are units to be passed."""
    return select(Claim.id, reached.label("reached")).where(*_LIVE).order_by(by).limit(_UNITS + 1).subquery()


_BY_AGE = _walk(Claim.id, func.sum(Claim.units).over(order_by=Claim.id, rows=(None, 0)))
_NEWEST = _walk(Claim.id.desc(), func.sum(Claim.units).over(order_by=Claim.id.desc(), rows=(None, 0)) - Claim.units)
_FROM_OLDEST: Final = Prepared(select(_BY_AGE.c.id).where(_BY_AGE.c.reached > _UNITS).order_by(_BY_AGE.c.id).limit(1))
_FROM_NEWEST: Final = Prepared(select(_NEWEST.c.id).where(_NEWEST.c.reached < _UNITS).order_by(_NEWEST.c.id).limit(1))


async def first_over(
    line: Driver, partner_id: UUID, account_id: UUID, feature: str, limit: int, used: int
) -> UUID | None:
    """The oldest live claim that lies above the limit, wholly or in part: all newer ones do too. Null: none does.

    It is looked for from the end that is nearer to it.
    """
    if used <= limit:
        return None
    if limit == 0:
        return EVERY
    over = used - limit
    walk, units = (_FROM_OLDEST, limit) if limit < over else (_FROM_NEWEST, over)
    found = await walk.one(line, partner=partner_id, account=account_id, feature=feature, units=units)
    return found[0] if found else None


def is_over(claim: Claim, first: UUID | None) -> bool:
    """Whether it lies above the limit, `first` being the oldest that does."""
    return first is not None and claim.released_at is None and claim.id >= first
