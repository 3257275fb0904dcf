"""Tokens: access tokens (RFC 9068, RFC 8725) that others forge, keys that rotate, links that others guess."""

import hashlib
import hmac
import json
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from httpx import AsyncClient

from app import security
from app.config import Settings
from app.models import Invitation, PasswordReset, RefreshToken, User, utc_now
from app.policy import Role
from tests.conftest import PASSWORD, World, problem, running, token_of

Signer = Callable[[bytes], bytes]
Claims = dict[str, Any]
PATHS = ("/v1/me", f"/v1/partners/{uuid.uuid4()}", "/v1/partners")


def b64(data: bytes | str) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return urlsafe_b64encode(raw).decode().rstrip("=")


def jws(header: Mapping[str, Any], claims: object, sign: Signer) -> str:
    """A token in compact form; a `str` of claims is taken as JSON that is already written."""
    body = claims if isinstance(claims, str) else json.dumps(claims)
    signed = f"{b64(json.dumps(header))}.{b64(body)}"
    return f"{signed}.{b64(sign(signed.encode()))}"


def es256(key: ec.EllipticCurvePrivateKey) -> Signer:
    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign


def hs256(secret: bytes) -> Signer:
    return lambda data: hmac.digest(secret, data, "sha256")


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def thumbprint(key: Mapping[str, str]) -> str:
    """RFC 7638, 3: the required members only, in order, without space."""
    members = json.dumps({m: key[m] for m in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True)
    return b64(hashlib.sha256(members.encode()).digest())


@dataclass
class Mint:
    """Makes tokens with the service's own key: what a forger who got hold of it would still have to get right."""

    key: ec.EllipticCurvePrivateKey
    header: dict[str, Any]
    claims: Claims

    def token(self, header: Mapping[str, Any] | None = None, sign: Signer | None = None, **claims: Any) -> str:
        return jws(self.header | dict(header or {}), self.claims | claims, sign or es256(self.key))

    def without(self, claim: str) -> str:
        return jws(self.header, {k: v for k, v in self.claims.items() if k != claim}, es256(self.key))

    def headed(self, header: Mapping[str, Any], sign: Signer | None = None) -> str:
        return jws(header, self.claims, sign or es256(self.key))


async def mint_of(world: World, token: str) -> Mint:
    header, claims = (json.loads(urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return Mint(private_key((world.settings.data_dir / "keys" / "signing.pem").read_bytes()), header, claims)


def wrong_algorithms(mint: Mint, token: str, jwks: dict[str, Any]) -> Iterator[tuple[str, str]]:
    public = mint.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    raw = mint.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    mine, rsa_key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    for alg in ("none", "None", "nOnE", ""):
        yield f"alg {alg!r}, no signature", mint.token({"alg": alg}, lambda _: b"")
    yield "alg none, an old signature", mint.token({"alg": "none"})
    for name, secret in {"PEM": public, "PEM stripped": public.strip(), "point": raw, "nothing": b"",
                         "JWK": json.dumps(jwks["keys"][0]).encode(), "kid": mint.header["kid"].encode()}.items():  # fmt: skip
        yield f"HS256 with the public {name}", mint.token({"alg": "HS256"}, hs256(secret))
    yield "RS256", mint.token({"alg": "RS256"}, lambda d: rsa_key.sign(d, padding.PKCS1v15(), SHA256()))
    yield "ES384 with our key", mint.token({"alg": "ES384"})
    yield "alg in a list", mint.token({"alg": ["ES256"]})
    yield "alg missing", mint.headed({k: v for k, v in mint.header.items() if k != "alg"})
    yield "another key", mint.token(sign=es256(mine))
    for name, signature in {"zero": bytes(64), "ones": b"\xff" * 64, "empty": b"", "short": bytes(10),
                            "DER": mint.key.sign(b"", ec.ECDSA(SHA256()))}.items():  # fmt: skip
        yield f"{name} signature", mint.token(sign=lambda _, s=signature: s)
    known = jwks["keys"][0] | {"x": b64(mine.private_numbers().public_numbers.x.to_bytes(32)),
                               "y": b64(mine.private_numbers().public_numbers.y.to_bytes(32))}  # fmt: skip
    yield "jwk of another key", mint.token({"jwk": known}, es256(mine))


def wrong_headers(mint: Mint) -> Iterator[tuple[str, str]]:
    for kid in (None, "", 0, ["x"], {"x": 1}, "unknown", "../../../../dev/null", "/etc/passwd", "x' OR '1'='1",
                "x' UNION SELECT 'secret' --", "x\0", mint.header["kid"] + "\n", mint.header["kid"].swapcase()):  # fmt: skip
        yield f"kid {kid!r}", mint.token({"kid": kid})
        yield f"kid {kid!r}, HS256 with an empty key", mint.token({"kid": kid, "alg": "HS256"}, hs256(b""))
    yield "kid missing", mint.headed({k: v for k, v in mint.header.items() if k != "kid"})
    extras: list[dict[str, Any]] = [{"jku": "http://127.0.0.1/jwks.json"}, {"x5u": "http://127.0.0.1/x.pem"}, {"x5c": ["MIIB"]},
                  {"crit": ["exp"]}, {"crit": []}, {"b64": False, "crit": ["b64"]}, {"zip": "DEF"}, {"cty": "JWT"},
                  {"jwk": None}]  # fmt: skip
    for extra in extras:
        yield f"header {extra}", mint.token(extra)
    for typ in ("JWT", "jwt", "refresh+jwt", "at+jwt;", "", None, ["at+jwt"]):
        yield f"typ {typ!r}", mint.token({"typ": typ})
    yield "typ missing", mint.headed({k: v for k, v in mint.header.items() if k != "typ"})


def wrong_claims(mint: Mint, another: User) -> Iterator[tuple[str, str]]:
    now = int(utc_now().timestamp())
    for claim in mint.claims:
        yield f"{claim} missing", mint.without(claim)
        yield f"{claim} null", mint.token(**{claim: None})
    issuer = mint.claims["iss"]
    for iss in ("https://evil.example.com", issuer + "/", issuer.upper(), "", [issuer]):
        yield f"iss {iss!r}", mint.token(iss=iss)
    for aud in ("https://evil.example.com", [f"{issuer}/accounts"], [], "", [[issuer]], {issuer: 1}):
        yield f"aud {aud!r}", mint.token(aud=aud)
    moments: list[Any] = [now - 1, now, 0, -1, str(now + 900), f"{now + 900}.0", now + 900.5, True, [now + 900], {}, ""]
    for exp in moments:
        yield f"exp {exp!r}", mint.token(exp=exp)
    for exp in ("1e400", "Infinity", "NaN", "9" * 5000):
        yield f"exp {exp[:9]}", jws(mint.header, json.dumps(mint.claims | {"exp": 0}).replace('"exp": 0', f'"exp": {exp}'),
                                    es256(mint.key))  # fmt: skip
    for iat in (str(now), "", None, [now], 1.5):
        yield f"iat {iat!r}", mint.token(iat=iat)
    yield "nbf in an hour", mint.token(nbf=now + 3600)
    for text in ("", "1", "' OR 1=1 --", 7, ["x"], mint.claims["sub"] + "0", str(uuid.uuid4())):
        yield f"sub {text!r}", mint.token(sub=text)
        yield f"sid {text!r}", mint.token(sid=text)
    yield "the session of another user", mint.token(sub=str(another.id))
    yield "partner that is no id", mint.token(partner_id="1", account_id=str(uuid.uuid4()))
    yield "account that is no id", mint.token(partner_id=str(uuid.uuid4()), account_id=["x"])
    for body in ("[]", '"x"', "null", "1", "", "{", "[" * 2000, json.dumps(mint.claims)[:-1]):
        yield f"claims {body[:9]}", jws(mint.header, body, es256(mint.key))


def wrong_shapes(mint: Mint, token: str, another: str) -> Iterator[tuple[str, str]]:
    header, claims, signature = token.split(".")
    yield "another's payload", f"{header}.{another.split('.')[1]}.{signature}"
    yield "another's signature", f"{header}.{claims}.{another.split('.')[2]}"
    yield "later exp", f"{header}.{b64(json.dumps(mint.claims | {'exp': mint.claims['exp'] + 1}))}.{signature}"
    yield "one more space in the claims", f"{header}.{b64(json.dumps(mint.claims) + ' ')}.{signature}"
    for cut in (1, 10, 43, 85, 86):
        yield f"the last {cut} characters missing", token[:-cut]
    yield from {
        "no signature": f"{header}.{claims}.", "no claims": f"{header}..{signature}", "no header": f".{claims}.{signature}",
        "two parts": f"{header}.{claims}", "one part": header, "dots": "..", "four parts": f"{token}.{signature}",
        "five parts, like JWE": f"{b64(json.dumps({'alg': 'dir', 'enc': 'A256GCM'}))}..{b64(bytes(12))}.{claims}.{signature}",
        "JWE of a signed token": f"{header}.{b64(token)}.{b64(bytes(12))}.{claims}.{signature}",
        "a token in a token": jws(mint.header, json.dumps(token), es256(mint.key)),
        "padding": f"{token}==", "junk in the signature": f"{header}.{claims}.!{signature}", "plus": f"{header}.{claims}.{signature}+",
        "a blank within": f"{header}.{claims} .{signature}", "quotes": f'"{token}"', "a comma": f"{token},{token}",
        "upper case": token.upper(), "reversed": token[::-1], "a refresh token": "tnr_" + "A" * 43,
        "words": "null", "4,097 characters": token + "A" * (4097 - len(token)), "30,000 characters": "A" * 30_000,
        "many dots": "." * 3000, "deep header": f"{b64('[' * 2500)}.{claims}.{signature}",
        "header is no object": f"{b64('[]')}.{claims}.{signature}", "header is a number": f"{b64('1')}.{claims}.{signature}",
        "umlauts": f"{token}äöü", "full-width": token.replace(".", "．"), "emoji": "🔑.🔑.🔑",
    }.items()  # fmt: skip


async def with_token(api: AsyncClient, path: str, token: str) -> Any:
    return await api.get(path, headers={b"authorization": b"Bearer " + token.encode()})


@pytest.mark.slow
async def test_no_forged_access_token_is_accepted(world: World):
    token, another = await world.token("Anna"), await world.token("Bob")
    mint, api = await mint_of(world, token), await world.client()
    jwks = (await api.get("/.well-known/jwks.json")).json()
    assert (await with_token(api, "/v1/me", token)).status_code == 200
    assert (await with_token(api, "/v1/me", mint.token())).status_code == 200  # so what follows fails for its one fault

    forged = [*wrong_algorithms(mint, token, jwks), *wrong_headers(mint), *wrong_claims(mint, await world.user("Bob")),
              *wrong_shapes(mint, token, another)]  # fmt: skip
    assert len(forged) == len({name for name, _ in forged}) >= 40
    wrong = [
        (name, path, answer.status_code, answer.text)
        for (name, text), path in zip(forged, cycle(PATHS), strict=False)
        if (answer := await with_token(api, path, text)).status_code != 401 or problem(answer)[1] != "unauthenticated"
    ]
    assert wrong == []
    assert (await with_token(api, "/v1/me", token)).status_code == 200


async def test_a_token_of_a_megabyte_is_refused_unread(world: World):
    api = await world.client()
    token = await world.token("Anna")
    assert problem(await with_token(api, "/v1/me", token + "A" * 2**20)) == (431, "headers_too_large")
    assert (await with_token(api, "/v1/me", token)).status_code == 200


@pytest.mark.slow
async def test_an_expired_token_is_refused_also_when_it_was_good_before(world: World):
    user, api = await world.user("Anna"), await world.client()
    mint = await mint_of(world, await world.token("Anna"))
    tokens: security.Tokens = world.app.state.tokens
    sid = uuid.UUID(mint.claims["sid"])
    past = tokens.issue(user.id, sid, utc_now() - timedelta(minutes=world.settings.access_token_minutes))
    assert problem(await with_token(api, "/v1/me", past)) == (401, "unauthenticated")
    short = mint.token(exp=int(utc_now().timestamp()) + 2)
    assert (await with_token(api, "/v1/me", short)).status_code == 200
    moments = 0
    while (answer := await with_token(api, "/v1/me", short)).status_code == 200:
        moments += 1
        assert utc_now().timestamp() < mint.claims["exp"], "never refused"
    assert moments > 0
    assert problem(answer) == (401, "unauthenticated")


async def test_only_a_bearer_token_signs_in(world: World):
    token, api = await world.token("Anna"), await world.client()
    for scheme, status in (("Bearer", 200), ("bearer", 200), ("BEARER", 200), ("Basic", 401), ("DPoP", 401), ("", 401),
                           ("Token", 401), ("Bearer:", 401)):  # fmt: skip
        answer = await api.get("/v1/me", headers={"Authorization": f"{scheme} {token}"})
        assert answer.status_code == status, scheme
        if status == 401:
            assert problem(answer)[1] == "unauthenticated"
            assert answer.headers["www-authenticate"] == "Bearer"
    for path in (f"/v1/me?access_token={token}", f"/v1/me?token={token}"):
        assert problem(await api.get(path)) == (422, "invalid")
    assert problem(await api.get("/v1/me", headers={"Cookie": f"access_token={token}"})) == (401, "unauthenticated")


# --- keys ---


def configured(settings: Settings, *files: Path) -> Settings:
    return settings.model_copy(update={"signing_keys": tuple(str(f) for f in files)})


async def test_keys_rotate_without_a_log_out(settings: Settings, tmp_path: Path):
    old, new = tmp_path / "old.pem", tmp_path / "new.pem"
    old.write_bytes(security.new_signing_key())
    new.write_bytes(security.new_signing_key())
    kids = {f: thumbprint(security.load_keys([f.read_bytes()], b"").jwks[0]) for f in (old, new)}
    async with running(configured(settings, old)) as before:
        token = await before.token("Anna")
        people = before.people
    assert json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))["kid"] == kids[old]

    async with running(configured(settings, new, old)) as during:
        during.people = people
        api = await during.client()
        assert (await with_token(api, "/v1/me", token)).status_code == 200
        fresh = await during.token("Anna")
        assert (await with_token(api, "/v1/me", fresh)).status_code == 200
        assert json.loads(urlsafe_b64decode(fresh.split(".")[0] + "=="))["kid"] == kids[new]
        shown = (await api.get("/.well-known/jwks.json")).json()["keys"]
        assert [key["kid"] for key in shown] == [kids[new], kids[old]]
        assert [key["kid"] for key in shown] == [thumbprint(key) for key in shown]
        assert {frozenset(key) for key in shown} == {frozenset({"kid", "kty", "crv", "x", "y", "alg", "use"})}
        mint = Mint(private_key(old.read_bytes()), {"alg": "ES256", "typ": "at+jwt", "kid": kids[new]},
                    json.loads(urlsafe_b64decode(token.split(".")[1] + "==")))  # fmt: skip
        assert problem(await with_token(api, "/v1/me", mint.token())) == (401, "unauthenticated")
        assert (await with_token(api, "/v1/me", mint.token({"kid": kids[old]}))).status_code == 200

    async with running(configured(settings, new)) as after:
        api = await after.client()
        assert problem(await with_token(api, "/v1/me", token)) == (401, "unauthenticated")
        assert (await with_token(api, "/v1/me", fresh)).status_code == 200


# --- links ---


def variants(token: str) -> list[str]:
    """A token with each part of it changed, one at a time."""
    kind, _, body = token.partition("_")
    raw = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    flipped = [raw[:n] + bytes([raw[n] ^ 1]) + raw[n + 1 :] for n in range(len(raw))]
    return [*(f"{kind}_{b64(f)}" for f in flipped), f"{kind}_{b64(raw[:-1])}", f"{kind}_{b64(raw + bytes(1))}",
            f"{kind}_{body}=", f"{kind}_{body}\n", f"{kind}_!{body}", f"{kind}{body}", body, f"TNX_{body}", f"{kind}_", "ä", "_"]  # fmt: skip


async def test_a_guessed_invitation_or_reset_token_opens_nothing(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna, api = await world.client("Anna"), await world.client()
    here = f"/v1/partners/{partner.id}/invitations"
    await anna.post(here, json={"email": "new@example.com", "role": "partner_viewer"})
    invitation = token_of((await world.mails())[0])
    await api.post("/v1/password-resets", json={"email": "anna@example.com"})
    reset = token_of((await world.mails())[0])
    for token in (invitation, reset):
        assert len(urlsafe_b64decode(token.partition("_")[2] + "==")) >= 16 + 32  # ids, and 256 bits that nobody knows

    new = {"name": "New", "password": "nine purple lanterns"}
    swapped = f"tni_{reset.partition('_')[2]}"
    for guess in (*variants(invitation), reset, swapped, "tnr_" + "A" * 43):
        assert problem(await api.post("/v1/invitations/preview", json={"token": guess})) == (404, "not_found"), guess
        assert problem(await api.post("/v1/registrations", json=new | {"token": guess})) == (404, "not_found"), guess
    for guess in (*variants(reset), invitation, f"tnp_{invitation.partition('_')[2]}"):
        answer = await api.post(
            "/v1/password-resets/confirm", json={"password": "nine purple lanterns", "token": guess}
        )
        assert problem(answer) == (404, "not_found"), guess
    assert [i["status"] for i in (await anna.get(here)).json()["items"]] == ["pending"]
    assert (await api.post("/v1/sessions", json={"email": "anna@example.com", "password": PASSWORD})).status_code == 201
    assert (await api.post("/v1/registrations", json=new | {"token": invitation})).status_code == 201


async def test_of_a_token_only_its_hash_is_stored(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna, api = await world.client("Anna"), await world.client()
    made = (await anna.post(f"/v1/partners/{partner.id}/invitations",
                            json={"email": "new@example.com", "role": "partner_viewer"})).json()  # fmt: skip
    invitation = token_of((await world.mails())[0])
    await api.post("/v1/password-resets", json={"email": "anna@example.com"})
    reset = token_of((await world.mails())[0])
    opened = await api.post("/v1/sessions", json={"email": "anna@example.com", "password": PASSWORD})
    refresh = opened.json()["refresh_token"]
    reset_id = uuid.UUID(bytes=urlsafe_b64decode(reset.partition("_")[2] + "==")[:16])
    async with world.transaction(partner.id) as db:
        stored = (await db.get_one(Invitation, (partner.id, uuid.UUID(made["id"])))).token_hash
        assert stored == hashlib.sha256(invitation.encode()).digest()
        assert (await db.get_one(PasswordReset, reset_id)).token_hash == hashlib.sha256(reset.encode()).digest()
        assert await db.get(RefreshToken, hashlib.sha256(refresh.encode()).digest()) is not None
