"""The clock at its edges: what a licence is at a moment, and when a period ends."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.models import SuspendedBy
from app.services import terms
from app.services.terms import LicenceState as S

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Term:
    starts_at: datetime = datetime(2026, 3, 1, tzinfo=UTC)
    ends_at: datetime | None = datetime(2026, 4, 1, tzinfo=UTC)
    grace_days: int = 7
    suspended_by: SuspendedBy | None = None
    revoked_at: datetime | None = None


def test_a_period_holds_its_start_and_not_its_end():
    term = Term()
    assert term.ends_at is not None
    over = term.ends_at + timedelta(days=7)
    moments = {
        term.starts_at - TICK: S.SCHEDULED, term.starts_at: S.ACTIVE, term.ends_at - TICK: S.ACTIVE,
        term.ends_at: S.GRACE, over - TICK: S.GRACE, over: S.EXPIRED,
    }  # fmt: skip
    assert {at: terms.state(term, at) for at in moments} == moments
    assert [terms.in_force(term, at) for at in moments] == [False, True, True, True, True, False]
    assert terms.over_at(term) == over
    endless = replace(term, ends_at=None)
    assert terms.over_at(endless) is None
    assert terms.state(endless, datetime(2999, 1, 1, tzinfo=UTC)) == S.ACTIVE


def test_revoked_is_stronger_than_expired_and_expired_than_suspended():
    term, at = Term(suspended_by=SuspendedBy.PARTNER), datetime(2026, 3, 15, tzinfo=UTC)
    assert terms.state(term, at) == S.SUSPENDED
    assert terms.state(term, datetime(2026, 2, 1, tzinfo=UTC)) == S.SUSPENDED
    assert terms.state(term, datetime(2026, 5, 1, tzinfo=UTC)) == S.EXPIRED
    revoked = replace(term, revoked_at=at)
    assert terms.state(revoked, at - TICK) == S.SUSPENDED
    assert terms.state(revoked, at) == terms.state(revoked, datetime(2026, 5, 1, tzinfo=UTC)) == S.REVOKED


@pytest.mark.parametrize(
    ("start", "duration", "zone", "end"),
    [
        ("2026-01-31T09:00", "P1M", BERLIN, "2026-02-28T09:00"),
        ("2028-01-31T09:00", "P1M", BERLIN, "2028-02-29T09:00"),
        ("2028-02-29T00:00", "P1Y", BERLIN, "2029-02-28T00:00"),
        ("2028-02-29T00:00", "P4Y", BERLIN, "2032-02-29T00:00"),
        ("2026-12-31T23:59", "P1D", BERLIN, "2027-01-01T23:59"),
        ("2026-12-15T00:00", "P12M", BERLIN, "2027-12-15T00:00"),
        ("2026-03-28T02:30", "P1D", BERLIN, "2026-03-29T03:30"),  # the clocks skip 02:30 on that day
        ("2026-10-24T02:30", "P1D", BERLIN, "2026-10-25T02:30"),  # and show it twice on this one
        ("2026-03-01T00:00", "P1M", BERLIN, "2026-04-01T00:00"),
        ("2026-03-01T00:00", "P2W", NEW_YORK, "2026-03-15T00:00"),
    ],
)
def test_a_period_ends_at_the_same_time_of_day_by_the_calendar_of_the_zone(
    start: str, duration: str, zone: ZoneInfo, end: str
):
    began = datetime.fromisoformat(start).replace(tzinfo=zone).astimezone(UTC)
    ended = terms.after(began, duration, zone)
    assert ended.tzinfo is UTC
    assert ended == datetime.fromisoformat(end).replace(tzinfo=zone).astimezone(UTC)
    assert ended.astimezone(zone).isoformat().startswith(end)


def test_a_month_over_the_change_of_clocks_is_an_hour_shorter():
    began = datetime(2026, 2, 28, 23, tzinfo=UTC)  # 1 March, midnight, in Berlin
    assert terms.after(began, "P1M", BERLIN) - began == timedelta(days=31, hours=-1)
    assert terms.after(began, "P31D", BERLIN) - began == timedelta(days=31, hours=-1)


@pytest.mark.parametrize("strange", ["", "P", "P0M", "P1H", "PT1H", "1M", "P1M1D", "P10000D"])
def test_durations_of_other_forms_are_none(strange: str):
    with pytest.raises(ValueError, match=f"^{strange}$"):
        terms.after(datetime(2026, 1, 1, tzinfo=UTC), strange, BERLIN)
