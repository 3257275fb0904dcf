"""Whatever arrives, and whatever breaks inside: a problem document, never a 500 that the client made."""

import asyncio
import gzip
import json
import re
import resource
import string
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
import structlog
from httpx import AsyncClient, Response
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import make_url, select

from app.config import Settings
from app.models import PLATFORM, Event, WebhookDelivery, utc_now
from app.policy import Role
from tests.conftest import Server, World, problem, running
from tests.contract import calls, meant, parameters_of

OPERATIONS = [(method.upper(), path, operation) for path, method, operation in calls()]
ORIGIN = "https://app.example.com"
JSON = {"Content-Type": "application/json"}


@dataclass
class Scene:
    """A partner with an account, a member, an invitation; and who acts in it."""

    operator: AsyncClient
    anna: AsyncClient
    anonymous: AsyncClient
    ids: dict[str, str]

    def address(self, path: str) -> str:
        """A path of the contract, filled in with things that exist."""
        invitation = "account_invitation_id" if "/accounts/" in path else "invitation_id"
        of_service = "service_" if path.startswith("/v1/service-clients") else ""
        special = {name: self.ids[of_service + name] for name in ("client_id", "credential_id")}
        return path.format(**self.ids | special | {"invitation_id": self.ids[invitation]})


async def scene(world: World) -> Scene:
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Bob=Role.PARTNER_VIEWER)
    account = await world.account(partner, by="Anna", Bob=Role.ACCOUNT_VIEWER)
    operator, anna = await world.client("Olivia", operator=True), await world.client("Anna")
    here = f"/v1/partners/{partner.id}"
    ids = {"partner_id": str(partner.id), "account_id": str(account.id), "user_id": str((await world.user("Bob")).id)}
    for name, place, role in (("invitation_id", here, "partner_viewer"),
                              ("account_invitation_id", f"{here}/accounts/{account.id}", "account_viewer")):  # fmt: skip
        made = await anna.post(f"{place}/invitations", json={"email": "eva@example.com", "role": role})
        assert made.status_code == 201, made.text
        ids[name] = made.json()["id"]
    column = await anna.post(f"{here}/properties", json={"key": "city", "type": "text", "label": {"en": "City"}})
    assert column.status_code == 201, column.text
    ids["key"] = "city"
    ids |= {"number": "SRV-1"} | await sold(operator, anna, f"{here}/accounts/{account.id}")
    ids["view_id"] = (await anna.post(f"{here}/views", json={"name": "Cities", "shared": True})).json()["id"]
    upload = await anna.post(f"{here}/account-imports", files={"file": ("a.csv", b"name\nA\n")})
    assert upload.status_code == 201, upload.text
    ids["import_id"] = upload.json()["id"]
    ids["session_id"] = (await anna.get("/v1/me/sessions")).json()["items"][0]["id"]
    ids |= await programs(operator, anna, here)
    export = await anna.post("/v1/me/data-exports")
    assert export.status_code == 202, export.text
    ids["export_id"] = export.json()["id"]
    ids["delivery_id"] = await delivery(world, partner.id, UUID(ids["webhook_id"]))
    return Scene(operator, anna, await world.client(), ids)


async def programs(operator: AsyncClient, anna: AsyncClient, here: str) -> dict[str, str]:
    """The ids of a webhook, of an API client and of a service client, each with a secret."""
    hook = await anna.post(f"{here}/webhooks", json={"url": "https://example.com/hook"})
    assert hook.status_code == 201, hook.text
    found = {"webhook_id": hook.json()["id"]}
    for client, path, kind in ((anna, f"{here}/api-clients", ""), (operator, "/v1/service-clients", "service_")):
        made = await client.post(path, json={"name": "ERP", "scopes": ["partner:read"]})
        assert made.status_code == 201, made.text
        found |= {f"{kind}client_id": made.json()["id"], f"{kind}credential_id": made.json()["credentials"][0]["id"]}
    return found


async def delivery(world: World, partner_id: UUID, webhook_id: UUID) -> str:
    """The id of something that waits to be delivered."""
    await world.worker().number_all()
    async with world.transaction(partner_id) as db:
        event = (await db.scalars(select(Event).order_by(Event.id).limit(1))).one()
        assert event.position
        db.add(WebhookDelivery(
            partner_id=partner_id, webhook_id=webhook_id, id=event.id, position=event.position, type=event.type,
            account_id=event.account_id, lane=PLATFORM, begun_at=utc_now(),
        ))  # fmt: skip
    return str(event.id)


async def sold(operator: AsyncClient, anna: AsyncClient, account: str) -> dict[str, str]:
    """The ids of a purchase, of its licence and of a use of it."""
    feature = {"key": "visits", "kind": "quota", "name": {"en": "Visits"}}
    article = {"number": "SRV-1", "name": {"en": "Visit"}, "price": {"amount": "80", "currency": "EUR"},
               "billing_period": "once", "grants": [{"feature": "visits", "units": 1}]}  # fmt: skip
    for client, path, body in ((operator, "/v1/features", feature), (operator, "/v1/articles", article),
                               (anna, f"{account}/articles", {"article": "SRV-1"})):  # fmt: skip
        made = await client.post(path, json=body)
        assert made.status_code == 201, made.text
    licences = (await anna.get(f"{account}/licences")).json()["items"]
    used = await anna.post(f"{account}/claims", json={"feature": "visits", "resource": "visit:1"})
    assert used.status_code == 201, used.text
    return {"purchase_id": made.json()["id"], "licence_id": licences[0]["id"], "feature": "visits",
            "claim_id": used.json()["id"]}  # fmt: skip


def operation(name: str) -> tuple[str, str]:
    """Method and path of an operation of the contract."""
    return next((m, p) for m, p, o in OPERATIONS if o["operationId"] == name)


# --- the router's own refusals ---


async def test_address_that_is_none_is_404(world: World):
    there = await scene(world)
    for path in ("/v2", "/v1", "/v1/", "/v1/partners/", "/v1//partners", "/V1/partners", "/v1/partners/x/y/z", "/%2e%2e/etc",
                 "/v1/me/", "/favicon.ico", "/.env", "/docs/", "/v1/partners%2F", "/pages/../edge.py", "/pages/%2e%2e%2fedge.py",
                 "/problems/no_such_code", "/dev/mail/nothing"):  # fmt: skip
        for client in (there.anonymous, there.anna):
            assert problem(await client.get(path)) == (404, "not_found"), path


async def test_wrong_method_is_405_with_all_methods_of_the_address(world: World):
    there = await scene(world)
    methods: dict[str, set[str]] = {}
    for method, path, _ in OPERATIONS:
        methods.setdefault(path, set()).add(method)
    for path, allowed in methods.items():
        complete = sorted(allowed | ({"HEAD"} if "GET" in allowed else set()))
        for method in ("GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"):
            if method in allowed:
                continue
            answer = await there.anna.request(method, there.address(path))
            assert problem(answer) == (405, "method_not_allowed"), (method, path)
            assert answer.headers["allow"].split(", ") == complete, path
    for path, allow in (("/docs", "GET, HEAD"), ("/openapi.json", "GET, HEAD"), ("/metrics", "GET, HEAD")):
        answer = await there.anonymous.post(path)
        assert (problem(answer), answer.headers["allow"]) == ((405, "method_not_allowed"), allow)


async def test_static_segments_are_not_swallowed_by_ids(world: World):
    """`/v1/partners/x` is read as an id, which it is not; it is not a 404 of the router."""
    there = await scene(world)
    for path in ("/v1/partners/x", f"/v1/partners/{there.ids['partner_id']}/accounts/x"):
        answer = await there.anna.get(path)
        assert problem(answer) == (422, "invalid")
        assert answer.json()["errors"][0]["code"] == "uuid_parsing"


async def test_head_is_get_without_its_body(world: World):
    there = await scene(world)
    await world.worker().beat()
    for method, path, _ in OPERATIONS:
        if method != "GET":
            continue
        address = there.address(path)
        for client in (there.operator, there.anonymous):
            await client.get(address)  # an operator's first look makes the audit log longer
            full, head = await client.get(address), await client.head(address)
            assert (head.status_code, head.content) == (full.status_code, b""), path
            changing = ("x-request-id", "content-length", "ratelimit")
            assert {k: v for k, v in head.headers.items() if k not in changing} == {
                k: v for k, v in full.headers.items() if k not in changing
            }, path
    for page in ("/", "/docs", "/register", "/reset-password", "/problems", "/openapi.json", "/metrics", "/dev/mail"):
        head = await there.anonymous.head(page)
        assert (head.status_code, head.content) == (200, b""), page


# --- bodies ---

CREATE = "/v1/partners/{partner_id}/accounts"


async def post_raw(there: Scene, body: bytes, headers: dict[str, str] | None = None) -> Response:
    """An account by a raw body, as JSON unless told otherwise."""
    return await there.anna.post(there.address(CREATE), content=body, headers=JSON if headers is None else headers)


async def accounts_of(there: Scene) -> list[str]:
    return [a["name"] for a in (await there.anna.get(there.address(CREATE))).json()["items"]]


async def test_unreadable_json_is_400(world: World):
    there = await scene(world)
    before = await accounts_of(there)
    for body in (
        b"{", b"[", b"nul", b"'x'", b'{"name": "A"', b'{"name": "A"} x', b'{"name": "A",}', b'{name: "A"}', b"\x00", b" ",
        b'{"name": NaN}', b'{"name": Infinity}', b'{"name": -Infinity}', b"NaN", b'{"name": 1e400}', b'{"name": -1e400}',
        b'{"name": "A", "name": "B"}', b'{"x": {"a": 1, "a": 1}}', b'[{"a": 1, "a": 2}]', b'{"a": 1, "\\u0061": 2}',
        b'{"name": "\\ud800"}', b'{"name": "\\udc00x"}', b'{"\\ud800": 1}', b'{"name": "\\ud800\\ud800"}', b'"\\udfff"',
        b'{"name": "\xff"}', b'{"name": "\xc3\x28"}', b'{"name": "\xed\xa0\x80"}', b'{"name": "\xc0\x80"}', b"\xef\xbb\xbf{}",
        '{"name": "A"}'.encode("utf-16"), '{"name": "A"}'.encode("utf-32"), b'{"name": "A\nB"}', b'{"name": "\x00"}',
        b'{"name": 1e-99999999999999999999}', b'{"name": 0e99999999999999999999}', b'{"name": 1e-999999999}',
        b'{"name": 1.' + b"0" * 900_000 + b"1}", b'{"name": 0.' + b"0" * 5000 + b"1}",
        b'{"name": ' + b"9" * 5000 + b"}", b'{"name": -' + b"9" * 5000 + b"}", b"[" * 9_000, b'{"a":' * 9_000,
        b"[" * 9_000 + b"]" * 9_000, b'{"name":' + b"[" * 33 + b"]" * 33 + b"}", b'{"a":' * 34 + b"1" + b"}" * 34,
    ):  # fmt: skip
        started = time.monotonic()
        answer = await post_raw(there, body)
        assert problem(answer) == (400, "malformed_request"), body[:60]
        assert time.monotonic() - started < 1
    assert await accounts_of(there) == before


async def test_json_that_is_readable_but_wrong_is_422_and_names_the_field(world: World):
    there = await scene(world)
    before = await accounts_of(there)
    for body, faults in [
        (b"", [("", "missing")]),
        (b"null", [("", "model_attributes_type")]),
        (b"[]", [("", "model_attributes_type")]),
        (b'"x"', [("", "model_attributes_type")]),
        (b"1", [("", "model_attributes_type")]),
        (b"true", [("", "model_attributes_type")]),
        (b'[{"name": "A"}]', [("", "model_attributes_type")]),
        (b"{}", [("/name", "missing")]),
        (b'{"name": null}', [("/name", "string_type")]),
        (b'{"name": 1e308}', [("/name", "string_type")]),
        (b'{"name": ' + b"9" * 4000 + b"}", [("/name", "string_type")]),
        (b'{"name": ["A"]}', [("/name", "string_type")]),
        (b'{"name": "A\\u0000"}', [("/name", "unprintable")]),
        (b'{"name": "A", "\\u0000": 1}', [("", "unprintable")]),
        (b'{"name": "A", "x": 1}', [("/x", "extra_forbidden")]),
        (b'{"name": "A", "a/b~c": 1, "b-c": 2}', [("/?", "extra_forbidden"), ("/b-c", "extra_forbidden")]),
        (b'{"name": "A", "__proto__": {}}', [("/__proto__", "extra_forbidden")]),
        ('{"name": "A", "' + "k" * 5000 + '": 1}', [("/?", "extra_forbidden")]),
        ('{"name": "A", "\\u202e": 1}', [("/?", "extra_forbidden")]),
        (b'{"name": ""}', [("/name", "string_too_short")]),
        (b'{"name": "   "}', [("/name", "string_too_short")]),
        (b'{"name": "' + b"x" * 121 + b'"}', [("/name", "string_too_long")]),
    ]:
        answer = await post_raw(there, body.encode() if isinstance(body, str) else body)
        assert problem(answer) == (422, "invalid"), body[:60]
        assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == faults, body[:60]
    assert await accounts_of(there) == before


async def test_whole_number_is_one_however_it_is_written(world: World):
    """JSON Schema has no other integers, and some languages write 2 as 2.0."""
    there = await scene(world)
    for limit, taken in (("2", True), ("2.0", True), ("2e0", True), ("0.2e1", True), ("2.5", False),
                         ("2.00000000000000000001", False), ("9007199254740993.0", False), ("true", False)):  # fmt: skip
        searches = there.address(CREATE).replace("/accounts", "/account-searches")
        answer = await there.anna.post(searches, content=f'{{"limit": {limit}}}'.encode(), headers=JSON)
        assert answer.status_code == (200 if taken else 422), (limit, answer.text)


async def test_errors_never_repeat_the_input(world: World):
    there = await scene(world)
    for body in (b'{"name": 1, "canary4711": "canary4712"}', b'{"name": ["canary4712"]}', b'{"name": "canary4712\\u0000"}',
                 b'{"name": "\\u202ecanary4712"}', b'canary4712'):  # fmt: skip
        answer = await post_raw(there, body)
        assert answer.status_code in (400, 422)
        assert "canary4712" not in answer.text
    for query in (
        "limit=canary4712",
        "cursor=canary4712",
        "sort=canary4712",
        "filter=canary4712",
        "filter=name:canary4712:x",
    ):
        answer = await there.anna.get(f"{there.address(CREATE)}?{query}")
        assert answer.status_code == 422
        assert "canary4712" not in answer.text


async def test_only_utf8_json_is_taken(world: World):
    there = await scene(world)
    before = await accounts_of(there)
    body = b'{"name": "Neu"}'
    for kind in (None, "", "text/plain", "text/json", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data",
                 "application/json; charset=latin-1", "application/json; charset=utf-16", "application/json;charset=utf-8;x=y",
                 "application/jsonp", "application/problem+json", "json", "*/*", "application/json, text/plain", "\xe9"):  # fmt: skip
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await there.anna.post(
            there.address(CREATE), content=body, headers={k.encode(): v.encode("latin-1") for k, v in headers.items()}
        )
        assert problem(answer) == (415, "unsupported_media_type"), kind
    assert await accounts_of(there) == before
    for number, kind in enumerate(("application/json", "application/json; charset=utf-8", 'Application/JSON;Charset="UTF-8"',
                                   "application/merge-patch+json")):  # fmt: skip
        made = await post_raw(there, b'{"name": "Neu %d"}' % number, {"Content-Type": kind})
        assert made.status_code == 201, (kind, made.text)


async def test_encoded_bodies_are_not_unpacked(world: World):
    there = await scene(world)
    bomb = gzip.compress(b'{"name": "' + b"x" * 50_000_000 + b'"}')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for coding in ("gzip", "deflate", "br", "zstd", "x-gzip", "gzip, gzip", "identity, gzip"):
        answer = await post_raw(there, bomb, JSON | {"Content-Encoding": coding})
        assert problem(answer) == (415, "unsupported_media_type"), coding
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    assert problem(await post_raw(there, bomb)) == (400, "malformed_request")
    assert (await post_raw(there, b'{"name": "B"}', JSON | {"Content-Encoding": "identity"})).status_code == 201


async def test_body_over_the_limit_is_413_with_or_without_a_declared_length(world: World):
    there = await scene(world)
    limit = world.settings.body_bytes
    before = await accounts_of(there)

    async def pieces(number: int) -> AsyncGenerator[bytes]:
        for _ in range(number):
            yield b" " * 65_536

    for length in (str(limit + 1), str(10**12), "9" * 30, "9" * 400):
        answer = await post_raw(there, b"{}", JSON | {"Content-Length": length})
        assert problem(answer) == (413, "content_too_large"), length
        assert answer.headers["connection"] == "close"
    started = time.monotonic()
    answer = await there.anna.post(there.address(CREATE), content=pieces(1600), headers=JSON)  # 100 MiB
    assert problem(answer) == (413, "content_too_large")
    assert time.monotonic() - started < 1
    assert problem(await post_raw(there, b" " * (limit + 1))) == (413, "content_too_large")
    full = b'{"name": "Full"' + b" " * (limit - 16) + b"}"
    assert len(full) == limit
    assert (await post_raw(there, full)).status_code == 201
    assert await accounts_of(there) == sorted([*before, "Full"])


async def test_many_keys_are_refused_in_time(world: World):
    """In processor time: how fast the machine is otherwise is not the question."""
    there = await scene(world)
    keys = b"{" + b",".join(b'"%x":0' % n for n in range(100_000)) + b"}"
    assert len(keys) < world.settings.body_bytes
    values = b"[" + b",".join([b"[]"] * 300_000) + b"]"
    cases: list[tuple[bytes, int, str]] = [
        (keys, 413, "content_too_large"), (b'{"name": ' + keys + b"}", 413, "content_too_large"),
        (b"[" + b",".join([b'"x"'] * 200_000) + b"]", 413, "content_too_large"), (values, 413, "content_too_large"),
        (b'{"name": ' + values + b"}", 413, "content_too_large"), (b"[" * 100_000, 413, "content_too_large"),
        (b'{"a":' * 100_000, 413, "content_too_large"), (b"[" + b"0," * 400_000 + b"0]", 413, "content_too_large"), (b'{"name": "' + b"\\u0001" * 170_000 + b'"}', 422, "invalid"),
    ]  # fmt: skip
    for body, status, code in cases:
        started = time.process_time()
        answer = await post_raw(there, body)
        assert time.process_time() - started < 1
        assert problem(answer) == (status, code), body[:20]
        assert len(answer.content) < 1000


@pytest.mark.slow
async def test_a_million_keys_within_a_larger_limit_are_refused_in_time(settings: Settings):
    body = b"{" + b",".join(b'"%x":0' % n for n in range(1_000_000)) + b"}"
    async with running(settings.model_copy(update={"body_bytes": len(body)})) as world:
        there = await scene(world)
        started = time.process_time()
        assert problem(await post_raw(there, body)) == (413, "content_too_large")
        assert time.process_time() - started < 2.5  # it has to be read once


# --- targets and headers ---


async def test_unreadable_targets_are_400(world: World):
    there = await scene(world)
    accounts = there.address(CREATE)
    for target in ("/%00", "/v1/me%00", f"{accounts}?q=%00", f"{accounts}?q=a%00b", "/%ff", "/v1/%c3%28", f"{accounts}?q=%ff",
                   f"{accounts}?%ff=1", f"{accounts}?q=%ed%a0%80", f"{accounts}?q=%c0%80", f"{accounts}/%e2%82", "/?%00"):  # fmt: skip
        for client in (there.anna, there.anonymous):
            assert problem(await client.get(target)) == (400, "malformed_request"), target
    for target in (f"{accounts}?q=%e2%82%ac", f"{accounts}?q=%", f"{accounts}?q=%zz", f"{accounts}?q=%25", f"{accounts}?&&=&",
                   f"{accounts}?limit=5&limit=6", f"{accounts}?unknown=1"):  # fmt: skip
        assert (await there.anna.get(target)).status_code in (200, 422), target


async def test_huge_headers_and_addresses_are_431(world: World):
    there = await scene(world)
    for call in (
        there.anna.get("/v1/me", headers={"X-Long": "x" * 33_000}),
        there.anna.get("/v1/me", headers={f"X-{n}": "y" * 100 for n in range(400)}),
        there.anna.get("/v1/me", headers={"Cookie": "a=b; " * 10_000}),
        there.anonymous.get("/v1/me", headers={"Authorization": "Bearer " + "a" * 1_000_000}),
        there.anna.get("/v1/me?" + "x" * 17_000),
        there.anna.get("/" + "a" * 17_000),
    ):
        assert problem(await call) == (431, "headers_too_large")
    assert (await there.anna.get("/v1/me", headers={"X-Long": "x" * 20_000})).status_code == 200
    unknown = await there.anna.get("/v1/me?x=" + "x" * 15_000)
    assert (problem(unknown), unknown.json()["errors"][0]["pointer"]) == ((422, "invalid"), "query:x")


@pytest.mark.parametrize(
    "host", ["[", "a b", "[::1", "x:y:z", "\xe9", "//", "@", "test\\", "a" * 300, "evil.example.com", ""]
)
async def test_no_host_header_breaks_an_answer(world: World, host: str):
    """Nor does it get into one: addresses in answers are paths."""
    there = await scene(world)
    accounts = there.address(CREATE)
    headers = {b"Host": host.encode("latin-1")}
    made = await there.anna.post(accounts, json={"name": "Neu"}, headers=headers | {b"Idempotency-Key": b"k"})
    assert made.status_code in (201, 400), made.text
    page = await there.anna.get(f"{accounts}?limit=1", headers=headers)
    assert page.status_code in (200, 400)
    if page.status_code == 200:
        assert page.headers["link"].startswith(f"<{accounts}?")
        assert made.headers["location"].startswith(accounts)
    else:
        assert problem(page) == problem(made) == (400, "malformed_request")
    for answer in (await there.anna.put("/v1/me", headers=headers), await there.anna.get("/nothing", headers=headers)):
        assert problem(answer)[0] in (400, 404, 405)


# --- what every answer bears ---


async def test_request_id_is_taken_or_made_and_is_on_every_answer(world: World):
    there = await scene(world)
    for path in ("/v1/me", "/nothing", "/health/live", "/docs", "/openapi.json"):
        for mine in ("abc-DEF_1.2", "x", "y" * 64):
            assert (await there.anna.get(path, headers={"X-Request-Id": mine})).headers["x-request-id"] == mine
        for bad in ("", "y" * 65, "a b", "a/b", "ä".encode().decode("latin-1"), "a;b", "<x>", '"', "a\tb", "{}", "%0a"):
            answer = await there.anna.get(path, headers={b"X-Request-Id": bad.encode("latin-1")})
            made = UUID(answer.headers["x-request-id"])
            assert made.version == 7, bad
    one, other = await there.anna.get("/v1/me"), await there.anna.get("/v1/me")
    assert one.headers["x-request-id"] != other.headers["x-request-id"]


async def test_change_log_knows_the_request_id(world: World):
    there = await scene(world)
    await there.anna.post(there.address(CREATE), json={"name": "B"}, headers={"X-Request-Id": "ticket-4711"})
    found = await world.events(UUID(there.ids["partner_id"]))
    assert {e.type for e in found if e.request_id == "ticket-4711"} == {"account.created", "account_member.added"}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (None, "en"), ("", "en"), ("de", "de"), ("en", "en"), ("de-AT", "de"), ("DE", "de"), ("fr", "en"), ("*", "en"),
        ("fr, de", "de"), ("fr,de;q=0.5,en;q=0.4", "de"), ("de;q=0.5, en;q=0.9", "en"), ("de; q=0.9, en; q=0.1", "de"),
        ("de ; q=0.9", "de"), ("de;q=0", "en"), ("de;q=0, en;q=0", "en"), ("en;q=0.8, de;q=0.8", "en"), ("de;Q=1.0", "de"),
        ("de;q=1.001", "en"), ("de;q=x", "en"), ("de;q=-1", "en"), ("de;q=", "de"), (",,,;;;", "en"), ("\xff\xfe", "en"),
        ("d" * 5000, "en"), ("fr," * 5000 + "de", "en"), ("de;q=nan", "en"), ("de;q=1e9", "en"), ("german", "en"),
    ],
)  # fmt: skip
async def test_problems_speak_the_best_accepted_language(world: World, accepted: str | None, language: str):
    anonymous = await world.client()
    headers = {b"Accept-Language": accepted.encode("latin-1")} if accepted is not None else {}
    for path, titles in (("/v1/me", {"en": "A valid access token is required", "de": "Ein gültiges Zugriffstoken ist nötig"}),
                         ("/nothing", {"en": "Not found", "de": "Nicht gefunden"}),
                         ("/%00", {"en": "The request cannot be read", "de": "Die Anfrage ist nicht lesbar"})):  # fmt: skip
        answer = await anonymous.get(path, headers=headers)
        problem(answer)
        assert (answer.json()["title"], answer.headers["content-language"]) == (titles[language], language)
        assert "Accept-Language" in answer.headers["vary"]


ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}


async def test_every_operation_bears_the_security_headers_and_only_public_keys_are_stored(world: World):
    """On success and on refusal alike: of each operation, of unknown addresses, and of what the edge refuses."""
    there = await scene(world)
    last = [("DELETE", "/v1/sessions")]  # ends the operator's session
    ordered = sorted(OPERATIONS, key=lambda o: ((o[0], o[1]) in last, o[0] == "DELETE"))
    seen: set[int] = set()
    for method, path, _ in ordered:
        for client in (there.anonymous, there.operator):
            answer = await client.request(method, there.address(path), headers={"If-Match": "*"})
            kept = {"cache-control": "public, max-age=300"} if path == "/.well-known/jwks.json" else {}
            assert {k: answer.headers.get(k) for k in ALWAYS} == ALWAYS | kept, (method, path)
            assert "server" not in answer.headers
            seen.add(answer.status_code)
    assert seen >= {200, 204, 401, 404, 422}
    for call in (there.anna.get("/nothing"), there.anna.get("/%00"), there.anna.put("/v1/me"),
                 there.anna.get("/v1/me", headers={"X": "x" * 40_000}),
                 there.anna.get("/v1/me", headers={"If-None-Match": "*"})):  # fmt: skip
        answer = await call
        assert {k: answer.headers.get(k) for k in ALWAYS} == ALWAYS, answer.status_code


async def test_pages_are_revalidated_and_have_a_policy_of_their_own(world: World):
    anonymous = await world.client()
    for page in ("/", "/docs", "/register", "/reset-password", "/problems", "/problems/not_found", "/dev/mail"):
        answer = await anonymous.get(page)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache"), page
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        for name in ("x-content-type-options", "referrer-policy", "x-frame-options"):
            assert answer.headers[name] == ALWAYS[name]
        assert not re.search(r"(src|href)=.https?://(?!www\.rfc)", answer.text.replace(world.settings.url, "")), page


async def test_strict_transport_security_is_sent_where_the_service_is_public_over_https(settings: Settings):
    secure = settings.model_copy(update={"public_url": "https://partners.example.com"})
    async with running(secure) as world:
        for path in ("/health/live", "/nothing", "/%00"):
            answer = await (await world.client()).get(path)
            assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_large_answers_are_compressed_and_small_ones_are_not(world: World):
    there = await scene(world)
    for number in range(12):
        assert (await there.anna.post(there.address(CREATE), json={"name": f"N{number}"})).status_code == 201
    plain = await there.anna.get(there.address(CREATE), headers={"Accept-Encoding": "identity"})
    assert len(plain.content) > 1024
    assert "content-encoding" not in plain.headers
    for accepted, used in (("gzip", "gzip"), ("zstd", "zstd"), ("gzip, zstd", "zstd"), ("br", None), ("gzip;q=0", None),
                           ("nonsense;;q=x,,", None), ("*", None)):  # fmt: skip
        answer = await there.anna.get(there.address(CREATE), headers={"Accept-Encoding": accepted})
        assert answer.headers.get("content-encoding") in ({used} if accepted != "*" else {None, "gzip", "zstd"}), (
            accepted
        )
        assert answer.json() == plain.json()
        assert "Accept-Encoding" in answer.headers.get("vary", "") or used is None
        if used:
            assert int(answer.headers["content-length"]) < len(plain.content) / 2
    for path in ("/health/live", "/nothing"):
        small = await there.anna.get(path, headers={"Accept-Encoding": "gzip, zstd"})
        assert "content-encoding" not in small.headers


# --- CORS ---


async def test_browser_of_an_allowed_origin_may_read_successes_and_errors(settings: Settings):
    async with running(settings.model_copy(update={"cors_origins": (ORIGIN,)})) as world:
        there = await scene(world)
        for call in (
            there.anna.get("/v1/me", headers={"Origin": ORIGIN}),
            there.anonymous.get("/v1/me", headers={"Origin": ORIGIN}),
            there.anna.get("/nothing", headers={"Origin": ORIGIN}),
            there.anna.put("/v1/me", headers={"Origin": ORIGIN}),
            there.anna.get("/%00", headers={"Origin": ORIGIN}),
            there.anna.get("/v1/me", headers={"Origin": ORIGIN, "X": "x" * 40_000}),
            post_raw(there, b"{}", JSON | {"Origin": ORIGIN, "Content-Length": "99999999"}),
            post_raw(there, b"{}", JSON | {"Origin": ORIGIN, "Content-Encoding": "gzip"}),
        ):
            answer = await call
            assert answer.headers["access-control-allow-origin"] == ORIGIN, answer.status_code
            assert "Origin" in answer.headers["vary"]
            shown = answer.headers["access-control-expose-headers"]
            assert {"ETag", "Location", "Link", "X-Request-Id", "Retry-After"} <= set(shown.split(", "))
            assert "access-control-allow-credentials" not in answer.headers
        for origin in (
            "https://evil.example.com",
            f"{ORIGIN}.evil.com",
            "null",
            "http://app.example.com",
            ORIGIN.upper(),
            "*",
        ):
            for path in ("/v1/me", "/%00"):
                answer = await there.anna.get(path, headers={"Origin": origin})
                assert "access-control-allow-origin" not in answer.headers, (origin, path)


async def test_preflight_is_answered_for_allowed_origins_and_refused_with_a_problem(settings: Settings):
    async with running(settings.model_copy(update={"cors_origins": (ORIGIN,)})) as world:
        there = await scene(world)
        asks = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,if-match"}
        ok = await there.anonymous.options("/v1/me", headers=asks | {"Origin": ORIGIN})
        assert ok.status_code == 200
        assert ok.headers["access-control-allow-origin"] == ORIGIN
        assert "PATCH" in ok.headers["access-control-allow-methods"]
        assert ok.headers["access-control-allow-headers"] == "authorization,if-match"
        assert ok.headers["access-control-max-age"] == "3600"
        refused = await there.anonymous.options("/v1/me", headers=asks | {"Origin": "https://evil.example.com"})
        assert problem(refused) == (405, "method_not_allowed")
        assert refused.headers["allow"] == "GET, HEAD, PATCH"
        assert "access-control-allow-origin" not in refused.headers
        strange = {"Origin": ORIGIN, "Access-Control-Request-Method": "TRACE"}
        assert problem(await there.anonymous.options("/v1/me", headers=strange)) == (405, "method_not_allowed")


async def test_without_configured_origins_no_browser_of_another_origin_may_read_anything(world: World):
    there = await scene(world)
    for path in ("/v1/me", "/%00", "/nothing"):
        answer = await there.anna.get(path, headers={"Origin": ORIGIN})
        assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    assert problem(await there.anna.options("/v1/me", headers=preflight)) == (405, "method_not_allowed")


# --- what breaks inside ---


async def test_unexpected_failure_is_500_and_tells_nothing(settings: Settings, server: Server, database: str):
    async with running(settings.model_copy(update={"cors_origins": (ORIGIN,)})) as world:
        there = await scene(world)
        await server.execute("ALTER FUNCTION memberships_of(uuid) RENAME TO secret_name_of_a_function",
                             "ALTER TABLE accounts RENAME COLUMN name TO secret_name_of_a_column", database=database)  # fmt: skip
        for method, path in (("GET", "/v1/me"), ("GET", there.address(CREATE)), ("POST", there.address(CREATE))):
            with structlog.testing.capture_logs() as logged:
                answer = await there.anna.request(method, path, json={"name": "B"}, headers={"Origin": ORIGIN})
            assert next((e["event"], e["log_level"]) for e in logged) == ("request failed", "error")
            assert problem(answer) == (500, "internal_error"), path
            assert answer.json()["detail"] == "Nothing was changed. Try again; if it stays, report the request id."
            for word in ("secret", "column", "function", "sql", "asyncpg", "Traceback", "accounts.name"):
                assert word not in answer.text
            assert {k: answer.headers.get(k) for k in ALWAYS} == ALWAYS
            assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert (await there.anonymous.get("/health/live")).status_code == 200
        await server.execute("ALTER FUNCTION secret_name_of_a_function(uuid) RENAME TO memberships_of",
                             "ALTER TABLE accounts RENAME COLUMN secret_name_of_a_column TO name", database=database)  # fmt: skip
        assert (await there.anna.get("/v1/me")).status_code == 200
        assert "B" not in await accounts_of(there)


async def refused_while(there: Scene, seconds: float = 3) -> None:
    """Every kind of request is answered 503 with Retry-After; what needs no database works."""
    started = time.monotonic()
    answers = await asyncio.gather(
        there.anna.get("/v1/me"), there.anna.get(there.address(CREATE)), there.anonymous.get("/health/ready"),
        there.anna.post(there.address(CREATE), json={"name": "B"}, headers={"Idempotency-Key": "k"}),
        there.anonymous.post("/v1/sessions", json={"email": "a@example.com", "password": "x"}),
    )  # fmt: skip
    for answer in answers:
        assert problem(answer) == (503, "unavailable"), answer.text
        assert int(answer.headers["retry-after"]) > 0
    assert time.monotonic() - started < seconds
    assert (await there.anonymous.get("/health/live")).status_code == 200


async def recovered(there: Scene) -> None:
    made = await there.anna.post(there.address(CREATE), json={"name": "B"}, headers={"Idempotency-Key": "k"})
    assert made.status_code == 201, made.text
    answers = await asyncio.gather(*(there.anna.get("/v1/me") for _ in range(12)))
    assert {a.status_code for a in answers} == {200}


async def test_database_that_was_renamed_or_closed_is_503_until_it_is_back(world: World, server: Server, database: str):
    there = await scene(world)
    ends = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE '{database}%' AND pid <> pg_backend_pid()"
    await server.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false", ends)
    await refused_while(there)
    await server.execute(
        f"ALTER DATABASE {database} ALLOW_CONNECTIONS true",
        ends,
        f"ALTER DATABASE {database} RENAME TO {database}_away",
    )
    await refused_while(there)
    await server.execute(f"ALTER DATABASE {database}_away RENAME TO {database}")
    await recovered(there)


async def test_connections_that_were_cut_are_replaced_unseen(world: World, server: Server, database: str):
    there = await scene(world)
    await asyncio.gather(*(there.anna.get("/v1/me") for _ in range(12)))
    for _ in range(3):
        await server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        answers = await asyncio.gather(*(there.anna.get("/v1/me") for _ in range(12)))
        assert {a.status_code for a in answers} == {200}


@pytest.mark.parametrize(("when", "status", "made"), [("", 201, ["B"]), ("DEFERRABLE INITIALLY DEFERRED", 503, [])])
async def test_connection_lost_before_the_commit_is_replaced_and_during_the_commit_is_503(
    world: World, server: Server, database: str, when: str, status: int, made: list[str]
):
    """Once only; a commit that may have gone through is not repeated behind the client's back."""
    there = await scene(world)
    await server.execute(
        "CREATE SEQUENCE losses", "GRANT USAGE ON losses TO tenantry_app",
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('losses') = 1 THEN"
        " PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END IF; RETURN NULL; END $$",
        f"CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON accounts {when} FOR EACH ROW EXECUTE FUNCTION lose()",
        database=database,
    )  # fmt: skip
    answer = await there.anna.post(there.address(CREATE), json={"name": "B"})
    assert answer.status_code == status, answer.text
    assert [name for name in await accounts_of(there) if name == "B"] == made


@dataclass
class Wire:
    """A TCP way to the database that can be cut, closed, or go silent."""

    target: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
    port: int = 0
    silent: bool = False
    server: asyncio.Server | None = None
    open: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])
    tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Reset all connections, and take no more."""
        assert self.server is not None
        self.server.close()
        for writer in list(self.open):
            writer.transport.abort()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.open.add(writer)
        with suppress(OSError):
            if self.silent:
                await reader.read()
            else:
                far_reader, far_writer = await self.target()
                self.open.add(far_writer)
                await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        self.tasks.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()
        self.open.discard(writer)


@asynccontextmanager
async def wired(settings: Settings) -> AsyncGenerator[tuple[World, Wire]]:
    """A world whose database is reached over a `Wire`."""
    assert settings.database_url is not None
    url = make_url(settings.database_url.get_secret_value())
    folder, port = url.query.get("host"), url.port or int(str(url.query.get("port", 5432)))

    async def target() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if folder:
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
        return await asyncio.open_connection(url.host, port)

    wire = Wire(target)
    await wire.listen()
    near = url.set(host="127.0.0.1", port=wire.port, query={}).render_as_string(hide_password=False)
    try:
        async with running(settings.model_copy(update={"database_url": SecretStr(near)})) as world:
            yield world, wire
    finally:
        await wire.cut()


async def test_database_that_refuses_is_503_until_it_is_back(settings: Settings):
    async with wired(settings) as (world, wire):
        there = await scene(world)
        await wire.cut()
        await refused_while(there)
        await wire.listen()
        await recovered(there)


@pytest.mark.slow
async def test_database_that_accepts_and_says_nothing_is_503_until_it_is_back(settings: Settings):
    async with wired(settings) as (world, wire):
        there = await scene(world)
        await wire.cut()
        wire.silent = True
        await wire.listen()
        await refused_while(there, seconds=8)  # an attempt to connect takes five
        await wire.cut()
        wire.silent = False
        await wire.listen()
        await recovered(there)


# --- anything at all ---

texts = st.text(max_size=40) | st.text(string.printable, max_size=200) | st.sampled_from(
    ["", "\0", "'", '"', "\u2028", "\ud7ff", "ﬁ", "💥" * 9, "-1", "9" * 30, "true", "null", "*", "../..", "%00", "a" * 5000,
     "active", "account_admin", "partner_viewer", "eva@example.com", "de", "name:eq:x", "status:in:a,b", "-created_at"])  # fmt: skip
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
anything = st.recursive(plain, lambda v: st.lists(v, max_size=4) | st.dictionaries(texts, v, max_size=4), max_leaves=12)
segments = texts.filter(lambda t: t not in ("", ".", "..") and "/" not in t)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80)


def fields_of(shown: dict[str, Any]) -> list[str]:
    """The fields of an operation's body."""
    (content,) = shown["requestBody"]["content"].values()
    schema = meant(content["schema"])
    return sorted({field for kind in schema.get("oneOf", [schema]) for field in meant(kind)["properties"]})


@dataclass
class Shot:
    """One generated request, and who sends it."""

    who: str
    method: str
    path: str
    shown: dict[str, Any]
    strange: dict[str, str]
    query: list[tuple[str, str]]
    headers: dict[bytes, bytes]
    content: bytes | None


@st.composite
def shots(draw: st.DrawFn) -> Shot:
    method, path, shown = draw(st.sampled_from(OPERATIONS))
    names = re.findall(r"{(\w+)}", path)
    strange = (
        draw(st.dictionaries(st.sampled_from(names), segments, max_size=1)) if names and draw(st.booleans()) else {}
    )
    parameters = [p["name"] for p in parameters_of(shown) if p["in"] == "query"]
    query = draw(st.lists(st.tuples(st.sampled_from(parameters) if parameters else texts, texts), max_size=3))
    kinds = ["if-match", "idempotency-key", "if-none-match", "accept-language", "x-request-id", "accept-encoding", "origin", "range",
             "traceparent", "user-agent", "accept", "x-forwarded-for", "x-http-method-override", "expect"]  # fmt: skip
    given = draw(
        st.dictionaries(
            st.sampled_from(kinds), header_values | st.sampled_from(["*", '"1"', '"1-1"', "gzip"]), max_size=4
        )
    )
    headers = {k.encode(): v.encode("latin-1") for k, v in given.items()}
    content = None
    if "requestBody" in shown:
        shaped = st.dictionaries(st.sampled_from(fields_of(shown)), anything)
        content = draw(st.binary(max_size=60) | shaped.map(_dumped) | shaped.map(_dumped) | anything.map(_dumped))
        kind = next(iter(shown["requestBody"]["content"]))
        if kind == FORM:
            kind, content = f"{FORM}; boundary=b", draw(shaped.map(_as_form) | st.just(content))
        headers[b"content-type"] = draw(st.just(kind.encode()) | header_values.map(lambda v: v.encode("latin-1")))
    return Shot(draw(st.sampled_from(["operator", "anna"])), method, path, shown, strange, query, headers, content)


FORM = "multipart/form-data"


def _as_form(fields: dict[str, Any]) -> bytes:
    """A form whose file and fields hold anything."""
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"{"; filename=f" * (name == "file")}\r\n\r\n'
                    f"{value}\r\n" for name, value in fields.items())  # fmt: skip
    return f"{parts}--b--\r\n".encode()


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.slow
@given(shot=shots())
@budget(max_examples=600, derandomize=True, database=None, deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large])  # fmt: skip
async def test_whatever_is_sent_is_answered_as_the_contract_says(world: World, shot: Shot):
    """Never a 5xx; from 400 on a problem document; and only statuses that the operation documents."""
    there: Scene | None = getattr(world, "scene", None)
    if there is None:
        there = await scene(world)
        object.__setattr__(world, "scene", there)
        await world.worker().beat()
    for name in ("operator", "anna"):  # an earlier shot may have logged them out
        if (await getattr(there, name).get("/v1/me/totp")).status_code != 200:
            setattr(
                there, name, await world.client("Olivia" if name == "operator" else "Anna", operator=name == "operator")
            )
    path = shot.path
    for name, value in shot.strange.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    client: AsyncClient = getattr(there, shot.who)
    query = "&".join(f"{quote(k)}={quote(v)}" for k, v in shot.query)
    answer = await client.request(
        shot.method, f"{there.address(path)}?{query}", content=shot.content, headers=shot.headers
    )
    assert answer.status_code < 500, (shot, answer.text)
    assert str(answer.status_code) in shot.shown["responses"], (shot, answer.text)
    if answer.status_code >= 400:
        problem(answer)


async def test_in_development_only_this_machine_has_a_name(world: World):
    """Else a web page could have its own name point here (DNS rebinding), and read the mailbox."""
    anonymous = await world.client()
    for path in ("/dev/mail", "/v1/roles", "/health/live"):
        for host, status in (("evil.example", 400), ("evil.example:8000", 400), ("127.0.0.1.evil.example", 400),
                             ("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200)):  # fmt: skip
            assert (await anonymous.get(path, headers={"Host": host})).status_code == status, host
