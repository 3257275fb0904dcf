"""Cursors into the depth of a table, as if one had leafed there: the application's own, for a position read by SQL."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from app import cursors
from app.parts import load_keys
from bench import contest, databases
from bench.databases import PARTNER, Server
from bench.servers import Running, settings_of

COLUMNS: Final = {"name": "name_search", "properties.revenue": "n1", "properties.city": "t2"}


def behind(server: Server, database: str, running: Running, query: Mapping[str, Any], rows: int) -> str:
    """The cursor of the page that begins behind so many rows."""
    ours = _cursors(running, query)
    given = contest.fetch(f"{running.url}?{urlencode(query, doseq=True)}", running.headers)["next_cursor"]
    assert ours.read(ours.to(ours.read(given))) == ours.read(given)
    position = _position(server, database, query["sort"], rows)
    assert len(ours.read(given)) == len(position)
    return ours.to(position)


def _cursors(running: Running, query: Mapping[str, Any]) -> cursors.Cursors:
    """As the application has it for this list with these parameters."""
    key = load_keys(settings_of(running)).derived("cursors")
    return cursors.of(key, f"{urlsplit(running.url).path}?{sorted(query.items())}")


def _position(server: Server, database: str, sort: str, behind: int) -> list[Any]:
    by, direction = COLUMNS[sort.removeprefix("-")], "DESC" if sort.startswith("-") else "ASC"
    (row,) = databases.rows(
        server, database,
        f"SELECT {by}, id FROM accounts WHERE partner_id = $1 AND status <> 'archived'"
        f" ORDER BY {by} {direction} NULLS LAST, id {direction} LIMIT 1 OFFSET $2",
        PARTNER, behind - 1,
    )  # fmt: skip
    return [row[0], str(row[1])]
