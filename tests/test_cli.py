"""The command line, as real processes with real signals."""

import asyncio
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner

from app.cli import cli
from app.localpg import LocalPg
from tests.conftest import ROOT
from tests.databases import Databases, Server
from tests.processes import SECONDS, Shell

pytestmark = pytest.mark.slow

PRODUCTION = {
    "TENANTRY_ENVIRONMENT": "production",
    "TENANTRY_PUBLIC_URL": "https://tenantry.example.com",
    "TENANTRY_SMTP_URL": "smtp://127.0.0.1:9",
}
TENANTRY = [sys.executable, "-m", "app"]
STRONG = "seven yellow submarines"


@pytest.fixture
def shell() -> Generator[Shell]:
    with tempfile.TemporaryDirectory(prefix="tenantry-cli-") as home:
        shell = Shell(Path(home))
        yield shell
        shell.end_database()


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine on which `demo` was run, once for all tests and all their processes; what it said is in `said`."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "demonstration"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "said").exists():
            shutil.rmtree(home / ".data", ignore_errors=True)
            shown = Shell(home).run("demo")
            assert shown.returncode == 0, shown.stderr
            (home / "said").write_text(shown.stdout)
    return home


@pytest.fixture
def demo(shell: Shell, demonstration: Path) -> str:
    """What `demo` said on this machine, which had been empty."""
    shutil.copytree(demonstration / ".data", shell.data, symlinks=True)
    return (demonstration / "said").read_text()


@pytest.fixture
async def empty_database(server: Server, databases: Databases) -> AsyncGenerator[str]:
    """A database on a server of the user's own, without any table; with the application's login, which the template made."""
    name = f"cli_{uuid.uuid4().hex[:16]}"
    await server.execute(f"CREATE DATABASE {name}")
    yield name
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def on(server: Server, database: str) -> dict[str, str]:
    """Settings with the two logins of a production set-up."""
    return {
        "TENANTRY_DATABASE_URL": server.url(database),
        "TENANTRY_OWNER_DATABASE_URL": server.url(database, owner=True),
    }


async def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            return [tuple(row) for row in await connection.execute(text(query))]
    finally:
        await engine.dispose()


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One line that says it, on standard error; nothing else, and exit code 1."""
    assert (done.returncode, done.stdout) == (1, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("tenantry: ")
    for word in words:
        assert word in line


def partners(shell: Shell) -> list[str]:
    with shell.operator() as api:
        return [p["name"] for p in api.get("/v1/partners").json()["items"]]


def create(shell: Shell, name: str) -> None:
    with shell.operator() as api:
        assert api.post("/v1/partners", json={"name": name}).status_code == 201


# --- the demo: first, for others look at what it makes, and to make it takes long ---


def test_demo_makes_one_partner_with_accounts_once(shell: Shell, demo: str):
    with LocalPg(shell.data / "postgres"):
        refused(shell.run("demo"), "there already")
        refused(shell.run("demo", **PRODUCTION), "development only")
        email, password = next(line.split()[:2] for line in demo.splitlines() if "partner_admin" in line)
        with shell.serving():
            assert partners(shell) == ["Sensorhaus GmbH"]
            with shell.logged_in(email, password) as api:
                (mine,) = api.get("/v1/me").json()["partners"]
                every = ["active", "suspended", "archived"]
                table = api.get(f"/v1/partners/{mine['id']}/accounts",
                                params={"filter": f"status:in:{','.join(every)}", "limit": 200, "count": True}).json()  # fmt: skip
                assert (mine["role"], table["total"]) == ("partner_admin", 250)
                assert {row["status"] for row in table["items"]} == set(every)
                views = api.get(f"/v1/partners/{mine['id']}/views").json()["items"]
                assert [(view["shared"], view["broken"]) for view in views] == [(True, [])] * 3
                for view in views:
                    found = api.get(f"/v1/partners/{mine['id']}/accounts", params={"view": view["id"], "count": True})
                    assert 5 < found.json()["total"] < 200, view["name"]
                believable_purchases(api, f"/v1/partners/{mine['id']}")


def believable_purchases(api: httpx.Client, partner: str) -> None:
    """There is something to look at in every list: who is near a limit, what ends soon, what was upgraded."""

    def count(path: str, *filters: str) -> int:
        found = api.get(f"{partner}/{path}", params={"filter": filters, "count": True})
        assert found.status_code == 200, found.text
        return found.json()["total"]

    soon = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
    assert count("account-articles") > 1000
    for filters in (("state:eq:ended",), ("cancelled:eq:true",), ("replaces_id:is_null:false",),
                    ("invoice_number:is_null:true",), ("price_model:eq:professional",)):  # fmt: skip
        assert 5 < count("account-articles", *filters) < 400, filters
    assert 5 < count("licences", "state:eq:active", f"ends_at:lt:{soon}") < 300
    assert 2 < count("licences", "state:eq:suspended") < 50
    for filters in (("usage_percent:gte:80",), ("usage_percent:eq:100",), (f"expires_at:lt:{soon}",)):
        assert 20 < count("entitlements", *filters) < 600, filters
    assert 1 < count("entitlements", "over:eq:true") < 30


# --- starting and stopping ---


def test_serve_starts_on_an_empty_machine_and_says_where_to_go(shell: Shell):
    shell.loads = True
    started = time.monotonic()
    process = shell.start("serve")
    shell.wait(process, "/health/live")
    print(f"\ncold start on an empty data directory: {time.monotonic() - started:.2f} s to the first 200")  # noqa: T201
    shell.wait(process)
    give_up = time.monotonic() + SECONDS
    while "Ctrl-C" not in shell.output and time.monotonic() < give_up:
        time.sleep(0.02)
    shown = shell.output
    assert f"{shell.url}/docs" in shown
    assert f"{shell.url}/dev/mail" in shown
    assert f"operator@example.com  {shell.password}" in shown
    line = next(line for line in shown.splitlines() if "curl" in line).partition("curl")[2]
    answer = subprocess.run(["bash", "-c", f"curl{line}"], capture_output=True, text=True, check=True).stdout
    assert json.loads(answer)["token_type"] == "Bearer"
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 0
    started = time.monotonic()
    with shell.serving():
        print(f"warm start: {time.monotonic() - started:.2f} s to ready")  # noqa: T201
        assert partners(shell) == []


def test_serve_does_not_print_a_password_that_was_changed(shell: Shell):
    with shell.serving():
        old = shell.password
        with shell.operator() as api:
            change = {"current_password": old, "password": STRONG}
            assert api.post("/v1/me/password", json=change).status_code == 204
    with shell.serving():
        give_up = time.monotonic() + SECONDS
        while "Ctrl-C" not in shell.output and time.monotonic() < give_up:
            time.sleep(0.02)
        shown = shell.output
    assert "operator@example.com  (you changed it)" in shown
    assert """-d '{"email": "operator@example.com", "password": "<password>"}'""" in shown
    assert old not in shown
    assert STRONG not in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_signal_stops_everything_the_database_included(shell: Shell, number: signal.Signals, workers: str):
    shell.loads = True
    with shell.serving("--workers", workers) as process:
        family = [*psutil.Process(process.pid).children(recursive=True), *shell.databases()]
        assert shell.databases()
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
        gone, alive = psutil.wait_procs(family, timeout=5)
        assert (shell.databases(), alive) == ([], [])
        assert gone
        assert "Traceback" not in shell.output


def test_killed_server_starts_again_and_has_lost_nothing(shell: Shell):
    with shell.serving() as process:
        create(shell, "Kept AG")
        process.kill()
        process.wait(SECONDS)
    assert process.returncode == -signal.SIGKILL
    with shell.serving():
        assert partners(shell) == ["Kept AG"]


def test_server_that_starts_after_a_kill_takes_over_the_running_database(shell: Shell):
    with shell.serving() as process:
        create(shell, "Kept AG")
        process.kill()
        process.wait(SECONDS)
        assert shell.databases()
        with shell.serving():
            assert partners(shell) == ["Kept AG"]
        assert shell.databases() == []


def test_killed_supervisor_takes_its_server_processes_with_it(shell: Shell):
    shell.loads = True
    with shell.serving("--workers", "2") as process:
        children = psutil.Process(process.pid).children(recursive=True)
        create(shell, "Kept AG")
        process.kill()
        process.wait(SECONDS)
        _, alive = psutil.wait_procs(children, timeout=30)
        for child in alive:
            child.kill()  # leave none behind
        assert alive == []
        with shell.serving("--workers", "2"):
            assert partners(shell) == ["Kept AG"]


def test_two_server_processes_share_one_database_and_their_figures(shell: Shell):
    shell.loads = True
    with shell.serving("--workers", "2") as process:
        servers = {c.pid for c in psutil.Process(process.pid).children() if "spawn_main" in " ".join(c.cmdline())}
        assert len(servers) == 2
        found = [p for p in shell.databases() if "-D" in p.cmdline()]
        forked = {p.pid for p in found if p.ppid() in {q.pid for q in found}}  # a moment ago: not named yet
        assert len(found) - len(forked) == 1
        for n in range(20):
            create(shell, f"Partner {n}")
        assert len(partners(shell)) == 20
        with shell.client() as api:
            shown = api.get("/metrics")
        assert shown.status_code == 200
        made = [line for line in shown.text.splitlines() if 'operation="create_partner"' in line and "_total" in line]
        assert sum(float(line.rpartition(" ")[2]) for line in made) == 20


def test_taken_port_is_one_clear_line(shell: Shell):
    with shell.serving():
        refused(shell.run("serve"), f"127.0.0.1:{shell.port}", "in use", "--port")
        assert partners(shell) == []


# --- settings that do not fit ---


@pytest.mark.parametrize("missing", ["TENANTRY_SMTP_URL", "TENANTRY_PUBLIC_URL"])
def test_production_without_mail_or_address_is_refused(shell: Shell, missing: str):
    settings = {k: v for k, v in PRODUCTION.items() if k != missing}
    refused(shell.run("serve", **settings), "production needs", "SMTP_URL", "PUBLIC_URL")
    assert not shell.data.exists()


def test_production_needs_the_newest_migration_before_it_serves(shell: Shell):
    refused(shell.run("serve", **PRODUCTION), "tenantry migrate")
    assert shell.run("migrate", **PRODUCTION).returncode == 0
    process = shell.start("serve", **PRODUCTION)
    try:
        shell.wait(process)
        with shell.client() as api:
            assert api.get("/dev/mail").status_code == 404
        assert "operator@" not in shell.output
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0


def test_development_listens_on_loopback_only(shell: Shell):
    refused(shell.run("serve", "--host", "0.0.0.0"), "loopback", "production")
    refused(shell.run("serve", TENANTRY_HOST="::"), "loopback")
    assert not shell.data.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "eight"), ("WORKERS", "0"), ("DATABASE_URL", "mysql://host/db"), ("SECRET_KEY", "short"), ("LOG_FORMAT", "x")],
)  # fmt: skip
def test_setting_that_makes_no_sense_is_named_in_one_line(shell: Shell, name: str, value: str):
    done = shell.run("serve", **{f"TENANTRY_{name}": value})
    refused(done, name)
    assert "short" not in done.stderr


def test_database_that_is_away_is_one_line(shell: Shell):
    refused(shell.run("serve", TENANTRY_DATABASE_URL="postgresql://nobody:secret-word@127.0.0.1:9/none"))
    done = shell.run("migrate", TENANTRY_DATABASE_URL="postgresql://nobody:secret-word@127.0.0.1:9/none")
    refused(done)
    assert "secret-word" not in done.stderr


# --- operators and the log ---


def operator(shell: Shell, password: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    named = arguments or ("--email", "Ada@Example.com", "--name", "Ada Admin")
    return shell.run("create-operator", *named, "--password-stdin", input=f"{password}\n")


def test_operator_made_at_the_shell_logs_in_and_creates_partners(shell: Shell):
    with LocalPg(shell.data / "postgres"):  # so that each command finds it running
        assert operator(shell, STRONG).stdout == "Created.\n"
        refused(operator(shell, STRONG), "has a user already")
        refused(operator(shell, STRONG, "--email", "ADA@example.com", "--name", "Ada"), "has a user already")
        refused(operator(shell, "short", "--email", "b@example.com", "--name", "B"), "At least 12")
        refused(operator(shell, "password1234", "--email", "b@example.com", "--name", "B"), "guess")
        refused(operator(shell, STRONG, "--email", "nowhere", "--name", "B"), "e-mail address")
        with shell.serving(), shell.logged_in("ada@example.com", STRONG) as api:
            assert api.post("/v1/partners", json={"name": "X"}).status_code == 201
            nobody = {"email": "b@example.com", "password": STRONG}
            assert api.post("/v1/sessions", json=nobody).status_code == 401


async def test_log_that_was_changed_behind_its_back_is_named_and_ends_with_1(shell: Shell):
    with LocalPg(shell.data / "postgres") as local:
        assert operator(shell, STRONG).returncode == 0
        await ask(local.url(), "SELECT number_events('00000000-0000-0000-0000-000000000000', 100)")
        whole = shell.run("verify-log")
        assert (whole.returncode, whole.stderr) == (0, "")
        assert re.fullmatch(r"00000000-\S+: [1-9]\d* entries, whole\.\n", whole.stdout), whole.stdout
        await ask(local.url(), "UPDATE events SET type = 'user.updated' WHERE position = 1 RETURNING id")
        broken = shell.run("verify-log", "00000000-0000-0000-0000-000000000000")
        assert broken.returncode == 1
        assert broken.stdout.endswith(": 0 entries, broken at position 1: its facts are not those that were chained.\n")


# --- the contract ---


def test_contract_on_disk_is_checked_against_the_application(shell: Shell):
    fresh = shell.run("openapi").stdout
    refused(shell.run("openapi", "--check"), "make openapi")
    assert shell.run("openapi", "--write").returncode == 0
    assert (shell.home / "openapi.json").read_text() == fresh
    assert shell.run("openapi", "--check").returncode == 0
    (shell.home / "openapi.json").write_text(fresh.replace("Tenantry", "Another", 1))
    refused(shell.run("openapi", "--check"), "make openapi")
    assert json.loads(fresh)["openapi"].startswith("3.1")


# --- backup and restore ---

POLICIES = (
    "SELECT tablename, policyname, cmd, roles::text, qual, with_check, c.relrowsecurity, c.relforcerowsecurity"
    " FROM pg_policies p JOIN pg_class c ON c.oid = format('%I.%I', schemaname, tablename)::regclass ORDER BY 1, 2"
)
GRANTS = (
    "SELECT 'table', relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    " UNION ALL SELECT 'function', proname, proacl::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    " ORDER BY 1, 2"
)
FUNCTIONS = (
    "SELECT proname, prosecdef, proconfig::text, md5(prosrc) FROM pg_proc"
    " WHERE pronamespace = 'public'::regnamespace ORDER BY 1"
)
SCHEMA = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace"
    " UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2"
)


async def photograph(url: str) -> dict[str, Any]:
    """All that a database holds: rows by their hash, and what protects them."""
    tables = [name for (name,) in await ask(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    content: dict[str, Any] = {}
    for name in tables:
        rows = sorted(str(row) for (row,) in await ask(url, f"SELECT t::text FROM {name} t"))
        content[name] = (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest())
    protection = {query: await ask(url, query) for query in (POLICIES, GRANTS, FUNCTIONS)}
    schema = sorted((table, name, plain(text)) for table, name, text in await ask(url, SCHEMA))
    return {"content": content, **protection, SCHEMA: schema}


def plain(expression: str) -> str:
    """An expression without its casts and parentheses, which PostgreSQL writes anew each time that it reads one."""
    return re.sub(r"::(text|character varying)(\[\])?|[()]", "", expression)


async def test_restored_database_equals_the_one_that_was_backed_up(shell: Shell, demo: str):
    file = shell.home / "backup.dump"
    with LocalPg(shell.data / "postgres") as local:
        shown = shell.run("backup", str(file))
        assert shown.returncode == 0, shown.stderr
        print(f"\nbackup of the demo: {file.stat().st_size:,} bytes")  # noqa: T201
        assert file.stat().st_mode & 0o777 == 0o600
        before = await photograph(local.url())
        assert before["content"]["accounts"][0] == 250
        assert before["content"]["events"][0] > 500
        assert len(before[POLICIES]) >= 16
        refused(shell.run("backup", str(file)), "exists")
        assert sorted(p.name for p in shell.home.iterdir() if "partial" in p.name) == []

        assert operator(shell, STRONG).returncode == 0  # after the backup
        changed = await photograph(local.url())
        assert changed["content"]["users"] != before["content"]["users"]
        restored = shell.run("restore", str(file))
        assert restored.returncode == 0, restored.stderr
        assert await photograph(local.url()) == before
        kept = restored.stdout.rpartition(" ")[2].strip().rstrip(".")
        assert await photograph(local.url(kept)) == changed
    with shell.serving():
        assert partners(shell) == ["Sensorhaus GmbH"]


async def test_database_in_use_is_not_replaced(shell: Shell):
    file = shell.home / "backup.dump"
    with shell.serving():
        assert shell.run("backup", str(file)).returncode == 0  # while it serves
        create(shell, "Later AG")
        refused(shell.run("restore", str(file)), "in use", "stop the server")
        assert partners(shell) == ["Later AG"]


async def test_restore_that_fails_leaves_the_database_as_it_was(shell: Shell):
    with LocalPg(shell.data / "postgres") as local:
        assert shell.run("migrate").returncode == 0
        before = await photograph(local.url())
        broken = shell.home / "broken.dump"
        broken.write_bytes(b"PGDMP" + os.urandom(500))
        refused(shell.run("restore", str(broken)), "pg_restore")
        refused(shell.run("restore", str(shell.home / "none.dump")), "not a file")
        assert await photograph(local.url()) == before
        names = {name for (name,) in await ask(local.url("postgres"), "SELECT datname FROM pg_database")}
        assert names == {"postgres", "template0", "template1", "tenantry"}


async def test_backup_of_an_embedded_database_moves_to_a_server(shell: Shell, server: Server, empty_database: str):
    file = shell.home / "backup.dump"
    with LocalPg(shell.data / "postgres") as local:
        assert operator(shell, STRONG).returncode == 0
        assert shell.run("backup", str(file)).returncode == 0
        before = await photograph(local.url())
    done = shell.run("restore", str(file), **on(server, empty_database))
    assert (done.returncode, done.stdout) == (0, "Restored.\n"), done.stderr
    after = await photograph(server.url(empty_database, owner=True))
    assert after["content"] == before["content"]
    assert [policy[:2] for policy in after[POLICIES]] == [policy[:2] for policy in before[POLICIES]]
    refused(shell.run("restore", str(file), **on(server, empty_database)), "not empty")


# --- a server of one's own ---


async def test_service_runs_under_the_application_role_on_a_server(shell: Shell, server: Server, empty_database: str):
    settings = on(server, empty_database)
    assert shell.run("migrate", **settings).returncode == 0
    again = shell.run("migrate", **settings)
    assert (again.returncode, again.stderr) == (0, "")
    with shell.serving(**settings):
        assert shell.databases() == []
        create(shell, "Served AG")
        logins = await ask(
            server.url(empty_database, owner=True),
            f"SELECT DISTINCT usename::text FROM pg_stat_activity WHERE application_name = 'tenantry' AND datname = '{empty_database}'",
        )
        assert logins == [("tenantry_app",)]
    (owner,) = await ask(server.url(empty_database, owner=True), "SELECT count(*) FROM partners")
    assert owner == (1,)


async def test_one_login_that_owns_the_tables_serves_as_the_application_role(
    shell: Shell, server: Server, empty_database: str
):
    settings = {"TENANTRY_DATABASE_URL": server.url(empty_database, owner=True)}
    assert shell.run("migrate", **settings).returncode == 0
    with shell.serving(**settings):  # refuses to start as a role that owns tables or is a superuser
        create(shell, "Served AG")
        assert partners(shell) == ["Served AG"]


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_login_that_could_pass_the_walls_is_refused(
    shell: Shell, server: Server, empty_database: str, command: str
):
    owner = server.url(empty_database, owner=True)
    settings = {"TENANTRY_DATABASE_URL": owner, "TENANTRY_OWNER_DATABASE_URL": owner}
    assert shell.run("migrate", **settings).returncode == 0
    refused(shell.run(command, **settings), "owns tables", "tenantry_app")


async def test_worker_and_serving_wait_for_nobody_but_refuse_an_old_database(
    shell: Shell, server: Server, empty_database: str
):
    settings = on(server, empty_database) | PRODUCTION
    for command in ("serve", "worker"):
        refused(shell.run(command, **settings), "tenantry migrate")
    assert shell.run("migrate", **settings).returncode == 0
    process = shell.start("worker", **settings)
    try:
        give_up = time.monotonic() + SECONDS
        while "worker started" not in shell.output and time.monotonic() < give_up:
            assert process.poll() is None, shell.output
            await asyncio.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    assert "worker stopped" in shell.output


async def test_logins_of_the_guide_suffice_to_migrate_serve_back_up_and_restore(shell: Shell):
    (statements,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "operating.md").read_text(), re.DOTALL)
    with LocalPg(shell.home / "theirs") as theirs:
        guide = Server(theirs.url("postgres"))
        await guide.execute(*filter(str.strip, statements.split(";")))
        app, owner = (theirs.url("tenantry", f"tenantry_{who}") for who in ("app", "owner"))
        at_rest = {"TENANTRY_DATABASE_URL": app, "TENANTRY_OWNER_DATABASE_URL": owner}
        done = shell.run("migrate", **at_rest)
        assert done.returncode == 0, done.stderr
        done = shell.run("create-operator", "--email", "ada@example.com", "--name", "Ada", "--password-stdin",
                         input=STRONG, TENANTRY_DATABASE_URL=app, **PRODUCTION)  # fmt: skip
        assert done.returncode == 0, done.stderr
        process = shell.start("serve", TENANTRY_DATABASE_URL=app, **PRODUCTION)  # the owner's login stays away
        try:
            shell.wait(process)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        file, before = shell.home / "backup.dump", await photograph(owner)
        assert before["content"]["users"][0] == 1
        assert shell.run("backup", str(file), **at_rest).returncode == 0
        await guide.execute("CREATE DATABASE copy OWNER tenantry_owner")
        copy = {name: url.replace("/tenantry?", "/copy?") for name, url in at_rest.items()}
        done = shell.run("restore", str(file), **copy)
        assert done.returncode == 0, done.stderr
        assert await photograph(copy["TENANTRY_OWNER_DATABASE_URL"]) == before


async def what_the_service_sees(url: str) -> tuple[Any, ...]:
    """Through functions that run as the owner of the tables: memberships, and events that get their numbers."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            members = "SELECT count(*) FROM users u, memberships_of(u.id)"
            memberships = await connection.scalar(text(members))
            waiting = list(await connection.scalars(text("SELECT partner_id FROM partners_with_unnumbered_events()")))
            numbered = [
                await connection.scalar(text("SELECT number_events(:partner, 1000)"), {"partner": p}) for p in waiting
            ]
            return memberships, len(waiting), sum(filter(None, numbered))
    finally:
        await engine.dispose()


async def test_backup_is_restored_under_an_owner_of_another_name_and_back(shell: Shell, demo: str):
    """To a server whose owner may not make roles; and to one that has never heard of the dump's owner."""
    (statements,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "operating.md").read_text(), re.DOTALL)
    first, second = shell.home / "first.dump", shell.home / "second.dump"
    with LocalPg(shell.home / "theirs") as theirs, LocalPg(shell.data / "postgres") as local:
        assert shell.run("backup", str(first)).returncode == 0
        before = await photograph(local.url())
        seen = await what_the_service_sees(local.url(user="tenantry_app"))
        assert min(seen) > 0

        guide = Server(theirs.url("postgres"))
        await guide.execute(*filter(str.strip, statements.split(";")))
        app, owner = (theirs.url("tenantry", f"tenantry_{who}") for who in ("app", "owner"))
        moved = {"TENANTRY_DATABASE_URL": app, "TENANTRY_OWNER_DATABASE_URL": owner}
        done = shell.run("restore", str(first), **moved)
        assert (done.returncode, done.stdout) == (0, "Restored.\n"), done.stderr
        after = await photograph(owner)  # the owner reads all rows, although row-level security is forced
        assert after["content"] == before["content"]
        assert without_roles(after[POLICIES]) == without_roles(before[POLICIES])
        assert {roles for _, name, _, roles, *_ in after[POLICIES] if name == "owner"} == {"{tenantry_owner}"}
        assert shell.run("backup", str(second), **moved).returncode == 0
        assert await what_the_service_sees(app) == seen

        done = shell.run("restore", str(second))
        assert done.returncode == 0, done.stderr
        assert await photograph(local.url()) == before
        assert await what_the_service_sees(local.url(user="tenantry_app")) == seen
        with pytest.raises(DBAPIError):
            await ask(local.url(user="tenantry_owner"), "SELECT 1")  # who is not needed, and was not made


def without_roles(policies: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(*p[:3], *(plain(str(part)) for part in p[4:])) for p in policies]


def test_two_migrations_at_once_on_an_empty_machine_both_succeed(shell: Shell):
    both = [
        subprocess.Popen([*TENANTRY, "migrate"], cwd=shell.home, env=shell.environment, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=SECONDS) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0] == said[1]
    assert said[0][0].startswith("The database is at ")


async def test_two_migrations_at_once_on_a_server_both_succeed(shell: Shell, server: Server, empty_database: str):
    settings = shell.environment | {"TENANTRY_DATABASE_URL": server.url(empty_database, owner=True)}
    both = [await asyncio.create_subprocess_exec(*TENANTRY, "migrate", cwd=shell.home, env=settings) for _ in range(2)]
    assert [await process.wait() for process in both] == [0, 0]
    (heads,) = await ask(server.url(empty_database, owner=True), "SELECT count(*) FROM alembic_version")
    assert heads == (1,)


def test_help_names_every_command():
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0
    for command in ("serve", "worker", "migrate", "create-operator", "demo", "openapi", "backup", "restore"):
        assert command in shown.stdout
        assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0
