"""Child accounts of a partner."""

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.express import line_of
from app.models import Account, AccountStatus
from app.policy import Access
from app.problems import AccountArchived, AccountSuspended, NameTaken, NotFound
from app.services import base_grants, columns, events, openings, price_models, uniques
from app.services.columns import Columns


async def create(
    db: AsyncSession, access: Access, *, name: str, price_model: str | None = None,
    time_zone: str | None = None, properties: Mapping[str, Any] = MappingProxyType({}),
) -> Account:  # fmt: skip
    """Open a child account; whoever creates it becomes its admin.

    Raises:
        NameTaken: the partner already has an account of this name.
        Forbidden, Invalid: of its price model; see `price_models.check`.
        Invalid, PropertyNotEditable, ValueTaken: of its property values; see `openings.write`.
    """
    found = await columns.steady(db, access.partner_id)
    await db.flush()  # what was added before is there, for a statement that the session knows nothing of
    opened = await openings.write(
        await line_of(db), access, found, name=name, price_model=price_model, time_zone=time_zone, properties=properties
    )
    return await db.get_one(Account, (access.partner_id, opened.id))


async def get(db: AsyncSession, access: Access, *, lock: bool = False) -> Account:
    """The account that `access` is for; with `lock`, its members and itself stay as they are until the end.

    Whoever locks an account has the definitions steady before: who changes those goes the same way round.
    """
    if lock:
        await columns.steady(db, access.partner_id)
    account = await db.get(
        Account, (access.partner_id, _id(access)), with_for_update={"key_share": True} if lock else None
    )
    if account is None:
        raise NotFound
    return account


async def update(db: AsyncSession, access: Access, account: Account, values: dict[str, Any]) -> Account:
    """Rename, suspend or resume; change price model, time zone or property values (a merge patch), all or nothing.

    Raises:
        AccountArchived: restore it first.
        NameTaken: the partner already has an account of this name.
        Forbidden, Invalid: of its price model; see `price_models.check`.
        Invalid, PropertyNotEditable, ValueTaken: of its property values; see `columns.merge`, `uniques.keep`.
        TooManyLicences: of its price model; see `base_grants.move`.
    """
    refuse_archived(account)
    if "price_model" in values:
        await price_models.check(await line_of(db), access, account.price_model, values["price_model"])
    found = await columns.steady(db, access.partner_id)
    if "name" in values:
        values = values | {"name_key": words.name_key(values["name"]), "name_search": words.search_key(values["name"])}
    if patch := values.pop("properties", None):
        had = account.properties
        values["properties"] = await columns.merge(await line_of(db), access, found, had, patch)
        await uniques.keep(db, found, account, had, values["properties"])
    before = account.price_model
    account = await _change(db, access, account, "account.updated", values, found)
    await base_grants.move(db, access, [base_grants.Move(account.id, before, account.price_model)])
    return account


async def archive(db: AsyncSession, access: Access, account: Account) -> Account:
    """Take an account out of the table; nothing of it is lost.

    Raises:
        AccountArchived: it is already.
    """
    refuse_archived(account)
    found = await columns.steady(db, access.partner_id)
    await uniques.keep(db, found, account, account.properties, {})
    return await _change(db, access, account, "account.archived", {"status": AccountStatus.ARCHIVED}, found)


async def restore(db: AsyncSession, access: Access, account: Account) -> Account:
    """Bring an archived account back as active; one that is not archived stays as it is.

    Raises:
        NameTaken, ValueTaken: another account has taken its name, or a unique value, meanwhile.
    """
    if account.status != AccountStatus.ARCHIVED:
        return account
    found = await columns.steady(db, access.partner_id)
    await uniques.keep(db, found, account, {}, account.properties)
    return await _change(db, access, account, "account.restored", {"status": AccountStatus.ACTIVE}, found)


def shown(found: Columns, access: Access, account: Account, only: Set[str] | None = None) -> dict[str, Any]:
    """An account as the API shows it to this caller; with `only`, of its properties just those."""
    masked = columns.masks(access)
    return {
        "id": account.id, "partner_id": account.partner_id, "name": account.name, "status": account.status,
        "price_model": account.price_model, "time_zone": account.time_zone, "member_count": account.member_count,
        "properties": found.shown(account.properties, masked=masked, only=only),
        "masked_properties": found.hidden(account.properties, masked=masked),
        "created_at": account.created_at, "updated_at": account.updated_at,
    }  # fmt: skip


def looks(found: Columns, access: Access, account: Account) -> str:
    """What an account looks like besides its own version: its ETag carries it, If-Match does not compare it."""
    masked = ".1" if columns.masks(access) else ""  # whoever may see less from now on has no use for what was kept
    return f"{found.version}.{account.member_count}{masked}"


def refuse_archived(account: Account) -> None:
    if account.status == AccountStatus.ARCHIVED:
        raise AccountArchived


def refuse_inactive(account: Account) -> None:
    """For whatever uses an account: nobody enters, claims or buys in one that is suspended or archived."""
    refuse_archived(account)
    if account.status == AccountStatus.SUSPENDED:
        raise AccountSuspended


async def _change(db: AsyncSession, access: Access, account: Account, type: str, values: dict[str, Any],
                  found: Columns) -> Account:  # fmt: skip
    before, after = events.changed(account, values)
    if "properties" in after:
        before["properties"], after["properties"] = columns.changes(before["properties"], after["properties"])
    columns.project(found, account)
    await _save(db, account)
    if after:
        events.record(db, access, type, account, before=before, after=after, account_id=account.id)
    return account


async def _save(db: AsyncSession, account: Account) -> None:
    try:
        async with db.begin_nested():
            db.add(account)
    except IntegrityError as error:
        if "uq_accounts_name_key" not in str(error.orig):
            raise
        raise NameTaken from None


def _id(access: Access) -> UUID:
    if access.account_id is None:
        raise RuntimeError("this access is for no account")
    return access.account_id
