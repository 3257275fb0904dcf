"""What a noisy partner costs another: the time of its pages among 8 clients of the noisy one, and among ten times 8."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final
from uuid import UUID

from bench import contest, databases, load, servers
from bench.databases import PARTNER, Server
from bench.load import Load
from bench.rounds import Line, play, slower
from bench.servers import Running

DATABASE: Final = "bench_neighbours"
NOISE: Final = 8
MUCH_NOISE: Final = 10 * NOISE
HEAD_START: Final = 1
"""Seconds that the noise is there before, and after, anything is timed."""
USER: Final = UUID("01850000-0000-7000-8000-000000000004")
SESSION: Final = UUID("01850000-0000-7000-8000-000000000005")
NEIGHBOUR: Final = f"SELECT id FROM partners WHERE id <> '{PARTNER}' ORDER BY id LIMIT 1"
MOVED_IN: Final = (
    f"""
    INSERT INTO users
    SELECT (jsonb_populate_record(u, jsonb_build_object('id', '{USER}', 'email_key', 'nora@example.com'))).*
      FROM users u WHERE id = '{databases.USER}'
    """,
    f"""
    INSERT INTO sessions
    SELECT (jsonb_populate_record(s, jsonb_build_object('id', '{SESSION}', 'user_id', '{USER}'))).* FROM sessions s
     WHERE id = '{databases.SESSION}'
    """,
    f"""
    INSERT INTO partner_members
    SELECT (jsonb_populate_record(m, jsonb_build_object('id', gen_random_uuid(), 'user_id', '{USER}',
                                                        'partner_id', ({NEIGHBOUR})))).*
      FROM partner_members m WHERE user_id = '{databases.USER}'
    """,
)


def lines(server: Server, rounds: int, seconds: int) -> list[Line]:
    name = databases.clone(server, databases.ready(server, contest.SIZE), DATABASE)
    databases.execute(server, name, *MOVED_IN)
    (neighbour,) = databases.rows(server, name, NEIGHBOUR)
    with servers.ours(server, name) as ours:
        for clients in (NOISE, MUCH_NOISE):
            _among(ours, neighbour["id"], clients, 1)  # warmed up
        contenders = {f"among {n}": partial(_among, ours, neighbour["id"], n, seconds) for n in (MUCH_NOISE, NOISE)}
        runs = play(contenders, rounds)
    loud, usual = contenders
    return [slower("a neighbour's page, slowest of 100", runs, loud, usual, 2, lambda found: found.p99)]


def _among(ours: Running, neighbour: UUID, clients: int, seconds: int) -> Load:
    """The neighbour asks for one page after the other, while so many clients of the noisy partner do."""
    quiet = ours.url.replace(str(PARTNER), str(neighbour))
    token = servers.token_of(servers.settings_of(ours), USER, SESSION)
    noisy = partial(load.get, f"{ours.url}?sort=name", ours.headers, clients=clients, seconds=seconds + 2 * HEAD_START)
    with ThreadPoolExecutor(1) as pool:
        noise = pool.submit(noisy)
        time.sleep(HEAD_START)
        found = load.get(f"{quiet}?sort=name", {"Authorization": f"Bearer {token}"}, clients=1, seconds=seconds)
        noise.result()
    return found
