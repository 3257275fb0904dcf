"""What it costs that many partners ask, each for columns of its own: pages of 300 of them in turn, and of one."""

import random
from collections.abc import Sequence
from functools import partial
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
    many, one = contenders
    return [faster("pages, of many partners / of one", runs, many, one, 0.5)]


def _pages(ours: Running, partners: Sequence[str], seconds: int) -> Load:
    path = urlsplit(ours.url).path
    paths = [f"{path.replace(str(PARTNER), partner)}?sort=-properties.revenue" for partner in partners]
    CHANCE.shuffle(paths)
    return load.get(ours.url, ours.headers, clients=contest.CLIENTS, seconds=seconds, paths=paths)
