"""A server of ours, for programs that use generated clients."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.processes import Shell


@contextmanager
def serving() -> Generator[dict[str, str]]:
    """An empty one, with a database of its own, until the end of the block: what a program must know of it."""
    with tempfile.TemporaryDirectory() as home:
        shell = Shell(Path(home))
        with shell.serving():
            yield {"TENANTRY_URL": shell.url, "OPERATOR_PASSWORD": shell.password, "NO_PROXY": "127.0.0.1"}
