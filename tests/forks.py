"""`python -m app` without the seconds that it takes to load: forks of a process that has loaded all of it.

A fork is a process of its own, with its own folder, environment and files; it runs the command line from its first line,
and is waited for, asked to end and killed as any other. What loading itself does is not seen by it: tests of starting
start in earnest (`Shell.loads`).
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from app.cli import main

_FORKING: Final = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["app.cli", "app.main"])


WRITING: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class Fork:
    """What is used of `subprocess.Popen`."""

    def __init__(self, process: Any) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """Its exit code, if it has ended; of one that a signal ended, the signal's number below zero."""
        self._process.join(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Until it ends.

        Raises:
            TimeoutExpired: it has not, after so many seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it is not ours to wait for
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def fork(arguments: Sequence[str], folder: Path, environment: Mapping[str, str], *, output: Path,
         errors: Path | None = None, input: Path = Path(os.devnull)) -> Fork:  # fmt: skip
    """`python -m app` with these arguments, under way. What it prints is added to `output`, its errors too unless they
    have a file of their own.
    """
    given = (list(arguments), str(folder), dict(environment), str(input), str(output), str(errors or output))
    process = _FORKING.Process(target=_run, args=given, name=" ".join(["tenantry", *arguments]), daemon=True)
    process.start()
    return Fork(process)


def _run(arguments: list[str], folder: str, environment: dict[str, str], input: str, output: str, errors: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, file, how in ((0, input, os.O_RDONLY), (1, output, WRITING), (2, errors, WRITING)):
        os.dup2(os.open(file, how, 0o600), number)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv[:] = ["tenantry", *arguments]
    main()
