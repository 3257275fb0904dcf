"""Ours against the ceiling and the peer: a page of 50 accounts, and the creation of one."""

import json
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final

from bench import databases, load, servers
from bench.databases import Server
from bench.load import Load
from bench.rounds import Line, faster, play
from bench.servers import Running

SIZE: Final = 1_000
"""Accounts of the partner. More would make the peer, which sorts and counts all of them, slower and slower."""
CLIENTS: Final = 8
SORTS: Final = {"-properties.revenue": "-revenue", "name": "name"}
"""As ours and the ceiling say it, and as the peer does."""


@contextmanager
def field(server: Server) -> Generator[dict[str, Running]]:
    """All three on one database, which is made for them and may be written to."""
    name = databases.ready(server, SIZE)
    scratch = databases.clone(server, name, "bench_contest")
    servers.fill_peer(server, scratch)
    with ExitStack() as stack:
        start = {"ours": servers.ours, "ceiling": servers.ceiling, "peer": servers.peer}
        yield {who: stack.enter_context(begin(server, scratch)) for who, begin in start.items()}


def lists(running: Mapping[str, Running], rounds: int, seconds: int) -> list[Line]:
    found: list[Line] = []
    for sort, theirs in SORTS.items():
        urls = {"ours": f"{running['ours'].url}?sort={sort}", "ceiling": f"{running['ceiling'].url}?sort={sort}",
                "peer": f"{running['peer'].url}?sort={theirs}"}  # fmt: skip
        _same_pages(running, urls)
        runs = play({who: partial(_page, running[who], urls[who], seconds) for who in urls}, rounds)
        found.append(faster(f"list by {sort}, ours / ceiling", runs, "ours", "ceiling", 0.5))
        found.append(faster(f"list by {sort}, ours / peer", runs, "ours", "peer", 10))
    return found


def _page(who: Running, url: str, seconds: int) -> Load:
    load.get(url, who.headers, clients=CLIENTS, seconds=1)  # warmed up
    return load.get(url, who.headers, clients=CLIENTS, seconds=seconds)


def _same_pages(running: Mapping[str, Running], urls: Mapping[str, str]) -> None:
    """Nobody is fast because of an answer that says less, or something else."""
    pages = {who: fetch(url, running[who].headers) for who, url in urls.items()}
    ours, ceiling = ([_plain(item) for item in pages[who]["items"]] for who in ("ours", "ceiling"))
    assert len(ours) == 50
    assert ours == ceiling, "ours and the ceiling's page differ"
    assert all(len(item["properties"]) == 10 for item in pages["ours"]["items"])
    assert bool(pages["ours"]["next_cursor"]) and bool(pages["ceiling"]["next_cursor"])
    theirs = [_plain(item) for item in pages["peer"]["data"]]
    assert len(theirs) == 50
    assert pages["peer"]["count"] > 900
    if "revenue" in urls["peer"]:
        assert [i["properties"]["revenue"] for i in theirs] == [i["properties"]["revenue"] for i in ours]


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An account as all three say it: ours shows empty values as null, and moments to the millisecond."""
    moments = {k: datetime.fromisoformat(item[k]).replace(microsecond=0) for k in ("created_at", "updated_at")}
    filled = {k: v for k, v in item["properties"].items() if v is not None}
    return {k: item[k] for k in ("id", "partner_id", "name", "status")} | moments | {"properties": filled}


def fetch(url: str, headers: Mapping[str, str]) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=60) as answer:
        assert answer.status == 200
        return json.loads(answer.read())
