"""What is told of generated clients is what `make contract` generates, compiles and runs."""

import json
import re

import pytest

from contract.clients import CLIENTS
from tests.conftest import ROOT
from tests.guides import blocks_of

GUIDE = (ROOT / "docs" / "clients.md").read_text()
SHELL = "".join(block.text for block in blocks_of("docs/clients.md") if block.kind == "bash")
COMMANDS = set(re.sub(r" \\\n +", " ", SHELL).splitlines())
NPM = json.loads((ROOT / "contract" / "package.json").read_text())["devDependencies"]
OWN = {
    "openapi-typescript": f"npx openapi-typescript@{NPM['openapi-typescript']} openapi.json --output schema.ts",
    "hey-api": f"npx @hey-api/openapi-ts@{NPM['@hey-api/openapi-ts']} --input openapi.json --output client",
    "orval": f"npx orval@{NPM['orval']} --input openapi.json --output api.ts",
    "openapi-python-client": "openapi-python-client generate --path openapi.json --config openapi-python-client.yaml"
                             " --output-path tenantry_client",
    "go": "openapi-generator-cli generate -i openapi.json -g go -o src/tenantry",
}  # fmt: skip
"""Commands before their options; all others are as that of Go, but for the names."""
PROGRAMS = {"ts": "flows.ts", "python": "flows.py", "go": "flows.go", "java": "Flows.java"}


@pytest.mark.parametrize("name", CLIENTS)
def test_guide_has_the_command_by_which_a_client_is_made(name: str):
    command = OWN.get(name, f"openapi-generator-cli generate -i openapi.json -g {name} -o client")
    assert " ".join([command, *CLIENTS[name].options]) in COMMANDS


def test_guide_has_the_versions_and_the_settings_of_the_tools():
    locked = (ROOT / "contract" / "requirements.lock").read_text()
    (install,) = [command for command in COMMANDS if command.startswith("pip install")]
    for pinned in install.split()[2:]:
        assert re.search(rf"^{re.escape(pinned)} ", locked, re.MULTILINE), pinned
    assert f"```yaml\n{(ROOT / 'contract' / 'openapi-python-client.yaml').read_text()}```" in GUIDE
    assert len(COMMANDS) == len(CLIENTS) + 1


@pytest.mark.parametrize("language", PROGRAMS)
def test_guide_shows_pieces_of_a_program_that_is_run(language: str):
    """Paragraph by paragraph, wherever they stand in it."""
    assert {client.program for client in CLIENTS.values()} - {""} == set(PROGRAMS.values())
    program = flush_left((ROOT / "contract" / "use" / PROGRAMS[language]).read_text())
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert blocks
    for piece in re.split(r"\n{2,}", "\n".join(blocks)):
        assert f"\n{flush_left(piece).strip()}\n" in program, piece


def flush_left(code: str) -> str:
    return re.sub(r"^[ \t]+", "", code, flags=re.MULTILINE)
