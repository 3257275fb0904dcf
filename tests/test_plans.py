"""How PostgreSQL finds the pages of the accounts table: by an index, however they are asked for."""

import re
from typing import Any, Final

import pytest
from httpx import AsyncClient
from sqlalchemy import event

from app.config import Settings
from app.localpg import BRIEF, LocalPg
from app.models import utc_now
from bench import databases, plans
from bench.growth import CASES, Case
from bench.plans import Plan
from tests.conftest import ROOT, Server, World, running

ACCOUNTS: Final = 30_000
OTHERS: Final = 1_000
TIMES: Final = 7
"""Prepared statements are planned for their values five times; then PostgreSQL may settle for one plan for all."""

STATEMENTS: Final = 3
"""Of which one page may consist: it is looked for nearby, then by its pieces, in a function."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def server() -> Any:
    """Always the embedded one, whose superuser we are: only such may have statements explained as they run."""
    with LocalPg(ROOT / ".data" / "test-postgres", keeping=BRIEF) as local:
        yield Server(local.url("postgres"))


class Statements:
    """What the application really sends, with the plans by which it was carried out."""

    def __init__(self, world: World) -> None:
        self._said: list[str] = []
        for engine in (world.app.state.engine, world.app.state.lines._engine):
            event.listen(engine.sync_engine, "connect", self._listen)

    def _listen(self, connection: Any, _record: object) -> None:
        connection.driver_connection.add_log_listener(self._note)

    def _note(self, _connection: object, said: Any) -> None:
        self._said.append(str(said.message))

    def of_accounts(self) -> list[Plan]:
        """Those that read accounts, since the last time."""
        found = [Plan(float(m[1]), m[2]) for said in self._said if (m := re.match(EXPLAINED, said, re.DOTALL))]
        self._said.clear()
        return [plan for plan in found if plan.accesses]


EXPLAINED: Final = r"duration: ([\d.]+) ms  plan:\n(.*)"


async def full_table(server: Server, database: str) -> None:
    """Fill it in, and have every statement of new connections explained to whoever sends it."""
    async with databases.connected(server.url(database, owner=True)) as owner:
        await databases.fill(owner, ACCOUNTS, others=OTHERS)
        for setting, value in {**plans.SETTINGS, "auto_explain.log_level": "notice"}.items():
            await owner.execute(f"ALTER DATABASE {database} SET {setting} = {value}")


async def leafed(api: AsyncClient, path: str, case: Case) -> dict[str, Any]:
    """The parameters of the page that a case asks for; to a deep one, we leaf."""
    asked = dict(case.query)
    for _ in range(int(case.depth * ACCOUNTS / 200)):
        asked["cursor"] = (await api.get(path, params={**asked, "limit": 200})).json()["next_cursor"]
    return asked


async def test_every_page_of_the_table_is_found_by_an_index(server: Server, database: str, settings: Settings):
    await full_table(server, database)
    wrong: list[str] = []
    async with running(settings) as world:
        statements = Statements(world)
        await world.app.state.engine.dispose()  # the connections of the start tell nobody
        token = world.app.state.tokens.issue(databases.USER, databases.SESSION, utc_now())
        api, path = await world.client(token=token), f"/v1/partners/{databases.PARTNER}/accounts"
        for case in CASES:
            asked = await leafed(api, path, case)
            statements.of_accounts()
            for _ in range(TIMES):
                answer = await api.get(path, params=asked)
                assert answer.status_code == 200, answer.text
                assert answer.json()["items"], case.what
                assert all(case.holds(item) for item in answer.json()["items"]), case.what
            wrong += faults(case, statements.of_accounts())
    assert not wrong, "\n\n".join(wrong)


def faults(case: Case, found: list[Plan]) -> list[str]:
    assert found, f"{case.what}: nothing was explained"
    wrong = [f"{case.what}: read from end to end: {plan.text}" for plan in found if plan.sequential][:1]
    if case.index and not any(plan.uses(case.index) for plan in found[-STATEMENTS:]):
        wrong.append(f"{case.what}: not by the index on {case.index}: {found[-1].text}")
    return wrong
