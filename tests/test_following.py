"""Waiting for events: woken by the next one, refused when the right is gone, and nothing is held meanwhile."""

import asyncio
import json
import signal
import socket
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
import uvicorn
from httpx import AsyncClient
from sqlalchemy import delete, update
from sqlalchemy import event as sqlalchemy_event

from app import bells, follows
from app.config import Settings
from app.models import PLATFORM, Partner, PartnerMember, Session, User, utc_now
from app.models.partner import PartnerStatus
from app.policy import Role
from tests import promises
from tests.conftest import PROMISES, Owner, Server, World, problem, running
from tests.processes import Shell

STAR = {"If-Match": "*"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Streams last, as they do outside the tests."""
    return settings.model_copy(update={"event_stream_seconds": 600})


async def stage(world: World) -> tuple[AsyncClient, str, UUID, int]:
    """Anna, her partner, and where its events end."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    await world.worker().number_all()
    return api, at, partner.id, (await api.get(f"{at}/events")).json()["latest"]


async def waiters(world: World, partner_id: UUID, number: int = 1) -> None:
    """Until so many wait for a partner's events."""
    bell: bells.Bell = world.app.state.bell
    for _ in range(3000):
        if len(bell._waiting.get(partner_id, ())) == number:
            await asyncio.sleep(0.05)  # they have read once more
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


# --- waiting for the next ---


async def test_whoever_waits_is_answered_when_something_comes(world: World):
    api, at, partner_id, end = await stage(world)
    waiting = asyncio.create_task(api.get(f"{at}/events", params={"after": end, "wait": 30}))
    await waiters(world, partner_id)
    pool = world.app.state.engine.pool
    await until(lambda: asyncio.sleep(0, pool.checkedout() == 0))  # no connection is held
    made = await api.post(f"{at}/accounts", json={"name": "A"})
    await world.worker().number_all()
    began = time.monotonic()
    answer = await asyncio.wait_for(waiting, 5)
    assert time.monotonic() - began < 2
    assert answer.status_code == 200
    body = answer.json()
    assert [e["subject_id"] for e in body["items"]][:1] == [made.json()["id"]]
    assert body["items"] == (await api.get(f"{at}/events", params={"after": end})).json()["items"]
    assert (body["cursor"], body["more"]) == (body["latest"], False)
    assert answer.headers["etag"].startswith('W/"')
    assert world.app.state.bell._waiting == {}
    assert world.app.state.waiters.running == {}


async def test_what_is_there_is_answered_at_once_and_time_that_is_over_with_nothing(world: World):
    api, at, _, end = await stage(world)
    began = time.monotonic()
    assert (await api.get(f"{at}/events", params={"after": end - 1, "wait": 30})).json()["items"] != []
    assert time.monotonic() - began < 2
    began = time.monotonic()
    empty = (await api.get(f"{at}/events", params={"after": end, "wait": 1})).json()
    assert 0.9 < time.monotonic() - began < 4
    assert empty == {"items": [], "cursor": end, "more": False, "latest": end}
    assert problem(await api.get(f"{at}/events", params={"wait": 31})) == (422, "invalid")
    assert (await api.head(f"{at}/events", params={"after": end, "wait": 30})).status_code == 200


async def test_what_the_filters_keep_back_wakes_nobody_for_good_and_moves_the_cursor(world: World):
    api, at, partner_id, end = await stage(world)
    query: dict[str, Any] = {"after": end, "wait": 2, "types": "account.archived"}
    waiting = asyncio.create_task(api.get(f"{at}/events", params=query))
    await waiters(world, partner_id)
    await api.post(f"{at}/accounts", json={"name": "A"})
    await world.worker().number_all()
    found = (await asyncio.wait_for(waiting, 6)).json()
    assert (found["items"], found["cursor"]) == ([], found["latest"])
    assert found["cursor"] > end


async def test_events_of_another_partner_wake_nobody(world: World):
    api, at, partner_id, end = await stage(world)
    waiting = asyncio.create_task(api.get(f"{at}/events", params={"after": end, "wait": 2}))
    await waiters(world, partner_id)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    await world.account(rival, "Theirs", by="Rita")
    await world.worker().number_all()
    found = (await asyncio.wait_for(waiting, 6)).json()
    assert (found["items"], found["latest"]) == ([], end)


Change = Callable[[World, UUID], Awaitable[None]]


async def end_session(world: World, _: UUID) -> None:
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(Session).values(ended_at=Session.created_at))


async def remove(world: World, partner_id: UUID) -> None:
    async with world.transaction(partner_id) as db:
        await db.execute(delete(PartnerMember))


async def demote(world: World, partner_id: UUID) -> None:
    async with world.transaction(partner_id) as db:
        await db.execute(update(PartnerMember).values(role=Role.PARTNER_MANAGER))


async def switch_off(world: World, partner_id: UUID) -> None:
    async with world.transaction(partner_id) as db:
        await db.execute(update(Partner).values(partner_management_enabled=False))


async def suspend(world: World, partner_id: UUID) -> None:
    async with world.transaction(partner_id) as db:
        await db.execute(update(Partner).values(status=PartnerStatus.SUSPENDED))


async def suspend_user(world: World, _: UUID) -> None:
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(User).values(status="suspended"))


CHANGES: list[tuple[Change, tuple[int, str]]] = [
    (end_session, (401, "unauthenticated")), (suspend_user, (401, "unauthenticated")), (remove, (404, "not_found")),
    (demote, (403, "forbidden")), (switch_off, (403, "partner_management_off")), (suspend, (403, "partner_suspended")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "refusal"), CHANGES)
async def test_right_that_is_lost_while_waiting_is_refused(world: World, change: Change, refusal: tuple[int, str]):
    api, at, partner_id, end = await stage(world)
    waiting = asyncio.create_task(api.get(f"{at}/events", params={"after": end, "wait": 30}))
    await waiters(world, partner_id)
    await api.post(f"{at}/accounts", json={"name": "A"})
    await change(world, partner_id)
    await world.worker().number_all()
    answer = await asyncio.wait_for(waiting, 5)
    assert problem(answer) == refusal


async def test_only_so_many_wait_and_of_one_partner_fewer(settings: Settings):
    async with running(settings.model_copy(update={"event_waiters": 10})) as world:
        api, at, partner_id, end = await stage(world)
        query = {"after": end, "wait": 30}
        waiting = [asyncio.create_task(api.get(f"{at}/events", params=query)) for _ in range(2)]
        await waiters(world, partner_id, 2)
        answer = await api.get(f"{at}/events", params=query)
        assert problem(answer) == (503, "events_busy")
        assert int(answer.headers["retry-after"]) > 0
        assert (await api.get(f"{at}/events", params={"after": end})).status_code == 200
        rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
        rita = await world.client("Rita")
        query = {"wait": 1, "types": "account.archived"}
        assert (await rita.get(f"/v1/partners/{rival.id}/events", params=query)).status_code == 200
        world.app.state.bell.drain()
        assert [(await asyncio.wait_for(w, 5)).json()["items"] for w in waiting] == [[], []]


async def test_a_bell_that_nobody_heard_is_made_up_for_by_looking(world: World, monkeypatch: pytest.MonkeyPatch):
    """As behind a pooler that hands out connections by transaction."""
    monkeypatch.setattr(bells, "LOOK_SECONDS", 0.3)

    def deaf(*_: object) -> None: ...

    monkeypatch.setattr(bells.Bell, "_heard", deaf)
    api, at, partner_id, end = await stage(world)
    waiting = asyncio.create_task(api.get(f"{at}/events", params={"after": end, "wait": 30}))
    await waiters(world, partner_id)
    await asyncio.sleep(0.5)
    await api.post(f"{at}/accounts", json={"name": "A"})
    await world.worker().number_all()
    assert (await asyncio.wait_for(waiting, 5)).json()["items"] != []


async def test_a_listener_whose_connection_is_ended_listens_again(world: World, owner: Owner):
    api, at, partner_id, end = await stage(world)
    waiting = asyncio.create_task(api.get(f"{at}/events", params={"after": end, "wait": 30}))
    await waiters(world, partner_id)
    listening = "FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE '%newest_positions%' AND pid <> pg_backend_pid()"
    pid = await until(lambda: owner.value(f"SELECT pid {listening}"))
    await owner.execute("SELECT pg_terminate_backend($1)", pid)
    again = await until(lambda: owner.value(f"SELECT pid {listening} AND pid <> $1", pid))
    assert again
    await api.post(f"{at}/accounts", json={"name": "A"})
    await world.worker().number_all()
    assert (await asyncio.wait_for(waiting, 8)).json()["items"] != []


async def test_lines_of_the_listener_do_not_bear_the_name_of_whoever_waited_first(
    world: World, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bells, "LOOK_SECONDS", 0.1)
    api, at, partner_id, end = await stage(world)
    waiting = asyncio.create_task(api.get(f"{at}/events", params={"after": end, "wait": 30}))
    await waiters(world, partner_id)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
        await server.execute("ALTER FUNCTION newest_positions RENAME TO gone", database=database)

        async def told() -> Any:
            return [line for line in logged if line["event"] == "cannot listen"]

        lines = await until(told)
    waiting.cancel()
    assert not any("request_id" in line for line in lines)


async def until(holds: Callable[[], Awaitable[Any]]) -> Any:
    for _ in range(1500):
        if found := await holds():
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to that")


@pytest.mark.slow
async def test_a_hundred_who_wait_cost_the_database_next_to_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    looks: list[int] = []
    look = bells.Bell._look

    async def counted(self: bells.Bell, line: Any) -> None:
        looks.append(len(self._waiting))
        await look(self, line)

    monkeypatch.setattr(bells.Bell, "_look", counted)
    read: list[int] = []
    looked = follows.Follower.look

    async def noted(self: follows.Follower, after: int) -> follows.Found:
        found = await looked(self, after)
        read.append(after)
        return found

    monkeypatch.setattr(follows.Follower, "look", noted)
    async with running(settings.model_copy(update={"event_waiters": 2000})) as world:
        api, at, partner_id, end = await stage(world)
        waiting = [asyncio.create_task(api.get(f"{at}/events", params={"after": end, "wait": 30})) for _ in range(100)]
        await waiters(world, partner_id, 100)
        taken: list[object] = []
        sqlalchemy_event.listen(world.app.state.engine.sync_engine, "checkout", lambda *a: taken.append(a))
        before = -1
        while len(read) != before or len(read) < 100:  # all have read once more, and again when the bell hung
            before = len(read)
            await asyncio.sleep(2)
        taken.clear()
        looks.clear()
        await asyncio.sleep(6)
        assert len(taken) <= 2, "but what measures the outbox now and then"
        assert 1 <= len(looks) <= 2
        await api.post(f"{at}/accounts", json={"name": "A"})
        await world.worker().number_all()
        answers = await asyncio.wait_for(asyncio.gather(*waiting), 20)
        assert {(a.status_code, len(a.json()["items"])) for a in answers} == {(200, 2)}


@pytest.mark.slow
def test_end_of_the_process_ends_waiting_at_once():
    with tempfile.TemporaryDirectory(prefix="tenantry-wait-") as home:
        shell = Shell(Path(home))
        with shell.serving() as process, shell.operator() as api:
            partner = api.post("/v1/partners", json={"name": "P"}).json()
            at = f"{shell.url}/v1/partners/{partner['id']}/events"
            headers = {"Authorization": api.headers["Authorization"]}
            with api.stream("GET", f"{at}/stream") as stream:
                lines = stream.iter_lines()
                assert next(lines) == "retry: 2000"
                end = until_still(api, at)  # an operator's look is an event itself
                began = time.monotonic()
                asyncio.run(_wait_and_end(at, end, headers, process))
                assert list(lines)[-1:] == [""]
            process.wait(10)
            assert time.monotonic() - began < 8


def until_still(api: httpx.Client, at: str) -> int:
    """Where the events end, once they do."""
    seen = -1
    for _ in range(100):
        latest = api.get(at).json()["latest"]
        if latest == seen > 0:
            return latest
        seen = latest
        time.sleep(0.5)
    raise AssertionError("there is no end to it")


async def _wait_and_end(at: str, end: int, headers: dict[str, str], process: Any) -> None:
    async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=40, event_hooks=PROMISES) as client:
        waiting = asyncio.create_task(client.get(at, params={"after": end, "wait": 30}))
        await asyncio.sleep(1)
        process.send_signal(signal.SIGTERM)
        answer = await asyncio.wait_for(waiting, 3)
        assert (answer.status_code, answer.json()["items"]) == (200, [])


# --- one after the other ---


class _Server(uvicorn.Server):
    @asynccontextmanager
    async def running(self, door: socket.socket) -> AsyncGenerator[None]:
        serving = asyncio.create_task(self.serve(sockets=[door]))
        try:
            yield
        finally:
            self.should_exit = True
            await serving


@asynccontextmanager
async def served(world: World) -> AsyncGenerator[str]:
    """Address of the app behind a real server."""
    door = socket.create_server(("127.0.0.1", 0))
    door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
    config = uvicorn.Config(world.app, http="app.protocol:Protocol", ws="none", lifespan="off", log_config=None, access_log=False,
                            timeout_graceful_shutdown=2)  # fmt: skip
    async with _Server(config).running(door):
        yield f"http://127.0.0.1:{door.getsockname()[1]}"


class Stream:
    """What a client of Server-Sent Events makes of the lines (WHATWG HTML, 9.2.6)."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer, self.lines = answer, answer.aiter_lines()
        self.last_id, self.comments = "", 0

    async def event(self, seconds: float = 5) -> tuple[str, Any] | None:
        """The next event's type and data; None at the end."""
        async with asyncio.timeout(seconds):
            kind, data = "", list[str]()
            async for line in self.lines:
                if not line:
                    if data:
                        return kind, json.loads("\n".join(data))
                    kind = ""
                    continue
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                self.comments += name == ""
                if name == "id":
                    self.last_id = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    data.append(value)
            return None


@asynccontextmanager
async def streaming(world: World, url: str, at: str, *, token: str = "", **more: Any) -> AsyncGenerator[Stream]:
    headers = {"Authorization": f"Bearer {token or await world.token('Anna')}"} | more.pop("headers", {})
    async with (
        httpx.AsyncClient(trust_env=False, timeout=30, event_hooks=PROMISES) as client,
        client.stream("GET", f"{url}{at}/events/stream", headers=headers, params=more) as answer,
    ):
        if answer.status_code != 200:
            await answer.aread()
        yield Stream(answer)


async def test_stream_tells_what_happens_and_goes_on_where_it_broke_off(world: World):
    api, at, partner_id, end = await stage(world)
    async with served(world) as url:
        async with streaming(world, url, at) as stream:
            assert stream.answer.headers["content-type"].startswith("text/event-stream")
            assert stream.answer.headers["cache-control"] == "no-store"
            await waiters(world, partner_id)
            made = (await api.post(f"{at}/accounts", json={"name": "A\nline"})).status_code
            assert made == 422
            made = (await api.post(f"{at}/accounts", json={"name": "A"})).json()
            await world.worker().number_all()
            told = await stream.event()
            assert told is not None
            assert (told[0], told[1]["subject_id"]) == ("account.created", made["id"])
            assert stream.last_id == str(told[1]["position"]) == str(end + 1)
            assert told[1] == (await api.get(f"{at}/events", params={"after": end})).json()["items"][0]
            assert world.app.state.engine.pool.checkedout() == 0
        await waiters(world, partner_id, 0)  # who left waits no more
        await api.patch(f"{at}/accounts/{made['id']}", json={"name": "B"}, headers=STAR)
        await world.worker().number_all()
        async with streaming(world, url, at, headers={"Last-Event-ID": str(end + 1)}, after=0) as stream:
            found = [await stream.event() for _ in range(2)]
            assert [e and e[0] for e in found] == ["account_member.added", "account.updated"]
        async with streaming(world, url, at, after=end, types="account.updated") as stream:
            told = await stream.event()
            assert told
            assert told[0] == "account.updated"
        for headers in ({"Last-Event-ID": "x"}, {"Last-Event-ID": "-1"}, {"Last-Event-ID": "99999"}):
            async with streaming(world, url, at, headers=headers) as stream:
                assert problem(stream.answer) == (422, "invalid"), headers
                assert stream.answer.json()["errors"][0]["pointer"] == "header:Last-Event-ID"


async def test_heartbeat_takes_the_position_along_that_filters_kept_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follows, "HEARTBEAT", 0.3)
    async with (
        running(settings.model_copy(update={"event_stream_seconds": 2.5})) as world,
        served(world) as url,
    ):
        api, at, partner_id, end = await stage(world)
        await kept_back(world, url, api, at, partner_id, end)


async def kept_back(world: World, url: str, api: AsyncClient, at: str, partner_id: UUID, end: int) -> None:
    async with streaming(world, url, at, types="account.archived") as stream:
        await waiters(world, partner_id)
        await api.post(f"{at}/accounts", json={"name": "A"})
        await world.worker().number_all()
        assert await stream.event() is None  # and ends when its time is over
        assert stream.comments >= 2
        assert stream.last_id == str(end + 2)


@pytest.mark.parametrize(("change", "refusal"), CHANGES)
async def test_stream_ends_with_the_right_and_tells_nothing_more(
    world: World, change: Change, refusal: tuple[int, str]
):
    api, at, partner_id, _ = await stage(world)
    async with served(world) as url:
        token = await world.token("Anna")
        async with streaming(world, url, at, token=token) as stream:
            await waiters(world, partner_id)
            await api.post(f"{at}/accounts", json={"name": "A"})
            await change(world, partner_id)
            await world.worker().number_all()
            assert await stream.event() is None
        async with streaming(world, url, at, token=token) as stream:
            assert problem(stream.answer) == refusal


async def test_stretch_that_takes_long_to_tell_is_cut_short_and_goes_on(world: World, monkeypatch: pytest.MonkeyPatch):
    """Else who reads slowly would be told for as long as they like what they may no longer know."""
    monkeypatch.setattr(follows, "SURE", -1.0)
    api, at, _, end = await stage(world)
    made = [(await api.post(f"{at}/accounts", json={"name": f"{n}"})).json()["id"] for n in range(3)]
    await world.worker().number_all()
    async with served(world) as url, streaming(world, url, at, after=0) as stream:
        told = [await stream.event() for _ in range(end + 6)]
        assert [t and t[1]["position"] for t in told] == list(range(1, end + 7))
        assert made[-1] in [t and t[1]["subject_id"] for t in told]


async def test_stream_of_a_token_that_ends_does_too(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follows, "HEARTBEAT", 0.3)
    _, at, _, _ = await stage(world)
    tokens = world.app.state.tokens
    claims = tokens.verify(await world.token("Anna"))
    issued = utc_now() - timedelta(minutes=world.settings.access_token_minutes) + timedelta(seconds=3)
    token = tokens.issue(claims["sub"], claims["sid"], issued)
    async with served(world) as url:
        async with streaming(world, url, at, token=token) as stream:
            assert stream.answer.status_code == 200
            assert await stream.event() is None
            assert stream.comments >= 3
        async with streaming(world, url, at, token=token) as stream:
            assert problem(stream.answer) == (401, "unauthenticated")


async def test_whoever_comes_back_too_late_is_told_before_the_stream_begins(world: World, owner: Owner):
    _, at, partner_id, _ = await stage(world)
    await owner.execute("UPDATE events SET created_at = now() - interval '91 days' WHERE partner_id = $1", partner_id)
    async with served(world) as url, streaming(world, url, at, headers={"Last-Event-ID": "0"}) as stream:
        assert problem(stream.answer) == (410, "events_gone")


@pytest.mark.slow
async def test_reader_that_stands_still_holds_no_connection_and_little_memory(world: World, owner: Owner):
    api, at, partner_id, end = await stage(world)
    fill = (
        "INSERT INTO events (partner_id, id, type, subject_type, subject_id, actor, details, salt, details_hash, origin,"
        " origin_salt, origin_hash, created_at) SELECT $1, gen_random_uuid(), 'account.updated', 'account', $1, 'system',"
        " jsonb_build_object('before', null, 'after', jsonb_build_object('properties', jsonb_build_object('note',"
        " repeat(md5(n::text), 60)))), '\\x00', '\\x00', null, null, '\\x00', now() FROM generate_series(1, 5000) n"
    )
    await owner.execute(fill, partner_id)
    await world.worker().number_all()
    assert (await api.get(f"{at}/events")).json()["latest"] == end + 5000
    async with served(world) as url:
        host, port = url.removeprefix("http://").split(":")
        plug = socket.socket()
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        plug.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plug, (host, int(port)))
        reader, writer = await asyncio.open_connection(sock=plug, limit=4096)
        token = await world.token("Anna")
        writer.write(f"GET {at}/events/stream?after={end} HTTP/1.1\r\nHost: localhost\r\n"
                     f"Authorization: Bearer {token}\r\n\r\n".encode())  # fmt: skip
        promises.head_heard("GET", f"{at}/events/stream", await reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(1)
        read: list[int] = []
        looked = follows.Follower.look

        async def look(self: follows.Follower, after: int) -> follows.Found:
            read.append(after)
            return await looked(self, after)

        follows.Follower.look = look  # pyright: ignore[reportAttributeAccessIssue]
        try:
            await asyncio.sleep(1)
            assert read == []  # ten megabytes are there to be told: nothing is read ahead of who takes nothing
            assert world.app.state.engine.pool.checkedout() == 0
            writer.transport.abort()
            await waiters(world, partner_id, 0)
        finally:
            follows.Follower.look = looked
