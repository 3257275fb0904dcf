"""Cursors into the depth of a table, as if one had leafed there: the application's own, for a position read by SQL."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from itsdangerous import URLSafeSerializer

from app.main import load_keys
from bench import contest, databases
from bench.databases import PARTNER, Server
from bench.servers import Running, settings_of

COLUMNS: Final = {"name": "name_search", "properties.revenue": "n1", "properties.city": "t2"}


def behind(server: Server, database: str, running: Running, query: Mapping[str, Any], rows: int) -> str:
    """The cursor of the page that begins behind so many rows."""
    signer = _signer(running, query)
    given = contest.fetch(f"{running.url}?{urlencode(query, doseq=True)}", running.headers)["next_cursor"]
    assert signer.dumps(signer.loads(given)) == given, (
        "cursors have become something else: teach it to bench/cursors.py"
    )
    position = _position(server, database, query["sort"], rows)
    assert len(signer.loads(given)) == len(position)
    return signer.dumps(position)


def _signer(running: Running, query: Mapping[str, Any]) -> URLSafeSerializer:
    """As `rest.paging` has it."""
    signed_to = str(sorted((k, v) for k, v in query.items()))
    return URLSafeSerializer(
        load_keys(settings_of(running)).derived("cursors"), salt=f"{urlsplit(running.url).path}?{signed_to}"
    )


def _position(server: Server, database: str, sort: str, behind: int) -> list[Any]:
    by, direction = COLUMNS[sort.removeprefix("-")], "DESC" if sort.startswith("-") else "ASC"
    (row,) = databases.rows(
        server, database,
        f"SELECT {by}, id FROM accounts WHERE partner_id = $1 AND status <> 'archived'"
        f" ORDER BY {by} {direction} NULLS LAST, id {direction} LIMIT 1 OFFSET $2",
        PARTNER, behind - 1,
    )  # fmt: skip
    return [row[0], str(row[1])]
