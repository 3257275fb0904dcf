"""Attacks: strange input of all new operations. Never a 5xx; nothing accepted that is no field."""

import itertools
import json
from typing import Any

import pytest

from app.models import FeatureKind
from app.policy import Role
from tests import shop
from tests.conftest import Owner, World
from tests.pools import at, claim, feature

R = Role
STAR = {"If-Match": "*"}
STRANGE: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    2**31,
    2**63,
    10**30,
    1e308,
    "",
    " ",
    "\u0000",
    "a\u0000b",
    "\ud800",
    "x" * 5000,
    "٣",
    "1e5",
    "NaN",
    "-0",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2999-12-31T23:59:59.999Z",
    "2000-01-01T00:00:00Z",
    "2026-01-01T00:00:00+24:00",
    "2026-12-31T23:59:60Z",
    [],
    {},
    ["x"],
    {"amount": "1e5", "currency": "EUR"},
    {"amount": "999999999999.9999", "currency": "XXX"},
    {"amount": "999999999999.9999", "currency": "JPY"},
    {"amount": "NaN", "currency": "EUR"},
    {"amount": "-1", "currency": "EUR"},
    {"amount": "١", "currency": "EUR"},
    {"en": "a\u0000b"},
    {"en": "\ud800"},
    {"en": "\u202e"},
    {"de": None},
    {"en": " "},
    [{"feature": "assets", "units": 10**9, "grace_days": 365}],
    [{"feature": "assets", "units": 1, "duration": "P9999Y"}],
    [{"feature": "assets", "units": 1, "duration": "P100Y"}],
    [{"feature": "assets", "units": 1}] * 2,
    [{"feature": "assets", "units": 1, "id": "x"}],
    [{"article": "A-1", "price": {"amount": "1", "currency": "EUR"}}] * 2,
    "P100Y",
    "P1M",
    "P0D",
    "Europe/Berlin",
    "../../etc/passwd",
    "localtime",
    "posixrules",
    "forbidden",
    "switch",
]


SAMPLE = 11
"""Every eleventh of all combinations, each time the same ones: all of them take minutes."""


def sent(body: Any) -> dict[str, Any]:
    return {"content": json.dumps(body).encode(), "headers": {"Content-Type": "application/json", **STAR}}


async def test_strange_bodies(world: World, owner: Owner):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await feature(world, "flag", kind=FeatureKind.SWITCH)
    await shop.article(world, "A-1", shop.grant("assets", 10, "P1M"), shop.grant("flag", 1))
    await shop.price_model(world, "pro", shop.base("assets", 5))
    account = await world.account(partner, by="Anna", Eva=R.ACCOUNT_EDITOR)
    anna, eva, olga = await world.client("Anna"), await world.client("Eva"), await world.client("Olga", operator=True)
    root = at(account)
    lid = (await anna.post(f"{root}/licences", json={"feature": "assets", "units": 5, "reason": "x"})).json()["id"]
    end = "2030-01-01T00:00:00Z"
    pid = (await anna.post(f"{root}/articles", json={"article": "A-1", "ends_at": end})).json()["id"]
    price = {"amount": "1.00", "currency": "EUR"}
    operations: list[tuple[Any, str, str, dict[str, Any], list[str]]] = [
        (
            olga,
            "POST",
            "/v1/features",
            {
                "key": "k",
                "kind": "quota",
                "name": {"en": "K"},
                "description": {},
                "unit": {},
                "default_units": 0,
                "overage": "forbidden",
            },
            [],
        ),
        (
            olga,
            "PATCH",
            "/v1/features/assets",
            {},
            [
                "name",
                "description",
                "unit",
                "default_units",
                "overage",
                "key",
                "kind",
                "archived_at",
                "id",
                "search",
                "version",
            ],
        ),
        (
            olga,
            "POST",
            "/v1/articles",
            {
                "number": "N",
                "name": {"en": "N"},
                "description": {},
                "price": price,
                "billing_period": "once",
                "grants": [],
                "active_from_at": None,
                "active_until_at": None,
            },
            [],
        ),
        (
            olga,
            "PATCH",
            "/v1/articles/A-1",
            {},
            [
                "name",
                "description",
                "price",
                "billing_period",
                "grants",
                "active_from_at",
                "active_until_at",
                "number",
                "amount",
                "search",
                "id",
            ],
        ),
        (
            olga,
            "POST",
            "/v1/price-models",
            {"key": "k", "name": {"en": "K"}, "description": {}, "base_grants": [], "article_prices": []},
            [],
        ),
        (
            olga,
            "PATCH",
            "/v1/price-models/pro",
            {},
            ["name", "description", "base_grants", "article_prices", "key", "archived_at"],
        ),
        (
            anna,
            "POST",
            f"{root}/licences",
            {"feature": "assets", "units": 1, "reason": "x"},
            [
                "starts_at",
                "ends_at",
                "duration",
                "grace_days",
                "max_units_per_claim",
                "order_number",
                "id",
                "partner_id",
                "account_id",
                "source",
                "revoked_at",
                "suspended_by",
                "account_article_id",
                "article",
                "price_model",
            ],
        ),
        (
            anna,
            "PATCH",
            f"{root}/licences/{lid}",
            {},
            [
                "units",
                "ends_at",
                "grace_days",
                "max_units_per_claim",
                "order_number",
                "reason",
                "starts_at",
                "feature",
                "suspended_by",
                "source",
                "state",
                "account_id",
            ],
        ),
        (
            anna,
            "POST",
            f"{root}/articles",
            {"article": "A-1", "quantity": 1},
            [
                "price",
                "order_number",
                "invoice_number",
                "starts_at",
                "ends_at",
                "renews_id",
                "grants",
                "price_model",
                "cancelled_at",
                "id",
            ],
        ),
        (
            anna,
            "PATCH",
            f"{root}/articles/{pid}",
            {},
            ["order_number", "invoice_number", "quantity", "price", "ends_at"],
        ),
        (anna, "POST", f"{root}/articles/{pid}/renew", {}, ["starts_at", "quantity", "price", "order_number"]),
        (
            anna,
            "POST",
            f"{root}/articles/{pid}/upgrade",
            {"article": "A-1"},
            ["at", "quantity", "price", "invoice_number"],
        ),
        (
            eva,
            "POST",
            f"{root}/claims",
            {"feature": "assets", "resource": "r", "units": 1},
            ["reason", "reference", "actor_id", "actor", "over_limit", "account_id", "id"],
        ),
        (eva, "POST", f"{root}/claim-batches", {"claims": [], "releases": []}, ["units"]),
        (
            anna,
            "POST",
            f"/v1/partners/{partner.id}/accounts",
            {"name": "x"},
            ["price_model", "time_zone", "properties", "status", "id", "partner_id", "member_count"],
        ),
        (anna, "PATCH", root, {}, ["price_model", "time_zone"]),
        (olga, "PATCH", f"/v1/partners/{partner.id}", {}, ["time_zone"]),
    ]
    wrong, n = [], 0
    for client, method, path, base, more in operations:
        for place, field in enumerate([*base, *more]):
            for value in STRANGE[(place + n) % SAMPLE :: SAMPLE]:
                n += 1
                got = await client.request(method, path, **sent(base | {field: value}))
                if got.status_code >= 500:
                    wrong.append((method, path.split("/")[-2:], field, repr(value)[:60], got.status_code))
                forbidden = field in (
                    "id",
                    "partner_id",
                    "account_id",
                    "source",
                    "revoked_at",
                    "suspended_by",
                    "search",
                    "version",
                    "actor_id",
                    "actor",
                    "renews_id",
                    "cancelled_at",
                    "state",
                    "member_count",
                )
                if forbidden and got.status_code < 300:
                    wrong.append(("mass", method, path, field, value))
    assert wrong == []


async def test_strange_queries(world: World, owner: Owner):  # noqa: C901 - every list with every filter
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await shop.article(world, "A-1", shop.grant("assets", 10))
    account = await world.account(partner, by="Anna")
    anna = await world.client("Anna")
    for n in range(3):
        assert (
            await anna.post(f"{at(account)}/licences", json={"feature": "assets", "units": 2**31 - 1, "reason": "x"})
        ).status_code == 201
        assert (await anna.post(f"{at(account)}/articles", json={"article": "A-1"})).status_code == 201
        assert (await claim(anna, account, f"r{n}")).status_code == 201
    p, a = f"/v1/partners/{partner.id}", at(account)
    lists = {
        f"{p}/entitlements": [
            "usage_percent",
            "over",
            "expires_at",
            "feature",
            "account_id",
            "account_name",
            "account_status",
        ],
        f"{p}/licences": [
            "feature",
            "state",
            "units",
            "account_id",
            "starts_at",
            "ends_at",
            "account_article_id",
            "order_number",
        ],
        f"{p}/account-articles": [
            "article",
            "state",
            "cancelled",
            "order_number",
            "renews_id",
            "starts_at",
            "account_id",
        ],
        f"{a}/entitlements": ["feature", "kind"],
        f"{a}/licences": ["units", "state", "created_at"],
        f"{a}/claims": ["feature", "resource", "live", "created_at"],
        f"{a}/articles": ["article", "created_at"],
        "/v1/features": ["key", "kind", "overage", "archived"],
        "/v1/articles": ["number", "currency", "grants", "sellable", "archived"],
        "/v1/price-models": ["key", "archived", "created_at"],
    }
    values = [
        "",
        "0",
        "999999999",
        "9999999999",
        "1e400",
        "NaN",
        "x",
        "true",
        "true,false",
        "\U0010ffff",
        "\udfff".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
        "0001-01-01",
        "9999-12-31T23:59:59-14:00",
        "2026-01-01",
        "urn:uuid:01234567-89ab-cdef-0123-456789abcdef",
        "{",
        "%",
        "\\",
        "_",
        "'; select 1; --",
        "٣",
        "\x7f",
        "ﬀ",
        "a" * 400,
    ]
    wrong = []
    for path, fields in lists.items():
        asked = itertools.product(fields, ["eq", "ne", "lt", "gte", "in", "contains", "starts_with", "is_null"], values)
        for field, op, value in itertools.islice(asked, 0, None, SAMPLE):
            got = await anna.get(path, params={"filter": f"{field}:{op}:{value}"})
            if got.status_code >= 500:
                wrong.append((path[-20:], field, op, value[:20], got.status_code))
        for field in fields:
            for sort in (field, f"-{field}"):
                seen, cursor = list[str](), None
                for _ in range(10):
                    got = await anna.get(
                        path, params={"sort": sort, "limit": 1} | ({"cursor": cursor} if cursor else {})
                    )
                    if got.status_code != 200:
                        if got.status_code >= 500:
                            wrong.append((path[-20:], sort, got.status_code))
                        break
                    seen += [json.dumps(i, sort_keys=True) for i in got.json()["items"]]
                    cursor = got.json()["next_cursor"]
                    if not cursor:
                        break
                if len(set(seen)) != len(seen):
                    wrong.append(("twice", path[-20:], sort))
        for q in values:
            got = await anna.get(path, params={"q": q, "count": "true"})
            if got.status_code >= 500:
                wrong.append((path[-20:], "q", q, got.status_code))
    for units in ("0", "-1", "1e3", "99999999999999999999", "1.0", "٣", "1000000"):
        for path in (f"{a}/entitlements/assets", f"{a}/entitlements/assets/explanation"):
            got = await anna.get(path, params={"units": units})
            if got.status_code >= 500:
                wrong.append((path, units, got.status_code))
    assert wrong == []


@pytest.mark.parametrize("who", ["Anna", "Eva", None])
async def test_catalogue_is_changed_by_operators_only(world: World, who: str | None):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    await feature(world)
    await shop.article(world, "A-1", shop.grant("assets", 10))
    await shop.price_model(world, "pro")
    await world.account(partner, by="Anna", Eva=R.ACCOUNT_ADMIN)
    client = await world.client(who)
    price = {"amount": "0.00", "currency": "EUR"}
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/v1/features", {"key": "k", "kind": "quota", "name": {"en": "K"}}),
        ("POST", "/v1/articles", {"number": "N", "name": {"en": "N"}, "price": price, "billing_period": "once"}),
        ("POST", "/v1/price-models", {"key": "k", "name": {"en": "K"}}),
        ("PATCH", "/v1/features/assets", {"default_units": 10**9}),
        ("PATCH", "/v1/articles/A-1", {"price": price}),
        ("PATCH", "/v1/price-models/pro", {"base_grants": []}),
        *(
            ("POST", f"/v1/{x}/{v}", None)
            for x in ("features/assets", "articles/A-1", "price-models/pro")
            for v in ("archive", "restore")
        ),
    ]
    for method, path, body in asked:
        got = await client.request(method, path, json=body, headers=STAR)
        assert got.status_code == (403 if who else 401), (method, path, got.status_code)
