"""Child accounts of a partner."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import Account, AccountMember, AccountStatus
from app.policy import Access, Role
from app.problems import AccountArchived, AccountSuspended, NameTaken, NotFound
from app.services import events, lists

TABLE = lists.Table(
    Account,
    {
        "name": lists.Column(Account.name_search, lists.TEXT, words.search_key, sortable=True),
        "status": lists.Column(Account.status, lists.EQUALITY, lists.one_of(AccountStatus)),
        "created_at": lists.Column(Account.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="name",
    search=Account.name_search,
    hidden={"status": Account.status != AccountStatus.ARCHIVED},
)


async def create(db: AsyncSession, access: Access, *, name: str) -> Account:
    """Open a child account; whoever creates it becomes its admin.

    Raises:
        NameTaken: the partner already has an account of this name.
    """
    account = Account(
        partner_id=access.partner_id, name=name, name_key=words.name_key(name), name_search=words.search_key(name)
    )
    await _save(db, account)
    creator = AccountMember(
        partner_id=access.partner_id, account_id=account.id, user_id=access.user_id, role=Role.ACCOUNT_ADMIN
    )
    db.add(creator)
    events.record(db, access, "account.created", account, account_id=account.id, after=events.facts(account))
    events.record(db, access, "account_member.added", creator, account_id=account.id, after=events.facts(creator))
    return account


async def listed(
    db: AsyncSession, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> lists.Listed:
    return await lists.fetch(db, select(Account), TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, access: Access, *, lock: bool = False) -> Account:
    """The account that `access` is for; with `lock`, its members and itself stay as they are until the end."""
    account = await db.get(
        Account, (access.partner_id, _id(access)), with_for_update={"key_share": True} if lock else None
    )
    if account is None:
        raise NotFound
    return account


async def update(db: AsyncSession, access: Access, account: Account, values: dict[str, Any]) -> Account:
    """Rename, suspend or resume.

    Raises:
        AccountArchived: restore it first.
        NameTaken: the partner already has an account of this name.
    """
    refuse_archived(account)
    if "name" in values:
        values = values | {"name_key": words.name_key(values["name"]), "name_search": words.search_key(values["name"])}
    return await _change(db, access, account, "account.updated", values)


async def archive(db: AsyncSession, access: Access, account: Account) -> Account:
    """Take an account out of the table; nothing of it is lost.

    Raises:
        AccountArchived: it is already.
    """
    refuse_archived(account)
    return await _change(db, access, account, "account.archived", {"status": AccountStatus.ARCHIVED})


async def restore(db: AsyncSession, access: Access, account: Account) -> Account:
    """Bring an archived account back as active; one that is not archived stays as it is.

    Raises:
        NameTaken: another account has taken its name meanwhile.
    """
    if account.status != AccountStatus.ARCHIVED:
        return account
    return await _change(db, access, account, "account.restored", {"status": AccountStatus.ACTIVE})


def refuse_archived(account: Account) -> None:
    if account.status == AccountStatus.ARCHIVED:
        raise AccountArchived


def refuse_inactive(account: Account) -> None:
    """For whatever uses an account: nobody enters, claims or buys in one that is suspended or archived."""
    refuse_archived(account)
    if account.status == AccountStatus.SUSPENDED:
        raise AccountSuspended


async def _change(db: AsyncSession, access: Access, account: Account, type: str, values: dict[str, Any]) -> Account:
    before, after = events.changed(account, values)
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
