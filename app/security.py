"""Keys, tokens, passwords and one-time codes: the only module that touches cryptography."""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from base64 import b32encode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Protocol, cast
from urllib.parse import quote, urlencode
from uuid import UUID

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from jose import jwk, jwt
from jose.backends.base import Key
from jose.exceptions import JOSEError
from passlib.hash import argon2  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType] - made lazily
from pyotp.hotp import HOTP
from standardwebhooks import Webhook
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from app.problems import Fault, Text, Unauthenticated

ALGORITHM = "ES256"
HEADER_FIELDS = {"alg", "kid", "typ"}
MAX_TOKEN_LENGTH = 4096
COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)  # jose's decoder skips any other character
CHECKS = {f"require_{claim}": True for claim in ("aud", "exp", "iat", "iss", "jti", "sub")} | {"leeway": 0}


# --- keys ---


@dataclass(frozen=True, eq=False)
class Keys:
    """The service's secrets: signing keys by `kid` (the first signs), and one secret for everything symmetric."""

    signing: Mapping[str, Key]
    public: Mapping[str, Key]
    jwks: list[dict[str, str]]
    secret: bytes = field(repr=False)

    @lru_cache(maxsize=100)  # noqa: B019 - a process has one Keys, for as long as it lives
    def derived(self, purpose: str) -> bytes:
        """A key of 256 bits for one purpose only."""
        return hmac.digest(self.secret, purpose.encode(), "sha256")


def load_keys(pems: Iterable[bytes], secret: bytes) -> Keys:
    """Build the key objects once.

    Raises:
        ValueError: a key is not an unencrypted PEM of an EC P-256 private key, or there is none.
    """
    signing: dict[str, Key] = {}
    public: dict[str, Key] = {}
    jwks: list[dict[str, str]] = []
    for pem in pems:
        private = load_pem_private_key(pem, None)
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            raise ValueError("a signing key must be an EC key on P-256")
        shown = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        parts = cast("dict[str, str]", jwk.construct(shown, ALGORITHM).to_dict())
        kid = thumbprint(parts)
        signing[kid], public[kid] = jwk.construct(pem, ALGORITHM), jwk.construct(shown, ALGORITHM)
        jwks.append(parts | {"kid": kid, "use": "sig"})
    if not signing:
        raise ValueError("there is no signing key")
    return Keys(signing, public, jwks, secret)


def thumbprint(parts: Mapping[str, str]) -> str:
    """RFC 7638: the key's own hash is its id."""
    canonical = '{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}'.format(**parts)
    return _b64(hashlib.sha256(canonical.encode()).digest())


def kept_secret(path: Path, make: "bytes | None" = None) -> bytes:
    """The content of a file that only we may read; made on first use, also by several processes at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        fresh.touch(mode=0o600)
        fresh.write_bytes(make if make is not None else secrets.token_urlsafe(48).encode())
        try:
            os.link(fresh, path)  # fails when another process was first: its file counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_bytes()


def new_signing_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


# --- access tokens (RFC 9068, RFC 8725) ---


IDS: Final = ("sub", "sid", "partner_id", "account_id")


class Tokens:
    """Signs and verifies access tokens: ES256, key chosen by our `kid`, every claim required. Signs licence files."""

    def __init__(self, keys: Keys, issuer: str, lifetime: timedelta) -> None:
        self.keys, self.issuer, self.lifetime = keys, issuer, lifetime
        self.account_audience, self.licence_audience = f"{issuer}/accounts", f"{issuer}/licence-files"
        self._verified = lru_cache(4096)(self._decode)

    def issue(self, bearer_id: UUID, session_id: UUID, now: datetime, **more: str | bool) -> str:
        """A token of a session; with `partner_id`, `account_id` and `role`, one that is confined to that account.

        That of an API client, whose id is the bearer's, names it again and its `scope` (RFC 9068).
        """
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": [self.issuer, self.account_audience] if "account_id" in more else [self.issuer],
            "sub": str(bearer_id),
            "sid": str(session_id),
            "jti": secrets.token_urlsafe(12),
            "iat": int(now.timestamp()),
            "exp": int((now + self.lifetime).timestamp()),
        }
        kid, key = next(iter(self.keys.signing.items()))
        return jwt.encode(claims | more, key, ALGORITHM, headers={"kid": kid, "typ": "at+jwt"})

    def licence_file(
        self, file_id: UUID, account_id: UUID, now: datetime, until: datetime, content: Mapping[str, Any]
    ) -> str:
        """What an account may use, for devices that cannot ask. No access token: it has another type and audience."""
        claims = {
            "iss": self.issuer,
            "aud": [self.licence_audience],
            "sub": str(account_id),
            "jti": str(file_id),
            "iat": int(now.timestamp()),
            "exp": int(until.timestamp()),
        }
        kid, key = next(iter(self.keys.signing.items()))
        return jwt.encode({**content, **claims}, key, ALGORITHM, headers={"kid": kid, "typ": "licence+jwt"})

    def verify(self, token: str) -> Mapping[str, Any]:
        """The claims of a token that we signed and that is in force; ids as UUIDs.

        Raises:
            Unauthenticated: for any other string.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise Unauthenticated
        claims = self._verified(token)
        if claims["exp"] <= datetime.now(UTC).timestamp():  # the signature was checked before; time goes on
            raise Unauthenticated
        return claims

    def _decode(self, token: str) -> Mapping[str, Any]:
        if not COMPACT.fullmatch(token):
            raise Unauthenticated
        try:
            header = jwt.get_unverified_header(token)
            if set(header) != HEADER_FIELDS or header["typ"] != "at+jwt":
                raise Unauthenticated
            key = self.keys.public[header["kid"]]
            claims = jwt.decode(token, key, [ALGORITHM], CHECKS, audience=self.issuer, issuer=self.issuer)
            if type(claims["exp"]) is not int or type(claims["iat"]) is not int:  # jose takes "1" for 1
                raise Unauthenticated
            ids = {name: UUID(claims[name]) for name in IDS if name in claims or name in IDS[:2]}
        except (JOSEError, KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
            raise Unauthenticated from None
        return claims | ids


# --- opaque tokens: invitations, resets, refresh tokens ---


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def digest(token: str) -> bytes:
    """What is stored of a token: its SHA-256. (A token has 256 bits of its own, so no slow hash is needed.)"""
    return hashlib.sha256(token.encode()).digest()


def matches(token: str, stored: bytes) -> bool:
    return hmac.compare_digest(digest(token), stored)


def derived_token(keys: Keys, prefix: str, ids: Iterable[UUID], generation: int) -> str:
    """A token of 256 bits that only the holder of the secret can make again.

    So the mail that carries it can be written when it is sent, and no table ever holds it. The ids in
    front lead to its row (and its partner) without a search.
    """
    located = b"".join(i.bytes for i in ids)
    mac = hmac.digest(keys.derived(f"token:{prefix}"), located + generation.to_bytes(4), "sha256")
    return f"{prefix}_{_b64(located + mac)}"


def ids_in(token: str, prefix: str, count: int) -> list[UUID] | None:
    """The ids in front of a derived token; None when it is none of ours."""
    kind, _, body = token.partition("_")
    try:
        raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except ValueError:
        return None
    if kind != prefix or len(raw) != 16 * count + 32 or _b64(raw) != body:
        return None
    return [UUID(bytes=raw[16 * i : 16 * i + 16]) for i in range(count)]


def random_token(prefix: str) -> str:
    return f"{prefix}_{secrets.token_urlsafe(32)}"


# --- passwords ---


class PasswordHash(Protocol):
    """What we use of passlib's hashers."""

    def hash(self, secret: str) -> str: ...

    def verify(self, secret: str, hash: str) -> bool: ...


MEMORY_KIB, PASSES = 19_456, 2  # argon2id as OWASP recommends it
_hasher = cast("PasswordHash", argon2.using(type="ID", memory_cost=MEMORY_KIB, time_cost=PASSES, parallelism=1))
_hashing = ThreadPoolExecutor(os.cpu_count() or 1, "argon2")  # bounds memory and leaves the event loop free
_common = frozenset(FREQUENCY_LISTS["passwords"])
MAX_PASSWORD_LENGTH = 256


def normalised(password: str) -> str:
    """NIST SP 800-63B: one Unicode normalisation, so that every keyboard types the same password."""
    return unicodedata.normalize("NFKC", password)


def password_fault(password: str, *, min_length: int, context: Iterable[str]) -> Fault | None:
    """Why a password is refused, if it is. Length and a block list count; composition rules do not (ASVS 6.2)."""
    plain = normalised(password)
    if len(plain) < min_length:
        return Fault("/password", "password_too_short", Text(f"At least {min_length} characters.",
                                                             f"Mindestens {min_length} Zeichen."))  # fmt: skip
    if len(plain) > MAX_PASSWORD_LENGTH:
        return Fault("/password", "password_too_long", Text(f"At most {MAX_PASSWORD_LENGTH} characters.",
                                                            f"Höchstens {MAX_PASSWORD_LENGTH} Zeichen."))  # fmt: skip
    folded = plain.casefold()
    stem = folded.strip("0123456789!?.,-_ ")
    rest = folded
    for word in sorted((w for w in context if len(w) > 3), key=len, reverse=True):
        rest = rest.replace(word, "")
    steps = sum(abs(ord(a) - ord(b)) < 2 for a, b in pairwise(folded))  # 1234, abcd, aaaa
    too_plain = len(set(folded)) < 5 or steps * 3 > len(folded) * 2 or folded in _common or stem in _common
    if too_plain or (rest != folded and len(rest) < 6):
        return Fault("/password", "password_too_common", Text(
            "Too easy to guess: it is a common password, or little more than your name or address.",
            "Zu leicht zu erraten: ein häufiges Passwort, oder kaum mehr als Ihr Name oder Ihre Adresse."))  # fmt: skip
    return None


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_hashing, _hasher.hash, normalised(password))


@lru_cache(1)
def _nobodys_hash() -> str:
    """A hash of no password. Put together, not computed: the first unknown address takes no longer than the next."""
    salt, output = (b64encode(os.urandom(n)).decode().rstrip("=") for n in (16, 32))
    return f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${salt}${output}"


def _stand_in(plain: str) -> str:
    """Nobody's password is as long: hash something short in its place, which takes as long as any."""
    return plain if len(plain) <= MAX_PASSWORD_LENGTH else "x"


async def verify_password(password: str, stored: str | None) -> bool:
    """Takes equally long whether there is a stored hash or not."""
    loop, plain = asyncio.get_running_loop(), normalised(password)
    right = await loop.run_in_executor(_hashing, lambda: _hasher.verify(_stand_in(plain), stored or _nobodys_hash()))
    return right and stored is not None and plain == _stand_in(plain)


# --- second factor (RFC 6238) ---

RECOVERY_CODES = 10
STEP_SECONDS = 30


def new_totp_secret() -> str:
    return b32encode(secrets.token_bytes(20)).decode()


def totp_uri(secret: str, *, email: str, issuer: str) -> str:
    label, query = quote(f"{issuer}:{email}"), urlencode({"secret": secret, "issuer": issuer})
    return f"otpauth://totp/{label}?{query}"


def totp_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step that `code` belongs to (one step of clock drift either way); None when it is wrong."""
    step = int(now.timestamp()) // STEP_SECONDS
    right = [s for s in (step - 1, step, step + 1)
             if hmac.compare_digest(HOTP(secret).at(s), code.encode("ascii", "replace").decode())]  # fmt: skip
    return right[-1] if right else None


def new_recovery_codes() -> list[str]:
    """Codes of 80 bits each, in groups that can be read aloud."""
    plain = [b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    return ["-".join(p[i : i + 4] for i in range(0, 16, 4)) for p in plain]


def recovery_digest(code: str) -> bytes:
    return digest(code.strip().lower().replace("-", "").replace(" ", ""))


def sealed(keys: Keys, plain: str) -> bytes:
    """Encrypt a secret that must be read again (the TOTP secret), for a column."""
    return _fernet(keys).encrypt(plain.encode())


def opened(keys: Keys, seal: bytes) -> str:
    return _fernet(keys).decrypt(seal).decode()


def _fernet(keys: Keys) -> Fernet:
    return Fernet(urlsafe_b64encode(keys.derived("columns")))


# --- webhooks (Standard Webhooks) ---


def new_webhook_secret() -> str:
    """A secret of 256 bits that a partner's receiver shares with us."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def webhook_headers(secrets: Iterable[str], message_id: UUID, at: datetime, body: str) -> dict[str, str]:
    """What makes a message authentic: a signature by each secret that is in force."""
    signed = " ".join(Webhook(secret).sign(str(message_id), at, body) for secret in secrets)
    return {"webhook-id": str(message_id), "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signed}
