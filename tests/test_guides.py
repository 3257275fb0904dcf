"""Every page of the site, followed by a reader: what it has to be pasted, saved and run works, and prints what it shows."""

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import promises
from tests.conftest import ROOT
from tests.guides import (
    ANSWERS,
    COMMANDS,
    FILES,
    PROGRAMS,
    Block,
    Reader,
    begins_anew,
    blocks_of,
    outside_of_blocks,
    pages,
)
from tests.processes import Shell

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
SETTINGS = {"TENANTRY_WEBHOOK_ALLOW": "127.0.0.0/8", "TENANTRY_EVENT_STREAM_SECONDS": "1"}
"""The first as docs/webhooks.md asks for it; the second so that `curl -N` comes to an end."""
GUIDES = ("first-account", "table", "licences-and-claims", "webhooks", "retries")
"""Pages for strangers, which need nothing but `make run`."""
NOT_RUN = {"README.md": 1, "docs/operating.md": 1, "docs/clients.md": 12}
"""How many blocks of which pages cannot be run here; each says why."""


@pytest.mark.slow
def test_every_page_does_what_it_shows(subtests: pytest.Subtests):
    with tempfile.TemporaryDirectory(prefix="tenantry-guides-") as home:
        shell = Shell(Path(home), settings=SETTINGS)
        reader = Reader.at(shell)
        with shell.serving():
            for page in PAGES:
                with subtests.test(page):
                    differences = reader.follow(page)
                    assert not differences, "\n\n".join(differences)


def test_every_block_is_run_or_says_why_not():
    assert {block.kind for block in BLOCKS if block.reason is None} <= {COMMANDS, *PROGRAMS, *ANSWERS, *FILES}
    for page in PAGES:
        text = outside_of_blocks(page)
        assert not re.search(r"^    +\S", text, re.MULTILINE), f"{page}: commands without a fence"
        assert "```" not in text, f"{page}: a fence that is indented, which the site shows as words"
    reasons = [block for block in BLOCKS if block.reason is not None]
    assert all(len(str(block.reason).split()) >= 3 for block in reasons)
    assert Counter(block.page for block in reasons) == NOT_RUN
    for block in BLOCKS:
        if block.kind in PROGRAMS and block.reason is None:
            assert block.file, f"{block.place}: the paragraph before does not say under which name to save it"
            assert block.file.endswith(f".{PROGRAMS[block.kind]}"), block.place
            runs = [one.text for one in blocks_of(block.page) if one.kind == COMMANDS and one.line > block.line]
            used = rf"{re.escape(block.file)}|(from|import) ([\w, ]+, )?{block.file.partition('.')[0]}\b"
            assert any(re.search(used, text) for text in runs), f"{block.place}: nothing runs it"


def test_json_that_claims_to_be_of_the_contract_is():
    alone = [block for block in BLOCKS if block.kind == "json" and block.reason is None]
    for block in alone:
        assert block.schema, f"{block.place}: which schema of the contract is it? Say it before: <!-- a SchemaName -->"
        faults = [f"{fault.instance_path}: {fault.message}" for fault in unlike(block)]
        assert not faults, f"{block.place}: {faults}"
    assert alone


def unlike(block: Block) -> list[Any]:
    """What of the block is not as its schema says; a text with `…` stands for any of its kind."""
    schema = {"$ref": f"#/components/schemas/{block.schema}"}
    errors = promises._validator(schema).iter_errors(json.loads(block.text))
    return [error for error in errors if not (isinstance(error.instance, str) and "…" in error.instance)]


def test_guides_for_strangers_need_nothing_but_a_running_service():
    for guide in GUIDES:
        assert begins_anew(f"docs/{guide}.md"), guide
    shown = {kind: {block.page for block in BLOCKS if block.kind == kind} for kind in PROGRAMS}
    assert len(shown["python"]) >= 4
    assert len(shown["ts"]) >= 3
    commands = [block for block in BLOCKS if block.kind == COMMANDS]
    assert len({block.page for block in commands if re.search(r"^(\w+ )*http ", block.text, re.MULTILINE)}) >= 3
    assert len({block.page for block in commands if "curl " in block.text}) >= 12


def test_tour_shows_each_convention_with_both_tools():
    text = (ROOT / "README.md").read_text()
    tour = text.partition("## Five minutes")[2].partition("## Where things are")[0]
    curl, _, httpie = tour.partition("### The same with HTTPie")
    for part in (curl, httpie):
        for convention in ("If-Match", "Idempotency-Key", "filter=", "sort=", "q=", "overview"):
            assert convention in part
