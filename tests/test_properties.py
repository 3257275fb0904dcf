"""The columns that partners invent: definitions."""

from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient

from app.policy import Role
from tests.conftest import Owner, World, problem

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


# --- changing definitions ---

STAR = {"If-Match": "*"}
NOTE: dict[str, Any] = {"key": "note", "type": "text", "label": {"en": "Note"}}
TAGS: dict[str, Any] = ALL[7]


async def opened(api: AsyncClient, at: str, name: str, **values: Any) -> str:
    answer = await api.post(f"{at}/accounts", json={"name": name, "properties": values})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


async def values_of(api: AsyncClient, here: str) -> dict[str, Any]:
    return (await api.get(here)).json()["properties"]


async def change(api: AsyncClient, at: str, which: str, /, **fields: Any) -> Any:
    return await api.patch(f"{at}/properties/{which}", json=fields, headers=STAR)


async def test_a_definition_is_changed_by_a_merge_patch_of_the_version_that_was_read(world: World):
    api, at = await stage(world)
    await define(api, at, ALL[0] | {"help": {"en": "Help", "de": "Hilfe"}})
    here = f"{at}/properties/customer_no"
    first = await api.get(here)
    assert problem(await api.patch(here, json={"required": True})) == (428, "precondition_required")
    stale = {"If-Match": '"99"'}
    assert problem(await api.patch(here, json={"required": True}, headers=stale)) == (412, "version_mismatch")
    answer = await api.patch(here, json={"label": {"en": "No."}, "help": {"de": None}, "pattern": None},
                             headers={"If-Match": first.headers["etag"]})  # fmt: skip
    assert answer.status_code == 200, answer.text
    changed = {"label": {"en": "No.", "de": "Kundennr."}, "help": {"en": "Help", "de": "Help"}, "pattern": None}
    assert answer.json() == first.json() | changed | {"updated_at": answer.json()["updated_at"]}
    assert answer.headers["etag"] != first.headers["etag"]
    assert (await api.get(here)).json() == answer.json()
    last = (await world.events(await partner_of(api, at)))[-1]
    assert last.type == "property.updated"
    assert last.details
    assert set(last.details["after"]) == {"label", "help", "inputs"}
    assert problem(await api.delete(here)) == (428, "precondition_required")
    for who in ("Max", "Vera"):
        assert problem(await (await world.client(who)).patch(here, json={}, headers=STAR)) == (403, "forbidden")


@pytest.mark.parametrize(("patch", "pointer"), [
    ({"key": "other"}, "/key"), ({"type": "number"}, "/type"), ({"label": None}, "/label"),
    ({"label": {"en": None, "de": None}}, "/label"), ({"currency": "EUR"}, "/currency"),
    ({"max_length": 300}, "/filterable"), ({"pattern": "(a"}, "/pattern"), ({"default": 5}, "/default"),
    ({"required": "yes"}, "/required"), ({"min": 3}, "/min"),
])  # fmt: skip
async def test_key_and_type_never_change_and_a_change_must_make_sense(
    world: World, patch: dict[str, Any], pointer: str
):
    api, at = await stage(world)
    await define(api, at, NOTE)
    before = (await api.get(f"{at}/properties/note")).json()
    answer = await change(api, at, "note", **patch)
    assert problem(answer) == (422, "invalid")
    assert pointer in [e["pointer"] for e in answer.json()["errors"]], answer.text
    assert (await api.get(f"{at}/properties/note")).json() == before


async def test_options_are_renamed_reordered_recoloured_and_archived_without_touching_values(world: World):
    api, at = await stage(world)
    await define(api, at, TAGS, ALL[6] | {"default": None})
    here, other = await opened(api, at, "A", tags=["a", "b"], segment="large"), await opened(api, at, "B")
    version = (await api.get(here)).headers["etag"].split(".")[0]
    b = {"key": "b", "label": {"de": "Be"}, "colour": "#1a7f37", "archived": True}
    a = {"key": "a", "label": {"en": "Ah"}}
    for options in ([b, a], [b, a, {"key": "c", "label": {"en": "C"}}]):
        assert (await change(api, at, "tags", options=options)).status_code == 200
    large = {"key": "large", "label": {"en": "Large"}, "archived": True}
    assert (await change(api, at, "segment", options=[large, ALL[6]["options"][0]])).status_code == 200
    found = await values_of(api, here)
    assert (sorted(found["tags"]), found["segment"]) == (["a", "b"], "large")
    assert (await api.get(here)).headers["etag"].split(".")[0] == version
    for wrong in ({"tags": ["b"]}, {"segment": "large"}):
        answer = await api.patch(other, json={"properties": wrong}, headers=STAR)
        assert (problem(answer), answer.json()["errors"][0]["code"]) == ((422, "invalid"), "unknown_option")
    kept = await api.patch(here, json={"properties": {"tags": ["c", "b"], "segment": "large"}}, headers=STAR)
    assert (kept.json()["properties"]) == {"tags": ["b", "c"], "segment": "large"}
    await api.patch(here, json={"properties": {"tags": ["c"]}}, headers=STAR)
    again = await api.patch(here, json={"properties": {"tags": ["c", "b"]}}, headers=STAR)
    assert problem(again) == (422, "invalid")


CONFLICTS: list[tuple[dict[str, Any], Any, Any, dict[str, Any]]] = [
    (ALL[6], "large", "small", {"options": [{"key": "small", "label": {"en": "S"}}]}),
    (TAGS, ["a", "b"], ["a"], {"options": [{"key": "a", "label": {"en": "A"}}]}),
    (NOTE, "twelve chars", "short", {"max_length": 8}),
    (NOTE, "abc", "123", {"pattern": "[0-9]+"}),
    (ALL[1], 0.25, 7, {"min": 1}),
    (ALL[1], 9, 7, {"max": 8}),
    (ALL[1], 0.25, 7, {"decimals": 1}),
    (ALL[4], "2001-01-01", "2027-01-01", {"min": "2026-01-01"}),
    (ALL[2], {"amount": "9.00", "currency": "EUR"}, {"amount": "7.00", "currency": "EUR"}, {"max": "8"}),
    (ALL[5], "2001-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z", {"min": "2026-01-01T00:00:00Z"}),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "bad", "good", "patch"), CONFLICTS)
async def test_a_change_that_makes_values_invalid_is_refused_or_removes_just_those(
    world: World, definition: dict[str, Any], bad: Any, good: Any, patch: dict[str, Any]
):
    api, at = await stage(world)
    other = {"key": "other", "type": "text", "label": {"en": "Other"}}
    plain, key = {k: v for k, v in definition.items() if k not in ("default", "unique")}, definition["key"]
    await define(api, at, plain, other)
    wrong = [await opened(api, at, f"A{n}", **{key: bad}, other="kept") for n in range(3)]
    right = await opened(api, at, "B", **{key: good})
    before, log = (await api.get(f"{at}/properties/{key}")).json(), len(await world.events(await partner_of(api, at)))
    answer = await change(api, at, key, **patch)
    assert problem(answer) == (409, "values_conflict")
    count, *named = answer.json()["errors"]
    assert (count["code"], count["detail"].split()[0]) == ("values_conflict", "3")
    assert {e["pointer"] for e in (count, *named)} == {f"/{next(iter(patch))}"}
    assert {n["detail"].removeprefix("Account ").removesuffix(".") for n in named} == {w.split("/")[-1] for w in wrong}
    assert (await api.get(f"{at}/properties/{key}")).json() == before
    assert [(await values_of(api, w))[key] for w in wrong] == [bad] * 3
    assert len(await world.events(await partner_of(api, at))) == log
    cleared = await api.patch(f"{at}/properties/{key}?on_conflict=clear", json=patch, headers=STAR)
    assert cleared.status_code == 200, cleared.text
    assert [await values_of(api, w) for w in wrong] == [{key: None, "other": "kept"}] * 3
    assert (await values_of(api, right))[key] == good
    said = [e for e in await world.events(await partner_of(api, at)) if e.type == "account.updated"]
    assert {str(e.account_id) for e in said} == {w.split("/")[-1] for w in wrong}
    assert all(e.details == {"before": {"properties": {key: bad}}, "after": {"properties": {key: None}}} for e in said)
    if key == "note":
        assert (await api.get(f"{at}/accounts", params={"q": bad})).json()["items"] == []
        assert len((await api.get(f"{at}/accounts", params={"q": "kept"})).json()["items"]) == 3


async def test_making_a_column_unique_refuses_duplicates_or_removes_all_but_one(world: World, owner: Owner):
    api, at = await stage(world)
    await define(api, at, NOTE)
    accounts = [await opened(api, at, f"A{n}", note=v) for n, v in enumerate(("x", "X", "y", " x"))]
    archived = await opened(api, at, "Old", note="y")
    assert (await api.delete(archived, headers=STAR)).status_code == 204
    answer = await change(api, at, "note", unique=True)
    assert problem(answer) == (409, "values_conflict")
    assert answer.json()["errors"][0]["detail"].startswith("2 ")
    assert {e["pointer"] for e in answer.json()["errors"]} == {"/unique"}
    assert await owner.value("SELECT count(*) FROM unique_values") == 0
    cleared = await api.patch(f"{at}/properties/note?on_conflict=clear", json={"unique": True}, headers=STAR)
    assert cleared.json()["unique"] is True
    assert [(await values_of(api, a))["note"] for a in accounts] == ["x", None, "y", None]
    assert (await values_of(api, archived))["note"] == "y"
    taken = await api.patch(accounts[1], json={"properties": {"note": "Y"}}, headers=STAR)
    assert problem(taken) == (409, "value_taken")
    assert (await change(api, at, "note", unique=False)).status_code == 200
    assert await owner.value("SELECT count(*) FROM unique_values") == 0
    assert (await api.patch(accounts[1], json={"properties": {"note": "Y"}}, headers=STAR)).status_code == 200


# --- order, archive, delete ---


async def test_columns_are_put_into_order_and_those_not_named_follow(world: World):
    api, at = await stage(world)
    await define(api, at, *ALL[:4])
    answer = await api.post(f"{at}/property-order", json={"keys": ["vip", "fee"]})
    assert [i["key"] for i in answer.json()["items"]] == ["vip", "fee", "customer_no", "revenue"]
    assert (await api.get(f"{at}/properties")).json() == answer.json()
    assert list(await values_of(api, await opened(api, at, "A"))) == ["vip", "fee", "customer_no", "revenue"]
    assert problem(await api.post(f"{at}/property-order", json={"keys": ["vip", "nope"]}))[0] == 404
    twice = await api.post(f"{at}/property-order", json={"keys": ["fee", "fee"]})
    assert (problem(twice), twice.json()["errors"][0]["pointer"]) == ((422, "invalid"), "/keys")


async def test_archiving_hides_a_column_and_restoring_brings_it_back_with_its_values(world: World):
    api, at = await stage(world)
    await define(api, at, NOTE, TAGS)
    here = await opened(api, at, "A", note="kept", tags=["a"])
    assert (await api.post(f"{at}/properties/note/archive")).json()["archived_at"]
    await world.worker().refresh_all()
    assert await values_of(api, here) == {"tags": ["a"]}
    assert (await api.get(f"{at}/accounts", params={"q": "kept"})).json()["items"] == []
    await api.patch(here, json={"properties": {"tags": ["b"]}}, headers=STAR)
    assert (await api.get(f"{at}/properties")).json()["items"][0]["key"] == "note"
    assert problem(await api.post(f"{at}/properties", json=NOTE)) == (409, "key_taken")
    assert (await api.post(f"{at}/properties/note/restore")).json()["archived_at"] is None
    await world.worker().refresh_all()
    assert await values_of(api, here) == {"note": "kept", "tags": ["b"]}
    assert len((await api.get(f"{at}/accounts", params={"q": "kept"})).json()["items"]) == 1


@pytest.mark.parametrize(
    "fresh", [{"type": "date"}, {"type": "number"}, {"type": "text"}], ids=lambda fresh: fresh["type"]
)
async def test_key_is_free_for_another_type_only_when_its_values_are_gone(world: World, fresh: dict[str, str]):
    """The table writes a value as its type has it: none of the type before may lie there."""
    api, at = await stage(world)
    await define(api, at, TAGS)
    here = await opened(api, at, "A", tags=["a", "b"])
    assert (await api.delete(f"{at}/properties/tags", headers=STAR)).status_code == 200
    new = fresh | {"key": "tags", "label": {"en": "Tags"}}
    assert problem(await api.post(f"{at}/properties", json=new)) == (409, "key_taken")
    for _ in range(3):
        await world.worker().refresh_all()
    await define(api, at, new)
    (row,) = (await api.get(f"{at}/accounts")).json()["items"]
    assert row == (await api.get(here)).json()
    assert row["properties"] == {"tags": None}


async def test_deleting_a_column_tells_how_many_values_go_and_they_go_for_good(world: World, owner: Owner):
    api, at = await stage(world)
    await define(api, at, NOTE | {"unique": True})
    here, empty = await opened(api, at, "A", note="gone"), await opened(api, at, "B")
    assert (await api.delete(empty, headers=STAR)).status_code == 204
    usage = (await api.get(f"{at}/properties/note/usage")).json()
    assert usage == {"accounts": 2, "filled": 1}
    before = (await api.get(here)).json()
    answer = await api.delete(f"{at}/properties/note", headers=STAR)
    assert (answer.status_code, answer.json()) == (200, {"key": "note", "values": 1})
    assert await values_of(api, here) == {}
    assert (await api.get(f"{at}/properties/note")).status_code == 404
    assert problem(await api.post(f"{at}/properties", json=NOTE)) == (409, "key_taken")
    assert problem(await api.patch(here, json={"properties": {"note": "x"}}, headers=STAR)) == (422, "invalid")
    await world.worker().refresh_all()
    rows = await owner.rows("SELECT properties::text, t1, search, version FROM accounts ORDER BY name")
    assert [(r["properties"], r["t1"], r["search"], r["version"]) for r in rows] == [
        ("{}", None, "a", 1), ("{}", None, "b", 2)]  # fmt: skip
    assert await owner.value("SELECT count(*) FROM unique_values") == 0
    assert (await api.get(here)).json() == before | {"properties": {}}
    await define(api, at, NOTE)
    assert await values_of(api, here) == {"note": None}
    assert (await api.get(f"{at}/properties/note/usage")).json() == {"accounts": 2, "filled": 0}


# --- slots ---


async def test_twelve_texts_are_filterable_and_a_slot_that_is_let_go_is_clean_for_the_next(world: World, owner: Owner):
    api, at = await stage(world)
    many = [NOTE | {"key": f"k{n}"} for n in range(12)]
    await define(api, at, *many)
    more = NOTE | {"key": "more"}
    assert problem(await api.post(f"{at}/properties", json=more)) == (409, "too_many_filterable_properties")
    await define(api, at, more | {"filterable": False}, ALL[1])
    assert problem(await change(api, at, "more", filterable=True)) == (409, "too_many_filterable_properties")
    here = await opened(api, at, "A", k0="Zero", k1="One", more="More")
    tag, told = (await api.get(here)).headers["etag"].split(".")[0], (await api.get(here)).json()
    assert (await change(api, at, "k0", filterable=False)).json()["ready"] is False
    assert problem(await change(api, at, "more", filterable=True)) == (409, "too_many_filterable_properties")
    await world.worker().refresh_all()
    assert await owner.rows("SELECT t1, t2 FROM accounts") == [{"t1": None, "t2": "one"}]
    assert (await change(api, at, "more", filterable=True)).json()["ready"] is False
    await world.worker().refresh_all()
    assert (await api.get(f"{at}/properties/more")).json()["ready"] is True
    assert await owner.rows("SELECT t1, t2 FROM accounts") == [{"t1": "more", "t2": "one"}]
    await api.delete(f"{at}/properties/k1", headers=STAR)
    await world.worker().refresh_all()
    await define(api, at, NOTE | {"key": "next"})
    assert await owner.rows("SELECT t1, t2 FROM accounts") == [{"t1": "more", "t2": None}]
    assert await owner.value("SELECT slot FROM properties WHERE key = 'next'") == "t2"
    shown = await api.get(here)
    assert shown.headers["etag"].split(".")[0] == tag
    assert shown.json()["updated_at"] == told["updated_at"]
    assert (await values_of(api, here))["k0"] == "Zero"
