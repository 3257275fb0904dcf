"""Periods and what the clock makes of them: plain functions of a licence and a moment, used wherever either matters."""

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, DateTime, Interval, and_, case, func, literal_column, or_

from app.models import Licence, SuspendedBy, utc_now

DURATION: Final = re.compile(r"P([1-9][0-9]{0,3})([DWMY])")
"""ISO 8601-1 durations of one part: days and weeks of the calendar, months, years."""


class LicenceState(StrEnum):
    """What a licence is at a moment. Only `active` and `grace` give units."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    GRACE = "grace"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class Term(Protocol):
    """What of a licence the clock is asked about."""

    @property
    def starts_at(self) -> datetime: ...
    @property
    def ends_at(self) -> datetime | None: ...
    @property
    def grace_days(self) -> int: ...
    @property
    def suspended_by(self) -> SuspendedBy | None: ...
    @property
    def revoked_at(self) -> datetime | None: ...


def now() -> datetime:
    """This moment, as precisely as the API shows moments: what is shown and sent back is the same one."""
    at = utc_now()
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def over_at(term: Term | Licence) -> datetime | None:
    """When it gives its units no longer: its end and its days of grace; null: never by itself."""
    if term.ends_at is None:
        return None
    try:
        return term.ends_at + timedelta(days=term.grace_days)
    except OverflowError:  # beyond the year 9999
        return datetime.max.replace(tzinfo=term.ends_at.tzinfo)


def state(term: Term | Licence, at: datetime) -> LicenceState:
    """What the licence is at that moment; a period holds its start and not its end.

    One that is over where it starts was called off before: it never begins.
    """
    over = over_at(term)
    if term.revoked_at is not None and term.revoked_at <= at:
        return LicenceState.REVOKED
    if over is not None and over <= max(at, term.starts_at):
        return LicenceState.EXPIRED
    if term.suspended_by is not None:
        return LicenceState.SUSPENDED
    if at < term.starts_at:
        return LicenceState.SCHEDULED
    return LicenceState.ACTIVE if term.ends_at is None or at < term.ends_at else LicenceState.GRACE


def in_force(term: Term | Licence, at: datetime) -> bool:
    """Whether it gives its units at that moment: `state` is active or grace."""
    if term.suspended_by is not None or at < term.starts_at:
        return False
    if term.revoked_at is not None and term.revoked_at <= at:
        return False
    ends = term.ends_at  # most have not ended, and need no sum
    return ends is None or at < ends or (term.grace_days > 0 and at < (over_at(term) or ends))


DAY: Final = literal_column("interval '24 hours'", Interval())
_NEVER, _FOREVER = (literal_column(f"'{moment}'", DateTime(timezone=True)) for moment in ("-infinity", "infinity"))


def runs_until(starts: Any, over: Any) -> ColumnElement[datetime]:
    """In SQL, what to compare a moment with to know whether something that began runs still: later than any moment
    where it has no end, and earlier where it never began.
    """
    return func.coalesce(case((over <= starts, _NEVER), else_=over), _FOREVER)


def over_of(licence: Any) -> ColumnElement[datetime]:
    """`over_at`, in SQL."""
    return licence.ends_at + licence.grace_days * DAY


def lasting(at: Any) -> ColumnElement[bool]:
    """Of a row of licences, in SQL: whether it gives its units at that moment or may do so later."""
    over = over_of(Licence)
    lasts = or_(Licence.ends_at.is_(None), and_(over > at, over > Licence.starts_at))
    return and_(or_(Licence.revoked_at.is_(None), Licence.revoked_at > at), lasts)


def giving(at: Any) -> ColumnElement[bool]:
    """The same as `in_force`, in SQL."""
    return and_(lasting(at), Licence.suspended_by.is_(None), Licence.starts_at <= at)


def after(start: datetime, duration: str, zone: ZoneInfo) -> datetime:
    """The end of a period: so many days, weeks, months or years later, by the calendar and the wall clock of `zone`.

    A month without that day ends it on its last one: a month after 31 January is 28 or 29 February, at the same time of
    day. A time of day that the clocks skip is read with the offset from before the gap; one that comes twice, as the
    first. `duration` matches `DURATION`.
    """
    found = DURATION.fullmatch(duration)
    if found is None:
        raise ValueError(duration)
    count, unit = int(found[1]), found[2]
    local = start.astimezone(zone)
    if unit in "DW":
        moved = local.replace(tzinfo=None) + timedelta(days=count * (7 if unit == "W" else 1))
    else:
        months = local.year * 12 + local.month - 1 + count * (12 if unit == "Y" else 1)
        moved = _in_month(local.replace(tzinfo=None), months // 12, months % 12 + 1)
    return moved.replace(tzinfo=zone, fold=0).astimezone(start.tzinfo)


def _in_month(moment: datetime, year: int, month: int) -> datetime:
    for day in range(moment.day, 27, -1):
        try:
            return moment.replace(year=year, month=month, day=day)
        except ValueError:  # no such day in that month
            continue
    return moment.replace(year=year, month=month)
