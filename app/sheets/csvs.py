"""CSV files (RFC 4180, and what Excel makes of it): how they are written, and their records."""

import codecs
import csv
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TextIO

from app.sheets.formulas import rearmed
from app.sheets.table import MAX_CELL, MAX_RECORD, MAX_ROWS, Cell, Layout, Record, Unreadable, flaw, header
from app.sheets.values import styles

ENCODINGS = ("utf-8", "utf-8-sig", "cp1252")
SEPARATORS = (",", ";", "\t")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHUNK = 1 << 20
_TRIED = 101
"""Records by which separators are judged."""
STYLED = 1001
"""Records by which numbers and dates are judged."""


def detect(path: Path, encoding: str | None, separator: str | None, decimal: str | None, dates: str | None) -> Layout:
    """The layout of a CSV file; what is given is believed.

    Raises:
        Unreadable: it has none, or is not what was given.
    """
    encoding = _encoding(path, encoding)
    separator = separator or _declared(path, encoding) or _separator(path, encoding)
    with closing(_raw(path, encoding, separator)) as rows:
        row, first = next(rows, (0, list[str]()))
        if not row:
            raise Unreadable("empty_file")
        names = header(row, [rearmed(name) for name in first])
        bounded = _bounded((cells for _, cells in rows), MAX_RECORD * 4)
        sample = list(islice(bounded, 1))
        if not sample:
            raise Unreadable("no_rows")
        found = styles(
            (s for part in (sample, islice(bounded, STYLED)) for s in part), "," if separator == ";" else "."
        )
    return Layout("csv", names, decimal or found[0], dates or found[1], encoding, separator)


def records(path: Path, layout: Layout, start: int) -> Iterator[Record]:
    """The records behind the header and behind row `start`."""
    names = layout.header
    with closing(_raw(path, layout.encoding or "utf-8", layout.separator or ",")) as rows:
        top, _ = next(rows, (0, list[str]()))
        for row, texts in rows:
            if row - top > MAX_ROWS:
                raise Unreadable("too_many_rows")
            if row > start:
                yield _record(row, texts, names)


def _record(row: int, texts: list[str], names: Sequence[str]) -> Record:
    missing = len(names) - len(texts)
    if missing < 0:
        if any(texts[missing:]):
            return Record(row, [], [flaw("too_many_cells")])
        del texts[missing:]
    if len("".join(texts)) > MAX_CELL:
        flaws = [flaw("cell_too_long", name) for name, text in zip(names, texts, strict=False) if len(text) > MAX_CELL]
        if flaws:
            return Record(row, [], flaws)
    cells: list[Cell] = [(rearmed(text) if text[0] == "'" else text) if text else None for text in texts]
    if missing > 0:
        cells += [None] * missing
    return Record(row, cells)


class _Lines:
    """The lines of a file, as long as those of one record are not longer than a record may be."""

    def __init__(self, file: TextIO) -> None:
        self.readline = file.readline
        self.left = MAX_RECORD

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.readline(self.left + 1)
        self.left -= len(line)
        if self.left < 0:
            raise OverflowError
        if line:
            return line
        raise StopIteration


def _raw(path: Path, encoding: str, separator: str) -> Generator[tuple[int, list[str]]]:
    """Every record that is not empty, with its number: the row in which a spreadsheet shows it."""
    row = 0
    with path.open(encoding=encoding, newline="") as file:
        if _SEP.fullmatch(file.readline(_SEP_LENGTH)) is None:
            file.seek(0)
        lines = _Lines(file)
        try:
            for row, cells in enumerate(csv.reader(lines, delimiter=separator, strict=True), 1):
                lines.left = MAX_RECORD
                if any(cells):
                    yield row, cells
        except csv.Error:
            raise Unreadable("broken_quotes", row=row + 1) from None
        except OverflowError:
            raise Unreadable("record_too_long", row=row + 1) from None
        except UnicodeDecodeError:
            raise Unreadable("wrong_encoding", encoding=encoding) from None


def _encoding(path: Path, asked: str | None) -> str:
    with path.open("rb") as file:
        first = file.read(4)
        if first[:2] in _UTF_16:
            raise Unreadable("utf_16")
        file.seek(0)
        if any(b"\0" in chunk for chunk in iter(lambda: file.read(_CHUNK), b"")):
            raise Unreadable("not_text")
    marked = first.startswith(codecs.BOM_UTF8)
    if asked not in (None, *ENCODINGS) or (asked and not _decodes(path, asked)):
        raise Unreadable("wrong_encoding", encoding=asked)
    if asked:
        return "utf-8-sig" if marked and asked == "utf-8" else asked
    for encoding in ("utf-8-sig" if marked else "utf-8", "cp1252"):
        if _decodes(path, encoding):
            return encoding
    raise Unreadable("unknown_encoding")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        try:
            for chunk in iter(lambda: file.read(_CHUNK), b""):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


_SEP = re.compile(r"sep=(.)(?:\r\n|\r|\n)?", re.IGNORECASE)
_SEP_LENGTH = len("sep=;\r\n")


def _declared(path: Path, encoding: str) -> str | None:
    """The separator that Excel's first line `sep=;` names."""
    with path.open(encoding=encoding, newline="") as file:
        found = _SEP.fullmatch(file.readline(_SEP_LENGTH))
    if found and found[1] not in SEPARATORS:
        raise Unreadable("unknown_separator")
    return found[1] if found else None


def _separator(path: Path, encoding: str) -> str:
    """The one that makes the most even table of more than one column; comma where none does."""
    fits = [(*_fit(path, encoding, separator), separator) for separator in SEPARATORS]
    best = max(fits, key=lambda fit: fit[:3])
    return best[3] if best[0] else SEPARATORS[0]


def _fit(path: Path, encoding: str, separator: str) -> tuple[float, bool, int]:
    """How many records have as many cells as the header, whether its names begin without a space, and how many."""
    sample: list[list[str]] = []
    broken = 1.0
    with closing(_raw(path, encoding, separator)) as rows:
        try:
            sample.extend(_bounded((cells for _, cells in islice(rows, _TRIED)), MAX_RECORD))
        except Unreadable:
            broken = 0.5
    width = len(sample[0]) if sample else 0
    if width < 2:
        return 0, False, 0
    even = broken * sum(_is_even(cells, width) for cells in sample) / len(sample)
    return even, not any(name.startswith(" ") for name in sample[0]), width


def _is_even(cells: list[str], width: int) -> bool:
    """Empty cells too many are forgiven."""
    return len(cells) == width or (len(cells) > width and not any(cells[width:]))


def _bounded(rows: Iterable[list[str]], left: int) -> Iterator[list[str]]:
    """The first rows, until so many characters were seen."""
    for row in rows:
        yield row
        left -= sum(map(len, row)) + len(row)
        if left < 0:
            return
