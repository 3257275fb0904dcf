"""What API clients prove themselves with: the form of their secrets, and assertions that they sign."""

import re
import secrets
import zlib
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus
from uuid import UUID

from jose import jwk, jwt
from jose.exceptions import JOSEError

from app import security

# --- secrets ---

KEY_PREFIX: Final = "tnk_"
KEY_PATTERN: Final = r"tnk_[0-9A-Za-z]{71}"
"""What a secret scanner looks for; a hit is a key if its last six characters are the checksum of the others."""
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _CHECK = 65, 6


def new_key(credential_id: UUID) -> str:
    """A secret of 256 random bits that leads to its credential. Letters and digits only: a double click selects it.

    The last six characters are the CRC-32 of the text before, in base 62, as those of GitHub's tokens are.
    """
    body = KEY_PREFIX + _base62(int.from_bytes(credential_id.bytes + secrets.token_bytes(32)), _BODY)
    return body + _checksum(body)


def id_in_key(key: str) -> UUID | None:
    """The credential that a key leads to; None when it is certainly no key of ours."""
    body = key[:-_CHECK]
    if not re.fullmatch(KEY_PATTERN, key) or key[-_CHECK:] != _checksum(body):
        return None
    number = 0
    for digit in body.removeprefix(KEY_PREFIX):
        number = number * 62 + _DIGITS.index(digit)
    return UUID(bytes=number.to_bytes(_BODY)[-48:][:16])


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, width: int) -> str:
    found = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        found = _DIGITS[digit] + found
    return found


# --- assertions of clients (RFC 7523) ---


@dataclass(frozen=True)
class Assertion:
    """What an assertion says of itself: not yet verified."""

    client_id: UUID
    kid: str
    jti: str


MAX_JTI: Final = 256
KID: Final = r"[A-Za-z0-9_-]{1,64}"
ASSERTION_SECONDS: Final = 300
"""An assertion is good for so long at most: so long its `jti` is remembered."""
ASSERTION_CHECKS = {f"require_{claim}": True for claim in ("exp", "iss", "jti", "sub")} | {
    "leeway": 0, "verify_aud": False,  # jose knows one audience only: we look ourselves
}  # fmt: skip


def assertion_of(token: str) -> Assertion:
    """Which client an assertion says it is from, and which of its keys verifies it.

    Raises:
        ValueError: it has not the form of one.
    """
    if len(token) > security.MAX_TOKEN_LENGTH or not security.COMPACT.fullmatch(token):
        raise ValueError("no compact JWS")
    try:
        header, claims = jwt.get_unverified_header(token), jwt.get_unverified_claims(token)
        if not {"alg", "kid"} <= set(header) <= security.HEADER_FIELDS or header["alg"] != security.ALGORITHM:
            raise ValueError("not ES256 with a kid")
        client_id = UUID(claims["sub"])
    except (JOSEError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no assertion") from error
    kid: object = header["kid"]
    jti: object = claims.get("jti")
    if not isinstance(kid, str) or not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI:
        raise ValueError("no kid, or no jti")
    if not re.fullmatch(KID, kid) or not jti.isprintable():  # no column and no hash takes every string of JSON's
        raise ValueError("no key of ours, or a jti of no characters")
    return Assertion(client_id, kid, jti)


def verify_assertion(
    token: str, key: Mapping[str, str], said: Assertion, audiences: Iterable[str], now: datetime
) -> datetime:
    """When a genuine assertion is over.

    Raises:
        ValueError: it is not signed with this key, not from whom it says, not for one of these audiences, or not good
            now.
    """
    try:
        claims = jwt.decode(token, jwk.construct(dict(key), security.ALGORITHM), [security.ALGORITHM], ASSERTION_CHECKS)
        named, expires, issued = claims["aud"], claims["exp"], claims.get("iat", now.timestamp())
        for_us = set(audiences) & ({named} if isinstance(named, str) else set(named))
        if type(expires) not in (int, float) or type(issued) not in (int, float):
            raise ValueError("no moments")
        if not for_us or claims["iss"] != claims["sub"] or UUID(claims["iss"]) != said.client_id:
            raise ValueError("not for us, or not from whom it says")
        if not now.timestamp() < expires <= now.timestamp() + ASSERTION_SECONDS:
            raise ValueError("over, or good for too long")
        return datetime.fromtimestamp(expires, UTC)
    except (JOSEError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("not genuine") from error


def public_key(parts: Mapping[str, str]) -> dict[str, str]:
    """A public key on P-256 (RFC 7517), as it is kept.

    Raises:
        ValueError: it is none.
    """
    try:
        found = jwk.construct({**parts, "kty": "EC", "crv": "P-256"}, security.ALGORITHM).public_key().to_dict()
    except (JOSEError, ValueError, TypeError, KeyError) as error:
        raise ValueError("no point of P-256") from error
    return {name: found[name] for name in ("kty", "crv", "x", "y")}


def basic_of(header: str) -> tuple[str, str] | None:
    """Client id and secret out of an Authorization header (RFC 6749, 2.3.1); None when they are not in there."""
    scheme, _, credentials = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            return None
        name, colon, secret = b64decode(credentials.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (unquote_plus(name), unquote_plus(secret)) if colon else None
