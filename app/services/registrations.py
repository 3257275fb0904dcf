"""Accepting invitations: who holds the token of the mail becomes a member."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import security
from app.models import (
    PLATFORM,
    Account,
    AccountStatus,
    Invitation,
    InvitationStatus,
    Partner,
    PartnerStatus,
    User,
    utc_now,
)
from app.policy import Access, Caller, Request
from app.problems import (
    AccountArchived,
    AlreadyMember,
    InvitationExpired,
    InvitationForAnother,
    InvitationReplaced,
    InvitationRevoked,
    InvitationUsed,
    LogInRequired,
    NotFound,
    PartnerSuspended,
)
from app.services import events, invitations, members, sessions, users
from app.tenancy import confine

NOBODY = Caller(PLATFORM, PLATFORM)


@dataclass(frozen=True)
class Invited:
    """An invitation that may be accepted, with what it is into."""

    invitation: Invitation
    partner: Partner
    account: Account | None
    inviter: str | None
    user: User | None
    """Whom the address belongs to, if it has a user."""


async def find(db: AsyncSession, keys: security.Keys, token: str, *, lock: bool = False) -> Invited:
    """What a token invites into. Confines the session to the partner that the token names.

    Raises:
        NotFound: none of ours.
        InvitationUsed, InvitationExpired, InvitationRevoked, InvitationReplaced: too late.
        PartnerSuspended, AccountArchived: not now.
    """
    ids = security.ids_in(token, invitations.PREFIX, 2)
    if ids is None:
        raise NotFound
    partner_id, invitation_id = ids
    await confine(db, partner_id)
    found = await db.get(Invitation, (partner_id, invitation_id))
    if found is None:
        raise NotFound
    _check_token(keys, found, token)
    if lock:  # always the owner first, then the invitation: see invitations.create
        await members.lock_owner(db, Access(NOBODY, partner_id, frozenset(), found.account_id))
        await db.refresh(found, with_for_update=True)
    _check_token(keys, found, token)
    _check_state(found)
    partner = await db.get_one(Partner, partner_id)
    account = await db.get_one(Account, (partner_id, found.account_id)) if found.account_id else None
    if partner.status == PartnerStatus.SUSPENDED:
        raise PartnerSuspended
    if account is not None and account.status == AccountStatus.ARCHIVED:
        raise AccountArchived
    inviter = await db.scalar(select(User.name).where(User.id == found.invited_by)) if found.invited_by else None
    return Invited(found, partner, account, inviter, await users.by_email(db, found.email))


def _check_token(keys: security.Keys, found: Invitation, token: str) -> None:
    if security.matches(token, found.token_hash):
        return
    earlier = range(1, found.generation)
    if any(invitations.token_of(keys, found.partner_id, found.id, g) == token for g in earlier[-20:]):
        raise InvitationReplaced
    raise NotFound


def _check_state(found: Invitation) -> None:
    match found.state_at(utc_now()):
        case InvitationStatus.ACCEPTED:
            raise InvitationUsed
        case InvitationStatus.EXPIRED:
            raise InvitationExpired
        case InvitationStatus.REVOKED:
            raise InvitationRevoked
        case InvitationStatus.PENDING:
            return


async def register(db: AsyncSession, keys: security.Keys, token: str, request: Request, *, name: str,
                   password_hash: str, language: str | None) -> tuple[User, Invitation]:  # fmt: skip
    """Accept as somebody new: user and membership in one transaction.

    Raises:
        LogInRequired: the address has a user already.
    """
    invited = await find(db, keys, token, lock=True)
    if invited.user is not None:
        raise LogInRequired
    found = invited.invitation
    await confine(db, PLATFORM)
    user = await users.create(db, email=found.email, name=name, password_hash=password_hash,
                              language=language or invited.partner.language, invited_into=found.partner_id,
                              request=request)  # fmt: skip
    await sessions.know(db, user, request)
    await confine(db, found.partner_id)
    await _join(db, request.by(user.id), found, user)
    return user, found


async def accept(db: AsyncSession, keys: security.Keys, token: str, caller: Caller) -> tuple[User, Invitation]:
    """Accept as the logged-in user, whom the invitation must be for.

    Raises:
        InvitationForAnother: it is for another address.
        AlreadyMember: became one in another way meanwhile.
    """
    invited = await find(db, keys, token, lock=True)
    if invited.user is None or invited.user.id != caller.user_id:
        raise InvitationForAnother
    await _join(db, caller, invited.invitation, invited.user)
    return invited.user, invited.invitation


async def _join(db: AsyncSession, caller: Caller, found: Invitation, user: User) -> None:
    access = Access(caller, found.partner_id, frozenset({found.role}), found.account_id)
    if await members.role_of(db, access, user.id):
        raise AlreadyMember
    found.status, found.accepted_by = InvitationStatus.ACCEPTED, user.id
    await members.add(db, access, user_id=user.id, role=found.role)
    after: dict[str, Any] = {"status": found.status, "accepted_by": user.id}
    events.record(db, access, "invitation.accepted", found, before={"status": InvitationStatus.PENDING}, after=after)
