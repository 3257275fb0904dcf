"""The second factor: one-time codes of an authenticator app, recovery codes, and how both are kept."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

from httpx import AsyncClient
from pyotp.hotp import HOTP
from sqlalchemy import select, update

from app.models import PLATFORM, RecoveryCode, Throttle, User, utc_now
from tests.conftest import PASSWORD, World, problem, text_of, token_of
from tests.test_sessions import ELSEWHERE, HOME, WRONG, at, is_signed_in, log_in, logged_in

TOTP = "/v1/me/totp"
PROOF = {"password": PASSWORD}


def code_at(secret: str, offset: int = 0) -> str:
    """The code that the app shows now, or so many steps of thirty seconds later."""
    return str(HOTP(secret).at(int(utc_now().timestamp()) // 30 + offset))


def no_code(secret: str) -> str:
    """Six digits that are the code of no step near now."""
    near = {code_at(secret, n) for n in range(-3, 4)}
    return next(f"{n:06}" for n in range(100) if f"{n:06}" not in near)


async def start(api: AsyncClient) -> str:
    answer = await api.post(TOTP, json=PROOF)
    assert answer.status_code == 200, answer.text
    return answer.json()["secret"]


async def forget_step(world: World) -> None:
    """As if the codes used so far were of long ago."""
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(User).values(totp_last_step=0))


async def with_second_factor(world: World) -> tuple[AsyncClient, str, list[str]]:
    """Anna, signed in and with a second factor on: her client, secret and recovery codes."""
    await world.user("Anna")
    anna = await world.client("Anna")
    secret = await start(anna)
    answer = await anna.post(f"{TOTP}/confirm", json={"code": code_at(secret)})
    assert answer.status_code == 200, answer.text
    await forget_step(world)
    return anna, secret, answer.json()["recovery_codes"]


async def state(api: AsyncClient) -> tuple[bool, int]:
    body = (await api.get(TOTP)).json()
    assert (await api.get("/v1/me")).json()["totp_enabled"] is body["enabled"]
    return body["enabled"], body["recovery_codes_left"]


# --- on ---


async def test_it_is_on_once_a_code_is_confirmed(world: World):
    await world.user("Anna")
    api = await world.client()
    here, there = await logged_in(api), await logged_in(api)
    anna = await world.client(token=here["access_token"])
    assert problem(await anna.post(f"{TOTP}/confirm", json={"code": "123456"})) == (409, "second_factor_conflict")
    setup: dict[str, str] = (await anna.post(TOTP, json=PROOF)).json()
    uri = urlsplit(str(setup["uri"]))
    assert (uri.scheme, uri.netloc, parse_qs(uri.query)["secret"]) == ("otpauth", "totp", [setup["secret"]])
    assert len(setup["secret"]) >= 32  # base32 of 160 bits: RFC 4226, 4
    wrong = await anna.post(f"{TOTP}/confirm", json={"code": no_code(setup["secret"])})
    assert problem(wrong) == (422, "invalid")
    assert [(e["pointer"], e["code"]) for e in wrong.json()["errors"]] == [("/code", "wrong_code")]
    assert await state(anna) == (False, 0)
    assert (await log_in(api)).status_code == 201

    confirmed = await anna.post(f"{TOTP}/confirm", json={"code": code_at(setup["secret"])})
    codes = confirmed.json()["recovery_codes"]
    assert len(set(codes)) == 10
    assert {len(c.replace("-", "")) for c in codes} == {16}  # base32 of 80 bits
    assert await state(anna) == (True, 10)
    assert problem(await log_in(api)) == (401, "one_time_code_required")
    assert await is_signed_in(api, here)
    assert not await is_signed_in(api, there)
    for path, body in (("", PROOF), ("/confirm", {"code": code_at(setup["secret"], 1)})):
        assert problem(await anna.post(TOTP + path, json=body)) == (409, "second_factor_conflict"), path
    (mail,) = await world.mails()
    assert (mail["To"], "switched on" in str(mail["Subject"])) == ("anna@example.com", True)
    assert setup["secret"] not in text_of(mail)
    assert [e.type for e in await world.events(PLATFORM)].count("user.totp_enabled") == 1


async def test_a_fresh_secret_replaces_one_that_was_not_confirmed(world: World):
    await world.user("Anna")
    anna = await world.client("Anna")
    first, second = await start(anna), await start(anna)
    assert first != second
    assert problem(await anna.post(f"{TOTP}/confirm", json={"code": code_at(first)})) == (422, "invalid")
    assert (await anna.post(f"{TOTP}/confirm", json={"code": code_at(second)})).status_code == 200


async def test_switching_it_on_or_off_needs_the_password(world: World):
    await world.user("Anna")
    anna = await world.client("Anna")
    for path in ("", "/disable", "/recovery-codes"):
        assert problem(await anna.post(TOTP + path)) == (422, "invalid")
        assert problem(await anna.post(TOTP + path, json={"password": WRONG})) == (422, "invalid")
    assert await state(anna) == (False, 0)
    for path in ("/disable", "/recovery-codes"):
        assert problem(await anna.post(TOTP + path, json=PROOF)) == (409, "second_factor_conflict")


# --- logging in with it ---


async def test_a_code_logs_in_once(world: World):
    _, secret, _ = await with_second_factor(world)
    api = await world.client()
    code = code_at(secret)
    assert (await log_in(api, one_time_code=code)).status_code == 201
    assert problem(await log_in(api, one_time_code=code)) == (401, "wrong_credentials")
    assert problem(await log_in(api, one_time_code=code_at(secret, -1))) == (401, "wrong_credentials")  # an earlier one
    assert (await log_in(api, one_time_code=code_at(secret, 1))).status_code == 201  # the next one


async def test_of_many_uses_of_a_code_at_once_one_logs_in(world: World):
    _, secret, codes = await with_second_factor(world)
    api = await world.client()
    for code in (code_at(secret), codes[0]):
        answers = await asyncio.gather(*(log_in(api, one_time_code=code) for _ in range(6)))
        won = [a for a in answers if a.status_code == 201]
        assert len(won) == 1
        assert {problem(a) for a in answers if a.status_code != 201} == {(401, "wrong_credentials")}


async def test_the_code_that_switched_it_on_does_not_log_in(world: World):
    await world.user("Anna")
    anna, api = await world.client("Anna"), await world.client()
    secret = await start(anna)
    code = code_at(secret)
    assert (await anna.post(f"{TOTP}/confirm", json={"code": code})).status_code == 200
    assert problem(await log_in(api, one_time_code=code)) == (401, "wrong_credentials")


async def test_only_a_code_of_now_logs_in(world: World):
    _, secret, codes = await with_second_factor(world)
    home = await at(world, HOME)
    for code in (no_code(secret), code_at(secret, 3), code_at(secret, -3), "", "0", "1" * 40, secret[:40], PASSWORD,
                 codes[0][:-1], codes[0] + "a", "aaaa-aaaa-aaaa-aaaa", "１２３４５６", "null"):  # fmt: skip
        assert problem(await log_in(home, one_time_code=code)) == (401, "wrong_credentials"), code
        async with world.transaction(PLATFORM) as db:
            await db.execute(update(User).values(totp_last_step=0))
        await forget_failures(world)
    assert problem(await log_in(home, one_time_code="1" * 41)) == (422, "invalid")
    spaced = f" {code_at(secret)[:3]} {code_at(secret)[3:]} "
    assert (await log_in(home, one_time_code=spaced)).status_code == 201


async def forget_failures(world: World) -> None:
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(Throttle).values(failures=0))


async def test_a_wrong_password_says_nothing_about_the_code(world: World):
    _, secret, codes = await with_second_factor(world)
    api = await world.client()
    for code in (code_at(secret), no_code(secret), codes[0]):
        assert problem(await log_in(api, password=WRONG, one_time_code=code)) == (401, "wrong_credentials")
    assert problem(await log_in(api, password=WRONG)) == (401, "wrong_credentials")
    assert (await log_in(api, one_time_code=codes[0])).status_code == 201  # it was not spent


async def test_guessed_codes_are_counted_though_the_password_is_right(world: World):
    anna, secret, codes = await with_second_factor(world)
    home, guesser = await at(world, HOME), await at(world, ELSEWHERE)
    assert (await log_in(home, one_time_code=codes[0])).status_code == 201
    for n in range(world.settings.login_free_failures):
        body: dict[str, Any] = {"one_time_code": no_code(secret)} if n % 2 else {}
        assert problem(await log_in(guesser, **body))[0] == 401  # without a code it counts as well
    assert problem(await log_in(guesser, one_time_code=code_at(secret))) == (429, "too_many_attempts")
    assert (await log_in(home, one_time_code=code_at(secret))).status_code == 201
    assert await state(anna) == (True, 9)


async def test_a_recovery_code_logs_in_once(world: World):
    anna, _, codes = await with_second_factor(world)
    api = await world.client()
    assert (await log_in(api, one_time_code=codes[0])).status_code == 201
    assert problem(await log_in(api, one_time_code=codes[0])) == (401, "wrong_credentials")
    typed = codes[1].upper().replace("-", " ")
    assert (await log_in(api, one_time_code=typed)).status_code == 201
    assert problem(await log_in(api, one_time_code=codes[1])) == (401, "wrong_credentials")
    assert await state(anna) == (True, 8)


async def test_new_recovery_codes_void_the_old_ones(world: World):
    anna, _, old = await with_second_factor(world)
    api = await world.client()
    new = (await anna.post(f"{TOTP}/recovery-codes", json=PROOF)).json()["recovery_codes"]
    assert len(set(new) | set(old)) == 20
    assert problem(await log_in(api, one_time_code=old[0])) == (401, "wrong_credentials")
    assert (await log_in(api, one_time_code=new[0])).status_code == 201
    assert await state(anna) == (True, 9)
    assert [e.type for e in await world.events(PLATFORM)].count("user.recovery_codes_renewed") == 1


async def test_recovery_codes_of_another_user_are_of_no_use(world: World):
    _, _, codes = await with_second_factor(world)
    await world.user("Bob")
    bob, api = await world.client("Bob"), await world.client()
    secret = await start(bob)
    assert (await bob.post(f"{TOTP}/confirm", json={"code": code_at(secret)})).status_code == 200
    assert problem(await log_in(api, "bob@example.com", one_time_code=codes[0])) == (401, "wrong_credentials")
    assert (await log_in(api, one_time_code=codes[0])).status_code == 201


# --- off, and around it ---


async def test_switching_it_off_mails_a_notice(world: World):
    anna, secret, codes = await with_second_factor(world)
    api = await world.client()
    assert problem(await anna.post(f"{TOTP}/disable", json={"password": WRONG})) == (422, "invalid")
    assert problem(await log_in(api)) == (401, "one_time_code_required")
    assert (await anna.post(f"{TOTP}/disable", json=PROOF)).status_code == 204
    assert await state(anna) == (False, 0)
    assert (await log_in(api)).status_code == 201
    assert (await log_in(api, one_time_code=codes[0])).status_code == 201  # not needed, not looked at
    mails = await world.mails()
    assert [m["To"] for m in mails] == ["anna@example.com"] * 2
    assert "switched off" in str(mails[0]["Subject"])
    assert [e.type for e in await world.events(PLATFORM)].count("user.totp_disabled") == 1
    assert await start(anna) != secret


async def test_a_reset_password_leaves_it_on(world: World):
    _, secret, _ = await with_second_factor(world)
    api = await world.client()
    await api.post("/v1/password-resets", json={"email": "anna@example.com"})
    new = {"token": token_of((await world.mails())[0]), "password": "nine purple lanterns"}
    assert (await api.post("/v1/password-resets/confirm", json=new)).status_code == 204
    assert problem(await log_in(api, password=new["password"])) == (401, "one_time_code_required")
    assert (await log_in(api, password=new["password"], one_time_code=code_at(secret))).status_code == 201


async def test_a_short_password_needs_the_second_factor(world: World):
    anna, _, _ = await with_second_factor(world)
    bob = await world.client("Bob")
    short = {"current_password": PASSWORD, "password": "vzkqhrwm"}
    assert len(short["password"]) == world.settings.password_min_length_with_totp
    assert problem(await bob.post("/v1/me/password", json=short)) == (422, "invalid")
    assert problem(await anna.post("/v1/me/password", json=short | {"password": "vzkqhrw"})) == (422, "invalid")
    assert (await anna.post("/v1/me/password", json=short)).status_code == 204
    alone = await anna.post(f"{TOTP}/disable", json={"password": short["password"]})
    assert problem(alone) == (422, "invalid")
    assert [e["code"] for e in alone.json()["errors"]] == ["password_too_short"]
    assert (await state(anna))[0] is True
    long = {"current_password": short["password"], "password": "nine purple lanterns"}
    assert (await anna.post("/v1/me/password", json=long)).status_code == 204
    assert (await anna.post(f"{TOTP}/disable", json={"password": long["password"]})).status_code == 204


async def test_neither_secret_nor_recovery_codes_are_kept_in_plain_text(world: World):
    _, secret, codes = await with_second_factor(world)
    async with world.transaction(PLATFORM) as db:
        kept = await db.scalar(select(User.totp_secret).where(User.email_key == "anna@example.com"))
        hashes = list(await db.scalars(select(RecoveryCode.code_hash)))
    assert kept is not None
    assert secret.encode() not in kept
    assert len(hashes) == 10
    assert {len(h) for h in hashes} == {32}
    plain = [form for c in codes for form in (c, c.replace("-", ""))]
    assert not [form for form in plain for h in hashes if form.encode() in h]
