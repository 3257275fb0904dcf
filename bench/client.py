"""One client with one connection: the time of each answer, for those who take turns request by request.

wrk measures one address at a time. Two medians that are to be divided by each other must have seen the same moments
of the machine, so they are asked by turns; and a client of our own for that must cost next to nothing.
"""

import socket
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from urllib.parse import urlsplit


class Client(AbstractContextManager["Client"]):
    """Asks for one address again and again, or posts something there."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        given = [f"Host: {parts.netloc}", *(f"{name}: {value}" for name, value in headers.items())]
        self._get = "\r\n".join([f"GET {parts.path}?{parts.query} HTTP/1.1", *given, "", ""]).encode()
        kind = "Content-Type: application/json"
        self._post = "\r\n".join([f"POST {parts.path} HTTP/1.1", *given, kind, "Content-Length: "]).encode()
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._socket.close()

    def milliseconds(self, body: bytes | None = None) -> float:
        """How long one answer took, to its last byte; with a body, that of a POST."""
        request = self._get if body is None else b"%s%d\r\n\r\n%s" % (self._post, len(body), body)
        started = time.perf_counter()
        self._socket.sendall(request)
        found = self._socket.recv(1 << 18)
        while b"\r\n\r\n" not in found:
            found += self._socket.recv(1 << 18)
        head, _, begun = found.partition(b"\r\n\r\n")
        missing = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) - len(begun)
        while missing > 0:
            missing -= len(self._socket.recv(1 << 18))
        taken = (time.perf_counter() - started) * 1000
        assert head.startswith(b"HTTP/1.1 200 " if body is None else b"HTTP/1.1 201 "), head
        return taken
