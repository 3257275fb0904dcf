"""Who is told by mail of what needs attention: admins of accounts and of their partner who want such mail."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, any_, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import AccountMember, Partner, PartnerMember, PartnerStatus, User, UserStatus
from app.policy import ADMINS


async def wanting(
    db: AsyncSession, partner_id: UUID, accounts: Sequence[UUID], user_id: UUID | None = None
) -> Mapping[UUID, set[UUID]]:
    """Of which of these accounts each user (or this one) is to be told.

    Partner admins are told of all of them, except while partner management is off: they see none of them then.
    """
    found: defaultdict[UUID, set[UUID]] = defaultdict(set)
    partner = await db.get_one(Partner, partner_id)
    if partner.status == PartnerStatus.SUSPENDED:
        return found
    asked = literal(list(accounts), ARRAY(Uuid()))
    members: Any = _admins(select(AccountMember.user_id, AccountMember.account_id), AccountMember, user_id)
    rows: Any = await db.execute(members.where(AccountMember.account_id == any_(asked)))
    for admin, account_id in rows:
        found[admin].add(account_id)
    if partner.partner_management_enabled:
        for admin in await db.scalars(_admins(select(PartnerMember.user_id), PartnerMember, user_id)):
            found[admin].update(accounts)
    return found


async def admins(db: AsyncSession, partner_id: UUID) -> Sequence[UUID]:
    """The partner's admins, who are told of what is theirs to mend whether or not they want notices of licences."""
    found = (
        select(PartnerMember.user_id)
        .join(User, User.id == PartnerMember.user_id)
        .where(PartnerMember.partner_id == partner_id, PartnerMember.role.in_(ADMINS), User.status == UserStatus.ACTIVE)
    )
    return (await db.scalars(found)).all()


def _admins(statement: Any, member: Any, user_id: UUID | None) -> Any:
    found = statement.join(User, User.id == member.user_id).where(
        member.role.in_(ADMINS), User.status == UserStatus.ACTIVE, User.licence_notices
    )
    return found if user_id is None else found.where(User.id == user_id)
