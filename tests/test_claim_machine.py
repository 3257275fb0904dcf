"""Claims, releases and licences in any order, against a model of a few lines, on the real service."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import pytest
from httpx import AsyncClient, Response
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from app.config import Settings
from app.models import Partner, SuspendedBy
from app.policy import Role
from tests.conftest import Owner, Server, World, problem, running
from tests.pools import MISCOUNTED, UNTOLD, at, change, claim, feature, in_days, licence

T = TypeVar("T")
RESOURCES, UNITS = st.sampled_from("abcdef"), st.integers(1, 4)


@dataclass
class Stage:
    """The service with an event loop of its own: one for all runs of the machine."""

    runner: asyncio.Runner
    world: World
    partner: Partner
    anna: AsyncClient
    owner: Owner
    numbers: "count[int]" = field(default_factory=count)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)


class Machine(RuleBasedStateMachine):
    """`giving` and `stopped` have the units of licences that are in force, and that are suspended; `live` those of claims.

    Each run has an account and a feature of its own.
    """

    stage: Stage

    def __init__(self) -> None:
        super().__init__()
        number, self.run = next(self.stage.numbers), self.stage.run
        self.key = self.run(feature(self.stage.world, f"assets_{number}"))
        self.account = self.run(self.stage.world.account(self.stage.partner, f"Account {number}", by="Anna"))
        self.live, self.giving, self.stopped = dict[str, int](), dict[UUID, int](), dict[UUID, int]()

    @property
    def limit(self) -> int:
        return sum(self.giving.values())

    @property
    def used(self) -> int:
        return sum(self.live.values())

    def expected(self, resource: str, units: int) -> tuple[int, str | None]:
        if resource in self.live:
            return (200, None) if self.live[resource] == units else (409, "claimed_with_other_units")
        if not self.giving:
            return 403, "not_licensed"
        return (201, None) if self.used + units <= self.limit else (409, "licence_exhausted")

    # what members do

    @rule(resource=RESOURCES, units=UNITS, keyed=st.booleans())
    def claim(self, resource: str, units: int, keyed: bool) -> None:
        headers = {"Idempotency-Key": str(next(self.stage.numbers))} if keyed else {}
        expected = self.expected(resource, units)
        for again in range(2 if keyed else 1):
            answer = self.run(claim(self.stage.anna, self.account, resource, units, self.key, **headers))
            assert said(answer) == expected
            assert ("idempotency-replayed" in answer.headers) == bool(again and not answer.is_error)
            if expected[0] == 201:
                self.live[resource] = units

    @rule(resource=RESOURCES)
    def release(self, resource: str) -> None:
        params = {"feature": self.key, "resource": resource}
        answer = self.run(self.stage.anna.delete(f"{at(self.account)}/claims", params=params))
        assert said(answer) == ((204, None) if resource in self.live else (404, "not_found"))
        self.live.pop(resource, None)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def release_by_id(self, data: st.DataObject) -> None:
        resource = data.draw(st.sampled_from(sorted(self.live)))
        params = {"filter": ["live:eq:true", f"resource:eq:{resource}"]}
        (found,) = self.run(self.stage.anna.get(f"{at(self.account)}/claims", params=params)).json()["items"]
        for _ in range(2):
            answer = self.run(self.stage.anna.delete(f"{at(self.account)}/claims/{found['id']}"))
            assert answer.status_code == 204
        del self.live[resource]

    @rule(released=st.sets(RESOURCES, max_size=2), claimed=st.dictionaries(RESOURCES, UNITS, min_size=1, max_size=3))
    def batch(self, released: set[str], claimed: dict[str, int]) -> None:
        before, expected = dict(self.live), (200, None)
        for resource in sorted(released):
            if self.live.pop(resource, None) is None and expected == (200, None):
                expected = 404, "not_found"
        for resource, units in claimed.items():
            if expected == (200, None):
                status, code = self.expected(resource, units)
                if code:
                    expected = status, code
                self.live.setdefault(resource, units)
        body = {"releases": [{"feature": self.key, "resource": r} for r in sorted(released)],
                "claims": [{"feature": self.key, "resource": r, "units": u} for r, u in claimed.items()]}  # fmt: skip
        answer = self.run(self.stage.anna.post(f"{at(self.account)}/claim-batches", json=body))
        assert said(answer) == expected
        if answer.is_error:
            self.live = before

    # what becomes of licences

    @rule(units=st.integers(0, 6))
    def grant(self, units: int) -> None:
        self.giving[self.run(licence(self.stage.world, self.account, self.key, units))] = units

    def licence_of(self, data: st.DataObject, some: dict[UUID, int]) -> UUID:
        return data.draw(st.sampled_from(sorted(some)))

    @precondition(lambda self: self.giving)
    @rule(data=st.data(), how=st.sampled_from(["revoked_at", "ends_at"]))
    def end(self, data: st.DataObject, how: str) -> None:
        row = self.licence_of(data, self.giving)
        self.run(change(self.stage.world, self.account, row, **{how: in_days(0)}))
        del self.giving[row]

    @precondition(lambda self: self.giving)
    @rule(data=st.data(), units=st.integers(0, 6))
    def resize(self, data: st.DataObject, units: int) -> None:
        row = self.licence_of(data, self.giving)
        self.run(change(self.stage.world, self.account, row, units=units))
        self.giving[row] = units

    @precondition(lambda self: self.giving)
    @rule(data=st.data())
    def suspend(self, data: st.DataObject) -> None:
        row = self.licence_of(data, self.giving)
        self.run(change(self.stage.world, self.account, row, suspended_by=SuspendedBy.PARTNER))
        self.stopped[row] = self.giving.pop(row)

    @precondition(lambda self: self.stopped)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        row = self.licence_of(data, self.stopped)
        self.run(change(self.stage.world, self.account, row, suspended_by=None))
        self.giving[row] = self.stopped.pop(row)

    # what is always true

    @invariant()
    def entitlement_says_so(self) -> None:
        found = self.run(self.stage.anna.get(f"{at(self.account)}/entitlements/{self.key}")).json()
        assert (found["limit"], found["used"], found["licensed"]) == (self.limit, self.used, bool(self.giving))
        assert (found["available"], found["overused"]) == (
            max(0, self.limit - self.used),
            max(0, self.used - self.limit),
        )

    @invariant()
    def claims_are_listed_and_those_above_the_limit_marked(self) -> None:
        params = {"filter": "live:eq:true"}
        found = self.run(self.stage.anna.get(f"{at(self.account)}/claims", params=params)).json()["items"]
        assert {c["resource"]: c["units"] for c in found} == self.live
        upto = 0
        for c in reversed(found):
            upto += c["units"]
            assert c["over_limit"] == (upto > self.limit)

    @invariant()
    def tables_agree(self) -> None:
        for query in (MISCOUNTED, UNTOLD):
            assert self.run(self.stage.owner.rows(query)) == []


def said(answer: Response) -> tuple[int, str | None]:
    return problem(answer) if answer.is_error else (answer.status_code, None)


@pytest.mark.slow
def test_claims_releases_and_licences_in_any_order_do_as_the_model_says(
    settings: Settings, server: Server, database: str
):
    with asyncio.Runner() as runner:
        opened = running(settings)
        world = runner.run(opened.__aenter__())
        connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - it has no types
        connection = runner.run(connect(server.url(database, owner=True).replace("+asyncpg", "")))
        try:
            partner = runner.run(world.partner(Anna=Role.PARTNER_ADMIN))
            Machine.stage = Stage(runner, world, partner, runner.run(world.client("Anna")), Owner(connection))
            run_state_machine_as_test(Machine, settings=BOUNDS)  # pyright: ignore[reportUnknownMemberType]
        finally:
            runner.run(connection.close())
            runner.run(opened.__aexit__(None, None, None))


BOUNDS = settings(max_examples=12, stateful_step_count=25, deadline=None, derandomize=True,
                  suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])  # fmt: skip
