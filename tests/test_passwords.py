"""Passwords: which ones are taken, how they are kept, changing one's own, and setting a forgotten one by mail."""

import asyncio
import unicodedata
from base64 import urlsafe_b64decode
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import update

from app.config import Settings
from app.models import PLATFORM, PasswordReset, Throttle, User, UserStatus
from app.policy import Role
from tests.conftest import PASSWORD, World, problem, running, token_of
from tests.test_sessions import ELSEWHERE, at, is_signed_in, log_in, logged_in, refresh, shown

NEW = "nine purple lanterns"
RESETS = "/v1/password-resets"


async def invited(world: World, email: str = "new@example.com") -> str:
    """The token of an invitation to somebody new."""
    partner = await world.partner(Olga=Role.PARTNER_ADMIN)
    olga = await world.client("Olga")
    await olga.post(f"/v1/partners/{partner.id}/invitations", json={"email": email, "role": "partner_viewer"})
    return token_of((await world.mails())[0])


async def change(api: AsyncClient, password: str, current: str = PASSWORD) -> Any:
    return await api.post("/v1/me/password", json={"current_password": current, "password": password})


def refusal(answer: Any) -> tuple[str, str]:
    """Where and why a password was refused."""
    assert problem(answer) == (422, "invalid"), answer.text
    (error,) = answer.json()["errors"]
    return error["pointer"], error["code"]


# --- which ones are taken ---

TAKEN = (
    "vzkqhrwmpxtd",  # twelve; lower case alone is fine (no composition rules)
    "83726194650182",
    "VZKQHRWMPXTD",
    "            nine blanks, then words",
    "pass phrase of several words, sixty-four characters and then some!",
    "пароль из нескольких слов",
    "密码由很多不同的汉字组成没问题",
    "🦊🐝🌵🎷🚲🧊🪁🥝🛶🧲🪐🦉",
    "vzkqhrwm" * 32,
)
REFUSED = {
    "password_too_short": ("x", "vzkqhrwmpxt", "🦊🐝🌵🎷🚲🧊🪁🥝🛶🧲🪐", "e\u0301" * 11),
    "password_too_long": ("vzkqhrwm" * 32 + "x", "\ufdfa" * 15),  # one character that is eighteen once normalised
    "password_too_common": (
        "password1234", "PASSWORD1234", "ｐａｓｓｗｏｒｄ１２３４", "iloveyou!!!!!!", "1234567890123", "abcdefghijklmno", "zyxwvutsrqpo!", "qwertyuiop12", "aaaaaaaaaaaa",
        "abababababab", "            ", "football2026!", "Anna.Weber-2026", "annaweberanna", "weberweberweber", "tenantry2026",
        "Tenantry!Weber", "anna.weber@ex", "WEBER  WEBER  ",
    ),
}  # fmt: skip


@pytest.mark.slow
async def test_length_and_a_block_list_count_and_nothing_else(world: World):
    token, api = await invited(world, "anna.weber@example.com"), await world.client()
    register = {"token": token, "name": "Anna Weber"}
    for code, passwords in REFUSED.items():
        for password in passwords:
            answer = await api.post("/v1/registrations", json=register | {"password": password})
            assert refusal(answer) == ("/password", code), password
    assert (await api.post("/v1/registrations", json=register | {"password": TAKEN[-1]})).status_code == 201
    tokens = await logged_in(api, "anna.weber@example.com", TAKEN[-1])
    anna, current = await world.client(token=tokens["access_token"]), TAKEN[-1]
    for code, passwords in REFUSED.items():
        for password in passwords:
            assert refusal(await change(anna, password, current)) == ("/password", code), password
    for password in TAKEN:
        assert len(password) >= world.settings.password_min_length
        assert (await change(anna, password, current)).status_code == 204, password
        assert (await log_in(api, "anna.weber@example.com", password)).status_code == 201, password
        current = password


async def test_every_character_of_a_long_password_counts(world: World):
    await world.user("Anna")
    anna, api = await world.client("Anna"), await world.client()
    long = "".join(chr(0x21 + n * 37 % 90) for n in range(255)) + "ä"  # 256 characters, 257 bytes
    assert (await change(anna, long)).status_code == 204
    for wrong in (long[:-1], long[:72], long[:128], long[:-1] + "a", long[:71] + "~" + long[72:], long + "x", long * 2):
        assert problem(await log_in(api, password=wrong)) == (401, "wrong_credentials"), len(wrong)
    assert (await log_in(api, password=long)).status_code == 201
    too_much = await log_in(api, password="x" * 1025)
    assert problem(too_much) == (422, "invalid")


async def test_every_keyboard_types_the_same_password(world: World):
    token, api = await invited(world), await world.client()
    typed = "Größe Äpfel für Zoë"
    forms = [unicodedata.normalize(form, typed) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    forms.append("".join(chr(ord(c) + 0xFEE0) if "a" <= c <= "z" else c for c in typed))  # full-width letters
    assert len(set(forms)) == 3
    register = {"token": token, "name": "New", "password": forms[1]}
    assert (await api.post("/v1/registrations", json=register)).status_code == 201
    for form in forms:
        assert (await log_in(api, "new@example.com", form)).status_code == 201
    for other in (typed.lower(), typed.replace("ö", "o"), typed.replace("ß", "ss"), typed + " "):
        assert problem(await log_in(api, "new@example.com", other)) == (401, "wrong_credentials")


async def test_what_is_kept_is_argon2id_with_a_salt_of_its_own(world: World):
    anna, bob = await world.user("Anna"), await world.user("Bob")
    for name in ("Anna", "Bob"):
        assert (await change(await world.client(name), NEW)).status_code == 204
    async with world.transaction(PLATFORM) as db:
        kept = [(await db.get_one(User, user.id)).password_hash for user in (anna, bob)]
    for text in kept:
        assert text.startswith("$argon2id$v=19$m=19456,t=2,p=1$")  # OWASP's first choice for 19 MiB
        salt, output = text.split("$")[4:]
        assert len(urlsafe_b64decode(salt + "==")) >= 16
        assert len(urlsafe_b64decode(output + "==")) >= 32
        assert NEW not in text
    assert len(set(kept)) == 2


# --- changing it ---


async def test_a_new_password_ends_all_other_sessions_and_mails_a_notice(world: World):
    user, api = await world.user("Anna", language="de"), await world.client()
    here, there = await logged_in(api), await logged_in(api)
    bobs = await world.client("Bob")
    anna = await world.client(token=here["access_token"])
    assert refusal(await change(anna, NEW, current="not the present one")) == ("/current_password", "wrong_password")
    assert await is_signed_in(api, there)
    assert await world.mails() == []
    assert (await change(anna, NEW)).status_code == 204
    assert await is_signed_in(api, here)
    assert (await refresh(api, here)).status_code == 200
    assert not await is_signed_in(api, there)
    assert problem(await refresh(api, there)) == (401, "refresh_token_invalid")
    assert (await bobs.get("/v1/me")).status_code == 200
    assert problem(await log_in(api)) == (401, "wrong_credentials")
    assert (await log_in(api, password=NEW)).status_code == 201
    (mail,) = await world.mails()
    assert (mail["To"], mail["Content-Language"]) == ("anna@example.com", "de")
    assert "Passwort" in str(mail["Subject"])
    changed = [e for e in await world.events(PLATFORM) if e.type == "user.password_changed"]
    assert [(e.actor_id, e.subject_id) for e in changed] == [(user.id, user.id)]


async def test_of_two_changes_at_once_one_counts(world: World):
    await world.user("Anna")
    anna, api = await world.client("Anna"), await world.client()
    wanted = [f"{NEW} {n}" for n in range(6)]
    answers = await asyncio.gather(*(change(anna, password) for password in wanted))
    assert [a.status_code for a in answers].count(204) >= 1
    for lost in (a for a in answers if a.status_code != 204):
        assert problem(lost) in ((412, "version_mismatch"), (401, "wrong_credentials"), (422, "invalid"))
    works = [p for p in wanted if (await log_in(api, password=p)).status_code == 201]
    assert len(works) == 1
    assert answers[wanted.index(works[0])].status_code == 204


# --- a forgotten one ---


async def ask(api: AsyncClient, email: str = "anna@example.com") -> Any:
    return await api.post(RESETS, json={"email": email})


async def confirm(api: AsyncClient, token: str, password: str = NEW) -> Any:
    return await api.post(f"{RESETS}/confirm", json={"token": token, "password": password})


async def later(world: World, **wait: float) -> None:
    """Let time pass, as far as links are concerned."""
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(PasswordReset).values(expires_at=PasswordReset.expires_at - timedelta(**wait)))


async def reset_token(world: World, api: AsyncClient, email: str = "anna@example.com") -> str:
    await later(world, minutes=1)
    assert (await ask(api, email)).status_code == 202
    mail = (await world.mails())[0]
    assert mail["To"] == "anna@example.com"
    return token_of(mail)


async def test_asking_for_a_reset_tells_nobody_whether_there_is_a_user(world: World):
    await world.user("Anna")
    bob, api = await world.user("Bob"), await world.client()
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, bob.id)).status = UserStatus.SUSPENDED
    answers = [await ask(api, e) for e in ("anna@example.com", "nobody@example.com", "bob@example.com", "ANNA@ｅxample.com",
                                           "no address", "anna＠example.com", "x" * 254)]  # fmt: skip
    told = ("x-request-id", "ratelimit")
    seen = [(a.status_code, a.content, {k: v for k, v in a.headers.items() if k not in told}) for a in answers]
    assert seen[0][:2] == (202, b"")
    assert all(s == seen[0] for s in seen)
    assert {str(m["To"]) for m in await world.mails()} <= {"anna@example.com", "bob@example.com"}
    assert [m["To"] for m in await world.mails()].count("anna@example.com") == 1


async def test_a_link_sets_a_new_password_once_and_ends_all_sessions(world: World):
    user, api = await world.user("Anna"), await world.client()
    here, bobs = await logged_in(api), await world.client("Bob")
    token = await reset_token(world, api)
    assert await is_signed_in(api, here)  # asking alone changes nothing
    assert refusal(await confirm(api, token, "password1234")) == ("/password", "password_too_common")
    assert (await confirm(api, token)).status_code == 204
    assert not await is_signed_in(api, here)
    assert problem(await refresh(api, here)) == (401, "refresh_token_invalid")
    assert (await bobs.get("/v1/me")).status_code == 200
    assert problem(await confirm(api, token, "eight yellow umbrellas")) == (410, "reset_used")
    assert problem(await log_in(api)) == (401, "wrong_credentials")
    assert (await log_in(api, password=NEW)).status_code == 201
    mails = await world.mails()
    assert [m["To"] for m in mails] == ["anna@example.com"] * 2
    assert "changed" in str(mails[0]["Subject"])
    assert [e.subject_id for e in await world.events(PLATFORM) if e.type == "user.password_reset"] == [user.id]


async def test_a_link_expires(world: World):
    await world.user("Anna")
    api = await world.client()
    token = await reset_token(world, api)
    await later(world, minutes=world.settings.password_reset_minutes - 0.5)
    assert refusal(await confirm(api, token, "x")) == ("/password", "password_too_short")  # still good
    await later(world, minutes=0.5)
    assert problem(await confirm(api, token)) == (410, "reset_expired")
    assert (await log_in(api)).status_code == 201


async def test_a_new_password_voids_every_link_that_was_mailed_before(world: World):
    await world.user("Anna")
    await world.user("Bob")
    api = await world.client()
    first, second = await reset_token(world, api), await reset_token(world, api)
    assert (await ask(api, "bob@example.com")).status_code == 202
    bobs = token_of((await world.mails())[0])
    assert (await confirm(api, second)).status_code == 204
    assert problem(await confirm(api, first, "eight yellow umbrellas")) == (410, "reset_used")
    third = await reset_token(world, api)
    anna = await world.client(token=(await logged_in(api, password=NEW))["access_token"])
    assert (await change(anna, "eight yellow umbrellas", current=NEW)).status_code == 204
    assert problem(await confirm(api, third)) == (410, "reset_used")
    assert (await log_in(api, password="eight yellow umbrellas")).status_code == 201
    assert (await confirm(api, bobs)).status_code == 204


async def test_a_link_is_good_for_one_of_many_uses_at_once(world: World):
    await world.user("Anna")
    api = await world.client()
    token = await reset_token(world, api)
    wanted = [f"{NEW} {n}" for n in range(8)]
    answers = await asyncio.gather(*(confirm(api, token, password) for password in wanted))
    won = [p for p, a in zip(wanted, answers, strict=True) if a.status_code == 204]
    assert len(won) == 1
    assert {problem(a) for a in answers if a.status_code != 204} == {(410, "reset_used")}
    assert (await log_in(api, password=won[0])).status_code == 201


async def test_a_reset_for_an_unknown_address_sends_nothing(world: World):
    await world.user("Anna")
    api = await world.client()
    for email in ("nobody@example.com", "anna+a@example.com", "anna@example.org", "no address", "аnna@example.com"):
        assert (await ask(api, email)).status_code == 202
    assert await world.mails() == []
    assert (await ask(api)).status_code == 202
    assert [m["To"] for m in await world.mails()] == ["anna@example.com"]


async def test_nobody_is_flooded_with_reset_mails(world: World):
    await world.user("Anna")
    api, other = await world.client(), await at(world, ELSEWHERE)
    first = await ask(api)
    assert len(await world.mails()) == 1
    for spelling in ("ANNA@example.com", "anna@ｅxample.com"):
        answer = await ask(other, spelling)
        assert (answer.status_code, answer.content) == (first.status_code, first.content)
    assert len(await world.mails()) == 1  # another one within the minute says nothing new
    wait = update(Throttle).where(Throttle.failures == world.settings.password_resets_free)
    async with world.transaction(PLATFORM) as db:  # two seconds at first: longer, so that a slow machine is in it, too
        await db.execute(wait.values(blocked_until=Throttle.blocked_until + timedelta(minutes=10)))
    for n in range(1, 10):
        await later(world, minutes=1)
        assert (await ask(other)).status_code == 202
        assert len(await world.mails()) == 1, n
    async with world.transaction(PLATFORM) as db:
        await db.execute(wait.values(blocked_until=Throttle.blocked_until - timedelta(minutes=11)))
    assert (await ask(api)).status_code == 202
    assert len(await world.mails()) == 2


async def test_a_network_that_asks_for_many_addresses_must_wait(world: World):
    await world.user("Anna")
    api, other = await world.client(), await at(world, ELSEWHERE)
    for n in range(world.settings.password_resets_free * 10):
        assert (await ask(api, f"person{n}@example.com")).status_code == 202
    known, unknown = await ask(api), await ask(api, "nobody@example.com")
    assert problem(known) == (429, "too_many_attempts")
    assert 1 <= int(known.headers["retry-after"]) <= 3
    assert shown(known) == shown(unknown)
    assert (await ask(other)).status_code == 202
    assert [m["To"] for m in await world.mails()] == ["anna@example.com"]


async def test_a_password_that_grows_in_its_normal_form_is_wrong_and_no_failure(world: World):
    await world.user("Anna")
    api, anna = await world.client(), await world.client("Anna")
    assert problem(await log_in(api, password="\ufdfa" * 1024)) == (401, "wrong_credentials")
    answer = await change(anna, "nine purple lanterns", current="\ufdfa" * 1024)
    assert (problem(answer), answer.json()["errors"][0]["code"]) == ((422, "invalid"), "wrong_password")


async def test_no_connection_is_held_while_a_password_is_hashed(settings: Settings):
    """With a single connection, what waited for a second one would never get it."""
    async with running(settings.model_copy(update={"pool_size": 1})) as world:
        clients = [await world.client("Anna"), await world.client("Ben"), await world.client("Cleo")]
        answers = await asyncio.gather(*(change(client, "nine purple lanterns") for client in clients))
        assert [a.status_code for a in answers] == [204, 204, 204]
