"""Tables in CSV files: what is detected, how rows are read, what values mean, and that what is written reads back."""

import csv
import gc
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from app import sheets
from app.sheets import CsvWriter, Layout, Unreadable, XlsxWriter
from app.sheets.table import FLAWS, MAX_CELL, MAX_COLUMNS, MAX_RECORD, REFUSALS

PLAIN = Layout("csv", ("a",))
GERMAN = Layout("csv", ("a",), decimal=",", dates="german")
US = Layout("csv", ("a",), dates="us")
DANGEROUS = ("=", "+", "-", "@", "|", "%", "\t", "\r", "\n", "＝", "＋", "－", "＠")

Writers = Callable[[], sheets.Writer]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table"


def put(file: Path, text: str | bytes, encoding: str = "utf-8") -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return file


def write(file: Path, writer: sheets.Writer, columns: Sequence[str], *batches: Sequence[Sequence[sheets.Cell]]) -> Path:
    return put(file, b"".join([writer.head(columns), *(writer.rows(batch) for batch in batches), writer.end()]))


def read(file: Path, **given: Any) -> list[list[sheets.Cell]]:
    found = list(sheets.records(file, sheets.detect(file, **given)))
    assert not any(record.flaws for record in found)
    return [record.cells for record in found]


def refused(file: Path, **given: Any) -> Unreadable:
    """The refusal that reading the file ends with; it is said in both languages."""
    with pytest.raises(Unreadable) as caught:
        list(sheets.records(file, sheets.detect(file, **given)))
    assert caught.value.en
    assert caught.value.de != caught.value.en
    assert "{" not in caught.value.en + caught.value.de
    return caught.value


# --- what is detected ---

TABLE = (
    ("Firma", "Straße", "Umsatz", "Vertragsende"),
    ("Müller & Söhne; Bau, Holz", "Königsallee 1\nHinterhaus", "1.234,56", "31.12.2026"),
    ('Café "Größe"', "Äußere Ring 5", "12,5", "01.02.2027"),
    ("Weiß – 10 €", "", "-7", ""),
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("newline", ["\r\n", "\n", "\r"])
def test_encoding_separator_and_decimal_sign_are_found(
    file: Path, encoding: str, separator: str, decimal: str, newline: str
):
    text = StringIO()
    swapped = str.maketrans(".,", ",.") if decimal == "." else {}
    rows = [[*row[:2], row[2].translate(swapped), row[3]] for row in TABLE]
    csv.writer(text, delimiter=separator).writerows(rows)
    put(file, text.getvalue().replace("\r\n", newline), encoding)
    layout = sheets.detect(file)
    assert layout == Layout("csv", TABLE[0], decimal, "german", encoding, separator)
    found = list(sheets.records(file, layout))
    assert [r.cells for r in found] == [[cell or None for cell in row] for row in rows[1:]]
    assert [sheets.number(str(r.cells[2]), layout) for r in found] == [Decimal("1234.56"), Decimal("12.5"), Decimal(-7)]
    assert sheets.day(str(found[0].cells[3]), layout) == date(2026, 12, 31)


def test_a_layout_is_kept_as_json(file: Path):
    layout = sheets.detect(put(file, "a;b\n1;2\n"))
    assert Layout.of(json.loads(json.dumps(asdict(layout)))) == layout


@pytest.mark.parametrize(
    ("text", "separator", "header"),
    [
        ("name\nMüller, Anna\nSchmidt; Bert", ",", ("name",)),
        ("name\nanna\n", ",", ("name",)),
        ("Name;Preis, netto;Ort\nA;1,50;B\n", ";", ("Name", "Preis, netto", "Ort")),
        ("Name, Vorname;Preis, netto\nMeier, Anna;1, 5\n", ";", ("Name, Vorname", "Preis, netto")),
        ("a,b;c\n1,2\n3,4\n", ",", ("a", "b;c")),
        ("a;b;c\n1;2\n1;2\n", ";", ("a", "b", "c")),
        ("a;b;c;;\n1;2;3;;\n", ";", ("a", "b", "c")),
        ('"a;b","c"\n"1;2;3","4"\n', ",", ("a;b", "c")),
        ("sep=;\r\na,b;c\r\n1,2;3\r\n", ";", ("a,b", "c")),
        ("SEP=\t\na\tb\n1\t2\n", "\t", ("a", "b")),
        ('"sep=;"\n1\n', ",", ("sep=;",)),
        ("\n\n a , b \n1,2\n", ",", ("a", "b")),
        ("a;b,c\n1;2;;\n", ";", ("a", "b,c")),
        ('a;b;c,d\n"1;2",3\n', ",", ("a;b;c", "d")),
    ],
)
def test_the_separator_is_the_one_that_makes_an_even_table(file: Path, text: str, separator: str, header: tuple[str]):
    layout = sheets.detect(put(file, text))
    assert (layout.separator, layout.header) == (separator, header)


@pytest.mark.parametrize(
    ("cells", "comma", "semicolon"),
    [
        (["1.234", "2.345"], ".", ","),  # says nothing: the default of the separator
        (["12", ""], ".", ","),
        (["12.5", "1.234"], ".", "."),
        (["0.123", "1.234"], ".", "."),  # nobody groups 0.123
        (["1,234.5"], ".", "."),
        (["12,5"], ",", ","),
        (["1.234.567"], ",", ","),
        (["€ 12,50", "7"], ",", ","),
        (["12,5", "Haus 3", "am Ring"], ".", ","),  # a column of text
        (["5,1"] * 10 + ["?"], ",", ","),
        (["1,234,567"], ".", "."),
    ],
)
def test_the_decimal_sign_is_that_of_columns_of_numbers(file: Path, cells: list[str], comma: str, semicolon: str):
    quoted = "".join(f'"{cell}"{{0}}x\n' for cell in cells)
    assert sheets.detect(put(file, "a,b\n" + quoted.format(","))).decimal == comma
    assert sheets.detect(put(file, "a;b\n" + quoted.format(";"))).decimal == semicolon


def test_columns_that_differ_leave_the_default(file: Path):
    assert sheets.detect(put(file, 'a,b\n"1,5",2.5\n')).decimal == "."
    assert sheets.detect(put(file, "a;b\n1,5;2.5\n")).decimal == ","


@pytest.mark.parametrize(
    ("cells", "dates"),
    [
        (["2026-12-31", "2026-01-02"], "iso"),
        (["31.12.2026", "1.2.2027"], "german"),
        (["31.12.2026 14:30"], "german"),
        (["12/31/2026", "01/02/2027"], "us"),
        (["01/02/2027"], "iso"),  # day or month first, who knows
        (["31/12/2026", "12/31/2026"], "iso"),
        (["am 31.12.2026"], "iso"),
        (["31.12.2026", "Haus 3", "12/31/2026"], "iso"),  # a column of text
        (["x"], "iso"),
    ],
)
def test_the_style_of_dates_is_that_of_columns_of_dates(file: Path, cells: list[str], dates: str):
    assert sheets.detect(put(file, "a,b\n" + "".join(f"{cell},x\n" for cell in cells))).dates == dates


def test_what_is_given_is_believed(file: Path):
    put(file, "a;b,c\n1,5;31.12.2026,x\n")
    layout = sheets.detect(file, format="csv", encoding="cp1252", separator=",", decimal=".", dates="us")
    assert layout == Layout("csv", ("a;b", "c"), ".", "us", "cp1252", ",")
    assert sheets.detect(put(file, b"\xef\xbb\xbfa;b\n1;2\n"), encoding="utf-8").header == ("a", "b")
    assert sheets.detect(put(file, "sep=;\na,b;c\n1,2;3\n"), separator=",").header == ("a", "b;c")


# --- what is refused ---


@pytest.mark.parametrize(
    ("content", "given", "code"),
    [
        ("", {}, "empty_file"),
        ("\n\r\n,,\n", {}, "empty_file"),
        ("a,b\n", {}, "no_rows"),
        ("a,b\n,\n\n", {}, "no_rows"),
        ("a,,c\n1,2,3\n", {}, "empty_column_name"),
        ("Name,ort,name \n1,2,3\n", {}, "duplicate_column"),
        ("1,2026-01-01,12.5\n1,2,3\n", {}, "no_header"),
        (" , \n1,2\n", {}, "no_header"),
        (",".join(f"c{n}" for n in range(MAX_COLUMNS + 1)) + "\n1\n", {}, "too_many_columns"),
        ("sep=|\na|b\n1|2\n", {}, "unknown_separator"),
        ("a,b\n1,2\n", {"separator": "|"}, "unknown_separator"),
        ("a,b\n1,2\n", {"decimal": "'"}, "unknown_style"),
        ("a,b\n1,2\n", {"dates": "roman"}, "unknown_style"),
        ("a,b\n1,2\n", {"format": "ods"}, "unknown_format"),
        ("a,b\n1,2\n", {"format": "xlsx"}, "not_a_workbook"),
        ("a,b\nÄ,2\n".encode("cp1252"), {"encoding": "utf-8"}, "wrong_encoding"),
        ("a,b\n1,2\n", {"encoding": "utf-16"}, "wrong_encoding"),
        (b"a,b\n\x81\x8d,\xff\n", {}, "unknown_encoding"),
        ("a,b\n1,2\n".encode("utf-16"), {}, "utf_16"),
        ("a,b\n1,2\n".encode("utf-16-le"), {}, "not_text"),
        (b"PK\x03\x04", {"format": "csv"}, "not_text"),
        (bytes.fromhex("D0CF11E0A1B11AE1") + bytes(600), {}, "old_or_protected_workbook"),
        ('a,b\n1,2\n"x,2\n3,4\n', {}, "broken_quotes"),
        ('a,b\n1,2\n"x"y,2\n', {}, "broken_quotes"),
        ('a;b\n1;"x"y\n', {}, "broken_quotes"),
        ('a,b\n1,2\n"' + "x\n" * 100_000, {}, "broken_quotes"),
        ("a,b\n1,2\n" + "," * MAX_RECORD + "\n", {}, "record_too_long"),
        ("a,b\n1,2\n" + '"x\n",' * (MAX_RECORD // 4), {}, "record_too_long"),
    ],
)
def test_what_is_no_table_is_refused_with_a_reason(file: Path, content: str | bytes, given: dict[str, Any], code: str):
    assert refused(put(file, content), **given).code == code


def test_a_refusal_says_where(file: Path):
    assert "Row 3" in refused(put(file, 'a,b\n1,2\n"x"y,2\n')).en
    assert "Spalte B" in refused(put(file, "a,,c\n1,2,3\n")).de
    assert "{name}" in str(vars(refused_name(file)))


def refused_name(file: Path) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        sheets.detect(put(file, "{name},{name}\n1,2\n"))
    return caught.value


def test_more_rows_than_a_million_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.sheets.csvs.MAX_ROWS", 3)
    put(file, "a\n1\n2\n3\n")
    assert len(read(file)) == 3
    assert refused(put(file, "a\n1\n2\n3\n4\n")).code == "too_many_rows"


@pytest.mark.parametrize("code", [*REFUSALS, *FLAWS])
def test_every_reason_is_said_in_both_languages(code: str):
    en, de = (REFUSALS | FLAWS)[code]  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
    assert en
    assert de
    assert en != de


# --- rows ---


def test_rows_have_the_number_that_a_spreadsheet_shows(file: Path):
    put(file, 'sep=,\n\na,b\n"two\nlines",1\n\n,\n"",2\n3\n4,5,,\n')
    found = list(sheets.records(file, sheets.detect(file)))
    assert [(r.row, r.cells) for r in found] == [
        (3, ["two\nlines", "1"]), (6, [None, "2"]), (7, ["3", None]), (8, ["4", "5"])]  # fmt: skip


def test_a_resumed_job_goes_on_behind_the_row_it_did_last(file: Path):
    put(file, 'a,b\n"1\n",2\n\n3,4\n5,6\n')
    layout = sheets.detect(file)
    for row in (0, 1, 2, 4, 5, 99):
        assert [r.row for r in sheets.records(file, layout, start=row)] == [n for n in (2, 4, 5) if n > row]


def test_a_row_that_cannot_be_used_does_not_end_the_file(file: Path):
    long = "x" * (MAX_CELL + 1)
    put(file, f"a,b\n1,2,3\n{long},{long}\n{long[1:]},2\n")
    found = list(sheets.records(file, sheets.detect(file)))
    assert [[(f.column, f.code) for f in r.flaws] for r in found] == [
        [(None, "too_many_cells")], [("a", "cell_too_long"), ("b", "cell_too_long")], []]  # fmt: skip
    assert [r.cells for r in found] == [[], [], [long[1:], "2"]]


def test_only_one_record_is_limited_in_length(file: Path):
    put(file, "a\n" + f"{'x' * 10_000}\n" * (MAX_RECORD // 10_000 + 50))
    assert len(read(file)) == MAX_RECORD // 10_000 + 50


# --- values ---

NUMBERS: dict[str, tuple[str | None, str | None]] = {  # as read with a decimal point, and with a comma
    "12": ("12", "12"), "-5": ("-5", "-5"), "+5": ("5", "5"), "−5": ("-5", "-5"), " 7 ": ("7", "7"), "007": ("7", "7"),
    "1,234.56": ("1234.56", None), "1.234,56": (None, "1234.56"), "1'234.56": ("1234.56", None),
    "1’234,56": (None, "1234.56"), "1 234,56": (None, "1234.56"), "1\u202f234.56": ("1234.56", None),
    "1\u00a0234\u00a0567": ("1234567", "1234567"), "1\u2009234": ("1234", "1234"),
    "1,234": ("1234", "1.234"), "1.234": ("1.234", "1234"), "12,5": (None, "12.5"), "12.5": ("12.5", None),
    "1,234,567": ("1234567", None), "1.234.567": (None, "1234567"), "0.123": ("0.123", None), "0,123": (None, "0.123"),
    "012,345": (None, "12.345"), ".5": ("0.5", None), ",5": (None, "0.5"), "-,5": (None, "-0.5"),
    "0.10": ("0.10", None), "12345678901234567890.123456789": ("12345678901234567890.123456789", None),
    "1234,567": (None, "1234.567"), "1,2345": (None, "1.2345"), "1234.567,8": (None, None), "1.234'567,8": (None, None),
    **dict.fromkeys(
        ("", " ", "-", "+-1", "--1", "5-", ".", ",", "1.", "1,", "1e3", "1E3", "NaN", "Infinity", "0x10", "1_000", "½",
         "٣", "1,23,4", "1.2.3", "1,,234", "1 23", "12 %", "(5)", "1.234,56,7", "1,234.56.7", "'1", "1'",
         "1 234'567", "9" * 101), (None, None)),
}  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_that_of_the_layout_or_none(text: str):
    for layout, expected in zip((PLAIN, GERMAN), NUMBERS[text], strict=True):
        if expected is None:
            with pytest.raises(ValueError, match="not a number"):
                sheets.number(text, layout)
        else:
            assert str(sheets.number(text, layout)) == expected


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("12,50 EUR", "12.50", "EUR"), ("€ 12,50", "12.50", "EUR"), ("12,50€", "12.50", "EUR"), ("eur12", "12", "EUR"),
        ("-€ 1.234,5", "-1234.5", "EUR"), ("$ -5", "-5", "USD"), ("-5 £", "-5", "GBP"), ("CHF 1'000,05", "1000.05", "CHF"),
        ("12,5", "12.5", None), ("12,50\u00a0€", "12.50", "EUR"),
    ],
)  # fmt: skip
def test_money_is_an_amount_and_perhaps_a_currency(text: str, amount: str, currency: str | None):
    found = sheets.money(text, GERMAN)
    assert (str(found[0]), found[1]) == (amount, currency)


@pytest.mark.parametrize(
    "text",
    ["", "EUR", "€", "12 Euro", "EUR 12 EUR", "€ 12 $", "1.5 EUR", "- -5 €", "-€-5", "EURO 5", "12,- €", "1" * 101],
)
def test_what_is_no_money_is_refused(text: str):
    with pytest.raises(ValueError, match="not a"):
        sheets.money(text, GERMAN)


DAY = date(2026, 12, 31)


@pytest.mark.parametrize(
    ("text", "plain", "us"),
    [
        ("2026-12-31", DAY, DAY), (" 31.12.2026 ", DAY, DAY), ("31. 12. 2026", DAY, DAY), ("1.2.2026", date(2026, 2, 1), date(2026, 2, 1)),
        ("12/31/2026", None, DAY), ("1/2/2026", None, date(2026, 1, 2)),
        *((text, None, None) for text in ("", "31.12.26", "31/12/2026", "2026-02-30", "30.02.2026", "2026-1-1", "20261231",
                                          "2026-W01-1", "0.1.2026", "٣١.12.2026", "2026-12-31T00:00", "46000", "12/31/26")),
    ],
)  # fmt: skip
def test_a_day_has_four_digits_of_year_and_one_reading(text: str, plain: date | None, us: date | None):
    for layout, expected in ((PLAIN, plain), (GERMAN, plain), (US, us)):
        if expected is None:
            with pytest.raises(ValueError, match=r".+"):
                sheets.day(text, layout)
        else:
            assert sheets.day(text, layout) == expected


NOON = datetime(2026, 12, 31, 14, 30)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-12-31T14:30:00", NOON), ("2026-12-31 14:30", NOON), ("31.12.2026 14:30", NOON), ("31.12.2026, 14:30:00", NOON),
        ("2026-12-31T14:30:00.5", NOON + timedelta(milliseconds=500)), ("2026-12-31T14:30:00,000001", NOON + timedelta(microseconds=1)),
        ("2026-12-31T14:30Z", NOON.replace(tzinfo=UTC)), ("31.12.2026 14:30:00+01:00", NOON.replace(tzinfo=timezone(timedelta(hours=1)))),
        ("2026-12-31 14:30 +0100", NOON.replace(tzinfo=timezone(timedelta(hours=1)))), ("2026-12-31", NOON.replace(hour=0, minute=0)),
        *((text, None) for text in ("", "14:30", "2026-12-31T24:01", "2026-12-31T14", "31.12.26 14:30", "2026-12-31T14:30:61",
                                    "2026-12-31 14:30 Uhr", "12/31/2026 14:30", "2026-12-31T14:30+99:00", "T14:30")),
    ],
)  # fmt: skip
def test_a_moment_is_a_day_and_a_time(text: str, expected: datetime | None):
    if expected is None:
        with pytest.raises(ValueError, match=r".+"):
            sheets.moment(text, GERMAN)
    else:
        found = sheets.moment(text, GERMAN)
        assert (found, found.tzinfo is None) == (expected, expected.tzinfo is None)
    assert sheets.moment("12/31/2026 14:30", US) == NOON


def test_truth_is_said_in_many_words():
    for yes in ("true", "TRUE", "yes", "Ja", "wahr", "WAHR", "1", "x", " X ", "✓"):
        assert sheets.truth(yes) is True
    for no in ("false", "No", "nein", "FALSCH", "0", "", " "):
        assert sheets.truth(no) is False
    for neither in ("2", "maybe", "vielleicht", "xx", "-"):
        with pytest.raises(ValueError, match="neither"):
            sheets.truth(neither)


# --- writing ---


def test_csv_is_that_of_the_rfc(file: Path):
    aware = datetime(2026, 12, 31, 14, 30, tzinfo=UTC)
    row = ['a "b"', "c,d", "e\nf", "", None, -5, Decimal("-1E+3"), True, DAY, aware]
    write(file, CsvWriter(), [*"abcdefghij"], [row])
    assert file.read_bytes() == (
        b'a,b,c,d,e,f,g,h,i,j\r\n"a ""b""","c,d","e\nf",,,-5,-1000,true,2026-12-31,2026-12-31T14:30:00.000Z\r\n'
    )
    write(
        file,
        CsvWriter(style="german", bom=True),
        ["a", "b", "c", "d", "e"],
        [[Decimal("-1.5"), False, DAY, aware, "ä;"]],
    )
    text = '\ufeffa;b;c;d;e\r\n-1,5;falsch;31.12.2026;31.12.2026 14:30:00+00:00;"ä;"\r\n'
    assert file.read_bytes() == text.encode()


def test_typed_values_read_back_from_either_style(file: Path):
    for style in ("plain", "german"):
        moment = datetime(1026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        rows: list[list[sheets.Cell]] = [[Decimal("1234.5"), Decimal("0.100"), True, date(26, 1, 2), moment]]
        write(file, CsvWriter(style=style), ["a", "b", "c", "d", "e"], rows)
        layout = sheets.detect(file)
        cells = [str(cell) for cell in next(iter(sheets.records(file, layout))).cells]
        assert [sheets.number(cell, layout) for cell in cells[:2]] == rows[0][:2]
        assert (sheets.truth(cells[2]), sheets.day(cells[3], layout), sheets.moment(cells[4], layout)) == (
            True, date(26, 1, 2), moment)  # fmt: skip


@pytest.mark.parametrize("sign", DANGEROUS)
@pytest.mark.parametrize("before", ["", " ", "  ", "\u00a0", '"', "'", "''", " \"' ", "\u200b", "\ufeff", "\v"])
@pytest.mark.parametrize("style", ["plain", "german"])
def test_no_text_can_become_a_formula(file: Path, sign: str, before: str, style: str):
    text = f"{before}{sign}a+1"
    row = [text] * 12
    columns = [f"{text}{n}" for n in range(12)]
    write(file, CsvWriter(style=style), columns, [row])
    separator = ";" if style == "german" else ","
    with file.open(encoding="utf-8", newline="") as lines:
        written = list(csv.reader(lines, delimiter=separator))
    assert written == [["'" + column for column in columns], ["'" + text] * 12]
    assert read(file, separator=separator) == [row]
    assert sheets.detect(file, separator=separator).header == tuple(column.strip() for column in columns)


def test_numbers_and_harmless_text_are_not_touched(file: Path):
    write(file, CsvWriter(), ["a", "b", "c", "d", "e"], [[-5, Decimal("-1.5"), "a=b", "'s", "'n' = 1"]])
    assert file.read_bytes().splitlines()[1] == b"-5,-1.5,a=b,'s,'n' = 1"
    assert read(put(file, "phone\n'+49 30 1234\n'0123\n'")) == [["+49 30 1234"], ["'0123"], ["'"]]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
TRICKY = st.text(st.sampled_from("='\"+-@|%\t\r\n ,;＝a_x0D5F\ufeff\u00a0"), max_size=12)


@pytest.mark.parametrize(
    "writer",
    [CsvWriter, lambda: CsvWriter(style="german"), lambda: CsvWriter(bom=True), XlsxWriter],
    ids=["plain", "german", "bom", "xlsx"],
)
@given(
    rows=st.lists(st.lists(TEXT | TRICKY, min_size=3, max_size=3), min_size=1, max_size=5),
    first=st.sampled_from(["a", "sep=;"]),
)
@example(rows=[["sep=;", "_x000D_", "''=1"], ["\r", "_x005F\r", " \t"]], first="a")
@budget(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_text_reads_back_as_it_was_written(file: Path, writer: Writers, rows: list[list[str]], first: str):
    rows = [["id", *row] for row in rows]
    made = writer()
    write(file, made, ["key", first, "b", "c"], rows)
    given = {} if isinstance(made, XlsxWriter) else {"separator": ";" if b";" in file.read_bytes()[:6] else ","}
    assert read(file, **given) == [[cell or None for cell in row] for row in rows]


@pytest.mark.parametrize("writer", [CsvWriter, lambda: CsvWriter(style="german")], ids=["plain", "german"])
@given(
    texts=st.lists((TEXT | TRICKY).filter(bool), min_size=1, max_size=5),
    column=st.sampled_from(["a", "sep=;", "SEP=,"]),
)
@budget(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_single_column_of_any_text_reads_back(file: Path, writer: Writers, texts: list[str], column: str):
    made = writer()
    write(file, made, [column], [[text] for text in texts])
    separator = ";" if writer is not CsvWriter else ","
    assert sheets.detect(file, separator=separator).header == (column,)
    assert read(file, separator=separator) == [[text] for text in texts]


@pytest.mark.parametrize("writer", [CsvWriter, XlsxWriter])
def test_an_abandoned_export_leaves_nothing_behind(writer: Writers):
    made = writer()
    assert made.head(["a"])
    made.rows([["x"]] * 1000)
    circle: list[Any] = [made]
    circle.append(circle)
    del made, circle
    gc.collect()  # would warn of an archive that was not closed
