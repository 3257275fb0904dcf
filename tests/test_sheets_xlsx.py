"""Tables in workbooks: read as a spreadsheet shows them, never a danger to the process, written for any program."""

import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from python_calamine import CalamineWorkbook

from app import sheets
from app.sheets import Layout, Record, Unreadable, XlsxWriter
from app.sheets.packages import FREE, MAX_DIRECTORY, MAX_TAG
from app.sheets.table import MAX_CELL, MAX_COLUMNS
from tests.test_sheets import file, read, refused, write

__all__ = ["file"]
NOON = datetime(2026, 12, 31, 14, 30)  # noqa: DTZ001
NS = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def saved(file: Path, book: Any) -> Path:
    book.save(file)
    return file


def book_of(*rows: list[Any]) -> Any:
    book: Any = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return book


def cells(file: Path) -> list[Record]:
    return list(sheets.records(file, sheets.detect(file)))


def raw(file: Path, parts: dict[str, str | bytes], packed: int = zipfile.ZIP_DEFLATED) -> Path:
    """A workbook of ours with some of its parts replaced."""
    ours = BytesIO(write(file, XlsxWriter(), ["a", "b"], [["x", "y"]]).read_bytes())
    with zipfile.ZipFile(ours) as source, zipfile.ZipFile(file, "w", packed) as target:
        for name in dict.fromkeys([*source.namelist(), *parts]):
            target.writestr(name, parts.get(name, source.read(name) if name in source.namelist() else b""))
    return file


def sheet(file: Path, rows: str, styles: str | None = None) -> Path:
    """A workbook whose sheet holds a header `a`, `b` and this XML."""
    top = '<row r="1"><c r="A1" t="str"><v>a</v></c><c r="B1" t="str"><v>b</v></c></row>'
    parts: dict[str, str | bytes] = {
        "xl/worksheets/sheet1.xml": f"<worksheet {NS}><sheetData>{top}{rows}</sheetData></worksheet>"
    }
    if styles:
        parts["xl/styles.xml"] = f"<styleSheet {NS}>{styles}</styleSheet>"
    return raw(file, parts)


# --- what spreadsheets write ---


def test_cells_are_read_as_a_spreadsheet_shows_them(file: Path):
    row = ["Müller & Söhne", 12, 12.5, 0.1 + 0.2, 1e15, 1e-7, -7, True, False, date(2026, 12, 31), NOON, time(14, 30)]
    book = book_of([f"c{n}" for n in range(16)], [*row, 0.125, timedelta(hours=36), None, "=1+1"])
    book.active["M2"].number_format = "0.0%"
    book.active["N2"].number_format = "[h]:mm:ss"
    book.active["P2"].value = "end"
    found = cells(saved(file, book))
    assert found == [Record(2, [
        "Müller & Söhne", Decimal(12), Decimal("12.5"), Decimal("0.3"), Decimal(10**15), Decimal("0.0000001"), Decimal(-7),
        True, False, date(2026, 12, 31), NOON, "14:30:00", Decimal("0.125"), "36:00:00", None, "end"], [])]  # fmt: skip
    assert [str(found[0].cells[n]) for n in (3, 4)] == ["0.3", "1000000000000000"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("dd.mm.yyyy", date(2026, 12, 31)), ("[$-407]d/ mmmm yyyy;@", date(2026, 12, 31)), ("mmm", date(2026, 12, 31)),
        ("dd.mm.yyyy hh:mm", datetime(2026, 12, 31)), ("General", Decimal(46387)), ("0.00E+00", Decimal(46387)),  # noqa: DTZ001
        ('0 "days"', Decimal(46387)), ("0\\d", Decimal(46387)), ("[Red]0;[Blue]-0", Decimal(46387)), ("#,##0.00 €", Decimal(46387)),
        ("0;d", Decimal(46387)), ("@", Decimal(46387)), ("_-* 0_d", Decimal(46387)), ('"' * 300, Decimal(46387)),
        ("[hh]:mm", "1113288:00:00"), ("h:mm", datetime(2026, 12, 31)),  # noqa: DTZ001
    ],
)  # fmt: skip
def test_a_number_is_a_date_if_its_format_shows_one(file: Path, code: str, expected: sheets.Cell):
    book = book_of(["a"], [46387])
    book.active["A2"].number_format = code
    found = cells(saved(file, book))[0].cells[0]
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("serial", "expected"),
    [
        ("1", date(1900, 1, 1)), ("59", date(1900, 2, 28)), ("61", date(1900, 3, 1)), ("2958465", date(9999, 12, 31)),
        ("46387.604166666664", NOON), ("46387.99999999999", datetime(2027, 1, 1)),  # noqa: DTZ001
        *((serial, None) for serial in ("0", "60", "-1", "2958466", "1e300", "NaN", "INF", "1_0", "0x1", "1e", ".", "1e999")),
    ],
)  # fmt: skip
def test_dates_are_those_of_the_calendar_of_1900(file: Path, serial: str, expected: sheets.Cell):
    styles = '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
    found = cells(sheet(file, f'<row r="2"><c r="A2" s="1"><v>{serial}</v></c></row>', styles))[0]
    if expected is None:
        assert [(f.column, f.code[:8]) for f in found.flaws] == [("a", "invalid_")]
    else:
        assert found.cells[0] == expected


def test_the_calendar_of_1904_is_known(file: Path):
    book = book_of(["a"], [date(2026, 12, 31)], [date(1904, 1, 2)])
    book.epoch = CALENDAR_MAC_1904
    assert [r.cells for r in cells(saved(file, book))] == [[date(2026, 12, 31)], [date(1904, 1, 2)]]


def test_empty_rows_count_and_are_passed_over(file: Path):
    book = book_of([], ["a", "b", None, "d"], [1, 2, 3, 4], [], [None, " ", None, None], [])
    book.active.merge_cells("A8:B9")
    book.active["A8"] = "merged"
    book.active["F20"].number_format = "0.00"
    book.active["C2"] = "c"
    found = cells(saved(file, book))
    assert [(r.row, r.cells) for r in found] == [
        (3, [Decimal(n) for n in (1, 2, 3, 4)]), (5, [None, " ", None, None]), (8, ["merged", None, None, None])]  # fmt: skip
    layout = sheets.detect(file)
    assert [r.row for r in sheets.records(file, layout, start=3)] == [5, 8]
    assert [r.row for r in sheets.records(file, layout, start=8)] == []


def test_the_sheet_is_the_first_visible_one_or_that_named(file: Path):
    book = book_of(["hidden"], [1])
    book.active.sheet_state = "hidden"
    book.create_chartsheet("Chart", 0)
    for name in ("Kunden", "Preise & mehr"):
        book.create_sheet(name).append([name])
        book[name].append([name])
    saved(file, book)
    layout = sheets.detect(file)
    assert (layout.sheet, layout.header) == ("Kunden", ("Kunden",))
    assert read(file, sheet="Preise & mehr") == [["Preise & mehr"]]
    assert read(file, sheet="Sheet") == [[Decimal(1)]]
    assert "Kunden, Preise & mehr" in refused(file, sheet="Kunde").en
    for name in ("Kunden", "Preise & mehr"):
        book[name].sheet_state = "veryHidden"
    assert refused(saved(file, book)).code == "no_visible_sheet"


def test_text_in_pieces_is_one_text(file: Path):
    book = book_of(["a", "b"], [CellRichText("Müller ", TextBlock(InlineFont(b=True), "& Söhne"), " GmbH"), "x"])
    assert cells(saved(file, book))[0].cells[0] == "Müller & Söhne GmbH"
    spoken = "<is><r><t>東</t></r><r><t>京</t></r><rPh><t>トウキョウ</t></rPh></is>"
    found = cells(sheet(file, f'<row r="2"><c r="A2" t="inlineStr">{spoken}</c><c r="B2"><v>1</v></c></row>'))
    assert found[0].cells == ["東京", Decimal(1)]


def test_formulas_are_read_by_their_value_and_never_evaluated(file: Path):
    calculated = (
        '<row r="2"><c r="A2"><f>B9*2</f><v>84</v></c><c r="B2" t="str"><f>A1&amp;"x"</f><v>=cmd()</v></c></row>'
        '<row r="3"><c r="A3" t="str"><f>""</f><v></v></c><c r="B3" t="d"><v>2026-12-31T14:30:00</v></c></row>'
        '<row r="4"><c r="A4"><f>1/0</f></c><c r="B4" t="e"><v>#DIV/0!</v></c></row>'
    )
    found = cells(sheet(file, calculated))
    assert [r.cells for r in found] == [[Decimal(84), "=cmd()"], [None, NOON], []]
    assert [(f.column, f.code) for f in found[2].flaws] == [("a", "formula_without_value"), ("b", "error_value")]
    assert cells(saved(file, book_of(["a"], ["=1+1"])))[0].flaws[0].code == "formula_without_value"


def test_a_row_that_cannot_be_used_does_not_end_the_sheet(file: Path):
    book = book_of(["a", "b"], [1, 2, 3], ["x" * MAX_CELL, 2], [1, 2])
    book.active["XFD4"] = 9
    found = cells(saved(file, book))
    assert [[(f.column, f.code) for f in r.flaws] for r in found] == [
        [(None, "too_many_cells")], [], [(None, "too_many_cells")]]  # fmt: skip
    inline = f"<is><t>{'x' * (MAX_CELL + 1)}</t></is>"
    row = f'<row r="2"><c r="A2" t="inlineStr">{inline}</c></row><row r="3"><c r="B3" t="d"><v>31.12.</v></c></row>'
    flaws = [(f.column, f.code) for r in cells(sheet(file, row)) for f in r.flaws]
    assert flaws == [("a", "cell_too_long"), ("b", "invalid_date")]


def test_other_writers_leave_references_out_or_use_prefixes(file: Path):
    rows = '<row><c><v>1</v></c><c/><c><v>3</v></c></row><row><c t="b"><v>1</v></c><c t="b"><v>0</v></c></row>'
    found = cells(sheet(file, rows))
    assert [(r.row, r.cells, len(r.flaws)) for r in found] == [(2, [], 1), (3, [True, False], 0)]
    strict = "http://purl.oclc.org/ooxml/spreadsheetml/main"
    text = f'<x:worksheet xmlns:x="{strict}"><x:sheetData>' + "".join(
        f'<x:row><x:c t="inlineStr"><x:is><x:t>{t}</x:t></x:is></x:c></x:row>' for t in ("a", "Köln")
    )
    xml = f'<?xml version="1.0" encoding="UTF-16"?>{text}</x:sheetData></x:worksheet>'.encode("utf-16")
    assert cells(raw(file, {"xl/worksheets/sheet1.xml": xml}))[0].cells == ["Köln"]


def test_styles_of_numbers_written_as_text_are_found(file: Path):
    layout = sheets.detect(saved(file, book_of(["n", "d"], ["12,5", "31.12.2026"], ["1.234,5", None])))
    assert layout == Layout("xlsx", ("n", "d"), ",", "german", sheet="Sheet")
    assert sheets.detect(file, decimal=".", dates="us").decimal == "."


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "empty_file"), ([["a", "b"]], "no_rows"), ([["a", None, "c"], [1, 2, 3]], "empty_column_name"),
        ([["a", "A "], [1, 2]], "duplicate_column"), ([[1, NOON], [1, 2]], "no_header"), ([["a", NOON], [1, 2]], "no_header"),
        ([[1, 2], [1, 2]], "no_header"), ([[*range(MAX_COLUMNS), "x"], [1]], "too_many_columns"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused_with_a_reason(file: Path, rows: list[list[Any]], code: str):
    assert refused(saved(file, book_of(*rows))).code == code


def test_names_of_columns_may_be_years(file: Path):
    assert sheets.detect(saved(file, book_of(["Firma", 2026, True], [1, 2, 3]))).header == ("Firma", "2026", "True")


# --- what attackers write ---


def endless(part: str, piece: str, size: int) -> dict[str, str | bytes]:
    return {part: (piece * (size // len(piece) + 1)).encode()}


def bombs() -> Iterator[tuple[str, dict[str, str | bytes], str]]:
    sheet1, top = "xl/worksheets/sheet1.xml", f"<worksheet {NS}><sheetData>"
    good = "<row><c><v>1</v></c><c t='b'><v>1</v></c></row></sheetData></worksheet>"
    entities = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    outside = '<!DOCTYPE x SYSTEM "file:///etc/passwd">'
    for name in (sheet1, "xl/workbook.xml", "xl/styles.xml", "_rels/.rels"):
        yield f"entities in {name}", {name: f"{entities}<x>&b;</x>"}, "damaged_workbook"
    yield "external DTD", {sheet1: f"{outside}<x/>"}, "damaged_workbook"
    yield "much of nothing", endless("xl/media/zero.bin", "\0" * 1024, FREE + 1), "unpacks_too_large"
    yield "endless tag", {sheet1: f'{top}<x y="{"z" * (3 * MAX_TAG)}"/>{good}'}, "damaged_workbook"
    yield "endless comment", {sheet1: f"{top}<!--{'z' * (3 * MAX_TAG)}-->{good}"}, "damaged_workbook"
    yield "rows backwards", {sheet1: f'{top}<row r="5"/><row r="4"/>{good}'}, "damaged_workbook"
    yield "row too far", {sheet1: f'{top}<row r="1048577"/>{good}'}, "damaged_workbook"
    yield "row of no number", {sheet1: f'{top}<row r="x"/></sheetData></worksheet>'}, "damaged_workbook"
    yield "no string", {sheet1: f'{top}<row><c t="s"><v>7</v></c></row></sheetData></worksheet>'}, "damaged_workbook"
    yield "no style", {sheet1: f'{top}<row><c s="9"><v>7</v></c></row></sheetData></worksheet>'}, "damaged_workbook"
    yield (
        "no reference",
        {sheet1: f'{top}<row><c r="?1"><v>7</v></c></row></sheetData></worksheet>'},
        "damaged_workbook",
    )
    yield "cut off", {sheet1: f"{top}<row><c><v>7"}, "damaged_workbook"
    yield "no workbook", {"_rels/.rels": "<x/>"}, "not_a_workbook"
    yield "no sheet", {"xl/_rels/workbook.xml.rels": "<x/>"}, "not_a_workbook"


@pytest.mark.parametrize(("parts", "code"), [pytest.param(p, c, id=n) for n, p, c in bombs()])
def test_a_hostile_workbook_is_refused(file: Path, parts: dict[str, str | bytes], code: str):
    assert refused(raw(file, parts)).code == code


def test_a_bomb_that_lies_about_its_size_is_not_believed(file: Path):
    """The table of contents says 100 bytes; 200 MB would come."""
    part = "xl/worksheets/sheet1.xml"
    packed = raw(file, endless(part, " " * 1024, 200 << 20)).read_bytes()
    size = ((200 << 20) // 1024 + 1) * 1024
    file.write_bytes(packed.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        assert refused(file).code == "damaged_workbook"
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def unchecked(*_: object) -> None: ...


def test_what_is_unpacked_is_counted_besides(file: Path, monkeypatch: pytest.MonkeyPatch):
    write(file, XlsxWriter(), ["a"], [["x"]])
    monkeypatch.setattr("app.sheets.packages.Package._check", unchecked)
    monkeypatch.setattr("app.sheets.packages.MAX_UNPACKED", 500)
    assert refused(file).code == "unpacks_too_large"


def test_other_archives_and_protected_ones_are_refused(file: Path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        assert refused(raw(file, {}, method)).code == "damaged_workbook"
    with zipfile.ZipFile(file, "w") as other:
        other.writestr("content.xml", "<office/>")
    assert refused(file).code == "not_a_workbook"
    with zipfile.ZipFile(file, "w") as many:
        for number in range(MAX_DIRECTORY // 100):
            many.writestr(f"{number:0100}", b"")
    assert refused(file).code == "damaged_workbook"
    content = bytearray(raw(file, {}).read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    file.write_bytes(content)
    assert refused(file).code == "old_or_protected_workbook"
    file.write_bytes(bytes.fromhex("D0CF11E0A1B11AE1") + bytes(600))
    assert refused(file, format="xlsx").code == "old_or_protected_workbook"


def test_a_damaged_file_is_refused_wherever_the_damage_is(file: Path):
    whole = saved(file, book_of(["a", "b"], [date(2026, 12, 31), "x"], [1, "y"])).read_bytes()
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        for content in (bytes(damaged), whole[:at]):
            file.write_bytes(content)
            with suppress(Unreadable):
                assert len(list(sheets.records(file, sheets.detect(file, format="xlsx")))) <= 2


# --- what is written ---


def test_other_programs_read_what_is_written(file: Path):
    rows: list[list[sheets.Cell]] = [
        ["Müller & Söhne <GmbH>", Decimal("12.50"), -7, True, date(2026, 12, 31), NOON, " two\n lines\t"],
        ["=1+1", Decimal("-0.000001"), 10**14, False, date(1900, 3, 1), NOON.replace(microsecond=123000), "ÄÖÜ 🙂"],
        [None, None, None, None, None, None, "end"],
    ]
    write(file, XlsxWriter(sheet="Kunden & Co"), [*"abcdefg"], rows[:2], [], rows[2:])
    assert read(file) == rows
    book: Any = openpyxl.load_workbook(BytesIO(file.read_bytes()))
    assert [book.active.title, book.active.freeze_panes, book.active["A3"].data_type] == ["Kunden & Co", "A2", "s"]
    days = [[c.date() if n == 4 and c else c for n, c in enumerate(row)] for row in [*book.active.values][1:]]
    assert days == [[float(c) if isinstance(c, Decimal) else c for c in row] for row in rows]
    assert book.active["E2"].is_date
    with closing(CalamineWorkbook.from_path(file)) as other:
        found = other.get_sheet_by_name("Kunden & Co").to_python()
    assert found[1] == ["Müller & Söhne <GmbH>", 12.5, -7, True, date(2026, 12, 31), NOON, " two\n lines\t"]
    assert found[2][0] == "=1+1"


def test_what_a_spreadsheet_would_round_is_written_as_text(file: Path):
    row: list[sheets.Cell] = [
        Decimal("123456789.012345"), Decimal("0.0000000000123456789012345"), Decimal("1234567890.123456"), 10**15, -(10**15),
        Decimal("1E+20"), Decimal("1234567890123456"), date(1900, 2, 28), NOON.replace(microsecond=1),
        NOON.replace(year=1800),
    ]  # fmt: skip
    write(file, XlsxWriter(), [f"c{n}" for n in range(len(row))], [row])
    assert read(file) == [[
        row[0], row[1], "1234567890.123456", "1000000000000000", "-1000000000000000", row[5], "1234567890123456",
        "1900-02-28", "2026-12-31T14:30:00.000001", "1800-12-31T14:30:00"]]  # fmt: skip


def test_moments_are_written_in_utc(file: Path):
    zone = timezone(timedelta(hours=1))
    write(file, XlsxWriter(), ["a", "b"], [[NOON.replace(tzinfo=UTC), NOON.replace(tzinfo=zone)]])
    assert read(file) == [[NOON, NOON - timedelta(hours=1)]]


def test_every_millisecond_reads_back(file: Path):
    moments = [NOON + timedelta(milliseconds=n * 7_777_777) for n in range(2000)]
    write(file, XlsxWriter(), ["a"], [[moment] for moment in moments])
    assert read(file) == [[moment] for moment in moments]


def test_characters_that_xml_has_not_are_escaped_as_the_standard_says(file: Path):
    text = "a\rb\x01c_x000D_d\ufffe"
    write(file, XlsxWriter(), ["a"], [[text]])
    with zipfile.ZipFile(file) as package:
        assert b"a_x000D_b_x0001_c_x005F_x000D_d_xFFFE_" in package.read("xl/worksheets/sheet1.xml")
    assert read(file) == [[text]]
    assert cells(sheet(file, '<row><c t="str"><v>_x0000__xD800__x0041_</v></c></row>'))[0].cells[0] == "_x0000__xD800_A"


def test_what_no_sheet_holds_is_not_written(monkeypatch: pytest.MonkeyPatch):
    for text in ("x" * (MAX_CELL + 1), "🙂" * (MAX_CELL // 2 + 1)):
        writer = XlsxWriter()
        writer.head(["a"])
        with pytest.raises(ValueError, match="32767"):
            writer.rows([[text]])
    writer = XlsxWriter()
    writer.head(["a"])
    with pytest.raises(ValueError, match="longer"):
        writer.rows([["x", "y"]])
    monkeypatch.setattr("app.sheets.write.MAX_SHEET_ROWS", 2)
    with pytest.raises(ValueError, match="rows"):
        writer.rows([["x"]] * 2)


def test_pieces_come_while_rows_go_in():
    writer = XlsxWriter()
    assert writer.head(["a"])
    sizes = [len(writer.rows([[f"{n} {m * 7919}"] for m in range(5000)])) for n in range(10)]
    assert all(sizes)
    assert len(writer.end()) < sum(sizes) / 5


def shared(file: Path, rows: int, columns: int) -> Path:
    """A workbook as Excel writes it, every text in its own table and no two alike."""
    texts = "".join(f"<si><t>text {n}</t></si>" for n in range(rows * columns))
    lines = (
        "".join(f'<c t="s"><v>{row * columns + column}</v></c>' for column in range(columns)) for row in range(rows)
    )
    xml = f"<worksheet {NS}><sheetData><row>{'</row><row>'.join(lines)}</row></sheetData></worksheet>"
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    links = (("1", "worksheet", "worksheets/sheet1.xml"), ("2", "sharedStrings", "/xl/sharedStrings.xml"))
    index = "".join(f'<Relationship Id="rId{n}" Type="{kinds}/{k}" Target="{t}"/>' for n, k, t in links)
    return raw(file, {
        "xl/worksheets/sheet1.xml": xml, "xl/sharedStrings.xml": f"<sst {NS}>{texts}</sst>",
        "xl/_rels/workbook.xml.rels": f"<Relationships>{index}</Relationships>"})  # fmt: skip


@pytest.mark.parametrize("count", [1, 15, 16, 17, 1000])
def test_shared_texts_are_found_by_their_number(file: Path, count: int):
    layout = sheets.detect(shared(file, count + 1, 3))
    assert layout.header == ("text 0", "text 1", "text 2")
    found = list(sheets.records(file, layout))
    assert [r.cells for r in found] == [[f"text {n * 3 + c}" for c in range(3)] for n in range(1, count + 1)]


def test_shared_texts_are_found_however_many_blocks_are_held(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.sheets.workbooks._HELD", 3000)
    assert read(shared(file, 300, 2)) == [[f"text {n * 2 + c}" for c in range(2)] for n in range(1, 300)]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(file: Path):
    """200,000 different texts in memory would be 14 MB, the rows more."""
    shared(file, 20_000, 10)
    files = [file, file.with_suffix(".csv"), file.with_suffix(".xlsx")]
    writers: list[sheets.Writer] = [sheets.CsvWriter(), XlsxWriter()]
    peaks: list[int] = []
    tracemalloc.start()
    for source, target, writer in zip(files, files[1:], writers, strict=False):
        tracemalloc.reset_peak()
        with target.open("wb") as out:
            layout = sheets.detect(source)
            out.write(writer.head(layout.header))
            rows = sheets.records(source, layout)
            while batch := [record.cells for record in islice(rows, 100)]:
                out.write(writer.rows(batch))
            out.write(writer.end())
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert max(peaks) < 8 << 20
    assert read(files[2])[-1][-1] == "text 199999"
