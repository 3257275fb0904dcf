"""A server of ours, for programs that use generated clients."""

import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from threading import Lock
from typing import Final

from tests.processes import Shell

FEATURE: Final = {"key": "assets", "kind": "quota", "name": {"en": "Assets"}}


class Server(AbstractContextManager["Server"]):
    """Started for the first program, with a database of its own that holds a feature; ended with the block."""

    def __init__(self) -> None:
        self._lock, self._until_end = Lock(), ExitStack()
        self._shell: Shell | None = None

    def settings(self, program: str) -> dict[str, str]:
        """What a program must know: no two of them invite the same people."""
        with self._lock:
            shell = self._shell = self._shell or self._start()
        return {
            "TENANTRY_URL": shell.url, "OPERATOR_PASSWORD": shell.password, "NO_PROXY": "127.0.0.1",
            "MAIL_DOMAIN": f"{program}.sensorhaus.example.com",
        }  # fmt: skip

    def key(self, program: str) -> dict[str, str]:
        """A partner with a name of its own, and the secret of an API client of it that makes and lists accounts."""
        settings = self.settings(program)
        assert self._shell is not None
        with self._shell.operator() as operator:
            partner = operator.post("/v1/partners", json={"name": f"Partner of {program}"}).raise_for_status().json()
            body = {"name": program, "scopes": ["account:create", "account:list"]}
            made = operator.post(f"/v1/partners/{partner['id']}/api-clients", json=body).raise_for_status().json()
        return settings | {"TENANTRY_PARTNER": partner["id"], "TENANTRY_KEY": made["secret"]}

    def _start(self) -> Shell:
        shell = Shell(Path(self._until_end.enter_context(tempfile.TemporaryDirectory())))
        self._until_end.enter_context(shell.serving())
        with shell.operator() as operator:
            operator.post("/v1/features", json=FEATURE).raise_for_status()
        return shell

    def __exit__(self, *_: object) -> None:
        self._until_end.close()


SERVER: Final = Server()
"""The one of a run."""
