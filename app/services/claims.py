"""Claims: single uses of what accounts are entitled to."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, FromClause, Text, collate, func, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.express import Driver, Prepared, line_of, param
from app.models import Account, Claim, Feature, utc_now
from app.policy import Access, Actor
from app.problems import KINDS, Fault, NotFound, Problem
from app.services import lists, marks, pools, supplies, walks
from app.services.supplies import ACCOUNT, PARTNER
from app.services.tallies import COLUMNS, OUTSIDE, Ask, Given, Tally, claim_of
from app.services.verdicts import Person

Key = tuple[str, str]
"""What a live claim is known by: its feature and its resource."""

TABLE = lists.Table(
    Claim,
    {
        "feature": lists.Column(Claim.feature, lists.EQUALITY),
        "resource": lists.Column(Claim.resource, lists.TEXT),
        "live": lists.Column(Claim.released_at.is_(None), ("eq", "in"), lists.truth),
        "reference": lists.Column(Claim.reference, (*lists.EQUALITY, "is_null"), nullable=True),
        "actor": lists.Column(Claim.actor, lists.EQUALITY, lists.one_of(Actor)),
        "actor_id": lists.Column(Claim.user_id, ("eq", "in", "is_null"), lists.id_of, nullable=True),
        "created_at": lists.Column(Claim.created_at, lists.ORDER, lists.moment, sortable=True),
    },
    sort="-created_at",
)


def live_claim(feature: Any, resource: Any, asked: FromClause) -> Any:
    """For each row of `asked`: the live claim of its resource, looked up by the whole key.

    Joined as a table, it would be found by what an average pool has: by reading the live claims of all its resources.
    """
    return (
        select(*(getattr(Claim, name) for name in COLUMNS))
        .where(Claim.partner_id == PARTNER, Claim.account_id == ACCOUNT, Claim.feature == collate(feature, "C"),
               Claim.resource == collate(resource, "C"), Claim.released_at.is_(None))
        .limit(1)
        .correlate(asked)
        .lateral("live")
    )  # fmt: skip


_ASKED: Final = (
    func.unnest(param("features", ARRAY(Text())), param("resources", ARRAY(Text())))
    .table_valued("feature", "resource", name="asked")
    .render_derived()
)
_FOUND: Final = live_claim(_ASKED.c.feature, _ASKED.c.resource, _ASKED)
_LIVE: Final = Prepared(select(*_FOUND.c).select_from(_ASKED.join(_FOUND, true())))


async def listed(
    db: AsyncSession, access: Access, query: lists.Query, *, limit: int, after: list[Any] | None, count: bool
) -> walks.Listed:
    statement = select(Claim).where(Claim.account_id == access.account_id)
    return await walks.fetch(db, statement, TABLE, query, limit=limit, after=after, count=count)


async def get(db: AsyncSession, access: Access, claim_id: UUID) -> Claim:
    """A claim of the account, live or released.

    Raises:
        NotFound: there is none of this id.
    """
    claim = await db.get(Claim, (access.partner_id, claim_id))
    if claim is None or claim.account_id != access.account_id:
        raise NotFound
    return claim


TOLD: Final = tuple((OUTSIDE.get(name, name), name) for name in COLUMNS)


def shown(claim: Claim, *, over_limit: bool) -> dict[str, Any]:
    """A claim as the API shows it."""
    return {told: getattr(claim, name) for told, name in TOLD} | {"over_limit": over_limit}


def etag(claim: Claim) -> str:
    """A claim is made, and may be released: nothing else ever changes of it."""
    return "1" if claim.released_at is None else "2"


async def marked(line: Driver, access: Access, claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Claims as the API shows them: the newest live ones above a limit are marked."""
    features = {claim.feature for claim in claims if claim.released_at is None}
    account_id = access.account
    known = await supplies.of(line, access.partner_id, account_id, features, utc_now()) if features else {}
    first = {key: await marks.first_over(line, access.partner_id, account_id, key, supply.now.limit, used)
             for key, (supply, used) in known.items()}  # fmt: skip
    return [shown(claim, over_limit=marks.is_over(claim, first.get(claim.feature))) for claim in claims]


# --- changes, for whoever has a session; `counters` has the way for whoever is in a hurry ---


async def batch(db: AsyncSession, access: Access, releases: Sequence[Mapping[str, Any]],
                asks: Sequence[Ask]) -> list[dict[str, Any]]:  # fmt: skip
    """Release and then claim, one after the other: all of it, or nothing. The claims as the API shows them.

    Raises:
        NotFound: a resource has no live claim to be released.
        Those of `Tally.claim`, with a pointer to what was refused.
    """
    keys = [*((r["feature"], r["resource"]) for r in releases), *((ask.feature, ask.resource) for ask in asks)]
    tally = await _hold(db, access, keys)
    for n, release in enumerate(releases):
        claim = tally.live(release["feature"], release["resource"])
        if claim is None:
            raise _at(NotFound(), f"/releases/{n}")
        tally.release(access, claim, reason=release["reason"], reference=release["reference"])
    person = Person(access.roles, await _status(db, access)) if asks else Person(access.roles)
    given: list[Given] = []
    for n, ask in enumerate(asks):
        try:
            given.append(tally.claim(access, person, ask))
        except Problem as problem:
            raise _at(problem, f"/claims/{n}") from None
    line = await line_of(db)
    await tally.write(line)
    return await marked(line, access, [found.claim for found in given])


async def release(db: AsyncSession, access: Access, claim: Claim, *, reason: str | None, reference: str | None) -> None:
    """Give a claim's units back. One that is released already stays as it is."""
    if claim.released_at is None:
        await release_resource(db, access, (claim.feature, claim.resource), reason=reason, reference=reference,
                               only=claim.id)  # fmt: skip


async def release_resource(db: AsyncSession, access: Access, key: Key, *, reason: str | None, reference: str | None,
                           only: UUID | None = None) -> None:  # fmt: skip
    """Give the units of a resource's live claim back; with `only`, if it is that one.

    Raises:
        NotFound: it has none; not with `only`, for somebody else was faster.
    """
    tally = await _hold(db, access, [key])
    claim = tally.live(*key)
    if only is not None and (claim is None or claim.id != only):
        return
    if claim is None:
        raise NotFound
    tally.release(access, claim, reason=reason, reference=reference)
    await tally.write(await line_of(db))


async def _hold(db: AsyncSession, access: Access, keys: Sequence[Key]) -> Tally:
    """Hold the pools, and know what is true then."""
    account_id, asked = access.account, {feature for feature, _ in keys}
    known = set(await db.scalars(select(Feature.key).where(Feature.key.in_(asked))))
    await pools.hold(db, access.partner_id, account_id, known)
    line, at = await line_of(db), utc_now()
    found = await supplies.of(line, access.partner_id, account_id, known, at)
    return Tally(access.partner_id, account_id, found, await live(line, access, keys), at)


async def live(line: Driver, access: Access, keys: Sequence[Key]) -> list[Claim]:
    """The live claims of these resources."""
    features, resources = [feature for feature, _ in keys], [resource for _, resource in keys]
    rows = await _LIVE.all(
        line, partner=access.partner_id, account=access.account_id, features=features, resources=resources
    )
    return [claim_of(row) for row in rows]


async def _status(db: AsyncSession, access: Access) -> Any:
    return await db.scalar(select(Account.status).where(Account.id == access.account_id))


def _at(problem: Problem, pointer: str) -> Problem:
    """The same problem, which says of which part of the batch it is."""
    kind = KINDS[problem.code]
    return kind(errors=[Fault(pointer, problem.code, problem.detail)], members=problem.members)
