"""Those who wait for one thing are served together, in order, and none of them suffers from another."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from app import queues
from app.problems import NotFound, Unavailable
from app.queues import Queues


class Counter:
    """Serves whoever comes, and remembers who came together."""

    def __init__(self) -> None:
        self.turns = list[list[Any]]()
        self.go = asyncio.Event()
        self.fails: Exception | None = None

    async def serve(self, given: Sequence[Any]) -> Sequence[Any]:
        self.turns.append(list(given))
        await self.go.wait()
        if self.fails:
            failure, self.fails = self.fails, None
            raise failure
        return [NotFound() if g == "nothing" else f"{g}!" for g in given]


async def settled(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def test_first_is_served_at_once_and_the_others_together_in_order():
    queue, counter = Queues(), Counter()
    tasks = list[asyncio.Task[Any]]()
    for n in range(5):
        tasks.append(asyncio.create_task(queue.join("pool", n, counter.serve)))
        await settled()
    other = asyncio.create_task(queue.join("another pool", "x", counter.serve))
    await settled()
    assert counter.turns == [[0], ["x"]]
    counter.go.set()
    assert await asyncio.gather(*tasks, other) == ["0!", "1!", "2!", "3!", "4!", "x!"]
    assert counter.turns == [[0], ["x"], [1, 2, 3, 4]]
    await settled()
    assert not queue._waiting
    assert not queue._working


async def test_answer_of_one_is_no_failure_of_the_others():
    queue, counter = Queues(), Counter()
    tasks = [asyncio.create_task(queue.join("pool", g, counter.serve)) for g in ("a", "nothing", "b")]
    await settled()
    counter.go.set()
    first, refused, last = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, last) == ("a!", "b!")
    assert isinstance(refused, NotFound)


async def test_failure_of_a_turn_is_told_to_each_of_it_and_not_to_the_next():
    queue, counter = Queues(), Counter()
    tasks = list[asyncio.Task[Any]]()
    for n in range(3):
        tasks.append(asyncio.create_task(queue.join("pool", n, counter.serve)))
        await settled()
    counter.fails = RuntimeError("lost")
    counter.go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(a) for a in answers] == [RuntimeError, str, str]
    assert await queue.join("pool", "again", counter.serve) == "again!"


async def test_whoever_gives_up_harms_nobody():
    queue, counter = Queues(), Counter()
    tasks = list[asyncio.Task[Any]]()
    for n in range(5):
        tasks.append(asyncio.create_task(queue.join("pool", n, counter.serve)))
        await settled()
    for given_up in (0, 2, 4):  # one who is being served, and two who wait
        tasks[given_up].cancel()
    await settled()
    counter.go.set()
    assert await asyncio.gather(tasks[1], tasks[3]) == ["1!", "3!"]
    assert counter.turns == [[0], [1, 3]]
    for given_up in (0, 2, 4):
        with suppress(asyncio.CancelledError):
            await tasks[given_up]
        assert tasks[given_up].cancelled()


async def test_queue_has_an_end_and_a_turn_has_a_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queues, "WAITING", 7)
    monkeypatch.setattr(queues, "TOGETHER", 3)
    queue, counter = Queues(), Counter()
    tasks = [asyncio.create_task(queue.join("pool", 0, counter.serve))]
    await settled()
    tasks += [asyncio.create_task(queue.join("pool", n, counter.serve)) for n in range(1, 8)]
    await settled()
    with pytest.raises(Unavailable):
        await queue.join("pool", "late", counter.serve)
    counter.go.set()
    await asyncio.gather(*tasks)
    assert [len(turn) for turn in counter.turns] == [1, 3, 3, 1]


async def test_those_who_come_alone_pass_two_at_a_time_for_each_key_in_order(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queues, "WAITING", 5)
    queue, inside, go = Queues(), list[Any](), asyncio.Event()

    async def come(key: str, n: int) -> None:
        async with queue.alone(key):
            inside.append((key, n))
            await go.wait()

    tasks = [asyncio.create_task(come("pool", n)) for n in range(5)]
    tasks.append(asyncio.create_task(come("another pool", 0)))
    await settled()
    assert inside == [("pool", 0), ("pool", 1), ("another pool", 0)]
    with pytest.raises(Unavailable):
        await come("pool", 5)
    tasks[0].cancel()
    tasks[3].cancel()
    await settled()
    assert inside[3:] == [("pool", 2)]
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert inside[4:] == [("pool", 4)]
    assert not queue._doors
