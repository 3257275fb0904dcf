"""Bodies that come piece by piece, checked while whoever asked reads them: CSV, workbooks, Server-Sent Events."""

import codecs
import csv
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, Protocol, cast

from httpx import AsyncByteStream, SyncByteStream

SEPARATORS: Final = {"comma": ",", "semicolon": ";", "tab": "\t"}
"""By what `separator=` asks for."""
Faults = Iterator[str]


class Look(Protocol):
    """What is wrong with a body, as far as it has come."""

    def at(self, piece: bytes) -> Faults: ...

    def at_end(self) -> Faults: ...


class Csv:
    """RFC 4180 in UTF-8: a row with names, and as many cells in all others."""

    def __init__(self, separator: str) -> None:
        self._separator, self._decoder = separator, codecs.getincrementaldecoder("utf-8-sig")()
        self._rest, self._width = "", 0

    def at(self, piece: bytes) -> Faults:
        *whole, self._rest = (self._rest + self._decoder.decode(piece)).split("\r\n")
        while whole and "\r\n".join(whole).count('"') % 2:  # the last end of a line is one inside of a cell
            self._rest = f"{whole.pop()}\r\n{self._rest}"
        for row in csv.reader((f"{line}\r\n" for line in whole), delimiter=self._separator, strict=True):
            if not self._width:
                if len(set(row)) < len(row) or "" in row:
                    yield f"names its columns {row}"
                self._width = len(row)
            elif len(row) != self._width:
                yield f"has a row of {len(row)} cells below {self._width} names"

    def at_end(self) -> Faults:
        if self._rest or not self._width:
            yield "is a file without rows, or one whose last row has no end"


class Workbook:
    """A ZIP archive from its first byte to its last. (Other tests open it.)"""

    def __init__(self) -> None:
        self._head, self._tail = b"", b""

    def at(self, piece: bytes) -> Faults:
        self._head = (self._head + piece)[:4] if len(self._head) < 4 else self._head
        self._tail = (self._tail + piece)[-22:]
        yield from ()

    def at_end(self) -> Faults:
        if self._head != b"PK\x03\x04" or not self._tail.startswith(b"PK\x05\x06"):
            yield "is no workbook"


class Events:
    """Server-Sent Events, each of which is as the feed would show it."""

    def __init__(self, event: Any) -> None:
        """`event`: a validator of one of the feed."""
        self._event, self._rest, self._decoder = event, "", codecs.getincrementaldecoder("utf-8")()

    def at(self, piece: bytes) -> Faults:
        *whole, self._rest = (self._rest + self._decoder.decode(piece)).split("\n\n")
        for block in whole:
            parts = [line.partition(": ") for line in block.split("\n") if line and not line.startswith(":")]
            lines = {name: value for name, _, value in parts}
            if strange := lines.keys() - {"id", "event", "data", "retry"}:
                yield f"has lines that begin with {', '.join(strange)}"
            if "data" in lines:
                told = json.loads(lines["data"])
                yield from (
                    f"tells an event that is not one: {error.message[:500]}" for error in self._event.iter_errors(told)
                )
                if (lines.get("id"), lines.get("event")) != (str(told["position"]), told["type"]):
                    yield f"calls an event {lines.get('event')} at {lines.get('id')} that is {told['type']} at {told['position']}"

    def at_end(self) -> Faults:
        if self._rest:
            yield "ends within an event"


class Watched(AsyncByteStream, SyncByteStream):
    """A stream, handed on as it is, and looked at."""

    def __init__(self, stream: Any, look: Look, report: Callable[[Faults], None], *, encoding: str) -> None:
        """`encoding`: gzip, or none."""
        self._stream, self._look, self._report = stream, look, report
        self._plain: Callable[[bytes], bytes] = zlib.decompressobj(31).decompress if encoding else lambda piece: piece

    def _see(self, piece: bytes) -> None:
        self._report(self._look.at(self._plain(piece)))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in cast("AsyncByteStream", self._stream):
            self._see(piece)
            yield piece
        self._report(self._look.at_end())

    def __iter__(self) -> Iterator[bytes]:
        for piece in cast("SyncByteStream", self._stream):
            self._see(piece)
            yield piece
        self._report(self._look.at_end())

    async def aclose(self) -> None:
        await self._stream.aclose()

    def close(self) -> None:
        self._stream.close()
