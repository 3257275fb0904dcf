"""The accounts table: filtered, sorted, searched and paged by the columns that a partner invented."""

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
