"""Members: users with a role, in a partner or in an account. `access` says of which."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from app import words
from app.models import Account, AccountMember, Invitation, InvitationStatus, PartnerMember, User, UserStatus
from app.policy import Access, Role
from app.problems import InsufficientScope, LastAdmin, NotFound
from app.services import accounts, events, lists, partners, views, walks

Member = AccountMember | PartnerMember


@dataclass(frozen=True)
class MemberView:
    """A membership with its user."""

    id: UUID
    version: int
    user_id: UUID
    name: str
    email: str
    role: Role
    created_at: datetime
    updated_at: datetime
    name_search: str
    user_version: int

    @property
    def etag(self) -> str:
        """Changes with the membership and with the user's name or address."""
        return f"{self.id.hex[-12:]}-{self.version}-{self.user_version}"


def model_of(access: Access) -> Any:
    return AccountMember if access.account_id else PartnerMember


def table_of(*, of_account: bool) -> lists.Table:
    model: Any = AccountMember if of_account else PartnerMember
    roles = (Role.ACCOUNT_ADMIN, Role.ACCOUNT_EDITOR, Role.ACCOUNT_VIEWER) if of_account else (
        Role.PARTNER_ADMIN, Role.PARTNER_MANAGER, Role.PARTNER_VIEWER)  # fmt: skip
    return lists.Table(
        model,
        {
            "name": lists.Column(User.name_search, lists.TEXT, words.search_key, sortable=True),
            "role": lists.Column(model.role, lists.EQUALITY, lists.one_of(roles)),
            "created_at": lists.Column(model.created_at, lists.ORDER, lists.moment, sortable=True),
        },
        sort="name",
        search=User.name_search,
    )


def _views(access: Access) -> Select[Any]:
    model = model_of(access)
    found = select(
        model.id,
        model.version,
        model.user_id,
        User.name,
        User.email,
        model.role,
        model.created_at,
        model.updated_at,
        User.name_search,
        User.version,
    ).join(User, User.id == model.user_id)
    return _of_owner(cast("Select[Any]", found), access)


async def listed(db: AsyncSession, access: Access, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    return await walks.fetch(
        db,
        _views(access),
        table_of(of_account=access.account_id is not None),
        query,
        limit=limit,
        after=after,
        count=count,
    )


async def get(db: AsyncSession, access: Access, user_id: UUID) -> MemberView:
    row = (await db.execute(_views(access).where(model_of(access).user_id == user_id))).one_or_none()
    if row is None:
        raise NotFound
    return MemberView(*row)


async def add(db: AsyncSession, access: Access, *, user_id: UUID, role: Role) -> Member:
    """Make a user a member; the caller has made sure that it is none yet."""
    if access.account_id:
        member: Member = AccountMember(
            partner_id=access.partner_id, account_id=access.account_id, user_id=user_id, role=role
        )
    else:
        member = PartnerMember(partner_id=access.partner_id, user_id=user_id, role=role)
    db.add(member)
    await db.flush()
    await recount(db, access)
    events.record(db, access, f"{member.__subject__}.added", member, after=events.facts(member))
    return member


async def find(db: AsyncSession, access: Access, user_id: UUID) -> Any:
    """The membership to change; nobody else changes this owner's members until the transaction ends."""
    await lock_owner(db, access)
    member = await db.scalar(_of_user(select(model_of(access)), access, user_id))
    if member is None:
        raise NotFound
    return member


async def change_role(db: AsyncSession, access: Access, member: Any, *, role: Role) -> MemberView:
    """Give a member another role.

    Raises:
        LastAdmin: it is the only admin.
        InsufficientScope: the role is more than the API client is that gives it.
    """
    refuse_to_give(access, role)
    before, after = events.changed(member, {"role": role})
    if after:
        await _keep_an_admin(db, access, member, before["role"])
        await db.flush()
        who = {"user_id": member.user_id}
        events.record(db, access, f"{member.__subject__}.role_changed", member, before=before | who, after=after | who)
        await _withdraw_invitations(db, access, member.user_id)
    return await get(db, access, member.user_id)


def refuse_to_give(access: Access, role: Role) -> None:
    """Raises:
    InsufficientScope: it is more than the API client is that gives it.
    """
    if not access.may_give(role):
        raise InsufficientScope


async def remove(db: AsyncSession, access: Access, member: Any) -> None:
    """End a membership: the user is out with the next request.

    Raises:
        LastAdmin: it is the only admin.
    """
    await _keep_an_admin(db, access, member, member.role)
    await expel(db, access, member)


async def expel(db: AsyncSession, access: Access, member: Any) -> None:
    """The same without asking who stays: for somebody who counts as no admin any more."""
    await db.delete(member)
    await db.flush()
    await recount(db, access)
    events.record(db, access, f"{member.__subject__}.removed", member, before=events.facts(member))
    await _withdraw_invitations(db, access, member.user_id)
    if access.account_id is None:
        await views.forget(db, access, member.user_id)


async def exists(db: AsyncSession, access: Access, *, email_key: str) -> bool:
    model = model_of(access)
    found = _of_owner(select(model.id).join(User, User.id == model.user_id), access)
    return await db.scalar(found.where(User.email_key == email_key)) is not None


async def role_of(db: AsyncSession, access: Access, user_id: UUID) -> Role | None:
    return await db.scalar(_of_user(select(model_of(access).role), access, user_id))


async def lock_owner(db: AsyncSession, access: Access, *, archived: bool = False) -> None:
    """Let nobody else change members and invitations of this partner or account until this transaction ends.

    Every such change begins with it, so that locks are always taken in the same order.

    Raises:
        AccountArchived: it is, and `archived` does not say that this is no matter.
    """
    if access.account_id:
        account = await accounts.get(db, access, lock=True)
        if not archived:
            accounts.refuse_archived(account)
    else:
        await partners.get(db, access.partner_id, lock=True)


def _of_owner(statement: Select[Any], access: Access) -> Select[Any]:
    """Members of the account, or of the partner itself."""
    return statement.where(AccountMember.account_id == access.account_id) if access.account_id else statement


def _of_user(statement: Select[Any], access: Access, user_id: UUID) -> Select[Any]:
    return _of_owner(statement, access).where(model_of(access).user_id == user_id)


async def recount(db: AsyncSession, access: Access) -> None:
    """Have the account say how many members it has. Nothing else of it changes, neither its version nor `updated_at`.

    They are counted anew under the account's lock, not one added: what another release, or somebody with SQL, has
    left wrong is right again.
    """
    if access.account_id is None:
        return
    account = await accounts.get(db, access, lock=True)  # ours already, except in a set-up of the shell's
    found = await db.scalar(_of_owner(select(func.count(AccountMember.id)), access)) or 0
    counted = {"member_count": found, "updated_at": Account.updated_at}
    await db.execute(update(Account).where(Account.id == account.id).values(counted)
                     .execution_options(synchronize_session=False))  # fmt: skip
    set_committed_value(account, "member_count", found)


async def _withdraw_invitations(db: AsyncSession, access: Access, user_id: UUID) -> None:
    """Revoke what somebody invited who leaves or gets another role: else an invitation to oneself would be a way back.

    Who leaves a partner leaves with the invitations into all its accounts.
    """
    pending = select(Invitation).where(
        Invitation.invited_by == user_id, Invitation.status == InvitationStatus.PENDING
    ).with_for_update()  # fmt: skip
    if access.account_id:
        pending = pending.where(Invitation.account_id == access.account_id)
    for invitation in await db.scalars(pending):
        before, after = events.changed(invitation, {"status": InvitationStatus.REVOKED})
        events.record(db, access, "invitation.revoked", invitation, before=before, after=after,
                      account_id=invitation.account_id)  # fmt: skip


async def _keep_an_admin(db: AsyncSession, access: Access, leaving: Any, role: Role) -> None:
    """Called under the owner's lock, so two admins cannot leave at the same moment."""
    admin = Role.ACCOUNT_ADMIN if access.account_id else Role.PARTNER_ADMIN
    if role != admin:
        return
    model = model_of(access)
    others = select(func.count()).select_from(model).join(User, User.id == model.user_id).where(
        model.role == admin, model.id != leaving.id, User.status == UserStatus.ACTIVE)  # fmt: skip
    with db.no_autoflush:
        if not await db.scalar(_of_owner(others, access)):
            raise LastAdmin
