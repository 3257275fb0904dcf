"""What a file of cells is to the rest of the application: its layout, its records, and why it cannot be read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, Self

MAX_COLUMNS = 200
MAX_ROWS = 1_000_000
MAX_CELL = 32_767
"""Characters of one cell: what Excel holds."""
MAX_RECORD = 1_000_000
"""Characters of one CSV record."""

Cell = str | int | Decimal | bool | date | datetime | None


@dataclass(frozen=True)
class Layout:
    """How a file is to be read. Detected, shown to the user, changed by him, and kept with the job."""

    format: str
    """`csv` or `xlsx`."""
    header: tuple[str, ...]
    decimal: str = "."
    dates: str = "iso"
    """`iso`, `german` (31.12.2026) or `us` (12/31/2026)."""
    encoding: str | None = None
    separator: str | None = None
    sheet: str | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The layout that was stored as JSON, where a tuple is a list."""
        known: dict[str, Any] = {**stored, "header": tuple(stored["header"])}
        return cls(**known)


class Flaw(NamedTuple):
    """Why a row cannot be used: in which column, when it is one of the header's, and a stable code."""

    column: str | None
    code: str
    en: str
    de: str


@dataclass(slots=True)
class Record:
    """One row: its number as a spreadsheet shows it, and a cell for each column of the header, or its flaws."""

    row: int
    cells: list[Cell]
    flaws: Sequence[Flaw] = ()


REFUSALS: Mapping[str, tuple[str, str]] = {
    "empty_file": ("The file is empty.", "Die Datei ist leer."),
    "no_rows": ("The file has a header and no rows.", "Die Datei hat eine Kopfzeile, aber keine Zeilen."),
    "no_header": (
        "Row {row} holds values where the names of the columns belong.",
        "Zeile {row} enthält Werte, wo die Namen der Spalten stehen müssen.",
    ),
    "empty_column_name": ("Column {column} has no name.", "Spalte {column} hat keinen Namen."),
    "duplicate_column": ("Two columns are named “{name}”.", "Zwei Spalten heißen „{name}“."),
    "too_many_columns": (f"At most {MAX_COLUMNS} columns.", f"Höchstens {MAX_COLUMNS} Spalten."),
    "too_many_rows": (f"At most {MAX_ROWS:,} rows.", "Höchstens 1.000.000 Zeilen."),
    "record_too_long": (
        "Row {row} is far too long; perhaps a quotation mark is not closed.",
        "Zeile {row} ist viel zu lang; vielleicht ist ein Anführungszeichen nicht geschlossen.",
    ),
    "broken_quotes": (
        "Row {row}: a quotation mark is not closed, or text follows one.",
        "Zeile {row}: Ein Anführungszeichen ist nicht geschlossen, oder danach steht noch Text.",
    ),
    "not_text": ("This is no text file.", "Dies ist keine Textdatei."),
    "utf_16": (
        "The file is in UTF-16; save it as “CSV UTF-8”.",
        "Die Datei ist in UTF-16; speichern Sie sie als „CSV UTF-8“.",
    ),
    "unknown_encoding": (
        "The file is neither in UTF-8 nor in Windows-1252.",
        "Die Datei ist weder in UTF-8 noch in Windows-1252.",
    ),
    "wrong_encoding": ("The file is not in {encoding}.", "Die Datei ist nicht in {encoding}."),
    "unknown_format": ("CSV or XLSX.", "CSV oder XLSX."),
    "unknown_separator": (
        "Columns are separated by comma, semicolon or tab.",
        "Spalten werden durch Komma, Semikolon oder Tabulator getrennt.",
    ),
    "unknown_style": (
        "The decimal sign is a point or a comma; dates are iso, german or us.",
        "Das Dezimalzeichen ist Punkt oder Komma; Daten sind iso, german oder us.",
    ),
    "old_or_protected_workbook": (
        "The workbook is protected by a password or in the old format .xls; save it as .xlsx without one.",
        "Die Mappe ist mit einem Kennwort geschützt oder im alten Format .xls; speichern Sie sie ohne als .xlsx.",
    ),
    "not_a_workbook": ("This is no XLSX workbook.", "Dies ist keine XLSX-Mappe."),
    "damaged_workbook": ("The workbook is damaged.", "Die Mappe ist beschädigt."),
    "unpacks_too_large": ("The workbook is too large when unpacked.", "Die Mappe ist ausgepackt zu groß."),
    "no_such_sheet": ("There is no such sheet; there are: {names}.", "Dieses Blatt gibt es nicht; es gibt: {names}."),
    "no_visible_sheet": ("No sheet of the workbook is visible.", "Kein Blatt der Mappe ist sichtbar."),
}

FLAWS: Mapping[str, tuple[str, str]] = {
    "too_many_cells": ("More cells than columns.", "Mehr Zellen als Spalten."),
    "cell_too_long": (f"At most {MAX_CELL:,} characters.", "Höchstens 32.767 Zeichen."),
    "formula_without_value": (
        "A formula that was never calculated; open and save the file in a spreadsheet program.",
        "Eine nie berechnete Formel; öffnen und speichern Sie die Datei in einer Tabellenkalkulation.",
    ),
    "error_value": ("The cell shows an error.", "Die Zelle zeigt einen Fehler."),
    "invalid_number": ("Not a number.", "Keine Zahl."),
    "invalid_date": ("Not a date.", "Kein Datum."),
}


class Unreadable(Exception):
    """The file as a whole cannot be read. `code` is stable; `en` and `de` say it to people."""

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        said = {key: str(value)[:200] for key, value in values.items()}
        self.en, self.de = (text.format(**said) for text in REFUSALS[code])


def flaw(code: str, column: str | None = None) -> Flaw:
    return Flaw(column, code, *FLAWS[code])


def letters(index: int) -> str:
    """The name that spreadsheets give a column: A, B, … Z, AA."""
    name = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        name = chr(65 + rest) + name
    return name


def header(row: int, cells: Sequence[Cell | Flaw]) -> tuple[str, ...]:
    """The names of the columns, without the empty ones at the end.

    Raises:
        Unreadable: they are no names, one is missing or stands twice, or there are too many.
    """
    names = [_name(row, cell) for cell in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise Unreadable("too_many_columns")
    if not names or all(isinstance(cell, date | Decimal) or _is_value(cell) for cell in cells if cell):
        raise Unreadable("no_header", row=row)
    seen: set[str] = set()
    for index, name in enumerate(names):
        if not name:
            raise Unreadable("empty_column_name", column=letters(index))
        if name.casefold() in seen:
            raise Unreadable("duplicate_column", name=name)
        seen.add(name.casefold())
    return tuple(names)


def _name(row: int, cell: Cell | Flaw) -> str:
    if isinstance(cell, Flaw | date):
        raise Unreadable("no_header", row=row)
    name = "" if cell is None else f"{cell:f}" if isinstance(cell, Decimal) else str(cell).strip()
    if len(name) > MAX_CELL:
        raise Unreadable("no_header", row=row)
    return name


def _is_value(cell: Cell | Flaw) -> bool:
    """Whether a text is plainly a number or a date: nobody names all columns so."""
    return isinstance(cell, str) and cell.strip() != "" and not cell.strip(" 0123456789.,-/:+€")
