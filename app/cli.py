"""The command line of Tenantry."""

import asyncio
import gc
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import structlog
import typer
import uvicorn
from asyncpg import PostgresError
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from app import logs, migrate, operate, personal, welcome
from app.config import Settings
from app.db import UnsafeRole, connect, refuse_unsafe_role
from app.localpg import LocalPgError
from app.parts import database, load_keys, transport_of
from app.worker import Worker

cli = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Tenantry: partner management for B2B and IoT clouds.\n\n"
    "Settings come from TENANTRY_* environment variables or a .env file; docs/settings.md lists them.",
)
CONTRACT = Path("openapi.json")


def main() -> None:
    """Run a command; whatever cannot be done is said in one line, with exit code 1."""
    try:
        cli()
    except (operate.Refused, LocalPgError, UnsafeRole, OSError, ValueError) as error:
        _die(_one_line(error))
    except PostgresError as error:  # at the connection's door: SQLAlchemy leaves those as they are
        _die(f"the database says: {_one_line(error)}")
    except DBAPIError as error:
        _die(f"the database says: {_one_line(error.orig or error)}")


def _one_line(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        faults = [
            ("_".join(map(str, e["loc"])).upper(), e["msg"].removeprefix("Value error, ")) for e in error.errors()
        ]
        return "; ".join(f"TENANTRY_{name}: {message}" if name else message for name, message in faults)
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _die(message: str) -> NoReturn:
    typer.echo(f"tenantry: {message}", err=True)
    raise SystemExit(1)


def _late(name: str) -> Any:
    """A module of ours that only some commands need: all routes and shapes take two seconds to load."""
    return import_module(f"app.{name}")


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="Server processes; they share one embedded database.")] = None,
) -> None:
    """Serve the API, with a worker inside.

    In development (the default) the database is migrated first, and an operator's log-in is printed. In
    production the database must be at the newest migration: run `tenantry migrate` before.
    """
    for name, value in (("HOST", host), ("PORT", port), ("WORKERS", workers)):
        if value is not None:
            os.environ[f"TENANTRY_{name}"] = str(value)  # the server processes read it again
    settings = Settings()
    logs.configure(settings)
    _refuse_taken_port(settings)
    # uvicorn raises a caught SIGTERM again when it is done: end by an exception then, so that the database stops too.
    signal.signal(signal.SIGTERM, _end)
    with operate.held(settings), tempfile.TemporaryDirectory(prefix="tenantry-figures-") as figures:
        if settings.workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = figures  # where the server processes add up their figures
        _run(_prepare(settings))
        uvicorn.run(
            "app.main:serve", factory=True, host=settings.host, port=settings.port, workers=settings.workers,
            loop="uvloop", http="app.protocol:Protocol", ws="none", log_config=None, access_log=False,
            server_header=False, proxy_headers=True, forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=20, timeout_keep_alive=30,
        )  # fmt: skip


def _end(*_: object) -> None:
    sys.exit(0)


async def _prepare(settings: Settings) -> None:
    """What would stop every server process, found out once and said in one line."""
    if settings.development:
        await operate.migrate_up(settings)
    else:
        await operate.refuse_outdated(settings)
    async with database(settings) as (url, role):
        engine, _ = connect(url, role=role, pool_size=1)
        try:
            await refuse_unsafe_role(engine)
        finally:
            await engine.dispose()
    if settings.development:
        welcome.announce(settings, await welcome.ready_operator(settings))


def _refuse_taken_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise operate.Refused(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
                                  "set TENANTRY_PORT, or use --port") from None  # fmt: skip


@cli.command()
def worker() -> None:
    """Send the outbox and number events, without serving. Run as many as you like."""
    settings = Settings()
    logs.configure(settings)
    with operate.held(settings):
        _run(operate.refuse_outdated(settings))
        _run(_work(settings))


async def _work(settings: Settings) -> None:
    async with database(settings) as (url, role):
        engine, sessions = connect(url, role=role, pool_size=5)
        await refuse_unsafe_role(engine)
        transport = transport_of(settings)
        task = asyncio.create_task(Worker(sessions, load_keys(settings), settings, transport).run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        gc.freeze()  # see app.main.serve
        structlog.get_logger().info("worker started")
        try:
            await task
        except asyncio.CancelledError:
            structlog.get_logger().info("worker stopped")
        finally:
            await transport.close()
            await engine.dispose()


@cli.command("migrate")
def migrate_command(
    check: Annotated[
        bool, typer.Option("--check", help="Only compare migrations and models, on an empty database.")
    ] = False,
    new: Annotated[
        str | None, typer.Option(help="Write a migration with what the models have and the database lacks.")
    ] = None,
) -> None:
    """Bring the database to the newest schema. Safe while the service runs; several at once wait for each other."""
    if check:
        if drift := _run(operate.check_migrations()):
            _die(f"migrations and models differ: {'; '.join(drift)}")
        typer.echo("Migrations and models agree.")
        return
    settings = Settings()
    if new:
        _run(_new_migration(settings, new))
        return
    _run(operate.migrate_up(settings))
    typer.echo(f"The database is at {migrate.head()}.")


async def _new_migration(settings: Settings, message: str) -> None:
    async with operate.owner_url(settings) as url:
        await migrate.upgrade(url)
        await migrate.new(url, message)


@cli.command("create-operator")
def create_operator(
    email: Annotated[str, typer.Option(help="E-mail address to log in with.")],
    name: Annotated[str, typer.Option(help="Name, as others see it.")],
    password_stdin: Annotated[
        bool, typer.Option(help="Read the password from standard input, without asking.")
    ] = False,
) -> None:
    """Create a user who runs this service: operators create partners. Asks for the password."""
    password = sys.stdin.readline().rstrip("\n") if password_stdin else typer.prompt(
        "Password", hide_input=True, confirmation_prompt=True)  # fmt: skip
    settings = Settings()
    with operate.held(settings):
        _run(operate.migrate_up(settings) if settings.development else operate.refuse_outdated(settings))
        _run(welcome.create_operator(settings, email=email, name=name, password=password))
    typer.echo("Created.")


@cli.command("demo")
def demo_command() -> None:
    """Fill the database with a realistic partner: 250 accounts with members and invitations. Development only."""
    settings = Settings()
    if not settings.development:
        raise operate.Refused("the demo is for development only")
    with operate.held(settings):
        _run(operate.migrate_up(settings))
        typer.echo(_run(_late("demo").fill(settings)))


@cli.command("openapi")
def openapi_command(
    write: Annotated[bool, typer.Option("--write", help="Write openapi.json here.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail when openapi.json here is not up to date.")] = False,
) -> None:
    """Print the contract: OpenAPI 3.1."""
    contract, main = _late("contract"), _late("main")
    text: str = contract.pretty(main.create_app(Settings()).openapi())
    if write:
        CONTRACT.write_text(text)
    elif check:
        if not CONTRACT.exists() or CONTRACT.read_text() != text:
            _die("openapi.json is not up to date: run `make openapi`")
        typer.echo("openapi.json is up to date.")
    else:
        typer.echo(text, nl=False)


@cli.command("verify-log")
def verify_log(
    partner_id: Annotated[UUID | None, typer.Argument(help="Id of the partner; unless given, all of them.")] = None,
) -> None:
    """Compute the hashes of the change log anew. Names the first position that does not hold, with exit code 1."""
    found = _run(operate.verify_log(Settings(), partner_id))
    for partner, verdict in found.items():
        said = f"broken at position {verdict.broken_at}: {verdict.why}" if verdict.broken_at else "whole"
        typer.echo(f"{partner}: {verdict.entries:,} entries, {said}.")
    if any(verdict.broken_at for verdict in found.values()):
        raise SystemExit(1)


@cli.command("export-person")
def export_person(
    email: Annotated[str, typer.Argument(help="The user's e-mail address.")],
    file: Annotated[Path | None, typer.Argument(help="File to write; it must not exist. Unless given: print.")] = None,
) -> None:
    """Give out all that is kept about a user, as JSON."""
    _run(personal.export_person(Settings(), email, file))


@cli.command("erase-person")
def erase_person(
    email: Annotated[str, typer.Argument(help="The user's e-mail address.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a user for good. What they did stays in the logs, under an id that is nobody's from then on."""
    if not yes:
        typer.confirm(f"Erase {email} for good?", abort=True)
    typer.echo(f"Erased: {_run(personal.erase_person(Settings(), email))}.")


@cli.command()
def backup(file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")]) -> None:
    """Write the whole database into one file (pg_dump's custom format). Safe while the service runs."""
    if file.exists():
        raise operate.Refused(f"{file} exists already")
    typer.echo(f"{file}: {_run(operate.backup(Settings(), file)):,} bytes.")


@cli.command()
def restore(file: Annotated[Path, typer.Argument(help="A file that `tenantry backup` wrote.")]) -> None:
    """Put a backup in the place of the database. Stop the server first.

    The embedded database that was there is kept under another name. A server's database must be empty.
    """
    if not file.is_file():
        raise operate.Refused(f"{file} is not a file")
    kept = _run(operate.restore(Settings(), file))
    typer.echo("Restored." + (f" What was there before is kept as database {kept}." if kept else ""))


if __name__ == "__main__":
    main()
