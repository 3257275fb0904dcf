"""Attacks on what programs use: API clients and their keys, the turns of partners, webhooks, and operators' looks."""

import asyncio
import base64
import threading
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient

from app.config import Settings
from app.models import PartnerMember, utc_now
from app.outbound import Lookups, Outlet
from app.policy import Role, scopes_of
from app.services.webhook_retries import LONGEST_ASKED, until
from app.turns import _partner
from tests.conftest import World, problem, running
from tests.receivers import Receiver, Reply, deliver, reaching, receiving
from tests.test_api_clients import ASSERTED, Erp, Signer, calling, token

R = Role
ANY = {"If-Match": "*"}


@pytest.fixture
async def erp(world: World) -> Erp:
    return await Erp.of(world)


# --- what no request may break ---


def unsigned(header: str, claims: str) -> str:
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, claims, "x" * 64))


@pytest.mark.parametrize("kid", [r"a\u0000b", r"\ud800", "x" * 2_000, r"\u0000"])
async def test_strangers_assertion_with_an_odd_key_id_is_refused_as_any_other(world: World, kid: str):
    client_id, header = uuid4(), f'{{"alg":"ES256","kid":"{kid}","typ":"JWT"}}'
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTED,
            "client_assertion": unsigned(header, f'{{"sub":"{client_id}","iss":"{client_id}","jti":"1"}}')}  # fmt: skip
    answer = await (await world.client()).post("/v1/oauth/token", data=form)
    assert problem(answer) == (401, "invalid_client")


@pytest.mark.parametrize("jti", ["a\ud800", "\u0000", "\U0001f511"])
async def test_odd_assertion_id_is_no_mistake_of_ours(erp: Erp, jti: str):
    signer = await Signer.of(erp)
    answer = await signer.send(signer.sign(signer.claims() | {"jti": jti}))
    assert answer.status_code in (200, 401), answer.text


@pytest.mark.parametrize("secret", ["%00", "tnk_%00", "%ED%A0%80", "%FF%FE"])
async def test_odd_secret_in_the_header_is_refused_as_any_other(world: World, secret: str):
    header = base64.b64encode(f"{uuid4()}:{secret}".encode()).decode()
    answer = await (await world.client()).post(
        "/v1/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {header}"}
    )
    assert problem(answer) == (401, "invalid_client")


# --- more than its scopes ---


async def test_client_plants_no_admin(erp: Erp):
    client = await erp.calling(await erp.make("partner_member:manage", "partner_member:read"))
    for role in ("partner_admin", "partner_manager", "partner_viewer"):
        invited = await client.post(f"{erp.path}/invitations", json={"email": f"{role}@evil.example.com", "role": role})
        assert problem(invited) == (403, "insufficient_scope"), role
    async with erp.world.transaction(erp.partner.id) as db:
        vic = await erp.world.user("Vic")
        db.add(PartnerMember(partner_id=erp.partner.id, user_id=vic.id, role=R.PARTNER_VIEWER))
    member = f"{erp.path}/members/{vic.id}"
    raised = await client.patch(member, json={"role": "partner_admin"}, headers=ANY)
    assert problem(raised) == (403, "insufficient_scope")
    assert (await erp.ada.get(member)).json()["role"] == "partner_viewer"
    body = {"email": "old@evil.example.com", "role": "partner_admin"}
    invited = await erp.ada.post(f"{erp.path}/invitations", json=body)
    assert invited.status_code == 201
    again = await client.post(f"{erp.path}/invitations/{invited.json()['id']}/resend")
    assert problem(again) == (403, "insufficient_scope")
    viewing = scopes_of(R.PARTNER_VIEWER)
    client = await erp.calling(await erp.make("partner_member:manage", *viewing))
    body = {"email": "vera@example.com", "role": "partner_viewer"}
    assert (await client.post(f"{erp.path}/invitations", json=body)).status_code == 201, "what it is itself"
    body = {"email": "max@example.com", "role": "partner_manager"}
    assert problem(await client.post(f"{erp.path}/invitations", json=body)) == (403, "insufficient_scope")


async def test_client_of_an_operator_who_is_a_viewer_there_sees_what_viewers_see(erp: Erp, world: World):
    sensitive = {"key": "iban", "type": "text", "label": {"en": "IBAN"}, "sensitive": True}
    made = await erp.ada.post(f"{erp.path}/properties", json=sensitive)
    assert made.status_code == 201, made.text
    body = {"name": "Nord", "properties": {"iban": "DE02 secret"}}
    assert (await erp.ada.post(f"{erp.path}/accounts", json=body)).status_code == 201
    olga = await world.client("Olga", operator=True)
    client = await erp.calling(await erp.make("account:list", "account:update", by=olga))
    async with world.transaction(erp.partner.id) as db:
        db.add(PartnerMember(partner_id=erp.partner.id, user_id=world.people["Olga"].id, role=R.PARTNER_VIEWER))
    for _ in range(4):
        answer = await client.get(f"{erp.path}/accounts")
        assert answer.status_code == 200
        assert "secret" not in answer.text


# --- other people's turns ---


async def asked_before(loud: AsyncClient, quiet: AsyncClient, path: str) -> int:
    """How many of a hundred requests were answered while one waited that somebody else sent after them."""
    for _ in range(5):  # all connections are made by now, and what is asked for is prepared on them
        await asyncio.gather(*(client.get(path) for client in (loud, quiet) * 8))
    done = list[AsyncClient]()

    async def ask(client: AsyncClient) -> int:
        answer = await client.get(path)
        done.append(client)
        return answer.status_code

    asked = [asyncio.create_task(ask(loud)) for _ in range(100)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)  # now all of them have come
    before = len(done)
    answers = await asyncio.gather(*asked, ask(quiet))
    assert (set(answers[:-1]), answers[-1]) == ({404}, 200)
    return done.index(quiet) - before


async def test_stranger_takes_no_turns_of_a_partner(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    async with running(settings.model_copy(update={"partner_requests_at_once": 1})) as world:
        erp = await Erp.of(world)
        await world.partner("Other", Eve=R.PARTNER_ADMIN)
        eve, path = await world.client("Eve"), f"{erp.path}/accounts?limit=3"
        assert (await erp.ada.get(path)).status_code == 200
        assert (await eve.get(path)).status_code == 404
        assert await asked_before(eve, erp.ada, path) < 15
        monkeypatch.setattr("app.turns.WAITING", 10)
        *_, mine = await asyncio.gather(*(eve.get(path) for _ in range(40)), erp.ada.get(path))
        assert mine.status_code == 200, "nor the places of those who wait"
        assert world.app.state.turns._doors == {}


@pytest.mark.parametrize("spelt", ["{0}", "{1}", "{2}", "urn:uuid:{0}", "{{{0}}}", "{1}/"])
def test_partner_has_one_line_however_its_id_is_spelt(spelt: str):
    partner = uuid4()
    path = f"/v1/partners/{spelt.format(partner, partner.hex, str(partner).upper())}/accounts"
    assert _partner({"path": path}) == partner


async def test_who_reads_the_answer_slowly_keeps_nobody_waiting(settings: Settings):
    async with running(settings.model_copy(update={"partner_requests_at_once": 1})) as world:
        erp = await Erp.of(world)
        path = f"{erp.path}/accounts"
        assert (await erp.ada.get(path)).status_code == 200
        reading = asyncio.Event()

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                reading.set()
                await asyncio.sleep(60)

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "headers": [(b"authorization", erp.ada.headers["Authorization"].encode()), (b"host", b"localhost")],
                 "client": ("127.0.0.1", 1), "server": ("localhost", 80), "scheme": "http", "root_path": "",
                 "http_version": "1.1", "asgi": {"version": "3.0"}}  # fmt: skip
        slow = asyncio.create_task(world.app(scope, receive, send))
        async with asyncio.timeout(5):
            await reading.wait()
            assert (await erp.ada.get(path)).status_code == 200
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert world.app.state.turns._doors == {}


# --- events by other ways ---


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as found:
        yield found


async def test_webhooks_are_no_way_round_the_right_to_read_events(settings: Settings, receiver: Receiver):
    async with running(reaching(settings)) as world:
        erp = await Erp.of(world)
        hooks, body = f"{erp.path}/webhooks", {"url": receiver.url}
        made = await erp.ada.post(hooks, json=body)
        hook = made.headers["location"]
        assert (await erp.ada.post(f"{erp.path}/accounts", json={"name": "Nord"})).status_code == 201
        await deliver(world)
        (item, *_) = (await erp.ada.get(f"{hook}/deliveries")).json()["items"]
        one = f"{hook}/deliveries/{item['id']}"
        blind = await erp.calling(await erp.make("webhook:manage", "webhook:read"))
        for answer in (await blind.post(hooks, json=body), await blind.patch(hook, json=body, headers=ANY),
                       await blind.patch(hook, json={"status": "enabled"}, headers=ANY),
                       await blind.patch(hook, json={"types": []}, headers=ANY), await blind.get(one)):  # fmt: skip
            assert problem(answer) == (403, "insufficient_scope")
        assert (await blind.patch(hook, json={"status": "disabled"}, headers=ANY)).status_code == 200
        seeing = await erp.calling(await erp.make("webhook:manage", "webhook:read", "event:read"))
        assert (await seeing.get(one)).status_code == 200
        assert (await seeing.post(hooks, json=body)).status_code == 201


# --- operators behind a client ---


async def test_operators_look_by_a_client_of_theirs_is_a_look(erp: Erp, world: World):
    olga = await world.client("Olga", operator=True)
    client = await erp.calling(await erp.make("account:list", "audit_log:read", by=olga))
    mine = await erp.calling(await erp.make("account:list"))
    for _ in range(3):
        assert (await mine.get(f"{erp.path}/accounts")).status_code == 200
    before = [e for e in await world.events(erp.partner.id) if e.type == "partner.viewed"]
    for _ in range(3):
        assert (await client.get(f"{erp.path}/accounts")).status_code == 200
        assert (await client.get(f"{erp.path}/audit-log")).status_code == 200
    looks = [e for e in await world.events(erp.partner.id) if e.type == "partner.viewed"]
    assert before == []
    assert [(e.actor, e.on_behalf_of, e.details["after"]["operation"]) for e in looks if e.details] == [
        ("api_client", world.people["Olga"].id, "listAccounts"), ("api_client", world.people["Olga"].id, "listAuditLog"),
    ]  # fmt: skip


# --- what a receiver may say ---


ODD = [b"HTTP/1.1 099 Odd\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxx",
       b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
       b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/2.0 200\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x16",
       b"HTTP/1.1 200 OK\r\nContent-Type: \xff\x00\xfe\r\n\r\n", b"HTTP/1.1 200 \xff\x00\r\n\r\n",
       b"HTTP/1.1 503 x\r\nRetry-After: Mon, 01 Jan 0001 00:00:00 +2359\r\n\r\n", b"HTTP/1.1 999 x\r\n\r\n",
       b"HTTP/1.1 503 x\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 -2359\r\nContent-Length: 0\r\n\r\n",
       b"HTTP/1.1 204 x\r\nContent-Length: 99999999999999999999\r\n\r\n", b"HTTP/1.1 417 x\r\n\r\n"]  # fmt: skip


async def test_whatever_a_receiver_says_is_told(settings: Settings):
    said = list(ODD)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(said[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, running(reaching(settings)) as world:
        erp = await Erp.of(world)
        made = await erp.ada.post(f"{erp.path}/webhooks", json={"url": f"http://127.0.0.1:{port}/"})
        while said:
            answer = await erp.ada.post(f"{made.headers['location']}/ping")
            assert answer.status_code == 200, (said[0], answer.text)
            said.pop(0)


@pytest.mark.parametrize("asked", [
    "9" * 200, "-1", "1e9", "\u0663", "\u00b2", "NaN", "", "Mon, 01 Jan 0001 00:00:00 +2359",
    "Fri, 31 Dec 9999 23:59:59 -2359", "Fri, 31 Dec 9999 23:59:59 -9999", "Mon, 99 Foo 0000", ",", "0 0 0 0 0", "a b",
])  # fmt: skip
def test_wish_of_a_receiver_is_bounded_however_odd(asked: str):
    now = utc_now()
    found = until(now, asked)
    assert found is None or now <= found <= now + LONGEST_ASKED


# --- other people's receivers ---


async def test_names_that_nobody_answers_for_keep_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch):
    free = threading.Event()

    def getaddrinfo(host: str, port: int, **_: Any) -> Any:
        if host.startswith("tar"):
            free.wait(10)
        return [(0, 0, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr("app.outbound.socket.getaddrinfo", getaddrinfo)
    lookups, mallory, alice = Lookups(), uuid4(), uuid4()
    out = Outlet(resolver=lookups)
    try:
        stuck = [
            asyncio.create_task(out.post(f"https://tar{n}.example.com/", {}, b"", 0.2, mallory)) for n in range(90)
        ]
        assert {answer.error for answer in await asyncio.gather(*stuck)} == {"timeout"}
        answer = await out.post("https://hooks.example.com/", {}, b"", 2, alice)
        assert answer.error == "unknown_host", "it was looked up, while the threads of the others are still at it"
        assert (await out.post("https://hooks.example.com/", {}, b"", 0.2, mallory)).error == "timeout"
    finally:
        free.set()
    for _ in range(50):
        if not lookups._lines:
            break
        await asyncio.sleep(0.1)
    assert (await out.post("https://hooks.example.com/", {}, b"", 2, mallory)).error == "unknown_host"
    await asyncio.sleep(0.05)
    assert lookups._lines == {}
    await out.close()


async def test_pings_of_one_partner_leave_places_for_those_of_another(settings: Settings, receiver: Receiver):
    receiver.reply = lambda got: Reply(hang=got.path == "/slow")
    async with running(reaching(settings)) as world:
        erp = await Erp.of(world)
        other = await world.partner("Other", Eve=R.PARTNER_ADMIN)
        eve, slow = await world.client("Eve"), receiver.url.replace("/hook", "/slow")
        mine = (await erp.ada.post(f"{erp.path}/webhooks", json={"url": slow})).headers["location"]
        hers = (await eve.post(f"/v1/partners/{other.id}/webhooks", json={"url": receiver.url})).headers["location"]
        pings = [asyncio.create_task(erp.ada.post(f"{mine}/ping")) for _ in range(20)]
        done, rest = await asyncio.wait(pings, timeout=2)
        try:
            assert ({problem(ping.result()) for ping in done}, len(rest)) == ({(503, "unavailable")}, 8)
            assert (await eve.post(f"{hers}/ping")).json()["error"] is None
        finally:
            for ping in rest:
                ping.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        assert world.app.state.pings.running.total() == 0


# --- work that is done later ---


async def test_import_by_a_narrow_token_keeps_to_the_scopes_of_the_token(erp: Erp):
    olivia = await erp.world.client("Olivia", operator=True)
    assert (await olivia.post("/v1/price-models", json={"key": "basic", "name": {"en": "Basic"}})).status_code == 201
    made = await erp.make("account:import", "account_import:read", "account_price_model:set", "account:update")
    narrow = await token(erp.world, made, scope="account:import account_import:read")
    client = await calling(erp.world, narrow.json()["access_token"])
    whole, imports = await erp.calling(made), f"{erp.path}/account-imports"

    async def check(api: AsyncClient) -> Any:
        sent = await api.post(imports, files={"file": ("a.csv", b"name,price_model\nNord,basic\n")})
        assert sent.status_code == 201, sent.text
        await erp.world.worker().import_all()
        return (await client.get(f"{imports}/{sent.json()['id']}")).json()

    assert (await check(client))["planned"]["errors"] == 1
    checked = await check(whole)
    assert checked["planned"]["errors"] == 0
    confirmed = await client.post(f"{imports}/{checked['id']}/confirm")
    assert confirmed.status_code == 200, confirmed.text
    await erp.world.worker().import_all()
    assert (await erp.ada.get(f"{erp.path}/accounts")).json()["items"] == []
