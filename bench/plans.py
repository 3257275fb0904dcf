"""What PostgreSQL really did, for the statements that the application really sent: auto_explain, read from its log."""

import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import databases
from bench.databases import HOME, Server

SETTINGS: Final = {
    "session_preload_libraries": "'auto_explain'", "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on", "auto_explain.log_timing": "off", "auto_explain.log_nested_statements": "on",
}  # fmt: skip
PLAN: Final = re.compile(r"duration: ([\d.]+) ms  plan:\n((?:\t.*\n)*)")


@dataclass(frozen=True)
class Plan:
    """One statement, as it was carried out."""

    milliseconds: float
    text: str

    @property
    def accesses(self) -> list[str]:
        """How accounts were reached: which scans, by which index."""
        found = re.findall(
            r"-> +((?:Parallel )?(?:Index|Index Only|Seq|Bitmap Index|Bitmap Heap) Scan[^(]*?) +\(", self.text
        )
        return [scan for scan in found if "accounts" in scan]

    @property
    def sequential(self) -> bool:
        """Whether accounts were read from end to end."""
        return any("Seq Scan" in scan for scan in self.accesses)

    def uses(self, column: str) -> bool:
        """Whether they were reached by the index of a column."""
        return any(re.search(rf"_{column}(_id)? ", f"{scan} ") for scan in self.accesses)

    @property
    def nested(self) -> bool:
        """Whether it was part of another statement, by way of a function."""
        return self.uses("search_pieces")


@dataclass
class Log:
    """What the server's log says from a point on."""

    file: Path
    start: int = 0

    def clear(self) -> None:
        self.start = self.file.stat().st_size

    def read(self) -> list[Plan]:
        """The plans of statements on accounts since then."""
        time.sleep(0.1)
        with self.file.open("rb") as log:
            log.seek(self.start)
            text = log.read().decode(errors="replace")
        found = [Plan(float(ms), plan) for ms, plan in PLAN.findall(text)]
        return [plan for plan in found if plan.accesses]


@contextmanager
def logged(server: Server, database: str) -> Generator[Log]:
    """Meanwhile, every statement of new connections to a database is explained."""
    names = ", ".join(SETTINGS)
    databases.execute(server, database, *(f"ALTER DATABASE {database} SET {k} = {v}" for k, v in SETTINGS.items()))
    try:
        yield Log(HOME / "postgres" / "server.log")
    finally:
        databases.execute(server, database, *(f"ALTER DATABASE {database} RESET {name}" for name in names.split(", ")))


def judge(what: str, found: list[Plan], last: list[Plan], index: str) -> str:
    """Print how it was done in the `last` answer, prepared and warm; what was wrong with it, if something was."""
    assert last, f"{what}: no plan was logged"
    taken = sum(plan.milliseconds for plan in last if not plan.nested)
    print(f"{what:42} {taken:9.2f} ms  {'; '.join(scan for plan in last for scan in plan.accesses)}", flush=True)
    if any(plan.sequential for plan in found):
        return f"{what}: accounts were read from end to end"
    if index and not any(plan.uses(index) for plan in last):
        return f"{what}: not by the index on {index}"
    return ""
