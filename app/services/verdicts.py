"""May somebody use so many units of a feature at a moment: one pure function, for whoever claims, asks or explains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from app import words
from app.models import AccountStatus, FeatureKind, Overage, SuspendedBy
from app.policy import Permission, Role, decide
from app.records import record
from app.services import terms
from app.services.sums import Granting, Running, Sum

MOST: Final = 2_000_000_000
"""No account holds more units of a feature, whatever it is allowed: the database counts no further."""
REACH: Final[Mapping[Overage, int | None]] = {
    Overage.FORBIDDEN: 100, Overage.UP_TO_125: 125, Overage.UP_TO_150: 150, Overage.UP_TO_200: 200,
    Overage.ALLOWED: None,
}  # fmt: skip
"""Up to how much of its limit a feature may be used, in percent; null: without end."""
_SWITCH: Final = FeatureKind.SWITCH
_moment: Final = itemgetter(0)


class Step(StrEnum):
    """What is asked, in this order. The first that is answered with no decides."""

    USER = "user"
    PARTNER = "partner"
    ROLE = "role"
    ACCOUNT = "account"
    LICENCE = "licence"
    USE = "use"
    LIMIT = "limit"


OF_UNITS: Final = frozenset({Step.LICENCE, Step.USE, Step.LIMIT})
"""The steps that more units, or fewer, or another time can turn."""


class Grant(NamedTuple):
    """A licence, as far as it counts here."""

    units: int
    max_units_per_claim: int | None
    starts_at: datetime
    ends_at: datetime | None
    grace_days: int
    suspended_by: SuspendedBy | None = None
    revoked_at: datetime | None = None


class FeatureTerms(NamedTuple):
    """What of a feature counts here."""

    key: str
    kind: FeatureKind
    default_units: int
    overage: Overage
    archived: bool


class Level(NamedTuple):
    """How much there is at a moment, whoever uses it."""

    licensed: bool
    limit: int
    reach: int | None
    """Up to where claims may go, overage included; null: as far as they like."""
    cap: int | None
    """The most that one claim may take; null: no such bound."""

    def fails(self, used: int, units: int) -> list[Step]:
        """What so many units beside those in use fail at, in the order in which it is asked; nothing: they fit."""
        asked = (
            (Step.LICENCE, self.licensed), (Step.USE, self.cap is None or units <= self.cap),
            (Step.LIMIT, units <= self.left(used)),
        )  # fmt: skip
        return [step for step, passed in asked if not passed]

    def holds(self, used: int, units: int) -> bool:
        """Whether so many units fit beside those in use."""
        return self.licensed and (self.cap is None or units <= self.cap) and units <= self.left(used)

    def left(self, used: int) -> int:
        """How many units there are beside those in use, overage included; below 0: so many too many are in use."""
        return (MOST if self.reach is None else min(MOST, self.reach)) - used


@record
class Change:
    """When a limit will be another one, and which."""

    at: datetime
    limit: int


class Supply:
    """What an account has of a feature, at a moment: null is one that the catalogue does not know."""

    __slots__ = ("_giving", "at", "feature", "given", "licences", "now")

    def __init__(self, feature: FeatureTerms | None, licences: Sequence[Granting], at: datetime) -> None:
        self.feature: Final = feature
        self.licences: Final = licences
        self.at: Final = at
        self._giving: Final = [licence for licence in licences if terms.in_force(licence, at)]
        self.given: Final = Sum.of(self._giving)
        """What the licences in force now give together."""
        self.now: Final = self._level(self.given)

    def level(self, at: datetime) -> Level:
        """What there is at that moment, if nothing but the clock changes."""
        return self._level(Sum.of([licence for licence in self.licences if terms.in_force(licence, at)]))

    def with_one_more(self, units: int, cap: int | None) -> Level:
        """What there would be now with another licence."""
        return self._level(self.given.plus(units, cap))

    def if_resumed(self) -> Level:
        """What there would be now if no licence were suspended."""
        stopped = (x for x in self.licences if terms.state(x, self.at) is terms.LicenceState.SUSPENDED)
        return self._level(Sum.of([*self._giving, *(x for x in stopped if x.starts_at <= self.at)]))

    def _level(self, given: Sum) -> Level:
        """A feature's default stands in when no licence is in force; an archived one gives none. A switch is on or
        off, however many licences give it.
        """
        feature = self.feature
        if feature is None:
            return Level(False, 0, 0, None)
        default = 0 if feature.archived else feature.default_units
        limit = given.units if given.licences else default
        if limit > 1 and feature.kind == _SWITCH:
            limit = 1
        percent = REACH[feature.overage]
        reach = None if percent is None else limit * percent // 100
        return Level(given.licences > 0 or default > 0, limit, reach, given.cap)

    def _turns(self) -> Sequence[tuple[datetime, int, Granting]]:
        """The moments to come at which a licence begins (1) or ceases (-1) to give its units, in their order."""
        found: list[tuple[datetime, int, Granting]] = []
        for licence in self.licences:
            starts = licence.starts_at
            if licence.ends_at is None and licence.revoked_at is None and starts <= self.at:
                continue  # as most: it gives its units for ever, or whoever suspended it says when
            ceases = _earlier(terms.over_at(licence), licence.revoked_at)
            never = licence.suspended_by is not None or (ceases is not None and ceases <= starts)
            if never or (ceases is not None and ceases <= self.at):
                continue
            if starts > self.at:
                found.append((starts, 1, licence))
            if ceases is not None:
                found.append((ceases, -1, licence))
        return sorted(found, key=_moment)

    def later(self) -> Iterator[tuple[datetime, Level]]:
        """The moments to come at which licences begin or cease, and what there is from each of them on.

        One sweep over all of them: what is asked of a pool costs little more with many licences than with few.
        """
        found = self._turns()
        if not found:
            return
        running = Running()
        for licence in self._giving:
            running.turn(1, licence)
        for at, turns in groupby(found, key=_moment):
            for _, sign, licence in turns:
                running.turn(sign, licence)
            yield at, self._level(running.sum())

    @property
    def next_change(self) -> Change | None:
        """When the limit will be another one by the clock alone."""
        limit = self.now.limit
        for at, level in self.later():
            if level.limit != limit:
                return Change(at, level.limit)
        return None

    @property
    def expires_at(self) -> datetime | None:
        """The earliest end of a licence in force; its days of grace come after it."""
        return min([licence.ends_at for licence in self._giving if licence.ends_at is not None], default=None)


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


@dataclass(frozen=True)
class Person:
    """Who wants to use it: what they are in the account and in its partner, and in what state these are."""

    roles: frozenset[Role]
    account_status: AccountStatus = AccountStatus.ACTIVE
    partner_suspended: bool = False
    partner_managed: bool = True
    may_sign_in: bool = True
    scoped: bool = True
    """Whether the scopes hold it, of an API client."""


@dataclass(frozen=True)
class Verdict:
    """The answer, and what it follows from."""

    person: Person
    supply: Supply
    used: int
    units: int
    failed: Mapping[Step, str]
    """The steps that say no, each with the code of the problem."""

    @property
    def allowed(self) -> bool:
        return not self.failed

    @property
    def step(self) -> Step | None:
        """What decided against it."""
        return next((step for step in Step if step in self.failed), None)

    @property
    def code(self) -> str | None:
        return self.failed[self.step] if self.step else None

    @property
    def limit(self) -> int:
        return self.supply.now.limit

    @property
    def available(self) -> int:
        """What of the limit nobody holds."""
        return max(0, self.limit - self.used)

    @property
    def overused(self) -> int:
        """What is held above the limit."""
        return max(0, self.used - self.limit)

    @property
    def over_limit(self) -> bool:
        """Whether these units would lie above the limit, wholly or in part."""
        return self.used + self.units > self.limit

    @property
    def fits_at(self) -> datetime | None:
        """When so many units will fit, if nothing but the clock changes; null: never, or they do now."""
        if self.supply.now.holds(self.used, self.units):
            return None
        return next((at for at, level in self.supply.later() if level.holds(self.used, self.units)), None)


CODES: Final[Mapping[Step, str]] = {
    Step.LICENCE: "not_licensed", Step.USE: "too_many_units_for_one_use", Step.LIMIT: "licence_exhausted",
}  # fmt: skip


def judge(person: Person, supply: Supply, used: int, units: int) -> Verdict:
    """Whether this person may now use so many units more, where so many are in use."""
    failed = dict(_refused(person))
    if not supply.now.holds(used, units):
        failed.update((step, CODES[step]) for step in supply.now.fails(used, units))
    return Verdict(person, supply, used, units, failed)


def _refused(person: Person) -> Mapping[Step, str]:
    """What says no, however much there is."""
    failed: dict[Step, str] = {}
    if not person.may_sign_in:
        failed[Step.USER] = "unauthenticated"
    code = _decided(person, suspended=person.partner_suspended, managed=person.partner_managed)
    if code in ("partner_suspended", "partner_management_off"):
        failed[Step.PARTNER] = code
        code = _decided(person, suspended=False, managed=True)
    if code is not None:
        failed[Step.ROLE] = "not_a_member" if code == "not_found" else code
    elif not person.scoped:
        failed[Step.ROLE] = "insufficient_scope"
    if person.account_status != AccountStatus.ACTIVE:
        failed[Step.ACCOUNT] = f"account_{person.account_status.value}"
    return failed


def _decided(person: Person, *, suspended: bool, managed: bool) -> str | None:
    found = decide(person.roles, Permission.CLAIM_MANAGE, suspended=suspended, managed=managed)
    return found if isinstance(found, str) else None


def members_of(verdict: Verdict) -> dict[str, object]:
    """What a problem says of it besides."""
    change, fits_at = verdict.supply.next_change, verdict.fits_at
    return {
        "limit": verdict.limit, "used": verdict.used, "available": verdict.available,
        "max_units_per_claim": verdict.supply.now.cap,
        "next_change": None if change is None else {"at": words.stamp(change.at), "limit": change.limit},
        "fits_at": words.stamp(fits_at) if fits_at else None,
    }  # fmt: skip
