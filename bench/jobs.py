"""Import and export: rows a second, and the memory that an import takes."""

import re
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from bench import databases, servers
from bench.databases import Server
from bench.rounds import Line
from bench.servers import ROOT

ROWS: Final = 100_000
IMPORTS: Final = Path(__file__).parent / "imports.py"
DELIVERIES: Final = 4_000


def exported(server: Server, rounds: int) -> list[Line]:
    """All accounts of the partner as CSV, from one client, into nothing."""
    database = databases.ready(server, ROWS)
    (wanted,) = databases.counts(
        server, database, f"accounts WHERE partner_id = '{databases.PARTNER}' AND status <> 'archived'"
    )
    with servers.ours(server, database) as running:
        try:
            rates = [_rows(running.url + ".csv", running.headers, wanted) for _ in range(rounds + 1)][1:]
        except urllib.error.HTTPError as error:
            raise SystemExit(f"export: {error}") from None
    return [_line("export as CSV", "rows/s", rates, 20_000)]


def _rows(url: str, headers: dict[str, str], wanted: int) -> float:
    started, lines = time.perf_counter(), 0
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=600) as answer:
        while piece := answer.read(1 << 16):
            lines += piece.count(b"\n")
    assert lines == wanted + 1, (
        f"{lines} lines for {wanted} accounts"
    )  # and the header; no value of ours has a line break
    return wanted / (time.perf_counter() - started)


def imported() -> list[Line]:
    """What bench/imports.py says, in a process and on a database of its own."""
    if not IMPORTS.exists():
        return []
    said = subprocess.run(
        [sys.executable, "-m", "bench.imports", f"{ROWS}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    rate, alone, memory = (
        re.search(form, said.stdout, re.M)
        for form in (r"^import: ([\d,]+) rows/s", r"^database alone: ([\d,]+) rows/s", r"at most ([+-]\d+) MB")
    )
    if said.returncode or not (rate and alone and memory):
        raise SystemExit(f"bench/imports.py failed:\n{said.stdout}{said.stderr}")
    ours, most = (float(found[1].replace(",", "")) for found in (rate, alone))
    share = ours / most
    return [_line("import of CSV", "rows/s", [ours], 5_000),
            Line("… ours / the database alone", f"{ours:,.0f} / {most:,.0f} rows/s", share, share, share, 0.5),
            _line("memory that an import takes", "MB", [float(memory[1])], 100, at_most=True)]  # fmt: skip


def delivered(rounds: int) -> list[Line]:
    """What bench/hooks.py says, in a process and on a database of its own."""
    said = subprocess.run(
        [sys.executable, "-m", "bench.hooks", f"{DELIVERIES}", f"{rounds}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    rates = re.search(r"^webhooks: (.*)$", said.stdout, re.M)
    ratios = re.search(r"^ratios: ([\d. ]+)$", said.stdout, re.M)
    if said.returncode or not (rates and ratios):
        raise SystemExit(f"bench/hooks.py failed:\n{said.stdout}{said.stderr}")
    found = [float(ratio) for ratio in ratios[1].split()]
    what = "webhooks delivered, ours / bare httpx"
    return [Line(what, rates[1], statistics.median(found), min(found), max(found), 0.3)]


def _line(what: str, unit: str, figures: list[float], target: float, *, at_most: bool = False) -> Line:
    middle = statistics.median(figures)
    return Line(what, f"{middle:,.0f} {unit}", middle, min(figures), max(figures), target, at_most)
