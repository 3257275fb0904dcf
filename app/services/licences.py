"""Licences: granted by hand, suspended, resumed, revoked; and how they are listed and shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, Feature, FeatureKind, Licence, LicenceSource, SuspendedBy, utc_now
from app.policy import Access, Permission
from app.problems import (
    Fault,
    Invalid,
    LicenceNotByHand,
    LicenceNotSuspended,
    LicenceOver,
    LicenceSuspended,
    NotFound,
    SuspendedByOperator,
    Text,
)
from app.services import accounts, events, licence_grants, lists, pools, terms, time_zones, walks
from app.services.grants import UNKNOWN
from app.services.terms import LicenceState
from app.services.written import said

ARCHIVED = Text("The feature is archived: nobody gets it any more.",
                "Das Merkmal ist archiviert: niemand bekommt es mehr.")  # fmt: skip
ONE = Text("A switch is on (1) or off (0).", "Ein Schalter ist an (1) oder aus (0).")
AFTER_START = Text("Must be after its start.", "Muss nach dem Beginn liegen.")
EITHER = Text("Give an end or a duration, not both.", "Geben Sie ein Ende oder eine Dauer an, nicht beides.")

S = LicenceState
NOW: Any = func.statement_timestamp()


def state_at(at: Any) -> Any:
    """`terms.state` at that moment, as the database works it out."""
    return case(
        (Licence.revoked_at <= at, said(S.REVOKED)),
        (terms.over_of(Licence) <= func.greatest(at, Licence.starts_at), said(S.EXPIRED)),
        (Licence.suspended_by.is_not(None), said(S.SUSPENDED)),
        (Licence.starts_at > at, said(S.SCHEDULED)),
        (Licence.ends_at <= at, said(S.GRACE)),
        else_=said(S.ACTIVE),
    )


STATE: Final = state_at(NOW)


def searched(*columns: Any) -> Any:
    """What `q` searches: numbers and keys, whatever their case."""
    return func.lower(func.concat_ws("\n", *columns))


COLUMNS: Final = {
    "feature": lists.Column(Licence.feature, lists.TEXT, sortable=True),
    "state": lists.Column(STATE, lists.EQUALITY, lambda text: lists.one_of(S)(text).value),
    "source": lists.Column(Licence.source, lists.EQUALITY, lists.one_of(LicenceSource)),
    "article": lists.Column(Licence.article, (*lists.TEXT, "is_null"), nullable=True),
    "price_model": lists.Column(Licence.price_model, (*lists.EQUALITY, "is_null"), nullable=True),
    "order_number": lists.Column(Licence.order_number, (*lists.TEXT, "is_null"), sortable=True, nullable=True),
    "account_article_id": lists.Column(Licence.account_article_id, ("eq", "in", "is_null"), lists.id_of, nullable=True),
    "units": lists.Column(Licence.units, (*lists.ORDER, "in"), lists.number_of, sortable=True),
    "starts_at": lists.Column(Licence.starts_at, lists.ORDER, lists.moment, sortable=True),
    "ends_at": lists.Column(Licence.ends_at, (*lists.ORDER, "is_null"), lists.moment, sortable=True, nullable=True),
    "runs_until": lists.Column(terms.runs_until(Licence.starts_at, terms.over_of(Licence)), lists.BOUNDS, lists.moment),
    "created_at": lists.Column(Licence.created_at, lists.ORDER, lists.moment, sortable=True),
}
SEARCH: Final = searched(Licence.feature, Licence.article, Licence.order_number)
TABLE: Final = lists.Table(Licence, COLUMNS, sort="feature", search=SEARCH)
OF_PARTNER: Final = lists.Table(
    Licence, COLUMNS | {"account_id": lists.Column(Licence.account_id, ("eq", "in"), lists.id_of)}, sort="ends_at",
    search=SEARCH,
)  # fmt: skip
"""The same over all accounts of a partner: what ends first comes first."""


async def listed(db: AsyncSession, access: Access, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    """The licences of the account that `access` is for, or of all accounts of its partner."""
    table = TABLE if access.account_id else OF_PARTNER
    return await walks.fetch(db, _of(access), table, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, access: Access, licence_id: UUID) -> Licence:
    licence = await db.scalar(_of(access).where(Licence.id == licence_id))
    if licence is None:
        raise NotFound
    return licence


async def hold(db: AsyncSession, access: Access, licence_id: UUID) -> Licence:
    """The licence, to be changed: with its account and its pool locked.

    Raises:
        AccountArchived: the account can only be read.
    """
    account = await accounts.get(db, access, lock=True)
    licence = await get(db, access, licence_id)
    accounts.refuse_archived(account)
    await pools.hold(db, licence.partner_id, licence.account_id, [licence.feature])
    return licence


async def grant(db: AsyncSession, access: Access, values: Mapping[str, Any]) -> Licence:
    """Grant units of a feature by hand, for a reason.

    Raises:
        AccountSuspended, AccountArchived: nothing is granted there.
        Invalid: no such feature, or none to be had; more than one of a switch; a period that is none.
        TooManyLicences: the account has as many of the feature as it may have.
    """
    account = await accounts.get(db, access, lock=True)
    accounts.refuse_inactive(account)
    given = dict(values)
    feature = await _feature(db, given["feature"])
    if feature.archived_at is not None:
        raise _wrong("/feature", "archived_feature", ARCHIVED)
    _check_units(feature, given["units"])
    await pools.hold(db, account.partner_id, account.id, [feature.key])
    given["starts_at"] = given["starts_at"] or terms.now()
    given["ends_at"] = await _end(db, account, given, given.pop("duration"))
    return await licence_grants.by_hand(db, access, account, given)


async def update(db: AsyncSession, access: Access, licence: Licence, patch: Mapping[str, Any]) -> Licence:
    """Change a licence that was granted by hand (a merge patch). A later end brings back one that has expired.

    Raises:
        LicenceNotByHand: it comes from a purchase or a price model.
        LicenceOver: it was revoked.
        Invalid: more than one of a switch; an end that is not after the start.
        TooManyLicences: it has expired, and the account has as many of the feature as it may have.
    """
    if licence.source != LicenceSource.MANUAL:
        raise LicenceNotByHand
    if licence.revoked_at is not None:
        raise LicenceOver
    if "units" in patch:
        _check_units(await _feature(db, licence.feature), patch["units"])
    if patch.get("ends_at") is not None and patch["ends_at"] <= licence.starts_at:
        raise _wrong("/ends_at", "not_after_start", AFTER_START)
    if terms.state(licence, utc_now()) == S.EXPIRED:
        await pools.refuse_crowded(db, licence.partner_id, [(licence.account_id, licence.feature)])
    return await _change(db, access, "licence.updated", licence, patch)


async def suspend(db: AsyncSession, access: Access, licence: Licence, *, reason: str) -> Licence:
    """Stop a licence from giving its units until it is resumed. An operator's suspension takes over a partner's.

    Raises:
        LicenceOver: it gives nothing any more.
        LicenceSuspended: it is suspended already, by the same side or by an operator.
    """
    _refuse_over(licence)
    by = SuspendedBy.OPERATOR if _overrules(access) else SuspendedBy.PARTNER
    if licence.suspended_by in (by, SuspendedBy.OPERATOR):
        raise LicenceSuspended
    values = {"suspended_at": terms.now(), "suspended_by": by, "suspension_reason": reason}
    return await _change(db, access, "licence.suspended", licence, values)


async def resume(db: AsyncSession, access: Access, licence: Licence) -> Licence:
    """Lift a suspension; what an operator has suspended, operators lift.

    Raises:
        LicenceOver: it gives nothing any more.
        LicenceNotSuspended: there is nothing to lift.
        SuspendedByOperator: the caller is none.
    """
    _refuse_over(licence)
    if licence.suspended_by is None:
        raise LicenceNotSuspended
    if licence.suspended_by == SuspendedBy.OPERATOR and not _overrules(access):
        raise SuspendedByOperator
    values = {"suspended_at": None, "suspended_by": None, "suspension_reason": None}
    return await _change(db, access, "licence.resumed", licence, values)


async def revoke(db: AsyncSession, access: Access, licence: Licence, *, reason: str) -> Licence:
    """End a licence at once and for good, days of grace included.

    Raises:
        LicenceOver: it gives nothing any more.
    """
    _refuse_over(licence)
    values = {"revoked_at": terms.now(), "revocation_reason": reason}
    return await _change(db, access, "licence.revoked", licence, values)


def shown(licence: Licence, at: datetime) -> dict[str, Any]:
    """A licence as the API shows it at that moment."""
    own = ("id", "partner_id", "account_id", "feature", "units", "max_units_per_claim", "starts_at", "ends_at",
           "grace_days", "source", "account_article_id", "article", "price_model", "order_number", "reason",
           "created_at", "updated_at")  # fmt: skip
    suspension = {"by": licence.suspended_by, "reason": licence.suspension_reason, "at": licence.suspended_at}
    revocation = {"reason": licence.revocation_reason, "at": licence.revoked_at}
    return {name: getattr(licence, name) for name in own} | {
        "state": terms.state(licence, at).value, "over_at": terms.over_at(licence),
        "suspension": suspension if licence.suspended_by else None,
        "revocation": revocation if licence.revoked_at else None,
    }  # fmt: skip


def looks(licence: Licence, at: datetime) -> int:
    """What the clock makes of a licence besides its own version, as a number for its ETag."""
    return 1 + list(S).index(terms.state(licence, at))


def _of(access: Access) -> Select[Any]:
    found = select(Licence)
    return found.where(Licence.account_id == access.account_id) if access.account_id else found


def _overrules(access: Access) -> bool:
    return access.may(Permission.LICENCE_OVERRULE)


def _refuse_over(licence: Licence) -> None:
    if terms.state(licence, utc_now()) in (S.REVOKED, S.EXPIRED):
        raise LicenceOver


async def _change(db: AsyncSession, access: Access, type: str, licence: Licence, values: Mapping[str, Any]) -> Licence:
    before, after = events.changed(licence, values)
    await db.flush()
    if after:
        events.record(db, access, type, licence, before=before, after=after)
    return licence


async def _feature(db: AsyncSession, key: str) -> Feature:
    found = await db.scalar(select(Feature).where(Feature.key == key))
    if found is None:
        raise _wrong("/feature", "unknown_feature", UNKNOWN)
    return found


def _check_units(feature: Feature, units: int) -> None:
    if feature.kind == FeatureKind.SWITCH and units > 1:
        raise _wrong("/units", "too_many_units", ONE)


async def _end(db: AsyncSession, account: Account, given: Mapping[str, Any], duration: str | None) -> datetime | None:
    ends_at = given["ends_at"]
    if duration is not None:
        if ends_at is not None:
            raise _wrong("/duration", "either_or", EITHER)
        zone = await time_zones.of(db, account)
        return terms.after(given["starts_at"], duration, zone)
    if ends_at is not None and ends_at <= given["starts_at"]:
        raise _wrong("/ends_at", "not_after_start", AFTER_START)
    return ends_at


def _wrong(pointer: str, code: str, said: Text) -> Invalid:
    return Invalid(errors=[Fault(pointer, code, said)])
