"""XLSX files: the cells of one sheet, row by row.

No formula is evaluated. A cell that holds one is read by the value that the spreadsheet program calculated and its
user saw; if none was ever calculated, the row has a flaw.
"""

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path

from app.sheets.packages import Package, parser
from app.sheets.table import (
    MAX_CELL,
    MAX_COLUMNS,
    MAX_ROWS,
    Cell,
    Flaw,
    Layout,
    Record,
    Unreadable,
    flaw,
    header,
    letters,
)
from app.sheets.values import styles
from app.sheets.workbooks import Collector, Strings, Workbook, local, moment

LAST_ROW = 1_048_576
STYLED = 1001
_COLUMNS = {letters(index): index for index in range(MAX_COLUMNS)}
_REFERENCE = re.compile(r"([A-Z]{1,3})[0-9]{1,7}")
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?")
_SCIENTIFIC = re.compile(r"[-+]?[0-9]*\.?[0-9]*(?:[eE][-+]?[0-9]{1,4})?")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_ISO_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{1,20})?Z?")
_SHOWN = 15
"""Significant digits that Excel keeps and shows."""


def detect(path: Path, sheet: str | None, decimal: str | None, dates: str | None) -> Layout:
    """The layout of a workbook; what is given is believed.

    Raises:
        Unreadable: it is none, or has no such sheet.
    """
    with closing(_raw(path, sheet)) as rows:
        found, row, first = next(rows, ("", 0, dict[int, Cell | Flaw]()))
        if not row:
            raise Unreadable("empty_file")
        names = header(row, [first.get(index) for index in range(max(first) + 1)])
        second = next(rows, None)
        if second is None:
            raise Unreadable("no_rows")
        sample = ([cells.get(i) for i in range(len(names))] for _, _, cells in chain([second], islice(rows, STYLED)))
        style = styles(([None if isinstance(c, Flaw) else c for c in cells] for cells in sample), ".")
    return Layout("xlsx", names, decimal or style[0], dates or style[1], sheet=found)


def records(path: Path, layout: Layout, start: int) -> Iterator[Record]:
    """The records behind the header and behind row `start`."""
    names = layout.header
    columns = range(len(names))
    with closing(_raw(path, layout.sheet)) as rows:
        _, top, _ = next(rows, ("", 0, dict[int, Cell | Flaw]()))
        for _, row, cells in rows:
            if row - top > MAX_ROWS:
                raise Unreadable("too_many_rows")
            if row > start:
                found = [cells.get(index) for index in columns]
                flaws = [
                    Flaw(name, *cell[1:]) for name, cell in zip(names, found, strict=True) if isinstance(cell, Flaw)
                ]
                if max(cells) >= len(names):
                    flaws.append(flaw("too_many_cells"))
                yield Record(row, [] if flaws else [c for c in found if not isinstance(c, Flaw)], flaws)


def _raw(path: Path, name: str | None) -> Generator[tuple[str, int, dict[int, Cell | Flaw]]]:
    """Every row that is not empty: the sheet's name, the row's number, its filled cells by column."""
    with Package(path) as package:
        workbook = Workbook(package)
        sheet = workbook.sheet(name)
        with closing(workbook.strings()) as strings:
            rows = _Rows(strings, workbook.kinds(), workbook.since_1904)
            for _ in package.parsing(sheet.part, rows.reader):
                done, rows.done = rows.done, []
                for number, cells in done:
                    yield sheet.name, number, cells


class _Rows:
    """Turns the XML of a sheet into rows of typed cells."""

    def __init__(self, strings: Strings, kinds: list[str | None], since_1904: bool) -> None:
        self.done: list[tuple[int, dict[int, Cell | Flaw]]] = []
        self.row = 0
        self.cells: dict[int, Cell | Flaw] = {}
        self.column = -1
        self.known: dict[str, str] = {}
        self.strings = strings
        self.kinds = kinds
        self.since_1904 = since_1904
        self.collector = Collector()
        self.take = self.collector.take
        self.inside = self.formula = False
        self.type: str | None = None
        self.style: str | None = None
        self.reader = parser(self.start, self.end)
        self.collector.attach(self.reader)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        kind = self.known.get(name) or self.learn(name)
        if kind == "v":
            self.reader.CharacterDataHandler = self.take
        elif kind == "c":
            self.open(attributes)
        elif kind == "row":
            row = attributes.get("r")
            number = self.row + 1 if row is None else int(row)
            if not self.row < number <= LAST_ROW:
                raise Unreadable("damaged_workbook")
            self.row, self.column, self.cells = number, -1, {}
        elif kind == "f":
            self.formula = True
        elif self.inside:
            self.collector.start(kind)

    def learn(self, name: str) -> str:
        if len(self.known) > 1000:
            raise Unreadable("damaged_workbook")
        return self.known.setdefault(name, local(name))

    def open(self, attributes: dict[str, str]) -> None:
        reference = attributes.get("r")
        if reference is None:
            self.column = min(self.column + 1, MAX_COLUMNS)
        else:
            column = _COLUMNS.get(reference.rstrip("0123456789"))
            if column is None:  # one column beyond the limit stands for all of them
                if not _REFERENCE.fullmatch(reference):
                    raise Unreadable("damaged_workbook")
                column = MAX_COLUMNS
            self.column = column
        self.type = attributes.get("t")
        self.style = attributes.get("s")
        self.inside, self.formula = True, False
        self.collector.parts = []
        self.collector.size = 0

    def end(self, name: str) -> None:
        kind = self.known[name]
        if kind == "v":
            self.reader.CharacterDataHandler = None
        elif kind == "c":
            value = self.value()
            if value is not None and value != "":
                self.cells[self.column] = value
            self.inside = False
        elif kind == "row":
            if self.cells:
                self.done.append((self.row, self.cells))
                self.cells = {}
        elif self.inside:
            self.collector.end(kind)

    def value(self) -> Cell | Flaw:
        text = self.collector.joined()
        kind = self.type
        if not text:
            return flaw("formula_without_value") if self.formula and kind != "str" else None
        if kind is None or kind == "n":
            return self.number(text)
        if kind == "b":
            return text == "1" or text == "true"
        if kind == "e":
            return flaw("error_value")
        if kind == "d":
            return _iso(text)
        if kind == "s":
            text = self.strings[int(text)]
        if len(text) > MAX_CELL:
            return flaw("cell_too_long")
        return _ESCAPED.sub(_unescaped, text) if "_x" in text else text

    def number(self, text: str) -> Cell | Flaw:
        kind = self.kinds[int(self.style)] if self.style and self.kinds else None
        if kind is None:
            return _decimal(text)
        found = _decimal(text)
        return found if isinstance(found, Flaw) else moment(float(text), kind, self.since_1904)


def _decimal(text: str) -> Decimal | Flaw:
    """The number as Excel shows it: what its binary form adds behind 15 significant digits is none of the user's."""
    if len(text) <= _SHOWN and _NUMBER.fullmatch(text):
        return Decimal(text)
    if not _SCIENTIFIC.fullmatch(text) or len(text) > 400:
        return flaw("invalid_number")
    try:
        shown = f"{float(text):.{_SHOWN}g}"
    except ValueError:
        return flaw("invalid_number")
    return flaw("invalid_number") if shown.endswith("inf") else Decimal(f"{Decimal(shown):f}")


def _iso(text: str) -> Cell | Flaw:
    if not _ISO_TIME.fullmatch(text):
        return flaw("invalid_date")
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        return flaw("invalid_date")


def _unescaped(found: re.Match[str]) -> str:
    """The character that XML cannot hold (ECMA-376, 22.4.2.4); NUL and halves of pairs stay as written."""
    code = int(found[1], 16)
    return found[0] if code == 0 or 0xD800 <= code < 0xE000 else chr(code)
