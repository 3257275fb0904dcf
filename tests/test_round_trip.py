"""Out and in again: what an export wrote, an import takes as it is; and of what was changed in it, just that changes."""

import csv
import io
from typing import Any

import pytest

from app.policy import Role
from tests.conftest import World
from tests.test_exports import listed, taken
from tests.test_imports import STAR, Desk
from tests.test_price_models import offer
from tests.test_properties import ALL, define
from tests.test_property_values import ANNA, GOOD, PLAIN

NAMES = ["Äpfel & Söhne GmbH", "Übergrößenträger, Maier; Huber KG", "Ольга 漢字 🦊", '"Quoted" \'single\'', "-3+4",
         "=SUM(A1:A9)", "+49 30", "@cmd|' /C calc'!A0", "'=1", "007", "1,5", "true", "31.12.2026"]  # fmt: skip
TEXTS = ["=1+1", "-2", "+cmd", "@x", "'=1", "'", "007", "1,5", "1.234", "null", "wahr", "x\u00a0y", "a;b", "ß"]
UNCHANGED = ("created", "updated", "errors")


@pytest.fixture
async def desk(world: World) -> Desk:
    """A partner with a value of every kind, also of those that look like something else."""
    olivia = await world.client("Olivia", operator=True)
    await offer(olivia, "basic", "premium", "old")
    desk = await Desk.of(world)
    api, at, anna = desk.api, desk.path, str((await world.user("Anna")).id)
    await define(api, at, *({k: v for k, v in d.items() if k != "unique"} for d in [*ALL, *PLAIN]))
    bodies = [{"name": f"{key} {n:03} ß", "properties": {key: anna if given == ANNA else given}}
              for n, (key, given, _) in enumerate(GOOD)]  # fmt: skip
    bodies += [{"name": f"Text {n:03}", "properties": {"note": text, "segment": None}} for n, text in enumerate(TEXTS)]
    bodies += [{"name": name, "price_model": ("basic", "premium", "old", None)[n % 4]} for n, name in enumerate(NAMES)]
    for n, body in enumerate(bodies):
        made = await api.post(f"{at}/accounts", json=body)
        assert made.status_code == 201, made.text
        if n % 5 == 0:
            url = f"{at}/accounts/{made.json()['id']}"
            assert (await api.patch(url, json={"status": "suspended"}, headers=STAR)).status_code == 200
    assert (await olivia.post("/v1/price-models/old/archive")).status_code == 200
    return desk


async def rows_of(desk: Desk) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in await listed(desk.api, desk.path, limit=200)}


async def test_what_an_export_wrote_is_imported_and_changes_nothing(desk: Desk):
    before = await rows_of(desk)
    assert len(before) > 60
    assert {row["status"] for row in before.values()} == {"active", "suspended"}
    assert {row["price_model"] for row in before.values()} == {"basic", "premium", "old", None}
    for kind, query in (
        ("csv", {}), ("csv", {"separator": "semicolon"}), ("csv", {"separator": "semicolon", "labels": "de"}),
        ("csv", {"labels": "de"}), ("csv", {"labels": "en"}), ("csv", {"separator": "tab"}), ("xlsx", {}),
        ("xlsx", {"labels": "de"}),
    ):  # fmt: skip
        content = (await taken(desk.api, desk.path, kind, **query)).content
        found = await desk.checked(content, f"accounts.{kind}")
        assert (found["status"], found["failure"]) == ("checked", None), query
        assert await desk.errors(found["id"]) == [], query
        assert found["planned"] == dict.fromkeys(UNCHANGED, 0) | {"unchanged": len(before)}, query
        fields = {column["field"] for column in found["columns"]}
        assert fields >= {"id", "name", "status", "price_model", *(f"properties.{d['key']}" for d in ALL)}
        assert sum(column["field"] is None for column in found["columns"]) == 3  # members and moments
        assert (await desk.confirm(found["id"])).status_code == 200
        await desk.work()
        assert (await desk.get(found["id"]))["result"] == found["planned"]
    assert await rows_of(desk) == before


async def test_of_an_exported_file_just_the_cells_that_were_changed_change(desk: Desk):
    before = await rows_of(desk)
    content = (await taken(desk.api, desk.path, separator="semicolon", labels="de", sort="name")).content
    header, *cells = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";")
    by_name = {before[row[header.index("Id")]]["name"]: row for row in cells}
    wanted = {"=SUM(A1:A9)": ("Preismodell", "basic", {"price_model": "basic"}),
              "Text 000": ("Revenue", "1.234,5", {"properties": {"revenue": 1234.5}}),
              "Äpfel & Söhne GmbH": ("Preismodell", "", {"price_model": None})}  # fmt: skip
    expected, told = {k: dict(v) for k, v in before.items()}, dict[str, Any]()
    for name, (column, text, change) in wanted.items():
        row = by_name[name]
        row[header.index(column)] = text
        was = expected[row[header.index("Id")]]
        told[was["id"]] = {"before": {"price_model": was["price_model"]}, "after": change}
        if "properties" in change:
            told[was["id"]]["before"] = {"properties": {"revenue": None}}
            change = {"properties": was["properties"] | change["properties"]}
        was |= change
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=";").writerows([header, *cells])
    events = len(await desk.world.events(desk.partner.id))
    done = await desk.imported(file.getvalue())
    assert done["result"] == {"created": 0, "updated": 3, "unchanged": len(before) - 3, "errors": 0}
    after = await rows_of(desk)
    changed = {k for k in after if after[k] != before[k]}
    assert changed == told.keys()
    assert [row | {"updated_at": ""} for row in after.values()] == [
        row | {"updated_at": ""} for row in expected.values()
    ]
    new = [e for e in (await desk.world.events(desk.partner.id))[events:] if e.subject_type == "account"]
    assert {str(e.subject_id): e.details for e in new} == told
    assert [e.type for e in new] == ["account.updated"] * 3


# --- price models and labels ---


async def test_price_models_are_set_changed_cleared_and_refused_as_by_the_api(world: World):
    await offer(await world.client("Olivia", operator=True), "basic", "premium", "old")
    desk = await Desk.of(world)
    await desk.imported("name,Price_Model\nA,basic\nB,old\nC,\nD,premium\n")
    assert {n: a["price_model"] for n, a in (await desk.accounts()).items()} == {
        "A": "basic", "B": "old", "C": None, "D": "premium"}  # fmt: skip
    opened = [e for e in await world.events(desk.partner.id) if e.type == "account.created"]
    assert sorted((e.details or {})["after"]["price_model"] or "" for e in opened) == ["", "basic", "old", "premium"]
    assert (await (await world.client("Olivia")).post("/v1/price-models/old/archive")).status_code == 200
    text = "name,price_model\nA,premium\nB,old\nC,old\nD,\nE,none such\nF,old\nG,x*y\n"
    found = await desk.checked(text)
    assert [e[:3] for e in await desk.errors(found["id"])] == [
        (4, "price_model", "archived_price_model"), (6, "price_model", "unknown_price_model"),
        (7, "price_model", "archived_price_model"), (8, "price_model", "unknown_price_model"),
    ]  # fmt: skip
    assert found["planned"] == {"created": 0, "updated": 2, "unchanged": 1, "errors": 4}
    assert "archiviert" in (await desk.errors(found["id"], "de"))[0][3]
    kept = await desk.checked(text, empty="keep")
    assert kept["planned"] == {"created": 0, "updated": 1, "unchanged": 2, "errors": 4}
    assert (await desk.confirm(found["id"], skip_errors="true")).status_code == 200
    await desk.work()
    assert {n: a["price_model"] for n, a in (await desk.accounts()).items()} == {
        "A": "premium", "B": "old", "C": None, "D": None}  # fmt: skip
    told = [e.details for e in await world.events(desk.partner.id) if e.type == "account.updated"]
    assert told == [{"before": {"price_model": was}, "after": {"price_model": new}}
                    for was, new in (("basic", "premium"), ("premium", None))]  # fmt: skip


async def test_who_may_not_set_price_models_imports_only_what_leaves_them(world: World):
    await offer(await world.client("Olivia", operator=True), "basic", "premium")
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER)
    anna, max_ = [Desk(world, partner, await world.client(who)) for who in ("Anna", "Max")]
    await anna.define("city", "text")
    await anna.imported("name,city,price_model\nA,Kiel,basic\nB,Ulm,\n")
    found = await max_.checked("name,city,price_model\nA,Bonn,basic\nB,Bonn,premium\nC,Bonn,\nD,Bonn,basic\n")
    assert [e[:3] for e in await max_.errors(found["id"])] == [
        (3, "price_model", "not_editable"), (5, "price_model", "not_editable")
    ]  # fmt: skip
    assert found["planned"] == {"created": 1, "updated": 1, "unchanged": 0, "errors": 2}
    cleared = await max_.checked("name,price_model\nA,\n")
    assert [e[2] for e in await max_.errors(cleared["id"])] == ["not_editable"]
    assert (await max_.checked("name,price_model\nA,\n", empty="keep"))["planned"]["unchanged"] == 1
    assert (await max_.confirm(found["id"], skip_errors="true")).status_code == 200
    await max_.work()
    assert {n: (a["price_model"], a["properties"]["city"]) for n, a in (await max_.accounts()).items()} == {
        "A": ("basic", "Bonn"), "B": (None, "Ulm"), "C": (None, "Bonn")}  # fmt: skip


async def test_a_label_of_exports_gives_way_to_a_column_of_the_partners(world: World):
    await offer(await world.client("Olivia", operator=True), "basic")
    desk = await Desk.of(world)
    text = "Name,PREISMODELL,Mitglieder,Zuletzt geändert\nA,basic,3,2020-01-01\n"
    done = await desk.imported(text)
    assert [c["field"] for c in done["columns"]] == ["name", "price_model", None, None]
    twice = await desk.checked("Name,Price model,price_model\nA,basic,basic\n")
    assert twice["failure"]["code"] == "duplicate_column"
    await desk.define("members", "number", label={"en": "How many"})
    await desk.define("plan", "text", label={"en": "Plan", "de": "Preismodell"})
    done = await desk.imported("name,Preismodell,Members,Mitglieder\nA,basic,3,9\n")
    assert [c["field"] for c in done["columns"]] == ["name", "properties.plan", "properties.members", None]
    await desk.define("plan_2", "text", label={"en": "Plan 2", "de": "Preismodell"})
    assert (await desk.checked("name,Preismodell\nA,x\n"))["failure"]["code"] == "unknown_columns"
    exported = (await taken(desk.api, desk.path, labels="de")).content
    again = await desk.checked(exported)
    assert again["planned"] == dict.fromkeys(UNCHANGED, 0) | {"unchanged": 1}, again["failure"]
