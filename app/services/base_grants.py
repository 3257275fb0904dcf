"""What price models give: licences that begin and end with an account's price model, of many accounts at once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, func, select, update
from sqlalchemy import Text as Text_
from sqlalchemy.ext.asyncio import AsyncSession

from app.express import Driver, Prepared, line_of, param
from app.models import Event, Licence, LicenceSource, PriceModel, new_id, utc_now
from app.policy import Access
from app.services import bulks, events, pools, terms

Row = dict[str, Any]


class Move(NamedTuple):
    """An account that leaves one price model for another; null: none."""

    account_id: UUID
    before: str | None
    after: str | None


async def move(db: AsyncSession, access: Access, moves: Sequence[Move]) -> None:
    """End the licences of the price models that accounts leave, and begin those of the new ones, at one moment.

    The accounts are locked. Days of grace run from then on: leaving is the only end that such licences have.

    Raises:
        TooManyLicences: one of the accounts has as many of a feature as it may have.
    """
    moves = [m for m in moves if m.before != m.after]
    if not moves:
        return
    grants = await _grants_of(await line_of(db), {m.after for m in moves if m.after is not None})
    ending = await _running(db, [m.account_id for m in moves if m.before is not None])
    beginning = [(m.account_id, m.after, grant) for m in moves if m.after for grant in grants[m.after]]
    changed = [(e.account_id, e.feature) for e in ending] + [(a, grant["feature"]) for a, _, grant in beginning]
    if not changed:
        return
    await pools.hold_many(db, access.partner_id, changed)
    if beginning:
        await pools.refuse_crowded(db, access.partner_id, [(a, grant["feature"]) for a, _, grant in beginning])
    at = terms.now()
    if ending:
        ends = {
            "ends_at": func.greatest(Licence.starts_at, at),
            "version": Licence.version + 1,
            "updated_at": utc_now(),
        }
        await db.execute(update(Licence).where(Licence.id.in_([e.id for e in ending])).values(ends)
                         .execution_options(synchronize_session=False))  # fmt: skip
        facts = [events.Fact(e.id, {"ends_at": None}, {"ends_at": max(e.starts_at, at)}, e.account_id) for e in ending]
        await bulks.insert(db, Event, *events.rows(access, "licence.ended", Licence.__subject__, facts))
    rows = [_row(access.partner_id, account_id, model, grant, at) for account_id, model, grant in beginning if model]
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


def _row(partner_id: UUID, account_id: UUID, model: str, grant: Mapping[str, Any], at: Any) -> Row:
    now, empty = utc_now(), dict.fromkeys(c.key for c in Licence.__mapper__.column_attrs)
    return {
        **empty, "partner_id": partner_id, "id": new_id(), "account_id": account_id, "feature": grant["feature"],
        "units": grant["units"], "max_units_per_claim": grant.get("max_units_per_claim"), "starts_at": at,
        "grace_days": grant.get("grace_days") or 0, "source": LicenceSource.PRICE_MODEL.value, "price_model": model,
        "created_at": now, "updated_at": now, "version": 1,
    }  # fmt: skip


async def _running(db: AsyncSession, accounts: Sequence[UUID]) -> Sequence[Any]:
    """The licences of price models that have not ended, in these accounts."""
    if not accounts:
        return []
    found = select(Licence.id, Licence.account_id, Licence.feature, Licence.starts_at).where(
        Licence.account_id.in_(accounts), Licence.source == LicenceSource.PRICE_MODEL,
        Licence.ends_at.is_(None), Licence.revoked_at.is_(None),
    )  # fmt: skip
    return (await db.execute(found.order_by(Licence.id))).all()


async def _grants_of(line: Driver, keys: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    wanted = sorted(keys)
    return dict(await _GRANTS.all(line, keys=wanted)) if wanted else {}


_GRANTS: Final = Prepared(
    select(PriceModel.key, PriceModel.base_grants).where(PriceModel.key == func.any(param("keys", ARRAY(Text_()))))
)
