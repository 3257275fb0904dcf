"""Where claims are made in a hurry: what `app.turnstile` asks and does for all who come for one pool together."""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import FromClause, Text, case, true

from app.express import Driver, literal, param
from app.models import AccountStatus, Feature
from app.policy import Access
from app.problems import Problem
from app.services import marks, supplies
from app.services.claims import live_claim
from app.services.tallies import COLUMNS, Ask, Given, Tally, claim_of
from app.services.verdicts import Person, Supply

KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FEATURE: Final = param("thing", Text())

Arrival = tuple[Access, AccountStatus, Ask, Sequence[Any]]
"""Who asks, in an account of what status, for what, and what `known` has found besides."""


@lru_cache(maxsize=10_000)
def lock(partner_id: UUID, account_id: UUID, feature: str) -> str:
    """Hold the pool, in a statement that has no parameters: its ids and its key are made of harmless letters only."""
    if not KEY.fullmatch(feature):
        raise ValueError(feature)
    where = f"partner_id = {literal(partner_id)} AND account_id = {literal(account_id)} AND feature = '{feature}'"
    return f"SELECT FROM usages WHERE {where} FOR UPDATE"


def known(asked: FromClause, resource: Any, number: Any) -> tuple[FromClause, list[Any]]:
    """What is asked besides who calls: the resource's live claim, and (with the first caller) the pool."""
    pool = supplies.pools(Feature.key == _FEATURE).scalar_subquery()
    live = live_claim(_FEATURE, resource, asked)
    return asked.outerjoin(live, true()), [*live.c, case((number == 1, pool))]


def subject(ask: Ask) -> str:
    return ask.resource


class Pool(NamedTuple):
    """What was read of the pool while it was held."""

    supply: Supply
    used: int | None
    at: datetime

    @property
    def fresh(self) -> bool:
        """Whether nobody has ever claimed from it, so that there was nothing to hold."""
        return self.used is None and self.supply.feature is not None


def pool_of(found: Sequence[Any], at: datetime) -> Pool:
    """The pool, from what `known` has found with the first caller."""
    return Pool(*supplies.read(found[-1], at), at)


async def open_(line: Driver, partner_id: UUID, account_id: UUID, feature: str) -> None:
    """Have something to hold, and hold it."""
    row = f"{literal(partner_id)}, {literal(account_id)}, key, 0"
    make = f"INSERT INTO usages (partner_id, account_id, feature, used) SELECT {row} FROM features"  # noqa: S608 - see `lock`
    held = lock(partner_id, account_id, feature)
    await line.execute(f"{make} WHERE key = '{feature}' ON CONFLICT DO NOTHING; {held}")


async def settle(line: Driver, partner_id: UUID, account_id: UUID, feature: str, arrivals: Sequence[Arrival],
                 pool: Pool) -> tuple[list[Given | Problem], bool]:  # fmt: skip
    """Make the claims, in the order in which they were asked for, and whether anything was written.

    The caller holds the pool.
    """
    found = {} if pool.supply.feature is None else {feature: (pool.supply, pool.used or 0)}
    had = [claim_of(values[: len(COLUMNS)]) for *_, values in arrivals if values[COLUMNS.index("id")] is not None]
    tally = Tally(partner_id, account_id, found, had, pool.at)
    given = [_one(tally, *arrival[:3]) for arrival in arrivals]
    await tally.write(line)
    if any(isinstance(g, Given) and g.over_limit is None for g in given):
        oldest = await marks.first_over(
            line, partner_id, account_id, feature, tally.limit(feature), tally.used.get(feature, 0)
        )
        given = [_marked(g, oldest) for g in given]
    return given, not tally.empty


def _one(tally: Tally, access: Access, status: AccountStatus, ask: Ask) -> Given | Problem:
    try:
        return tally.claim(access, Person(access.roles, status), ask)
    except Problem as problem:
        return problem


def _marked(given: Given | Problem, oldest: UUID | None) -> Given | Problem:
    if isinstance(given, Problem) or given.over_limit is not None:
        return given
    return Given(given.claim, given.new, marks.is_over(given.claim, oldest))
