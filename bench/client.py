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
    """Asks for one address again and again."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        lines = [f"GET {parts.path}?{parts.query} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self._socket.close()

    def milliseconds(self) -> float:
        """How long one answer took, to its last byte."""
        started = time.perf_counter()
        self._socket.sendall(self._request)
        found = self._socket.recv(1 << 18)
        while b"\r\n\r\n" not in found:
            found += self._socket.recv(1 << 18)
        head, _, body = found.partition(b"\r\n\r\n")
        missing = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]) - len(body)
        while missing > 0:
            missing -= len(self._socket.recv(1 << 18))
        taken = (time.perf_counter() - started) * 1000
        assert head.startswith(b"HTTP/1.1 200 "), head
        return taken
