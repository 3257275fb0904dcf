"""Exports: what the accounts table shows, as a file; nothing less, nothing of others, and nothing that bites."""

import csv
import io
import json
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient, Response
from openpyxl import load_workbook
from python_calamine import CalamineWorkbook

from app import sheets
from app.models import new_id
from app.policy import Role
from app.services import columns, exports
from app.sheets.formulas import rearmed
from tests.conftest import World, problem
from tests.test_properties import ALL, define
from tests.test_property_values import ANNA, GOOD, PLAIN
from tests.test_table import filled

FIXED = ["id", "name", "status", "price_model"]
BEHIND = ["member_count", "created_at", "updated_at"]
KEYS = [d["key"] for d in ALL]
STAR = {"If-Match": "*"}
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


async def taken(api: AsyncClient, at: str, kind: str = "csv", **query: Any) -> Response:
    answer = await api.get(f"{at}/accounts.{kind}", params=query)
    assert answer.status_code == 200, answer.text
    return answer


async def table(api: AsyncClient, at: str, **query: Any) -> list[list[str]]:
    """The rows of a CSV file, its header first, as any program reads them."""
    delimiter = {"semicolon": ";", "tab": "\t"}.get(query.get("separator", ""), ",")
    text = (await taken(api, at, **query)).content.decode("utf-8-sig")
    assert text.endswith("\r\n")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


async def workbook(api: AsyncClient, at: str, **query: Any) -> list[list[Any]]:
    """The rows of a workbook, as openpyxl reads them."""
    sheet = load_workbook(io.BytesIO((await taken(api, at, "xlsx", **query)).content)).active
    assert sheet is not None
    return [list(row) for row in sheet.iter_rows(values_only=True)]


async def listed(api: AsyncClient, at: str, **query: Any) -> list[dict[str, Any]]:
    """All rows of the list, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await api.get(f"{at}/accounts", params={"limit": 3, **query, **cursor})
        assert page.status_code == 200, page.text
        found += page.json()["items"]
        if (following := page.json()["next_cursor"]) is None:
            return found
        cursor = {"cursor": following}


async def change(api: AsyncClient, at: str, key: str, **values: Any) -> None:
    answer = await api.patch(f"{at}/properties/{key}", json=values, headers=STAR)
    assert answer.status_code == 200, answer.text


# --- rows and columns ---


async def test_export_has_the_lists_rows_in_the_lists_order_whatever_is_asked(world: World):
    api, at = await filled(world)
    gone = (await listed(api, at, q="citrus"))[0]["id"]
    assert (await api.delete(f"{at}/accounts/{gone}", headers=STAR)).status_code == 204
    for query in (
        {}, {"sort": "-name"}, {"sort": "properties.revenue"}, {"sort": "-properties.revenue"},
        {"sort": "-properties.segment,properties.revenue,name"}, {"sort": "properties.contract_end,-created_at"},
        {"filter": "properties.revenue:gt:9"}, {"filter": ["properties.tags:contains:a", "name:starts_with:b"]},
        {"q": "ab-00"}, {"filter": "status:in:active,archived"}, {"filter": "status:eq:archived"}, {"q": "nothing"},
        {"filter": "properties.revenue:is_null:true", "sort": "-created_at"},
    ):  # fmt: skip
        rows = await listed(api, at, **query)
        expected = [[row["id"], row["name"], row["status"]] for row in rows]
        for found in (await table(api, at, **query), await workbook(api, at, **query)):
            assert [row[:3] for row in found[1:]] == expected, query


async def test_columns_are_those_of_the_table_in_its_order_unless_they_are_named(world: World):
    api, at = await filled(world)
    assert (await table(api, at))[0] == [*FIXED, *KEYS, *BEHIND]
    assert (await workbook(api, at))[0] == [*FIXED, *KEYS, *BEHIND]

    for asked, header in {
        "name": ["name"], "properties.revenue,id,tags": ["revenue", "id", "tags"],
        "updated_at,created_at,status,name,id": ["updated_at", "created_at", "status", "name", "id"],
        "tags,properties.tags,tags": ["tags"],
    }.items():  # fmt: skip
        assert (await table(api, at, columns=asked))[0] == header
        assert (await workbook(api, at, columns=asked))[0] == header
    assert (await api.post(f"{at}/properties/tags/archive")).status_code == 200
    assert (await table(api, at))[0] == [*FIXED, *(k for k in KEYS if k != "tags"), *BEHIND]


async def test_view_gives_the_export_its_rows_its_order_and_its_columns(world: World):
    api, at = await filled(world)
    made = await api.post(f"{at}/views", json={
        "name": "Well paid", "columns": ["properties.revenue", "name"], "sort": "-properties.revenue",
        "all": [{"field": "properties.revenue", "operator": "gt", "value": 9}]})  # fmt: skip
    assert made.status_code == 201, made.text
    view = made.json()["id"]
    rows = await listed(api, at, view=view)
    assert 0 < len(rows) < len(await listed(api, at))
    expected = [["revenue", "name"], *([str(row["properties"]["revenue"]), row["name"]] for row in rows)]
    assert await table(api, at, view=view) == expected
    assert [row[1] for row in await workbook(api, at, view=view)] == [row[1] for row in expected]
    assert (await table(api, at, view=view, columns="name"))[0] == ["name"]
    unknown = await api.get(f"{at}/accounts.csv", params={"view": str(new_id())})
    assert (problem(unknown), unknown.json()["errors"][0]["pointer"]) == ((422, "invalid"), "query:view")


async def test_reordered_properties_are_reordered_columns(world: World):
    api, at = await filled(world)
    assert (await api.post(f"{at}/property-order", json={"keys": KEYS[::-1]})).status_code == 200
    assert (await table(api, at))[0] == [*FIXED, *KEYS[::-1], *BEHIND]


async def test_what_the_list_refuses_the_export_refuses_with_the_same_words(world: World):
    api, at = await filled(world)
    assert (await api.post(f"{at}/properties/tags/archive")).status_code == 200
    for query in (
        {"columns": "nothing"}, {"columns": "name,properties.tags"}, {"columns": "name,,id"}, {"columns": "partner_id"},
        {"filter": "nothing:eq:1"}, {"filter": "name"}, {"filter": "properties.revenue:gt:x"}, {"sort": "status"},
        {"filter": ["name:eq:a"] * 21}, {"nothing": "1"}, {"q": "x" * 101},
    ):  # fmt: skip
        said = (await api.get(f"{at}/accounts", params=query)).json()["errors"]
        for kind in ("csv", "xlsx"):
            answer = await api.get(f"{at}/accounts.{kind}", params=query)
            assert problem(answer) == (422, "invalid"), query
            assert answer.json()["errors"] == said
    for query, pointer in (
        ({"limit": 1}, "query:limit"),
        ({"separator": "|"}, "query:separator"),
        ({"labels": "fr"}, "query:labels"),
    ):
        answer = await api.get(f"{at}/accounts.csv", params=query)
        assert (problem(answer), answer.json()["errors"][0]["pointer"]) == ((422, "invalid"), pointer)


async def test_empty_table_is_a_header(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    assert await table(api, at) == await workbook(api, at) == [[*FIXED, *BEHIND]]


def test_every_fixed_column_that_can_be_named_can_be_exported():
    assert set(exports.FIXED) == columns.FIXED


# --- labels ---


async def test_labels_are_those_of_the_language_or_of_the_other_one(world: World):
    api, at = await filled(world)
    named = "id,name,status,customer_no,revenue,created_at,updated_at"
    for kind in (table, workbook):
        assert (await kind(api, at, columns=named, labels="en"))[0] == [
            "Id", "Name", "Status", "Customer no.", "Revenue", "Created", "Last changed"]  # fmt: skip
        assert (await kind(api, at, columns=named, labels="de"))[0] == [
            "Id", "Name", "Status", "Kundennr.", "Revenue", "Erstellt", "Zuletzt geändert"]  # fmt: skip


async def test_label_by_which_another_column_could_be_meant_gives_way_to_the_key(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    labels = {
        "fee": {"en": "Fee", "de": "Gebühr"}, "old_fee": {"en": "Old", "de": "GEBÜHR "}, "a": {"en": "name"},
        "b": {"de": "Fee"}, "c": {"en": "d"}, "d": {"en": "Delta"}, "e": {"en": "2026"}, "plain": {"en": "Plain"},
        "status_id": {"en": "Ångström, 5°"},
    }  # fmt: skip
    await define(api, at, *({"key": k, "type": "text", "label": label} for k, label in labels.items()))
    assert (await table(api, at, columns=",".join(labels), labels="de"))[0] == [
        "fee", "old_fee", "a", "b", "c", "Delta", "e", "Plain", "Ångström, 5°",
    ]  # fmt: skip
    header = (await table(api, at, labels="en"))[0]
    assert header == ["Id", "name", "Status", "Price model", "fee", "Old", "a", "b", "c", "Delta", "e", "Plain", "Ångström, 5°",
                      "Members", "Created", "Last changed"]  # fmt: skip
    assert len({h.casefold() for h in header}) == len(header)


# --- cells ---


async def every_value(world: World) -> tuple[AsyncClient, str]:
    """An account for each value that test_property_values knows to be good, and one with nothing."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    await define(api, at, *({k: v for k, v in d.items() if k != "unique"} for d in [*ALL, *PLAIN]))
    more = [
        ("note", text, text)
        for text in ("007", "1,5", "true", "'x", "''", 'say "x"', "a;b", "a,b", "=1+1", "null", "x\u00a0y")
    ]
    for n, (key, given, _) in enumerate([*GOOD, *more]):
        value = str((await world.user("Anna")).id) if given == ANNA else given
        made = await api.post(f"{at}/accounts", json={"name": f"Nr {n:03} 🦊 ß", "properties": {key: value}})
        assert made.status_code == 201, made.text
    assert (await api.post(f"{at}/accounts", json={"name": "Zero", "properties": {"segment": None}})).status_code == 201
    return api, at


def back(definition: Mapping[str, Any], cell: Any, layout: sheets.Layout, users: Mapping[str, str]) -> Any:
    """The value that an import makes of a cell."""
    if cell is None:
        return None
    match definition["type"]:
        case "number":
            found = sheets.number(cell, layout) if isinstance(cell, str) else cell
            return int(found) if found == int(found) else float(found)
        case "money":
            amount = Decimal(cell) if isinstance(cell, Decimal) else sheets.money(cell, layout)[0]
            places = 0 if definition["currency"] == "JPY" else 2
            return {"amount": f"{amount:.{places}f}", "currency": definition["currency"]}
        case "boolean":
            return cell if isinstance(cell, bool) else sheets.truth(cell)
        case "date":
            return (sheets.day(cell, layout) if isinstance(cell, str) else cell).isoformat()[:10]
        case "datetime":
            found = sheets.moment(cell, layout) if isinstance(cell, str) else cell
            return found.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
        case "multi_select":
            return cell.split(", ")
        case "user":
            return users[cell]
        case _:
            return str(cell)


@pytest.mark.parametrize(
    ("kind", "query"),
    [("csv", {}), ("csv", {"separator": "semicolon"}), ("csv", {"separator": "tab"}), ("csv", {"labels": "de"}), ("xlsx", {})],
)  # fmt: skip
async def test_every_value_comes_back_as_it_was(world: World, tmp_path: Path, kind: str, query: dict[str, str]):
    api, at = await every_value(world)
    definitions = [*ALL, *PLAIN]
    file = tmp_path / f"accounts.{kind}"
    file.write_bytes((await taken(api, at, kind, **query)).content)
    layout = sheets.detect(file)
    assert (layout.format, layout.decimal) == (kind, "," if "semicolon" in query.values() else ".")
    rows = await listed(api, at, limit=200)
    users = {"anna@example.com": str((await world.user("Anna")).id)}
    records = list(sheets.records(file, layout))
    assert [r.flaws for r in records if r.flaws] == []
    assert len(records) == len(rows) > 40
    for record, row in zip(records, rows, strict=True):
        cells = dict(zip([*FIXED, *(d["key"] for d in definitions), *BEHIND], record.cells, strict=True))
        assert [cells[k] for k in FIXED] == [row[k] for k in FIXED]
        found = {d["key"]: back(d, cells[d["key"]], layout, users) for d in definitions}
        assert json.dumps(found) == json.dumps(row["properties"]), row["name"]
        assert back({"type": "number"}, cells["member_count"], layout, {}) == row["member_count"]
        for key in BEHIND[1:]:
            assert back({"type": "datetime"}, cells[key], layout, {}) == row[key]


async def test_workbook_is_typed_for_other_programs(world: World, tmp_path: Path):
    api, at = await filled(world)
    content = (await taken(api, at, "xlsx", sort="name")).content
    (tmp_path / "x.xlsx").write_bytes(content)
    by_openpyxl = await workbook(api, at)
    by_calamine = CalamineWorkbook.from_path(tmp_path / "x.xlsx").get_sheet_by_index(0).to_python(skip_empty_area=False)
    header = by_openpyxl[0]
    for name, key, value in (
        ("Äpfel GmbH", "revenue", 10.5), ("Äpfel GmbH", "vip", True), ("Äpfel GmbH", "contract_end", date(2026, 12, 31)),
        ("Citrus Ltd", "fee", 99.9), ("Birnen AG", "tags", "a, b"), ("Erdbeer eG", "phone", "+4930123456"),
        ("Dattel KG", "last_visit", datetime.fromisoformat("2026-01-01T10:00:00")), ("Erdbeer eG", "vip", False),
    ):  # fmt: skip
        for rows in (by_openpyxl, by_calamine):
            found = next(row for row in rows if row[1] == name)[header.index(key)]
            found = found.date() if key == "contract_end" and isinstance(found, datetime) else found
            assert (type(found), found) == (type(value), value), key


async def test_csv_is_what_each_reader_needs(world: World):
    api, at = await filled(world)
    named = {"columns": "name,revenue,contract_end,vip,last_visit,tags", "sort": "name"}
    for query, mark, second in (
        ({}, b"", b"\xc3\x84pfel GmbH,10.5,2026-12-31,true,,a\r\n"),
        ({"separator": "comma", "labels": "en"}, b"\xef\xbb\xbf", b"\xc3\x84pfel GmbH,10.5,2026-12-31,true,,a\r\n"),
        ({"separator": "tab"}, b"", b"\xc3\x84pfel GmbH\t10.5\t2026-12-31\ttrue\t\ta\r\n"),
        ({"separator": "semicolon"}, b"\xef\xbb\xbf", b"\xc3\x84pfel GmbH;10,5;31.12.2026;wahr;;a\r\n"),
    ):
        content = (await taken(api, at, **named, **query)).content
        lines = content.splitlines(keepends=True)
        assert content.startswith(b"\xef\xbb\xbf") == bool(mark)
        assert lines[1] == second
        assert all(line.endswith(b"\r\n") for line in lines)
    assert b"Dattel KG,,,,2026-01-01T10:00:00.000Z," in (await taken(api, at, **named)).content


async def test_number_whose_point_could_be_one_between_thousands_leaves_no_doubt(world: World, tmp_path: Path):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    await define(api, at, {"key": "size", "type": "number", "label": {"en": "Size"}},
                 {"key": "note", "type": "text", "label": {"en": "Note"}})  # fmt: skip
    values = [1.234, -12.345, 123.456, 1234.567, 0.123, 5]
    for n, value in enumerate(values):
        body = {"name": f"A{n}", "properties": {"size": value, "note": ("1,5", "1.5")[n % 2]}}
        assert (await api.post(f"{at}/accounts", json=body)).status_code == 201
    for separator in ("comma", "semicolon", "tab"):
        file = tmp_path / separator
        file.write_bytes((await taken(api, at, separator=separator, columns="size,note")).content)
        layout = sheets.detect(file)
        assert [float(sheets.number(str(r.cells[0]), layout)) for r in sheets.records(file, layout)] == values


async def test_file_of_one_column_reads_back_whatever_its_separator(world: World, tmp_path: Path):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    names = ["Maier, Huber; Co\u00a0KG", "Nord, Süd", "Ost; West"]
    for name in names:
        assert (await api.post(f"{at}/accounts", json={"name": name})).status_code == 201
    for separator in ("comma", "semicolon", "tab"):
        file = tmp_path / separator
        file.write_bytes((await taken(api, at, separator=separator, columns="name")).content)
        assert [r.cells for r in sheets.records(file, sheets.detect(file))] == [[name] for name in names]


async def test_user_is_exported_by_address_and_by_id_once_no_member(world: World):
    api, at = await filled(world)
    max_, row = await world.user("Max"), (await listed(api, at))[0]
    body = {"properties": {"manager": str(max_.id)}}
    assert (await api.patch(f"{at}/accounts/{row['id']}", json=body, headers=STAR)).status_code == 200
    for shown in ("max@example.com", str(max_.id)):
        assert (await table(api, at, columns="manager"))[1] == [shown]
        assert (await workbook(api, at, columns="manager"))[1] == [shown]
        await api.delete(f"{at}/members/{max_.id}", headers=STAR)


async def test_addresses_of_members_are_exported_to_nobody_who_may_not_list_members(world: World):
    api, at = await filled(world)
    max_, row = await world.user("Max"), (await listed(api, at))[0]
    body = {"properties": {"manager": str(max_.id)}}
    assert (await api.patch(f"{at}/accounts/{row['id']}", json=body, headers=STAR)).status_code == 200
    expected = {"Anna": "max@example.com", "Olivia": "max@example.com", "Max": str(max_.id), "Vera": str(max_.id)}
    for who, shown in expected.items():
        client = await world.client(who, operator=who == "Olivia")
        may = (await client.get(f"{at}/members")).status_code == 200
        assert may == ("@" in shown), who
        assert (await table(client, at, columns="manager"))[1] == [shown], who
        assert (await workbook(client, at, columns="manager"))[1] == [shown], who


# --- nothing that bites ---

SIGNS = "=+-@|%\t\r＝＋－＠"


async def test_no_cell_of_any_column_begins_a_formula_and_all_come_back(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Eve=Role.PARTNER_VIEWER)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    await define(api, at, *({k: v for k, v in d.items() if k not in ("unique", "pattern")} for d in ALL),
                 *({"key": f"t_{n}", "type": "boolean", "label": {"en": f"{sign}cmd"}, "filterable": False} for n, sign in enumerate(SIGNS)
                   if sign not in "\t\r"),
                 {"key": "story", "type": "text", "label": {"en": "Story"}, "multi_line": True, "filterable": False})  # fmt: skip
    assert len(SIGNS) == 12
    for n, sign in enumerate(SIGNS):
        for before in ("", " ", "'", '"', "' "):
            text = f"{before}{sign}cmd|' /C calc'!A0 {n}"
            values = {"customer_no": text[:19], "phone": "+4930123456", "revenue": 1, "story": f"{text}\n=1"}
            if sign in "=+-|%" and not before:
                values["billing_email"] = f"{sign}a@example.com"
            for attempt in (values, {k: v for k, v in values.items() if k != "customer_no"}):
                body = {"name": text, "properties": attempt}
                made = await api.post(f"{at}/accounts", json=body)
                if made.status_code == 201:
                    break
    stored = await listed(api, at, limit=200)
    assert len(stored) >= 40
    numeric = {"revenue", "fee"}
    for separator in ("comma", "semicolon", "tab"):
        header, *rows = await table(api, at, separator=separator)
        labels = (await table(api, at, separator=separator, labels="en"))[0]
        for row, was in zip(rows, stored, strict=True):
            cells = dict(zip(header, row, strict=True))
            dangerous = [
                k for k, v in cells.items() if k not in numeric and v.lstrip(' "\u00a0').startswith(tuple(SIGNS))
            ]
            assert dangerous == [], row
            assert rearmed(cells["name"]) == was["name"]
            for key in ("customer_no", "story", "billing_email", "phone"):
                assert rearmed(cells[key]) == (was["properties"][key] or "")
        assert not any(label.startswith(tuple(SIGNS)) for label in labels)
        assert {rearmed(label) for label in labels} >= {f"{sign}cmd" for sign in "=@＝"}
    sheet = load_workbook(io.BytesIO((await taken(api, at, "xlsx")).content)).active
    assert sheet is not None
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "inlineStr", "n", "b", "d"}
    assert [row[1] for row in sheet.iter_rows(values_only=True)][1:] == [row["name"] for row in stored]


# --- who may see what ---


async def test_sensitive_values_are_empty_for_those_who_may_not_see_them(world: World):
    api, at = await filled(world)
    await change(api, at, "revenue", sensitive=True)
    await change(api, at, "phone", sensitive=True)
    await world.worker().refresh_all()
    for who, sees in (("Anna", True), ("Max", True), ("Vera", False)):
        client = await world.client(who)
        for header, *rows in (await table(client, at), await workbook(client, at)):
            assert header == [*FIXED, *KEYS, *BEHIND]
            for key in ("revenue", "phone"):
                assert any(row[header.index(key)] for row in rows) == sees, (who, key)
            assert any(row[header.index("website")] for row in rows)
        for query in ({"filter": "properties.revenue:gt:1"}, {"sort": "-properties.revenue"}):
            answer = await client.get(f"{at}/accounts.csv", params=query)
            assert answer.status_code == 200 if sees else problem(answer) == (422, "invalid")


async def test_only_the_partners_own_people_and_operators_export(world: World):
    _, at = await filled(world)
    await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    olivia = await world.client("Olivia", operator=True)
    for kind in ("csv", "xlsx"):
        for client in (await world.client("Vera"), olivia):
            await taken(client, at, kind)
        rita = await world.client("Rita")
        nowhere = await rita.get(f"/v1/partners/{UUID(int=7)}/accounts.{kind}")
        assert problem(await rita.get(f"{at}/accounts.{kind}")) == problem(nowhere) == (404, "not_found")
        assert problem(await (await world.client()).get(f"{at}/accounts.{kind}")) == (401, "unauthenticated")


async def test_export_is_in_the_log_and_what_it_held_is_not(world: World):
    api, at = await filled(world)
    await change(api, at, "revenue", sensitive=True)
    partner_id, vera = UUID(at.rpartition("/")[2]), await world.client("Vera")
    await api.head(f"{at}/accounts.csv")
    await api.get(f"{at}/accounts.csv", params={"columns": "nothing"})
    assert [e.type for e in await world.events(partner_id) if e.type == "accounts.exported"] == []
    await taken(
        api, at, "csv", filter=["status:eq:active", "name:contains:pfel"], q="Äpfel", columns="name,revenue,vip"
    )
    await taken(vera, at, "xlsx")
    await taken(await world.client("Olivia", operator=True), at)
    said = [e for e in await world.events(partner_id) if e.type == "accounts.exported"]
    assert [e.actor for e in said] == ["user", "user", "operator"]
    assert [e.actor_id for e in said] == [(await world.user(who)).id for who in ("Anna", "Vera", "Olivia")]
    assert {(e.subject_type, e.subject_id) for e in said} == {("partner", partner_id)}
    assert [e.details and e.details["after"] for e in said] == [
        {"format": "csv", "columns": 3, "sensitive_columns": 1, "filters": 2, "searched": True},
        {"format": "xlsx", "columns": 19, "sensitive_columns": 0, "filters": 0, "searched": False},
        {"format": "csv", "columns": 19, "sensitive_columns": 1, "filters": 0, "searched": False},
    ]  # fmt: skip
    assert "pfel" not in str([e.details for e in said])


# --- the answer ---


async def test_answer_is_an_attachment_that_nobody_keeps(world: World):
    api, at = await filled(world)
    for kind, media_type in (("csv", "text/csv; charset=utf-8"), ("xlsx", SHEET)):
        whole = await taken(api, at, kind)
        assert whole.headers["content-type"] == media_type
        name = whole.headers["content-disposition"].removeprefix('attachment; filename="').removesuffix('"')
        assert date.fromisoformat(name.removeprefix("accounts-").removesuffix(f".{kind}"))
        assert whole.headers["cache-control"] == "no-store"
        assert "etag" not in whole.headers
        again = await api.get(f"{at}/accounts.{kind}", headers={"If-None-Match": "*"})
        assert (again.status_code, len(again.content) > 100) == (200, True)
        head = await api.head(f"{at}/accounts.{kind}")
        assert (head.status_code, head.content) == (200, b"")
        same = ("content-type", "content-disposition", "cache-control")
        assert [head.headers[h] for h in same] == [whole.headers[h] for h in same]
        assert problem(await api.get(f"{at}/accounts.{kind}", params={"q": "a" * 101})) == (422, "invalid")


async def test_csv_is_compressed_and_a_workbook_is_not_compressed_twice(world: World):
    api, at = await filled(world)
    plain = await api.get(f"{at}/accounts.csv", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    for coding in ("gzip", "zstd"):
        packed = await api.get(f"{at}/accounts.csv", headers={"Accept-Encoding": coding})
        assert packed.headers["content-encoding"] == coding
        assert packed.content == plain.content
        assert (
            "content-encoding"
            not in (await api.get(f"{at}/accounts.xlsx", headers={"Accept-Encoding": coding})).headers
        )


async def test_more_rows_than_a_sheet_holds_are_refused_before_it_begins(world: World, monkeypatch: pytest.MonkeyPatch):
    api, at = await filled(world)
    monkeypatch.setattr("app.routers.exports.MAX_IN_SHEET", 4)
    assert problem(await api.get(f"{at}/accounts.xlsx")) == (409, "too_many_rows")
    assert len(await workbook(api, at, filter="properties.revenue:gt:0")) == 4
    assert len(await table(api, at)) == 6
