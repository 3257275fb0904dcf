"""Invitations into a partner or an account. `access` says into which."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import security, words
from app.models import Invitation, InvitationStatus, MailStatus, new_id, utc_now
from app.policy import Access, Role
from app.problems import (
    AlreadyInvited,
    AlreadyMember,
    InvitationClosed,
    NotFound,
    TooManyAttempts,
    TooManyInvitations,
)
from app.services import events, lists, mail, members, throttles, walks

PREFIX = "tni"
MAILS_TO_ONE_ADDRESS = 10
MAILS_BY_ONE_PERSON = 1000


def _key(address: str) -> str:
    """A whole address as its key; a part of one in lower case."""
    try:
        return words.email_key(address)
    except ValueError:
        return address.lower()


def table() -> lists.Table:
    return lists.Table(
        Invitation,
        {
            "email": lists.Column(Invitation.email_key, lists.TEXT, _key, sortable=True),
            "status": lists.Column(status_now(), lists.EQUALITY, lists.one_of(InvitationStatus)),
            "created_at": lists.Column(Invitation.created_at, lists.ORDER, lists.moment, sortable=True),
        },
        sort="-created_at",
        search=Invitation.email_key,
    )


def status_now() -> ColumnElement[Any]:
    """The status by the clock: no job has to run for an invitation to expire."""
    over = and_(Invitation.status == InvitationStatus.PENDING, Invitation.expires_at <= utc_now())
    return case((over, InvitationStatus.EXPIRED.value), else_=Invitation.status)


async def create(
    db: AsyncSession, access: Access, keys: security.Keys, *, email: str, role: Role, days: int
) -> Invitation:
    """Invite an address; the mail goes out after this transaction.

    Raises:
        AlreadyMember: the address is that of a member.
        AlreadyInvited: there is a pending invitation: resend that one.
        AccountArchived: restore the account first.
        InsufficientScope: the role is more than the API client is that invites.
    """
    members.refuse_to_give(access, role)
    await members.lock_owner(db, access)
    key = words.email_key(email)
    if await members.exists(db, access, email_key=key):
        raise AlreadyMember
    await _expire(db, access, key)
    await _count_mail(db, access, keys, key)
    invitation_id = new_id()
    invitation = Invitation(
        id=invitation_id, partner_id=access.partner_id, account_id=access.account_id, email=email, email_key=key,
        role=role, invited_by=access.user_id, generation=1, expires_at=utc_now() + timedelta(days=days),
        token_hash=security.digest(token_of(keys, access.partner_id, invitation_id, 1)),
    )  # fmt: skip
    try:
        async with db.begin_nested():
            db.add(invitation)
    except IntegrityError as error:
        if "uq_invitations_pending" not in str(error.orig):
            raise
        raise AlreadyInvited from None
    events.record(db, access, "invitation.created", invitation, after=events.facts(invitation))
    _enqueue(db, invitation)
    return invitation


async def listed(db: AsyncSession, access: Access, query: lists.Query, *, limit: int, after: list[Any] | None,
                 count: bool) -> walks.Listed:  # fmt: skip
    return await walks.fetch(db, _of(access), table(), query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, access: Access, invitation_id: UUID, *, lock: bool = False) -> Invitation:
    statement = _of(access).where(Invitation.id == invitation_id)
    found = await db.scalar(statement.with_for_update() if lock else statement)
    if found is None:
        raise NotFound
    return found


async def resend(
    db: AsyncSession, access: Access, keys: security.Keys, invitation: Invitation, *, days: int
) -> Invitation:
    """Mail a new link, good for the full time again; the old one dies.

    Raises:
        InvitationClosed: it was accepted or revoked.
        AlreadyInvited: it had expired, and the address was invited anew meanwhile.
        AccountArchived: restore the account first.
        InsufficientScope: the role is more than the API client is that invites.
    """
    members.refuse_to_give(access, invitation.role)
    if invitation.status not in (InvitationStatus.PENDING, InvitationStatus.EXPIRED):
        raise InvitationClosed
    await _count_mail(db, access, keys, invitation.email_key)
    before = _sending(invitation)
    invitation.generation += 1
    invitation.token_hash = security.digest(token_of(keys, invitation.partner_id, invitation.id, invitation.generation))
    invitation.expires_at = utc_now() + timedelta(days=days)
    invitation.mail_status = MailStatus.QUEUED
    try:
        async with db.begin_nested():
            invitation.status = InvitationStatus.PENDING
    except IntegrityError as error:
        if "uq_invitations_pending" not in str(error.orig):
            raise
        raise AlreadyInvited from None
    events.record(db, access, "invitation.resent", invitation, before=before, after=_sending(invitation))
    _enqueue(db, invitation)
    return invitation


async def revoke(db: AsyncSession, access: Access, invitation: Invitation) -> None:
    """Withdraw an invitation: its link dies.

    Raises:
        InvitationClosed: it was accepted or revoked already.
    """
    if invitation.status not in (InvitationStatus.PENDING, InvitationStatus.EXPIRED):
        raise InvitationClosed
    before = {"status": invitation.status}
    invitation.status = InvitationStatus.REVOKED
    await db.flush()
    events.record(db, access, "invitation.revoked", invitation, before=before, after={"status": invitation.status})


async def _count_mail(db: AsyncSession, access: Access, keys: security.Keys, email_key: str) -> None:
    """A few mails to one address, and not thousands by one person, a day: strangers did not ask for ours.

    Raises:
        TooManyInvitations: later.
    """
    now, secret = utc_now(), keys.derived("throttles")
    day = now.date().isoformat()
    to_one = throttles.key(secret, "invitations to", str(access.partner_id), email_key, day)
    by_one = throttles.key(secret, "invitations by", str(access.user_id), day)
    try:
        await throttles.count(db, to_one, now, free=MAILS_TO_ONE_ADDRESS)
        await throttles.count(db, by_one, now, free=MAILS_BY_ONE_PERSON)
    except TooManyAttempts as error:
        raise TooManyInvitations(headers=error.headers) from None


def token_of(keys: security.Keys, partner_id: UUID, invitation_id: UUID, generation: int) -> str:
    return security.derived_token(keys, PREFIX, [partner_id, invitation_id], generation)


def _of(access: Access) -> Select[Any]:
    return select(Invitation).where(Invitation.account_id == access.account_id)


async def _expire(db: AsyncSession, access: Access, key: str) -> None:
    """Put the status of one that ran out into its row, so that it is no longer the pending one of its address."""
    over = await db.scalar(_of(access).with_for_update().where(
        Invitation.email_key == key, Invitation.status == InvitationStatus.PENDING, Invitation.expires_at <= utc_now()
    ))  # fmt: skip
    if over is not None:
        before, after = events.changed(over, {"status": InvitationStatus.EXPIRED})
        events.record_system(db, access.partner_id, "invitation.expired", over, before=before, after=after,
                             account_id=access.account_id)  # fmt: skip
        await db.flush()


def _sending(invitation: Invitation) -> dict[str, Any]:
    return {k: getattr(invitation, k) for k in ("generation", "expires_at", "status", "mail_status")}


def _enqueue(db: AsyncSession, invitation: Invitation) -> None:
    mail.enqueue(db, invitation.partner_id, "invitation", subject_id=invitation.id, generation=invitation.generation)
