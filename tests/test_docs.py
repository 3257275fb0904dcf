"""The documents say what is true: tables are printed from the code, links lead somewhere, snippets run.

`python -m tests.test_docs` (`make docs`) prints the tables anew.
"""

import re
import subprocess
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import unquote

import annotated_types
import pytest
import yaml
from jose import JWTError

from app.config import Settings
from app.event_types import FEED
from app.policy import GRANTS, Role
from app.sheets.table import FLAWS, REFUSALS
from tests.conftest import ROOT, World, problem

DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


# --- tables ---


def settings_table() -> str:
    """Every setting with its default, its bounds and its meaning."""
    rows = ["| `TENANTRY_…` | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default == () else field.default
        shown = "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        words = [str(field.description), *bounds(field.metadata)]
        if kinds := literals(field.annotation):
            words.append(f"One of {kinds}.")
        rows.append(f"| `{name.upper()}` | {shown} | {' '.join(words)} |")
    return "\n".join(rows)


def bounds(metadata: list[Any]) -> list[str]:
    least = [str(m.ge) for m in metadata if isinstance(m, annotated_types.Ge)]
    most = [str(m.le) for m in metadata if isinstance(m, annotated_types.Le)]
    if least and most:
        return [f"{least[0]} to {most[0]}."]
    return [f"At least {least[0]}."] if least else []


def literals(annotation: Any) -> str:
    words = cast("tuple[object, ...]", get_args(annotation))
    return ", ".join(f"`{word}`" for word in words if isinstance(word, str))


def roles_table() -> str:
    """The policy: a line for each permission, a column for each role."""
    rows = [f"| | {' | '.join(role.value.replace('_', ' ') for role in Role)} |", f"|---|{':-:|' * len(Role)}"]
    for permission, granted in GRANTS.items():
        rows.append(f"| `{permission}` | {' | '.join('✓' if role in granted else '' for role in Role)} |")
    return "\n".join(rows)


def events_table() -> str:
    """Every type of event in a partner's feed."""
    rows = ["| Type | It happened to | |", "|---|---|---|"]
    return "\n".join([*rows, *(f"| `{name}` | {kind.subject} | {kind.description} |" for name, kind in FEED.items())])


TABLES = {
    "docs/settings.md": ("settings", settings_table),
    "docs/roles.md": ("policy", roles_table),
    "docs/events.md": ("types", events_table),
}


def printed(name: str, text: str) -> str:
    """The document with its table as the code has it now."""
    mark, table = TABLES[name]
    before, found, rest = text.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    assert found, name
    assert end, name
    return f"{before}{found}{table()}\n{end}{after}"


@pytest.mark.parametrize("name", TABLES)
def test_table_in_the_docs_is_the_one_in_the_code(name: str):
    text = (ROOT / name).read_text()
    assert text == printed(name, text), "run `make docs`"


def test_every_setting_says_what_it_means():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_documents_name_only_settings_that_there_are():
    known = {f"TENANTRY_{name.upper()}" for name in Settings.model_fields} | {"TENANTRY_TEST_DATABASE_URL"}
    files = [*DOCS, ROOT / "compose.yaml", ROOT / "Dockerfile"]
    named = {word for file in files for word in re.findall(r"TENANTRY_[A-Z_]+", file.read_text())}
    assert named <= known
    assert len(named) > 15


# --- links ---


def anchors(text: str) -> set[str]:
    """How GitHub names the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", DOCS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(file: Path):
    links = re.findall(r"\]\(([^)\s]+)\)", file.read_text())
    for link in links:
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        found = (file.parent / unquote(target)).resolve() if target else file
        assert found.is_file(), link
        assert not anchor or anchor in anchors(found.read_text()), link


def test_every_document_is_reached_from_the_readme():
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        file = waiting.pop()
        if file in reached or file.suffix != ".md":
            continue
        reached.add(file)
        links = re.findall(r"\]\(([^)#\s]+)", file.read_text())
        waiting += [(file.parent / link).resolve() for link in links if "://" not in link]
    assert set(DOCS) - reached == set()


def test_decisions_are_complete_and_short():
    records = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    assert [int(r.name[:4]) for r in records] == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text()
        for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
            assert part in text, record.name
        assert 15 <= len(text.splitlines()) <= 45, record.name


# --- codes ---


def test_every_code_of_an_import_is_explained():
    text = (ROOT / "docs" / "import.md").read_text().partition("## Codes")[2]
    files = [ROOT / "app" / "importing.py", *(ROOT / "app" / "services").glob("import_*.py")]
    code = "".join(file.read_text() for file in files)
    raised = set(re.findall(r'(?:Unusable|Stopped|RowFault)\([^"]{0,60}"([a-z_0-9]+)"', code))
    raised |= {*REFUSALS, *FLAWS, "partner_suspended", "partner_management_off", "expired"}
    assert raised - {"name", "status"} - set(re.findall(r"`([a-z_0-9]+)`", text)) == set()  # but columns


# --- snippets ---


async def test_snippet_of_the_docs_verifies_the_token_of_an_account_and_no_other(world: World):
    text = (ROOT / "docs" / "verifying-account-tokens.md").read_text()
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    acme = await world.partner(Anna=Role.PARTNER_ADMIN)
    here = f"/v1/partners/{acme.id}/accounts/{(await world.account(acme, by='Anna')).id}"
    anna = await world.client("Anna")
    inside = (await anna.post(f"{here}/switch")).json()["access_token"]
    fetched = 'json.load(urlopen(f"{ISSUER}/.well-known/jwks.json"))'
    assert snippet.count(fetched) == snippet.count('ISSUER = "http://127.0.0.1:8000"') == 1
    names: dict[str, Any] = {"KEYS": (await anna.get("/.well-known/jwks.json")).json()}
    exec(snippet.replace("http://127.0.0.1:8000", world.settings.url).replace(fetched, "KEYS"), names)
    claims = names["account_of"](inside)
    assert (f"/v1/partners/{claims['partner_id']}/accounts/{claims['account_id']}", claims["role"]) == (
        here,
        "account_admin",
    )
    table = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    assert set(claims) == {word for row in table for word in re.findall(r"`(\w+)`", row)}
    session = anna.headers["Authorization"].removeprefix("Bearer ")
    head, body, signature = inside.split(".")
    for token in (session, f"{head}.{body}.{signature[::-1]}", "nonsense"):
        with pytest.raises(JWTError):
            names["account_of"](token)
    service = await world.client(token=inside)
    assert (await service.get(here)).json()["status"] == "active"
    assert (await anna.delete("/v1/sessions")).status_code == 204
    assert problem(await service.get(here)) == (401, "unauthenticated")


# --- what is handed on ---


def test_lock_files_hold_versions_and_hashes_and_no_address():
    for name in ("requirements.lock", "requirements-run.lock"):
        text = (ROOT / name).read_text()
        assert not re.search(r"://|--(extra-)?index|--find-links|^-[ef] ", text, re.MULTILINE), name
        pinned = re.findall(r"^([a-z0-9-]+)==[^ ]+( ; [^\\]+)? \\\n    --hash=sha256:", text, re.MULTILINE)
        assert len(pinned) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE)) > 40, name


def test_image_holds_what_the_service_needs_and_nothing_else():
    def versions(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", (ROOT / name).read_text(), re.MULTILINE))

    run, dev = versions("requirements-run.lock"), versions("requirements.lock")
    assert run < dev
    assert not {v.partition("==")[0] for v in run} & {"pytest", "ruff", "pyright", "playwright", "httpie", "setuptools"}
    wanted = re.findall(r'^    "([a-z0-9-]+)', (ROOT / "pyproject.toml").read_text().partition("[project.opt")[0], re.M)
    assert set(wanted) <= {v.partition("==")[0] for v in run}


def test_dockerfile_copies_files_that_exist_and_that_are_let_in():
    text = (ROOT / "Dockerfile").read_text()
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for source in re.findall(r"^COPY (?!--from)(\S+) \S+$", text, re.MULTILINE)}
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm", base) for base in bases)
    assert text.index("USER tenantry") < text.index("ENTRYPOINT")
    assert "/health/live" in text.partition("HEALTHCHECK")[2]  # a database failure restarts no server


def test_compose_file_names_images_by_version_and_only_services_that_there_are():
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services: dict[str, Any] = compose["services"]
    assert set(services) == {"app", "worker", "migrate", "db", "mail"}
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        assert "build" in service or re.search(r":v?\d+\.\d+", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert {v.partition(":")[0] for v in service.get("volumes", [])} <= set(compose["volumes"]), name
    owners = {n for n, s in services.items() if "TENANTRY_OWNER_DATABASE_URL" in s.get("environment", {})}
    assert owners == {"migrate"}
    logins = compose["configs"]["logins"]["content"]
    for service in ("app", "migrate"):
        for url in [v for k, v in services[service]["environment"].items() if k.endswith("DATABASE_URL")]:
            user, password = re.findall(r"//(\w+):([\w-]+)@", url)[0]
            assert f"CREATE ROLE {user} LOGIN PASSWORD '{password}'" in logins


def test_settings_of_the_compose_file_are_ones_that_the_service_takes(monkeypatch: pytest.MonkeyPatch):
    image = dict(re.findall(r"(TENANTRY_[A-Z_]+)=(\S+)", (ROOT / "Dockerfile").read_text()))
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    for name in ("app", "worker", "migrate"):
        with monkeypatch.context() as patch:
            for key, value in (image | compose["services"][name]["environment"]).items():
                patch.setenv(key, str(value))
            settings = Settings(_env_file=None)  # pyright: ignore[reportCallIssue]
            assert (settings.environment, settings.host) == ("production", "0.0.0.0")
            assert settings.embedded_worker == (name != "app")


def test_scripts_are_shell_that_parses_and_may_be_run():
    for script in sorted((ROOT / ".ci").iterdir()):
        assert script.stat().st_mode & 0o111, script
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0, script


def test_make_help_names_every_target_with_one_line():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    shown = subprocess.run(
        ["make", "-C", ROOT, "--no-print-directory", "help"], capture_output=True, text=True, check=True
    )
    named = {line.split()[1] for line in shown.stdout.splitlines()}
    phony = set(text.partition(".PHONY: ")[2].partition("\n")[0].split())
    assert named == targets == phony


if __name__ == "__main__":
    for document in TABLES:
        path = ROOT / document
        path.write_text(printed(document, path.read_text()))
