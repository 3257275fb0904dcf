"""The README's tour, as it stands there, pasted into one shell beside a running server."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.processes import SECONDS, Shell

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(bash|json|text)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
NEXT = "--- next block ---"
GUIDES = (
    "catalogue", "buying", "licences-and-claims", "licence-file", "notices", "events", "webhooks", "api-conventions",
)  # fmt: skip
"""The documents whose commands can be pasted after the tour, in this order."""


def pattern(shown: str) -> str:
    """What the README shows of an answer, as a pattern: spaces do not count, `…` stands for anything."""
    return ".*?".join(re.escape(re.sub(r"\s", "", part)) for part in shown.split("…"))


def commands_of(guide: str) -> str:
    """The indented commands of a document; not what they are told in return, nor code in other languages."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / f"{guide}.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    return "".join(f"{line[4:]}\n" for line in text.splitlines() if line.startswith("    "))


@pytest.mark.slow
def test_tour_prints_what_the_readme_shows_and_the_guides_go_on_from_there():
    """Every command of the guides must be answered with success, too: curl says if it is not."""
    with tempfile.TemporaryDirectory(prefix="tenantry-tour-") as home:
        shell = Shell(Path(home))
        with shell.serving():
            *said, _ = run_tour(shell)
    commands = 0
    for kind, shown in BLOCKS:
        if kind == "bash":
            commands += 1
            continue
        answer = re.sub(r"\s", "", said[commands])
        assert re.search(pattern(shown), answer, re.DOTALL), f"the README shows\n{shown}\nbut it is\n{said[commands]}"
    assert commands == len(said) - 1


def run_tour(shell: Shell) -> list[str]:
    """What each of the README's blocks prints (behind an empty first entry), in one bash with a terminal to read from;
    and last what all the commands of the guides print.
    """
    blocks = [block for kind, block in BLOCKS if kind == "bash"]
    script = "set -euo pipefail\n" + "".join(f"echo '{NEXT}'\n{block}" for block in blocks)
    script += f"echo '{NEXT}'\n" + 'curl() { command curl --silent --show-error --fail-with-body "$@"; }\n'
    script += "".join(map(commands_of, GUIDES))
    address = "API=http://127.0.0.1:8000\n"
    assert script.count(address) == 1
    terminal, stdin = os.openpty()
    try:
        done = subprocess.run(
            ["bash", "-c", script.replace(address, f"API={shell.url}\n")], cwd=shell.home, env=shell.environment,
            stdin=stdin, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    finally:
        os.close(terminal)
        os.close(stdin)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout.split(NEXT)


def test_tour_shows_each_convention_with_both_tools():
    tour = README.partition("## Five minutes")[2].partition("## Where things are")[0]
    curl, _, httpie = tour.partition("### The same with HTTPie")
    for part in (curl, httpie):
        for convention in ("If-Match", "Idempotency-Key", "filter=", "sort=", "q=", "overview"):
            assert convention in part
    kinds = {kind for kind, _ in BLOCKS}
    assert kinds == {"bash", "json", "text"}
