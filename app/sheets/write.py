"""Writes tables as CSV and as XLSX: bytes by pieces, with no more in memory than the rows at hand.

The sheet's XML is written here: the libraries that do it reach less than the 20,000 rows a second that an export is
held to, and give nothing away before the last row.
"""

import csv
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from io import StringIO
from typing import Any, Protocol

from app.sheets.formulas import SUSPECT, disarmed
from app.sheets.table import MAX_CELL, Cell, letters

Rows = Iterable[Sequence[Cell]]
MAX_SHEET_ROWS = 1_048_576


class Writer(Protocol):
    """A file in the making: its head, then rows as often as there are some, then its end."""

    media_type: str

    def head(self, columns: Sequence[str]) -> bytes: ...

    def rows(self, batch: Rows) -> bytes: ...

    def end(self) -> bytes: ...


# --- CSV ---


class CsvWriter:
    """CSV after RFC 4180 in UTF-8. `german` is what German spreadsheets expect: semicolons, 12,5 and 31.12.2026."""

    media_type = "text/csv; charset=utf-8"

    def __init__(self, *, style: str = "plain", separator: str | None = None, bom: bool = False) -> None:
        german = style == "german"
        self._bom = bom
        self._buffer = StringIO()
        self._separator = separator or (";" if german else ",")
        self._csv = csv.writer(self._buffer, delimiter=self._separator)
        self._texts: Mapping[type, Callable[[Any], str]] = _GERMAN if german else _PLAIN

    def head(self, columns: Sequence[str]) -> bytes:
        if len(columns) == 1:  # nothing stands between cells, so a reader cannot tell what would
            self._csv = csv.writer(self._buffer, delimiter=self._separator, quoting=csv.QUOTE_ALL)
        # A first line sep=; unquoted would name the separator instead of the column.
        quoting = csv.QUOTE_ALL if columns[0].lower().startswith("sep=") else csv.QUOTE_MINIMAL
        csv.writer(self._buffer, delimiter=self._separator, quoting=quoting).writerow([disarmed(c) for c in columns])
        return (b"\xef\xbb\xbf" if self._bom else b"") + self._taken()

    def rows(self, batch: Rows) -> bytes:
        typed = self._text
        self._csv.writerows(
            [v if v is None or (type(v) is str and v[:1] not in SUSPECT) else typed(v) for v in row] for row in batch
        )
        return self._taken()

    def end(self) -> bytes:
        return b""

    def _text(self, value: Any) -> str:
        write = self._texts.get(value.__class__)
        return write(value) if write else disarmed(str(value))

    def _taken(self) -> bytes:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode("utf-8")


_DOUBTFUL = re.compile(r"-?[1-9][0-9]{0,2}\.[0-9]{3}")


def _decimal(value: Decimal) -> str:
    """With one more zero where the point could be taken for one between thousands: 1.2340 is not 1234."""
    text = f"{value:f}"
    return f"{text}0" if text[-4:-3] == "." and _DOUBTFUL.fullmatch(text) else text


def _moment_text(value: datetime) -> str:
    """ISO 8601, as JSON has it: to the millisecond if it has no more, Z for UTC."""
    text = value.isoformat() if value.microsecond % 1000 else value.isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z" if value.tzinfo is UTC else text


def _german_moment(value: datetime) -> str:
    return f"{value:%d.%m.}{value.year:04} {value.timetz().isoformat()}"


_PLAIN: Mapping[type, Callable[[Any], str]] = {
    int: str,
    Decimal: _decimal,
    bool: lambda v: "true" if v else "false",
    date: date.isoformat,
    datetime: _moment_text,
}
_GERMAN: Mapping[type, Callable[[Any], str]] = {
    int: str,
    Decimal: lambda v: _decimal(v).replace(".", ","),
    bool: lambda v: "wahr" if v else "falsch",
    date: lambda v: f"{v:%d.%m.}{v.year:04}",
    datetime: _german_moment,
}

# --- XLSX ---

_NS = "http://schemas.openxmlformats.org"
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = f"{_NS}/spreadsheetml/2006/main"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_NS}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_NS}/package/2006/relationships"><Relationship Id="rId1" '
    f'Type="{_NS}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_NS}/package/2006/relationships"><Relationship Id="rId1" '
    f'Type="{_NS}/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" '
    f'Type="{_NS}/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_NS}/officeDocument/2006/relationships">'
    '<sheets><sheet name="{sheet}" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><numFmts count="2">'
    '<numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>'
    '<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>'
    '<fonts count="1"><font><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill>'
    '</fills><borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}  # fmt: skip
_SHEET = "xl/worksheets/sheet1.xml"
_TOP = (
    f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" '
    'activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>'
)
_BOTTOM = "</sheetData></worksheet>"
_UNSAFE = re.compile("[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4})")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_DIGITS = 15
"""Significant digits that a spreadsheet keeps of a number; longer ones stay exact as text."""


class _Sink:
    """What the archive has written since it was last asked."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _Archive(zipfile.ZipFile):
    def __del__(self) -> None:
        """Not closed: nobody waits for the end of an export that was broken off."""


class XlsxWriter:
    """A workbook of one sheet with a frozen header. All text is text: no formula can arise.

    Moments are in UTC, and as text where a spreadsheet would round them. Call in a thread: packing takes its time.
    """

    media_type = f"{_TYPE}.sheet"

    def __init__(self, *, sheet: str = "Sheet1") -> None:
        self._name = sheet
        self._sink = _Sink()
        self._zip = _Archive(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._letters: list[str] = []
        self._row = 0

    def head(self, columns: Sequence[str]) -> bytes:
        for name, text in _PARTS.items():
            self._zip.writestr(name, _XML + text.replace("{sheet}", _escaped(self._name).replace('"', "&quot;")))
        self._sheet = self._zip.open(_SHEET, "w")
        self._sheet.write(_TOP.encode("utf-8"))
        self._letters = [letters(index) for index in range(len(columns))]
        return self.rows([columns])

    def rows(self, batch: Rows) -> bytes:
        parts: list[str] = []
        number = self._row
        for row in batch:
            number += 1
            parts.append(f'<row r="{number}">')
            for letter, value in zip(self._letters, row, strict=True):
                if type(value) is str:
                    if value:
                        text = _escaped(value) if _UNSAFE.search(value) or len(value) > _HALF else value
                        parts.append(
                            f'<c r="{letter}{number}" t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
                        )
                elif value is not None:
                    parts.append(f'<c r="{letter}{number}"{_typed(value)}</c>')
            parts.append("</row>")
        if number > MAX_SHEET_ROWS:
            raise ValueError(f"a sheet has at most {MAX_SHEET_ROWS} rows")
        self._row = number
        self._sheet.write("".join(parts).encode("utf-8"))
        return self._sink.taken()

    def end(self) -> bytes:
        self._sheet.write(_BOTTOM.encode("utf-8"))
        self._sheet.close()
        self._zip.close()
        return self._sink.taken()


_HALF = MAX_CELL // 2


def _escaped(text: str) -> str:
    """Text for XML; characters that XML has not, as ECMA-376 22.4.2.4 writes them, and text that looks like that."""
    if len(text) > _HALF and len(text.encode("utf-16-le")) > MAX_CELL * 2:
        raise ValueError(f"a cell has at most {MAX_CELL} characters")
    return _UNSAFE.sub(lambda m: _ENTITIES.get(m[0]) or f"_x{ord(m[0]):04X}_", text)


def _inline(text: str) -> str:
    return f' t="inlineStr"><is><t xml:space="preserve">{_escaped(text)}</t></is>'


def _typed(value: Any) -> str:
    write = _CELLS.get(value.__class__)
    return write(value) if write else _inline(str(value))


def _number(value: Decimal) -> str:
    text = f"{value:f}"
    exact = len(text) <= _DIGITS or len(value.normalize().as_tuple().digits) <= _DIGITS
    return f"><v>{text}</v>" if exact and value.is_finite() else _inline(text)


def _integer(value: int) -> str:
    return f"><v>{value}</v>" if -(10**_DIGITS) < value < 10**_DIGITS else _inline(str(value))


_FIRST_DAY = date(1899, 12, 30).toordinal()
_SOUND = date(1900, 3, 1)
"""Before it spreadsheets do not agree about days."""


@lru_cache(10_000)
def _day(value: date) -> str:
    return f' s="1"><v>{value.toordinal() - _FIRST_DAY}</v>' if value >= _SOUND else _inline(value.isoformat())


def _moment(value: datetime) -> str:
    if value.tzinfo:
        value = value.astimezone(UTC).replace(tzinfo=None)
    if value.microsecond % 1000 or value.date() < _SOUND:
        return _inline(value.isoformat())
    seconds = value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1_000_000
    return f' s="2"><v>{value.toordinal() - _FIRST_DAY + seconds / 86_400!r}</v>'


_CELLS: Mapping[type, Callable[[Any], str]] = {
    int: _integer,
    Decimal: _number,
    bool: lambda v: f' t="b"><v>{int(v)}</v>',
    date: _day,
    datetime: _moment,
}
