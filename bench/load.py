"""wrk, and what it has to say: https://github.com/wg/wrk, in Debian and Homebrew."""

import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

UNITS: Final = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
READ: Final = """
local number, paths = 0, {%(paths)s}
request = function()
  number = number + 1
  return wrk.format("GET", paths[number %% #paths + 1])
end
"""
CREATE: Final = """
local number, head, tail, paths = 0, %(head)s, %(tail)s, {%(paths)s}
request = function()
  number = number + 1
  return wrk.format("POST", paths[number %% #paths + 1], nil, head .. number .. tail)
end
"""


@dataclass(frozen=True)
class Load:
    """One run: answers with 2xx, how many a second, and the time of one in milliseconds, at the median and at the
    99th percentile.
    """

    requests: int
    per_second: float
    p50: float
    p99: float
    cpu: float = 0
    """Milliseconds of processor time that an answer took the server's process (not PostgreSQL's), if that is known."""

    @classmethod
    def of(cls, times: Sequence[float]) -> "Load":
        """One client's, who waited so many milliseconds for each answer."""
        ordered = sorted(times)
        p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
        return cls(len(ordered), 1000 * len(ordered) / sum(ordered), statistics.median(ordered), p99)


def install() -> None:
    """Have wrk, or say how to get it."""
    if shutil.which("wrk") is None and shutil.which("apt-get") is not None and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "--quiet=2"], check=False)
        subprocess.run(["apt-get", "install", "--quiet=2", "--yes", "wrk"], check=False, stdout=subprocess.DEVNULL)
    if shutil.which("wrk") is None:
        raise SystemExit("The benchmark needs wrk: `apt-get install wrk`, `brew install wrk`, or see its page.")


def get(url: str, headers: Mapping[str, str], *, clients: int, seconds: int, paths: Sequence[str] = ()) -> Load:
    """GET the address, or each of these paths of its server in turn."""
    if not paths:
        return _run(url, headers, clients, seconds)
    return _scripted(READ % {"paths": _list(paths)}, url, headers, clients, seconds)


def create(url: str, headers: Mapping[str, str], body: tuple[str, str], *, clients: int, seconds: int,
           paths: Sequence[str] = ()) -> Load:  # fmt: skip
    """POST bodies that differ in a number between the two parts of `body`, to each of the paths in turn."""
    given = {"head": _lua(body[0]), "tail": _lua(body[1]), "paths": _list(paths or [urlsplit(url).path])}
    return _scripted(CREATE % given, url, {**headers, "Content-Type": "application/json"}, clients, seconds)


def _scripted(script: str, url: str, headers: Mapping[str, str], clients: int, seconds: int) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        return _run(url, headers, clients, seconds, "-s", file.name)


def _list(texts: Sequence[str]) -> str:
    return ",".join(map(_lua, texts))


def _lua(text: str) -> str:
    return f"[==[{text}]==]"


def _run(url: str, headers: Mapping[str, str], clients: int, seconds: int, *more: str) -> Load:
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "--latency", *given, *more, url]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode or "Non-2xx" in said.stdout or "Socket errors" in said.stdout:
        raise SystemExit(f"{url} answered with errors:\n{said.stdout}{said.stderr}")
    requests = re.search(r"(\d+) requests in", said.stdout)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said.stdout)
    times = [re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)\b", said.stdout) for percent in (50, 99)]
    p50, p99 = (float(time[1]) * UNITS[time[2]] if time else None for time in times)
    if not requests or not rate or p50 is None or p99 is None:
        raise SystemExit(f"wrk said something else than usual:\n{said.stdout}")
    return Load(int(requests[1]), float(rate[1]), p50, p99)
