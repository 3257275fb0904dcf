"""The three servers that are compared: one uvicorn worker each, with the same flags."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import jwt
import psutil

from app import security
from app.config import Settings
from app.db import APP_ROLE
from app.models import utc_now
from app.parts import load_keys
from bench import databases
from bench.databases import HOME, PARTNER, SESSION, USER, Server

ROOT: Final = Path(__file__).parent.parent
SECONDS: Final = 60
MORE_THAN_ENOUGH: Final = 10_000_000
"""Units that no benchmark spends in a minute: all are counted, and nobody waits."""
SECRET: Final = "the peer's, for the length of a benchmark"
COLUMNS: Final = (
    "id, partner_id, name, status, price_model, time_zone, member_count, created_at, updated_at, properties"
)
FLAGS: Final = ("--loop", "uvloop", "--http", "httptools", "--ws", "none", "--no-access-log", "--no-server-header",
                "--log-level", "warning")  # fmt: skip


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    """Where its accounts are: `?sort=…` lists them, POST creates one."""
    process: subprocess.Popen[bytes]
    token: Callable[[], str] | None = None
    settings: Settings | None = None
    """Ours, if it is ours."""

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs: a fresh token, where one is asked for."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token()}"}

    def cpu(self) -> float:
        """Seconds of processor time that its process has taken so far."""
        used = psutil.Process(self.process.pid).cpu_times()
        return used.user + used.system


def settings_of(running: Running) -> Settings:
    assert running.settings is not None
    return running.settings


def token_of(settings: Settings, user: UUID = USER, session: UUID = SESSION) -> str:
    """An access token as log-in would have issued it: the partner's admin's, unless it is somebody else's."""
    tokens = security.Tokens(load_keys(settings), settings.url, timedelta(minutes=settings.access_token_minutes))
    return tokens.issue(user, session, utc_now())


@contextmanager
def ours(server: Server, database: str, *, rate: int = MORE_THAN_ENOUGH) -> Generator[Running]:
    """`tenantry serve` as in production, but for the worker: token, guard and row-level security; and so many units a
    minute for who calls.
    """
    port = free_port()
    environment = {
        "TENANTRY_DATABASE_URL": server.url(database, APP_ROLE), "TENANTRY_OWNER_DATABASE_URL": server.url(database),
        "TENANTRY_DATA_DIR": str(HOME / "data"), "TENANTRY_PORT": str(port), "TENANTRY_EMBEDDED_WORKER": "false",
        "TENANTRY_LOG_LEVEL": "warning", "TENANTRY_ACCESS_TOKEN_MINUTES": "60",
        "TENANTRY_RATE_PER_MINUTE": str(rate),
    }  # fmt: skip
    settings = Settings(
        _env_file=None,  # pyright: ignore[reportCallIssue]
        data_dir=HOME / "data",
        port=port,
        access_token_minutes=60,
    )
    command = (sys.executable, "-m", "app", "serve")
    with _running(command, environment, f"http://127.0.0.1:{port}/health/live", f"ours-{database}") as process:
        yield Running(
            f"http://127.0.0.1:{port}/v1/partners/{PARTNER}/accounts", process, partial(token_of, settings), settings
        )


@contextmanager
def ceiling(server: Server, database: str) -> Generator[Running]:
    with _uvicorn("bench.ceiling:app", server, database, "postgresql") as (port, process):
        yield Running(f"http://127.0.0.1:{port}/accounts", process)


@contextmanager
def overview_ceiling(server: Server, database: str) -> Generator[Running]:
    with _uvicorn("bench.overview_ceiling:app", server, database, "postgresql") as (port, process):
        yield Running(f"http://127.0.0.1:{port}/accounts", process)


@contextmanager
def peer(server: Server, database: str) -> Generator[Running]:
    with _uvicorn("bench.peer:app", server, database, "postgresql+psycopg") as (port, process):
        yield Running(f"http://127.0.0.1:{port}/partners/{PARTNER}/accounts", process, _peer_token)


def _peer_token() -> str:
    """As the template's own log-in issues it."""
    return jwt.encode({"sub": str(USER), "exp": utc_now() + timedelta(minutes=60)}, SECRET, "HS256")


def address(server: Server, database: str, scheme: str) -> str:
    return server.url(database).replace("postgresql+asyncpg", scheme)


@contextmanager
def _uvicorn(app: str, server: Server, database: str, scheme: str) -> Generator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    environment = {"BENCH_DATABASE_URL": address(server, database, scheme), "BENCH_SECRET": SECRET}
    command = (sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port), *FLAGS)
    with _running(command, environment, f"http://127.0.0.1:{port}/", app) as process:
        yield port, process


@contextmanager
def _running(command: tuple[str, ...], environment: Mapping[str, str], url: str,
             name: str) -> Generator[subprocess.Popen[bytes]]:  # fmt: skip
    plain = {k: v for k, v in os.environ.items() if not k.startswith("TENANTRY_")}  # nor is there an .env in HOME
    environment = {**plain, "PYTHONPATH": str(ROOT), **environment}
    said = HOME / f"{name}.log"
    with said.open("wb") as log:
        process = subprocess.Popen(command, cwd=HOME, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(process, url, said)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: subprocess.Popen[bytes], url: str, said: Path) -> None:
    """Until it answers anything at all."""
    give_up = time.monotonic() + SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"{url} does not answer:\n{said.read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fill_peer(server: Server, database: str) -> None:
    """The peer's tables, with the data of ours."""
    environment = {**os.environ, "BENCH_DATABASE_URL": address(server, database, "postgresql+psycopg"),
                   "BENCH_SECRET": SECRET}  # fmt: skip
    subprocess.run([sys.executable, "-m", "bench.peer"], cwd=ROOT, env=environment, check=True)
    databases.execute(
        server, database,
        f"INSERT INTO account ({COLUMNS}) SELECT {COLUMNS} FROM accounts",
        'INSERT INTO "user" (id, email, is_active, is_superuser)'
        f" VALUES ('{USER}', 'petra.sommer@example.com', true, false)",
        "VACUUM ANALYZE",
    )  # fmt: skip
