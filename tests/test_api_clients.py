"""API clients: keys, tokens, what they may and for whom, and how quickly all of it ends."""

import asyncio
import base64
import json
import re
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from httpx import ASGITransport, AsyncClient, Response
from jose import jwk, jwt

from app.models import PLATFORM, Partner, PartnerMember, Session, User, UserStatus, utc_now
from app.policy import Permission, Role, scopes_of
from app.proofs import KEY_PATTERN
from tests.conftest import PASSWORD, PROMISES, Owner, World, problem, running
from tests.pools import feature

R = Role
ANY = {"If-Match": "*"}
ASSERTED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Erp:
    """A partner with an admin who makes API clients."""

    def __init__(self, world: World, partner: Partner, ada: AsyncClient) -> None:
        self.world, self.partner, self.ada = world, partner, ada

    @classmethod
    async def of(cls, world: World) -> "Erp":
        return cls(world, await world.partner("Acme", Ada=R.PARTNER_ADMIN), await world.client("Ada"))

    @property
    def path(self) -> str:
        return f"/v1/partners/{self.partner.id}"

    @property
    def clients(self) -> str:
        return f"{self.path}/api-clients"

    async def make(self, *scopes: str, by: AsyncClient | None = None, **more: Any) -> Any:
        body = {"name": f"ERP {uuid4().hex[:8]}", "scopes": scopes or ["account:list"], **more}
        answer = await (by or self.ada).post(self.clients, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def calling(self, made: Any, address: str = "127.0.0.1") -> AsyncClient:
        return await calling(self.world, made["secret"], address)


async def calling(world: World, token: str, address: str = "127.0.0.1") -> AsyncClient:
    transport = ASGITransport(world.app, raise_app_exceptions=False, client=(address, 4711))
    headers = {"Authorization": f"Bearer {token}"}
    return await world.stack.enter_async_context(
        AsyncClient(transport=transport, base_url="http://localhost", headers=headers, event_hooks=PROMISES)
    )


async def token(world: World, made: Any, **form: str) -> Response:
    fields = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"], **form}
    return await (await world.client()).post("/v1/oauth/token", data=fields)


@pytest.fixture
async def erp(world: World) -> Erp:
    return await Erp.of(world)


# --- secrets ---


async def test_secret_has_a_prefix_and_a_checksum_and_is_kept_as_its_hash_alone(erp: Erp, owner: Owner):
    made = await erp.make()
    secret: str = made["secret"]
    assert re.fullmatch(KEY_PATTERN, secret)
    digits, number, check = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 0, secret[-6:]
    for digit in check:
        number = number * 62 + digits.index(digit)
    assert number == zlib.crc32(secret[:-6].encode())
    (shown,) = made["credentials"]
    assert (shown["kind"], shown["hint"], shown["last_used_at"]) == ("secret", secret[-4:], None)
    for answer in (await erp.ada.get(f"{erp.clients}/{made['id']}"), await erp.ada.get(erp.clients),
                   await erp.ada.get(f"{erp.path}/audit-log")):  # fmt: skip
        assert answer.status_code == 200
        assert secret[4:60] not in answer.text
    tables = await owner.rows("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'")
    rows = [await owner.rows(f"SELECT t::text AS row FROM {table['name']} AS t") for table in tables]
    text = "".join(row["row"] for found in rows for row in found)
    assert made["name"] in text, "the tables were read"
    assert secret not in text
    assert secret[30:60] not in text


SPOILT: list[Callable[[str], str]] = [
    lambda s: s[:-1] + ("0" if s[-1] != "0" else "1"),
    lambda s: s[:20] + ("A" if s[20] != "A" else "B") + s[21:],
    lambda s: s[:-6] + "000000",
    lambda s: s[4:],
    lambda _: "tnk_",
    lambda s: s + s,
    lambda s: s.swapcase(),
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILT)
async def test_spoilt_secret_is_none(erp: Erp, spoil: Callable[[str], str]):
    made = await erp.make("account:list")
    assert (await (await erp.calling(made)).get(f"{erp.path}/accounts")).status_code == 200
    spoilt = await calling(erp.world, spoil(made["secret"]))
    assert problem(await spoilt.get(f"{erp.path}/accounts")) == (401, "unauthenticated")
    assert problem(await token(erp.world, made, client_secret=spoil(made["secret"]))) == (401, "invalid_client")


async def test_right_checksum_alone_opens_nothing(erp: Erp):
    """A key that is well formed and leads to a credential that there is, but was never given out."""
    made = await erp.make("account:list")
    body = made["secret"][:50] + ("a" if made["secret"][50] != "a" else "b") + made["secret"][51:-6]
    digits, number, check = (
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        zlib.crc32(body.encode()),
        "",
    )
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = digits[digit] + check
    forged = await calling(erp.world, body + check)
    assert problem(await forged.get(f"{erp.path}/accounts")) == (401, "unauthenticated")


# --- what a client may ---


async def test_client_may_what_its_scopes_name_and_nothing_else(erp: Erp):
    client = await erp.calling(await erp.make("account:list", "account:create"))
    assert (await client.post(f"{erp.path}/accounts", json={"name": "Nordwerk GmbH"})).status_code == 201
    lists = [await client.get(f"{erp.path}/accounts") for _ in range(2)]  # the second time on the short way
    assert [[row["name"] for row in listed.json()["items"]] for listed in lists] == [["Nordwerk GmbH"]] * 2
    account = lists[0].json()["items"][0]["id"]
    for method, path in (("GET", f"{erp.path}/accounts/{account}"), ("GET", f"{erp.path}/members"),
                         ("GET", "/v1/me"), ("GET", "/v1/partners"), ("GET", erp.clients)):  # fmt: skip
        assert problem(await client.request(method, path)) in (
            (403, "insufficient_scope"), (403, "forbidden")
        ), path  # fmt: skip
    assert (await client.get("/v1/features")).status_code == 200
    lacking = await client.get(f"{erp.path}/accounts/{account}")
    assert lacking.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="account:read"'


async def test_metadata_name_the_scopes_that_clients_may_have(erp: Erp):
    found = (await erp.ada.get("/.well-known/oauth-authorization-server")).json()["scopes_supported"]
    assert set(found) == {p.value for p in scopes_of(R.PARTNER_ADMIN) | scopes_of(R.SERVICE)}
    assert "api_client:manage" not in found


async def test_what_has_too_many_choices_to_be_named_says_so(erp: Erp):
    answer = await erp.ada.post(erp.clients, json={"name": "X", "scopes": ["root"]})
    (wrong,) = answer.json()["errors"]
    assert wrong["pointer"] == "/scopes/0"
    assert wrong["detail"].endswith("', ….")


async def test_scopes_that_narrow_or_widen_count_with_the_next_request(erp: Erp):
    made = await erp.make("account:list", "account:create")
    client, path = await erp.calling(made), f"{erp.clients}/{made['id']}"
    body: dict[str, Any] = {"json": {"name": "One"}}
    assert (await client.post(f"{erp.path}/accounts", **body)).status_code == 201
    with_token = await calling(erp.world, (await token(erp.world, made)).json()["access_token"])
    assert (await erp.ada.patch(path, json={"scopes": ["account:list"]}, headers=ANY)).status_code == 200
    for one in (client, with_token):
        assert problem(await one.post(f"{erp.path}/accounts", **body)) == (403, "insufficient_scope")
        assert (await one.get(f"{erp.path}/accounts")).status_code == 200
    wide = ["account:create", "account:list", "account:read", "account:update"]
    assert (await erp.ada.patch(path, json={"scopes": wide}, headers=ANY)).status_code == 200
    account = (await client.get(f"{erp.path}/accounts")).json()["items"][0]["id"]
    assert (await client.get(f"{erp.path}/accounts/{account}")).status_code == 200
    assert problem(await with_token.get(f"{erp.path}/accounts/{account}")) == (403, "insufficient_scope"), "not in it"


async def test_no_client_gets_a_scope_that_its_maker_has_not_or_that_makes_clients(erp: Erp):
    for scope in (*{p.value for p in Permission} - {p.value for p in scopes_of(R.PARTNER_ADMIN)}, "root"):
        answer = await erp.ada.post(erp.clients, json={"name": "X", "scopes": ["account:list", scope]})
        assert problem(answer) == (422, "invalid"), scope
        assert answer.json()["errors"][0]["pointer"] == "/scopes/1"
    made = await erp.make()
    answer = await erp.ada.patch(f"{erp.clients}/{made['id']}", json={"scopes": ["api_client:manage"]}, headers=ANY)
    assert problem(answer) == (422, "invalid")
    manager = await erp.world.partner("Other", Max=R.PARTNER_MANAGER)
    max_ = await erp.world.client("Max")
    answer = await max_.post(f"/v1/partners/{manager.id}/api-clients", json={"name": "X", "scopes": ["account:list"]})
    assert problem(answer) == (403, "forbidden")


async def test_client_may_no_more_than_its_owner_does_now(erp: Erp):
    world, path = erp.world, erp.path
    olivia, ben = await world.client("Olivia", operator=True), await world.user("Ben")
    async with world.transaction(erp.partner.id) as db:
        db.add(PartnerMember(partner_id=erp.partner.id, user_id=ben.id, role=R.PARTNER_ADMIN))
    made = await erp.make("account:list", "audit_log:read", by=await world.client("Ben"))
    client = await erp.calling(made)
    assert (await client.get(f"{path}/audit-log")).status_code == 200
    member = f"{path}/members/{ben.id}"
    assert (await olivia.patch(member, json={"role": "partner_viewer"}, headers=ANY)).status_code == 200
    assert problem(await client.get(f"{path}/audit-log")) == (403, "forbidden")
    assert (await client.get(f"{path}/accounts")).status_code == 200
    assert (await olivia.delete(member, headers=ANY)).status_code == 204
    assert problem(await client.get(f"{path}/accounts")) == (403, "client_owner_gone")
    shown = (await erp.ada.get(f"{erp.clients}/{made['id']}")).json()
    assert shown["status"] == "owner_gone"
    taken = await erp.ada.post(f"{erp.clients}/{made['id']}/take-over")
    assert (taken.status_code, taken.json()["status"]) == (200, "active")
    assert taken.json()["owner_id"] == str(world.people["Ada"].id)
    assert (await client.get(f"{path}/audit-log")).status_code == 200


async def test_client_of_a_suspended_owner_is_nobody(erp: Erp):
    client = await erp.calling(await erp.make())
    assert (await client.get(f"{erp.path}/accounts")).status_code == 200
    async with erp.world.transaction(PLATFORM) as db:
        (await db.get_one(User, erp.world.people["Ada"].id)).status = UserStatus.SUSPENDED
    assert problem(await client.get(f"{erp.path}/accounts")) == (401, "unauthenticated")


async def test_to_a_client_another_partner_does_not_exist_even_if_its_owner_is_there(erp: Erp):
    other = await erp.world.partner("Other", Ada=R.PARTNER_ADMIN)
    client = await erp.calling(await erp.make(*scopes_of(R.PARTNER_ADMIN)))
    assert (await client.get(f"{erp.path}/accounts")).status_code == 200
    answers = [await client.get(f"/v1/partners/{partner}/accounts") for partner in (other.id, uuid4())]
    assert {problem(answer) for answer in answers} == {(404, "not_found")}


async def test_client_calls_from_its_networks_only(erp: Erp):
    made = await erp.make(networks=["203.0.113.7/24", "2001:db8::/48", "198.51.100.9"])
    assert made["networks"] == ["203.0.113.0/24", "2001:db8::/48", "198.51.100.9/32"]
    form = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]}
    inside = ("203.0.113.99", "2001:db8::1", "198.51.100.9", "::ffff:203.0.113.5")
    outside = ("203.0.114.1", "127.0.0.1", "2001:db9::1", "198.51.100.10", "::1")
    for address in (*inside, *outside):
        client = await erp.calling(made, address)
        answers = [await client.get(f"{erp.path}/accounts"), await client.get("/v1/features"),
                   await client.post("/v1/oauth/token", data=form)]  # fmt: skip
        if address in inside:
            assert [a.status_code for a in answers] == [200, 200, 200], address
        else:
            assert {problem(a) for a in answers} == {(403, "network_not_allowed")}, address


@pytest.mark.parametrize("network", ["localhost", "1.2.3.4/33", "1.2.3", "::/129", "1.2.3.4/0.0.0.256"])
async def test_what_is_no_network_is_refused(erp: Erp, network: str):
    answer = await erp.ada.post(erp.clients, json={"name": "X", "scopes": ["account:list"], "networks": [network]})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/networks/0"


async def test_without_the_right_to_change_accounts_a_client_sees_no_sensitive_values(erp: Erp):
    definition = {"key": "vat", "type": "text", "label": {"en": "VAT"}, "sensitive": True}
    assert (await erp.ada.post(f"{erp.path}/properties", json=definition)).status_code == 201
    made = await erp.ada.post(f"{erp.path}/accounts", json={"name": "Nord", "properties": {"vat": "DE123"}})
    assert made.status_code == 201
    reader = await erp.calling(await erp.make("account:list"))
    writer = await erp.calling(await erp.make("account:list", "account:update"))
    for _ in range(3):  # from the second time on the short way
        for client, shown in ((erp.ada, "DE123"), (reader, None), (writer, "DE123")):
            (row,) = (await client.get(f"{erp.path}/accounts?limit=7")).json()["items"]
            assert row["properties"].get("vat") == shown


async def test_a_part_of_what_a_scope_guards_needs_its_own(erp: Erp):
    olivia = await erp.world.client("Olivia", operator=True)
    assert (await olivia.post("/v1/price-models", json={"key": "basic", "name": {"en": "Basic"}})).status_code == 201
    body = {"name": "Nord", "price_model": "basic"}
    without = await erp.calling(await erp.make("account:create"))
    refused = await without.post(f"{erp.path}/accounts", json=body)
    assert problem(refused) == (403, "forbidden")
    assert refused.json()["errors"][0]["pointer"] == "/price_model"
    with_it = await erp.calling(await erp.make("account:create", "account_price_model:set"))
    assert (await with_it.post(f"{erp.path}/accounts", json=body)).status_code == 201


# --- how it ends ---


async def test_revoked_client_is_refused_with_the_next_request_in_every_process(erp: Erp):
    made = await erp.make("account:list")
    access = (await token(erp.world, made)).json()["access_token"]
    async with running(erp.world.settings) as second:
        clients = [await calling(world, bearer) for world in (erp.world, second) for bearer in (made["secret"], access)]
        for client in clients:
            assert (await client.get(f"{erp.path}/accounts")).status_code == 200
        gone = await erp.ada.delete(f"{erp.clients}/{made['id']}", headers=ANY)
        assert gone.status_code == 204
        for client in clients:
            assert problem(await client.get(f"{erp.path}/accounts")) == (401, "unauthenticated")
    assert problem(await token(erp.world, made)) == (401, "invalid_client")
    shown = (await erp.ada.get(f"{erp.clients}/{made['id']}")).json()
    assert (shown["status"], shown["credentials"]) == ("revoked", [])
    assert shown["revoked_at"]
    assert (await erp.ada.get(erp.clients)).json()["items"] == []
    again = (await erp.ada.get(f"{erp.clients}?filter=revoked:eq:true")).json()["items"]
    assert [client["id"] for client in again] == [made["id"]]
    for answer in (await erp.ada.delete(f"{erp.clients}/{made['id']}", headers=ANY),
                   await erp.ada.patch(f"{erp.clients}/{made['id']}", json={"name": "Y"}, headers=ANY),
                   await erp.ada.post(f"{erp.clients}/{made['id']}/credentials", json={"kind": "secret"}),
                   await erp.ada.post(f"{erp.clients}/{made['id']}/take-over")):  # fmt: skip
        assert problem(answer) == (409, "api_client_revoked")
    await erp.make(name=made["name"])  # the name is free again


async def test_rotating_with_overlap_lets_both_secrets_in_until_the_old_one_ends(erp: Erp, owner: Owner):
    made = await erp.make("account:list")
    rotated = await erp.ada.post(
        f"{erp.clients}/{made['id']}/credentials", json={"kind": "secret", "overlap_hours": 24}
    )
    assert rotated.status_code == 201
    *_, said = [e.details for e in await erp.world.events(erp.partner.id) if e.type == "api_client.credential_added"]
    assert said is not None
    assert said["after"]["overlap_hours"] == 24
    old, new = await erp.calling(made), await erp.calling(rotated.json())
    for client in (old, new):
        assert (await client.get(f"{erp.path}/accounts")).status_code == 200
    newest, oldest = (await erp.ada.get(f"{erp.clients}/{made['id']}")).json()["credentials"]
    assert (newest["id"], newest["expires_at"]) == (rotated.json()["id"], None)
    ends = datetime.fromisoformat(oldest["expires_at"]) - utc_now()
    assert timedelta(hours=23) < ends < timedelta(hours=25)
    changed = await erp.ada.patch(f"{erp.clients}/{made['id']}", json={"name": "Renamed"}, headers=ANY)
    assert changed.json()["credentials"][1]["expires_at"] == oldest["expires_at"], "a change prolongs nothing"
    await owner.execute("UPDATE sessions SET expires_at = now() WHERE id = $1", UUID(oldest["id"]))
    assert problem(await old.get(f"{erp.path}/accounts")) == (401, "unauthenticated")
    assert (await new.get(f"{erp.path}/accounts")).status_code == 200
    at_once = await erp.ada.post(f"{erp.clients}/{made['id']}/credentials", json={"kind": "secret", "overlap_hours": 0})
    assert problem(await new.get(f"{erp.path}/accounts")) == (401, "unauthenticated")
    assert (await (await erp.calling(at_once.json())).get(f"{erp.path}/accounts")).status_code == 200


async def test_one_secret_ends_with_the_tokens_that_were_had_with_it_and_no_other(erp: Erp):
    made = await erp.make("account:list")
    second = (await erp.ada.post(f"{erp.clients}/{made['id']}/credentials", json={"kind": "secret"})).json()
    mine = [await erp.calling(made), await calling(erp.world, (await token(erp.world, made)).json()["access_token"])]
    other = await erp.calling(second)
    first = f"{erp.clients}/{made['id']}/credentials/{made['credentials'][0]['id']}"
    assert (await erp.ada.delete(first)).status_code == 204
    for client in mine:
        assert problem(await client.get(f"{erp.path}/accounts")) == (401, "unauthenticated")
    assert (await other.get(f"{erp.path}/accounts")).status_code == 200
    assert problem(await erp.ada.delete(first)) == (404, "not_found")


async def test_end_of_a_client_can_be_set_reached_and_put_off(erp: Erp, owner: Owner):
    soon = (utc_now() + timedelta(hours=1)).isoformat()
    made = await erp.make("account:list", expires_at=soon)
    client, path = await erp.calling(made), f"{erp.clients}/{made['id']}"
    assert (await client.get(f"{erp.path}/accounts")).status_code == 200
    await owner.execute("UPDATE api_clients SET expires_at = now()")
    await owner.execute("UPDATE sessions SET expires_at = now() WHERE client_id IS NOT NULL")
    assert problem(await client.get(f"{erp.path}/accounts")) == (401, "unauthenticated")
    assert (await erp.ada.get(path)).json()["status"] == "expired"
    past = await erp.ada.patch(path, json={"expires_at": "2020-01-01T00:00:00Z"}, headers=ANY)
    assert (problem(past), past.json()["errors"][0]["pointer"]) == ((422, "invalid"), "/expires_at")
    assert (await erp.ada.patch(path, json={"expires_at": None}, headers=ANY)).status_code == 200
    assert (await client.get(f"{erp.path}/accounts")).status_code == 200


async def test_a_client_is_none_of_its_owners_log_ins(erp: Erp):
    made = await erp.make("account:list")
    client = await erp.calling(made)
    session = made["credentials"][0]["id"]
    listed = (await erp.ada.get("/v1/me/sessions")).json()["items"]
    assert session not in {s["id"] for s in listed}
    assert problem(await erp.ada.delete(f"/v1/me/sessions/{session}")) == (404, "not_found")
    change = {"current_password": PASSWORD, "password": "another staple of horses"}
    assert (await erp.ada.post("/v1/me/password", json=change)).status_code == 204
    assert (await client.get(f"{erp.path}/accounts")).status_code == 200
    for call in (
        client.delete("/v1/sessions"),
        client.get("/v1/me/sessions"),
        client.post("/v1/me/password", json=change),
    ):
        assert problem(await call) == (403, "insufficient_scope")


async def test_there_are_so_many_clients_and_credentials_at_most(erp: Erp, owner: Owner):
    made = await erp.make()
    path = f"{erp.clients}/{made['id']}/credentials"
    answers = await asyncio.gather(*(erp.ada.post(path, json={"kind": "secret"}) for _ in range(12)))
    assert sorted(a.status_code for a in answers) == [201] * 9 + [409] * 3
    assert problem(answers[[a.status_code for a in answers].index(409)]) == (409, "too_many_credentials")
    await owner.execute(
        "INSERT INTO api_clients SELECT partner_id, gen_random_uuid(), 'n' || n, 'n' || n, owner_id, scopes, networks,"
        " expires_at, revoked_at, created_at, updated_at, version FROM api_clients, generate_series(1, 98) n"
    )
    bodies = [{"name": f"Last {n}", "scopes": ["account:list"]} for n in range(3)]
    answers = await asyncio.gather(*(erp.ada.post(erp.clients, json=body) for body in bodies))
    assert sorted(a.status_code for a in answers) == [201, 409, 409]
    assert {problem(a) for a in answers if a.status_code == 409} == {(409, "too_many_api_clients")}


# --- who it was ---


async def test_log_says_which_client_did_it_and_for_whom(erp: Erp):
    made = await erp.make("account:create", "account:update", "account:read")
    client = await erp.calling(made)
    account = (await client.post(f"{erp.path}/accounts", json={"name": "Nord"})).json()
    (event,) = [e for e in await erp.world.events(erp.partner.id) if e.type == "account.created"]
    assert (event.actor, str(event.actor_id), event.on_behalf_of) == (
        "api_client", made["id"], erp.world.people["Ada"].id
    )  # fmt: skip
    (member,) = (await erp.ada.get(f"{erp.path}/accounts/{account['id']}/members")).json()["items"]
    assert (member["email"], member["role"]) == ("ada@example.com", "account_admin")
    log = [(e.type, e.actor) for e in await erp.world.events(erp.partner.id) if e.type.startswith("api_client.")]
    assert log == [("api_client.created", "user"), ("api_client.credential_added", "user")]


async def test_a_key_and_its_owner_may_use_the_same_idempotency_key_for_different_things(erp: Erp):
    client = await erp.calling(await erp.make("account:create"))
    headers = {"Idempotency-Key": "same"}
    one = await erp.ada.post(f"{erp.path}/accounts", json={"name": "One"}, headers=headers)
    two = await client.post(f"{erp.path}/accounts", json={"name": "Two"}, headers=headers)
    again = await client.post(f"{erp.path}/accounts", json={"name": "Two"}, headers=headers)
    assert (one.json()["name"], two.json()["name"]) == ("One", "Two")
    assert (again.json(), again.headers["idempotency-replayed"]) == (two.json(), "true")


async def test_last_use_is_shown_to_within_five_minutes(erp: Erp, owner: Owner):
    made = await erp.make("account:list")
    await owner.execute("UPDATE sessions SET last_used_at = last_used_at - interval '6 minutes',"
                        " created_at = created_at - interval '6 minutes' WHERE client_id IS NOT NULL")  # fmt: skip
    assert (await erp.ada.get(f"{erp.clients}/{made['id']}")).json()["last_used_at"] is None
    assert (await (await erp.calling(made)).get(f"{erp.path}/accounts")).status_code == 200
    shown = (await erp.ada.get(f"{erp.clients}/{made['id']}")).json()
    assert utc_now() - datetime.fromisoformat(shown["last_used_at"]) < timedelta(minutes=1)
    assert shown["credentials"][0]["last_used_at"] == shown["last_used_at"]


async def test_import_that_a_client_began_ends_with_it_and_keeps_to_its_scopes(erp: Erp):
    made = await erp.make("account:import", "account_import:read")
    client = await erp.calling(made)
    olivia = await erp.world.client("Olivia", operator=True)
    assert (await olivia.post("/v1/price-models", json={"key": "basic", "name": {"en": "Basic"}})).status_code == 201
    imports = f"{erp.path}/account-imports"

    async def check(csv: str) -> Any:
        sent = await client.post(imports, files={"file": ("a.csv", csv.encode())})
        assert sent.status_code == 201, sent.text
        await erp.world.worker().import_all()
        return (await client.get(f"{imports}/{sent.json()['id']}")).json()

    priced = await check("name,price_model\nNord,basic\n")
    assert priced["planned"]["errors"] == 1, "setting price models is another scope"
    plain = await check("name\nSued\n")
    assert (await client.post(f"{imports}/{plain['id']}/confirm")).status_code == 200
    await erp.world.worker().import_all()
    (event,) = [e for e in await erp.world.events(erp.partner.id) if e.type == "account.created"]
    assert (event.actor, str(event.actor_id)) == ("api_client", made["id"])
    sent = await client.post(imports, files={"file": ("a.csv", b"name\nWest\n")})
    assert (await erp.ada.delete(f"{erp.clients}/{made['id']}", headers=ANY)).status_code == 204
    await erp.world.worker().import_all()
    stopped = (await erp.ada.get(f"{imports}/{sent.json()['id']}")).json()
    assert (stopped["status"], stopped["failure"]["code"]) == ("failed", "not_allowed")


async def test_import_stops_with_the_credential_that_began_it_if_that_is_ended_and_not_if_it_runs_out(
    erp: Erp, owner: Owner
):
    imports = f"{erp.path}/account-imports"

    async def outcome(how: str) -> tuple[str, str | None]:
        made = await erp.make("account:import", "account_import:read")
        (first,), credentials = made["credentials"], f"{erp.clients}/{made['id']}/credentials"
        begun = await erp.calling(made)
        if how == "by token":
            begun = await calling(erp.world, (await token(erp.world, made)).json()["access_token"])
        sent = await begun.post(imports, files={"file": ("a.csv", f"name\n{how}\n".encode())})
        await erp.world.worker().import_all()
        at = f"{imports}/{sent.json()['id']}"
        assert (await begun.post(f"{at}/confirm")).status_code == 200
        match how:
            case "ended" | "by token":
                assert (await erp.ada.delete(f"{credentials}/{first['id']}")).status_code == 204
            case "other ended":
                other = await erp.ada.post(credentials, json={"kind": "secret"})
                assert (await erp.ada.delete(f"{credentials}/{other.json()['id']}")).status_code == 204
            case "run out" | "forgotten":
                assert (await erp.ada.post(credentials, json={"kind": "secret", "overlap_hours": 1})).status_code == 201
                past = "UPDATE sessions SET expires_at = now() WHERE id = $1"
                gone = "DELETE FROM sessions WHERE id = $1"
                await owner.execute(past if how == "run out" else gone, UUID(first["id"]))
                assert problem(await begun.get(at)) == (401, "unauthenticated")
            case _:
                assert (await erp.ada.post(credentials, json={"kind": "secret", "overlap_hours": 0})).status_code == 201
                assert problem(await begun.get(at)) == (401, "unauthenticated")
        await erp.world.worker().import_all()
        done = (await erp.ada.get(at)).json()
        return done["status"], done["failure"] and done["failure"]["code"]

    for how in ("ended", "by token", "ended by a rotation without overlap"):
        assert await outcome(how) == ("failed", "not_allowed"), how
    for how in ("other ended", "run out", "forgotten"):
        assert await outcome(how) == ("done", None), how
    names = {a["name"] for a in (await erp.ada.get(f"{erp.path}/accounts")).json()["items"]}
    assert names == {"other ended", "run out", "forgotten"}


# --- services ---


async def service(world: World, *scopes: str) -> Any:
    olivia = await world.client("Olivia", operator=True)
    body = {"name": f"Assets {uuid4().hex[:6]}", "scopes": scopes or ["claim:manage", "entitlement:read"]}
    answer = await olivia.post("/v1/service-clients", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.json()["partner_id"] is None
    return answer.json()


async def test_service_claims_on_behalf_of_any_account_and_does_nothing_else(erp: Erp):
    world = erp.world
    await feature(world, "assets", default=3)
    other = await world.partner("Other", Bob=R.PARTNER_ADMIN)
    accounts = [await world.account(erp.partner, "Nord", by="Ada"), await world.account(other, "Sued", by="Bob")]
    made = await service(world)
    client = await calling(world, made["secret"])
    for account in accounts:
        here = f"/v1/partners/{account.partner_id}/accounts/{account.id}"
        body = {"feature": "assets", "resource": "asset:1", "units": 2}
        claimed = await client.post(f"{here}/claims", json=body)
        assert claimed.status_code == 201, claimed.text
        assert (claimed.json()["actor"], claimed.json()["actor_id"]) == ("api_client", made["id"])
        assert (await client.post(f"{here}/claims", json=body)).json() == claimed.json()
        (event,) = [e for e in await world.events(account.partner_id) if e.type == "claim.created"]
        assert event.details is not None
        assert [event.details["after"][name] for name in ("actor", "actor_id")] == ["api_client", made["id"]]
        full = await client.post(f"{here}/claims", json={**body, "resource": "asset:2"})
        assert problem(full) == (409, "licence_exhausted")
        batch = {
            "releases": [{"feature": "assets", "resource": "asset:1"}],
            "claims": [{**body, "resource": "asset:3"}],
        }
        assert (await client.post(f"{here}/claim-batches", json=batch)).status_code == 200
        assert (await client.get(f"{here}/entitlements/assets")).json()["used"] == 2
        for refused in (await client.get(here), await client.get(f"{here}/claims"),
                        await client.patch(here, json={"name": "X"}, headers=ANY),
                        await client.post(f"{here}/switch"), await client.get("/v1/partners"),
                        await client.post("/v1/features", json={"key": "x", "kind": "quota", "name": {"en": "X"}})):  # fmt: skip
            assert problem(refused) in ((403, "insufficient_scope"), (403, "forbidden"), (403, "not_a_member"))
    nowhere = {"feature": "assets", "resource": "asset:1"}
    missing = await client.post(f"{erp.path}/accounts/{uuid4()}/claims", json=nowhere)
    assert problem(missing) == (404, "not_found")


REMEDIES: dict[str | None, list[str]] = {
    None: [], "licence_exhausted": ["claim_less"], "insufficient_scope": ["widen_scopes"], "not_a_member": ["join"]
}  # fmt: skip


async def test_what_a_service_is_told_agrees_with_what_its_claim_gets(erp: Erp):
    world = erp.world
    await feature(world, "assets", default=1)
    account = await world.account(erp.partner, "Nord", by="Ada")
    here, olivia = f"{erp.path}/accounts/{account.id}", await world.client("Olivia", operator=True)
    claims = await calling(world, (await service(world))["secret"])
    reads = await calling(world, (await service(world, "entitlement:read", "claim:read"))["secret"])
    partners = await erp.calling(await erp.make("entitlement:read"))
    seen = set[str | None]()
    for change in ({}, {"partner_management_enabled": False}, {"status": "suspended"}):
        assert (await olivia.patch(erp.path, json=change, headers=ANY)).status_code == 200
        for client in (claims, reads, partners):
            for units in (1, 2):
                told = await client.get(f"{here}/entitlements/assets", params={"units": units})
                if told.status_code != 200:
                    assert told.json()["code"] in ("partner_suspended", "partner_management_off")
                    continue
                why = (await client.get(f"{here}/entitlements/assets/explanation", params={"units": units})).json()
                body = {"feature": "assets", "resource": "asset:1", "units": units}
                got = await client.post(f"{here}/claims", json=body)
                code = None if got.is_success else got.json()["code"]
                assert (told.json()["code"], why["code"], why["user_id"]) == (code, code, None)
                assert [r["kind"] for r in why["remedies"]][:1] == REMEDIES[code]
                seen.add(code)
                if got.status_code == 201:
                    assert (await client.delete(f"{here}/claims/{got.json()['id']}")).status_code == 204
    assert seen == {None, "licence_exhausted", "insufficient_scope", "not_a_member"}


async def test_service_stops_with_a_suspended_partner_and_not_while_management_is_off(erp: Erp):
    world = erp.world
    await feature(world, "assets", default=100)
    account = await world.account(erp.partner, "Nord", by="Ada")
    claims, olivia = f"{erp.path}/accounts/{account.id}/claims", await world.client("Olivia", operator=True)
    client = await calling(world, (await service(world))["secret"])
    for n, (change, code) in enumerate((
        ({"partner_management_enabled": False}, None), ({"status": "suspended"}, "partner_suspended"),
        ({"status": "active"}, None),
    )):  # fmt: skip
        assert (await olivia.patch(erp.path, json=change, headers=ANY)).status_code == 200
        answer = await client.post(claims, json={"feature": "assets", "resource": f"asset:{n}"})
        assert (None if answer.status_code == 201 else answer.json()["code"]) == code


async def test_service_clients_are_the_operators_and_end_with_their_owner_being_one(erp: Erp):
    world = erp.world
    body = {"name": "Assets", "scopes": ["claim:manage"]}
    assert problem(await erp.ada.post("/v1/service-clients", json=body)) == (403, "forbidden")
    made = await service(world)
    olivia = await world.client("Olivia")
    for scope in {p.value for p in Permission} - {p.value for p in scopes_of(R.SERVICE)}:
        answer = await olivia.post("/v1/service-clients", json={"name": "X", "scopes": [scope]})
        assert (problem(answer), answer.json()["errors"][0]["pointer"]) == ((422, "invalid"), "/scopes/0")
    assert (await erp.ada.get(erp.clients)).json()["items"] == []
    assert problem(await erp.ada.get(f"{erp.clients}/{made['id']}")) == (404, "not_found")
    await feature(world, "assets", default=3)
    account = await world.account(erp.partner, "Nord", by="Ada")
    client, path = await calling(world, made["secret"]), f"{erp.path}/accounts/{account.id}/entitlements"
    assert (await client.get(path)).status_code == 200
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, world.people["Olivia"].id)).operator = False
    assert problem(await client.get(path)) == (403, "client_owner_gone")


# --- tokens ---


async def test_token_is_had_by_header_or_by_form_and_says_what_it_is_for(erp: Erp):
    made = await erp.make("account:list", "account:read")
    plain = await erp.world.client()
    form = {"grant_type": "client_credentials"}
    in_header = await plain.post("/v1/oauth/token", data=form, auth=(made["id"], made["secret"]))
    in_form = await token(erp.world, made, scope="account:list")
    for answer, scope in ((in_header, "account:list account:read"), (in_form, "account:list")):
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (set(body), body["token_type"], body["scope"]) == (
            {"access_token", "token_type", "expires_in", "scope"}, "Bearer", scope
        )  # fmt: skip
        claims = jwt.get_unverified_claims(body["access_token"])
        assert (claims["sub"], claims["client_id"], claims["scope"]) == (made["id"], made["id"], scope)
        assert claims["exp"] - claims["iat"] == body["expires_in"]
        client = await calling(erp.world, body["access_token"])
        assert (await client.get(f"{erp.path}/accounts")).status_code == 200


@pytest.mark.parametrize(("form", "status", "code", "error"), [
    ({"grant_type": None}, 400, "invalid_token_request", "invalid_request"),
    ({"grant_type": "password"}, 400, "unsupported_grant_type", "unsupported_grant_type"),
    ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type", "unsupported_grant_type"),
    ({"scope": "account:create"}, 400, "invalid_scope", "invalid_scope"),
    ({"scope": "account:list  account:read"}, 400, "invalid_scope", "invalid_scope"),
    ({"scope": "x" * 3000}, 400, "invalid_scope", "invalid_scope"),
    ({"client_secret": None}, 401, "invalid_client", "invalid_client"),
    ({"client_secret": "tnk_wrong"}, 401, "invalid_client", "invalid_client"),
    ({"client_id": str(uuid4())}, 401, "invalid_client", "invalid_client"),
    ({"client_id": "x"}, 401, "invalid_client", "invalid_client"),
    ({"client_id": None}, 401, "invalid_client", "invalid_client"),
    ({"client_assertion": "a.b.c", "client_assertion_type": ASSERTED}, 400, "invalid_token_request", "invalid_request"),
    ({"client_secret": None, "client_assertion": "a.b.c"}, 400, "invalid_token_request", "invalid_request"),
    ({"client_secret": None, "client_assertion": "a.b.c", "client_assertion_type": ASSERTED}, 401, "invalid_client",
     "invalid_client"),
])  # fmt: skip
async def test_wrong_token_request_says_so_as_oauth_does(
    erp: Erp, form: dict[str, str | None], status: int, code: str, error: str
):
    made = await erp.make("account:list")
    fields: dict[str, str | None] = {
        "grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]
    }  # fmt: skip
    sent = {name: value for name, value in (fields | form).items() if value is not None}
    answer = await (await erp.world.client()).post("/v1/oauth/token", data=sent)
    assert problem(answer) == (status, code)
    assert answer.json()["error"] == error
    said = answer.json()["error_description"]
    assert said == answer.json()["detail"]
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", said), "RFC 6749, 5.2"
    german = await (await erp.world.client()).post("/v1/oauth/token", data=sent, headers={"Accept-Language": "de"})
    assert german.json()["error_description"] == said != german.json()["detail"]
    assert (await token(erp.world, made)).status_code == 200


async def test_refused_client_is_not_told_which_part_of_its_proof_is_wrong(erp: Erp):
    """Whoever guesses learns nothing: not whether there is such a client, nor whether it was revoked."""
    made, gone = await erp.make("account:list"), await erp.make("account:list")
    assert (await erp.ada.delete(f"{erp.clients}/{gone['id']}", headers=ANY)).status_code == 204
    plain, told = await erp.world.client(), set[str]()
    for client_id, secret in ((str(uuid4()), made["secret"]), (made["id"], "tnk_wrong"), (gone["id"], gone["secret"]),
                              (made["id"], gone["secret"])):  # fmt: skip
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        answer = await plain.post("/v1/oauth/token", data=form)
        assert problem(answer) == (401, "invalid_client")
        told.add(json.dumps(answer.json() | {"request_id": ""}))
    assert len(told) == 1


@pytest.mark.parametrize(("body", "kind", "code"), [
    (b"{}", "application/json", "unsupported_media_type"),
    (b"", "", "unsupported_media_type"),
    (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded",
     "invalid_token_request"),
    (b"grant_type", "application/x-www-form-urlencoded", "invalid_token_request"),
    (b"grant_type=%ff", "application/x-www-form-urlencoded", "invalid_token_request"),
    (b"grant_type=\xff", "application/x-www-form-urlencoded", "invalid_token_request"),
    (b"&".join(b"a%d=1" % n for n in range(30)), "application/x-www-form-urlencoded", "invalid_token_request"),
    (b"grant_type=" + b"x" * 20_000, "application/x-www-form-urlencoded", "invalid_token_request"),
])  # fmt: skip
async def test_what_is_no_form_is_refused(world: World, body: bytes, kind: str, code: str):
    answer = await (await world.client()).post("/v1/oauth/token", content=body, headers={"Content-Type": kind})
    assert problem(answer)[1] == code


@pytest.mark.parametrize("header", [
    "Basic", "Basic !", "Basic " + base64.b64encode(b"no colon").decode(), "Basic " + base64.b64encode(b"\xff:x").decode(),
    "Basic " + base64.b64encode(b"a:b").decode(),
])  # fmt: skip
async def test_authorization_that_proves_nothing_is_refused(world: World, header: str):
    answer = await (await world.client()).post(
        "/v1/oauth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": header}
    )
    assert (problem(answer), answer.headers["www-authenticate"]) == ((401, "invalid_client"), "Basic")


# --- keys of the client's own ---


def new_pair() -> tuple[str, dict[str, str]]:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = jwk.construct(public.decode(), "ES256").to_dict()
    return pem, {name: parts[name] for name in ("kty", "crv", "x", "y")}


class Signer:
    """A client that signs assertions."""

    def __init__(self, erp: Erp, made: Any, pem: str, kid: str) -> None:
        self.erp, self.made, self.pem, self.kid = erp, made, pem, kid

    @classmethod
    async def of(cls, erp: Erp) -> "Signer":
        made, (pem, public) = await erp.make("account:list"), new_pair()
        path = f"{erp.clients}/{made['id']}/credentials"
        answer = await erp.ada.post(path, json={"kind": "public_key", "public_key": public, "overlap_hours": 0})
        assert (answer.status_code, answer.json()["secret"]) == (201, None)
        return cls(erp, made, pem, answer.json()["hint"])

    def claims(self) -> dict[str, Any]:
        now = int(utc_now().timestamp())
        return {"iss": self.made["id"], "sub": self.made["id"], "aud": self.erp.world.settings.url,
                "jti": uuid4().hex, "iat": now, "exp": now + 60}  # fmt: skip

    def sign(self, claims: dict[str, Any], pem: str | None = None, **headers: Any) -> str:
        return jwt.encode(claims, pem or self.pem, "ES256", {"kid": self.kid, **headers})

    async def send(self, assertion: str, **form: str) -> Response:
        fields = {"grant_type": "client_credentials", "client_assertion_type": ASSERTED, "client_assertion": assertion}
        return await (await self.erp.world.client()).post("/v1/oauth/token", data=fields | form)


async def test_client_proves_itself_with_a_key_that_we_never_saw(erp: Erp, owner: Owner):
    signer = await Signer.of(erp)
    url = erp.world.settings.url
    for audience in (url, f"{url}/v1/oauth/token", ["https://elsewhere.example.com", url]):
        answer = await signer.send(signer.sign(signer.claims() | {"aud": audience}))
        assert answer.status_code == 200, answer.text
        client = await calling(erp.world, answer.json()["access_token"])
        assert (await client.get(f"{erp.path}/accounts")).status_code == 200
    assert problem(await token(erp.world, signer.made)) == (401, "invalid_client"), "its secret has ended"
    await owner.execute("UPDATE used_assertions SET expires_at = now() - interval '1 second'")
    await erp.world.worker().clean_up()
    assert await owner.value("SELECT count(*) FROM used_assertions") == 0


async def test_assertion_is_good_once_however_many_come_at_once(erp: Erp):
    signer = await Signer.of(erp)
    assertion = signer.sign(signer.claims())
    answers = await asyncio.gather(*(signer.send(assertion) for _ in range(10)))
    assert sorted(a.status_code for a in answers) == [200] + [401] * 9
    again = signer.sign(signer.claims() | {"jti": "same"})
    other = signer.sign(signer.claims() | {"jti": "same", "exp": int(utc_now().timestamp()) + 90})
    assert [(await signer.send(a)).status_code for a in (again, other)] == [200, 401]


FORGED: dict[str, Callable[[Signer, dict[str, Any]], str]] = {
    "for somebody else": lambda s, c: s.sign(c | {"aud": "https://elsewhere.example.com"}),
    "for nobody": lambda s, c: s.sign({k: v for k, v in c.items() if k != "aud"}),
    "over": lambda s, c: s.sign(c | {"exp": c["iat"] - 1}),
    "good for long": lambda s, c: s.sign(c | {"exp": c["iat"] + 3600}),
    "without end": lambda s, c: s.sign({k: v for k, v in c.items() if k != "exp"}),
    "end as text": lambda s, c: s.sign(c | {"exp": str(c["exp"])}),
    "without jti": lambda s, c: s.sign({k: v for k, v in c.items() if k != "jti"}),
    "jti of a kind": lambda s, c: s.sign(c | {"jti": ["x"]}),
    "jti too long": lambda s, c: s.sign(c | {"jti": "x" * 300}),
    "another issuer": lambda s, c: s.sign(c | {"iss": str(uuid4())}),
    "another subject": lambda s, c: s.sign(c | {"sub": str(uuid4())}),
    "another client": lambda s, c: s.sign(c | {"iss": str(uuid4()), "sub": str(uuid4())}),
    "another key": lambda s, c: s.sign(c, new_pair()[0]),
    "another kid": lambda s, c: s.sign(c, kid="../../etc/passwd"),
    "no kid": lambda s, c: jwt.encode(c, s.pem, "ES256"),
    "a key of its own": lambda s, c: s.sign(c, jwk=new_pair()[1]),
    "an address of a key": lambda s, c: s.sign(c, jku="https://evil.example.com"),
    "critical": lambda s, c: s.sign(c, crit=["exp"]),
    "not signed": lambda s, c: s.sign(c).rpartition(".")[0] + ".",
    "alg none": lambda s, c: ".".join((
        base64.urlsafe_b64encode(b'{"alg":"none","kid":"%s"}' % s.kid.encode()).decode().rstrip("="),
        s.sign(c).split(".")[1], "",
    )),
    "by a secret": lambda s, c: jwt.encode(c, "secret", "HS256", {"kid": s.kid}),
    "our own key": lambda s, c: jwt.encode(
        c, next(iter(s.erp.world.app.state.keys.signing.values())), "ES256", {"kid": s.kid}
    ),
    "long": lambda s, c: s.sign(c | {"pad": "x" * 5000}),
    "nothing": lambda _, __: "x",
}  # fmt: skip


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
async def test_forged_assertion_proves_nothing(erp: Erp, forge: Any):
    signer = await Signer.of(erp)
    answer = await signer.send(forge(signer, signer.claims()))
    assert (problem(answer), answer.json()["error"]) == ((401, "invalid_client"), "invalid_client")
    assert (await signer.send(signer.sign(signer.claims()))).status_code == 200
    wrong = await signer.send(signer.sign(signer.claims()), client_id=str(uuid4()))
    assert problem(wrong) == (401, "invalid_client")


@pytest.mark.parametrize("change", [
    {"x": "A" * 43}, {"y": None}, {"kty": "RSA"}, {"crv": "P-384"}, {"d": "A" * 43}, {"x": "A" * 42}, {"x": "é" * 43},
])  # fmt: skip
async def test_what_is_no_public_key_on_the_curve_is_refused(erp: Erp, change: dict[str, Any]):
    made, (_, public) = await erp.make(), new_pair()
    body = {"kind": "public_key", "public_key": public | change}
    answer = await erp.ada.post(f"{erp.clients}/{made['id']}/credentials", json=body)
    assert problem(answer) == (422, "invalid")
    (wrong,) = change
    whole = change == {"x": "A" * 43}  # two coordinates that are no point
    assert answer.json()["errors"][0]["pointer"] == ("/public_key" if whole else f"/public_key/{wrong}")
    assert (
        await erp.ada.post(f"{erp.clients}/{made['id']}/credentials", json=body | {"public_key": public})
    ).is_success


async def test_public_key_may_say_what_it_is_for_and_is_taken_once(erp: Erp):
    made, (_, public) = await erp.make(), new_pair()
    path, body = f"{erp.clients}/{made['id']}/credentials", {"kind": "public_key", "public_key": public}
    added = await erp.ada.post(path, json=body | {"public_key": public | {"alg": "ES256", "use": "sig"}})
    assert added.status_code == 201, added.text
    again = await erp.ada.post(path, json=body)
    assert problem(again) == (422, "invalid")
    assert [(e["pointer"], e["code"]) for e in again.json()["errors"]] == [("/public_key", "public_key_taken")]
    assert (await erp.ada.delete(f"{path}/{added.json()['id']}")).status_code == 204
    assert (await erp.ada.post(path, json=body)).status_code == 201
    wrong = await erp.ada.post(path, json=body | {"public_key": "-----BEGIN PUBLIC KEY-----"})
    assert [e["pointer"] for e in wrong.json()["errors"]] == ["/public_key"]


async def test_sessions_of_ended_credentials_are_forgotten_in_time(erp: Erp, owner: Owner):
    made = await erp.make()
    assert (await erp.ada.delete(f"{erp.clients}/{made['id']}", headers=ANY)).status_code == 204
    await owner.execute("UPDATE sessions SET ended_at = now() - interval '100 days' WHERE client_id IS NOT NULL")
    await erp.world.worker().clean_up()
    async with erp.world.transaction(PLATFORM) as db:
        assert await db.get(Session, UUID(made["credentials"][0]["id"])) is None
    assert await owner.value("SELECT count(*) FROM api_credentials") == 0
