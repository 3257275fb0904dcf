"""Ours against the ceiling and the peer: a page of 50 accounts, and the creation of one."""

import json
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import uuid4

from bench import databases, load, servers
from bench.databases import Server
from bench.load import Load
from bench.rounds import Line, faster, play
from bench.servers import Running

SIZE: Final = 1_000
"""Accounts of the partner. More would make the peer, which sorts and counts all of them, slower and slower."""
DATABASE: Final = "bench_contest"
CLIENTS: Final = 8
SORTS: Final = {"-properties.revenue": "-revenue", "name": "name"}
"""As ours and the ceiling say it, and as the peer does."""


@contextmanager
def field(server: Server) -> Generator[dict[str, Running]]:
    """All three on one database, which is made for them and may be written to."""
    name = databases.ready(server, SIZE)
    scratch = databases.clone(server, name, DATABASE)
    servers.fill_peer(server, scratch)
    with ExitStack() as stack:
        start = {"ours": servers.ours, "ceiling": servers.ceiling, "peer": servers.peer}
        yield {who: stack.enter_context(begin(server, scratch)) for who, begin in start.items()}


def lines(server: Server, parts: set[str], rounds: int, seconds: int) -> list[Line]:
    """Those of `list` and `create` that are among the parts."""
    found: list[Line] = []
    if {"list", "create"} & parts:
        with field(server) as running:
            found += lists(running, rounds, seconds) if "list" in parts else []
            found += creations(server, running, rounds, seconds) if "create" in parts else []
    return found


def lists(running: Mapping[str, Running], rounds: int, seconds: int) -> list[Line]:
    found: list[Line] = []
    for sort, theirs in SORTS.items():
        urls = {"ours": f"{running['ours'].url}?sort={sort}", "ceiling": f"{running['ceiling'].url}?sort={sort}",
                "peer": f"{running['peer'].url}?sort={theirs}"}  # fmt: skip
        _same_pages(running, urls)
        for who, url in urls.items():
            load.get(url, running[who].headers, clients=CLIENTS, seconds=1)  # warmed up
        runs = play({who: partial(page, running[who], urls[who], seconds) for who in urls}, rounds)
        found.append(faster(f"list by {sort}, ours / ceiling", runs, "ours", "ceiling", 0.5))
        found.append(faster(f"list by {sort}, ours / peer", runs, "ours", "peer", 10))
    return found


def page(who: Running, url: str, seconds: int) -> Load:
    """One run of a GET, with the processor time of an answer."""
    used = who.cpu()
    found = load.get(url, who.headers, clients=CLIENTS, seconds=seconds)
    return replace(found, cpu=1000 * (who.cpu() - used) / found.requests)


def _same_pages(running: Mapping[str, Running], urls: Mapping[str, str]) -> None:
    """Nobody is fast because of an answer that says less, or something else."""
    pages = {who: fetch(url, running[who].headers) for who, url in urls.items()}
    ours, ceiling = ([_plain(item) for item in pages[who]["items"]] for who in ("ours", "ceiling"))
    assert len(ours) == 50
    assert ours == ceiling, "ours and the ceiling's page differ"
    assert all(len(item["properties"]) == 10 for item in pages["ours"]["items"])
    assert pages["ours"]["next_cursor"]
    assert pages["ceiling"]["next_cursor"]
    theirs = [_plain(item) for item in pages["peer"]["data"]]
    assert len(theirs) == 50
    assert pages["peer"]["count"] > 900
    if "revenue" in urls["peer"]:
        assert [i["properties"]["revenue"] for i in theirs] == [i["properties"]["revenue"] for i in ours]


SAID: Final = ("id", "partner_id", "name", "status", "price_model", "time_zone", "member_count")


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An account as all three say it: ours shows empty values as null, and moments to the millisecond."""
    moments = {k: datetime.fromisoformat(item[k]).replace(microsecond=0) for k in ("created_at", "updated_at")}
    filled = {k: v for k, v in item["properties"].items() if v is not None}
    return {k: item[k] for k in SAID} | moments | {"properties": filled}


# --- creating ---

PROPERTIES: Final = {
    "customer_no": "K-9000000", "city": "Lübeck", "segment": "medium", "revenue": 412.5,
    "monthly_fee": {"amount": "79.00", "currency": "EUR"}, "contract_end": "2027-12-31",
    "last_contact": "2026-10-30T09:15:00.000Z", "paperless": True, "tags": ["cold_chain", "reseller"],
    "billing_email": "rechnung@nordwerk.example.com",
}  # fmt: skip


OURS: Final = ("accounts", "account_members", "events")
THEIRS: Final = ("account", "accountmember", "event")


def creations(server: Server, running: Mapping[str, Running], rounds: int, seconds: int) -> list[Line]:
    _same_rows(server, running)
    for who, at in running.items():
        _create(server, who, at, 1)  # warmed up
    runs = play({who: partial(_create, server, who, running[who], seconds) for who in running}, rounds)
    return [faster("create an account, ours / ceiling", runs, "ours", "ceiling", 0.5),
            faster("create an account, ours / peer", runs, "ours", "peer", 5)]  # fmt: skip


def _create(server: Server, who: str, at: Running, seconds: int) -> Load:
    """Accounts of ever new names; each must be in the database in the end, with its member and its two events."""
    tables = THEIRS if who == "peer" else OURS
    before = databases.counts(server, DATABASE, *tables)
    used = at.cpu()
    found = load.create(at.url, at.headers, _body(), clients=CLIENTS, seconds=seconds)
    used = at.cpu() - used
    made = [now - then for now, then in zip(databases.counts(server, DATABASE, *tables), before, strict=True)]
    least, most = found.requests, found.requests + 2 * CLIENTS  # with what was under way when wrk stopped, twice
    assert least <= made[0] <= most, f"{who}: {made[0]} accounts for {least} answers"
    assert made == [made[0], made[0], 2 * made[0]], f"{who} wrote {made} accounts, members, events"
    return replace(found, cpu=1000 * used / found.requests)


def _body() -> tuple[str, str]:
    """A request up to the number in its name, and from there on."""
    head, tail = json.dumps({"name": f"Nordwerk {uuid4().hex} #", "properties": PROPERTIES}).split("#")
    return head, tail


def _same_rows(server: Server, running: Mapping[str, Running]) -> None:
    """Ours and the ceiling answer a creation with the same account and write the same rows; the peer, the same."""
    rows: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    for who, at in running.items():
        body = json.dumps({"name": "Änderungshaus GmbH", "properties": PROPERTIES}).encode()
        answers[who] = fetch(at.url, {**at.headers, "Content-Type": "application/json"}, body)
        if who != "peer":
            rows[who] = databases.written(server, DATABASE, answers[who]["id"])
            databases.execute(
                server, DATABASE, f"UPDATE accounts SET name_key = id::text WHERE id = '{answers[who]['id']}'"
            )
    assert rows["ours"] == rows["ceiling"], f"not the same rows:\n{rows['ours']}\n{rows['ceiling']}"
    plain = [_plain(a) | {"id": "", "created_at": "", "updated_at": ""} for a in answers.values()]
    assert plain[0] == plain[1] == plain[2], f"not the same answers: {plain}"


def fetch(url: str, headers: Mapping[str, str], body: bytes | None = None) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body, dict(headers)), timeout=60) as answer:
        assert answer.status == (200 if body is None else 201)
        return json.loads(answer.read())
