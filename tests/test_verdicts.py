"""The one verdict: a pure function, held against a simpler one, and against what the database adds up."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.models import Account, AccountStatus, FeatureKind, Overage, SuspendedBy, utc_now
from app.policy import Role
from app.services import entitlements, terms
from app.services.verdicts import MOST, FeatureTerms, Grant, Person, Step, Supply, judge
from tests.conftest import Owner, World
from tests.pools import feature, licence

NOW = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
EDITOR = Person(frozenset({Role.ACCOUNT_EDITOR}))
PERCENT = {Overage.FORBIDDEN: 1.0, Overage.UP_TO_125: 1.25, Overage.UP_TO_150: 1.5, Overage.UP_TO_200: 2.0}

moments = st.integers(-3, 3).map(lambda days: NOW + timedelta(days=days))
features = st.builds(FeatureTerms, st.just("assets"), st.sampled_from(FeatureKind), st.sampled_from([0, 1, 7]),
                     st.sampled_from(Overage), st.booleans())  # fmt: skip


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    start, end = draw(moments), draw(st.none() | moments)
    return Grant(draw(st.integers(0, 9)), draw(st.none() | st.integers(1, 5)), start, end and max(start, end),
                 draw(st.integers(0, 2)), draw(st.none() | st.sampled_from(SuspendedBy)), draw(st.none() | moments))  # fmt: skip


supplies = st.builds(Supply, features, st.lists(grants(), max_size=5), st.just(NOW))


def simply(supply: Supply, used: int, units: int, at: datetime) -> tuple[bool, int]:
    """May they, and the limit: as one would say it to somebody at a table."""
    known = supply.feature
    assert known is not None
    giving: list[Any] = []
    for found in supply.licences:
        end = None if found.ends_at is None else found.ends_at + timedelta(days=found.grace_days)
        begun, over = found.starts_at <= at, end is not None and at >= end
        revoked = found.revoked_at is not None and found.revoked_at <= at
        if begun and not over and not revoked and found.suspended_by is None:
            giving.append(found)
    limit = sum(found.units for found in giving)
    if not giving:
        limit = 0 if known.archived else known.default_units
        if limit == 0:
            return False, 0
    if known.kind is FeatureKind.SWITCH:
        limit = min(limit, 1)
    if giving and all(found.max_units_per_claim is not None and found.max_units_per_claim < units for found in giving):
        return False, limit
    if known.overage is Overage.ALLOWED:
        return True, limit
    return used + units <= int(limit * PERCENT[known.overage]), limit


@given(supplies, st.integers(0, 60), st.integers(1, 12))
def test_verdict_is_what_one_would_say_at_a_table(supply: Supply, used: int, units: int):
    verdict = judge(EDITOR, supply, used, units)
    assert (verdict.allowed, verdict.limit) == simply(supply, used, units, NOW)
    assert (verdict.code is None) == verdict.allowed == (verdict.step is None)
    assert verdict.available == max(0, verdict.limit - used)
    assert verdict.overused == max(0, used - verdict.limit)
    assert verdict.over_limit == (used + units > verdict.limit)


@given(supplies, st.integers(0, 60), st.integers(1, 12))
def test_next_change_and_the_moment_when_it_fits_come_true_and_nothing_changes_before(
    supply: Supply, used: int, units: int
):
    verdict = judge(EDITOR, supply, used, units)
    change, fits_at = supply.next_change, verdict.fits_at
    for hours in range(24 * 12):  # no period ends later
        at = NOW + timedelta(hours=hours)
        fits, limit = simply(supply, used, units, at)
        if change is None or at < change.at:
            assert limit == verdict.limit
        elif at == change.at:
            assert limit == change.limit != verdict.limit
        if not verdict.allowed and (fits_at is None or at < fits_at):
            assert not fits
        elif at == fits_at:
            assert fits
    assert not (verdict.allowed and fits_at)


@given(supplies, st.integers(0, 60), st.integers(1, 12), grants())
def test_more_licences_and_fewer_units_never_turn_a_yes_into_a_no(supply: Supply, used: int, units: int, more: Grant):
    if not judge(EDITOR, supply, used, units).allowed:
        return
    assert judge(EDITOR, supply, max(0, used - 1), units).allowed
    assert judge(EDITOR, supply, used, max(1, units - 1)).allowed
    known = supply.feature
    assert known is not None
    licensed = Supply(known, [*supply.licences, more], NOW)
    if any(terms.in_force(found, NOW) for found in supply.licences):  # else a default gives way to it
        assert judge(EDITOR, licensed, used, units).allowed


def test_unknown_feature_is_not_licensed_and_nobody_holds_more_than_can_be_counted():
    assert judge(EDITOR, Supply(None, (), NOW), 0, 1).code == "not_licensed"
    unlimited = FeatureTerms("assets", FeatureKind.QUOTA, 0, Overage.ALLOWED, False)
    supply = Supply(unlimited, [Grant(0, None, NOW, None, 0)], NOW)
    assert judge(EDITOR, supply, MOST - 1, 1).allowed
    assert judge(EDITOR, supply, MOST, 1).code == "licence_exhausted"


def test_first_step_that_fails_decides_and_all_that_fail_are_named():
    blocked = Person(
        frozenset({Role.ACCOUNT_VIEWER}), AccountStatus.SUSPENDED, partner_suspended=True, may_sign_in=False
    )
    verdict = judge(blocked, Supply(None, (), NOW), 0, 1)
    assert verdict.failed == {
        Step.USER: "unauthenticated", Step.PARTNER: "partner_suspended", Step.ROLE: "forbidden",
        Step.ACCOUNT: "account_suspended", Step.LICENCE: "not_licensed", Step.LIMIT: "licence_exhausted",
    }  # fmt: skip
    assert (verdict.step, verdict.code) == (Step.USER, "unauthenticated")


def test_periods_hold_their_start_and_not_their_end_to_the_microsecond():
    tick, year = timedelta(microseconds=1), timedelta(days=365)
    quota = FeatureTerms("assets", FeatureKind.QUOTA, 0, Overage.FORBIDDEN, False)
    leap = datetime(2028, 2, 29, tzinfo=UTC)
    for start, end in ((NOW, NOW + year), (leap - year, leap), (NOW - tick, NOW)):
        supply = Supply(quota, [Grant(3, None, start, end, 0)], NOW)
        limits = [supply.level(at).limit for at in (start - tick, start, end - tick, end)]
        assert limits == [0, 3, 3, 0]
        grace = Supply(quota, [Grant(3, None, start, end, 1)], NOW)
        over = end + timedelta(hours=24)
        assert [grace.level(at).limit for at in (end, over - tick, over)] == [3, 3, 0]


def test_end_beyond_the_calendar_is_no_failure():
    far = datetime(9999, 12, 31, tzinfo=UTC)
    assert terms.in_force(Grant(1, None, NOW, far, 30), NOW)


# --- the same in SQL ---


async def test_database_adds_up_the_same_limits_as_the_verdict(world: World, owner: Owner):
    """Generated licences, each in an account of its own and several in one; at several moments."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    accounts = [await world.account(partner, f"Account {n}", by="Anna") for n in range(4)]
    now, chance = utc_now(), Random(1)
    known: dict[str, FeatureTerms] = {}
    held: dict[tuple[Account, str], list[Grant]] = {}

    def drawn(*options: Any) -> Any:
        return chance.choice(options)

    for n in range(8):
        found = FeatureTerms(f"feature_{n}", drawn(*FeatureKind), n % 2, drawn(*Overage), n == 5)
        known[found.key] = found
        await feature(world, found.key, kind=found.kind, default=found.default_units, overage=found.overage,
                      archived=found.archived)  # fmt: skip
    for n in range(90):
        account, key = accounts[n % 4], f"feature_{drawn(*range(8))}"
        start = now + timedelta(hours=drawn(-72, -24, 0, 24))
        ends = drawn(None, start, start + timedelta(hours=24), start + timedelta(hours=48))
        grant = Grant(drawn(0, 1, 5), None, start, ends, drawn(0, 0, 1), drawn(None, None, None, SuspendedBy.PARTNER),
                      drawn(None, None, None, start, start + timedelta(hours=24)))  # fmt: skip
        await licence(world, account, key, **grant._asdict())
        held.setdefault((account, key), []).append(grant)
    compared = 0
    for hours in (-72, -48, -1, 0, 1, 24, 47, 48, 72, 500):
        at = now + timedelta(hours=hours)
        statement, _ = entitlements.of_partner(at)
        async with world.transaction(partner.id) as db:
            rows = {(row.account_id, row.feature): row for row in await db.execute(statement)}
        for (account, key), some in held.items():
            supply = Supply(known[key], some, at)
            row = rows.pop((account.id, key), None)
            if row is None:  # all of them are over
                assert all(terms.state(grant, at) in ("expired", "revoked") for grant in some)
                continue
            assert (row.limit, row.expires_at) == (supply.now.limit, supply.expires_at), (at, some)
            compared += 1
        assert rows == {}
    assert compared > 100
