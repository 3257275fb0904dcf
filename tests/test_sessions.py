"""Sessions: logging in, renewing, logging out; and what a guesser meets."""

import asyncio
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from sqlalchemy import delete, func, select, update

from app import networks, security
from app.config import Settings
from app.models import PLATFORM, RefreshToken, Session, Throttle, User, UserStatus
from tests.conftest import PASSWORD, PROMISES, World, problem, running

HOME, OFFICE, ELSEWHERE = "192.0.2.10", "198.51.100.20", "203.0.113.30"
WRONG = "not the password at all"


async def at(world: World, address: str) -> AsyncClient:
    """A client that is not signed in, in the network of this address."""
    transport = ASGITransport(world.app, raise_app_exceptions=False, client=(address, 50_000))
    client = AsyncClient(transport=transport, base_url="http://localhost", event_hooks=PROMISES)
    return await world.stack.enter_async_context(client)


async def log_in(api: AsyncClient, email: str = "anna@example.com", password: str = PASSWORD, **more: str) -> Any:
    return await api.post("/v1/sessions", json={"email": email, "password": password} | more)


async def logged_in(api: AsyncClient, email: str = "anna@example.com", password: str = PASSWORD) -> dict[str, Any]:
    answer = await log_in(api, email, password)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def refresh(api: AsyncClient, tokens: dict[str, Any]) -> Any:
    return await api.post("/v1/sessions/refresh", json={"refresh_token": tokens["refresh_token"]})


async def is_signed_in(api: AsyncClient, tokens: dict[str, Any]) -> bool:
    answer = await api.get("/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status_code == 200 or problem(answer) == (401, "unauthenticated")
    return answer.status_code == 200


async def later(world: World, **wait: float) -> None:
    """Let time pass, as far as used refresh tokens and waits are concerned."""
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(RefreshToken).values(used_at=RefreshToken.used_at - timedelta(**wait)))
        await db.execute(update(Throttle).values(blocked_until=Throttle.blocked_until - timedelta(**wait)))


# --- log in, renew, log out ---


async def test_log_in_shows_who_and_where(world: World):
    user, api = await world.user("Anna"), await at(world, HOME)
    answer = await api.post("/v1/sessions", json={"email": " ANNA@example.com", "password": PASSWORD},
                            headers={"User-Agent": "curl/8\x1b[31m"})  # fmt: skip
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", world.settings.access_token_minutes * 60)
    api.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    assert (await api.get("/v1/me")).json()["id"] == str(user.id)
    (session,) = (await api.get("/v1/me/sessions")).json()["items"]
    assert (session["id"], session["current"]) == (tokens["session_id"], True)
    assert (session["network"], session["user_agent"]) == ("192.0.2.0/24", "curl/8[31m")
    (started,) = [e for e in await world.events(PLATFORM) if e.type == "session.started"]
    assert (started.actor_id, str(started.subject_id)) == (user.id, tokens["session_id"])


async def test_a_refresh_token_is_good_once(world: World):
    await world.user("Anna")
    api = await world.client()
    first = await logged_in(api)
    answer = await refresh(api, first)
    assert answer.status_code == 200, answer.text
    second = answer.json()
    assert (second["session_id"], second["session_expires_at"]) == (first["session_id"], first["session_expires_at"])
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    assert await is_signed_in(api, second)
    assert problem(await refresh(api, first)) == (409, "refresh_raced")
    third = await refresh(api, second)
    assert third.status_code == 200
    assert await is_signed_in(api, third.json())


async def test_a_reused_refresh_token_ends_the_session(world: World):
    await world.user("Anna")
    api = await world.client()
    first, other = await logged_in(api), await logged_in(api)
    second = (await refresh(api, first)).json()
    await later(world, seconds=9)
    assert problem(await refresh(api, first)) == (409, "refresh_raced")
    assert await is_signed_in(api, second)
    await later(world, seconds=1)
    assert problem(await refresh(api, first)) == (401, "refresh_token_invalid")
    assert problem(await refresh(api, second)) == (401, "refresh_token_invalid")
    assert not await is_signed_in(api, second)
    assert await is_signed_in(api, other)
    ended = [e for e in await world.events(PLATFORM) if e.type == "session.ended"]
    assert [(str(e.subject_id), (e.details or {})["after"]) for e in ended] == [
        (first["session_id"], {"reason": "refresh_token_reused"})
    ]


async def refresh_tokens_of(world: World, session_id: str) -> int:
    async with world.transaction(PLATFORM) as db:
        mine = select(func.count()).where(RefreshToken.session_id == uuid.UUID(session_id))
        return await db.scalar(mine) or 0


@pytest.mark.slow
async def test_of_fifty_uses_of_a_refresh_token_at_once_one_gets_a_new_one(world: World):
    await world.user("Anna")
    api = await world.client()
    tokens = await logged_in(api)
    for round_ in range(1, 6):
        answers = await asyncio.gather(*(refresh(api, tokens) for _ in range(50)))
        won = [a for a in answers if a.status_code == 200]
        assert len(won) == 1
        assert {problem(a) for a in answers if a.status_code != 200} == {(409, "refresh_raced")}
        assert await refresh_tokens_of(world, tokens["session_id"]) == 1 + round_
        tokens = won[0].json()
        assert await is_signed_in(api, tokens)


async def test_nothing_but_a_live_refresh_token_renews(world: World):
    user, api = await world.user("Anna"), await world.client()
    tokens, expired, of_suspended = await logged_in(api), await logged_in(api), await logged_in(api)
    for text in ("tnr_" + "A" * 43, tokens["access_token"][:200], tokens["refresh_token"] + "A", tokens["refresh_token"][:-1],
                 tokens["refresh_token"].upper(), " " + tokens["refresh_token"], tokens["session_id"], "ä"):  # fmt: skip
        assert problem(await refresh(api, {"refresh_token": text})) == (401, "refresh_token_invalid"), text
    async with world.transaction(PLATFORM) as db:
        row = await db.get_one(Session, uuid.UUID(expired["session_id"]))
        row.expires_at -= timedelta(days=world.settings.session_days)
    assert problem(await refresh(api, expired)) == (401, "refresh_token_invalid")
    assert not await is_signed_in(api, expired)
    assert (await refresh(api, tokens)).status_code == 200
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, user.id)).status = UserStatus.SUSPENDED
    assert problem(await refresh(api, of_suspended)) == (401, "refresh_token_invalid")
    assert not await is_signed_in(api, of_suspended)


async def test_logging_out_ends_this_session_only(world: World):
    await world.user("Anna")
    api = await world.client()
    here, there = await logged_in(api), await logged_in(api)
    signed_in = await world.client(token=here["access_token"])
    assert (await signed_in.delete("/v1/sessions")).status_code == 204
    assert not await is_signed_in(api, here)
    assert problem(await refresh(api, here)) == (401, "refresh_token_invalid")
    assert await is_signed_in(api, there)
    assert problem(await signed_in.delete("/v1/sessions")) == (401, "unauthenticated")


async def test_own_sessions_can_be_ended_and_others_cannot(world: World):
    await world.user("Anna")
    await world.user("Bob")
    api = await world.client()
    here, there, bobs = await logged_in(api), await logged_in(api), await logged_in(api, "bob@example.com")
    anna = await world.client(token=here["access_token"])
    listed = (await anna.get("/v1/me/sessions")).json()["items"]
    assert {(s["id"], s["current"]) for s in listed} == {(here["session_id"], True), (there["session_id"], False)}
    assert problem(await anna.delete(f"/v1/me/sessions/{bobs['session_id']}")) == (404, "not_found")
    assert await is_signed_in(api, bobs)
    assert (await anna.delete(f"/v1/me/sessions/{there['session_id']}")).status_code == 204
    assert not await is_signed_in(api, there)
    assert problem(await anna.delete(f"/v1/me/sessions/{there['session_id']}")) == (404, "not_found")
    assert [s["id"] for s in (await anna.get("/v1/me/sessions")).json()["items"]] == [here["session_id"]]


# --- guessing ---


def shown(answer: Any) -> tuple[Any, ...]:
    """All that a client can see of a problem, but for the request's id."""
    body = answer.json()
    headers = {k: v for k, v in answer.headers.items() if k not in ("x-request-id", "content-length", "ratelimit")}
    assert problem(answer)[0] == answer.status_code
    return answer.status_code, body | {"request_id": len(body["request_id"])}, headers


async def test_unknown_wrong_and_suspended_answer_the_same(world: World):
    await world.user("Anna")
    bob, api = await world.user("Bob"), await world.client()
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, bob.id)).status = UserStatus.SUSPENDED
    wrong = await log_in(api, "anna@example.com", WRONG)
    assert problem(wrong) == (401, "wrong_credentials")
    for email, password in (("nobody@example.com", PASSWORD), ("bob@example.com", PASSWORD), ("bob@example.com", WRONG),
                            ("no address", PASSWORD), ("anna＠example.com", PASSWORD), ("anna@example.com", PASSWORD + " "),
                            ("anna@example.com", PASSWORD[:-1]), ("anna@example.com", PASSWORD.upper())):  # fmt: skip
        assert shown(await log_in(api, email, password)) == shown(wrong), email
    code = await log_in(api, "nobody@example.com", PASSWORD, one_time_code="123456")
    assert shown(code) == shown(wrong)
    assert (await log_in(api)).status_code == 201


@pytest.mark.slow
async def test_a_guesser_gets_slower_and_the_owner_does_not(world: World):
    await world.user("Anna")
    home, guesser = await at(world, HOME), await at(world, ELSEWHERE)
    await logged_in(home)
    for _ in range(world.settings.login_free_failures):
        assert problem(await log_in(guesser, password=WRONG)) == (401, "wrong_credentials")
    for wait in (2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900):
        refused = await log_in(guesser, password=WRONG)
        assert problem(refused) == (429, "too_many_attempts")
        assert wait - 2 <= int(refused.headers["retry-after"]) - 1 <= wait
        assert problem(await log_in(guesser)) == (429, "too_many_attempts")  # the right one, too, while it waits
        assert problem(await log_in(await at(world, OFFICE))) == (429, "too_many_attempts")  # from any unknown network
        assert (await log_in(home)).status_code == 201
        await later(world, seconds=wait)
        assert problem(await log_in(guesser, password=WRONG)) == (401, "wrong_credentials")
    await later(world, seconds=900)
    assert (await log_in(guesser)).status_code == 201
    assert problem(await log_in(await at(world, OFFICE), password=WRONG)) == (401, "wrong_credentials")  # all forgotten


async def test_a_network_of_the_owner_is_known_for_ninety_days(world: World):
    await world.user("Anna")
    home, guesser = await at(world, "192.0.2.77"), await at(world, ELSEWHERE)
    await logged_in(await at(world, HOME))
    for _ in range(world.settings.login_free_failures):
        await log_in(guesser, password=WRONG)
    assert problem(await log_in(guesser)) == (429, "too_many_attempts")
    assert (await log_in(home)).status_code == 201
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(Session).values(created_at=Session.created_at - timedelta(days=91)))
    assert problem(await log_in(home)) == (429, "too_many_attempts")


async def guess_at_once(api: AsyncClient, count: int) -> tuple[list[tuple[int, str]], float]:
    started = time.monotonic()
    answers = await asyncio.gather(*(log_in(api, password=WRONG) for _ in range(count)))
    return [problem(a) for a in answers], time.monotonic() - started


@pytest.mark.slow
async def test_a_burst_of_guesses_gets_no_more_than_the_free_ones(world: World):
    await world.user("Anna")
    api, free = await at(world, ELSEWHERE), world.settings.login_free_failures
    answers, seconds = await guess_at_once(api, 100)
    waits_over = sum(1 for n in range(1, 10) if 2 ** (n + 1) - 2 <= seconds)
    looked_at = answers.count((401, "wrong_credentials"))
    assert free <= looked_at <= free + waits_over
    assert len(answers) - looked_at == answers.count((429, "too_many_attempts"))


async def test_every_spelling_of_an_address_is_one_count(settings: Settings):
    spellings = ("anna@example.com", "ANNA@example.com", "anna@ｅxample.com", "anna@example。com", " anna@EXAMPLE.com ")
    for known in (True, False):  # else the count would tell which addresses have a user
        async with running(settings.model_copy(update={"login_free_failures": len(spellings)})) as world:
            if known:
                await world.user("Anna")
            api = await world.client()
            for email in spellings:
                assert problem(await log_in(api, email, WRONG)) == (401, "wrong_credentials")
            for email in spellings:
                assert problem(await log_in(api, email, WRONG)) == (429, "too_many_attempts"), email
            async with world.transaction(PLATFORM) as db:
                await db.execute(delete(Throttle))
                await db.execute(delete(User))


@pytest.mark.slow
async def test_an_account_of_ones_own_buys_no_guesses_at_others(settings: Settings):
    async with running(settings.model_copy(update={"login_free_failures": 3})) as world:
        await world.user("Mallory")
        await world.user("Anna")
        api, home = await at(world, ELSEWHERE), await at(world, HOME)
        for n in range(60):
            if n % 10 == 0:
                assert (await log_in(api, "mallory@example.com")).status_code == 201
                await forget_network(world)  # so that it never counts as one that Mallory is known in
            assert problem(await log_in(api, f"person{n}@example.com", WRONG)) == (401, "wrong_credentials")
        for email in ("person60@example.com", "anna@example.com", "mallory@example.com"):
            assert problem(await log_in(api, email)) == (429, "too_many_attempts")
        assert (await log_in(home)).status_code == 201


async def forget_network(world: World) -> None:
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(Session).values(network="unknown"))


@pytest.mark.slow
async def test_many_people_of_one_network_log_in_at_once(world: World):
    names = [f"Person{n}" for n in range(20)]
    for name in names:
        await world.user(name)
    api = await at(world, OFFICE)
    answers = await asyncio.gather(*(log_in(api, f"{n.lower()}@example.com") for n in names for _ in range(2)))
    assert [a.status_code for a in answers] == [201] * 40
    async with world.transaction(PLATFORM) as db:
        assert set(await db.scalars(select(Throttle.failures))) <= {0}  # nobody failed


async def test_a_stolen_access_token_guesses_no_password(world: World):
    await world.user("Anna")
    thief, home = await at(world, ELSEWHERE), await at(world, HOME)
    tokens = await logged_in(home)
    thief.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    change = {"current_password": WRONG, "password": "nine purple lanterns"}
    for path, body in (("password", change), ("totp", {"password": WRONG}), ("totp/disable", {"password": WRONG}),
                       ("totp/recovery-codes", {"password": WRONG})):  # fmt: skip
        answer = await thief.post(f"/v1/me/{path}", json=body)
        assert problem(answer) == (422, "invalid"), path
        assert [e["code"] for e in answer.json()["errors"]] == ["wrong_password"]
    for _ in range(world.settings.login_free_failures - 4):
        assert problem(await thief.post("/v1/me/totp/disable", json={"password": WRONG})) == (422, "invalid")
    for path, body in (("password", change), ("totp", {"password": PASSWORD}), ("totp/disable", {"password": PASSWORD}),
                       ("totp/recovery-codes", {"password": PASSWORD})):  # fmt: skip
        assert problem(await thief.post(f"/v1/me/{path}", json=body)) == (429, "too_many_attempts"), path
    assert (await log_in(home)).status_code == 201


def test_networks_are_those_of_one_customer_line():
    same = (("192.0.2.1", "192.0.2.254"), ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1"), ("::ffff:192.0.2.1", "192.0.2.9"),
            (None, "unix"), ("", "not an address"))  # fmt: skip
    different = (("192.0.2.1", "192.0.3.1"), ("2001:db8:1:2::1", "2001:db8:1:3::1"), ("192.0.2.1", None))
    for a, b in same:
        assert networks.around(a) == networks.around(b)
    for a, b in different:
        assert networks.around(a) != networks.around(b)


async def test_a_counter_tells_nobody_whose_it_is(world: World):
    await world.user("Anna")
    await log_in(await at(world, ELSEWHERE), password=WRONG)
    async with world.transaction(PLATFORM) as db:
        keys = set(await db.scalars(select(Throttle.key)))
    assert len(keys) == 2  # the address, and the network
    plain = [security.digest("anna@example.com"), b"anna@example.com", security.digest("203.0.113.0/24")]
    assert keys.isdisjoint(plain)
    assert {len(k) for k in keys} == {32}
