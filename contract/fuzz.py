"""Schemathesis: requests of every kind that the contract allows, and of many that it does not, to a server with a
partner that has something of everything. Whatever comes back must be as the contract says: `make fuzz`.

    .venv/bin/python -m contract.fuzz [--examples 200] [--seconds 600] [--seed 1] [--as operator] [--only getMe ...]

All checks and all phases: the examples of the contract, its bounds one by one (coverage), whatever fits it or just does
not (fuzzing), and chains in which an answer gives what the next request needs (stateful). As an operator and then as an
admin of the partner, each with a server and a database of its own. Nothing is left behind.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import randrange
from typing import Any, Final

from contract.document import DOCUMENT
from contract.plan import OF_WORDS, REFUSALS, Plan, toml
from contract.scene import ADMIN, OPERATOR, Scene
from contract.tools import HERE, PYTHON, Refused, run
from tests.processes import Shell

SETTINGS: Final = {
    "TENANTRY_RATE_PER_MINUTE": "0",
    "TENANTRY_RATE_OF_SERVICE_PER_MINUTE": "0",
    "TENANTRY_RATE_OF_ADDRESS_PER_MINUTE": "0",
    "TENANTRY_LOGIN_FREE_FAILURES": "1000000",
    "TENANTRY_PASSWORD_RESETS_FREE": "1000000",
    "TENANTRY_EVENT_STREAM_SECONDS": "1",
}
"""Nobody is made to wait: else nearly every answer would be 429."""
IDENTITIES: Final = {"operator": OPERATOR, "partner admin": ADMIN}
OWN: Final = {"operator": "exclude", "partner admin": "include"}
"""Of what is a partner's or one's own: whose it is; the rest is the other's."""
CHAINS: Final = 20
"""Of six requests at most; counted, so that a slower machine makes the same."""
PATIENCE: Final = 4 * 3600
"""Seconds that a run may take."""


@dataclass
class Fuzz:
    """A server with a scene, and Schemathesis as somebody there."""

    identity: str
    examples: int
    """Of each operation, by the fuzzing phase; coverage has as many as there are bounds."""
    seconds: int = 0
    """How long chains of requests are made; 0: `CHAINS` of them."""
    seed: int = 1
    """Of what is made up. The ids in answers are others each time: so chains are nearly the same, and not quite."""
    quick: bool = False
    """Only what is more one's own, and of bounds only what lies within them: four in five such requests lie without."""

    def __call__(self, folder: Path, only: Sequence[str] = ()) -> str:
        """What was done.

        Raises:
            Refused: what Schemathesis says of every failure.
        """
        shell = Shell(folder, SETTINGS)
        with shell.serving():
            with shell.operator() as client:
                scene = Scene(client, json.loads(DOCUMENT.read_text()))
                scene.make()
                self._write(shell, Plan(scene))
            named = [f"--include-operation-id={name}" for name in only]
            if self.quick:
                named.append(f"--{OWN[self.identity]}-path-regex=^/v1/(me|partners/)")
            named += [f"--max-examples={self.examples}", "--phases=examples,coverage,fuzzing"]
            bound = f"--max-time={self.seconds}" if self.seconds else f"--max-examples={CHAINS}"
            runs = {"alone": named, "chains": [bound, "--phases=stateful"]}
            said: list[str] = []
            wrong: list[str] = []
            for name in ("alone",) if only else runs:
                try:
                    said.append(self._run(folder, name, *runs[name]))
                except Refused as refusal:
                    wrong.append(str(refusal))
        if wrong:
            raise Refused("\n".join(wrong))
        return ", ".join(said)

    def _write(self, shell: Shell, plan: Plan) -> None:
        """The files of both runs: of requests that stand alone, and of chains."""
        document, inside = plan.document(), self.identity != "operator"
        password = plan.scene.password if inside else shell.password
        said = self._said(shell.url, password)
        words = {"dictionaries": {"string": {"dictionary": "words", "probability": OF_WORDS}}}
        alone = {"generation": {"database": "none"}, **plan.settings(inside=False)}
        if self.quick:
            alone["phases"] = {"coverage": {"generation": {"mode": "positive"}}}
        chains = {"generation": {"database": "none", **words}, **plan.settings(inside=inside)}
        _write(shell.home, "alone", document, said | alone)
        _write(shell.home, "chains", plan.inside(document) if inside else document, said | chains)
        (shell.home / "kept.json").write_text(json.dumps(plan.kept()))

    def _said(self, url: str, password: str) -> dict[str, Any]:
        log_in = {"path": "/v1/sessions", "payload": {"email": IDENTITIES[self.identity], "password": password},
                  "extract_selector": "/access_token"}  # fmt: skip
        return {
            "base-url": url,
            "hooks": str(HERE / "reasons.py"),
            "seed": self.seed,
            "continue-on-failure": True,
            "request-timeout": 60.0,
            "cache": {"enabled": False},
            "auth": {"dynamic": {"openapi": {"accessToken": log_in}}},
            "checks": {name: {"expected-statuses": statuses} for name, statuses in REFUSALS.items()},
        }

    def _run(self, folder: Path, name: str, *options: str) -> str:
        report = folder / f"{name}-report.json"
        printed = run(
            PYTHON.parent / "st", "--config-file", folder / f"{name}.toml", "run", folder / f"{name}.json",
            "--no-color", "--report=json", f"--report-json-path={report}", *options, folder=folder,
            settings={"FUZZ_KEPT": str(folder / "kept.json"), "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(HERE.parent)},
            patience=PATIENCE,
        )  # fmt: skip
        figures = json.loads(report.read_text())
        requests = f"{figures['test_cases']['generated']:,} requests"
        if chains := re.search(r"API Links: +(\d+) covered / (\d+) selected", printed):
            return f"{requests} in chains over {chains[1]} of {chains[2]} links"
        return f"{figures['operations']['tested']} operations, {requests}"


def _write(folder: Path, name: str, document: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(document))
    (folder / f"{name}.toml").write_text("".join(f"{key} = {toml(value)}\n" for key, value in settings.items()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m contract.fuzz", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--examples", type=int, default=200, help="of each operation (200)")
    parser.add_argument("--seconds", type=int, default=600, help="for chains of requests (600)")
    parser.add_argument("--as", dest="identities", nargs="+", choices=IDENTITIES, default=list(IDENTITIES))
    parser.add_argument("--only", nargs="+", default=[], help="operationIds; no chains then")
    parser.add_argument("--seed", type=int, default=randrange(10**6), help="to try the same again (any)")
    given = parser.parse_args()
    failed = 0
    print(f"seed {given.seed}", flush=True)
    for identity in given.identities:
        with tempfile.TemporaryDirectory() as folder:
            try:
                fuzz = Fuzz(identity, given.examples, given.seconds, given.seed)
                print(f"{identity}: {fuzz(Path(folder), given.only)}", flush=True)
            except Refused as refusal:
                print(f"{identity}: FAILED\n{refusal}", flush=True)
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
