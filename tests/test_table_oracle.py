"""The accounts table against an oracle in plain Python: the same rows in the same order, whatever one asks."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from app.models import Account
from app.policy import Role
from app.services import searches
from app.words import search_key
from tests.conftest import World, join
from tests.test_price_models import offer
from tests.test_properties import define

STAR = {"If-Match": "*"}
WORDS = ["Äpfel", "apfel", "Öl & Gas", "Straße", "STRASSE", "Zürich", "zurich", "50 % Rabatt", "a_b", "a\\b", "É", "e"]
OPTIONS = [{"key": key, "label": {"en": key.title()}} for key in ("small", "large", "huge")]
COLUMNS: list[dict[str, Any]] = [
    {"key": "note", "type": "text"}, {"key": "revenue", "type": "number"},
    {"key": "fee", "type": "money", "currency": "EUR"}, {"key": "vip", "type": "boolean"},
    {"key": "contract_end", "type": "date"}, {"key": "last_visit", "type": "datetime"},
    {"key": "segment", "type": "select", "options": OPTIONS}, {"key": "tags", "type": "multi_select", "options": OPTIONS},
    {"key": "website", "type": "url"}, {"key": "billing_email", "type": "email"}, {"key": "phone", "type": "phone"},
    {"key": "manager", "type": "user"},
]  # fmt: skip
EQUAL, ORDERED = ("eq", "ne", "in", "is_null"), ("eq", "ne", "lt", "lte", "gt", "gte", "in", "is_null")
TEXTUAL = (*EQUAL, "contains", "starts_with")
OPERATORS = {
    "note": TEXTUAL, "revenue": ORDERED, "fee": ORDERED, "vip": ("eq", "ne", "is_null"), "contract_end": ORDERED,
    "last_visit": ORDERED, "segment": EQUAL, "tags": ("contains", "is_null"), "website": TEXTUAL,
    "billing_email": TEXTUAL, "phone": TEXTUAL, "manager": EQUAL,
}  # fmt: skip
FIXED = {
    "name": (*EQUAL[:3], "contains", "starts_with"), "price_model": EQUAL,
    "member_count": ("eq", "ne", "lt", "lte", "gt", "gte", "in"),
}  # fmt: skip
MODELS = ("basic", "pro", "pro_2")
Row = dict[str, Any]


def values(rng: random.Random, users: list[str]) -> dict[str, Any]:
    """Values of one account: two of five are missing, and those that are there are often the same as another's."""
    day = date(2026, 1, 1) + timedelta(days=rng.randrange(6) * 40)
    drawn: dict[str, Any] = {
        "note": rng.choice(WORDS), "revenue": rng.choice([0, -3, 0.1, 9, 10, 10.5, 123456789012345]),
        "fee": {"amount": rng.choice(["0.10", "9.99", "10.00", "100.00"]), "currency": "EUR"},
        "vip": rng.random() < 0.5, "contract_end": day.isoformat(),
        "last_visit": f"{day.isoformat()}T0{rng.randrange(3)}:00:00.{rng.choice(['000', '001', '500'])}Z",
        "segment": rng.choice(OPTIONS)["key"], "tags": [o["key"] for o in OPTIONS if rng.random() < 0.4],
        "website": f"https://{rng.choice('abc')}.example.com/{rng.choice(['A', 'a', 'x%20y'])}",
        "billing_email": f"{rng.choice(['Post', 'post', 'info'])}@{rng.choice('xy')}.example.com",
        "phone": f"+4930{rng.randrange(3)}23456", "manager": rng.choice(users),
    }  # fmt: skip
    return {key: value for key, value in drawn.items() if rng.random() < 0.6}


async def peopled(world: World, rng: random.Random) -> tuple[AsyncClient, str, list[Row]]:
    """A partner with 120 accounts of such values, and those rows in no order."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    await offer(await world.client("Olivia", operator=True), *MODELS)
    await define(api, at, *({"label": {"en": c["key"].title()}} | c for c in COLUMNS))
    users = [str((await world.user(who)).id) for who in ("Anna", "Max")]
    names = [f"{rng.choice(WORDS)} {n}" for n in range(120)]
    made = [{"action": "create", "account": {"name": n, "price_model": rng.choice([None, *MODELS]),
                                             "properties": values(rng, users)}} for n in names]  # fmt: skip
    rows: list[Row] = []
    for part in (made[:60], made[60:]):
        answer = await api.post(f"{at}/account-batches", json={"items": part})
        rows += [result["account"] for result in answer.json()["results"]]
    assert len({row["id"] for row in rows}) == 120
    await befriend(world, partner.id, rng, rows)
    return api, at, rows


async def befriend(world: World, partner_id: UUID, rng: random.Random, rows: list[Row]) -> None:
    """Give two of three accounts more members than their creator; the rows say so."""
    crew = [await world.user(f"Member{n}") for n in range(3)]
    async with world.transaction(partner_id) as db:
        for row in rows:
            for user in crew[: rng.randrange(3)]:
                await join(db, await db.get_one(Account, (partner_id, UUID(row["id"]))), user.id, Role.ACCOUNT_VIEWER)
                row["member_count"] += 1


# --- the oracle ---


def comparable(field: str, value: Any) -> Any:
    """What decides about order and equality of a value (or of a filter's text); None when there is none."""
    key = field.removeprefix("properties.")
    match key:
        case _ if value is None:
            return None
        case "name" | "note":
            return search_key(value)
        case "fee":
            return Decimal(value if isinstance(value, str) else value["amount"])
        case "revenue" | "member_count":
            return Decimal(str(value))
        case "vip":
            return value in (True, "true")
        case "billing_email":
            return value.lower()
        case _:
            return value


def value_of(row: Row, field: str) -> Any:
    plain = row["properties"].get(field.removeprefix("properties.")) if field.startswith("properties.") else row[field]
    return comparable(field, plain)


TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b, "gte": lambda a, b: a >= b, "contains": lambda a, b: b in a,
    "starts_with": lambda a, b: a.startswith(b),
}  # fmt: skip


def holds(row: Row, condition: tuple[str, str, str]) -> bool:
    field, operator, text = condition
    have = value_of(row, field)
    if operator == "is_null":
        return (have is None) == (text == "true")
    if have is None:
        return operator == "ne"
    if operator == "in":
        return have in [comparable(field, part) for part in text.split(",")]
    return TESTS[operator](have, comparable(field, text))


def in_order(rows: list[Row], sort: str) -> list[Row]:
    """Sorted stably from the last column to the first; what is empty comes last whichever way one sorts."""
    columns = sort.split(",")
    found = sorted(rows, key=lambda row: row["id"], reverse=columns[0].startswith("-"))
    for column in reversed(columns):
        field, down = column.removeprefix("-"), column.startswith("-")
        filled = [row for row in found if value_of(row, field) is not None]
        empty = [row for row in found if value_of(row, field) is None]
        found = sorted(filled, key=lambda row: value_of(row, field), reverse=down) + empty
    return found


def found_by(row: Row, q: str) -> bool:
    texts = (row["properties"][key] for key in ("note", "website", "billing_email", "phone"))
    return any(search_key(q) in search_key(text) for text in chain([row["name"]], texts) if text is not None)


# --- the questions ---


def a_condition(rng: random.Random, rows: list[Row]) -> tuple[str, str, str]:
    key = rng.choice([*OPERATORS, *FIXED])
    field = key if key in FIXED else f"properties.{key}"
    operator = rng.choice(FIXED[key] if key in FIXED else OPERATORS[key])
    if operator == "is_null":
        return field, operator, rng.choice(["true", "false"])
    texts = [text(row[key] if key in FIXED else row["properties"][key]) for row in rng.sample(rows, 30)]
    known = [t for t in texts if t and "," not in t] or ["small"]
    if operator == "in":
        return field, operator, ",".join(rng.sample(known, min(3, len(known))))
    value = rng.choice(known)
    if key == "tags":
        return field, operator, value
    if operator in ("contains", "starts_with"):
        start = 0 if operator == "starts_with" else rng.randrange(len(value))
        value = value[start : start + rng.randrange(1, 5)]
    return field, operator, value


def text(value: Any) -> str:
    """A value as a filter has it; of a list, its first."""
    if value in (None, []):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value if isinstance(value, str | int | float) else value["amount" if "amount" in value else 0])


def a_sort(rng: random.Random) -> str:
    fields = [*FIXED, *(f"properties.{key}" for key in OPERATORS if key != "tags")]
    return ",".join(rng.choice(["", "-"]) + field for field in rng.sample(fields, rng.randrange(1, 4)))


async def pages(api: AsyncClient, at: str, ask: dict[str, Any]) -> list[Row]:
    """All rows of a query, through the typed search if it has alternatives."""
    found: list[Row] = []
    cursor: dict[str, str] = {}
    while True:
        if "any" in ask:
            answer = await api.post(f"{at}/account-searches", json=ask | cursor)
        else:
            answer = await api.get(f"{at}/accounts", params=ask | cursor)
        assert answer.status_code == 200, (ask, answer.text)
        body = answer.json()
        found += body["items"]
        if body["next_cursor"] is None:
            assert body["total"] in (None, len(found)), ask
            return found
        assert len(body["items"]) == ask["limit"], ask
        cursor = {"cursor": body["next_cursor"]}


@dataclass
class Question:
    """A query, as one asks it and as the oracle understands it."""

    sort: str
    all: list[tuple[str, str, str]]
    any: list[tuple[str, str, str]]
    q: str | None

    def asked(self, rng: random.Random) -> dict[str, Any]:
        more: dict[str, Any] = {"sort": self.sort, "limit": rng.randrange(1, 8)} | ({"q": self.q} if self.q else {})
        if not self.any:
            counted = {"count": "true"} if rng.random() < 0.3 else {}
            return more | {"filter": [":".join(c) for c in self.all]} | counted
        names = ("field", "operator", "value")
        sides = {"all": self.all, "any": self.any}
        return more | {side: [dict(zip(names, c, strict=True)) for c in cs] for side, cs in sides.items()}

    def answered(self, rows: list[Row]) -> list[str]:
        left = [row for row in rows if all(holds(row, c) for c in self.all)]
        left = [row for row in left if not self.any or any(holds(row, c) for c in self.any)]
        return [row["id"] for row in in_order([r for r in left if self.q is None or found_by(r, self.q)], self.sort)]


def a_question(rng: random.Random, rows: list[Row]) -> Question:
    some = [a_condition(rng, rows) for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))]
    others = [a_condition(rng, rows) for _ in range(rng.choice([0, 0, 0, 2, 3]))]
    q = rng.choice([None, None, None, "STRASSE", "apfel", "%", "_", "\\", "example", "é", "4930", "Öl & g", "pf", "zq",
                    "ü", "´", "% r", "b\\", "+49", "ж", "com"])  # fmt: skip
    return Question(a_sort(rng), some, others, q)


WAYS = {
    "as it is": {},
    "near, then by the pieces": {"NEAR": 1, "NEAR_MIXED": 1, "FEW": 0},
    "among a few": {"NEAR": 0, "NEAR_MIXED": 0, "FEW": 1_000},
    "by the pieces": {"NEAR": 0, "NEAR_MIXED": 0, "FEW": 0},
    "all along the order": {"NEAR": 0, "NEAR_MIXED": 0, "FEW": 0, "MOST": 0, "MOST_ALONE": 0},
    "by whichever set is small": {"NEAR": 1, "NEAR_MIXED": 2, "FEW": 10, "MOST": 10, "MOST_ALONE": 10},
}
"""How a page is found: see `services.searches`. The bounds are set so that it must be found in this one."""


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "way"), [(seed, way) for seed, way in enumerate([*WAYS, *WAYS][:9], 1)])
async def test_any_question_gets_the_rows_that_the_oracle_names_in_its_order(
    world: World, seed: int, way: str, monkeypatch: pytest.MonkeyPatch
):
    for bound, value in WAYS[way].items():
        monkeypatch.setattr(searches, bound, value)
    rng = random.Random(seed)
    api, at, rows = await peopled(world, rng)
    filled = 0
    for _ in range(50):
        question = a_question(rng, rows)
        expected = question.answered(rows)
        assert [row["id"] for row in await pages(api, at, question.asked(rng))] == expected, question
        filled += bool(expected)
    assert filled > 25  # or the questions would say nothing


@pytest.mark.slow
@pytest.mark.parametrize("sort", ["name", "-properties.revenue,properties.note", "properties.contract_end,-name",
                                  "-properties.note", "-price_model,-member_count", "member_count", "-created_at"])  # fmt: skip
async def test_a_row_that_stays_as_it_is_shows_once_while_others_come_change_and_go(world: World, sort: str):
    rng = random.Random(7)
    api, at, rows = await peopled(world, rng)
    ids = [row["id"] for row in rows]
    touched = set(rng.sample(ids, 40))
    victims, seen = sorted(touched), list[str]()
    cursor: dict[str, str] = {}
    for turn in range(1000):
        body = (await api.get(f"{at}/accounts", params={"sort": sort, "limit": 7} | cursor)).json()
        seen += [item["id"] for item in body["items"]]
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}
        new = {"name": f"{rng.choice(WORDS)} new {turn}", "properties": {"revenue": 5, "note": "m"}}
        assert (await api.post(f"{at}/accounts", json=new)).status_code == 201
        gone, changed = victims.pop(), victims.pop()
        assert (await api.delete(f"{at}/accounts/{gone}", headers=STAR)).status_code == 204
        moved = {"name": f"moved {turn}", "properties": {"revenue": rng.randrange(99), "note": None}}
        assert (await api.patch(f"{at}/accounts/{changed}", json=moved, headers=STAR)).status_code == 200
    still = [row["id"] for row in in_order(rows, sort) if row["id"] not in touched]
    assert [i for i in seen if i in set(still)] == still
    assert set(touched) - set(victims) > set()
