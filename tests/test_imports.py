"""Importing accounts over HTTP: what is uploaded, what the dry run says, what is then true."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from httpx import AsyncClient, Response
from openpyxl import Workbook

from app import sheets
from app.config import Settings
from app.models import Partner, PartnerMember
from app.policy import Role
from tests.conftest import Owner, World, problem, running

STAR = {"If-Match": "*"}


class Desk:
    """Somebody who imports: a client, the partner's address, and a worker that does what waits."""

    def __init__(self, world: World, partner: Partner, api: AsyncClient) -> None:
        self.world, self.partner, self.api = world, partner, api
        self.path = f"/v1/partners/{partner.id}"

    @classmethod
    async def of(cls, world: World, name: str = "Acme", who: str = "Anna") -> "Desk":
        partner = await world.partner(name, **{who: Role.PARTNER_ADMIN})
        return cls(world, partner, await world.client(who))

    async def define(self, key: str, type: str, **inputs: Any) -> None:
        body = {"key": key, "type": type, "label": {"en": key.title()}} | inputs
        answer = await self.api.post(f"{self.path}/properties", json=body)
        assert answer.status_code == 201, answer.text

    async def upload(self, content: str | bytes, name: str = "accounts.csv", **told: str) -> Response:
        data = content if isinstance(content, bytes) else content.encode()
        return await self.api.post(f"{self.path}/account-imports", files={"file": (name, data)}, data=told)

    async def work(self) -> None:
        await self.world.worker().import_all()

    async def get(self, import_id: str) -> dict[str, Any]:
        return (await self.api.get(f"{self.path}/account-imports/{import_id}")).json()

    async def checked(self, content: str | bytes, name: str = "accounts.csv", **told: str) -> dict[str, Any]:
        """What the dry run says."""
        answer = await self.upload(content, name, **told)
        assert answer.status_code == 201, answer.text
        await self.work()
        return await self.get(answer.json()["id"])

    async def confirm(self, import_id: str, **query: str) -> Response:
        return await self.api.post(f"{self.path}/account-imports/{import_id}/confirm", params=query)

    async def imported(self, content: str | bytes, name: str = "accounts.csv", **told: str) -> dict[str, Any]:
        """Uploaded, checked without an error, confirmed, done."""
        found = await self.checked(content, name, **told)
        assert found["status"] == "checked", found
        assert found["planned"]["errors"] == 0, await self.errors(found["id"])
        assert (await self.confirm(found["id"])).status_code == 200
        await self.work()
        done = await self.get(found["id"])
        assert (done["status"], done["result"]) == ("done", found["planned"])
        return done

    async def errors(self, import_id: str, language: str = "en") -> list[tuple[int, str | None, str, str]]:
        answer = await self.api.get(
            f"{self.path}/account-imports/{import_id}/errors",
            params={"limit": 200},
            headers={"Accept-Language": language},
        )
        return [(e["row"], e["column"], e["code"], e["detail"]) for e in answer.json()["items"]]

    async def accounts(self) -> dict[str, dict[str, Any]]:
        found = await self.api.get(f"{self.path}/accounts", params={"limit": 200})
        return {a["name"]: a for a in found.json()["items"]}


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


class Slow:
    """A form that begins to arrive, and goes on when it is told to."""

    def __init__(self) -> None:
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        self.asked.set()
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nname\n'
        await self.go_on.wait()
        yield b"A\r\n--b--\r\n"


@pytest.fixture
async def desk(world: World) -> Desk:
    return await Desk.of(world)


async def test_a_file_is_checked_confirmed_and_done(desk: Desk):
    await desk.define("revenue", "number")
    answer = await desk.upload("name,revenue\nNordwerk GmbH,12.5\nSüdbau AG,\n")
    assert (answer.status_code, answer.json()["status"]) == (201, "checking")
    assert answer.headers["Location"].endswith(answer.json()["id"])
    await desk.work()
    found = await desk.get(answer.json()["id"])
    assert (found["status"], found["rows_total"], found["failure"]) == ("checked", 2, None)
    assert found["planned"] == {"created": 2, "updated": 0, "unchanged": 0, "errors": 0}
    assert found["columns"] == [
        {"header": "name", "field": "name"},
        {"header": "revenue", "field": "properties.revenue"},
    ]
    assert await desk.accounts() == {}
    assert (await desk.confirm(found["id"])).json()["status"] == "running"
    await desk.work()
    done = await desk.get(found["id"])
    assert (done["status"], done["rows_done"], done["result"]) == ("done", 2, found["planned"])
    made = await desk.accounts()
    assert {name: a["properties"] for name, a in made.items()} == {
        "Nordwerk GmbH": {"revenue": 12.5}, "Südbau AG": {"revenue": None}}  # fmt: skip


GERMAN = "Name;Contract_End;Revenue;Volume;Premium\nKühl & Söhne KG;31.12.2026;1.234,56;12.500,00 EUR;ja\nÖstwind eG;1.2.2027;0,5;;nein\n"


async def test_a_german_file_in_cp1252_is_detected_shown_and_understood(desk: Desk):
    for key, type in (("contract_end", "date"), ("revenue", "number"), ("premium", "boolean")):
        await desk.define(key, type)
    await desk.define("volume", "money", currency="EUR")
    done = await desk.imported(GERMAN.encode("cp1252"))
    assert done["layout"] == {"format": "csv", "encoding": "cp1252", "separator": "semicolon", "decimal": "comma",
                              "dates": "german", "sheet": None}  # fmt: skip
    found = await desk.accounts()
    assert found["Kühl & Söhne KG"]["properties"] == {
        "contract_end": "2026-12-31", "revenue": 1234.56, "premium": True, "volume": {"amount": "12500.00", "currency": "EUR"}}  # fmt: skip
    assert found["Östwind eG"]["properties"] == {
        "contract_end": "2027-02-01",
        "revenue": 0.5,
        "premium": False,
        "volume": None,
    }


async def test_what_the_form_says_is_believed_and_not_guessed(desk: Desk):
    await desk.define("revenue", "number")
    await desk.define("contract_end", "date")
    text = "name\trevenue\tcontract_end\nA\t1.500\t3/4/2027\n"
    found = await desk.checked(text, decimal="comma", dates="us", separator="tab", encoding="utf-8")
    assert (found["layout"]["separator"], found["layout"]["decimal"], found["layout"]["dates"]) == (
        "tab",
        "comma",
        "us",
    )
    await desk.confirm(found["id"])
    await desk.work()
    assert (await desk.accounts())["A"]["properties"] == {"revenue": 1500, "contract_end": "2027-03-04"}
    assert (await desk.checked("\ufeffname\nB\n"))["layout"]["encoding"] == "utf-8-sig"
    wrong = await desk.checked(GERMAN.encode("cp1252"), encoding="utf-8")
    assert (wrong["status"], wrong["failure"]["code"]) == ("failed", "wrong_encoding")


async def test_a_workbook_of_another_program_is_imported_from_the_sheet_that_is_named(desk: Desk):
    for key, type in (("contract_end", "date"), ("revenue", "number"), ("premium", "boolean"), ("code", "text")):
        await desk.define(key, type)
    book = Workbook()
    book.create_sheet("Customers")
    sheet = book["Customers"]
    for row in (
        ["Name", "Contract_End", "Revenue", "Premium", "Code"],
        ["Nordwerk", date(2027, 1, 31), 12.5, True, 4711],
    ):
        sheet.append(row)
    sheet.append(["Formula", None, "=1+1", None, None])
    file = BytesIO()
    book.save(file)
    found = await desk.checked(file.getvalue(), "customers.xlsx", sheet="Customers")
    assert (found["layout"]["format"], found["layout"]["sheet"], found["planned"]["created"]) == (
        "xlsx",
        "Customers",
        1,
    )
    assert [e[:3] for e in await desk.errors(found["id"])] == [(3, "Revenue", "formula_without_value")]
    assert (await desk.confirm(found["id"], skip_errors="true")).status_code == 200
    await desk.work()
    values = (await desk.accounts())["Nordwerk"]["properties"]
    assert values == {"contract_end": "2027-01-31", "revenue": 12.5, "premium": True, "code": "4711"}
    missing = await desk.checked(file.getvalue(), "customers.xlsx", sheet="Nowhere")
    assert missing["failure"]["code"] == "no_such_sheet"


# --- matching ---


async def test_rows_are_matched_by_id_name_or_unique_property(desk: Desk):
    await desk.define("number", "text", unique=True)
    await desk.define("city", "text")
    await desk.imported("name,number,city\nNord,K1,Kiel\nSüd,K2,Ulm\n")
    found = await desk.accounts()
    ids = f"id,city\n{found['Nord']['id']},Bonn\n"
    assert (await desk.imported(ids))["match"] == "id"
    assert (await desk.imported("name,city\n  nORD ,Köln\n"))["result"]["updated"] == 1
    by_number = await desk.imported("number,name,city\nK2,Süd AG,Graz\nK3,West,Wien\n", match="number")
    assert (by_number["result"]["updated"], by_number["result"]["created"]) == (1, 1)
    now = await desk.accounts()
    assert {n: a["properties"] for n, a in now.items()} == {
        "nORD": {"number": "K1", "city": "Köln"}, "Süd AG": {"number": "K2", "city": "Graz"}, "West": {"number": "K3", "city": "Wien"}}  # fmt: skip
    assert now["nORD"]["id"] == found["Nord"]["id"]


async def test_what_is_matched_wrongly_is_an_error_of_its_row(desk: Desk):
    await desk.define("city", "text")
    await desk.imported("name,city\nNord,Kiel\nOld,Ulm\n")
    found = await desk.accounts()
    assert (await desk.api.delete(f"{desk.path}/accounts/{found['Old']['id']}", headers=STAR)).status_code == 204
    rival = await Desk.of(desk.world, "Rival", "Rita")
    await rival.imported("name\nTheirs\n")
    theirs = (await rival.accounts())["Theirs"]["id"]
    text = f"id,city\n{found['Nord']['id']},Bonn\n{found['Old']['id']},Bonn\n{theirs},Bonn\nx,Bonn\n{found['Nord']['id']},Bern\n"
    checked = await desk.checked(text)
    expected = [
        (3, "id", "account_archived"),
        (4, "id", "account_not_found"),
        (5, "id", "uuid_parsing"),
        (6, "id", "duplicate_row"),
    ]
    assert [e[:3] for e in await desk.errors(checked["id"])] == expected
    assert checked["planned"] == {"created": 0, "updated": 1, "unchanged": 0, "errors": 4}
    assert problem(await desk.confirm(checked["id"])) == (409, "import_has_errors")
    assert (await desk.confirm(checked["id"], skip_errors="true")).status_code == 200
    await desk.work()
    assert (await desk.get(checked["id"]))["result"] == checked["planned"]
    assert [e[:3] for e in await desk.errors(checked["id"])] == expected
    assert (await desk.accounts())["Nord"]["properties"]["city"] == "Bonn"
    assert (await rival.accounts())["Theirs"]["properties"] == {}


async def test_mode_says_whether_accounts_are_made_or_changed(desk: Desk):
    await desk.imported("name\nNord\n")
    text = "name,status\nNord,suspended\nNew,\n"
    update = await desk.checked(text, mode="update")
    assert [e[:3] for e in await desk.errors(update["id"])] == [(3, "name", "account_not_found")]
    create = await desk.checked(text, mode="create")
    assert [e[:3] for e in await desk.errors(create["id"])] == [(2, "name", "account_exists")]
    done = await desk.imported(text)
    assert done["result"] == {"created": 1, "updated": 1, "unchanged": 0, "errors": 0}
    assert {n: a["status"] for n, a in (await desk.accounts()).items()} == {"Nord": "suspended", "New": "active"}


# --- columns and cells ---


async def test_columns_are_found_by_key_and_label_and_unknown_ones_are_refused(desk: Desk):
    await desk.define("revenue", "number", label={"en": "Revenue", "de": "Umsatz"})
    await desk.define("city", "text", label={"en": "Place"})
    await desk.define("town", "text", label={"en": "Place"})
    done = await desk.imported("NAME,umsatz,properties.city,created_at,member_count\nA,5,Kiel,2020-01-01,3\n")
    assert [c["field"] for c in done["columns"]] == ["name", "properties.revenue", "properties.city", None, None]
    for text, code in (("name,Place\nA,B\n", "unknown_columns"), ("name,xyz\nA,B\n", "unknown_columns"),
                       ("name,revenue,Umsatz\nA,1,1\n", "duplicate_column"), ("city\nKiel\n", "no_match_column"),
                       ("id\nx\n", "nothing_to_import"), ("", "empty_file"), ("name\n", "no_rows")):  # fmt: skip
        found = await desk.checked(text)
        assert (found["status"], found["failure"]["code"]) == ("failed", code), text
    assert (await desk.checked("name,city\nA,B\n", match="city"))["failure"]["code"] == "cannot_match"
    german = await desk.api.get(f"{desk.path}/account-imports", headers={"Accept-Language": "de"})
    assert "Eigenschaft" in german.json()["items"][0]["failure"]["detail"]
    passed = await desk.checked("name,xyz\nA,B\n", ignore_unknown="true")
    assert (passed["planned"]["unchanged"], passed["columns"][1]) == (1, {"header": "xyz", "field": None})


async def test_row_errors_name_row_column_code_and_what_to_do_in_both_languages(desk: Desk):
    await desk.define("revenue", "number", label={"en": "Revenue", "de": "Umsatz"}, min=0)
    await desk.define(
        "size", "select", options=[{"key": "s", "label": {"en": "Small"}}, {"key": "l", "label": {"en": "Large"}}]
    )
    await desk.define("contact", "email", required=True)
    text = 'name,Umsatz,size,contact\nGood,1,small,a@b.de\n"Two\nlines",1,s,a@b.de\n\nBad,many,medium,nobody\nLess,-1,,\n,1,,a@b.de\n'
    found = await desk.checked(text)
    expected = [
        (3, "name", "unprintable", "Holds characters that cannot be shown."),
        (5, "Umsatz", "number_type", "Must be a number."),
        (5, "size", "unknown_option", "One of: s, l."),
        (5, "contact", "email", "Must be an e-mail address."),
        (6, "Umsatz", "greater_than_equal", "At least 0."),
        (6, "contact", "missing", "This is required."),
        (7, "name", "missing", "This is required."),
    ]
    assert await desk.errors(found["id"]) == expected
    assert (await desk.errors(found["id"], "de"))[1][3] == "Muss eine Zahl sein."
    assert found["planned"] == {"created": 1, "updated": 0, "unchanged": 0, "errors": 4}


async def test_required_values_and_defaults_are_those_of_the_api(desk: Desk):
    await desk.imported("name\nBefore\n")
    await desk.define("tier", "text", required=True, default="basic")
    await desk.define("city", "text")
    done = await desk.imported("name,tier,city\nBefore,,\nNew,,Kiel\n", empty="keep")
    assert done["result"] == {"created": 1, "updated": 0, "unchanged": 1, "errors": 0}
    assert (await desk.accounts())["New"]["properties"] == {"tier": "basic", "city": "Kiel"}
    lacking = await desk.checked("name,city\nBefore,Bonn\n")
    assert [e[:3] for e in await desk.errors(lacking["id"])] == [(2, "tier", "missing")]


async def test_empty_cells_clear_or_keep(desk: Desk):
    await desk.define("city", "text")
    await desk.define("note", "text")
    await desk.imported("name,city,note\nA,Kiel,x\n")
    await desk.imported("name,city\nA,\n", empty="keep")
    assert (await desk.accounts())["A"]["properties"] == {"city": "Kiel", "note": "x"}
    await desk.imported("name,city\nA,\n")
    assert (await desk.accounts())["A"]["properties"] == {"city": None, "note": "x"}


async def _manager(desk: Desk) -> Desk:
    """Somebody who imports into the same table, and is not its admin."""
    max_ = await desk.world.user("Max")
    async with desk.world.transaction(desk.partner.id) as db:
        db.add(PartnerMember(partner_id=desk.partner.id, user_id=max_.id, role=Role.PARTNER_MANAGER))
    return Desk(desk.world, desk.partner, await desk.world.client("Max"))


async def test_editable_by_binds_whoever_imports(desk: Desk):
    await desk.define("rating", "number", editable_by=["partner_admin"])
    await desk.imported("name,rating\nA,1\n")
    manager = await _manager(desk)
    found = await manager.checked("name,rating\nA,1\nB,2\n")
    assert [e[:3] for e in await manager.errors(found["id"])] == [(3, "rating", "not_editable")]
    assert found["planned"]["unchanged"] == 1


async def test_editable_by_binds_also_where_an_archived_option_stays(desk: Desk):
    options: list[dict[str, Any]] = [{"key": key, "label": {"en": key.upper()}} for key in ("aa", "bb")]
    await desk.define("tiers", "multi_select", options=options, editable_by=["partner_admin"])
    await desk.imported("name,tiers\nA,aa\n")
    options[0]["archived"] = True
    answer = await desk.api.patch(f"{desk.path}/properties/tiers", json={"options": options}, headers=STAR)
    assert answer.status_code == 200, answer.text
    manager = await _manager(desk)
    account = f"{desk.path}/accounts/{(await desk.accounts())['A']['id']}"
    patch = {"properties": {"tiers": ["aa", "bb"]}}
    assert problem(await manager.api.patch(account, json=patch, headers=STAR))[0] == 403
    found = await manager.checked('name,tiers\nA,"aa, bb"\n')
    assert [e[:3] for e in await manager.errors(found["id"])] == [(2, "tiers", "not_editable")]
    assert (await manager.confirm(found["id"], skip_errors="true")).status_code == 200
    await manager.work()
    done = await manager.get(found["id"])
    assert (done["status"], done["result"]) == ("done", {"created": 0, "updated": 0, "unchanged": 0, "errors": 1})
    assert (await desk.accounts())["A"]["properties"]["tiers"] == ["aa"]
    assert (await manager.imported("name,tiers\nA,aa\n"))["result"]["unchanged"] == 1
    await desk.imported('name,tiers\nA,"aa, bb"\n')
    assert (await desk.accounts())["A"]["properties"]["tiers"] == ["aa", "bb"]


async def test_users_are_named_by_address_or_id_and_must_be_members(desk: Desk):
    await desk.define("owner", "user", roles=["partner_admin"])
    anna, rita = await desk.world.user("Anna"), await desk.world.user("Rita")
    found = await desk.checked(
        f"name,owner\nA,ANNA@example.com\nB,{anna.id}\nC,rita@example.com\nD,{rita.id}\nE,nobody\n"
    )
    assert [e[:3] for e in await desk.errors(found["id"])] == [
        (4, "owner", "not_a_partner_member"), (5, "owner", "not_a_partner_member"), (6, "owner", "user")]  # fmt: skip
    await desk.confirm(found["id"], skip_errors="true")
    await desk.work()
    assert {a["properties"]["owner"] for a in (await desk.accounts()).values()} == {str(anna.id)}


async def test_names_and_unique_values_are_taken_once_within_a_file_and_the_table(desk: Desk):
    await desk.define("number", "text", unique=True)
    await desk.imported("name,number\nNord,K1\n")
    nord = (await desk.accounts())["Nord"]["id"]
    text = f"id,name,number\n,New,K2\n,new,K3\n,Other,k2\n,Third,K1\n{nord},Nord,K1\n,NORD,K9\n"
    found = await desk.checked(text)
    assert [e[:3] for e in await desk.errors(found["id"])] == [
        (3, "name", "name_taken"), (4, "number", "value_taken"), (5, "number", "value_taken"), (7, "name", "name_taken")]  # fmt: skip
    await desk.confirm(found["id"], skip_errors="true")
    await desk.work()
    assert (await desk.get(found["id"]))["result"] == {"created": 1, "updated": 0, "unchanged": 1, "errors": 4}
    assert sorted(await desk.accounts()) == ["New", "Nord"]


EVERY: list[dict[str, Any]] = [
    {"key": "a_text", "type": "text", "multi_line": True, "filterable": False, "max_length": 500},
    {"key": "a_number", "type": "number"}, {"key": "money", "type": "money", "currency": "EUR"},
    {"key": "truth", "type": "boolean"}, {"key": "day", "type": "date"}, {"key": "moment", "type": "datetime"},
    {"key": "choice", "type": "select", "options": [{"key": "a", "label": {"en": "A"}}, {"key": "b", "label": {"en": "B"}}]},
    {"key": "choices", "type": "multi_select",
     "options": [{"key": "x", "label": {"en": "X"}}, {"key": "y", "label": {"en": "Y"}}], "filterable": False},
    {"key": "web", "type": "url"}, {"key": "mail", "type": "email"}, {"key": "phone", "type": "phone"},
    {"key": "person", "type": "user", "roles": ["partner_admin"]},
]  # fmt: skip


@pytest.mark.parametrize(
    "writer",
    [sheets.CsvWriter(), sheets.CsvWriter(style="german", bom=True), sheets.XlsxWriter()],
    ids=["csv", "german", "xlsx"],
)
async def test_what_is_written_with_values_of_every_type_reads_back_unchanged(desk: Desk, writer: sheets.Writer):
    for definition in EVERY:
        inputs = {k: v for k, v in definition.items() if k not in ("key", "type")}
        await desk.define(definition["key"], definition["type"], **inputs)
    anna = await desk.world.user("Anna")
    given: dict[str, Any] = {
        "a_text": "=cmd|' /C calc'!A0\nsecond; line, \"quoted\"", "a_number": -1234567.891, "money": {"amount": "0.10", "currency": "EUR"},
        "truth": False, "day": "2027-01-31", "moment": "2027-01-31T09:30:00.125Z", "choice": "b", "choices": ["x", "y"],
        "web": "https://example.com/?a=1,2;3", "mail": "eva@example.com", "phone": "+4930123456", "person": str(anna.id),
    }  # fmt: skip
    body = {"name": "Nordwerk; Söhne", "properties": given}
    made = await desk.api.post(f"{desk.path}/accounts", json=body)
    assert made.status_code == 201, made.text
    cells: list[Any] = [given["a_text"], Decimal("-1234567.891"), Decimal("0.10"), False, date(2027, 1, 31),
             datetime(2027, 1, 31, 9, 30, 0, 125000, UTC), "b", "x, y", given["web"], given["mail"], given["phone"],
             "anna@example.com"]  # fmt: skip
    head = ["id", "name", "status", "created_at", *(d["key"] for d in EVERY)]
    row: list[Any] = [made.json()["id"], body["name"], "active", datetime(2026, 1, 1, tzinfo=UTC), *cells]
    found = await desk.checked(b"".join([writer.head(head), writer.rows([row]), writer.end()]), "export")
    assert await desk.errors(found["id"]) == []
    assert found["planned"] == {"created": 0, "updated": 0, "unchanged": 1, "errors": 0}


# --- what is true afterwards ---


async def test_an_imported_account_is_in_everything_like_one_that_the_api_made(desk: Desk, owner: Owner):
    await desk.define("number", "text", unique=True)
    await desk.define("revenue", "number")
    await desk.define("tags", "multi_select", options=[{"key": "vip", "label": {"en": "VIP"}}], filterable=False)
    values = {"number": "K1", "revenue": 1.5, "tags": ["vip"]}
    made = await desk.api.post(f"{desk.path}/accounts", json={"name": "Ünique One", "properties": values})
    await desk.imported("name,number,revenue,tags\nÜnique Two,K2,1.5,vip\n")
    one, two = await owner.rows("SELECT * FROM accounts ORDER BY id")
    own = {"id", "created_at", "updated_at", "name", "name_key", "name_search", "search", "properties", "t1"}
    assert {k: v for k, v in one.items() if k not in own} == {k: v for k, v in two.items() if k not in own}
    assert (two["name_key"], two["name_search"], two["search"], two["t1"]) == (
        "ünique two",
        "unique two",
        "unique two\nk2",
        "k2",
    )
    told = [
        e for e in await desk.world.events(desk.partner.id) if e.type in ("account.created", "account_member.added")
    ]
    assert [e.type for e in told] == ["account.created", "account_member.added"] * 2
    for by_api, by_import in zip(told[:2], told[2:], strict=True):
        assert (by_api.details or {})["after"].keys() == (by_import.details or {})["after"].keys()
        assert (by_api.actor, by_api.actor_id, by_api.subject_type) == (
            by_import.actor,
            by_import.actor_id,
            by_import.subject_type,
        )
    second = str(two["id"])
    assert (await desk.api.post(f"{desk.path}/accounts/{second}/switch")).status_code == 200
    for account_id in (made.json()["id"], second):
        history = await desk.api.get(f"{desk.path}/accounts/{account_id}/property-history")
        assert {c["key"] for c in history.json()["items"][0]["changes"]} == {"number", "revenue", "tags"}
    taken = await desk.api.post(f"{desk.path}/accounts", json={"name": "Three", "properties": {"number": "k2"}})
    assert problem(taken) == (409, "value_taken")
    filtered = await desk.api.get(f"{desk.path}/accounts", params={"filter": "properties.number:eq:K2"})
    assert [a["id"] for a in filtered.json()["items"]] == [second]


async def test_a_change_by_import_is_one_version_and_one_event_with_before_and_after(desk: Desk):
    await desk.define("city", "text")
    await desk.define("number", "text", unique=True)
    await desk.imported("name,city,number\nNord,Kiel,K1\nStill,Ulm,K2\n")
    nord = (await desk.accounts())["Nord"]
    done = await desk.imported(f"id,name,city,number\n{nord['id']},Nordwerk,,K3\n")
    answer = await desk.api.get(f"{desk.path}/accounts/{nord['id']}")
    assert answer.headers["ETag"].startswith('"2.')
    event = next(e for e in await desk.world.events(desk.partner.id) if e.type == "account.updated")
    assert event.details == {
        "before": {"name": "Nord", "properties": {"city": "Kiel", "number": "K1"}},
        "after": {"name": "Nordwerk", "properties": {"city": None, "number": "K3"}},
    }
    confirmed = next(
        e for e in reversed(await desk.world.events(desk.partner.id)) if e.type == "account_import.confirmed"
    )
    assert (event.request_id, event.actor_id) == (confirmed.request_id, confirmed.actor_id)
    await desk.imported("name,number\nFree,K1\n")
    types = [e.type for e in await desk.world.events(desk.partner.id) if str(e.subject_id) == done["id"]]
    assert types == ["account_import." + what for what in ("created", "checked", "confirmed", "finished")]


async def test_the_file_is_gone_when_the_import_has_ended(desk: Desk, owner: Owner):
    found = await desk.checked("name\nA\n")
    assert await owner.value("SELECT count(*) FROM account_import_chunks") == 1
    await desk.confirm(found["id"])
    await desk.work()
    assert await owner.value("SELECT count(*) FROM account_import_chunks") == 0


# --- uploading ---


async def test_forms_that_are_none_are_refused_and_nothing_is_kept(desk: Desk, owner: Owner):
    here = f"{desk.path}/account-imports"
    file = {"file": ("a.csv", b"name\nA\n")}
    for answer, expected in (
        (await desk.api.post(here, json={"file": "x"}), (415, "unsupported_media_type")),
        (await desk.api.post(here, content=b"name\nA\n", headers={"Content-Type": "text/csv"}), (415, "unsupported_media_type")),
        (await desk.api.post(here, content=b"xx", headers={"Content-Type": "multipart/form-data"}), (400, "malformed_request")),
        (await desk.api.post(here, content=b"xx", headers={"Content-Type": "multipart/form-data; boundary=b"}), (400, "malformed_request")),
        (await desk.api.post(here, files=file, data={"mode": "merge"}), (422, "invalid")),
        (await desk.api.post(here, files=file, data={"colour": "red"}), (422, "invalid")),
        (await desk.api.post(here, files={"other": ("a.csv", b"x")}), (422, "invalid")),
        (await desk.api.post(here, data={"mode": "create"}, files={"file": (None, b"name\nA\n")}), (422, "invalid")),
        (await desk.api.post(f"{here}?mode=create", files=file), (422, "invalid")),
    ):  # fmt: skip
        assert problem(answer) == expected, answer.text
    named = await desk.api.post(here, files=file, data={"mode": "merge", "empty": "x"})
    assert [(e["pointer"], e["code"]) for e in named.json()["errors"]] == [
        ("/mode", "literal_error"),
        ("/empty", "literal_error"),
    ]
    assert await owner.value("SELECT count(*) FROM account_imports") == 0


async def test_a_file_has_a_limit_of_its_own_and_a_strangers_is_not_read(settings: Settings):
    async with running(settings.model_copy(update={"import_bytes": 5_000_000, "body_bytes": 2_000})) as world:
        desk = await Desk.of(world)
        big = "name\n" + "\n".join(f"Account {n}" for n in range(100_000))
        assert (await desk.upload(big)).status_code == 201
        assert problem(await desk.upload(b"x" * 5_000_001)) == (413, "content_too_large")
        here = f"{desk.path}/account-imports"
        assert problem(await desk.api.post(f"{desk.path}/accounts", json={"name": "x" * 3000})) == (
            413,
            "content_too_large",
        )
        pieces: list[int] = []

        async def body() -> AsyncIterator[bytes]:
            for n in range(40):
                pieces.append(n)
                yield b"x" * 100_000

        form = {"Content-Type": "multipart/form-data; boundary=b"}
        await world.partner("Other", Rita=Role.PARTNER_ADMIN)
        for client, expected in ((await world.client(), 401), (await world.client("Rita"), 404)):
            answer = await client.post(here, content=body(), headers=form)
            assert (answer.status_code, pieces) == (expected, [])


async def test_a_repeated_upload_with_one_key_is_one_import(desk: Desk):
    here, key = f"{desk.path}/account-imports", {"Idempotency-Key": "one"}
    first, again = [await desk.api.post(here, files={"file": ("a.csv", b"name\nA\n")}, headers=key) for _ in range(2)]
    assert (first.status_code, again.content, again.headers["Idempotency-Replayed"]) == (201, first.content, "true")
    other = await desk.api.post(here, files={"file": ("a.csv", b"name\nB\n")}, headers=key)
    assert problem(other) == (422, "idempotency_key_reused")
    assert len((await desk.api.get(here)).json()["items"]) == 1


async def test_a_repeated_confirmation_or_cancellation_with_one_key_has_its_effect_once(desk: Desk):
    found = (await desk.checked("name\nA\n"))["id"]
    for act, key in (("confirm", "one"), ("cancel", "two")):
        url, header = f"{desk.path}/account-imports/{found}/{act}", {"Idempotency-Key": key}
        first, again = [await desk.api.post(url, headers=header) for _ in range(2)]
        assert (first.status_code, again.status_code, again.content) == (200, 200, first.content), again.text
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.headers["ETag"] == first.headers["ETag"]
        other = await desk.api.post(f"{desk.path}/accounts", json={"name": "B"}, headers=header)
        assert problem(other) == (422, "idempotency_key_reused")
    told = [e.type for e in await desk.world.events(desk.partner.id) if e.type.startswith("account_import.")]
    assert told == [f"account_import.{what}" for what in ("created", "checked", "confirmed", "cancelled")]


async def test_five_imports_may_wait_and_a_sixth_is_refused(desk: Desk):
    ids = [(await desk.upload("name\nA\n")).json()["id"] for _ in range(4)]
    here, key = f"{desk.path}/account-imports", {"Idempotency-Key": "five"}
    last, again = [await desk.api.post(here, files={"file": ("a.csv", b"name\nA\n")}, headers=key) for _ in range(2)]
    assert (last.status_code, again.content, again.headers["Idempotency-Replayed"]) == (201, last.content, "true")
    assert problem(await desk.upload("name\nA\n")) == (409, "too_many_imports")
    slow = Slow()
    slow.go_on.set()
    assert problem(await desk.api.post(here, content=slow.pieces(), headers=FORM)) == (409, "too_many_imports")
    assert not slow.asked.is_set()
    assert (await desk.api.post(f"{desk.path}/account-imports/{ids[0]}/cancel")).json()["status"] == "cancelled"
    assert (await desk.upload("name\nA\n")).status_code == 201


async def test_few_files_arrive_at_once_of_a_partner_and_in_all(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(world.app.state.arrivals, "most", 3)
    desks = [await Desk.of(world, name, name) for name in ("Acme", "Rival", "Third")]
    slow = [Slow() for _ in range(3)]

    async def begin(n: int, desk: Desk) -> "asyncio.Task[Response]":
        here = f"{desk.path}/account-imports"
        task = asyncio.create_task(desk.api.post(here, content=slow[n].pieces(), headers=FORM))
        await asyncio.wait_for(slow[n].asked.wait(), 10)
        return task

    tasks = [await begin(0, desks[0]), await begin(1, desks[0])]
    refused = await desks[0].upload("name\nA\n")
    assert (problem(refused), refused.headers["Retry-After"]) == ((503, "uploads_busy"), "5")
    assert (await desks[1].upload("name\nA\n")).status_code == 201
    tasks.append(await begin(2, desks[1]))
    assert problem(await desks[2].upload("name\nA\n")) == (503, "uploads_busy")
    tasks[0].cancel()  # its client is gone
    slow[1].go_on.set()
    slow[2].go_on.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [a.status_code for a in ended if isinstance(a, Response)] == [201, 201]
    assert world.app.state.arrivals.running.total() == 0
    assert (await desks[0].upload("name\nA\n")).status_code == 201


async def test_imports_are_listed_filtered_and_those_of_others_do_not_exist(desk: Desk):
    found = await desk.checked("name,x\nA,1\n", "../../Übersicht\u202e.csv")
    assert found["file_name"] == "Übersicht.csv"
    await desk.checked("name\nA\n", "second.csv")
    listed = await desk.api.get(f"{desk.path}/account-imports", params={"filter": "status:eq:failed", "count": "true"})
    assert [i["id"] for i in listed.json()["items"]] == [found["id"]]
    assert [i["id"] for i in (await desk.api.get(f"{desk.path}/account-imports?q=ubersicht")).json()["items"]] == [
        found["id"]
    ]
    rival = await Desk.of(desk.world, "Rival", "Rita")
    for method, path in (("GET", ""), ("GET", "/errors"), ("POST", "/confirm"), ("POST", "/cancel")):
        for place in (rival.path, desk.path):
            answer = await rival.api.request(method, f"{place}/account-imports/{found['id']}{path}")
            assert problem(answer) == (404, "not_found")
    assert (await rival.api.get(f"{rival.path}/account-imports")).json()["items"] == []


async def test_an_import_has_one_etag_in_each_language_whatever_answers(desk: Desk):
    german = {"Accept-Language": "de"}
    here = f"{desk.path}/account-imports"
    made = await desk.api.post(here, files={"file": ("a.csv", b"name\nA\n")})
    url = f"{here}/{made.json()['id']}"
    assert (await desk.api.get(url)).headers["ETag"] == made.headers["ETag"]
    await desk.work()
    for act in ("confirm", "cancel"):
        tag = (await desk.api.post(f"{url}/{act}", headers=german)).headers["ETag"]
        assert re.fullmatch(r'"[^".]+\.\d+"', tag)  # what If-Match strips
        assert (await desk.api.get(url, headers=german)).headers["ETag"] == tag
        assert (await desk.api.get(url, headers=german | {"If-None-Match": tag})).status_code == 304
        assert (await desk.api.get(url, headers={"If-None-Match": tag})).status_code == 200


async def test_errors_are_paged_in_the_order_of_the_file(desk: Desk):
    await desk.define("revenue", "number")
    found = await desk.checked("name,revenue\n" + "".join(f"A{n},x\n" for n in range(5)))
    rows: list[int] = []
    url: str | None = f"{desk.path}/account-imports/{found['id']}/errors?limit=2"
    while url:
        answer = await desk.api.get(url)
        rows += [e["row"] for e in answer.json()["items"]]
        url = answer.links.get("next", {}).get("url")
    assert rows == [2, 3, 4, 5, 6]
