"""Taking turns: a partner that asks for much at once waits for itself, and nobody else for it."""

import asyncio
from uuid import UUID, uuid4

import pytest
from fastapi import Request
from fastapi.routing import APIRoute
from httpx import AsyncClient, Response

from app.config import Settings
from app.policy import Role
from app.problems import Unavailable
from app.routers import ROUTERS
from app.turns import APART, WAITING, Turns
from tests.conftest import World, problem, running

R = Role


async def two(world: World) -> tuple[tuple[AsyncClient, str], tuple[AsyncClient, str]]:
    loud, quiet = await world.partner("Loud", Lou=R.PARTNER_ADMIN), await world.partner("Quiet", Quinn=R.PARTNER_ADMIN)
    return ((await world.client("Lou"), f"/v1/partners/{loud.id}/accounts"),
            (await world.client("Quinn"), f"/v1/partners/{quiet.id}/accounts"))  # fmt: skip


async def place_of_the_quiet(settings: Settings, at_once: int) -> int:
    """How many of a loud partner's 100 requests were answered while one waited that another partner sent after them."""
    done, before = list[str](), 0
    async with running(settings.model_copy(update={"partner_requests_at_once": at_once})) as world:
        (lou, loud), (quinn, quiet) = await two(world)

        async def ask(who: str, client: AsyncClient, path: str) -> Response:
            answer = await client.get(path)
            done.append(who)
            return answer

        for _ in range(5):  # all connections are made by now, and what is asked for is prepared on them
            both = ((lou, loud), (quinn, quiet)) * 8
            answers = await asyncio.gather(*(client.get(path) for client, path in both))
            assert {answer.status_code for answer in answers} == {200}
        asked = [asyncio.create_task(ask("loud", lou, loud)) for _ in range(100)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)  # now all of them have come
        before = len(done)
        answers = await asyncio.gather(*asked, ask("quiet", quinn, quiet))
        assert {answer.status_code for answer in answers} == {200}
        assert world.app.state.turns._doors == {}, "nobody is waited for in the end"
    return done.index("quiet") - before


async def test_burst_of_one_partner_makes_the_request_of_another_wait_for_a_few_of_it_only(settings: Settings):
    assert await place_of_the_quiet(settings, 2) < 15


async def test_however_many_partners_send_bursts_the_request_of_another_waits_for_one_of_each():
    turns, order, some = Turns(at_once=2, together=3, patience=5), list[str](), asyncio.Event()
    ids = {name: uuid4() for name in "abcq"}

    async def ask(name: str) -> None:
        request = Request({"type": "http", "path": f"/v1/partners/{ids[name]}/accounts", "headers": []})
        await turns.take(request, ids[name])
        order.append(name)
        if len(order) == 12:
            some.set()
        assert sum(door.at_work for door in turns._doors.values()) <= 3
        assert all(door.at_work <= 2 for door in turns._doors.values())
        await asyncio.sleep(0.001)
        turns.give_back(request.scope)

    asked = [asyncio.create_task(ask(name)) for name in "abc" for _ in range(20)]
    await some.wait()
    before = len(order)
    await asyncio.gather(*asked, ask("q"))
    assert order.index("q") - before <= 6, "it waits for those at work, and for one of each that waits"
    assert sorted(order) == sorted("abc" * 20 + "q")
    assert (turns._doors, turns._at_work, list(turns._line)) == ({}, 0, [])


async def test_who_waits_too_long_or_no_longer_is_let_in_by_nobody():
    turns, who = Turns(at_once=1, together=1, patience=0.05), uuid4()

    def asks(name: UUID = who) -> Request:
        return Request({"type": "http", "path": f"/v1/partners/{name}/accounts", "headers": []})

    first = asks()
    await turns.take(first, who)
    waiting = [asyncio.create_task(turns.take(asks(name), name)) for name in (who, uuid4(), uuid4())]
    await asyncio.sleep(0)
    waiting[2].cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable, Unavailable, asyncio.CancelledError]
    request = asks()
    admitted = asyncio.create_task(turns.take(request, who))
    await asyncio.sleep(0)
    turns.give_back(first.scope)  # lets it in, and in that very moment it is given up
    admitted.cancel()
    await asyncio.gather(admitted, return_exceptions=True)
    assert "turn" not in request.scope
    assert (turns._doors, turns._at_work, list(turns._line)) == ({}, 0, [])


async def test_without_turns_it_waits_for_most_of_it(settings: Settings):
    assert await place_of_the_quiet(settings, 0) > 30


async def test_turn_is_over_with_its_request_however_that_ends(settings: Settings):
    async with running(settings.model_copy(update={"partner_requests_at_once": 1})) as world:
        (lou, loud), (quinn, quiet) = await two(world)
        for _ in range(3):
            assert (await lou.get(loud)).status_code == 200
            assert problem(await quinn.get(loud)) == (404, "not_found")
            assert problem(await lou.get(f"{loud}?limit=0")) == (422, "invalid")
            assert problem(await lou.post(loud, json={"name": ""})) == (422, "invalid")
        held = asyncio.Event()

        async def hold() -> None:
            async with world.transaction(lou_id) as db:
                await db.connection()
                held.set()
                await asyncio.sleep(0.3)

        lou_id = uuid4()
        holder = asyncio.create_task(hold())
        await held.wait()
        given_up = [asyncio.create_task(lou.get(loud)) for _ in range(5)]
        await asyncio.sleep(0.01)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        await holder
        assert (await lou.get(loud)).status_code == 200
        assert (await quinn.get(quiet)).status_code == 200
        assert world.app.state.turns._doors == {}


async def test_more_than_can_be_waited_for_are_told_to_come_again(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.turns.WAITING", 10)
    async with running(settings.model_copy(update={"partner_requests_at_once": 1})) as world:
        (lou, loud), (quinn, quiet) = await two(world)
        answers = await asyncio.gather(*(lou.get(loud) for _ in range(40)), quinn.get(quiet))
        refused = [a for a in answers if a.status_code != 200]
        assert {problem(a) for a in refused} == {(503, "unavailable")}
        assert 0 < len(refused) <= 30
        assert answers[-1].status_code == 200
    assert WAITING > 1000


def test_what_takes_no_turns_is_there():
    names = {r.endpoint.__name__ for router in ROUTERS for r in router.routes if isinstance(r, APIRoute)}
    assert names >= APART
    assert Turns(4, 10, 5).at_once == 4
