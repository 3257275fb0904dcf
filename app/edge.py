"""What happens to every request before and after the application: ids, limits, headers, log line, figures."""

import asyncio
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import limits, looks
from app.config import Settings
from app.faults import answer
from app.metrics import LATENCY, REQUESTS
from app.models import new_id
from app.problems import (
    ContentTooLarge,
    HeadersTooLarge,
    Internal,
    Malformed,
    Problem,
    RequestTimeout,
    Unavailable,
    UnsupportedMediaType,
)

log = structlog.get_logger("request")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
MAX_TARGET = 16_384  # a cursor may be half of that, see rest.MAX_CURSOR
MAX_HEADERS = 32_768
PORT = re.compile(rb":\d*$")
METHODS = {"GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS"}
SHOWN_HEADERS = [
    "ETag",
    "Location",
    "Link",
    "X-Request-Id",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Idempotency-Replayed",
    "Content-Disposition",
]
LOOPBACK = {b"127.0.0.1", b"localhost", b"[::1]", b""}
UNLOGGED = ("/health/", "/metrics")

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
DEFAULTS = {
    b"x-frame-options": b"DENY",
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}


def _shown(path: str) -> str:
    """A path as it may stand in a log on a terminal: no control characters."""
    return path if path.isprintable() else repr(path)


@cache
def _figures(operation: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """What an answer is counted in; there are as many as operations, methods and codes."""
    return REQUESTS.labels(operation, method, str(status)), LATENCY.labels(operation)


def _name_of(host: bytes) -> bytes:
    """The name in a Host header, without its port."""
    return PORT.sub(b"", host).lower()


class Cors(CORSMiddleware):
    """Starlette's, but a refused preflight is answered like any other OPTIONS: a 405 that is a problem document."""

    @classmethod
    def around(cls, app: ASGIApp, settings: Settings) -> "Cors":
        return cls(app, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"],
                   expose_headers=SHOWN_HEADERS, max_age=3600)  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            asked = "origin" in headers and "access-control-request-method" in headers
            if asked and self.preflight_response(headers).status_code != 200:
                return await self.simple_response(scope, receive, send, request_headers=headers)
        return await super().__call__(scope, receive, send)


class Edge:
    """The outermost layer, as plain ASGI. Whatever goes wrong inside, the client gets a problem document."""

    def __init__(self, app: ASGIApp, settings: Settings, uploads: Callable[[str, str], bool]) -> None:
        self.app, self.settings, self.uploads = app, settings, uploads
        self.logs = settings.log_level in ("debug", "info")
        self.headers = SECURITY_HEADERS + (
            [(b"strict-transport-security", b"max-age=31536000")] if settings.url.startswith("https:") else []
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        return await Exchange(self, scope, receive, send).run()


class Exchange:
    """One request and its answer."""

    def __init__(self, edge: Edge, scope: Scope, receive: Receive, send: Send) -> None:
        self.edge, self._receive, self._send = edge, receive, send
        self.scope = dict(scope)  # the server keeps its own: it must know that a HEAD has no body
        self.started = time.perf_counter()
        self.status = 0
        self.received = 0
        settings, upload = edge.settings, edge.uploads(scope["method"], scope["path"])
        self.most = settings.import_bytes if upload else settings.body_bytes
        self.deadline = self.started + (settings.import_seconds if upload else settings.body_seconds)
        self.body_done = self.muted = False
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        self.head = scope["method"] == "HEAD"

    async def run(self) -> None:
        scope = self.scope
        given = self.headers.get(b"x-request-id", b"")
        scope["request_id"] = given.decode() if REQUEST_ID.fullmatch(given) else str(new_id())
        trace = TRACE.fullmatch(self.headers.get(b"traceparent", b""))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=scope["request_id"])
        if trace:
            structlog.contextvars.bind_contextvars(trace_id=trace[1].decode())
        if self.head:  # RFC 9110, 9.3.2: GET without the body
            scope["method"], scope["head"] = "GET", True
        try:
            self.refuse_unreadable()
            await self.edge.app(scope, self.receive, self.send)
        except Problem as problem:
            await self.fail(problem)
        except ClientDisconnect:
            self.status = 499  # as nginx logs it: nobody is there to answer
        except Exception:
            log.exception("request failed")
            await self.fail(Internal())
        finally:
            self.give_back()
            self.report()

    def give_back(self) -> None:
        if "turn" in self.scope:
            self.scope["app"].state.turns.give_back(self.scope)

    def refuse_unreadable(self) -> None:
        scope = self.scope
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET:
            raise HeadersTooLarge
        if sum(len(k) + len(v) for k, v in scope["headers"]) > MAX_HEADERS:
            raise HeadersTooLarge
        if self.edge.settings.development and _name_of(self.headers.get(b"host", b"")) not in LOOPBACK:
            raise Malformed  # another name for this address: DNS rebinding would open the mailbox to any web page
        try:
            target = unquote_to_bytes(scope["raw_path"] + b"?" + scope["query_string"]).decode()
        except UnicodeDecodeError:
            raise Malformed from None
        if "\0" in target:
            raise Malformed
        if self.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMediaType
        length = self.headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self.most:
            raise ContentTooLarge

    async def receive(self) -> Message:
        if self.body_done:
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.01, self.deadline - time.perf_counter())):
                message = await self._receive()
        except TimeoutError:
            raise RequestTimeout from None
        self.received += len(message.get("body", b""))
        if self.received > self.most:
            raise ContentTooLarge
        self.body_done = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self.muted:
            return
        if message["type"] == "http.response.start":
            looked = self.scope.pop(looks.LOOKED, None)
            if looked is not None and message["status"] < 400 and not await looks.note(self.scope, looked):
                await self.fail(Unavailable())
                self.muted = True
                return
            self.status = message["status"]
            self.give_back()
            given = [(k, v) for k, v in message["headers"] if self.status != 204 or k.lower() != b"content-type"]
            present = {k.lower() for k, _ in given}
            message["headers"] = [
                *given,
                (b"x-request-id", self.scope["request_id"].encode()),
                *limits.headers_of(self.scope),
                *self.edge.headers,
                *((k, v) for k, v in DEFAULTS.items() if k not in present),
            ]
        elif self.head:
            message = {**message, "body": b""}
        await self._send(message)

    async def fail(self, problem: Problem) -> None:
        if self.status:
            raise problem  # the answer has begun: let the server cut the connection
        response = answer(self.scope, problem)
        if not self.edge.settings.cors_origins:
            return await response(self.scope, self.receive, self.send)
        cors, headers = Cors.around(response, self.edge.settings), Headers(scope=self.scope)
        return await cors.simple_response(self.scope, self.receive, self.send, request_headers=headers)

    def report(self) -> None:
        seconds = max(0.0, time.perf_counter() - self.started - self.scope.get("waited", 0.0))
        endpoint: Any = self.scope.get("endpoint")
        operation = getattr(endpoint, "__name__", "none")
        method = self.scope["method"] if self.scope["method"] in METHODS else "other"
        count, latency = _figures(operation, method, self.status)
        count.inc()
        latency.observe(seconds)
        if self.edge.logs and not self.scope["path"].startswith(UNLOGGED):
            log.info("request", method=method, path=_shown(self.scope["path"]), status=self.status,
                     milliseconds=round(seconds * 1000, 1))  # fmt: skip
