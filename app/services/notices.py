"""Notices: licences that end soon and limits that are reached are told of once, by an event and by mail."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID, uuid5

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Account, Event, Licence, Notice, NoticeKind, NoticeRound
from app.services import bulks, events, mail, notice_dues, recipients
from app.services.notice_dues import DAYS, Ending, Using

EVENTS: Final = 2_000
ACCOUNTS: Final = 500
WALK: Final = timedelta(hours=1)
"""How often all accounts are looked at, for what is no event and no end: days of grace that are over, licences that
begin, changes of the catalogue."""
MAIL_AGAIN: Final = timedelta(hours=24)
"""Use that goes up and down around a threshold is mailed once in this time; each crossing is an event."""
TELLING: Final = ("account", "licence", "claim")
"""What of the change log gives reason to look at an account."""
ENDS_SOON: Final = "licence.ends_soon"


@dataclass(frozen=True)
class Told:
    """What a step has told, and whether the partner needs another one."""

    given: Counter[NoticeKind] = field(default_factory=Counter[NoticeKind])
    more: bool = False


@dataclass(frozen=True)
class Entitlement:
    """What an event of an entitlement is about: the same id for the same account and feature, always."""

    __subject__: ClassVar = "entitlement"

    id: UUID


async def step(db: AsyncSession, partner_id: UUID, at: datetime) -> Told:
    """Find what is to be told of a partner's accounts at that moment, and tell it: a batch of it, in this transaction.

    One worker at a time looks at a partner, so each notice is given once; killed before the commit, nothing was.
    """
    held = await _hold(db, partner_id, at)
    if held is None:
        return Told()
    at = max(at, held.looked_at)  # clocks differ, and what was said once stays said
    accounts, more = await _touched(db, held)
    if held.next_at <= at:
        accounts |= await _crossed(db, held, at)
        accounts |= await _walked(db, held, at)
    given, few = Counter[NoticeKind](), sorted(accounts)
    for start in range(0, len(few), ACCOUNTS):
        given += await tell(db, partner_id, at, few[start : start + ACCOUNTS])
    walking = held.walked_to is not None or held.walk_at <= at
    held.next_at = at if walking else min(held.walk_at, await _next(db, held.looked_at) or held.walk_at)
    return Told(given, more or walking)


# --- which accounts to look at ---


async def _hold(db: AsyncSession, partner_id: UUID, at: datetime) -> NoticeRound | None:
    """How far the partner has been looked through; None when another worker is at it. The first time, all is walked."""
    held = select(NoticeRound).with_for_update(skip_locked=True)
    found = await db.scalar(held)
    if found is None:
        last = await db.scalar(select(func.max(Event.position))) or 0
        fresh = {"position": last, "looked_at": at, "next_at": at, "walk_at": at}
        if await bulks.insert(db, NoticeRound, {"partner_id": partner_id}, [fresh]):
            found = await db.scalar(held)
    return found


async def _touched(db: AsyncSession, held: NoticeRound) -> tuple[set[UUID], bool]:
    """The accounts that the next events are about; whether there are more events."""
    some = (
        select(Event.position, Event.account_id, Event.subject_type, Event.type)
        .where(Event.position > held.position)
        .order_by(Event.position)
        .limit(EVENTS)
        .subquery()
    )
    ours = some.c.type == ENDS_SOON
    telling = and_(some.c.subject_type.in_(TELLING), some.c.account_id.is_not(None), ~ours)
    ids = func.array_agg(some.c.account_id.distinct()).filter(telling)
    last, number, accounts = (await db.execute(select(func.max(some.c.position), func.count(), ids))).one()
    if last is not None:
        held.position = last
    return set(accounts or ()), number == EVENTS


async def _crossed(db: AsyncSession, held: NoticeRound, at: datetime) -> set[UUID]:
    """The accounts of licences that have come near their end, or to it, since last time. Are there too many, all
    accounts are walked.
    """
    moments = (timedelta(days=days) for days in (*DAYS, 0))
    near = or_(*(and_(Licence.ends_at > held.looked_at + m, Licence.ends_at <= at + m) for m in moments))
    found = set(await db.scalars(select(Licence.account_id).where(near).distinct().limit(ACCOUNTS + 1)))
    held.looked_at = at
    if len(found) <= ACCOUNTS:
        return found
    held.walk_at, held.walked_to = at, None
    return set()


async def _walked(db: AsyncSession, held: NoticeRound, at: datetime) -> set[UUID]:
    """The next accounts of a walk, if it is time for one."""
    if held.walk_at > at:
        return set()
    some = select(Account.id).order_by(Account.id).limit(ACCOUNTS)
    after = held.walked_to
    ids = (await db.scalars(some if after is None else some.where(Account.id > after))).all()
    held.walked_to = ids[-1] if len(ids) == ACCOUNTS else None
    if held.walked_to is None:
        held.walk_at = at + WALK
    return set(ids)


async def _next(db: AsyncSession, since: datetime) -> datetime | None:
    """When the next licence comes near its end, or to it: a look into an index for each."""
    moments = [timedelta(days=days) for days in (*DAYS, 0)]
    ends = [select(func.min(Licence.ends_at)).where(Licence.ends_at > since + m).scalar_subquery() for m in moments]
    found = (await db.execute(select(*ends))).one()
    return min((end - m for end, m in zip(found, moments, strict=True) if end is not None), default=None)


# --- telling ---


async def tell(db: AsyncSession, partner_id: UUID, at: datetime, accounts: Sequence[UUID]) -> Counter[NoticeKind]:
    """Tell what there is to be told of these accounts: each as an event, and all together as a mail to each admin."""
    given, letter = Counter[NoticeKind](), _Letter(at)
    for due in await notice_dues.ending(db, at, accounts):
        given[_tell_end(db, due, letter)] += 1
    for use in await notice_dues.using(db, at, accounts):
        if (kind := _tell_use(db, partner_id, use, letter)) is not None:
            given[kind] += 1
    if letter.accounts:
        for user_id, seen in (await recipients.wanting(db, partner_id, list(letter.accounts))).items():
            said = [letter.accounts[account_id] for account_id in letter.accounts if account_id in seen]
            mail.enqueue(db, partner_id, "licence_notice", subject_id=user_id, accounts=events.plain(said))
    return given


@dataclass(frozen=True)
class _Letter:
    """What is to be mailed of each account."""

    at: datetime
    accounts: dict[UUID, dict[str, Any]] = field(default_factory=dict[UUID, dict[str, Any]])

    def add(self, account_id: UUID, name: str, part: str, item: dict[str, Any]) -> None:
        empty: dict[str, Any] = {"id": account_id, "name": name, "ends": [], "used": []}
        self.accounts.setdefault(account_id, empty)[part].append(item)


def _tell_end(db: AsyncSession, due: Ending, letter: _Letter) -> NoticeKind:
    licence, kind = due.licence, DAYS[due.days]
    if due.had is None:
        db.add(Notice(partner_id=licence.partner_id, account_id=licence.account_id, feature=licence.feature, kind=kind,
                      licence_id=licence.id, ends_at=licence.ends_at, mailed_at=letter.at))  # fmt: skip
    else:
        due.had.ends_at, due.had.mailed_at = licence.ends_at, letter.at
    fact = {"feature": licence.feature, "units": licence.units, "ends_at": licence.ends_at,
            "grace_days": licence.grace_days, "limit_then": due.limit_then}  # fmt: skip
    events.record_system(db, licence.partner_id, ENDS_SOON, licence, account_id=licence.account_id,
                         after=fact | {"days": due.days})  # fmt: skip
    letter.add(licence.account_id, due.account_name, "ends", fact)
    return kind


def _tell_use(db: AsyncSession, partner_id: UUID, use: Using, letter: _Letter) -> NoticeKind | None:
    """The threshold that was crossed, if one was. What reaches its limit at once is not nearly used besides; what
    falls below a threshold is told again when it reaches it again.
    """
    near, nearly = _noted(db, partner_id, use, NoticeKind.NEARLY_USED, use.had_near, reached=use.near)
    full, fully = _noted(db, partner_id, use, NoticeKind.USED_UP, use.had_full, reached=use.full)
    notice, kind = (full, NoticeKind.USED_UP) if fully else (near, NoticeKind.NEARLY_USED)
    if notice is None or not (nearly or fully):
        return None
    fact = {"feature": use.feature, "used": use.used, "limit": use.limit}
    events.record_system(db, partner_id, f"entitlement.{kind}", Entitlement(uuid5(use.account_id, use.feature)),
                         account_id=use.account_id, after=fact)  # fmt: skip
    if notice.mailed_at is None or notice.mailed_at <= letter.at - MAIL_AGAIN:
        notice.mailed_at = letter.at
        letter.add(use.account_id, use.account_name, "used", fact)
    return kind


def _noted(db: AsyncSession, partner_id: UUID, use: Using, kind: NoticeKind, had: Notice | None, *,
           reached: bool) -> tuple[Notice | None, bool]:  # fmt: skip
    """The notice of a threshold, as it is now; whether it is news."""
    if had is None:
        if not reached:
            return None, False
        had = Notice(partner_id=partner_id, account_id=use.account_id, feature=use.feature, kind=kind)
        db.add(had)
        return had, True
    news = reached and had.armed
    had.armed = not reached
    return had, news
