"""`make bench`: one table, each figure a ratio measured in this run."""

from typing import Annotated

import typer

from app.localpg import LocalPg
from bench import claims, contest, databases, growth, jobs, limits, load, overview
from bench.databases import Server
from bench.rounds import HEAD, Line

PARTS = ("list", "create", "overview", "claims", "limits", "growth", "import", "export", "webhooks")


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
        rounds, shots = (3, 7) if quick else (7, 15)  # a rate needs more of them than a median does
        lines += contest.lines(server, set(parts), shots, 1 if quick else 2)
        if "overview" in parts:
            lines += overview.lines(server, shots, 1 if quick else 2)
        if "limits" in parts:
            lines += limits.lines(server, shots, 1 if quick else 2)
        if "claims" in parts:
            lines += claims.lines(server, rounds, 1 if quick else 2, 100_000 if quick else 1_000_000)
        if "export" in parts:
            lines += jobs.exported(server, min(rounds, 3))
        if "growth" in parts:
            lines += growth.lines(server, 100_000 if quick else 1_000_000, rounds, 0.5 if quick else 1)
        if plans:
            print(*growth.explained(server, 100_000 if quick else 1_000_000), sep="\n")
    if "import" in parts:  # when the others have stopped
        lines += jobs.imported()
    if "webhooks" in parts:
        lines += jobs.delivered(min(rounds, 5))
    print(HEAD, *lines, sep="\n")
    if strict and not all(line.met for line in lines):
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
