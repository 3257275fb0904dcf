"""Mail as it leaves: a real SMTP server receives what the outbox holds, and refuses what it likes."""

import asyncio
import email.policy
import os
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from httpx import AsyncClient
from pydantic import SecretStr
from sqlalchemy import select, update

from app.config import Settings
from app.models import Delivery, Invitation, Partner, utc_now
from app.parts import transport_of
from app.policy import Role
from app.worker import Worker
from tests.conftest import ROOT, World, link_of, problem, running, text_of, token_of
from tests.forks import Fork, fork

SENDER = "Sensorhaus Portal <portal@sensorhaus.example.com>"
SMTP_PASSWORD = "p@ss:w/rd-canary"


# --- a mail server ---


@dataclass
class Received:
    """One mail that the server said yes to."""

    sender: str
    recipients: list[str]
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def id(self) -> str:
        return str(self.message["Message-ID"])


@dataclass
class Post:
    """A real SMTP server on a port of its own; each `refuse…` may answer otherwise than yes."""

    port: int = 0
    mails: list[Received] = field(default_factory=list[Received])
    asked: list[str] = field(default_factory=list[str])
    refuse: Callable[[str], str | None] = lambda _: None
    refuse_data: Callable[[str], str | None] = lambda _: None
    refuse_sender: str | None = None
    refuse_client: str | None = None
    before_yes: Callable[[], Awaitable[None]] | None = None
    seconds: float = 0
    logins: list[tuple[str, str, bool]] = field(default_factory=list[tuple[str, str, bool]])

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_MAIL(self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _o: list[str]) -> str:  # noqa: N802
        if self.refuse_sender is None:
            envelope.mail_from = address
        return self.refuse_sender or "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd calls it so
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.asked.append(address)
        refusal = self.refuse(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.seconds)
        recipients = [str(r) for r in envelope.rcpt_tos]
        refusal = self.refuse_data(recipients[0])
        if refusal is None:
            assert isinstance(envelope.content, bytes)
            self.mails.append(Received(str(envelope.mail_from), recipients, envelope.content))
            if self.before_yes is not None:
                await self.before_yes()
        return refusal or "250 OK"

    def authenticate(self, _server: Any, session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        found = (given.login.decode(), given.password.decode())
        self.logins.append((*found, session.ssl is not None))
        return AuthResult(success=found == ("portal@x", SMTP_PASSWORD), handled=False)


class Smtpd(SMTP):
    """aiosmtpd's, which may also refuse whoever connects."""

    async def push(self, status: Any) -> None:
        refusal = self.event_handler.refuse_client
        await super().push(refusal if refusal and str(status).startswith("220 ") else status)


@asynccontextmanager
async def mail_server(*, port: int = 0, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncGenerator[Post]:
    post = Post()

    def protocol() -> SMTP:
        return Smtpd(post, hostname="mail.test", tls_context=tls, authenticator=post.authenticate, **options)

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
        await server.wait_closed()


# --- the world with this server ---


@pytest.fixture
async def post() -> AsyncGenerator[Post]:
    async with mail_server() as post:
        yield post


def posting(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"smtp_url": SecretStr(url), "mail_from": SENDER})


@pytest.fixture
async def there(settings: Settings, post: Post) -> AsyncGenerator[World]:
    """A world whose mails go to `post`."""
    async with running(posting(settings, post.url)) as world:
        yield world


async def deliver(world: World) -> int:
    """What a worker does in one turn, with the transport that the settings ask for."""
    transport = transport_of(world.settings)
    try:
        return await Worker(world.begin, world.app.state.keys, world.settings, transport).mail_all()
    finally:
        await transport.close()


async def invite(client: AsyncClient, place: str, address: str = "eva@example.com", role: str | None = None) -> str:
    """The address of a new invitation into a partner or an account."""
    fitting = role or ("account_viewer" if "/accounts/" in place else "partner_viewer")
    made = await client.post(f"{place}/invitations", json={"email": address, "role": fitting})
    assert made.status_code == 201, made.text
    return made.headers["location"]


async def anna_of(world: World, name: str = "Acme", language: str = "en") -> tuple[AsyncClient, Partner, str]:
    partner = await world.partner(name, language=language, Anna=Role.PARTNER_ADMIN)
    return await world.client("Anna"), partner, f"/v1/partners/{partner.id}"


async def delivery(world: World, partner: Partner) -> Delivery:
    """The only one of the partner."""
    async with world.transaction(partner.id) as db:
        return (await db.scalars(select(Delivery))).one()


async def make_due(world: World, partner: Partner) -> None:
    """Let the wait be over."""
    async with world.transaction(partner.id) as db:
        await db.execute(update(Delivery).values(due_at=utc_now() - timedelta(seconds=1)))


# --- what a mail is ---

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
           "Content-Language"]  # fmt: skip


async def test_invitation_is_one_mail_in_text_and_html_with_these_headers(there: World, post: Post):
    anna, partner, here = await anna_of(there)
    await invite(anna, here, "Eva.Nord@Example.com")
    assert await deliver(there) == 1
    (mail,) = post.mails
    row, message = await delivery(there, partner), mail.message
    assert sorted(message.keys()) == sorted(HEADERS)
    assert (mail.sender, mail.recipients) == ("portal@sensorhaus.example.com", ["eva.nord@example.com"])
    assert (message["From"], message["To"]) == (SENDER, "eva.nord@example.com")
    assert message["Subject"] == "You are invited to join Acme"
    assert message["Message-ID"] == f"<{row.id}@sensorhaus.example.com>"
    assert (message["Auto-Submitted"], message["Content-Language"]) == ("auto-generated", "en")
    assert abs(parsedate_to_datetime(message["Date"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert message.get_content_type() == "multipart/alternative"
    kinds = [part.get_content_type() for part in message.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    html = message.get_body(("html",))
    assert html is not None
    for content in (text_of(message), str(html.get_content())):
        assert link_of(message) in content
        assert "Anna" in content
        assert "Acme" in content
    assert max(len(line) for line in mail.raw.split(b"\r\n")) <= 998
    assert mail.raw.isascii()
    assert (row.outcome, row.attempts) == ("sent", 0)
    shown = (await anna.get(f"{here}/invitations")).json()["items"][0]
    assert shown["mail_status"] == "sent"
    preview = await (await there.client()).post("/v1/invitations/preview", json={"token": token_of(message)})
    assert preview.json()["email"] == "Eva.Nord@example.com"


@pytest.mark.parametrize(
    ("partner_language", "user_language", "subject"),
    [
        ("de", None, "Einladung zu Nordwerk"),
        ("en", None, "You are invited to join Nordwerk"),
        ("de", "en", "You are invited to join Nordwerk"),
        ("en", "de", "Einladung zu Nordwerk"),
    ],
)
async def test_mail_speaks_the_language_of_the_invited_user_else_of_the_partner(
    there: World, post: Post, partner_language: str, user_language: str | None, subject: str
):
    anna, partner, _ = await anna_of(there, language=partner_language)
    account = await there.account(partner, "Nordwerk", by="Anna")
    if user_language:
        await there.user("Eva", language=user_language)
    await invite(anna, f"/v1/partners/{partner.id}/accounts/{account.id}")
    await deliver(there)
    message = post.mails[0].message
    assert message["Subject"] == subject
    assert message["Content-Language"] == (user_language or partner_language)
    german = subject.startswith("Einladung")
    assert ("Guten Tag" in text_of(message)) == german
    html = message.get_body(("html",))
    assert html is not None
    assert f'<html lang="{"de" if german else "en"}">' in html.get_content()
    assert ("melden Sie sich an" in text_of(message) or "log in" in text_of(message)) == bool(user_language)


# --- names that would be headers (T17) ---

NAMES = [
    "=?utf-8?q?x=0D=0ABcc:_evil=40example.com?=",
    "=?utf-8?b?eA0KQmNjOiBldmlsQGV4YW1wbGUuY29t?=",
    "=?utf-8?q?x=0ABcc:_evil=40example.com=0A=0Abody?= GmbH",
    "Nord =?utf-8?q?=00?= werk",
    "Bcc: evil@example.com",
    'Nord" <evil@example.com>, "x',
    "ü" * 120,
    "x" * 120,
    "🦊" * 120,
    "Zeile %0D%0ABcc: evil@example.com \\r\\nBcc: x",
    "{{ 7 * 7 }}{% raw %}",
]


async def test_no_name_adds_a_header_or_a_recipient(there: World, post: Post):
    await there.user("Anna")
    operator, anna = await there.client("Olivia", operator=True), await there.client("Anna")
    for name in NAMES:
        post.mails.clear()
        assert (await anna.patch("/v1/me", json={"name": name}, headers={"If-Match": "*"})).status_code == 200
        partner = await there.partner("P", Anna=Role.PARTNER_ADMIN)
        here = f"/v1/partners/{partner.id}"
        renamed = await operator.patch(here, json={"name": name}, headers={"If-Match": "*"})
        assert renamed.status_code == 200, renamed.text
        account = await anna.post(f"{here}/accounts", json={"name": name})
        assert account.status_code == 201, account.text
        await invite(anna, here)
        await invite(anna, account.headers["location"])
        assert await deliver(there) == 2
        for mail in post.mails:
            assert mail.recipients == ["eva@example.com"], name
            head = mail.raw.replace(b"\r\n ", b" ").split(b"\r\n\r\n")[0].decode()
            assert sorted(line.partition(":")[0] for line in head.split("\r\n")) == sorted(HEADERS), name
            assert mail.message["Subject"] == f"You are invited to join {name}".replace("=?", "= ?"), name
            assert name in text_of(mail.message)
    assert set(post.asked) == {"eva@example.com"}


async def test_names_with_line_breaks_or_control_characters_are_refused_everywhere(world: World):
    anna, _, here = await anna_of(world)
    operator = await world.client("Olivia", operator=True)
    account = await anna.post(f"{here}/accounts", json={"name": "A"})
    for bad in (
        "\r\nBcc: evil@example.com",
        "\n",
        "\r",
        "\u2028",
        "\u2029",
        "\x0b",
        "\x85",
        "\x1b[31m",
        "\u202e",
        "\u200b",
    ):
        name = f"Nord{bad}werk"
        for client, method, address in [
            (anna, "POST", f"{here}/accounts"), (anna, "PATCH", account.headers["location"]),
            (operator, "PATCH", here), (operator, "POST", "/v1/partners"), (anna, "PATCH", "/v1/me"),
        ]:  # fmt: skip
            answer = await client.request(method, address, json={"name": name}, headers={"If-Match": "*"})
            assert problem(answer) == (422, "invalid"), (bad, address)
            assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("/name", "unprintable")]
    assert (await anna.get(account.headers["location"])).json()["name"] == "A"


async def test_address_that_would_be_read_as_another_is_refused(there: World, post: Post):
    anna, _, here = await anna_of(there)
    for address in ("=?utf-8?q?anna?=@example.com", "=?utf-8?q?a=2Cevil=40evil.com?=@example.com", "a@b@example.com",
                    "a.=?utf-8?q?b?=@example.com", "a@example.com, evil@example.com", "a@example.com\r\nBcc: b@example.com",
                    '"a b"@example.com', "<a@example.com>", "A <a@example.com>", "a@[127.0.0.1]", "ä@example.com",
                    "a\u2028@example.com", "a\u200b@example.com", "\uff41@example.com"):  # fmt: skip
        answer = await anna.post(f"{here}/invitations", json={"email": address, "role": "partner_viewer"})
        assert problem(answer) == (422, "invalid"), address
    assert await deliver(there) == 0
    assert post.asked == []


async def test_internationalised_domain_goes_out_in_ascii(there: World, post: Post):
    anna, _, here = await anna_of(there)
    await invite(anna, here, "eva@müller.example.com")
    await deliver(there)
    assert post.mails[0].recipients == ["eva@xn--mller-kva.example.com"]
    assert (await anna.get(f"{here}/invitations")).json()["items"][0]["email"] == "eva@müller.example.com"


async def test_names_are_escaped_in_html(there: World, post: Post):
    evil = "<img src=x onerror=alert(1)>&\"'"
    await there.user("Anna")
    anna = await there.client("Anna")
    await anna.patch("/v1/me", json={"name": evil}, headers={"If-Match": "*"})
    partner = await there.partner(evil, Anna=Role.PARTNER_ADMIN)
    account = await there.account(partner, evil, by="Anna")
    await invite(anna, f"/v1/partners/{partner.id}/accounts/{account.id}")
    await deliver(there)
    html = post.mails[0].message.get_body(("html",))
    assert html is not None
    content = str(html.get_content())
    assert "<img" not in content
    assert content.count("&lt;img src=x onerror=alert(1)&gt;&amp;&#34;&#39;") >= 3
    assert evil in text_of(post.mails[0].message)


# --- refusals ---


@pytest.mark.parametrize("stage", ["recipient", "data"])
async def test_mail_that_the_server_refuses_for_good_has_failed_at_once(there: World, post: Post, stage: str):
    anna, partner, here = await anna_of(there)
    invitation = await invite(anna, here)
    if stage == "recipient":
        post.refuse = lambda _: "550 5.1.1 no such mailbox"
    else:
        post.refuse_data = lambda _: "554 5.7.1 spam"
    await deliver(there)
    row = await delivery(there, partner)
    assert (row.outcome, row.attempts, row.done_at is not None) == ("failed", 0, True)
    assert row.last_error == ("refused: 550" if stage == "recipient" else "refused: 554")
    shown = (await anna.get(invitation)).json()
    assert (shown["status"], shown["mail_status"]) == ("pending", "failed")
    event = (await there.events(partner.id))[-1]
    assert (event.type, event.actor, event.actor_id) == ("invitation.mail_failed", "system", None)
    assert str(event.subject_id) == shown["id"]
    assert await deliver(there) == 0  # and is not tried again

    post.refuse = post.refuse_data = lambda _: None
    assert (await anna.post(f"{invitation}/resend")).status_code == 200
    await deliver(there)
    assert len(post.mails) == 1
    assert (await anna.get(invitation)).json()["mail_status"] == "sent"


@pytest.mark.parametrize("stage", ["greeting", "sender", "recipient", "data", "connection"])
async def test_mail_that_cannot_go_out_now_is_tried_again_under_the_same_message_id(settings: Settings, stage: str):
    """A refused greeting or sender is no fault of this mail, but of our set-up: even "for good" (5xx) is not for good."""
    async with mail_server() as post:
        port = post.port
        match stage:
            case "greeting":
                post.refuse_client = "554 5.3.2 no service for you"
            case "sender":
                post.refuse_sender = "550 5.7.1 you may not send as this"
            case "recipient":
                post.refuse = lambda _: "451 4.3.0 later"
            case _:
                post.refuse_data = lambda _: "451 4.3.0 later"
        if stage != "connection":
            await refused_then_sent(settings, port, post)
    if stage == "connection":
        await refused_then_sent(settings, port, None)


async def refused_then_sent(settings: Settings, port: int, post: Post | None) -> None:
    async with running(posting(settings, f"smtp://127.0.0.1:{port}")) as world:
        anna, partner, here = await anna_of(world)
        invitation = await invite(anna, here)
        before = utc_now()
        assert await deliver(world) == 1
        row = await delivery(world, partner)
        assert (row.attempts, row.done_at, row.leased_until) == (1, None, None)
        assert row.last_error
        assert timedelta(seconds=4) <= row.due_at - before <= timedelta(seconds=8)
        assert (await anna.get(invitation)).json()["mail_status"] == "queued"
        assert await deliver(world) == 0  # not before its time
        await make_due(world, partner)
        async with mail_server(port=0 if post else port) as again:
            if post:
                post.refuse = post.refuse_data = lambda _: None
                post.refuse_client = post.refuse_sender = None
            await deliver(world)
            (mail,) = (post or again).mails
        assert mail.id == f"<{row.id}@sensorhaus.example.com>"
        assert (await anna.get(invitation)).json()["mail_status"] == "sent"
        types = [e.type for e in await world.events(partner.id)]
        assert "invitation.mail_failed" not in types


async def test_waits_grow_fourfold_and_end_with_the_eighth_try(there: World, post: Post):
    anna, partner, here = await anna_of(there)
    invitation = await invite(anna, here)
    post.refuse = lambda _: "450 4.2.1 mailbox busy"
    for attempt in range(1, 8):
        before = utc_now()
        await deliver(there)
        row = await delivery(there, partner)
        assert (row.attempts, row.done_at) == (attempt, None)
        wait = (row.due_at - before).total_seconds() / (5 * 4 ** (attempt - 1))
        assert 0.8 <= wait <= 1.2 + 2 / 4 ** (attempt - 1)
        await make_due(there, partner)
    assert (await anna.get(invitation)).json()["mail_status"] == "queued"
    await deliver(there)
    row = await delivery(there, partner)
    assert (row.outcome, row.done_at is not None) == ("failed", True)
    assert (await anna.get(invitation)).json()["mail_status"] == "failed"
    assert [e.type for e in await there.events(partner.id)].count("invitation.mail_failed") == 1
    assert (len(post.asked), post.mails) == (8, [])


async def test_one_bad_address_does_not_hold_up_the_others(there: World, post: Post):
    anna, _, here = await anna_of(there)
    post.refuse = lambda address: "550 no" if address.startswith("bad") else "451 later" if "slow" in address else None
    for name in ("bad1", "eva", "slow", "bad2", "max"):
        await invite(anna, here, f"{name}@example.com")
    await deliver(there)
    assert sorted(r for mail in post.mails for r in mail.recipients) == ["eva@example.com", "max@example.com"]
    found = (await anna.get(f"{here}/invitations")).json()["items"]
    assert Counter(i["mail_status"] for i in found) == {"failed": 2, "sent": 2, "queued": 1}


async def test_what_was_revoked_replaced_expired_or_accepted_is_not_sent(there: World, post: Post):
    anna, partner, here = await anna_of(there)
    revoked = await invite(anna, here, "revoked@example.com")
    await anna.delete(revoked, headers={"If-Match": "*"})
    replaced = await invite(anna, here, "replaced@example.com")
    await anna.post(f"{replaced}/resend")
    expired = await invite(anna, here, "expired@example.com")
    async with there.transaction(partner.id) as db:
        late = update(Invitation).where(Invitation.email == "expired@example.com")
        await db.execute(late.values(expires_at=utc_now() - timedelta(seconds=1)))
    await invite(anna, here, "good@example.com")
    await deliver(there)
    assert sorted(r for mail in post.mails for r in mail.recipients) == ["good@example.com", "replaced@example.com"]
    newest = next(m.message for m in post.mails if m.recipients == ["replaced@example.com"])
    assert str(newest["Subject"]).startswith("Reminder:")
    preview = await (await there.client()).post("/v1/invitations/preview", json={"token": token_of(newest)})
    assert preview.status_code == 200
    for gone in (revoked, expired):
        assert (await anna.get(gone)).json()["mail_status"] == "queued"
    async with there.transaction(partner.id) as db:
        outcomes = Counter(await db.scalars(select(Delivery.outcome)))
    assert outcomes == {"dropped": 3, "sent": 2}


async def test_token_is_kept_nowhere_but_in_the_mail(there: World, post: Post):
    anna, partner, here = await anna_of(there)
    await invite(anna, here)
    await deliver(there)
    token = token_of(post.mails[0].message)
    secret = token.partition("_")[2]  # what follows the prefix; it may hold further underscores
    async with there.transaction(partner.id) as db:
        rows = [*await db.scalars(select(Delivery)), *await db.scalars(select(Invitation))]
    kept = repr([{k: v for k, v in vars(row).items() if not k.startswith("_")} for row in rows])
    kept += repr([(e.details, e.type) for e in await there.events(partner.id)])
    assert len(secret) >= 40
    assert token not in kept
    assert secret not in kept


# --- authentication and encryption ---


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the file with the certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    trusted, private = folder / "trusted.pem", folder / "key.pem"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                          serialization.NoEncryption()))  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted, private)
    return context, trusted


async def test_user_and_password_of_the_address_log_in_over_starttls(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tls, trusted = certificate(tmp_path)
    async with mail_server(tls=tls, auth_required=True) as post:
        url = f"smtp://portal%40x:p%40ss%3Aw%2Frd-canary@127.0.0.1:{post.port}"
        async with running(posting(settings, url)) as world:
            anna, partner, here = await anna_of(world)
            await invite(anna, here)
            await deliver(world)  # whom nobody vouches for gets no password
            row = await delivery(world, partner)
            assert (post.logins, post.mails, row.attempts, row.done_at) == ([], [], 1, None)

            monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
            await make_due(world, partner)
            await deliver(world)
            assert post.logins == [("portal@x", SMTP_PASSWORD, True)]
            assert [mail.recipients for mail in post.mails] == [["eva@example.com"]]


@pytest.mark.slow
async def test_wrong_password_is_tried_again_later_and_never_logged(settings: Settings):
    """In a real worker process, at its most talkative."""
    async with mail_server(auth_require_tls=False) as post:
        url = f"smtp://portal%40x:wr%40ng-canary@127.0.0.1:{post.port}"
        async with running(posting(settings, url)) as world:
            anna, partner, here = await anna_of(world)
            invitation = await invite(anna, here)
            log = settings.data_dir / "worker.log"
            process = start_worker(world.settings, log, TENANTRY_LOG_LEVEL="debug")
            try:
                async with asyncio.timeout(30):
                    while (await delivery(world, partner)).attempts == 0:  # noqa: ASYNC110 - another process works
                        await asyncio.sleep(0.1)
            finally:
                process.terminate()
                process.wait(20)
            assert post.logins[0] == ("portal@x", "wr@ng-canary", False)
            assert (await anna.get(invitation)).json()["mail_status"] == "queued"
            logged = log.read_text()
            assert "mail not sent" in logged
            for secret in ("wr@ng-canary", "wr%40ng-canary", "portal%40x:", settings_secret(settings)):
                assert secret not in logged


def settings_secret(settings: Settings) -> str:
    assert settings.secret_key is not None
    return settings.secret_key.get_secret_value()


def start_worker(settings: Settings, log: Path, **more: str) -> Fork:
    """`tenantry worker` as a process of its own, on the database and the mail server of these settings."""
    secrets = {
        name: getattr(settings, name) for name in ("database_url", "owner_database_url", "smtp_url", "secret_key")
    }
    environment = {
        "PATH": os.environ["PATH"],
        "TENANTRY_DATA_DIR": str(settings.data_dir),
        "TENANTRY_MAIL_FROM": settings.mail_from,
        "TENANTRY_LOG_FORMAT": "json",
        **{f"TENANTRY_{name.upper()}": value.get_secret_value() for name, value in secrets.items()},
        **more,
    }
    log.parent.mkdir(parents=True, exist_ok=True)
    return fork(["worker"], ROOT, environment, output=log)
