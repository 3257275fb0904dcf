"""Rate limits: who is counted, across processes, and what the others notice of it (nothing)."""

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi.routing import APIRoute
from httpx import ASGITransport, AsyncClient, Response
from jose import jwt

from app.config import Settings
from app.limits import COSTS, WINDOW
from app.models import utc_now
from app.policy import Role
from app.routers import ROUTERS
from tests.conftest import PROMISES, Owner, World, problem, running
from tests.test_access import bearer

R = Role
Rates = dict[str, int]


def limited(settings: Settings, **rates: int) -> Settings:
    return settings.model_copy(update=rates)


def left(answer: Response) -> int:
    (found,) = re.findall(r'^"[a-z]+";r=([0-9]+);t=[0-9]+$', answer.headers["ratelimit"])
    return int(found)


async def stranger(world: World, address: str = "203.0.113.1", **headers: str) -> AsyncClient:
    transport = ASGITransport(world.app, raise_app_exceptions=False, client=(address, 4711))
    client = AsyncClient(transport=transport, base_url="http://localhost", headers=headers, event_hooks=PROMISES)
    return await world.stack.enter_async_context(client)


async def test_caller_is_told_what_is_left_and_the_watchman_is_not(settings: Settings):
    async with running(limited(settings, rate_per_minute=600)) as world:
        partner = await world.partner("Acme", Ada=R.PARTNER_ADMIN)
        ada, path = await world.client("Ada"), f"/v1/partners/{partner.id}/accounts"
        answers = [await ada.get(path) for _ in range(4)]
        assert {a.headers["ratelimit-policy"] for a in answers} == {'"credential";q=600;w=60'}
        assert [left(a) for a in answers] == [599, 598, 597, 596], "once a request, however it was answered"
        made = await ada.post(path, json={"name": "Nord"})
        assert (made.status_code, left(made)) == (201, 594)
        heavy = left(await ada.get(f"{path}.csv"))
        assert 544 <= heavy <= 564, "ten a second come back"
        wrong = await ada.get(f"/v1/partners/{uuid4()}/accounts")
        assert (problem(wrong), left(wrong)) == ((404, "not_found"), heavy - 1)
        for unlimited in ("/health/live", "/.well-known/jwks.json"):
            assert "ratelimit" not in (await ada.get(unlimited)).headers


async def test_who_sends_too_much_waits_and_nobody_else_does(settings: Settings):
    async with running(limited(settings, rate_per_minute=60)) as world:
        partner = await world.partner("Acme", Ada=R.PARTNER_ADMIN)
        ada, path = await world.client("Ada"), f"/v1/partners/{partner.id}"
        again, bob = await world.client("Ada"), await world.client("Bob")
        answers = await asyncio.gather(*(ada.get(path) for _ in range(90)))
        passed = sum(a.status_code == 200 for a in answers)
        assert 60 <= passed <= 63, "a second gives one more"
        refused = next(a for a in answers if a.status_code == 429)
        assert problem(refused) == (429, "too_many_requests")
        assert (left(refused), int(refused.headers["retry-after"])) == (0, 1)
        assert (await again.get(path)).status_code == 200, "another log-in"
        assert (await bob.get("/v1/me")).status_code == 200
        await asyncio.sleep(1.1)
        assert (await ada.get(path)).status_code == 200
        assert problem(await ada.post(f"{path}/accounts", json={"name": "X"})) == (429, "too_many_requests")


async def test_processes_share_one_limit_and_none_of_it_twice(settings: Settings):
    async with AsyncExitStack() as stack:
        worlds = [await stack.enter_async_context(running(limited(settings, rate_per_minute=200))) for _ in range(3)]
        partner = await worlds[0].partner("Acme", Ada=R.PARTNER_ADMIN)
        token, path = await worlds[0].token("Ada"), f"/v1/partners/{partner.id}"
        clients, begun = [await world.client(token=token) for world in worlds], utc_now()
        answers = await asyncio.gather(*(client.get(path) for client in clients for _ in range(120)))
        passed = sum(a.status_code == 200 for a in answers)
        refilled = (utc_now() - begun).total_seconds() * 200 / WINDOW
        assert {a.status_code for a in answers} == {200, 429}
        assert 200 - 3 * 10 <= passed <= 200 + refilled + 1, "each may hold a twentieth that it has not spent"


async def test_network_that_proves_nothing_is_limited_and_who_proves_something_there_is_not(settings: Settings):
    async with running(limited(settings, rate_of_address_per_minute=40)) as world:
        await world.user("Ada")
        good = await stranger(world, Authorization=f"Bearer {await world.token('Ada')}")
        forged = await stranger(world, "203.0.113.77", Authorization="Bearer x.y.z")
        log_in: dict[str, Any] = {"json": {"email": "nobody@example.com", "password": "x"}}
        codes = [(await forged.post("/v1/sessions", **log_in)).status_code for _ in range(5)]
        assert codes == [401, 401, 401, 401, 429], "ten units each"
        for path in ("/v1/me", "/v1/roles"):
            assert problem(await forged.get(path)) == (429, "too_many_requests")
        assert (await good.get("/v1/me")).status_code == 200
        assert (await (await stranger(world, "203.0.114.1")).get("/v1/roles")).status_code == 200
        six, neighbour = await stranger(world, "2001:db8::1"), await stranger(world, "2001:db8::ffff:1")
        assert [(await six.post("/v1/sessions", **log_in)).status_code for _ in range(4)] == [401] * 4
        assert problem(await neighbour.get("/v1/roles")) == (429, "too_many_requests")
        assert (await (await stranger(world, "2001:db8:0:1::1")).get("/v1/roles")).status_code == 200


async def test_forged_token_spends_nothing_of_whom_it_names(settings: Settings):
    async with running(limited(settings, rate_per_minute=60)) as world:
        ada = await world.client("Ada")
        assert left(await ada.get("/v1/me")) == 59
        head, claims, _ = bearer(ada).split(".")
        forged = await stranger(world, Authorization=f"Bearer {head}.{claims}.{'A' * 86}")
        answers = [await forged.get("/v1/me") for _ in range(20)]
        assert {problem(a) for a in answers} == {(401, "unauthenticated")}
        assert left(await ada.get("/v1/me")) >= 58


async def test_tokens_of_one_log_in_share_its_limit(settings: Settings):
    async with running(limited(settings, rate_per_minute=600)) as world:
        partner = await world.partner("Acme", Ada=R.PARTNER_ADMIN)
        account, ada = await world.account(partner, "Nord", by="Ada"), await world.client("Ada")
        here = f"/v1/partners/{partner.id}/accounts/{account.id}"
        inside = await world.client(token=(await ada.post(f"{here}/switch")).json()["access_token"])
        assert left(await inside.get(here)) == 597


async def test_service_and_api_clients_have_limits_of_their_own(settings: Settings):
    async with running(limited(settings, rate_per_minute=600, rate_of_service_per_minute=9000)) as world:
        partner = await world.partner("Acme", Ada=R.PARTNER_ADMIN)
        ada, olivia = await world.client("Ada"), await world.client("Olivia", operator=True)
        body = {"name": "X", "scopes": ["partner:read"]}
        erp = (await ada.post(f"/v1/partners/{partner.id}/api-clients", json=body)).json()
        service = (await olivia.post("/v1/service-clients", json=body)).json()
        form = {"grant_type": "client_credentials", "client_id": service["id"], "client_secret": service["secret"]}
        token = (await (await world.client()).post("/v1/oauth/token", data=form)).json()["access_token"]
        assert jwt.get_unverified_claims(token)["service"] is True
        path, found = f"/v1/partners/{partner.id}", list[tuple[str, int]]()
        for sent in (erp["secret"], service["secret"], token):
            answer = await (await world.client(token=sent)).get(path)
            assert answer.status_code == 200
            found.append((answer.headers["ratelimit-policy"], left(answer)))
        assert found == [
            ('"credential";q=600;w=60', 599), ('"service";q=9000;w=60', 8999), ('"service";q=9000;w=60', 8998)
        ]  # fmt: skip


async def test_limits_that_cannot_be_asked_for_stop_nobody(settings: Settings, owner: Owner):
    async with running(limited(settings, rate_per_minute=40)) as world:
        ada = await world.client("Ada")
        async with owner.transaction():
            await owner.execute("LOCK rate_buckets")
            answers = [await ada.get("/v1/me") for _ in range(8)]
        assert {a.status_code for a in answers} == {200}
        assert await owner.value("SELECT count(*) FROM rate_buckets") == 0


async def test_zero_is_no_limit(settings: Settings, owner: Owner):
    rates = {"rate_per_minute": 0, "rate_of_address_per_minute": 0}
    async with running(limited(settings, **rates)) as world:
        ada = await world.client("Ada")
        answers = [await ada.get("/v1/me"), await (await world.client()).get("/v1/roles")]
        assert {(a.status_code, "ratelimit" in a.headers) for a in answers} == {(200, False)}
        assert await owner.value("SELECT count(*) FROM rate_buckets") == 0


async def test_bucket_fills_by_the_clock_up_to_its_brim_and_is_forgotten_when_full(settings: Settings, owner: Owner):
    async with running(limited(settings, rate_per_minute=60)) as world:
        ada = await world.client("Ada")
        await asyncio.gather(*(ada.get("/v1/me") for _ in range(70)))
        await owner.execute("UPDATE rate_buckets SET at = at - interval '30 seconds'")
        async with running(world.settings) as second:  # knows nothing of it yet
            here = await second.client(token=bearer(ada))
            assert 28 <= left(await here.get("/v1/me")) <= 34
            await owner.execute("UPDATE rate_buckets SET at = at - interval '1 hour'")
        async with running(world.settings) as third:
            here = await third.client(token=bearer(ada))
            assert left(await here.get("/v1/me")) == 59
        await world.worker().clean_up()
        assert await owner.value("SELECT count(*) FROM rate_buckets") > 0
        await owner.execute("UPDATE rate_buckets SET at = $1", utc_now() - timedelta(minutes=3))
        await world.worker().clean_up()
        assert await owner.value("SELECT count(*) FROM rate_buckets") == 0


def test_what_costs_more_is_there():
    names = {r.endpoint.__name__ for router in ROUTERS for r in router.routes if isinstance(r, APIRoute)}
    assert set(COSTS) <= names


@pytest.mark.parametrize("name", ["rate_per_minute", "rate_of_service_per_minute", "rate_of_address_per_minute"])
def test_limits_are_settings(name: str):
    assert getattr(Settings(_env_file=None), name) > 100  # pyright: ignore[reportCallIssue]
