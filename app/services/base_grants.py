"""What price models give: licences that begin and end with an account's price model, of many accounts at once."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as Set_
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, case, func, or_, select, update
from sqlalchemy import Text as Text_
from sqlalchemy.ext.asyncio import AsyncSession

from app.express import Driver, Prepared, line_of, param
from app.models import Event, Licence, LicenceSource, PriceModel, SuspendedBy, new_id, utc_now
from app.policy import Access
from app.services import bulks, events, pools, suspensions, terms
from app.services.pools import Pool
from app.services.suspensions import FREE, Suspension

Row = dict[str, Any]


class Move(NamedTuple):
    """An account that leaves one price model for another; null: none."""

    account_id: UUID
    before: str | None
    after: str | None


async def move(db: AsyncSession, access: Access, moves: Sequence[Move]) -> None:
    """End the licences of the price models that accounts leave, and begin those of the new ones, at one moment.

    The accounts are locked. Days of grace run from then on, as leaving is the only end that such licences have; they
    are over as soon as a price model gives the feature again. What operators have suspended goes on suspended.

    Raises:
        TooManyLicences: one of the accounts has as many of a feature as it may have.
    """
    moves = [m for m in moves if m.before != m.after]
    if not moves:
        return
    grants = await _grants_of(await line_of(db), {m.after for m in moves if m.after is not None})
    beginning = [(m.account_id, m.after, grant) for m in moves if m.after for grant in grants[m.after]]
    begun = {(account_id, grant["feature"]) for account_id, _, grant in beginning}
    earlier = await _earlier(db, [m.account_id for m in moves])
    stopped = [e.id for e in earlier if e.suspended_by == SuspendedBy.OPERATOR and (e.account_id, e.feature) in begun]
    suspended = await suspensions.of_price_models(db, stopped, begun)
    ending = [e for e in earlier if e.revoked_at is None and (e.ends_at is None or (e.account_id, e.feature) in begun)]
    changed = begun | {(e.account_id, e.feature) for e in ending}
    if not changed:
        return
    await pools.hold_many(db, access.partner_id, changed)
    await pools.refuse_crowded(db, access.partner_id, begun)
    at = terms.now()
    await _end(db, access, [e for e in ending if (over := terms.over_at(e)) is None or over > at], begun, at)
    rows = [_row(access.partner_id, account_id, model, grant, at, suspended.get((account_id, grant["feature"]), FREE))
            for account_id, model, grant in beginning]  # fmt: skip
    await bulks.insert(db, Licence, {"partner_id": access.partner_id}, rows)
    if rows:
        await bulks.insert(db, Event, *told(access, rows))


async def of_new(line: Driver, access: Access, account_id: UUID, model: str | None) -> list[Row]:
    """The licences that a new account begins with. Nobody else knows of it: its pools need not be held."""
    if model is None:
        return []
    at = terms.now()
    return [_row(access.partner_id, account_id, model, g, at) for g in (await _grants_of(line, [model]))[model]]


def told(access: Access, rows: Sequence[Row]) -> tuple[Row, list[Row]]:
    """What the change log says of new licences."""
    facts = [events.Fact(r["id"], None, {k: v for k, v in r.items() if k not in events.UNSAID}, r["account_id"])
             for r in rows]  # fmt: skip
    return events.rows(access, "licence.granted", Licence.__subject__, facts)


def _row(partner_id: UUID, account_id: UUID, model: str, grant: Mapping[str, Any], at: datetime,
         suspension: Suspension = FREE) -> Row:  # fmt: skip
    now, empty = utc_now(), dict.fromkeys(c.key for c in Licence.__mapper__.column_attrs)
    return {
        **empty, "partner_id": partner_id, "id": new_id(), "account_id": account_id, "feature": grant["feature"],
        "units": grant["units"], "max_units_per_claim": grant.get("max_units_per_claim"), "starts_at": at,
        "grace_days": grant.get("grace_days") or 0, "source": LicenceSource.PRICE_MODEL.value, "price_model": model,
        "created_at": now, "updated_at": now, "version": 1, **suspension,
    }  # fmt: skip


async def _earlier(db: AsyncSession, accounts: Sequence[UUID]) -> Sequence[Any]:
    """The licences of price models in these accounts that matter still: running, in grace, suspended by operators."""
    found = select(
        Licence.id, Licence.account_id, Licence.feature, Licence.starts_at, Licence.ends_at, Licence.grace_days,
        Licence.revoked_at, Licence.suspended_by,
    ).where(
        Licence.account_id.in_(accounts), Licence.source == LicenceSource.PRICE_MODEL,
        or_(terms.lasting(terms.now()), Licence.suspended_by == SuspendedBy.OPERATOR),
    )  # fmt: skip
    return (await db.execute(found.order_by(Licence.id))).all()


async def _end(db: AsyncSession, access: Access, ending: Sequence[Any], begun: Set_[Pool], at: datetime) -> None:
    """Have these end at that moment; where a new one begins, with no days of grace. Their pools are held."""
    if not ending:
        return
    ends = {"ends_at": func.greatest(Licence.starts_at, at), "version": Licence.version + 1, "updated_at": utc_now()}
    graceless = {e.id for e in ending if e.grace_days and (e.account_id, e.feature) in begun}
    if graceless:
        ends["grace_days"] = case((Licence.id.in_(graceless), 0), else_=Licence.grace_days)
    await db.execute(update(Licence).where(Licence.id.in_([e.id for e in ending])).values(ends)
                     .execution_options(synchronize_session=False))  # fmt: skip
    facts = [events.Fact(
        e.id, {"ends_at": e.ends_at} | ({"grace_days": e.grace_days} if e.id in graceless else {}),
        {"ends_at": max(e.starts_at, at)} | ({"grace_days": 0} if e.id in graceless else {}), e.account_id,
    ) for e in ending]  # fmt: skip
    await bulks.insert(db, Event, *events.rows(access, "licence.ended", Licence.__subject__, facts))


async def _grants_of(line: Driver, keys: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    wanted = sorted(keys)
    return dict(await _GRANTS.all(line, keys=wanted)) if wanted else {}


_GRANTS: Final = Prepared(
    select(PriceModel.key, PriceModel.base_grants).where(PriceModel.key == func.any(param("keys", ARRAY(Text_()))))
)
