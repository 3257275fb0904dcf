"""Reads and writes tables of cells as CSV and XLSX files. It knows nothing of what the cells mean.

Reading takes constant memory however large the file is, and blocks: call it in a thread, some records at a time.
"""

from collections.abc import Iterator
from pathlib import Path

from app.sheets import csvs, packages, xlsx
from app.sheets.table import Cell, Flaw, Layout, Record, Unreadable
from app.sheets.values import day, moment, money, number, truth
from app.sheets.write import CsvWriter, Writer, XlsxWriter


def detect(
    path: Path,
    *,
    format: str | None = None,
    encoding: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    dates: str | None = None,
    sheet: str | None = None,
) -> Layout:
    """How the file is to be read; what is given is not guessed at.

    Raises:
        Unreadable: it is no table.
    """
    if path.stat().st_size == 0:
        raise Unreadable("empty_file")
    if format not in (None, "csv", "xlsx"):
        raise Unreadable("unknown_format")
    if separator not in (None, *csvs.SEPARATORS):
        raise Unreadable("unknown_separator")
    if decimal not in (None, ".", ",") or dates not in (None, "iso", "german", "us"):
        raise Unreadable("unknown_style")
    if packages.is_old(path):
        raise Unreadable("old_or_protected_workbook")
    zipped = packages.is_zip(path)
    if format == "xlsx" and not zipped:
        raise Unreadable("not_a_workbook")
    if format == "xlsx" or (format is None and zipped):
        return xlsx.detect(path, sheet, decimal, dates)
    if zipped:
        raise Unreadable("not_text")
    return csvs.detect(path, encoding, separator, decimal, dates)


def records(path: Path, layout: Layout, *, start: int = 0) -> Iterator[Record]:
    """The records of the file in its order; a resumed job gives the row that it did last as `start`.

    Empty rows are passed over, though they count. A row that cannot be used comes with flaws instead of cells.

    Raises:
        Unreadable: the file turns out not to be readable, or longer than is allowed.
    """
    if layout.format == "xlsx":
        return xlsx.records(path, layout, start)
    return csvs.records(path, layout, start)


__all__ = ["Cell", "CsvWriter", "Flaw", "Layout", "Record", "Unreadable", "Writer", "XlsxWriter", "day", "detect",
           "moment", "money", "number", "records", "truth"]  # fmt: skip
