"""Claims: ours against the ceiling on one pool and on a thousand, with many clients, and among many claims."""

import json
import random
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from bench import contest, databases, load, servers
from bench.client import Client
from bench.databases import PARTNER, USER, Server
from bench.load import Load
from bench.rounds import Line, faster, play, slower
from bench.servers import Running

DATABASE: Final = "bench_claims"
FEATURE: Final = "assets"
CLIENTS, CROWD = 8, 100
SMALL: Final = 10
UNITS: Final = 1_000_000_000

_numbers = count()

PREPARED: Final = (
    f"""INSERT INTO features (id, key, kind, name, description, unit, search, default_units, overage, created_at,
                              updated_at, version)
        VALUES (gen_random_uuid(), '{FEATURE}', 'quota', '{{"en": "Assets"}}', '{{}}', '{{"en": "asset"}}', 'assets', 0,
                'forbidden', now(), now(), 1)""",
    f"""INSERT INTO account_members (partner_id, id, account_id, user_id, role, created_at, updated_at, version)
        SELECT partner_id, gen_random_uuid(), id, '{USER}', 'account_admin', now(), now(), 1
          FROM accounts WHERE partner_id = '{PARTNER}'""",
    f"UPDATE accounts SET member_count = member_count + 1, status = 'active' WHERE partner_id = '{PARTNER}'",
    f"""INSERT INTO licences (partner_id, id, account_id, feature, units, starts_at, grace_days, source, created_at,
                              updated_at, version)
        SELECT partner_id, gen_random_uuid(), id, '{FEATURE}', n * {UNITS // 2}, now(), 0, 'manual', now(), now(), 1
          FROM accounts, generate_series(0, 2) AS n WHERE partner_id = '{PARTNER}'""",
    f"""INSERT INTO usages (partner_id, account_id, feature, used)
        SELECT partner_id, id, '{FEATURE}', 0 FROM accounts WHERE partner_id = '{PARTNER}'""",
)
"""Every account of the partner is licensed, and its admin a member of each."""


@contextmanager
def field(server: Server) -> Generator[tuple[dict[str, Running], list[str]]]:
    """Both on one database of their own, and the ids of the accounts in it."""
    scratch = databases.clone(server, databases.ready(server, contest.SIZE), DATABASE)
    databases.execute(server, scratch, *PREPARED, "VACUUM ANALYZE")
    accounts = [str(row["id"]) for row in databases.rows(
        server, scratch, "SELECT id FROM accounts WHERE partner_id = $1 ORDER BY id", PARTNER)]  # fmt: skip
    with ExitStack() as stack:
        start = {"ours": servers.ours, "ceiling": servers.ceiling}
        yield {who: stack.enter_context(begin(server, scratch)) for who, begin in start.items()}, accounts


def lines(server: Server, rounds: int, seconds: int, many: int) -> list[Line]:
    """All of them; `many` is how many claims there are where there are many."""
    with field(server) as (running, accounts):
        return _lines(server, running, accounts, rounds, seconds, many)


def _lines(server: Server, running: Mapping[str, Running], accounts: Sequence[str], rounds: int, seconds: int,
           many: int) -> list[Line]:  # fmt: skip
    _same_rows(server, running, accounts[0])
    found: list[Line] = []
    for what, some in (("on one pool", accounts[:1]), ("on 1,000 pools", accounts)):
        for at in running.values():
            _claim(server, at, some, CLIENTS, 2)  # warmed up
        runs = play({who: partial(_claim, server, running[who], some, CLIENTS, seconds) for who in running}, rounds)
        found.append(faster(f"claim {what}, ours / ceiling", runs, "ours", "ceiling", 0.6))
    crowds = {f"{clients} clients": partial(_claim, server, running["ours"], accounts[:1], clients, seconds)
              for clients in (CROWD, CLIENTS)}  # fmt: skip
    runs = play(crowds, rounds)
    found.append(faster("claim on one pool, 100 clients / 8", runs, f"{CROWD} clients", f"{CLIENTS} clients", 0.7))
    found.append(_growth(server, running["ours"], accounts, rounds, many))
    return found


def _claim(server: Server, at: Running, accounts: Sequence[str], clients: int, seconds: int) -> Load:
    """Claims of ever new resources; each must be in the database in the end, counted, and told of once."""
    before, used = _counts(server), at.cpu()
    paths = [f"{urlsplit(at.url).path}/{account}/claims" for account in accounts]
    found = load.create(at.url, at.headers, _body(), clients=clients, seconds=seconds, paths=paths)
    used = at.cpu() - used
    made = [now - then for now, then in zip(_counts(server), before, strict=True)]
    assert found.requests <= made[0] <= found.requests + 2 * clients, f"{made[0]} claims for {found.requests} answers"
    assert made == [made[0]] * 3, f"wrote {made} claims, units, events"
    return replace(found, cpu=1000 * used / found.requests)


def _counts(server: Server) -> list[int]:
    """How many claims, units and events there are, once nobody writes any more: a hundred clients leave work behind."""
    found = _counted(server)
    while found != (again := _counted(server)):
        found = again
    return found


def _counted(server: Server) -> list[int]:
    time.sleep(0.1)
    query = """SELECT (SELECT count(*) FROM claims WHERE released_at IS NULL), (SELECT sum(used) FROM usages),
                      (SELECT count(*) FROM events WHERE type = 'claim.created')"""
    return list(databases.rows(server, DATABASE, query)[0])


def _body() -> tuple[str, str]:
    """A request up to the number in its resource, and from there on."""
    body = {"feature": FEATURE, "resource": f"asset:{next(_numbers)}-#", "units": 1, "reference": "WO-2207"}
    head, tail = json.dumps(body).split("#")
    return head, tail


def _same_rows(server: Server, running: Mapping[str, Running], account: str) -> None:
    """Both answer a claim in the same way and write the same rows."""
    answers, written = dict[str, Any](), dict[str, Any]()
    for who, at in running.items():
        body = {"feature": FEATURE, "resource": "asset:same", "units": 3, "reference": "WO-1"}
        headers = {**at.headers, "Content-Type": "application/json"}
        answer = contest.fetch(f"{at.url}/{account}/claims", headers, json.dumps(body).encode())
        answers[who] = {k: v for k, v in answer.items() if k not in ("id", "created_at")}
        claim_id = UUID(answer["id"])
        (claim,) = databases.rows(server, DATABASE, "SELECT * FROM claims WHERE id = $1", claim_id)
        (event,) = databases.rows(server, DATABASE, "SELECT * FROM events WHERE subject_id = $1", claim_id)
        written[who] = [{k: v for k, v in dict(row).items() if k not in databases.FLEETING} for row in (claim, event)]
        databases.execute(server, DATABASE, f"DELETE FROM claims WHERE id = '{claim_id}'", "UPDATE usages SET used = 0")
        databases.execute(server, DATABASE, f"DELETE FROM events WHERE subject_id = '{claim_id}'")
    assert answers["ours"] == answers["ceiling"], f"not the same answers: {answers}"
    assert written["ours"] == written["ceiling"], f"not the same rows: {written}"


# --- among many claims ---


def _growth(server: Server, ours: Running, accounts: Sequence[str], rounds: int, many: int) -> Line:
    """A claim where there are so many, and where there are ten to twenty, by turns; one client."""
    large, *small = accounts[-201:]
    databases.execute(server, DATABASE, _filled(large, many), *(_filled(account, SMALL) for account in small),
                      "VACUUM ANALYZE claims", "CHECKPOINT")  # fmt: skip
    with ExitStack() as stack:
        clients = {a: stack.enter_context(Client(f"{ours.url}/{a}/claims", ours.headers)) for a in (large, *small)}
        runs: dict[str, list[Load]] = {f"among {many:,}": [], f"among {SMALL}": []}
        for client in clients.values():
            client.milliseconds(_small_body())
        turns = iter(small * 8)
        for _ in range(rounds):
            times: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(min(200, len(small) * 8 // rounds)):
                for name in random.sample(list(runs), 2):
                    account = large if name == f"among {many:,}" else next(turns)
                    times[name].append(clients[account].milliseconds(_small_body()))
            for name, some in times.items():
                runs[name].append(Load.of(some))
    return slower(f"claim among {many:,} / among {SMALL}", runs, f"among {many:,}", f"among {SMALL}", 1.3)


def _small_body() -> bytes:
    return json.dumps({"feature": FEATURE, "resource": f"asset:{next(_numbers)}"}).encode()


def _filled(account: str, number: int) -> str:
    return f"""
        WITH made AS (
            INSERT INTO claims (partner_id, id, account_id, feature, resource, units, actor, user_id, created_at)
            SELECT '{PARTNER}', gen_random_uuid(), '{account}', '{FEATURE}', 'filled:' || n, 1, 'user', '{USER}', now()
              FROM generate_series(1, {number}) AS n RETURNING 1)
        UPDATE usages SET used = used + {number} WHERE account_id = '{account}'
    """
