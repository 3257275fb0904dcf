"""Entitlements: what accounts may use of each feature, what of it is used, and when that changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import UUID as UUID_
from sqlalchemy import BigInteger, ColumnElement, Integer, Select, Text, and_, case, cast, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.express import line_of
from app.models import (
    Account,
    AccountMember,
    AccountStatus,
    Feature,
    FeatureKind,
    Licence,
    Partner,
    PartnerMember,
    PartnerStatus,
    Usage,
    User,
    UserStatus,
    utc_now,
)
from app.policy import Access, Permission, Role
from app.problems import NotFound
from app.services import lists, supplies, terms, verdicts, walks
from app.services.verdicts import Person, Supply

PERCENT: Final = 1_000_000
"""The most that a share in use is shown as; also what is used without any limit."""

BY_DEFAULT: Final = and_(Feature.default_units > 0, Feature.archived_at.is_(None))
"""Features that everybody has some of."""

TABLE = lists.Table(
    Feature,
    {
        "feature": lists.Column(Feature.key, lists.TEXT, sortable=True),
        "kind": lists.Column(Feature.kind, lists.EQUALITY, lists.one_of(FeatureKind)),
    },
    sort="feature",
    search=Feature.search,
)


async def listed(
    db: AsyncSession, access: Access, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> tuple[walks.Listed, Mapping[UUID, dict[str, Any]]]:
    """The features that an account is or will be licensed for, uses, or has by default; each as the API shows it."""
    at = utc_now()
    found = await walks.fetch(db, concerning(access, at), TABLE, query, limit=limit, after=after, count=count)
    known = await supplies.of(await line_of(db), access.partner_id, access.account, [f.key for f in found.rows], at)
    return found, {feature.id: shown(feature, *known[feature.key]) for feature in found.rows}


def concerning(access: Access, at: datetime) -> Select[Any]:
    """The features that an account is or will be licensed for, uses, or has by default."""
    account_id = access.account
    licensed = exists().where(Licence.partner_id == access.partner_id, Licence.account_id == account_id,
                              Licence.feature == Feature.key, terms.lasting(at))  # fmt: skip
    used = exists().where(Usage.partner_id == access.partner_id, Usage.account_id == account_id,
                          Usage.feature == Feature.key, Usage.used > 0)  # fmt: skip
    return select(Feature).where(or_(licensed, used, BY_DEFAULT))


def shown(feature: Feature, supply: Supply, used: int) -> dict[str, Any]:
    """An entitlement as the API shows it."""
    now = supply.now
    return {
        "feature": feature.key, "kind": feature.kind, "name": words.both(feature.name),
        "unit": words.both(feature.unit) if feature.unit else None, "overage": feature.overage,
        "licensed": now.licensed, "limit": now.limit, "reach": now.reach, "used": used,
        "available": max(0, now.limit - used), "overused": max(0, used - now.limit), "max_units_per_claim": now.cap,
        "next_change": supply.next_change, "expires_at": supply.expires_at,
    }  # fmt: skip


@dataclass(frozen=True)
class Looked:
    """Somebody who may want to use something: as the rules see them, and as they are shown."""

    person: Person
    account_role: Role | None
    partner_role: Role | None
    partner_status: PartnerStatus
    partner_management_enabled: bool


async def look_at(db: AsyncSession, access: Access, user_id: UUID | None = None) -> Looked:
    """What somebody is in the account and in its partner; unless named, the caller. Of strangers there is nothing to be
    known.

    Whether somebody is an operator makes no difference: operators claim as members, as everybody does.
    """
    client = user_id is None and access.caller.client_id is not None
    user_id = user_id or access.user_id
    statement = (
        select(Account.status, Partner.status, Partner.partner_management_enabled, AccountMember.role,
               PartnerMember.role, User.status)
        .select_from(Account)
        .join(Partner, Partner.id == Account.partner_id)
        .outerjoin(AccountMember, and_(AccountMember.partner_id == Account.partner_id,
                                       AccountMember.account_id == Account.id, AccountMember.user_id == user_id))
        .outerjoin(PartnerMember, and_(PartnerMember.partner_id == Account.partner_id,
                                       PartnerMember.user_id == user_id))
        .outerjoin(User, and_(User.id == user_id, or_(AccountMember.id.is_not(None), PartnerMember.id.is_not(None))))
        .where(Account.id == access.account)
    )  # fmt: skip
    found: Any = (await db.execute(statement)).one()
    account, partner, managed, account_role, partner_role, user = found
    suspended = partner == PartnerStatus.SUSPENDED
    if client:  # it is no member, whatever its owner is
        person = Person(access.roles, account, suspended, managed, scoped=access.may(Permission.CLAIM_MANAGE))
        return Looked(person, None, None, partner, managed)
    roles = frozenset(role for role in (account_role, partner_role) if role is not None)
    person = Person(roles, account, suspended, managed, user != UserStatus.SUSPENDED)
    return Looked(person, account_role, partner_role, partner, managed)


async def feature_of(db: AsyncSession, key: str) -> Feature:
    """Raises:
    NotFound: the catalogue has none of this key.
    """
    found = await db.scalar(select(Feature).where(Feature.key == key))
    if found is None:
        raise NotFound
    return found


async def check(db: AsyncSession, access: Access, key: str, units: int) -> dict[str, Any]:
    """An entitlement, and whether the caller could use so many units of it now."""
    feature, looked = await feature_of(db, key), await look_at(db, access)
    known = await supplies.of(await line_of(db), access.partner_id, access.account, [key], utc_now())
    supply, used = known[key]
    verdict = verdicts.judge(looked.person, supply, used, units)
    return shown(feature, supply, used) | {
        "units": units, "fits": verdict.allowed, "code": verdict.code, "fits_at": verdict.fits_at
    }  # fmt: skip


# --- over all accounts of a partner ---


def limit_of(giving: Any, units: Any) -> ColumnElement[int]:
    """What `verdicts.Supply` says of a feature's limit, in SQL: of how many licences in force, and their units."""
    default = case((Feature.archived_at.is_(None), Feature.default_units), else_=0)
    total = case((giving > 0, units), else_=default)
    return case((Feature.kind == FeatureKind.SWITCH, func.least(total, 1)), else_=total)


def of_partner(at: datetime) -> tuple[Any, lists.Table]:
    """The entitlements of all accounts at that moment, as one statement, and how it can be asked.

    Its limits are those of `verdicts.Supply`, added up by the database.
    """
    giving = terms.giving(at)
    licensed = (
        select(
            Licence.account_id, Licence.feature, func.count().filter(giving).label("giving"),
            func.coalesce(func.sum(Licence.units).filter(giving), 0).label("units"),
            func.min(Licence.ends_at).filter(giving).label("expires_at"),
        )
        .where(terms.lasting(at))
        .group_by(Licence.account_id, Licence.feature)
        .subquery()
    )  # fmt: skip
    used = select(Usage.account_id, Usage.feature, Usage.used).where(Usage.used > 0).subquery()
    pairs = licensed.outerjoin(
        used, and_(used.c.account_id == licensed.c.account_id, used.c.feature == licensed.c.feature), full=True
    )
    account_id = func.coalesce(licensed.c.account_id, used.c.account_id)
    key = func.coalesce(licensed.c.feature, used.c.feature)
    limit = limit_of(func.coalesce(licensed.c.giving, 0), licensed.c.units)
    return _asked(
        select(
            cast(func.md5(cast(Account.id, Text) + Feature.key), UUID_).label("id"),
            Account.id.label("account_id"), Account.name.label("account_name"), Account.name_search,
            Account.status.label("account_status"), Feature.key.label("feature"), Feature.overage,
            limit.label("limit"), func.coalesce(used.c.used, 0).label("used"), licensed.c.expires_at,
        )
        .select_from(pairs)
        .join(Account, Account.id == account_id)
        .join(Feature, Feature.key == key)
        .subquery()
    )  # fmt: skip


def _asked(of_accounts: Any) -> tuple[Any, lists.Table]:
    c = of_accounts.c
    share = cast(c.used, BigInteger) * 100 // c.limit
    percent = case((c.limit > 0, func.least(share, PERCENT)), (c.used > 0, PERCENT), else_=0)
    found = select(of_accounts, cast(percent, Integer).label("usage_percent")).subquery()
    c = found.c
    table = lists.Table(
        c,
        {
            "usage_percent": lists.Column(c.usage_percent, lists.ORDER, lists.number_of, sortable=True),
            "over": lists.Column(c.used > c.limit, ("eq", "in"), lists.truth),
            "expires_at": lists.Column(c.expires_at, lists.ORDER, lists.moment, sortable=True, nullable=True),
            "feature": lists.Column(c.feature, lists.EQUALITY, sortable=True),
            "account_id": lists.Column(c.account_id, lists.EQUALITY, UUID),
            "account_name": lists.Column(c.name_search, lists.TEXT, words.search_key, sortable=True),
            "account_status": lists.Column(c.account_status, lists.EQUALITY, lists.one_of(AccountStatus)),
        },
        sort="-usage_percent",
        search=c.name_search,
        hidden={"account_status": c.account_status != AccountStatus.ARCHIVED},
    )
    return select(found), table


async def listed_of_partner(
    db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> walks.Listed:
    statement, table = of_partner(utc_now())
    return await walks.fetch(db, statement, table, query, limit=limit, after=after, count=count)


def shown_of_partner(row: Any) -> dict[str, Any]:
    """An entitlement of one of the accounts as the API shows it."""
    said = ("account_id", "account_name", "account_status", "feature", "overage", "limit", "used", "usage_percent",
            "expires_at")  # fmt: skip
    left = {"available": max(0, row.limit - row.used), "overused": max(0, row.used - row.limit)}
    return {name: getattr(row, name) for name in said} | left
