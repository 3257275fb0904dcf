"""What it costs that many partners ask, each for columns of its own: pages of 300 of them in turn, and of one. And what
it costs that nobody has asked the same before.
"""

import random
from collections.abc import Sequence
from functools import partial
from itertools import count, islice
from typing import Final
from urllib.parse import urlsplit

from bench import contest, databases, load, servers
from bench.databases import PARTNER, USER, Server
from bench.load import Load
from bench.rounds import Line, faster, play
from bench.servers import Running

DATABASE: Final = "bench_crowd"
MANY: Final = 300
OFTEN: Final = 10
"""Times that each is asked before anything is timed."""
CHANCE: Final = random.Random(1)
NEW: Final = count(10_000_000)
MOST: Final = 10_000
"""Questions in a round, at most."""
CROWD: Final = f"SELECT id FROM partners WHERE id <> '{PARTNER}' ORDER BY id LIMIT {MANY}"
ADMIN_OF_ALL: Final = f"""
    INSERT INTO partner_members
    SELECT (jsonb_populate_record(m, jsonb_build_object('id', gen_random_uuid(), 'partner_id', p.id))).*
      FROM partner_members m, ({CROWD}) p WHERE m.user_id = '{USER}'
"""


def lines(server: Server, rounds: int, seconds: int) -> list[Line]:
    name = databases.clone(server, databases.ready(server, contest.SIZE), DATABASE)
    databases.execute(server, name, ADMIN_OF_ALL)
    crowd = [str(row["id"]) for row in databases.rows(server, name, CROWD)]
    with servers.ours(server, name) as ours:
        contenders = {
            f"of {MANY}": partial(_pages, ours, crowd, seconds),
            "of one": partial(_pages, ours, crowd[:1], seconds),
        }
        asked = 0
        while asked < OFTEN * MANY:  # what is made once for each is made, on each connection
            asked += _pages(ours, crowd, seconds).requests
        runs = play(contenders, rounds)
        questions = {
            "new": partial(_filtered, ours, MOST, seconds),
            "known": partial(_filtered, ours, 1, seconds),
        }
        asked = play(questions, rounds)
    many, one = contenders
    new, known = questions
    return [
        faster("pages, of many partners / of one", runs, many, one, 0.5),
        faster("pages, never asked for before / as ever", asked, new, known, 0.2),
    ]


def _pages(ours: Running, partners: Sequence[str], seconds: int) -> Load:
    path = urlsplit(ours.url).path
    paths = [f"{path.replace(str(PARTNER), partner)}?sort=-properties.revenue" for partner in partners]
    CHANCE.shuffle(paths)
    return load.get(ours.url, ours.headers, clients=contest.CLIENTS, seconds=seconds, paths=paths)


def _filtered(ours: Running, questions: int, seconds: int) -> Load:
    """Pages of one partner under a condition that all its accounts fulfil, with so many values that are new."""
    bounds = islice(NEW, questions)
    paths = [f"{urlsplit(ours.url).path}?sort=-properties.revenue&filter=properties.revenue:lt:{n}" for n in bounds]
    return load.get(ours.url, ours.headers, clients=contest.CLIENTS, seconds=seconds, paths=paths)
