"""Erasures: a person is taken out of all that is kept, and a pseudonym stays in their place.

The log stays true: who did what is told by an id, which is nobody's from then on. What an event says of the person,
and from where they acted, is erased with its salt, so the chain of hashes still verifies (decision 4).
"""

import re
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import (
    PLATFORM,
    AccountMember,
    Erasure,
    Event,
    Invitation,
    InvitationStatus,
    PartnerMember,
    Session,
    StoredAnswer,
    User,
    UserStatus,
    utc_now,
)
from app.policy import Access, Caller
from app.problems import LastAdmin, StillLastAdmin, WrongCredentials
from app.services import events, members, people, sessions, throttles, users
from app.services.holdings import DELETED, HOLDINGS, Person
from app.tenancy import confine

NAME: Final = "Erased user"
NO_PASSWORD: Final = "!"  # noqa: S105 - the hash of none
MEMBERS: Final = 100
"""How many memberships end in one transaction."""
FIRST: Final = UUID(int=0)
DIRECT: Final = {"synchronize_session": False}
HELD: Final = ("partner_id", "partner_name", "account_id", "account_name")


async def ask(db: AsyncSession, user: User, caller: Caller | None, *, password_hash: str | None = None) -> None:
    """Have a person erased: they are out at once, and a worker does the rest. The user is locked by the caller.

    Raises:
        StillLastAdmin: somewhere nobody else is in charge; names where.
        LastAdmin: the person is the only operator.
        WrongCredentials: the password was changed since it was proven.
    """
    if password_hash is not None and user.password_hash != password_hash:
        raise WrongCredentials
    if await db.get(Erasure, user.id) is not None:
        return
    await _refuse_needed(db, user)
    user.status = UserStatus.SUSPENDED
    db.add(Erasure(user_id=user.id))
    await db.flush()
    if caller is None:
        events.record_system(db, PLATFORM, "user.erasure_asked", user)
    else:
        await sessions.end_all(db, caller, "erasure")
        events.record_own(db, caller, "user.erasure_asked", user)


async def _refuse_needed(db: AsyncSession, user: User) -> None:
    found = func.last_admin_of(user.id).table_valued(*HELD)
    held = (await db.execute(select(*(found.c[name] for name in HELD)))).all()
    if held:
        raise StillLastAdmin(
            members={"admin_of": [{n: str(v) if isinstance(v, UUID) else v for n, v in zip(HELD, row, strict=True)}
                                  for row in held]}
        )  # fmt: skip
    if user.operator:
        others = select(User.id).where(User.operator, User.status == UserStatus.ACTIVE, User.id != user.id)
        if not (await db.scalars(others.with_for_update(key_share=True))).all():
            raise LastAdmin


async def step(db: AsyncSession, secret: bytes, user_id: UUID | None = None) -> bool:
    """One step of an erasure that waits (of this user), with how far it is, in this transaction; False when none does.

    Killed before the commit, the step was not done; whoever comes next does it.
    """
    waiting = select(Erasure).where(Erasure.finished_at.is_(None)).order_by(func.random()).limit(1)
    if user_id is not None:
        waiting = waiting.where(Erasure.user_id == user_id)
    erasure = await db.scalar(waiting.with_for_update(skip_locked=True))
    if erasure is None:
        return False
    person = await people.of(db, erasure.user_id)
    await confine(db, erasure.at_partner)
    if erasure.at_event is None:
        if not await _erase_rows(db, person, erasure.at_partner, secret):
            return True
        erasure.at_event = FIRST
    after = erasure.at_event
    until = await people.window(db, Event, after)
    await db.execute(select(func.erase_events_about(erasure.at_partner, person.id, person.pseudonym, after,
                                              until or UUID(int=2**128 - 1))))  # fmt: skip
    erasure.at_event = until
    if until is None:
        following = await people.next_partner(db, erasure.at_partner)
        if following is None:
            await _finish(db, erasure, person)
        else:
            erasure.at_partner = following
    await db.flush()
    return True


async def _erase_rows(db: AsyncSession, person: Person, partner_id: UUID, secret: bytes) -> bool:
    """Deal with all of a partner's rows but those of the log; False when more are left."""
    if not await _leave(db, person, partner_id, AccountMember):
        return False
    await _leave(db, person, partner_id, PartnerMember)
    if partner_id == PLATFORM:
        await _forget_failures(db, person, secret)
    await _mend_answers(db, person)
    for holding in HOLDINGS:
        if not holding.of_partner and partner_id != PLATFORM:
            continue
        if holding.fate == DELETED:
            await db.execute(delete(holding.model).where(holding.about(person)).execution_options(**DIRECT))
        elif not isinstance(holding.fate, str):
            values = {name: value(person) for name, value in holding.fate.items()}
            await db.execute(update(holding.model).where(holding.about(person)).values(values)
                             .execution_options(**DIRECT))  # fmt: skip
    await _empty_invitations(db, person, partner_id)
    return True


async def _leave(db: AsyncSession, person: Person, partner_id: UUID, model: Any) -> bool:
    """End memberships, as if the person had left; False when there may be more."""
    found = (await db.scalars(select(model).where(model.user_id == person.id).order_by(model.id).limit(MEMBERS))).all()
    for member in found:
        account_id = member.account_id if model is AccountMember else None
        access = Access(Caller(person.id, PLATFORM), partner_id, frozenset({member.role}), account_id)
        await members.lock_owner(db, access, archived=True)
        await members.expel(db, access, member)
    return len(found) < MEMBERS


async def _forget_failures(db: AsyncSession, person: Person, secret: bytes) -> None:
    """The counters that there may be; nobody else can tell whose they are, and a day later they are gone anyhow."""
    networks = await db.scalars(select(Session.network).where(Session.user_id == person.id).distinct())
    known = [throttles.key(secret, "log-in", person.email_key, network) for network in (*networks, "elsewhere")]
    known += [throttles.key(secret, "proof", str(person.id)), throttles.key(secret, "resets of", person.email_key)]
    for counter in known:
        await throttles.clear(db, counter)


async def _mend_answers(db: AsyncSession, person: Person) -> None:
    """Put the pseudonym into answers to others that are kept for their repeated requests: those stay good."""
    (holding,) = (h for h in HOLDINGS if h.model is StoredAnswer and h.fate != DELETED)
    spellings = {person.email, person.email_key}
    address = re.compile(b"|".join(re.escape(s.encode()) for s in sorted(spellings)))
    for answer in await db.scalars(select(StoredAnswer).where(holding.about(person))):
        answer.body = address.sub(person.pseudonym.encode(), answer.body)
    await db.flush()


async def _empty_invitations(db: AsyncSession, person: Person, partner_id: UUID) -> None:
    """Revoke what waits for the person, and take their address out of all that were for them."""
    theirs: Sequence[Invitation] = (
        await db.scalars(select(Invitation).where(Invitation.email_key == person.email_key).with_for_update())
    ).all()
    for invitation in theirs:
        if invitation.status == InvitationStatus.PENDING:
            before, after = events.changed(invitation, {"status": InvitationStatus.REVOKED})
            events.record_system(db, partner_id, "invitation.revoked", invitation, before=before, after=after,
                                 account_id=invitation.account_id)  # fmt: skip
        invitation.email = invitation.email_key = person.pseudonym
    await db.flush()


async def _finish(db: AsyncSession, erasure: Erasure, person: Person) -> None:
    """What is left of the user: an id, under a name and an address that are nobody's."""
    await confine(db, PLATFORM)
    user = await users.get(db, person.id, lock=True)
    user.email = user.email_key = person.pseudonym
    user.name, user.name_search, user.language = NAME, words.search_key(NAME), "en"
    user.operator, user.licence_notices = False, False
    user.password_hash, user.totp_secret, user.totp_enabled_at, user.totp_last_step = NO_PASSWORD, None, None, 0
    erasure.finished_at = utc_now()
    events.record_system(db, PLATFORM, "user.erased", user)
