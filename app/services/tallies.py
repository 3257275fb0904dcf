"""What one transaction claims and releases in the pools that it holds: counted here, and written in one statement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import UUID

from app.express import Driver, run
from app.models import Claim, Event, new_id
from app.policy import Access
from app.problems import KINDS, ClaimedOtherwise, EntitlementProblem, Problem
from app.services import bulks, events
from app.services.verdicts import OF_UNITS, Person, Supply, Verdict, judge, members_of

Row = dict[str, Any]
Pools = Mapping[str, tuple[Supply, int]]
COLUMNS: Final = (
    "id", "partner_id", "account_id", "feature", "resource", "units", "actor", "user_id", "reason", "reference",
    "released_at", "release_reason", "release_reference", "created_at",
)  # fmt: skip
OUTSIDE: Final[Mapping[str, str]] = {"user_id": "actor_id"}
"""What columns are called outside, where that is not what they are called here."""
UNSAID: Final = frozenset({"partner_id", "id", "created_at"})


@dataclass(frozen=True)
class Ask:
    """One claim that somebody asks for."""

    feature: str
    resource: str
    units: int = 1
    reason: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Given:
    """The claim that was asked for: a new one, or one that the resource had."""

    claim: Claim
    new: bool
    over_limit: bool | None
    """Whether it lies above the limit, wholly or in part; null: that is to be found out."""


class Tally:
    """Counts what is claimed and released, one after the other, and writes it all in the end.

    `pools` and `live` (claims of the resources in question) were read when the pools were held.
    """

    def __init__(self, partner_id: UUID, account_id: UUID, pools: Pools, live: Iterable[Claim], at: datetime) -> None:
        self.partner_id, self.account_id, self.at = partner_id, account_id, at
        self._supply = {key: supply for key, (supply, _) in pools.items()}
        self._before = {key: used for key, (_, used) in pools.items()}
        self.used = dict(self._before)
        self._live = {(claim.feature, claim.resource): claim for claim in live}
        self._made, self._freed, self._said = list[Row](), list[Row](), list[Row]()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not self._said

    def limit(self, feature: str) -> int:
        return self._supply[feature].now.limit if feature in self._supply else 0

    def live(self, feature: str, resource: str) -> Claim | None:
        """The resource's claim, as things stand by now."""
        return self._live.get((feature, resource))

    def claim(self, access: Access, person: Person, ask: Ask) -> Given:
        """Take the units, if the person may and there are enough; a resource that has them keeps its claim.

        Raises:
            ClaimedOtherwise: the resource has a claim of another number of units.
            Those that `refusal` makes of a verdict.
        """
        supply, used = self._supply.get(ask.feature) or Supply(None, (), self.at), self.used.get(ask.feature, 0)
        verdict = judge(person, supply, used, ask.units)
        had = self.live(ask.feature, ask.resource)
        if had is not None and (verdict.step is None or verdict.step in OF_UNITS):
            if had.units != ask.units:
                raise ClaimedOtherwise
            return Given(had, False, None if used > verdict.limit else False)
        if not verdict.allowed:
            raise refusal(verdict)
        row = self._row(access, ask)
        self._made.append(row)
        self._say(access, "claim.created", row["id"], None, row)
        self.used[ask.feature] = used + ask.units
        claim = cast("Claim", SimpleNamespace(**row))
        self._live[ask.feature, ask.resource] = claim
        return Given(claim, True, verdict.over_limit)

    def release(self, access: Access, claim: Claim, *, reason: str | None, reference: str | None) -> None:
        """Give the units of a live claim back."""
        row = {name: getattr(claim, name) for name in COLUMNS}
        after = row | {"released_at": self.at, "release_reason": reason, "release_reference": reference}
        self._freed.append(after)
        self._say(access, "claim.released", claim.id, row, after)
        self.used[claim.feature] -= claim.units
        del self._live[claim.feature, claim.resource]

    def _row(self, access: Access, ask: Ask) -> Row:
        return {
            "partner_id": self.partner_id, "id": new_id(), "account_id": self.account_id, "feature": ask.feature,
            "resource": ask.resource, "units": ask.units, "actor": access.caller.actor, "user_id": access.caller.id,
            "reason": ask.reason, "reference": ask.reference, "released_at": None, "release_reason": None,
            "release_reference": None, "created_at": self.at,
        }  # fmt: skip

    def _say(self, access: Access, type: str, claim_id: UUID, before: Row | None, after: Row) -> None:
        """Both sides whole: who is told of it need not look up what it was."""
        fact = events.Fact(claim_id, before and _said(before), _said(after), self.account_id)
        shared, (row,) = events.rows(access, type, Claim.__subject__, [fact])
        self._said.append(shared | row)

    async def write(self, line: Driver) -> None:
        """Write it all; releases first, for a resource may be claimed anew."""
        if self.empty:
            return
        if self._freed:
            sent = [[row[name] for row in self._freed] for name in ("id", "release_reason", "release_reference")]
            await run(line, FREE, self.partner_id, self.account_id, self.at, *sent)
        changes = {key: used - self._before[key] for key, used in self.used.items() if used != self._before[key]}
        if len(self._made) == len(self._said) == 1:  # as most are: values cost the driver less than arrays of one
            ((key, units),) = changes.items()
            statement, sent = of_one(), [key, units, *bulks.flat(Claim, self._made), *bulks.flat(Event, self._said)]
        else:
            names = tuple(self._said[0])
            statement, sent = _of_all(names), [list(changes), list(changes.values()),
                                               *bulks.gathered(Claim, COLUMNS, self._made),
                                               *bulks.gathered(Event, names, self._said)]  # fmt: skip
        counted = await run(line, statement, self.partner_id, self.account_id, *sent)
        if len(counted) != len(changes):
            raise RuntimeError("units of a pool that is not there")


FREE: Final = """
    UPDATE claims AS c SET released_at = $3, release_reason = r.reason, release_reference = r.reference
      FROM unnest($4::uuid[], $5::text[], $6::text[]) AS r(id, reason, reference)
     WHERE c.partner_id = $1 AND c.account_id = $2 AND c.id = r.id AND c.released_at IS NULL
"""
_COUNT: Final = """
    UPDATE usages AS u SET used = u.used + r.units FROM unnest($3::text[], $4::int4[]) AS r(feature, units)
     WHERE u.partner_id = $1 AND u.account_id = $2 AND u.feature = r.feature RETURNING 1
"""
_COUNT_ONE: Final = """
    UPDATE usages SET used = used + $4 WHERE partner_id = $1 AND account_id = $2 AND feature = $3 RETURNING 1
"""


@cache
def _of_all(said: tuple[str, ...]) -> str:
    """Claims, what the change log says of them, and how many units are in use by then."""
    made, events_ = bulks.gathering(Claim, COLUMNS, 5), bulks.gathering(Event, said, 5 + len(COLUMNS))
    return f"WITH made AS ({made}), said AS ({events_}) {_COUNT}"


@cache
def of_one() -> str:
    made, said = bulks.inserting(Claim, 1, 5), bulks.inserting(Event, 1, 5 + bulks.width(Claim))
    return f"WITH made AS ({made}), said AS ({said}) {_COUNT_ONE}"


def refusal(verdict: Verdict) -> Problem:
    """The problem that a verdict which says no is to whoever claims."""
    if verdict.code is None:
        raise RuntimeError("a refusal of what is allowed")
    kind = KINDS[verdict.code]
    return kind(members=members_of(verdict)) if kind.shape is EntitlementProblem else kind()


def _said(row: Row) -> Row:
    return {OUTSIDE.get(name, name): value for name, value in row.items() if name not in UNSAID}


def claim_of(values: Sequence[Any]) -> Claim:
    """A claim of no session, from the values of `COLUMNS`."""
    return cast("Claim", SimpleNamespace(**dict(zip(COLUMNS, values, strict=True))))
