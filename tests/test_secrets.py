"""Secrets stay where they belong: no log line, error, event, outbox row, stored answer or figure holds one."""

import asyncio
import io
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import structlog
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from httpx import AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app import logs
from app.config import Settings
from app.models import PLATFORM, Delivery
from app.policy import Role
from app.post import Smtp
from app.worker import Worker
from tests.conftest import PASSWORD, Server, World, problem, running, token_of
from tests.test_totp import code_at, with_second_factor

TABLES = ("events", "deliveries", "stored_answers")
KEPT_PLAIN = ("users", "sessions", "refresh_tokens", "password_resets", "invitations", "recovery_codes", "throttles")
SMTP_PASSWORD = "CANARY-smtp-9f3e1c"
MET = {
    "wrong_credentials", "one_time_code_required", "unauthenticated", "invalid", "refresh_token_invalid", "refresh_raced",
    "not_found", "invitation_used", "invitation_replaced", "reset_used", "internal_error",
}  # fmt: skip
SENT = "eva@example.com"


@contextmanager
def captured(settings: Settings) -> Generator[io.StringIO]:
    """All log lines, as this process would write them to standard error."""
    root, saved, lines = logging.getLogger(), logging.getLogger().handlers, io.StringIO()
    level, configured = root.level, structlog.get_config()
    logs.configure(settings)
    peers = [logging.getLogger(name) for name in ("httpx", "httpcore", "mail.log")]  # the test's own client and server
    for peer in peers:
        peer.disabled = True
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(lines)
    try:
        yield lines
    finally:
        root.handlers = saved
        for peer in peers:
            peer.disabled = False
        root.setLevel(level)
        structlog.configure(**configured)


@dataclass
class Spy:
    """Uses the API with secrets in its hands, and remembers both the secrets and the refusals."""

    world: World
    api: AsyncClient
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    refusals: list[str] = field(default_factory=list[str])
    codes: set[str] = field(default_factory=set[str])

    def keep(self, **secrets: str) -> None:
        for name, secret in secrets.items():
            assert len(secret) >= 6, name
            self.secrets[f"{name} {len(self.secrets)}"] = secret

    def password(self) -> str:
        """A fresh password that occurs nowhere else."""
        made = f"CANARY {uuid.uuid4().hex} ä"
        self.keep(password=made)
        return made

    async def post(self, path: str, body: Any, token: str | None = None, **headers: str) -> Any:
        given = headers | ({"Authorization": f"Bearer {token}"} if token else {})
        answer = await self.api.post(f"/v1/{path}", json=body, headers=given)
        if answer.status_code >= 400:
            self.codes.add(problem(answer)[1])
            self.refusals.append(answer.text + repr(answer.headers))
        return answer

    async def log_in(self, email: str, password: str, **more: str) -> dict[str, Any]:
        answer = await self.post("sessions", {"email": email, "password": password} | more)
        assert answer.status_code == 201, answer.text
        tokens = answer.json()
        self.keep(access_token=tokens["access_token"], refresh_token=tokens["refresh_token"])
        return tokens


async def registration(spy: Spy) -> tuple[str, str]:
    """An invited user registers; the link is refused in every way, too."""
    partner = await spy.world.partner(Olga=Role.PARTNER_ADMIN)
    olga = (await spy.log_in("olga@example.com", PASSWORD))["access_token"]
    here, new = f"partners/{partner.id}/invitations", {"email": SENT, "role": "partner_admin"}
    made = await spy.post(here, new, olga, **{"Idempotency-Key": "one"})
    assert made.status_code == 201, made.text
    first = token_of((await spy.world.mails())[0])
    await spy.post(f"{here}/{made.json()['id']}/resend", None, olga, **{"Idempotency-Key": "two"})
    second = token_of((await spy.world.mails())[0])
    spy.keep(invitation=first, invitation_again=second)
    password = spy.password()
    register = {"token": second, "name": "Eva", "password": password}
    for wrong in ({"token": first}, {"token": second[:-1]}, {"password": password * 9}, {"password": [password]},
                  {"token": [second]}, {"secret": second}, {"name": None}, {"name": second * 3}, {"name": "\0" + password}):  # fmt: skip
        assert (await spy.post("registrations", register | wrong)).status_code >= 400
    await spy.post("invitations/preview", {"token": second})
    assert (await spy.post("registrations", register)).status_code == 201
    assert (await spy.post("registrations", register)).status_code == 410
    return SENT, password


async def log_ins(spy: Spy, email: str, password: str) -> str:
    """Logging in, renewing and using tokens, rightly and wrongly."""
    for body in ({"email": email, "password": spy.password()}, {"email": spy.password(), "password": password},
                 {"email": email, "password": [password]}, {"email": [password], "password": 7}):  # fmt: skip
        assert (await spy.post("sessions", body)).status_code in (401, 422)
    tokens = await spy.log_in(email, password)
    renewed = (await spy.post("sessions/refresh", {"refresh_token": tokens["refresh_token"]})).json()
    spy.keep(access_token=renewed["access_token"], refresh_token=renewed["refresh_token"])
    for wrong in (
        tokens["refresh_token"],
        renewed["refresh_token"] + "x",
        renewed["access_token"],
        [renewed["refresh_token"]],
    ):
        assert (await spy.post("sessions/refresh", {"refresh_token": wrong})).status_code >= 400
    assert (await spy.post("me/totp", {}, renewed["access_token"] + "x")).status_code == 401
    raw = await spy.api.post(
        "/v1/sessions", content=f'{{"password": "{password}", "email"', headers={"Content-Type": "application/json"}
    )
    assert problem(raw) == (400, "malformed_request")
    spy.refusals.append(raw.text)
    return renewed["access_token"]


async def second_factor(spy: Spy, email: str, password: str, token: str) -> str:
    """Switched on, used, refused, renewed and off again."""
    secret = (await spy.post("me/totp", {"password": password}, token)).json()["secret"]
    spy.keep(totp_secret=secret)
    assert (await spy.post("me/totp/confirm", {"code": secret}, token)).status_code == 422
    codes = (await spy.post("me/totp/confirm", {"code": code_at(secret)}, token)).json()["recovery_codes"]
    new = (await spy.post("me/totp/recovery-codes", {"password": password}, token)).json()["recovery_codes"]
    for code in (*codes, *new):
        spy.keep(recovery_code=code, recovery_code_typed=code.replace("-", ""))
    assert (
        await spy.post("sessions", {"email": email, "password": password, "one_time_code": codes[0]})
    ).status_code == 401
    assert (await spy.post("sessions", {"email": email, "password": password})).status_code == 401
    tokens = await spy.log_in(email, password, one_time_code=new[0])
    assert (await spy.post("me/totp/disable", {"password": spy.password()}, tokens["access_token"])).status_code == 422
    assert (await spy.post("me/totp/disable", {"password": password}, tokens["access_token"])).status_code == 204
    _, secret, codes = await with_second_factor(spy.world)  # of somebody who keeps it on
    spy.keep(totp_secret=secret)
    for code in codes:
        spy.keep(recovery_code=code, recovery_code_typed=code.replace("-", ""))
    return tokens["access_token"]


async def new_passwords(spy: Spy, email: str, password: str, token: str) -> str:
    """Changed, and forgotten."""
    chosen, forgotten = spy.password(), spy.password()
    for body in (
        {"current_password": spy.password(), "password": chosen},
        {"current_password": password, "password": chosen * 9},
    ):
        assert (await spy.post("me/password", body, token)).status_code == 422
    assert (await spy.post("me/password", {"current_password": password, "password": chosen}, token)).status_code == 204
    assert (await spy.post("password-resets", {"email": email})).status_code == 202
    reset = next(token_of(m) for m in await spy.world.mails() if "reset-password#" in m.as_string())
    spy.keep(reset=reset, reset_part=reset.partition("_")[2])
    for body in ({"token": reset, "password": "password1234"}, {"token": reset + "x", "password": forgotten},
                 {"token": forgotten, "password": reset}, {"token": reset}):  # fmt: skip
        assert (await spy.post("password-resets/confirm", body)).status_code >= 400
    assert (await spy.post("password-resets/confirm", {"token": reset, "password": forgotten})).status_code == 204
    assert (await spy.post("password-resets/confirm", {"token": reset, "password": forgotten})).status_code == 410
    return forgotten


async def strange_places(spy: Spy, password: str, token: str) -> None:
    """Secrets where nobody expects them: in paths, queries, headers and methods. The path alone is logged."""
    for target in (f"/v1/me?access_token={token}", f"/v1/me?password={password}", f"/v1/partners/{PLATFORM}?q={token}"):
        answer = await spy.api.get(target, headers={"Authorization": f"Basic {token}", "Cookie": f"t={token}", "User-Agent": token,
                                                    "X-Request-Id": f"{token}!", "traceparent": token,
                                                    "Accept-Language": token, "Idempotency-Key": token})  # fmt: skip
        assert problem(answer) == (422, "invalid")
        spy.refusals.append(answer.text + repr(answer.headers))
    method = "CANARY" + uuid.uuid4().hex.upper()
    spy.keep(method=method)
    await spy.api.request(method, "/v1/me")


async def breakdowns(spy: Spy, server: Server, database: str, email: str, password: str) -> None:
    """Real failures inside of the flows: a database that refuses the rows that hold what came of the secrets."""
    tokens = await spy.log_in(email, password)
    broken: dict[str, Callable[[], Awaitable[Any]]] = {
        "users": lambda: spy.post(
            "me/password", {"current_password": password, "password": spy.password()}, tokens["access_token"]
        ),
        "sessions": lambda: spy.post("sessions", {"email": email, "password": password}),
        "refresh_tokens": lambda: spy.post("sessions/refresh", {"refresh_token": tokens["refresh_token"]}),
        "deliveries": lambda: spy.post("password-resets", {"email": email}),
        "throttles": lambda: spy.post("sessions", {"email": email, "password": password}),
    }
    for table, request in broken.items():
        await server.execute(f"ALTER TABLE {table} ADD CONSTRAINT broken CHECK (false) NOT VALID", database=database)
        assert problem(await request()) == (500, "internal_error"), table
        await server.execute(f"ALTER TABLE {table} DROP CONSTRAINT broken", database=database)
        assert (await request()).status_code < 300, table
        if table == "users":
            password = [s for n, s in spy.secrets.items() if n.startswith("password")][-1]


async def mail_server_that_refuses(spy: Spy) -> None:
    """A mail server that knows nobody by the name and password of our settings."""
    asked: list[bytes] = []

    def refuse(_server: object, _session: object, _envelope: object, _mechanism: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        asked.append(data.password)
        return AuthResult(success=False, handled=False)

    def listen() -> SMTP:
        return SMTP(object(), hostname="mail.test", authenticator=refuse, auth_require_tls=False, auth_required=True)

    listening = await asyncio.get_running_loop().create_server(listen, "127.0.0.1", 0)
    smtp = Smtp(f"smtp://tenantry:{SMTP_PASSWORD}@127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    async with spy.world.transaction(PLATFORM) as db:
        db.add(
            Delivery(
                partner_id=PLATFORM,
                template="password_changed",
                subject_id=(await spy.world.user("Olga")).id,
                values={},
            )
        )
    await Worker(spy.world.begin, spy.world.app.state.keys, spy.world.settings, smtp).mail_all()
    await smtp.close()
    listening.close()
    assert set(asked) == {SMTP_PASSWORD.encode()}
    spy.keep(smtp=SMTP_PASSWORD)


async def rows(settings: Settings, *tables: str) -> str:
    """All rows of some tables as text, read as the owner, past every wall."""
    assert settings.owner_database_url is not None
    engine = create_async_engine(settings.owner_database_url.get_secret_value(), poolclass=NullPool)
    try:
        async with engine.begin() as db:
            found: list[str] = []
            for table in tables:
                await db.execute(text("SET LOCAL row_security = off"))
                await db.execute(text(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"))
                got = list(await db.scalars(text(f"SELECT t::text FROM {table} t")))
                if table == "stored_answers":
                    got += list(await db.scalars(text("SELECT convert_from(body, 'UTF8') FROM stored_answers")))
                assert got, table
                found += got
            await db.rollback()
            return "\n".join(found)
    finally:
        await engine.dispose()


def hidden(secrets: dict[str, str], place: str) -> list[str]:
    """The names of the secrets that a place holds: as they are, escaped, or as the bytes of a column."""
    forms = {n: {s, json.dumps(s)[1:-1], repr(s)[1:-1], s.encode().hex()} for n, s in secrets.items()}
    return [name for name, shapes in forms.items() if any(s in place for s in shapes)]


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
async def test_no_secret_is_ever_told(
    settings: Settings, server: Server, database: str, log_format: Literal["json", "console"]
):
    settings = settings.model_copy(update={"log_format": log_format, "log_level": "debug", "login_free_failures": 100})
    with captured(settings) as lines:
        async with running(settings) as world:
            spy = Spy(world, await world.client())
            email, password = await registration(spy)
            token = await log_ins(spy, email, password)
            token = await second_factor(spy, email, password, token)
            password = await new_passwords(spy, email, password, token)
            await strange_places(spy, password, token)
            await breakdowns(spy, server, database, email, password)
            await mail_server_that_refuses(spy)
            metrics = (await spy.api.get("/metrics")).text
            keys = world.app.state.keys
            spy.keep(
                secret_key=settings.secret_key.get_secret_value() if settings.secret_key else "",
                keys=keys.secret.decode(),
            )
            described = repr(settings) + repr(keys) + repr(world.app.state.tokens)
            told, kept = await rows(settings, *TABLES), await rows(settings, *KEPT_PLAIN)

    assert len(spy.secrets) > 50
    assert spy.codes >= MET
    log = lines.getvalue()
    assert log.count("request failed") == 5
    assert log.count("mail not sent") == log.count("SMTPAuthenticationError") >= 1
    assert "check constraint" in log  # the failures are told, their rows are not
    assert "tenantry_requests_total" in metrics
    assert "argon2id" not in log
    for place, content in {"log": log, "errors": "\n".join(spy.refusals), "metrics": metrics, "events and outbox": told,
                           "tables": kept, "descriptions": described}.items():  # fmt: skip
        assert hidden(spy.secrets, content) == [], place


# --- log lines ---


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_nothing_that_a_client_sends_starts_a_line_of_its_own(
    settings: Settings, log_format: Literal["json", "console"]
):
    settings = settings.model_copy(update={"log_format": log_format})
    breaks = ("%0d%0a", "%0a", "%0d", "%e2%80%a8", "%e2%80%a9", "%c2%85", "%0b", "%0c", "%1b[2J", "%1e")
    with captured(settings) as lines:
        async with running(settings) as world:
            api = await world.client()
            for mark in breaks:
                assert problem(await api.get(f"/v1/x{mark}FORGED level=error")) == (404, "not_found")
                given = {b"x-request-id": b"1\r\nFORGED", b"user-agent": b"x\r\nFORGED", b"traceparent": b"00-\nFORGED"}
                await api.get(f"/v1/me?q={mark}FORGED", headers=given)
    log = lines.getvalue()
    assert log.count("FORGED") == len(breaks)  # the paths; no header and no query is told
    shown = log.rstrip("\n").split("\n")
    assert [line for line in shown if not line.startswith("{" if log_format == "json" else "20")] == []
    assert len(shown) == 2 * len(breaks)
    assert log.isprintable() or not [c for c in log if not c.isprintable() and c != "\n"]
    if log_format == "json":
        assert {json.loads(line)["event"] for line in shown} == {"request"}
