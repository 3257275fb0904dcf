"""How names and addresses are written and compared: one normal form for each."""

import re
import sys
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, ValidatedEmail, validate_email


def clean(text: str) -> str:
    """Text on one line, as it is stored: NFC, without space at its ends."""
    return unicodedata.normalize("NFC", text).strip()


def stamp(at: datetime) -> str:
    """A moment in UTC as we write it (RFC 3339), to the millisecond."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


MAX_NAME = 120


def name(text: str) -> str:
    """A name as it is stored.

    Raises:
        ValueError: empty, longer than 120 characters, or not to be shown on one line.
    """
    found = clean(text)
    if not 0 < len(found) <= MAX_NAME or not is_printable(found):
        raise ValueError("a name has 1 to 120 characters that can be shown on one line")
    return found


def holds_address(name: str) -> bool:
    """Whether a name holds a web address: our mails carry names, and must not carry other people's links."""
    return "://" in name or "www." in name.lower()


def is_printable(text: str) -> bool:
    """Whether a name can be shown: no control, format, private or unassigned character, no line break."""
    if text.isascii():
        return text.isprintable()
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for c in text)


def name_key(name: str) -> str:
    """Two names with the same key are the same name: case, width and spacing do not count, accents do."""
    plain = name if name.isascii() else unicodedata.normalize("NFKC", name)
    return " ".join(plain.casefold().split())


def search_key(text: str) -> str:
    """The form in which text is searched and sorted: besides, accents do not count."""
    if text.isascii():
        return " ".join(text.lower().split())
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in apart if not unicodedata.combining(c)).split())


def behind(start: str) -> str:
    """The first text behind all that begin so, in the order of their code points; empty if there is none."""
    kept = start.rstrip(chr(sys.maxunicode))
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)  # surrogates are no characters


def email(address: str) -> str:
    """The address in its normal form (RFC 5321; an internationalised domain as people write it).

    The part before the @ must be ASCII: look-alikes of other scripts could not be told apart, and many
    mail servers refuse them.

    Raises:
        ValueError: it is not an address.
    """
    plain = address.strip()
    return plain if _is_plain(plain) else _validated(plain).normalized


# What most addresses look like, and what the validator leaves as it is: whoever reads thousands notices its time.
_PLAIN = re.compile(
    r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@"
    r"(?!.*--)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?!(?:"
    + "|".join(SPECIAL_USE_DOMAIN_NAMES)
    + r")$)[a-z]{2,63}"
)
MAX_PLAIN = 100


def _is_plain(address: str) -> bool:
    return len(address) <= MAX_PLAIN and _PLAIN.fullmatch(address) is not None and address.index("@") <= 64


def email_key(address: str) -> str:
    """Two addresses with the same key are the same mailbox: case does not count, everything else does.

    Raises:
        ValueError: it is not an address.
    """
    plain = address.strip()
    if _is_plain(plain):
        return plain.lower()
    found = _validated(plain)
    return f"{found.local_part}@{found.ascii_domain}".lower()


def _validated(address: str) -> ValidatedEmail:
    if "=?" in address:  # RFC 2047: in a mail's header it would be read as another address
        raise ValueError("not an e-mail address")
    try:
        return validate_email(address.strip(), check_deliverability=False, allow_smtputf8=False,
                              allow_quoted_local=False, allow_domain_literal=False)  # fmt: skip
    except EmailNotValidError:
        raise ValueError("not an e-mail address") from None


def both(texts: Mapping[str, Any]) -> dict[str, Any]:
    """A text by language, as people are shown it: one language does for both."""
    return {"en": texts.get("en") or texts.get("de"), "de": texts.get("de") or texts.get("en")}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by name or by number."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
