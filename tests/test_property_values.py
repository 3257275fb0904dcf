"""Property values: what each type takes and in which form it is kept; who may change and who may see them."""

import json
from typing import Any
from uuid import UUID

import hypothesis
import pytest
from httpx import AsyncClient, Response
from hypothesis import strategies as st

from app.models import PropertyType
from app.policy import Role
from app.schemas.property import KEY
from app.services.values import KINDS, Refused
from tests.conftest import World, problem, token_of
from tests.test_properties import ALL, define, stage

STAR = {"If-Match": "*"}
PLAIN: list[dict[str, Any]] = [
    {"key": "note", "type": "text", "label": {"en": "Note"}},
    {"key": "story", "type": "text", "label": {"en": "Story"}, "multi_line": True, "max_length": 10_000,
     "filterable": False},
    {"key": "greedy", "type": "text", "label": {"en": "Greedy"}, "pattern": "(a+)+b", "max_length": 200},
    {"key": "size", "type": "number", "label": {"en": "Size"}},
    {"key": "yen", "type": "money", "label": {"en": "Yen"}, "currency": "JPY"},
    {"key": "start", "type": "datetime", "label": {"en": "Start"}, "min": "2000-01-01T00:00:00Z"},
]  # fmt: skip
ANNA = "<Anna>"

GOOD: list[tuple[str, Any, Any]] = [
    ("customer_no", " AB-1234 ", "AB-1234"),
    ("note", "Mu\u0308nchner Straße", "Münchner Straße"),
    ("note", "ﬁ 𝔘 漢字 🙂", "ﬁ 𝔘 漢字 🙂"),
    ("note", "null", "null"),
    ("note", 'a "b" \\ c / <d>', 'a "b" \\ c / <d>'),
    ("story", '"one"\n\ttwo\\n', '"one"\n\ttwo\\n'),
    ("story", " one\r\ntwo\rthree\tfour\n", "one\ntwo\nthree\tfour"),
    ("story", "ü" * 10_000, "ü" * 10_000),
    ("greedy", "aaab", "aaab"),
    ("size", 0.1, 0.1),
    ("size", 123456789012345, 123456789012345),
    ("size", 0.00000000000001, 0.00000000000001),
    ("size", 1.12345678901234, 1.12345678901234),
    ("size", 1e3, 1000),
    ("size", -5, -5),
    ("size", -0.0, 0),
    ("size", 0, 0),
    ("revenue", 12.50, 12.5),
    ("revenue", 0, 0),
    ("fee", {"amount": "12.5", "currency": "EUR"}, {"amount": "12.50", "currency": "EUR"}),
    ("fee", {"amount": "0012.5000", "currency": "EUR"}, {"amount": "12.50", "currency": "EUR"}),
    ("fee", {"amount": "-0.00", "currency": "EUR"}, {"amount": "0.00", "currency": "EUR"}),
    ("fee", {"amount": "9999999999999.99", "currency": "EUR"}, {"amount": "9999999999999.99", "currency": "EUR"}),
    ("yen", {"amount": "-100.00", "currency": "JPY"}, {"amount": "-100", "currency": "JPY"}),
    ("vip", True, True),
    ("vip", False, False),
    ("contract_end", "2028-02-29", "2028-02-29"),
    ("contract_end", "9999-12-31", "9999-12-31"),
    ("last_visit", "2027-01-31T10:30:00.1239+01:00", "2027-01-31T09:30:00.123Z"),
    ("last_visit", "2027-01-31t09:30z", "2027-01-31T09:30:00.000Z"),
    ("last_visit", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
    ("segment", "large", "large"),
    ("tags", ["b", "a", "b"], ["a", "b"]),
    ("website", " HTTPS://Bücher.Example:443/Ä?q=ü ", "https://xn--bcher-kva.example/%C3%84?q=%C3%BC"),
    ("website", "http://example.com", "http://example.com/"),
    ("billing_email", "Eva@NORDWERK.Example", "Eva@nordwerk.example"),
    ("phone", "+49 (30) 123-456", "+4930123456"),
    ("manager", ANNA, ANNA),
]  # fmt: skip

BAD: list[tuple[str, str, str]] = [
    ("customer_no", '"ab-1234"', "string_pattern_mismatch"),
    ("customer_no", '"AB-1234 AB-1234"', "string_pattern_mismatch"),
    ("customer_no", "5", "string_type"),
    ("note", "true", "string_type"),
    ("note", '["a"]', "string_type"),
    ("note", "{}", "string_type"),
    ("note", "1e-400", "string_type"),
    ("note", '"a\\u0007b"', "unprintable"),
    ("note", '"a\\u0000b"', "unprintable"),
    ("note", '"a\\u202eb"', "unprintable"),
    ("note", '"a\\nb"', "unprintable"),
    ("note", json.dumps("x" * 201), "string_too_long"),
    ("story", json.dumps("x" * 10_001), "string_too_long"),
    ("story", '"a\\u001bb"', "unprintable"),
    ("greedy", json.dumps("a" * 200), "string_pattern_mismatch"),
    ("size", "true", "number_type"),
    ("size", '"5"', "number_type"),
    ("size", "[5]", "number_type"),
    ("size", "1234567890123456", "too_many_digits"),
    ("size", "0.1234567890123456", "too_many_digits"),
    ("size", "1.0000000000000000000000000000001", "too_many_digits"),
    ("size", "1e15", "too_many_digits"),
    ("size", "1e308", "too_many_digits"),
    ("size", "1e-20", "too_many_digits"),
    ("size", "9" * 4000, "too_many_digits"),
    ("revenue", "-0.01", "greater_than_equal"),
    ("revenue", "1.234", "too_many_decimals"),
    ("fee", "12.5", "money_type"),
    ("fee", '{"amount": "1"}', "money_type"),
    ("fee", '{"amount": "1", "currency": "EUR", "x": 1}', "money_type"),
    ("fee", '{"amount": 1, "currency": "EUR"}', "money_amount"),
    ("fee", '{"amount": "1e2", "currency": "EUR"}', "money_amount"),
    ("fee", '{"amount": "٣", "currency": "EUR"}', "money_amount"),
    ("fee", '{"amount": "1", "currency": "USD"}', "currency"),
    ("fee", '{"amount": "1", "currency": ["EUR"]}', "currency"),
    ("fee", '{"amount": "1.234", "currency": "EUR"}', "too_many_decimals"),
    ("fee", '{"amount": "-1", "currency": "EUR"}', "greater_than_equal"),
    ("fee", '{"amount": "99999999999999.99", "currency": "EUR"}', "too_many_digits"),
    ("yen", '{"amount": "1.5", "currency": "JPY"}', "too_many_decimals"),
    ("vip", "1", "bool_type"),
    ("vip", '"true"', "bool_type"),
    ("contract_end", '"2027-02-30"', "date_parsing"),
    ("contract_end", '"2027-2-3"', "date_parsing"),
    ("contract_end", '"20270203"', "date_parsing"),
    ("contract_end", '"2027-02-03T00:00:00Z"', "date_parsing"),
    ("contract_end", "20270203", "date_parsing"),
    ("contract_end", '"1999-12-31"', "greater_than_equal"),
    ("last_visit", '"2027-01-31"', "datetime_parsing"),
    ("last_visit", '"2027-01-31T09:30:00"', "datetime_parsing"),
    ("last_visit", '"2027-01-31T25:30:00Z"', "datetime_parsing"),
    ("last_visit", '"2027-01-31T09:30:00+99:00"', "datetime_parsing"),
    ("last_visit", '"0001-01-01T00:00:00+01:00"', "datetime_parsing"),
    ("last_visit", '"9999-12-31T23:59:59-01:00"', "datetime_parsing"),
    ("start", '"1999-12-31T23:59:59.999Z"', "greater_than_equal"),
    ("segment", '"huge"', "unknown_option"),
    ("segment", '["small"]', "unknown_option"),
    ("segment", '[["a"]]', "unknown_option"),
    ("segment", "{}", "unknown_option"),
    ("tags", '"a"', "list_type"),
    ("tags", '["a", "z"]', "unknown_option"),
    ("tags", '[["a"]]', "unknown_option"),
    ("tags", "[{}]", "unknown_option"),
    ("tags", "[null]", "unknown_option"),
    ("website", '"javascript:alert(1)"', "url"),
    ("website", '"example.com"', "url"),
    ("website", "{}", "url"),
    ("website", json.dumps("https://example.com/" + "x" * 500), "url"),
    ("billing_email", '"nobody"', "email"),
    ("billing_email", "7", "email"),
    ("billing_email", json.dumps("a" * 300 + "@example.com"), "email"),
    ("phone", '"030 123456"', "phone"),
    ("phone", '"+49"', "phone"),
    ("phone", '"+49 30 123456 ext. 5"', "phone"),
    ("phone", "4930123456", "phone"),
    ("manager", '"Anna"', "uuid_parsing"),
    ("manager", "[1]", "uuid_parsing"),
    ("manager", '"<Otto>"', "not_a_partner_member"),
    ("manager", '"00000000-0000-4000-8000-000000000000"', "not_a_partner_member"),
]  # fmt: skip


async def account(api: AsyncClient, at: str, name: str = "Nordwerk GmbH", **properties: Any) -> str:
    answer = await api.post(f"{at}/accounts", json={"name": name, "properties": properties})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


async def put(api: AsyncClient, here: str, **properties: Any) -> Response:
    return await api.patch(here, json={"properties": properties}, headers=STAR)


async def values_of(api: AsyncClient, here: str) -> dict[str, Any]:
    return (await api.get(here)).json()["properties"]


async def test_every_value_is_kept_in_the_one_form_of_its_type(world: World):
    api, at = await stage(world)
    await define(api, at, *ALL, *PLAIN)
    anna = str((await world.user("Anna")).id)
    here = await account(api, at)
    for key, given, form in GOOD:
        given, form = (anna.upper(), anna) if given == ANNA else (given, form)
        answer = await put(api, here, **{key: given})
        assert (answer.status_code, answer.json().get("properties", {}).get(key)) == (200, form), answer.text
        (listed,) = (await api.get(f"{at}/accounts")).json()["items"]  # which the database has written
        for found in ((await values_of(api, here))[key], listed["properties"][key]):
            assert (found, type(found)) == (form, type(form))
        assert (await put(api, here, **{key: form})).json()["properties"][key] == form
        assert (await put(api, here, **{key: None})).json()["properties"][key] is None


@pytest.mark.parametrize("type", [kind for kind, of in KINDS.items() if of.written == "word"])
@hypothesis.given(data=st.data())
def test_in_what_json_has_as_a_word_nothing_is_escaped(type: PropertyType, data: st.DataObject):
    """Else the table would show other JSON than the account by itself: see `services.pages`."""
    key = data.draw(st.from_regex(KEY, fullmatch=True))
    inputs = {"options": [{"key": key, "archived": False}], "min": None, "max": None}
    shapes = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:]{5,8}(\.[0-9]{1,9})?[Zz])?|(tel:)?\+(49|44|1|90|966) ?[0-9 ()/.-]{6,12}|[0-9a-fA-F-]{36}"
    text = data.draw(st.one_of(st.text(), st.just(key), st.uuids().map(str), st.from_regex(shapes, fullmatch=True)))
    try:
        kept = KINDS[type].check(text, inputs)
    except Refused:
        return
    assert json.dumps(kept, ensure_ascii=False) == f'"{kept}"'
    assert json.dumps(kept) == f'"{kept}"'


async def test_what_is_none_of_its_type_is_refused_with_a_pointer_and_changes_nothing(world: World):
    api, at = await stage(world)
    await define(api, at, *ALL, *PLAIN)
    await world.partner("Rival", Otto=Role.PARTNER_ADMIN)
    otto = str((await world.user("Otto")).id)
    here = await account(api, at, note="old", size=1, vip=True)
    before, log = (await api.get(here)).json(), await world.events(UUID(partner_of(here)))
    found: list[tuple[str, str, str]] = []
    for key, raw, code in BAD:
        body = f'{{"properties": {{"story": "new", "{key}": {raw.replace("<Otto>", otto)}}}}}'
        if key == "story":
            body = f'{{"properties": {{"note": "new", "story": {raw}}}}}'
        answer = await api.patch(here, content=body, headers=STAR | {"Content-Type": "application/json"})
        assert problem(answer) == (422, "invalid"), (key, raw[:80], answer.text)
        found += [(key, raw, e["code"]) for e in answer.json()["errors"] if e["pointer"] == f"/properties/{key}"]
        assert len(answer.json()["errors"]) == 1, (key, raw[:80], answer.text)
        assert (key, raw, code) == found[-1], answer.text
    assert (await api.get(here)).json() == before
    assert len(await world.events(UUID(partner_of(here)))) == len(log)


def partner_of(here: str) -> str:
    return here.split("/")[3]


async def test_json_that_no_value_can_be_is_refused_before_anything_looks_at_it(world: World):
    api, at = await stage(world)
    await define(api, at, *PLAIN)
    here = await account(api, at, note="old")
    deep = "[" * 40 + "]" * 40
    for raw in ("1e400", "NaN", "-Infinity", '"\\ud800"', deep, "9" * 5000, "tru"):
        answer = await api.patch(here, content=f'{{"properties": {{"note": {raw}}}}}',
                                 headers=STAR | {"Content-Type": "application/json"})  # fmt: skip
        assert problem(answer) == (400, "malformed_request"), (raw[:30], answer.text)
    wrongs: list[Any] = [None, [], "x", {f"k{n}": 1 for n in range(101)}]
    for wrong in wrongs:
        assert problem(await api.patch(here, json={"properties": wrong}, headers=STAR)) == (422, "invalid"), wrong
    assert (await values_of(api, here))["note"] == "old"


async def test_one_wrong_value_of_three_changes_none_and_every_wrong_one_is_named(world: World):
    api, at = await stage(world)
    await define(api, at, *PLAIN)
    here = await account(api, at, note="old", size=1)
    before = (await api.get(here)).json()
    answer = await api.patch(here, json={"name": "New", "properties": {"note": "new", "size": "x", "nope": 1, "a/b": 1}},
                             headers=STAR)  # fmt: skip
    assert problem(answer) == (422, "invalid")
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [
        ("/properties/size", "number_type"), ("/properties/nope", "unknown_property"),
        ("/properties/?", "unknown_property"),
    ]  # fmt: skip
    assert (await api.get(here)).json() == before
    assert problem(await api.post(f"{at}/accounts", json={"name": "B", "properties": {"size": "x"}}))[0] == 422
    assert len((await api.get(f"{at}/accounts")).json()["items"]) == 1


async def test_a_look_alike_of_the_old_value_is_no_value(world: World):
    api, at = await stage(world)
    await define(api, at, *ALL, *PLAIN)
    here = await account(api, at, size=1, vip=True)
    for wrong in ({"size": True}, {"vip": 1}, {"vip": 1.0}):
        assert problem(await put(api, here, **wrong)) == (422, "invalid"), wrong
    found = await values_of(api, here)
    assert (found["size"] is not True, found["vip"] is True) == (True, True)


async def test_a_merge_patch_clears_what_is_empty_and_leaves_what_is_left_out(world: World):
    api, at = await stage(world)
    await define(api, at, *ALL, *PLAIN)
    here = await account(api, at, note="a", story="b", tags=["a"], size=1, vip=False)
    answer = await put(api, here, note=None, story="", tags=[], size=0)
    found = answer.json()["properties"]
    assert {k: found[k] for k in ("note", "story", "tags", "size", "vip", "segment")} == {
        "note": None, "story": None, "tags": None, "size": 0, "vip": False, "segment": "small"}  # fmt: skip
    assert found.keys() == {d["key"] for d in ALL + PLAIN}
    assert (await put(api, here, note="  ")).json()["properties"]["note"] is None
    assert (await values_of(api, here)) == found
    assert (await api.post(f"{at}/properties/note/archive")).status_code == 200
    for wrong, code in (("note", "archived_property"), ("gone", "unknown_property")):
        answer = await put(api, here, **{wrong: "x"})
        assert (problem(answer), answer.json()["errors"][0]["code"]) == ((422, "invalid"), code)


async def test_the_log_holds_the_values_that_changed_before_and_after_and_no_others(world: World):
    api, at = await stage(world)
    await define(api, at, *PLAIN)
    here = await account(api, at, note="a", size=0.1, story="s")
    await put(api, here, note="a", size=0.2, story=None, yen={"amount": "5", "currency": "JPY"})
    partner_id = UUID(partner_of(here))
    last = (await world.events(partner_id))[-1]
    assert (last.type, last.details) == ("account.updated", {
        "before": {"properties": {"size": 0.1, "story": "s", "yen": None}},
        "after": {"properties": {"size": 0.2, "story": None, "yen": {"amount": "5", "currency": "JPY"}}},
    })  # fmt: skip
    tag = (await api.get(here)).headers["etag"]
    same = await put(api, here, note="a", size=0.2, story="")
    assert (same.status_code, same.headers["etag"]) == (200, tag)
    assert (await world.events(partner_id))[-1].id == last.id


# --- required, defaults ---


async def test_a_required_value_is_asked_for_on_create_and_when_values_change_but_not_for_a_new_name(world: World):
    api, at = await stage(world)
    await define(api, at, PLAIN[0])
    here = await account(api, at)
    await define(api, at, {"key": "must", "type": "number", "label": {"en": "Must"}, "required": True})
    lacking = [
        await api.post(f"{at}/accounts", json={"name": "B"}),
        await api.post(f"{at}/accounts", json={"name": "B", "properties": {"must": None}}),
        await put(api, here, note="x"),
        await put(api, here, must=""),
    ]
    for answer in lacking:
        assert problem(answer) == (422, "invalid")
        assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("/properties/must", "missing")]
    changes: list[dict[str, Any]] = [{"name": "Südwerk"}, {"status": "suspended"}, {"properties": {}}]
    for change in changes:
        assert (await api.patch(here, json=change, headers=STAR)).status_code == 200
    assert (await put(api, here, must=0)).json()["properties"] == {"note": None, "must": 0}
    assert problem(await put(api, here, must=None)) == (422, "invalid")
    assert (await api.post(f"{at}/properties/must/archive")).status_code == 200
    assert (await api.post(f"{at}/accounts", json={"name": "B"})).status_code == 201


async def test_defaults_fill_what_is_left_out_and_an_explicit_null_wins(world: World):
    api, at = await stage(world)
    number = {"key": "n", "type": "number", "label": {"en": "N"}, "default": 0.5}
    await define(api, at, ALL[6], number, number | {"key": "must", "required": True, "default": 7})
    assert await values_of(api, await account(api, at, "A")) == {"segment": "small", "n": 0.5, "must": 7}
    given = await account(api, at, "B", segment=None, n=1)
    assert await values_of(api, given) == {"segment": None, "n": 1, "must": 7}
    answer = await api.post(f"{at}/accounts", json={"name": "C", "properties": {"must": None}})
    assert (problem(answer), answer.json()["errors"][0]["code"]) == ((422, "invalid"), "missing")
    await put(api, given, n=2)
    assert (await values_of(api, given))["segment"] is None


# --- who may change, who may see ---


async def test_only_the_roles_of_editable_by_and_operators_change_a_value(world: World):
    api, at = await stage(world)
    await define(api, at, PLAIN[0] | {"editable_by": ["partner_admin"]}, PLAIN[3],
                 PLAIN[2] | {"editable_by": [], "default": "ab"})  # fmt: skip
    max_, olga = await world.client("Max"), await world.client("Olga", operator=True)
    refused = await max_.post(f"{at}/accounts", json={"name": "A", "properties": {"note": "x"}})
    assert problem(refused) == (403, "property_not_editable")
    here = await account(max_, at)  # Max is its admin, and still a manager
    assert (await put(api, here, note="old", size=1)).status_code == 200
    before = (await api.get(here)).json()
    for change in ({"note": "new"}, {"note": None}, {"greedy": None}):
        answer = await put(max_, here, size=2, **change)
        assert problem(answer) == (403, "property_not_editable")
        assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [
            (f"/properties/{next(iter(change))}", "not_editable")
        ]
    assert (await api.get(here)).json() == before
    assert (await put(max_, here, note="old", size=3)).status_code == 200  # what stays is no change
    assert problem(await put(api, here, greedy="aab")) == (403, "property_not_editable")
    assert (await put(olga, here, greedy="aab", note="op")).json()["properties"] == {
        "note": "op", "size": 3, "greedy": "aab"}  # fmt: skip


async def test_sensitive_values_are_masked_for_whoever_may_not_change_accounts(world: World):
    api, at = await stage(world)
    await define(api, at, PLAIN[0] | {"sensitive": True}, PLAIN[1] | {"sensitive": True}, PLAIN[3])
    here = await account(api, at, note="secret", size=1)
    await world.user("Eva")
    invited = await api.post(f"{here}/invitations", json={"email": "eva@example.com", "role": "account_admin"})
    assert invited.status_code == 201
    token = token_of((await world.mails())[0])
    eva, vera, max_ = await world.client("Eva"), await world.client("Vera"), await world.client("Max")
    assert (await eva.post("/v1/registrations", json={"token": token})).status_code < 300
    for who, masked in ((vera, True), (eva, True), (api, False), (max_, False)):
        shown = [(await who.get(here)).json(), (await who.get(f"{here}/overview")).json()["account"]]
        if who is not eva:
            shown += (await who.get(f"{at}/accounts")).json()["items"]
        for one in shown:
            assert one["properties"] == {"note": None if masked else "secret", "story": None, "size": 1}
            assert one["masked_properties"] == (["note"] if masked else [])
    assert (await put(max_, here, note="s2")).json()["properties"]["note"] == "s2"


# --- unique ---


async def test_a_unique_value_belongs_to_one_account_whatever_its_case_and_width(world: World):
    api, at = await stage(world)
    await define(api, at, PLAIN[0] | {"unique": True}, PLAIN[3] | {"unique": True}, ALL[9] | {"unique": True})
    first = await account(api, at, "A", note="Nord Werk", size=10, billing_email="eva@example.com")
    second = await account(api, at, "B")
    same: list[dict[str, Any]] = [{"note": "nord  WERK"}, {"note": "Ｎord Werk"}, {"size": 10.0}, {"size": 1e1},
                                  {"billing_email": "EVA@Example.com"}]  # fmt: skip
    for values in same:
        for answer in (await put(api, second, **values),
                       await api.post(f"{at}/accounts", json={"name": "C", "properties": values})):  # fmt: skip
            assert problem(answer) == (409, "value_taken")
            assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [
                (f"/properties/{next(iter(values))}", "value_taken")
            ]
    assert set((await values_of(api, second)).values()) == {None}
    assert (await put(api, second, note="Nörd Werk")).status_code == 200
    assert (await put(api, first, note="NORD WERK")).json()["properties"]["note"] == "NORD WERK"
    assert len((await api.get(f"{at}/accounts")).json()["items"]) == 2


async def test_a_unique_value_moves_on_once_it_is_let_go(world: World):
    api, at = await stage(world)
    await define(api, at, PLAIN[0] | {"unique": True})
    first, second = await account(api, at, "A", note="x"), await account(api, at, "B")
    assert (await put(api, first, note="y")).status_code == 200
    assert (await put(api, second, note="x")).status_code == 200
    assert problem(await put(api, first, note="X")) == (409, "value_taken")
    assert (await put(api, second, note=None)).status_code == 200
    assert (await put(api, first, note="x")).status_code == 200
    assert (await api.delete(first, headers=STAR)).status_code == 204
    assert (await put(api, second, note="x")).status_code == 200
    answer = await api.post(f"{first}/restore")
    assert (problem(answer), answer.json()["errors"][0]["pointer"]) == ((409, "value_taken"), "/properties/note")
    assert (await api.get(first)).json()["status"] == "archived"
    await put(api, second, note="z")
    assert (await api.post(f"{first}/restore")).json()["properties"] == {"note": "x"}
    assert problem(await put(api, second, note="x")) == (409, "value_taken")
