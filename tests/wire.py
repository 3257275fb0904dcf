"""Many HTTP clients in one process that cost next to nothing: for races, where the servers are to be busy, not we."""

import asyncio
import json
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests import promises


class Said(NamedTuple):
    """An answer."""

    status: int
    body: Any


class Lost(Exception):
    """The server is gone: nobody knows what became of the request."""


class Wire:
    """One connection to a server, kept open."""

    def __init__(self, url: str, token: str) -> None:
        self._parts, self._token = urlsplit(url), token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, method: str, path: str, body: Any = None) -> Said:
        """Raises:
        Lost: there was no whole answer.
        """
        try:
            return await self._send(method, path, b"" if body is None else json.dumps(body).encode())
        except (OSError, EOFError):
            await self.close()
            raise Lost from None

    async def open(self) -> None:
        if self._streams is None:
            host, port = self._parts.hostname, self._parts.port
            self._streams = await asyncio.open_connection(host, port)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()
            self._streams = None

    async def _send(self, method: str, path: str, body: bytes) -> Said:
        await self.open()
        assert self._streams is not None
        reader, writer = self._streams
        kind = "Content-Type: application/json\r\n" if body else ""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._parts.netloc}\r\nAuthorization: Bearer {self._token}\r\n{kind}"
        )
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        found = await reader.readexactly(int(headers.get("content-length", 0)))
        status = int(first.split()[1])
        promises.heard(method, path, status, headers, found)
        return Said(status, json.loads(found) if found else None)
