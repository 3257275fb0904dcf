"""How the table grows: what a page takes among a million accounts of one partner, and among a thousand."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from bench import contest, cursors, databases, plans, servers
from bench.client import Client
from bench.databases import Server
from bench.load import Load
from bench.rounds import Line, slower
from bench.servers import Running

SMALL: Final = 1_000
PLAIN, HARD = 1.5, 15.0
LEAST: Final = 5
"""Answers in a round, unless they are so slow that it would take four times as long."""

HOPELESS: Final = 2_000
"""Milliseconds of a page from which on one round says enough."""

Item = Mapping[str, Any]


def anything(_: Item) -> bool:
    return True


@dataclass(frozen=True)
class Case:
    """One way to ask for a page."""

    what: str
    sort: str = ""
    filters: tuple[str, ...] = ()
    q: str = ""
    target: float = PLAIN
    holds: Callable[[Item], bool] = anything
    """Of every account on the page."""
    depth: float = 0
    """How much of the table lies before the page."""
    index: str = ""
    """The column whose index must be used, where only one makes sense."""

    @property
    def query(self) -> dict[str, Any]:
        asked = {"sort": self.sort, "filter": [f"properties.{f}" if f[:4] != "name" else f for f in self.filters],
                 "q": self.q}  # fmt: skip
        return {k: v for k, v in asked.items() if v}


def of(key: str, test: Callable[[Any], bool]) -> Callable[[Item], bool]:
    """A condition on a property that must have a value."""
    return lambda item: item["properties"][key] is not None and test(item["properties"][key])


def _sorts() -> list[Case]:
    """Both directions by a number, a date and a text of ours."""
    slots = {"revenue": "n1", "contract_end": "n3", "city": "t2"}
    return [Case(f"sorted by {sign}{key}", f"{sign}properties.{key}", index=slot)
            for key, slot in slots.items() for sign in ("", "-")]  # fmt: skip


def _both(item: Item) -> bool:
    values = item["properties"]
    return values["segment"] == "large" and "2027-01-01" <= values["contract_end"] < "2027-07-01"


def _late(segment: str) -> Callable[[Item], bool]:
    return lambda i: i["properties"]["segment"] == segment and i["properties"]["contract_end"] >= "2027-01-01"


PIECES: Final = "search_pieces"
HALF_YEAR: Final = ("contract_end:gte:2027-01-01", "contract_end:lt:2027-07-01")
CASES: Final = (
    Case("page 1 by name", "name", index="name_search"),
    Case("page in the middle by name", "name", depth=0.5, index="name_search"),
    Case("page near the end by name", "name", depth=0.95, index="name_search"),
    Case("page in the middle by -revenue", "-properties.revenue", depth=0.4, index="n1"),
    Case("page near the end by city (empty values)", "properties.city", depth=0.95),
    *_sorts(),
    Case("select = large (10 %)", filters=("segment:eq:large",), holds=of("segment", lambda v: v == "large")),
    Case("select = enterprise (2 %)", filters=("segment:eq:enterprise",),
         holds=of("segment", lambda v: v == "enterprise")),
    Case("text = hamburg (11 %)", filters=("city:eq:hamburg",), holds=of("city", lambda v: v == "Hamburg")),
    Case("text = one account's number", filters=("customer_no:eq:K-0000500",), index="t1",
         holds=of("customer_no", lambda v: v == "K-0000500")),
    Case("date range, sorted by it", "properties.contract_end", HALF_YEAR, index="n3",
         holds=of("contract_end", lambda v: "2027-01-01" <= v < "2027-07-01")),
    Case("number range (half of all), by name", filters=("revenue:gte:80",), holds=of("revenue", lambda v: v >= 80)),
    Case("two filters, third sort", "properties.city", ("segment:eq:large", *HALF_YEAR), target=HARD, holds=_both),
    Case("two filters, correlated sort (medium)", "-properties.revenue",
         ("segment:eq:medium", "contract_end:gte:2027-01-01"), target=HARD, holds=_late("medium")),
    Case("two filters against the sort (small)", "-properties.revenue",
         ("segment:eq:small", "contract_end:gte:2027-01-01"), target=HARD, holds=_late("small")),
    Case("name contains (0.2 %)", filters=("name:contains:seidel",), target=HARD, index=PIECES,
         holds=lambda i: "Seidel" in i["name"]),
    Case("text contains (0.2 %)", filters=("city:contains:xtehud",), target=HARD, index=PIECES,
         holds=of("city", lambda v: v == "Buxtehude")),
    Case("q (0.2 %)", q="seidel", target=HARD, index=PIECES, holds=lambda i: "Seidel" in i["name"]),
    Case("q (five hits)", q="zwetschgenm", target=HARD, index=PIECES,
         holds=lambda i: "Zwetschgenmanufaktur" in i["name"]),
    Case("q (five hits, by -revenue)", "-properties.revenue", q="zwetschgenm", target=HARD, index=PIECES,
         holds=lambda i: "Zwetschgenmanufaktur" in i["name"]),
    Case("name starts with (0.2 %)", filters=("name:starts_with:seidel",), target=HARD, index="name_search",
         holds=lambda i: i["name"].startswith("Seidel")),
    Case("text starts with, by name", filters=("billing_email:starts_with:info@seidel",), target=HARD,
         holds=of("billing_email", lambda v: v.startswith("info@seidel"))),
)  # fmt: skip


@dataclass
class Grown:
    """Ours, with so many accounts of the partner."""

    server: Server
    count: int
    database: str
    running: Running
    urls: dict[str, str] = field(default_factory=dict[str, str])

    def url(self, case: Case) -> str:
        """The address of the page that a case asks for; its answer has been looked at once."""
        if case.what not in self.urls:
            self.urls[case.what] = self._checked(case)
        return self.urls[case.what]

    def _checked(self, case: Case) -> str:
        total = contest.fetch(self._address(case.query | {"count": "true"}), self.running.headers)["total"]
        skipped = int(total * case.depth)
        query = case.query
        if skipped:
            query |= {"cursor": cursors.behind(self.server, self.database, self.running, case.query, skipped)}
        items = contest.fetch(self._address(query), self.running.headers)["items"]
        assert len(items) == min(50, total - skipped) > 0, f"{case.what}: {len(items)} rows of {total}"
        assert all(case.holds(item) for item in items), f"{case.what}: a row that should not be there"
        return self._address(query)

    def _address(self, query: Mapping[str, Any]) -> str:
        return f"{self.running.url}?{urlencode(query, doseq=True)}"


def lines(server: Server, count: int, rounds: int, seconds: float) -> list[Line]:
    found: list[Line] = []
    with ExitStack() as stack:
        grown: list[Grown] = []
        for size in (count, SMALL):
            database = databases.ready(server, size)
            grown.append(Grown(server, size, database, stack.enter_context(servers.ours(server, database))))
        for case in CASES:
            with ExitStack() as clients:
                large, small = (clients.enter_context(Client(at.url(case), at.running.headers)) for at in grown)
                warm, _ = _round(large, small, seconds)
                enough = rounds if warm.p50 < HOPELESS else 1
                played = [_round(large, small, seconds) for _ in range(enough)]
            runs = {"large": [r[0] for r in played], "small": [r[1] for r in played]}
            found.append(slower(case.what, runs, "large", "small", case.target))
            print(found[-1], flush=True)
    return found


def _round(large: Client, small: Client, seconds: float) -> tuple[Load, Load]:
    """By turns, for so long: what else the machine does hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    started = time.monotonic()
    while (taken := time.monotonic() - started) < seconds or (len(times[1]) < LEAST and taken < 4 * seconds):
        for asked, found in zip((large, small), times, strict=True):
            found.append(asked.milliseconds())
    first, second = map(Load.of, times)
    return first, second


def explained(server: Server, count: int) -> list[str]:
    """Print how PostgreSQL answers each page, and how long that takes it; what is wrong with the plans."""
    database, wrong = databases.ready(server, count), list[str]()
    with plans.logged(server, database) as log, servers.ours(server, database) as running:
        at = Grown(server, count, database, running)
        for case in CASES:
            url = at.url(case)
            log.clear()
            for _ in range(7):  # prepared statements are planned anew the first five times
                contest.fetch(url, running.headers)
            before = log.read()
            log.clear()
            contest.fetch(url, running.headers)
            last = log.read()
            wrong.append(plans.judge(case.what, [*before, *last], last, case.index))
    return [fault for fault in wrong if fault]
