"""Mail as bytes, and the two ways it leaves: an SMTP server, or the development mailbox."""

import asyncio
import os
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from app import words

SMTPException = aiosmtplib.SMTPException
SEND_SECONDS = 10
IDLE_SECONDS = 20

_templates = Environment(
    loader=PackageLoader("app", "templates"),
    autoescape=select_autoescape(["html"], default=False),
    undefined=StrictUndefined,
)


class Undeliverable(Exception):
    """The server refused this mail for good; trying again would not help."""


class Transport(Protocol):
    """Takes a mail off our hands, or raises."""

    async def send(self, message: EmailMessage) -> None: ...

    async def close(self) -> None: ...


def compose(template: str, language: str, values: dict[str, Any], *, sender: str, recipient: str, message_id: str,
            at: datetime) -> EmailMessage:  # fmt: skip
    """Text and HTML of a template as one message. The same delivery gives the same Message-ID."""
    text = _templates.get_template(f"mail/{template}.{language}.txt").render(values)
    subject, _, body = text.partition("\n")
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender
    message["To"] = words.email_key(recipient)
    # "=?" begins an encoded word (RFC 2047), which the header would decode: a name could hide a line break in one
    message["Subject"] = " ".join(subject.removeprefix("Subject:").split()).replace("=?", "= ?")
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{message_id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    message.set_content(body.lstrip("\n"))
    message.add_alternative(_templates.get_template(f"mail/{template}.{language}.html").render(values), subtype="html")
    message["Content-Language"] = language  # last: making alternatives moves content headers into the first one
    return message


class Smtp:
    """An SMTP server; the connection is kept while there is something to send."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("SMTP_URL must be smtp://host:port or smtps://host:port")
        self._client = aiosmtplib.SMTP(
            hostname=parts.hostname,
            port=parts.port or (465 if parts.scheme == "smtps" else 587),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            use_tls=parts.scheme == "smtps",
            # When the server offers it; a password travels in clear to this machine only.
            start_tls=True
            if parts.username and not words.is_loopback(parts.hostname) and parts.scheme == "smtp"
            else None,
            tls_context=ssl.create_default_context() if parts.scheme == "smtps" or parts.username else None,
            timeout=SEND_SECONDS,
        )
        self._used = 0.0

    async def send(self, message: EmailMessage) -> None:
        """Raises:
        Undeliverable: the server said no for good (5xx) to this mail or to its recipient. Anything else may be
            tried again: a refused greeting, log-in or sender is a fault of our set-up, and somebody will mend it.
        """
        try:
            await self._connect()
            await self._client.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as refused:
            await self.close()
            if all(r.code >= 500 for r in refused.recipients):
                raise Undeliverable(f"{refused.recipients[0].code}") from None
            raise
        except aiosmtplib.SMTPDataError as refused:
            await self.close()
            if refused.code >= 500:
                raise Undeliverable(f"{refused.code}") from None
            raise
        except BaseException:
            await self.close()
            raise
        self._used = time.monotonic()

    async def _connect(self) -> None:
        if self._client.is_connected and time.monotonic() - self._used > IDLE_SECONDS:
            await self.close()
        if not self._client.is_connected:
            await self._client.connect()

    async def close(self) -> None:
        self._client.close()


@dataclass(frozen=True)
class Kept:
    """A mail in the development mailbox."""

    id: str
    to: str
    subject: str
    date: str
    size: int


class Mailbox:
    """Keeps mails as files, for `/dev/mail`. Development only: they hold links that sign people in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def send(self, message: EmailMessage) -> None:
        await asyncio.to_thread(self._write, message)

    def _write(self, message: EmailMessage) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        mail_id = str(message["Message-ID"]).strip("<>").partition("@")[0]
        fresh = self.folder / f".{mail_id}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.as_bytes())
        fresh.rename(self.folder / f"{mail_id}.eml")

    async def close(self) -> None:
        return None

    def listed(self) -> Sequence[Kept]:
        """Newest first."""
        files = sorted(self.folder.glob("*.eml"), key=lambda f: (f.stat().st_mtime_ns, f.name), reverse=True)[:200]
        return [
            Kept(f.stem, str(m["To"]), str(m["Subject"]), str(m["Date"]), f.stat().st_size)
            for f, m in ((f, _parsed(f)) for f in files)
        ]

    def read(self, mail_id: str) -> EmailMessage | None:
        """The mail of this id, if there is one. The id comes from a request: no path is made of it."""
        found = next((f for f in self.folder.glob("*.eml") if f.stem == mail_id), None)
        return _parsed(found) if found else None


def _parsed(file: Path) -> EmailMessage:
    return message_from_bytes(file.read_bytes(), policy=policy.default)
