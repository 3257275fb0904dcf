"""What counting callers costs: the same page with and without rate limits."""

from contextlib import ExitStack
from functools import partial
from typing import Final

from bench import contest, databases, load, servers
from bench.databases import Server
from bench.rounds import Line, faster, play

RATE: Final = 240_000
"""Units a minute, a few times what one process answers: it asks for its next share every few seconds."""


def lines(server: Server, rounds: int, seconds: int) -> list[Line]:
    name = databases.clone(server, databases.ready(server, contest.SIZE), "bench_limits")
    with ExitStack() as stack:
        running = {who: stack.enter_context(servers.ours(server, name, rate=rate))
                   for who, rate in (("with", RATE), ("without", 0))}  # fmt: skip
        urls = {who: f"{at.url}?sort=name" for who, at in running.items()}
        for who, at in running.items():
            load.get(urls[who], at.headers, clients=contest.CLIENTS, seconds=1)  # warmed up
        runs = play({who: partial(contest.page, at, urls[who], seconds) for who, at in running.items()}, rounds)
    return [faster("list, with rate limits / without", runs, "with", "without", 0.95)]
