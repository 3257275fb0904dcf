"""What stands around the cells of a workbook: its sheets, its shared strings, and which numbers are dates."""

import posixpath
import re
from array import array
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from tempfile import SpooledTemporaryFile
from xml.parsers import expat

from app.sheets.packages import Package, parser
from app.sheets.table import MAX_CELL, Flaw, Unreadable, flaw

_BUILT_IN = {
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 36, *range(50, 55), 57, 58), "date"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33, 34, 35, 45, 47, 55, 56), "time"),
    22: "datetime",
    46: "elapsed",
}
_MAX_STYLES = 100_000
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)


def local(name: str) -> str:
    """The name of an element or attribute without its namespace: that of strict workbooks is another."""
    return name.rpartition(" ")[2]


@dataclass
class Sheet:
    name: str
    part: str
    visible: bool


class Workbook:
    """What is said about all sheets."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.sheets: list[Sheet] = []
        self.since_1904 = False
        main = next((t for kind, t in self._targets("").values() if kind == "officeDocument"), None)
        if main is None or main not in package or main.endswith(".bin"):
            raise Unreadable("not_a_workbook")
        self._parts = self._targets(main)
        package.parse(main, self._read)
        if not self._parts or not any(kind == "worksheet" for kind, _ in self._parts.values()):
            raise Unreadable("not_a_workbook")

    def _targets(self, part: str) -> dict[str, tuple[str, str]]:
        """What a part refers to: by id, its kind and its name in the archive."""
        folder, name = posixpath.split(part)
        found: dict[str, tuple[str, str]] = {}

        def read(name: str, attributes: dict[str, str]) -> None:
            if local(name) == "Relationship" and attributes.get("TargetMode") != "External":
                target = posixpath.normpath(posixpath.join("/", folder, attributes.get("Target", "")))
                kind = attributes.get("Type", "").rpartition("/")[2]
                found[attributes.get("Id", "")] = (kind, target.lstrip("/"))

        index = posixpath.join(folder, "_rels", f"{name}.rels")
        if index in self.package:
            self.package.parse(index, read)
        return found

    def _read(self, name: str, attributes: dict[str, str]) -> None:
        if local(name) == "workbookPr":
            self.since_1904 = attributes.get("date1904") in ("1", "true")
        elif local(name) == "sheet":
            key = next((value for name, value in attributes.items() if name.endswith(" id")), "")
            kind, part = self._parts.get(key, ("", ""))
            if kind == "worksheet":
                visible = attributes.get("state", "visible") == "visible"
                self.sheets.append(Sheet(attributes.get("name", ""), part, visible))

    def sheet(self, name: str | None) -> Sheet:
        """The sheet of this name, or the first that is visible.

        Raises:
            Unreadable: there is none.
        """
        if name is None:
            found = next((sheet for sheet in self.sheets if sheet.visible), None)
            if found is None:
                raise Unreadable("no_visible_sheet")
            return found
        found = next((sheet for sheet in self.sheets if sheet.name == name), None)
        if found is None:
            raise Unreadable("no_such_sheet", names=", ".join(sheet.name for sheet in self.sheets if sheet.visible))
        return found

    def _part(self, kind: str) -> str | None:
        return next((part for k, part in self._parts.values() if k == kind and part in self.package), None)

    def kinds(self) -> list[str | None]:
        """For each style of a cell: `date`, `datetime`, `time`, `elapsed`, or None where a number is a number."""
        formats: dict[str, str] = {}
        styles: list[str | None] = []
        inside: list[str] = []

        def start(name: str, attributes: dict[str, str]) -> None:
            inside.append(local(name))
            if len(formats) + len(styles) > _MAX_STYLES or len(inside) > 100:
                raise Unreadable("damaged_workbook")
            if inside[-2:] == ["numFmts", "numFmt"]:
                formats[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")[:255]
            elif inside[-2:] == ["cellXfs", "xf"]:
                number = attributes.get("numFmtId", "0")
                own = formats.get(number)
                styles.append(kind_of(own) if own is not None else _BUILT_IN.get(int(number)))

        def end(_: str) -> None:
            inside.pop()

        if part := self._part("styles"):
            self.package.parse(part, start, end)
        return styles

    def strings(self) -> "Strings":
        """The texts that cells refer to by number. Close them."""
        found = Strings()
        try:
            if part := self._part("sharedStrings"):
                collector = Collector()

                def start(name: str, _: dict[str, str]) -> None:
                    kind = local(name)
                    if kind == "si":
                        collector.clear()
                    collector.start(kind)

                def end(name: str) -> None:
                    kind = local(name)
                    collector.end(kind)
                    if kind == "si":
                        found.add(collector.joined())

                reader = parser(start, end)
                collector.attach(reader)
                for _ in self.package.parsing(part, reader):
                    pass
        except BaseException:
            found.close()
            raise
        return found


def kind_of(code: str) -> str | None:
    """What a format of numbers shows: the first section decides, literal text does not count."""
    shown = _LITERAL.sub("", code).partition(";")[0].lower()
    if re.search(r"\[[hms]+\]", shown):
        return "elapsed"
    if "general" in shown:
        return None
    on_day, at_time = "y" in shown or "d" in shown, "h" in shown or "s" in shown
    if on_day or at_time:
        return "datetime" if on_day and at_time else "date" if on_day else "time"
    return "date" if "m" in shown else None


def moment(serial: float, kind: str, since_1904: bool) -> str | date | datetime | Flaw:
    """The date, or the time of day as text, that a spreadsheet shows for a number; to the millisecond."""
    days = int(serial)
    thousandths = round((serial - days) * 86_400_000)
    if serial < 0 or days > 2_958_465:
        return flaw("invalid_date")
    if kind == "elapsed" or (kind == "time" and days == 0):
        seconds = days * 86_400 + round(thousandths / 1000)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if not since_1904 and days in (0, 60):  # day 0 and 29 February 1900 exist for Excel only
        return flaw("invalid_date")
    first = date(1904, 1, 1) if since_1904 else date(1899, 12, 31) if days < 60 else date(1899, 12, 30)
    try:
        on = first + timedelta(days=days)
        if kind == "date" and not thousandths:
            return on
        return datetime(on.year, on.month, on.day) + timedelta(milliseconds=thousandths)  # noqa: DTZ001
    except OverflowError:
        return flaw("invalid_date")


class Collector:
    """Gathers the text of `t` and `v` elements, and leaves out how it is pronounced (`rPh`)."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0
        self.spoken = False

    def attach(self, reader: expat.XMLParserType) -> None:
        self.reader = reader

    def clear(self) -> None:
        self.parts = []
        self.size = 0

    def start(self, kind: str) -> None:
        if kind == "rPh":
            self.spoken = True
        elif kind == "t" and not self.spoken:
            self.reader.CharacterDataHandler = self.take

    def end(self, kind: str) -> None:
        if kind == "rPh":
            self.spoken = False
        elif kind == "t":
            self.reader.CharacterDataHandler = None

    def take(self, text: str) -> None:
        if self.size <= MAX_CELL:
            self.parts.append(text)
            self.size += len(text)

    def joined(self) -> str:
        return "".join(self.parts)[: MAX_CELL + 1]


_BLOCK = 16
_MAX_STRINGS = 20_000_000
_HELD = 4_000_000
_BLOCK_COSTS = 1_000


class Strings:
    """Texts by number: on disk once there are many, sixteen to a block, the blocks last used in memory."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile[bytes](max_size=1 << 20)
        self._starts = array("Q", [0])
        self._block: list[str] = []
        self._blocks: dict[int, list[str]] = {}
        self._held = 0
        self._count = 0

    def close(self) -> None:
        self._file.close()

    def add(self, text: str) -> None:
        self._count += 1
        if self._count > _MAX_STRINGS:
            raise Unreadable("unpacks_too_large")
        self._block.append(text)
        if len(self._block) == _BLOCK:
            self._flush()

    def _flush(self) -> None:
        self._file.write("\0".join(self._block).encode("utf-8"))
        self._starts.append(self._file.tell())
        self._block = []

    def __getitem__(self, index: int) -> str:
        """The text with this number.

        Raises:
            IndexError: there is none.
        """
        if not 0 <= index < self._count:
            raise IndexError(index)
        number, place = divmod(index, _BLOCK)
        block = self._blocks.get(number)
        return (block if block is not None else self._load(number))[place]

    def _load(self, number: int) -> list[str]:
        if number == len(self._starts) - 1:
            return self._block
        start, end = self._starts[number], self._starts[number + 1]
        self._file.seek(start)
        packed = self._file.read(end - start).decode("utf-8")
        if self._held > _HELD:
            self._blocks.clear()
            self._held = 0
        self._held += len(packed) + _BLOCK_COSTS
        block = self._blocks[number] = packed.split("\0")
        return block
