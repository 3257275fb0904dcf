"""Tenantry as real processes, for the tests of the command line and of the README."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests import promises
from tests.conftest import ROOT
from tests.forks import Fork, fork

Process = subprocess.Popen[bytes] | Fork
SECONDS = 120  # only until a hang is called one: a start takes two or three


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Shell:
    """An empty machine of one's own: a data directory, a home, and an environment without any setting of ours."""

    home: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])
    port: int = field(default_factory=free_port)
    loads: bool = False
    """Whether `start` loads the application, as it does outside of tests, or forks a process that has."""

    @property
    def data(self) -> Path:
        return self.home / ".data"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if k in ("LANG", "LD_LIBRARY_PATH", "TMPDIR", "TZ")}
        paths = {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        ours = {"HOME": str(self.home), "TENANTRY_DATA_DIR": str(self.data), "TENANTRY_PORT": str(self.port)}
        return plain | paths | ours | self.settings

    def start(self, *arguments: str, **settings: str) -> Process:
        """A command of ours, under way; what it prints goes to the file `output`."""
        output, environment = self.home / "output", self.environment | settings
        output.write_text("")
        if not self.loads:
            return fork(arguments, self.home, environment, output=output)
        with output.open("w") as file:
            return subprocess.Popen([sys.executable, "-m", "app", *arguments], cwd=self.home, env=environment,
                                    stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)  # fmt: skip

    def run(self, *arguments: str, input: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
        """A command of ours, from start to end."""
        with tempfile.TemporaryDirectory(prefix="tenantry-run-") as folder:
            asked, said, wrong = (Path(folder) / name for name in ("input", "output", "errors"))
            asked.write_text(input)
            process = fork(arguments, self.home, self.environment | settings, input=asked, output=said, errors=wrong)
            try:
                code = process.wait(SECONDS)
            finally:
                process.kill()
            return subprocess.CompletedProcess(arguments, code, said.read_text(), wrong.read_text())

    @property
    def output(self) -> str:
        return (self.home / "output").read_text()

    @contextmanager
    def serving(self, *arguments: str, **settings: str) -> Generator[Process]:
        """`tenantry serve`, from its first answer on; ended (kindly, if it still runs) with the block."""
        process = self.start("serve", *arguments, **settings)
        try:
            self.wait(process)
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(SECONDS)
            self.end_database()

    def wait(self, process: Process, path: str = "/health/ready") -> None:
        """Until it answers with 200."""
        give_up = time.monotonic() + SECONDS
        with self.client() as client:
            while time.monotonic() < give_up:
                assert process.poll() is None, self.output
                with suppress(httpx.TransportError):
                    if client.get(path).status_code == 200:
                        return
                time.sleep(0.02)
        raise AssertionError(f"no answer in {SECONDS} s: {self.output}")

    def databases(self) -> list[psutil.Process]:
        """The PostgreSQL processes that run in our data directory."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if process.name() == "postgres" and process.cwd().startswith(str(self.data)):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def end_database(self) -> None:
        """Leave nothing behind, whatever a test found out."""
        for process in self.databases():
            process.kill()
        psutil.wait_procs(self.databases(), SECONDS)

    @property
    def password(self) -> str:
        """The operator's, as `serve` prints it."""
        return (self.data / "keys" / "operator-password").read_text()

    @contextmanager
    def client(self) -> Generator[httpx.Client]:
        """A client that has not logged in."""
        hooks: Any = {"response": [promises.kept_at_once]}
        with httpx.Client(base_url=self.url, trust_env=False, timeout=SECONDS, event_hooks=hooks) as client:
            yield client

    @contextmanager
    def logged_in(self, email: str, password: str) -> Generator[httpx.Client]:
        with self.client() as client:
            made = client.post("/v1/sessions", json={"email": email, "password": password})
            assert made.status_code == 201, made.text
            client.headers["Authorization"] = f"Bearer {made.json()['access_token']}"
            yield client

    @contextmanager
    def operator(self) -> Generator[httpx.Client]:
        """A client that is logged in as the operator."""
        with self.logged_in("operator@example.com", self.password) as client:
            yield client
