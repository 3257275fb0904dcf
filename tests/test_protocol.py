"""HTTP as it comes over a connection to a real server: slow, cut off, lying, or offering something else."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import quote

import pytest
import structlog
import uvicorn

from app.config import Settings
from app.policy import Role
from tests import promises
from tests.conftest import World, running


@dataclass
class Raw:
    """One connection to a real server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: tuple[str, str] = ("GET", "/")
    """Method and address of the latest request."""

    async def send(self, data: bytes) -> None:
        if found := re.match(rb"([A-Z]+) (/\S*) HTTP/1\.1\r\n", data):
            self.asked = (found[1].decode(), quote(found[2].partition(b"?")[0], safe="/%"))
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        with suppress(ConnectionError):
            await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode()
        first, *lines = head.split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        length = int(headers.get("content-length", 0))
        status, body = int(first.split()[1]), await asyncio.wait_for(self.reader.readexactly(length), 10)
        if "x-request-id" in headers:  # else the server refused what is no HTTP
            promises.heard(*self.asked, status, headers, body)
        return status, headers, body

    async def refusal(self) -> tuple[int, str]:
        """The next answer, which must be a problem document."""
        status, headers, body = await self.answer()
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["request_id"] == headers["x-request-id"]
        return status, json.loads(body)["code"]


@dataclass
class Served:
    """A world behind uvicorn, as `tenantry serve` runs it."""

    world: World
    port: int
    head: str
    """Of the creation of an account, up to how long its body is."""

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Raw]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Raw(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def works(self) -> None:
        async with self.connect() as raw:
            await raw.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await raw.answer())[0] == 200


@asynccontextmanager
async def served(settings: Settings) -> AsyncGenerator[Served]:
    async with running(settings) as world:
        partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(world.app, http="app.protocol:Protocol", ws="none", lifespan="off", log_config=None,
                                access_log=False, server_header=False)  # fmt: skip
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]))
        head = (
            f"POST /v1/partners/{partner.id}/accounts HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        )
        head += f"Authorization: Bearer {await world.token('Anna')}\r\n"
        try:
            yield Served(world, listening.getsockname()[1], head)
        finally:
            server.should_exit = True
            await task
            listening.close()


@pytest.mark.slow
async def test_body_that_arrives_too_slowly_is_408_and_the_connection_ends(settings: Settings):
    async with served(settings.model_copy(update={"body_seconds": 0.6})) as there:
        for framing in ("Content-Length: 200\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"):
            await too_slow(there, framing, drips=0)
            for attempt in range(3):
                try:
                    await too_slow(there, framing, drips=30)
                except ConnectionResetError:  # RFC 9112, 9.6: who still sends may lose the answer to the reset
                    assert attempt < 2
                else:
                    break
        await there.works()


async def too_slow(there: Served, framing: str, *, drips: int) -> None:
    async with there.connect() as raw:
        await raw.send((there.head + framing).encode())
        started = time.monotonic()

        async def drip() -> None:
            for _ in range(drips):
                await raw.send(b"1\r\n \r\n" if "chunked" in framing else b" ")
                await asyncio.sleep(0.1)

        dripping = asyncio.create_task(drip())
        try:
            status, headers, body = await raw.answer()
            assert (status, json.loads(body)["code"]) == (408, "request_timeout")
            assert headers["connection"] == "close"
            assert 0.4 < time.monotonic() - started < 2
            assert await asyncio.wait_for(raw.reader.read(), 5) == b""
        finally:
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)


@pytest.mark.slow
async def test_a_hundred_slow_bodies_delay_nobody(settings: Settings):
    async with served(settings.model_copy(update={"body_seconds": 2.0})) as there:
        slow = [await asyncio.open_connection("127.0.0.1", there.port) for _ in range(100)]
        for _, writer in slow:
            writer.write((there.head + "Content-Length: 100\r\n\r\n{").encode())
        started = time.monotonic()
        for _ in range(20):
            await there.works()
        assert time.monotonic() - started < 1.5
        for reader, writer in slow:
            assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 408 ")
            writer.close()


@pytest.mark.slow
async def test_server_refuses_lies_about_the_body(settings: Settings):
    """What is no HTTP is refused by the server itself, before there is a request: a 400, and the connection ends."""
    async with served(settings.model_copy(update={"body_seconds": 0.6})) as there:
        for rest in ("Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
                     "Content-Length: -5\r\n\r\n", "Content-Length: x\r\n\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
                     "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", "Bad Header: x\r\n\r\n", "No colon\r\n\r\n"):  # fmt: skip
            async with there.connect() as raw:
                await raw.send((there.head + rest).encode())
                status, *_ = await raw.answer()
                assert status in (400, 408), rest
                assert await asyncio.wait_for(raw.reader.read(), 5) == b""
        async with there.connect() as raw:  # less than was declared, then nothing
            await raw.send((there.head + "Content-Length: 50\r\n\r\n{}").encode())
            assert await raw.refusal() == (408, "request_timeout")
        async with there.connect() as raw:  # more than the limit, never declared
            await raw.send((there.head + "Transfer-Encoding: chunked\r\n\r\n").encode())
            for _ in range(settings.body_bytes // 65_536):
                await raw.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            await raw.send(b"1\r\n \r\n")
            assert await raw.refusal() == (413, "content_too_large")
        async with there.connect() as raw:
            await raw.send((there.head + "Content-Length: 100000000\r\n\r\n").encode())
            assert await raw.refusal() == (413, "content_too_large")
        await there.works()


@pytest.mark.slow
async def test_client_that_leaves_in_the_middle_of_a_body_is_no_error_of_ours(settings: Settings):
    async with served(settings) as there:
        with structlog.testing.capture_logs() as logged:
            for _ in range(10):
                async with there.connect() as raw:
                    await raw.send((there.head + "Content-Length: 50\r\n\r\n{").encode())
                    await asyncio.sleep(0.02)
            async with asyncio.timeout(5):
                while len([e for e in logged if e.get("method") == "POST"]) < 10:  # noqa: ASYNC110 - the server works
                    await asyncio.sleep(0.02)
        assert {(e["event"], e.get("status")) for e in logged} == {("request", 499)}
        await there.works()


@pytest.mark.slow
async def test_raw_bytes_in_the_request_line_are_refused(settings: Settings):
    async with served(settings) as there:
        for target in (b"/v1/me?q=\xff", b"/\xc3\x28", b"/%00", b"/v1/me%ff"):
            async with there.connect() as raw:
                await raw.send(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                status, *_ = await raw.answer()
                assert status == 400, target
        async with there.connect() as raw:
            await raw.send(b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n")
            assert await raw.refusal() == (431, "headers_too_large")
        await there.works()


# --- offers of another protocol ---

OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
"""What Java's HttpClient begins with."""


@pytest.mark.slow
async def test_offer_of_another_protocol_is_passed_over_and_the_body_read(settings: Settings):
    async with served(settings) as there, there.connect() as raw:
        for name, framing in (
            ("A", "Content-Length: 12\r\n\r\n%s"),
            ("B", "Transfer-Encoding: chunked\r\n\r\nc\r\n%s\r\n0\r\n\r\n"),
        ):
            request = there.head + OFFER + framing % f'{{"name":"{name}"}}'
            await raw.send(request.encode())
            status, _, body = await raw.answer()
            assert (status, json.loads(body)["name"]) == (201, name)
        head, _, body = (there.head + OFFER + 'Content-Length: 12\r\n\r\n{"name":"C"}').partition("\r\n\r\n")
        for part in (
            head[:100],
            head[100:-10],
            head[-10:],
            "\r\n\r\n",
            body[:5],
            body[5:],
        ):  # in whichever pieces it comes
            await raw.send(part.encode())
            await asyncio.sleep(0.02)
        assert (await raw.answer())[0] == 201
        await there.works()


@pytest.mark.slow
async def test_many_offers_in_one_go_are_answered_in_order(settings: Settings):
    async with served(settings) as there, there.connect() as raw:
        await raw.send(f"GET /health/live HTTP/1.1\r\nHost: localhost\r\n{OFFER}\r\n".encode() * 500)
        for _ in range(500):
            assert (await raw.answer())[0] == 200
        last = f"GET /health/live HTTP/1.1\r\nHost: localhost\r\n{OFFER.replace('Upgrade,', 'close, Upgrade,')}\r\n"
        await raw.send(last.encode())
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (200, "close")


@pytest.mark.slow
@pytest.mark.parametrize("offer", ["", OFFER])
async def test_what_follows_the_last_request_of_a_connection_is_not_read(settings: Settings, offer: str):
    last = f"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{offer}\r\n"
    async with served(settings) as there, there.connect() as raw:
        await raw.send(f"{last}and more".encode())
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (200, "close")


@pytest.mark.slow
@pytest.mark.parametrize(
    "body", ["Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\nx"]
)
async def test_offer_hides_no_request_that_cannot_be_read(settings: Settings, body: str):
    async with served(settings) as there:
        async with there.connect() as raw:
            await raw.send((there.head + OFFER + body).encode())
            assert (await raw.answer())[0] == 400
        await there.works()


@pytest.mark.slow
async def test_offer_with_the_last_request_is_answered_whatever_follows(settings: Settings):
    async with served(settings) as there, there.connect() as raw:
        ask = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
        await raw.send(f"{ask}{OFFER.replace('Upgrade,', 'close, Upgrade,')}\r\n{ask}\r\n".encode())
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (200, "close")


# --- trailers, and heads without end ---


@pytest.mark.slow
@pytest.mark.parametrize("offer", ["", OFFER])
async def test_trailers_are_no_headers(settings: Settings, offer: str):
    """Else they could say who calls, or from where, past a proxy that has seen to the head."""
    async with served(settings) as there, there.connect() as raw:
        head, _, token = there.head.partition("Authorization: ")
        chunked = f'{head}{offer}Transfer-Encoding: chunked\r\n\r\nc\r\n{{"name":"T"}}\r\n0\r\n'
        await raw.send(f"{chunked}Authorization: {token}\r\n".encode())
        assert await raw.refusal() == (401, "unauthenticated")
        await raw.send(f"{there.head}{chunked.removeprefix(head)}X-Request-Id: of-a-trailer\r\n\r\n".encode())
        assert (await raw.answer())[0] == 201  # and they end the body, as ever


@pytest.mark.slow
@pytest.mark.parametrize("before", ["X: ", "X: a\r\n", "Transfer-Encoding: chunked\r\n\r\n1\r\n \r\n0\r\nX: ",
                                    "Transfer-Encoding: chunked\r\n\r\n1;x="])  # fmt: skip
async def test_head_without_end_is_cut_off(settings: Settings, before: str):
    """The parser would keep all of it, and copy it again with each piece that comes."""
    more = (b"X: a\r\n" if before.endswith("\n") else b"aaaaaa") * 1_000
    async with served(settings) as there:
        async with there.connect() as raw:
            await raw.send((there.head + before).encode())
            for _ in range(8):
                await raw.send(more)
                await asyncio.sleep(0.02)
            assert not raw.reader.at_eof()  # 48 KB
            with suppress(ConnectionError):
                for _ in range(50):
                    await raw.send(more)
                    await asyncio.sleep(0.02)
            assert raw.reader.at_eof() or raw.reader.exception()
        await there.works()
