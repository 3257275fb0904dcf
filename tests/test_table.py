"""The accounts table: filtered, sorted, searched and paged by the columns that a partner invented."""

import random
from typing import Any

from httpx import AsyncClient

from app.policy import Role
from tests.conftest import World, problem
from tests.test_properties import ALL, define


async def filled(world: World) -> tuple[AsyncClient, str]:
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER, Vera=Role.PARTNER_VIEWER)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    await define(api, at, *ALL)
    for name, values in ROWS.items():
        answer = await api.post(f"{at}/accounts", json={"name": name, "properties": values})
        assert answer.status_code == 201, answer.text
    return api, at


ROWS: dict[str, dict[str, Any]] = {
    "Äpfel GmbH": {"customer_no": "AB-0001", "revenue": 10.5, "contract_end": "2026-12-31", "tags": ["a"], "vip": True},
    "Birnen AG": {"customer_no": "AB-0002", "revenue": 9, "contract_end": "2027-06-30", "tags": ["a", "b"]},
    "Citrus Ltd": {"revenue": 100, "fee": {"amount": "99.90", "currency": "EUR"}, "segment": "large"},
    "Dattel KG": {"website": "https://Dattel.example.com", "last_visit": "2026-01-01T12:00:00+02:00"},
    "Erdbeer eG": {"billing_email": "Post@Erdbeer.example.com", "phone": "+49 30 123456", "vip": False},
}


async def names(api: AsyncClient, at: str, **query: Any) -> list[str]:
    """The names on all pages of a query, two rows a page."""
    found: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = await api.get(f"{at}/accounts", params={"limit": 2, **query, **cursor})
        assert answer.status_code == 200, answer.text
        found += [item["name"][0] for item in answer.json()["items"]]
        if (following := answer.json()["next_cursor"]) is None:
            return found
        cursor = {"cursor": following}


async def test_every_filter_finds_what_it_says(world: World):
    api, at = await filled(world)
    for text, expected in {
        "customer_no:eq:ab-0001": "Ä", "customer_no:starts_with:AB": "ÄB", "customer_no:ne:AB-0001": "BCDE",
        "revenue:gt:9": "ÄC", "revenue:lte:10.5": "ÄB", "revenue:in:9,100": "BC", "revenue:is_null:true": "DE",
        "fee:gte:99.9": "C", "vip:eq:true": "Ä", "vip:ne:true": "BCDE", "contract_end:lt:2027-01-01": "Ä",
        "last_visit:eq:2026-01-01T10:00:00Z": "D", "last_visit:gte:2026-01-02": "", "segment:eq:large": "C",
        "segment:in:small,large": "ÄBCDE", "tags:contains:b": "B", "tags:is_null:true": "CDE", "tags:is_null:false": "ÄB",
        "website:contains:dattel": "D", "billing_email:eq:post@erdbeer.example.com": "E", "phone:starts_with:+4930": "E",
        "manager:is_null:true": "ÄBCDE",
    }.items():  # fmt: skip
        assert "".join(await names(api, at, filter=f"properties.{text}")) == expected, text


async def test_empty_values_come_last_in_both_directions_on_every_page(world: World):
    api, at = await filled(world)
    for sort, expected in {
        "properties.revenue": "BÄCDE", "-properties.revenue": "CÄBED", "properties.contract_end,-name": "ÄBEDC",
        "-properties.contract_end,name": "BÄCDE", "properties.segment,-properties.revenue": "CÄBDE",
        "-properties.segment,properties.revenue,name": "BÄDEC",
    }.items():  # fmt: skip
        assert "".join(await names(api, at, sort=sort)) == expected, sort


async def test_search_finds_names_and_texts_but_nothing_sensitive(world: World):
    api, at = await filled(world)
    assert await names(api, at, q="APFEL") == ["Ä"]
    assert await names(api, at, q="ab-000") == ["Ä", "B"]
    tag = (await api.get(f"{at}/properties/customer_no")).headers["etag"]
    await api.patch(f"{at}/properties/customer_no", json={"sensitive": True}, headers={"If-Match": tag})
    await world.worker().refresh_all()
    assert await names(api, at, q="ab-000") == []


async def test_an_operator_that_a_type_has_not_is_refused_with_those_it_has(world: World):
    api, at = await filled(world)
    answer = await api.get(f"{at}/accounts", params={"filter": "properties.vip:gt:true"})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["errors"] == [
        {"pointer": "query:filter", "code": "unknown_operator", "detail": "This field takes eq, ne, is_null."}
    ]


async def test_the_typed_search_says_the_same_and_knows_alternatives(world: World):
    api, at = await filled(world)
    where = {"field": "properties.revenue", "operator": "gt", "value": 9}
    late = {"field": "properties.contract_end", "operator": "gte", "value": "2027-01-01"}
    for body, expected in [
        ({"all": [where]}, "ÄC"), ({"any": [where, late]}, "ÄBC"),
        ({"all": [where], "any": [late, {"field": "properties.vip", "operator": "eq", "value": True}]}, "Ä"),
        ({"all": [{"field": "properties.revenue", "operator": "in", "value": ["9", "100"]}], "sort": "-name"}, "CB"),
    ]:  # fmt: skip
        answer = await api.post(f"{at}/account-searches", json=body)
        assert "".join(i["name"][0] for i in answer.json()["items"]) == expected
    first = (await api.post(f"{at}/account-searches", json={"sort": "-properties.revenue", "limit": 4})).json()
    second = await api.post(
        f"{at}/account-searches", json={"sort": "-properties.revenue", "limit": 4, "cursor": first["next_cursor"]}
    )
    assert [i["name"][0] for i in [*first["items"], *second.json()["items"]]] == list("CÄBED")
    other = await api.post(f"{at}/account-searches", json={"sort": "name", "cursor": first["next_cursor"]})
    assert (problem(other), other.json()["errors"][0]["pointer"]) == ((422, "invalid"), "/cursor")
    wrong = {"all": [where, where | {"operator": "contains"}]}
    assert (await api.post(f"{at}/account-searches", json=wrong)).json()["errors"][0]["pointer"] == "/all/1"


# --- what cannot be asked ---


async def refused(api: AsyncClient, at: str, **query: Any) -> list[tuple[str, str]]:
    """Pointers and codes of a query of the table that must be refused."""
    answer = await api.get(f"{at}/accounts", params=query)
    assert problem(answer) == (422, "invalid"), (query, answer.text)
    return [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


async def searched(api: AsyncClient, at: str, body: dict[str, Any]) -> list[tuple[str, str]]:
    answer = await api.post(f"{at}/account-searches", json=body)
    assert problem(answer) == (422, "invalid"), (body, answer.text)
    return [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


async def change(api: AsyncClient, at: str, key: str, **values: Any) -> None:
    answer = await api.patch(f"{at}/properties/{key}", json=values, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text


async def test_columns_chooses_what_is_returned(world: World):
    api, at = await filled(world)
    for asked, expected in {
        "properties.revenue,tags": {"revenue": 10.5, "tags": ["a"]}, "name": {}, "revenue": {"revenue": 10.5},
        "revenue,revenue": {"revenue": 10.5},
    }.items():  # fmt: skip
        item = (await api.get(f"{at}/accounts", params={"columns": asked, "limit": 1})).json()["items"][0]
        assert (item["name"], item["properties"]) == ("Äpfel GmbH", expected), asked
    everything = (await api.get(f"{at}/accounts", params={"limit": 1})).json()["items"][0]
    assert list(everything["properties"]) == [d["key"] for d in ALL]
    for wrong in ("nothing", "revenue,properties.nothing", "properties.", ",", "name_search", "t1"):
        assert await refused(api, at, columns=wrong) == [("query:columns", "unknown_field")], wrong
    assert (await refused(api, at, columns=""))[0][0] == "query:columns"
    assert await searched(api, at, {"columns": ["tags", "x"]}) == [("/columns", "unknown_field")]


async def test_a_cursor_belongs_to_its_query(world: World):
    api, at = await filled(world)
    query = {"filter": "properties.revenue:gt:1", "sort": "-properties.revenue", "limit": 1}
    cursor = (await api.get(f"{at}/accounts", params=query)).json()["next_cursor"]
    assert (await api.get(f"{at}/accounts", params=query | {"cursor": cursor, "limit": 2})).status_code == 200
    for other in (
        {"filter": "properties.revenue:gt:2"},
        {"sort": "properties.revenue"},
        {"q": "a"},
        {"columns": "vip"},
    ):
        found = await refused(api, at, **(query | other | {"cursor": cursor}))
        assert found == [("query:cursor", "invalid_cursor")], other
    for wrong in ("", "x", cursor[:-1], cursor + "A"):
        assert await refused(api, at, **(query | {"cursor": wrong})) == [("query:cursor", "invalid_cursor")]


async def test_a_cursor_holds_the_longest_values(world: World):
    api, at = await filled(world)
    keys = ("one", "two", "three")
    await define(api, at, *({"key": key, "type": "text", "label": {"en": key}, "max_length": 200} for key in keys))
    rng = random.Random(3)
    for name in "XYZ":
        values = {key: "".join(chr(rng.randrange(0x4E00, 0x9F00)) for _ in range(200)) for key in keys}
        answer = await api.post(f"{at}/accounts", json={"name": name, "properties": values})
        assert answer.status_code == 201, answer.text
    sort = ",".join(f"properties.{key}" for key in keys)
    assert sorted((await names(api, at, sort=sort, limit=1))[:3]) == list("XYZ")
    first = await api.post(f"{at}/account-searches", json={"sort": sort, "limit": 1})
    body = {"sort": sort, "limit": 1, "cursor": first.json()["next_cursor"]}
    assert (await api.post(f"{at}/account-searches", json=body)).status_code == 200


async def test_three_columns_sort_and_four_or_one_twice_are_refused(world: World):
    api, at = await filled(world)
    assert len(await names(api, at, sort="properties.vip,-properties.revenue,name")) == 5
    for sort, code in {
        "properties.vip,properties.revenue,properties.fee,name": "too_many", "name,-name": "too_many",
        "properties.vip,name,-properties.vip": "too_many", "properties.tags": "unknown_field", "status": "unknown_field",
        "-": "unknown_field", "--name": "unknown_field", "name,": "unknown_field", "properties.t1": "unknown_field",
        "t1": "unknown_field", "name_search": "unknown_field", "properties.nothing": "unknown_field",
    }.items():  # fmt: skip
        assert await refused(api, at, sort=sort) == [("query:sort", code)], sort
        assert await searched(api, at, {"sort": sort}) == [("/sort", code)], sort


async def test_twenty_filters_hold_and_one_more_is_refused(world: World):
    api, at = await filled(world)
    one = "properties.revenue:gt:1"
    assert len(await names(api, at, filter=[one] * 20)) == 3
    assert (await refused(api, at, filter=[one] * 21))[0][0] == "query:filter"
    where = {"field": "properties.revenue", "operator": "gt", "value": 1}
    assert await searched(api, at, {"all": [where] * 15, "any": [where] * 6}) == [("/any/5", "too_many")]
    assert (await searched(api, at, {"all": [where] * 21}))[0][0] == "/all"


OPERATORS = {
    "name": "eq, ne, in, contains, starts_with", "status": "eq, ne, in", "created_at": "eq, ne, lt, lte, gt, gte",
    **dict.fromkeys(("properties.customer_no", "properties.website", "properties.billing_email", "properties.phone"),
                    "eq, ne, in, contains, starts_with, is_null"),
    **dict.fromkeys(("properties.revenue", "properties.fee", "properties.contract_end", "properties.last_visit"),
                    "eq, ne, lt, lte, gt, gte, in, is_null"),
    **dict.fromkeys(("properties.segment", "properties.manager"), "eq, ne, in, is_null"),
    "properties.vip": "eq, ne, is_null", "properties.tags": "contains, is_null",
}  # fmt: skip


async def test_every_type_names_the_operators_it_has(world: World):
    api, at = await filled(world)
    for field, known in OPERATORS.items():
        for operator in {"eq", "ne", "lt", "lte", "gt", "gte", "in", "contains", "starts_with", "is_null", "like"}:
            if operator not in known.split(", "):
                answer = await api.get(f"{at}/accounts", params={"filter": f"{field}:{operator}:1"})
                assert problem(answer) == (422, "invalid"), (field, operator)
                said = {"pointer": "query:filter", "code": "unknown_operator", "detail": f"This field takes {known}."}
                assert answer.json()["errors"] == [said]


NASTY = ["", "NaN", "inf", "1e400", "1e3", "+1", " 1", "1,5", "2027-13-01", "2027-02-30", "0000-00-00", "x" * 400, "%",
         "_", "\\", "'", '"', "';--", "a:b", "::", "a,b", ",", "null", "true", "0", "-1", "Ä", "\u202e", "0" * 16, "2027-01-01",
         "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2027-01-01T00:00:00Z", "９"]  # fmt: skip


async def test_what_is_no_value_of_a_type_is_refused_and_what_is_one_is_taken_literally(world: World):
    api, at = await filled(world)
    fine = {
        "revenue": {"0", "-1", "1", "5"}, "fee": {"0", "-1", "1", "5"}, "vip": {"true"}, "contract_end": {"2027-01-01"}, "manager": set[str](),
        "last_visit": {"2027-01-01", "2027-01-01T00:00:00Z"},
    }  # fmt: skip
    for key, known in ((d["key"], fine.get(d["key"])) for d in ALL):
        for operator in OPERATORS[f"properties.{key}"].split(", "):
            for value in NASTY:
                answer = await api.get(f"{at}/accounts", params={"filter": f"properties.{key}:{operator}:{value}"})
                allowed = {"true"} if operator == "is_null" else known
                parts = value.split(",") if operator == "in" else [value]
                expected = 200 if allowed is None or allowed.issuperset(parts) else 422
                assert answer.status_code == expected, (key, operator, value, answer.text)
                if expected == 422:
                    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [
                        ("query:filter", "invalid_value")
                    ]
    for value in ("\\", "'", "a:b", "\u202e", "x" * 400):
        assert await names(api, at, filter=f"properties.website:contains:{value}") == []
    assert await names(api, at, filter="properties.customer_no:contains:%") == []
    assert await names(api, at, filter="properties.customer_no:contains:_") == []
    for wrong in ("2027-13-01", "NaN", "", "9999-12-31T23:59:59-12:00"):
        assert await refused(api, at, filter=f"created_at:gt:{wrong}") == [("query:filter", "invalid_value")]
    assert (await refused(api, at, filter="name:eq:" + "x" * 500))[0][0].startswith("query:filter")


async def test_values_with_marks_of_the_filter_language_are_found(world: World):
    api, at = await filled(world)
    await define(api, at, {"key": "note", "type": "text", "label": {"en": "Note"}})
    for name, note in {"V": "a:b:c", "W": "50 %", "X": "a_b", "Y": "c:\\d", "Z": 'O\'Hara "x"'}.items():
        await api.post(f"{at}/accounts", json={"name": name, "properties": {"note": note}})
        for operator in ("eq", "contains", "starts_with", "in"):
            assert await names(api, at, filter=f"properties.note:{operator}:{note}") == [name], (operator, note)
        assert await names(api, at, q=note) == [name]


async def test_small_numbers_and_addresses_are_found_as_they_are_shown(world: World):
    api, at = await filled(world)
    await define(api, at, {"key": "share", "type": "number", "label": {"en": "Share"}})
    body = {"share": 0.0000123456789012345, "billing_email": "Post@bücher.example.com"}
    made = await api.post(f"{at}/accounts", json={"name": "X", "properties": body})
    shown = made.json()["properties"]
    assert shown["share"] == body["share"]
    assert await names(api, at, filter="properties.share:eq:0.0000123456789012345") == ["X"]
    where = {"field": "properties.share", "operator": "eq", "value": shown["share"]}
    assert len((await api.post(f"{at}/account-searches", json={"all": [where]})).json()["items"]) == 1
    for operator, value in (("eq", shown["billing_email"]), ("contains", "@bücher")):
        assert await names(api, at, filter=f"properties.billing_email:{operator}:{value}") == ["X"], operator


async def test_names_of_fields_are_no_way_into_the_database(world: World):
    api, at = await filled(world)
    for field in ("t1", "n1", "search", "name_key", "partner_id", "properties", "properties.", "properties.t1",
                  "properties.revenue.x", "account.name", "__class__"):  # fmt: skip
        assert await refused(api, at, filter=f"{field}:eq:1") == [("query:filter", "unknown_field")], field
        assert await searched(api, at, {"any": [{"field": field, "operator": "eq", "value": "1"}]}) == [
            ("/any/0", "unknown_field")
        ]
    for field in ("name'--", "name;drop table accounts", "name)or(1=1", "properties->>x", "Name", "", "náme"):
        assert await refused(api, at, filter=f"{field}:eq:1") == [("query:filter", "malformed_filter")], field
        assert (await searched(api, at, {"all": [{"field": field, "operator": "eq", "value": "1"}]}))[0][0] == (
            "/all/0/field"
        )
        assert (await refused(api, at, sort=f"{field};"))[0] == ("query:sort", "string_pattern_mismatch")
    assert len(await names(api, at)) == 5


async def test_a_sensitive_column_is_asked_by_those_who_see_it_alone(world: World):
    api, at = await filled(world)
    await change(api, at, "revenue", sensitive=True)
    await change(api, at, "customer_no", sensitive=True)
    await world.worker().refresh_all()
    vera = await world.client("Vera")
    asked: list[dict[str, Any]] = [
        {"filter": "properties.revenue:gt:9"}, {"sort": "-properties.revenue"}, {"filter": "properties.revenue:is_null:true"},
    ]  # fmt: skip
    for query in asked:
        pointer = f"query:{next(iter(query))}"
        assert await refused(vera, at, **query) == [(pointer, "unknown_field")]
        assert await names(api, at, **query)
    where = {"field": "properties.revenue", "operator": "gt", "value": 9}
    assert await searched(vera, at, {"any": [where]}) == [("/any/0", "unknown_field")]
    assert await searched(vera, at, {"sort": "properties.revenue"}) == [("/sort", "unknown_field")]
    detail = (await vera.get(f"{at}/accounts", params={"filter": "x:eq:1"})).json()["errors"][0]["detail"]
    assert "revenue" not in detail
    for who in (vera, api):  # one text is searched for all
        assert await names(who, at, q="AB-0001") == []
    item = (await vera.get(f"{at}/accounts", params={"limit": 1, "columns": "revenue"})).json()["items"][0]
    assert (item["properties"], item["masked_properties"]) == ({"revenue": None}, ["customer_no", "revenue"])


async def test_a_column_that_is_being_made_filterable_answers_when_it_is_ready(world: World):
    api, at = await filled(world)
    await change(api, at, "revenue", filterable=False)
    await world.worker().refresh_all()
    assert await refused(api, at, filter="properties.revenue:gt:9") == [("query:filter", "unknown_field")]
    await change(api, at, "revenue", filterable=True)
    for query in ({"filter": "properties.revenue:gt:9"}, {"sort": "name,-properties.revenue"}):
        answer = await api.get(f"{at}/accounts", params=query)
        assert (problem(answer), answer.headers["retry-after"]) == ((409, "column_not_ready"), "2")
    where = {"field": "properties.revenue", "operator": "gt", "value": 9}
    for side in ("all", "any"):
        answer = await api.post(f"{at}/account-searches", json={side: [where]})
        assert problem(answer) == (409, "column_not_ready")
    assert len(await names(api, at, sort="properties.fee")) == 5
    await world.worker().refresh_all()
    assert await names(api, at, filter="properties.revenue:gt:9", sort="-properties.revenue") == ["C", "Ä"]


async def test_an_archived_column_cannot_be_asked_until_it_is_restored(world: World):
    api, at = await filled(world)
    assert (await api.post(f"{at}/properties/revenue/archive")).status_code == 200
    await world.worker().refresh_all()
    assert await refused(api, at, filter="properties.revenue:gt:9") == [("query:filter", "unknown_field")]
    assert await refused(api, at, sort="properties.revenue") == [("query:sort", "unknown_field")]
    assert await refused(api, at, columns="revenue") == [("query:columns", "unknown_field")]
    assert "revenue" not in (await api.get(f"{at}/accounts")).json()["items"][0]["properties"]
    assert (await api.post(f"{at}/properties/revenue/restore")).status_code == 200
    await world.worker().refresh_all()
    assert await names(api, at, filter="properties.revenue:gt:9") == ["Ä", "C"]


async def test_a_typed_search_points_to_what_is_wrong(world: World):
    api, at = await filled(world)
    where = {"field": "properties.revenue", "operator": "gt", "value": 9}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"all": {}}, "/all"), ({"all": ["x"]}, "/all/0"), ({"all": [where | {"value": None}]}, "/all/0/value"),
        ({"all": [where | {"value": {}}]}, "/all/0/value"), ({"any": [where, where | {"field": 1}]}, "/any/1/field"),
        ({"all": [where | {"operator": "GT"}]}, "/all/0/operator"), ({"all": [{"field": "name"}]}, "/all/0"),
        ({"all": [where | {"x": 1}]}, "/all/0/x"), ({"limit": "5"}, "/limit"), ({"limit": 0}, "/limit"),
        ({"limit": 201}, "/limit"), ({"count": "true"}, "/count"), ({"cursor": 1}, "/cursor"), ({"cursor": "x"}, "/cursor"),
        ({"columns": "tags"}, "/columns"), ({"q": "x" * 101}, "/q"), ({"q": 1}, "/q"), ({"filter": []}, "/filter"),
        ({"all": [where | {"value": "much"}]}, "/all/0"), ({"any": [where | {"value": True}]}, "/any/0"),
        ({"any": [where | {"operator": "in", "value": ["9", "x"]}]}, "/any/0"),
        ({"all": [where | {"operator": "in", "value": ["9"] * 201}]}, "/all/0"),
    ]  # fmt: skip
    for body, pointer in wrong:
        found = await searched(api, at, body)
        assert found[0][0].startswith(pointer), (body, found)


async def test_the_columns_of_another_partner_are_unknown(world: World):
    _, at = await filled(world)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    rita, there = await world.client("Rita"), f"/v1/partners/{rival.id}"
    await rita.post(f"{there}/accounts", json={"name": "R"})
    assert await refused(rita, there, filter="properties.revenue:gt:9") == [("query:filter", "unknown_field")]
    assert await refused(rita, there, sort="properties.revenue") == [("query:sort", "unknown_field")]
    assert await refused(rita, there, columns="revenue") == [("query:columns", "unknown_field")]
    assert (await rita.get(f"{there}/accounts")).json()["items"][0]["properties"] == {}
    for path in ("accounts", "properties"):
        assert problem(await rita.get(f"{at}/{path}")) == (404, "not_found")
    assert problem(await rita.post(f"{at}/account-searches", json={})) == (404, "not_found")


async def test_count_says_how_many_rows_there_are_on_all_pages(world: World):
    api, at = await filled(world)
    where = {"field": "properties.revenue", "operator": "gt", "value": 1}
    first = await api.get(f"{at}/accounts", params={"filter": "properties.revenue:gt:1", "limit": 1, "count": "true"})
    second = await api.get(f"{at}/accounts", params={
        "filter": "properties.revenue:gt:1", "limit": 1, "count": "true", "cursor": first.json()["next_cursor"]})  # fmt: skip
    typed = await api.post(f"{at}/account-searches", json={"any": [where], "limit": 1, "count": True})
    assert [a.json()["total"] for a in (first, second, typed)] == [3, 3, 3]
    assert (await api.get(f"{at}/accounts")).json()["total"] is None
