"""`make bench`: one table, each figure a ratio measured in this run."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from app.localpg import LocalPg
from bench import claims, contest, crowd, databases, growth, jobs, limits, load, neighbours, overview
from bench.databases import Server
from bench.rounds import HEAD, Line

PARTS = ("list", "create", "overview", "claims", "limits", "neighbours", "crowd", "growth", "import", "export",
         "webhooks")  # fmt: skip


def main(
    only: Annotated[str, typer.Option(help=f"Which of {', '.join(PARTS)}, separated by commas.")] = ",".join(PARTS),
    quick: Annotated[bool, typer.Option("--quick", help="100,000 accounts instead of a million, 3 rounds.")] = False,
    plans: Annotated[bool, typer.Option("--plans", help="Also print how PostgreSQL answers each page.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a target is missed.")] = False,
) -> None:
    """Measure Tenantry against a ceiling and a peer, and how it grows."""
    parts = only.split(",")
    load.install()
    lines: list[Line] = []
    with LocalPg(databases.HOME / "postgres") as local:
        server = Server(local)
        lines += _measured(server, parts, quick)
        if plans:
            print(*growth.explained(server, 100_000 if quick else 1_000_000), sep="\n")
    if "import" in parts:  # when the others have stopped
        lines += jobs.imported()
    if "webhooks" in parts:
        lines += jobs.delivered(3 if quick else 5)
    print(HEAD, *lines, sep="\n")
    if strict and not all(line.met for line in lines):
        raise SystemExit(1)


def _measured(server: Server, parts: Sequence[str], quick: bool) -> list[Line]:
    """The parts that use the databases that are kept."""
    rounds, shots, seconds = (3, 7, 1) if quick else (7, 15, 2)  # a rate needs more of them than a median does
    many = 100_000 if quick else 1_000_000
    found = contest.lines(server, set(parts), shots, seconds)
    measures: dict[str, Callable[[], list[Line]]] = {
        "overview": lambda: overview.lines(server, shots, seconds),
        "limits": lambda: limits.lines(server, shots, seconds),
        "neighbours": lambda: neighbours.lines(server, rounds, 3 * seconds),
        "crowd": lambda: crowd.lines(server, shots, seconds),
        "claims": lambda: claims.lines(server, rounds, seconds, many),
        "export": lambda: jobs.exported(server, 3),
        "growth": lambda: growth.lines(server, many, rounds, seconds / 2),
    }
    for part, measure in measures.items():
        found += measure() if part in parts else []
    return found


if __name__ == "__main__":
    typer.run(main)
