"""The columns that partners invent: definitions."""

from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from app.policy import Role
from tests.conftest import World, problem

ALL: list[dict[str, Any]] = [
    {"key": "customer_no", "type": "text", "label": {"en": "Customer no.", "de": "Kundennr."}, "unique": True,
     "pattern": "[A-Z]{2}-[0-9]{4}", "max_length": 20},
    {"key": "revenue", "type": "number", "label": {"en": "Revenue"}, "min": 0, "decimals": 2, "unit": "kEUR"},
    {"key": "fee", "type": "money", "label": {"en": "Fee"}, "currency": "EUR", "min": "0"},
    {"key": "vip", "type": "boolean", "label": {"en": "VIP"}},
    {"key": "contract_end", "type": "date", "label": {"en": "Contract end"}, "min": "2000-01-01"},
    {"key": "last_visit", "type": "datetime", "label": {"en": "Last visit"}},
    {"key": "segment", "type": "select", "label": {"en": "Segment"}, "default": "small",
     "options": [{"key": "small", "label": {"en": "Small"}}, {"key": "large", "label": {"en": "Large"}}]},
    {"key": "tags", "type": "multi_select", "label": {"en": "Tags"},
     "options": [{"key": "a", "label": {"en": "A"}}, {"key": "b", "label": {"en": "B"}}]},
    {"key": "website", "type": "url", "label": {"en": "Website"}},
    {"key": "billing_email", "type": "email", "label": {"en": "Billing e-mail"}},
    {"key": "phone", "type": "phone", "label": {"en": "Phone"}},
    {"key": "manager", "type": "user", "label": {"en": "Manager"}},
]  # fmt: skip


async def stage(world: World) -> tuple[AsyncClient, str]:
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER, Vera=Role.PARTNER_VIEWER)
    return await world.client("Anna"), f"/v1/partners/{partner.id}"


async def define(api: AsyncClient, at: str, *definitions: dict[str, Any]) -> None:
    for definition in definitions:
        answer = await api.post(f"{at}/properties", json=definition)
        assert answer.status_code == 201, answer.text


async def test_a_property_of_every_type_is_defined_and_shown_in_order(world: World):
    api, at = await stage(world)
    await define(api, at, *ALL)
    items = (await api.get(f"{at}/properties")).json()["items"]
    assert [(i["key"], i["type"]) for i in items] == [(d["key"], d["type"]) for d in ALL]
    for definition, item in zip(ALL, items, strict=True):
        own = definition | {"label": item["label"]} | ({"options": item["options"]} if "options" in item else {})
        assert {k: item[k] for k in own} == own
        assert item["ready"]
    assert items[1]["label"] == {"en": "Revenue", "de": "Revenue"}
    assert items[6]["options"][0] == {
        "key": "small", "label": {"en": "Small", "de": "Small"}, "colour": None, "archived": False,
    }  # fmt: skip
    kinds = [e.type for e in await world.events(await partner_of(api, at))]
    assert kinds.count("property.created") == len(ALL)


async def partner_of(api: AsyncClient, at: str) -> UUID:
    return UUID((await api.get(at)).json()["id"])


REFUSED: list[tuple[dict[str, Any], str, str]] = [
        ({"key": "Contract"}, "/key", "string_pattern_mismatch"),
        ({"key": "name"}, "/key", "reserved_key"),
        ({"label": {}}, "/label", "missing"),
        ({"label": {"fr": "Fin"}}, "/label/fr", "extra_forbidden"),
        ({"pattern": "(a"}, "/pattern", "invalid_pattern"),
        ({"pattern": "(?=a)b"}, "/pattern", "invalid_pattern"),
        ({"max_length": 0}, "/max_length", "greater_than_equal"),
        ({"max_length": 300}, "/filterable", "text_too_long"),
        ({"multi_line": True}, "/filterable", "text_too_long"),
        ({"default": "x" * 99}, "/default", "string_too_long"),
        ({"required": 1}, "/required", "bool_type"),
        ({"currency": "EUR"}, "/currency", "extra_forbidden"),
        ({"editable_by": ["account_admin"]}, "/editable_by/0", "literal_error"),
        ({"type": "money", "currency": "ABC"}, "/currency", "currency"),
        ({"type": "number", "min": 2, "max": 1}, "/min", "bounds_crossed"),
        ({"type": "number", "min": "2"}, "/min", "float_type"),
        ({"type": "date", "min": "2027-02-30"}, "/min", "date_parsing"),
        ({"type": "select", "options": [{"key": "a", "label": {}}]}, "/options/0/label", "missing"),
        ({"type": "select", "options": []}, "/options", "too_short"),
        ({"type": "boolean", "unique": True}, "/unique", "extra_forbidden"),
        ({"type": "colour"}, "/type", "literal_error"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "pointer", "code"), REFUSED)
async def test_a_definition_that_makes_no_sense_is_refused_with_a_pointer(
    world: World, change: dict[str, Any], pointer: str, code: str
):
    api, at = await stage(world)
    answer = await api.post(
        f"{at}/properties", json={"key": "x", "type": "text", "label": {"en": "X"}, "max_length": 50} | change
        if change.get("type", "text") == "text" else {"key": "x", "label": {"en": "X"}} | change,
    )  # fmt: skip
    assert problem(answer) == (422, "invalid")
    assert (pointer, code) in [(e["pointer"], e["code"]) for e in answer.json()["errors"]], answer.text
    assert (await api.get(f"{at}/properties")).json() == {"items": []}
