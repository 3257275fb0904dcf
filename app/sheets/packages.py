"""The parts of an XLSX file, read by pieces from a ZIP archive that nobody vouches for.

Python's `zipfile` never gives more of a part than the archive declares; what is declared is limited before, and what
arrives is counted besides. DOCTYPE is refused: without one XML has no entities, so none can multiply or fetch.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Self
from xml.parsers import expat

from app.sheets.table import Unreadable

MAX_UNPACKED = 2 << 30
FREE = 64 << 20
"""Unpacked bytes up to which it does not matter how well they were packed."""
MAX_RATIO = 200
MAX_DIRECTORY = 512 << 10
"""Bytes of the archive's table of contents."""
MAX_TAG = 1 << 20
"""Bytes of one XML tag or comment."""
_CHUNK = 1 << 16
_OLE = bytes.fromhex("D0CF11E0A1B11AE1")
_BROKEN = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, ValueError,
           IndexError, KeyError, RuntimeError, expat.ExpatError)  # fmt: skip

Start = Callable[[str, dict[str, str]], None]
End = Callable[[str], None]


def is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def is_old(path: Path) -> bool:
    """Whether it is an OLE file: a workbook as Excel wrote it until 2003, or one encrypted with a password."""
    with path.open("rb") as file:
        return file.read(8) == _OLE


@contextmanager
def mended() -> Generator[None]:
    """Whatever a broken archive or broken XML raises is one refusal."""
    try:
        yield
    except _BROKEN:
        raise Unreadable("damaged_workbook") from None


class _Careful(FileIO):
    """A file that is never read by more than a little: the archive's own figures do not decide about our memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = MAX_DIRECTORY + 1 if size is None or size < 0 else size
        if wanted > MAX_DIRECTORY + 1:
            raise Unreadable("damaged_workbook")
        return super().read(wanted)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError:  # before the beginning
            raise Unreadable("damaged_workbook") from None


class Package:
    """An open archive. Close it."""

    def __init__(self, path: Path) -> None:
        self._file = _Careful(path)
        try:
            with mended():
                self._zip = zipfile.ZipFile(self._file)
            self._check(path.stat().st_size)
        except BaseException:
            self._file.close()
            raise
        self._left = MAX_UNPACKED

    def _check(self, size: int) -> None:
        parts = self._zip.infolist()
        if any(part.flag_bits & 1 for part in parts):
            raise Unreadable("old_or_protected_workbook")
        # bzip2 and LZMA are not part of the format, and unpack without measure.
        if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
            raise Unreadable("damaged_workbook")
        unpacked = sum(part.file_size for part in parts)
        if unpacked > MAX_UNPACKED or (unpacked > FREE and unpacked > size * MAX_RATIO):
            raise Unreadable("unpacks_too_large")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def __contains__(self, part: str) -> bool:
        return part in self._zip.NameToInfo

    def parse(self, part: str, start: Start, end: End | None = None) -> None:
        """Read a part that is known to be short enough to be read in one go."""
        for _ in self.parsing(part, parser(start, end)):
            pass

    def parsing(self, part: str, reader: expat.XMLParserType) -> Generator[None]:
        """Feed a part to a parser, piece by piece; between pieces the caller takes what has been read."""
        fed = 0
        with mended():
            source = self._zip.open(part)
        with source:
            while True:
                with mended():
                    chunk = source.read(_CHUNK)
                    reader.Parse(chunk, not chunk)
                fed += len(chunk)
                self._left -= len(chunk)
                if self._left < 0:
                    raise Unreadable("unpacks_too_large")
                if chunk and fed - reader.CurrentByteIndex > MAX_TAG:
                    raise Unreadable("damaged_workbook")
                yield
                if not chunk:
                    return


def parser(start: Start, end: End | None = None) -> expat.XMLParserType:
    """A parser that calls back with `namespace name`, and refuses what no workbook needs."""
    made = expat.ParserCreate(namespace_separator=" ")
    made.buffer_text = True
    made.StartDoctypeDeclHandler = _refuse
    made.StartElementHandler = start
    if end:
        made.EndElementHandler = end
    return made


def _refuse(*_: object) -> None:
    raise Unreadable("damaged_workbook")
