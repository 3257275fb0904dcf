"""`make contract`: the linters of openapi.json, and clients that are generated from it, compiled, packed and used.

A row a stage, as it ends; what a stage that failed has to say comes after the rows, and the exit code is 1 then.
A tool that is missing is a failure. `make contract o="--only orval"` runs the stages whose names hold the words.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Final

from contract.clients import CLIENTS
from contract.document import DOCUMENT
from contract.fuzz import Fuzz
from contract.packages import PACKAGES
from contract.server import SERVER
from contract.tools import Refused, node, run

# --- linters: each says how much it found right, or raises Refused ---


def validate(_folder: Path) -> str:
    run(sys.executable, "-m", "openapi_spec_validator", DOCUMENT)
    return "a valid OpenAPI 3.1 document"


def redocly(_folder: Path) -> str:
    found = node("@redocly/cli/bin/cli.js", "lint", DOCUMENT, "--config=redocly.yaml", "--format=json",
                 "--max-problems=10000", may_fail=True)  # fmt: skip
    problems: list[dict[str, Any]] = json.loads(found)["problems"]
    return _none_of([(p["ruleId"], p["location"][0].get("pointer", ""), p["message"]) for p in problems])


def spectral(_folder: Path) -> str:
    found = node("@stoplight/spectral-cli/dist/index.js", "lint", DOCUMENT, "--ruleset=spectral.yaml", "--format=json",
                 "--quiet", may_fail=True)  # fmt: skip
    problems: list[dict[str, Any]] = json.loads(found)
    return _none_of([(p["code"], "/".join(map(str, p["path"])), p["message"]) for p in problems])


def compare(_folder: Path) -> str:
    return run(sys.executable, "-m", "contract.breaking", folder=DOCUMENT.parent).strip()


def _none_of(problems: Sequence[tuple[str, str, str]]) -> str:
    if problems:
        counts = Counter(rule for rule, _, _ in problems)
        lines = [f"{n} x {rule}" for rule, n in counts.most_common()] + ["", *("  ".join(p) for p in problems[:40])]
        raise Refused("\n".join(lines))
    return "0 errors, 0 warnings"


STAGES: Final[dict[str, Callable[[Path], str]]] = {
    # a look, at what is more their own and within the bounds: `make fuzz` tries all
    "schemathesis, partner admin": Fuzz("partner admin", examples=4, quick=True),
    "schemathesis, operator": Fuzz("operator", examples=4, quick=True),
    "spectral": spectral,
    **CLIENTS,
    **{package.client: package for package in PACKAGES.values()},  # in place of its client's stage, and more
    "redocly": redocly,
    "openapi-spec-validator": validate,
    "breaking changes": compare,
}


# --- the run ---


def stage(name: str, work: Path) -> tuple[str, float, str, str]:
    """The name, seconds, what went right, and what went wrong."""
    folder, started = work / re.sub(r"\W", "_", name), time.perf_counter()
    folder.mkdir()
    right = wrong = ""
    try:
        right = STAGES[name](folder)
    except Refused as refusal:
        wrong = str(refusal)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    return name, time.perf_counter() - started, right, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Lint openapi.json; generate, compile and use its clients.")
    parser.add_argument("--only", nargs="+", default=[""], help="stages whose names hold one of these words")
    words = parser.parse_args().only
    names = [name for name in STAGES if any(word in name for word in words)]
    failures: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as work, SERVER, ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in as_completed([pool.submit(stage, name, Path(work)) for name in names]):
            name, seconds, right, wrong = done.result()
            print(
                f"{'FAILED' if wrong else 'ok':7} {name:27} {seconds:6.1f} s  {right or wrong.splitlines()[0]}",
                flush=True,
            )
            if wrong:
                failures.append((name, wrong))
    for name, wrong in failures:
        print(f"\n--- {name}\n{wrong[:10_000]}")
    return 1 if failures or not names else 0


if __name__ == "__main__":
    sys.exit(main())
