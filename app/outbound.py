"""Requests to addresses that others have chosen: they reach the public network, and nothing of ours."""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

import httpcore
import structlog
from httpcore import AsyncNetworkBackend, AsyncNetworkStream

from app.addresses import Network, Place, Strange, literal, place_of, refuse_closed

log = structlog.get_logger("outbound")

CONNECT_SECONDS: Final = 5.0
SECONDS: Final = 15.0
"""The longest time that a request may take, from the name's lookup to the answer's status."""
BODY_SECONDS: Final = 2.0
BODY_KEPT: Final = 1_024
BODY_READ: Final = 65_536
"""What is read of an answer so that the connection can be used again; behind it, the connection is closed."""
MOST: Final = 512
MOST_ADDRESSES: Final = 4
KEPT_SECONDS: Final = 20.0

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

_lookups = ThreadPoolExecutor(64, "lookup")  # of our own: names that nobody answers for must not keep others waiting
OF_ONE: Final = 4
"""Names that are looked up at a time for the same one."""
_whose: ContextVar[UUID | None] = ContextVar("whose", default=None)


@dataclass(eq=False)
class _Line:
    """Who waits for names of one's."""

    free: asyncio.Semaphore
    users: int = 0


class Lookups:
    """Finds the addresses of names by the system's resolver, few at a time for the same one: a look-up cannot be broken
    off, so that somebody's names that nobody answers for would take all threads.
    """

    def __init__(self) -> None:
        self._lines = dict[UUID | None, _Line]()

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        whose, loop = _whose.get(), asyncio.get_running_loop()
        line = self._lines.get(whose) or self._lines.setdefault(whose, _Line(asyncio.Semaphore(OF_ONE)))
        line.users += 1
        try:
            await line.free.acquire()
        except BaseException:
            self._leave(whose, line)
            raise

        def over() -> None:
            line.free.release()
            self._leave(whose, line)

        def tell(_: object) -> None:  # when the thread is free, however long nobody waits for it any more
            with suppress(RuntimeError):  # there is no loop any more
                loop.call_soon_threadsafe(over)

        job = _lookups.submit(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        job.add_done_callback(tell)
        found = await asyncio.wrap_future(job)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def _leave(self, whose: UUID | None, line: _Line) -> None:
        line.users -= 1
        if not line.users:
            del self._lines[whose]


@dataclass(frozen=True)
class Answer:
    """What came of a request: a status, or why there is none."""

    status: int | None
    error: str | None
    milliseconds: int
    content_type: str | None = None
    body: str = ""
    retry_after: str | None = None

    @property
    def taken(self) -> bool:
        return self.error is None


class _Guarded(AsyncNetworkBackend):
    """Looks a name up once, refuses it unless every address may be connected to, and connects to one of those."""

    def __init__(self, allowed: Sequence[Network], resolver: Resolver, *, listed_only: bool) -> None:
        self._inner, self._allowed = cast("AsyncNetworkBackend", httpcore.AnyIOBackend()), allowed
        self._resolver, self._listed_only = resolver, listed_only

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,  # noqa: ASYNC109 - httpcore's
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:  # fmt: skip
        async with asyncio.timeout(timeout):
            found = await self._found(host, port)
            error: Exception = httpcore.ConnectError()
            for address in found[:MOST_ADDRESSES]:
                try:
                    return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
                except httpcore.ConnectError as failure:
                    error = failure
            raise error

    async def _found(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host: all of them may be connected to.

        Raises:
            Strange: one may not. Of a name, no more is told than of one that there is not: whoever chooses names would
                learn which of them ours has inside. The log says it.
        """
        if literal(host):
            refuse_closed(host, self._allowed, listed_only=self._listed_only)
            return [host]
        found = await self._resolver(host, port)
        try:
            for address in found:
                refuse_closed(address, self._allowed, listed_only=self._listed_only)
        except Strange as refused:
            log.info("name leads inside", host=host, error=refused.code)
            raise Strange("unknown_host") from None
        return found

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class Outlet:
    """The one way out. No redirects, no proxies, no cookies: httpcore has none of them.

    Connections are kept for a while and used again: each leads to an address that was checked when it was made.
    """

    def __init__(self, allowed: Sequence[Network] = (), resolver: Resolver | None = None) -> None:
        self._allowed, self._resolver = allowed, resolver or Lookups()
        self._pools = dict[str, httpcore.AsyncConnectionPool]()

    def _pool(self, scheme: str) -> httpcore.AsyncConnectionPool:
        """Made when it is needed. Plain http reaches what is on the list, and only that."""
        if scheme not in self._pools:
            tls = ssl.create_default_context() if scheme == "https" else None
            self._pools[scheme] = httpcore.AsyncConnectionPool(
                tls, max_connections=MOST, max_keepalive_connections=MOST, keepalive_expiry=KEPT_SECONDS, http2=False,
                network_backend=_Guarded(self._allowed, self._resolver, listed_only=scheme == "http"),
            )  # fmt: skip
        return self._pools[scheme]

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, seconds: float = SECONDS, whose: UUID | None = None
    ) -> Answer:
        """Send it once, for whose address it is. Whatever goes wrong on the way is in the answer."""
        _whose.set(whose)
        started = time.monotonic()
        said: dict[str, Any] = {"status": None}
        try:
            async with asyncio.timeout(seconds):
                error = await self._post(place_of(url), headers, body, seconds, said)
        except TimeoutError:
            error = "timeout"
        except Exception as failure:
            error = _code(failure)
        return Answer(**said, error=error, milliseconds=round(1000 * (time.monotonic() - started)))

    async def _post(
        self, place: Place, headers: Mapping[str, str], body: bytes, seconds: float, said: dict[str, Any]
    ) -> str | None:
        limits = {"connect": min(CONNECT_SECONDS, seconds), "read": seconds, "write": seconds, "pool": seconds}
        url = httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
        sent = [("Host", place.authority), *headers.items(), ("Content-Length", str(len(body)))]
        async with self._pool(place.scheme).stream(
            "POST", url, headers=sent, content=body, extensions={"timeout": limits}
        ) as response:
            found = {name.lower(): value for name, value in response.headers}
            said["status"] = response.status
            for name in ("content-type", "retry-after"):
                value = found.get(name.encode())
                said[name.replace("-", "_")] = _printable(value[:200]) if value is not None else None
            said["body"] = _printable(await _some(response))
        if 300 <= response.status < 400:
            return "redirect"
        return None if 200 <= response.status < 300 else "refused"

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.aclose()


async def _some(response: httpcore.Response) -> bytes:
    """The beginning of the body. The status has been said: how the body ends is no matter any more."""
    kept, count = b"", 0
    with suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in response.aiter_stream():
                kept += piece[: BODY_KEPT - len(kept)]
                count += len(piece)
                if count > BODY_READ:
                    break
    return kept


def _printable(data: bytes) -> str:
    """Text that a column can hold and a page can show."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in data.decode("utf-8", "replace"))


CODES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (socket.gaierror, "unknown_host"),
    (UnicodeError, "unknown_host"),
    (httpcore.TimeoutException, "timeout"),
    (httpcore.ConnectError, "connect"),
    (httpcore.NetworkError, "connection_lost"),
    (httpcore.RemoteProtocolError, "protocol"),
    (OSError, "connection_lost"),
)


def _code(failure: Exception) -> str:
    if isinstance(failure, Strange):
        return failure.code
    if isinstance(failure.__cause__ or failure.__context__, ssl.SSLError):
        return "tls"
    for kind, code in CODES:
        if isinstance(failure, kind):
            return code
    raise failure
