"""A webhook's receiver as a real server on 127.0.0.1: it takes, fails, hangs, redirects, answers late, or is away."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from app.config import Settings
from app.worker import Worker
from tests.conftest import World

ALLOWED = ("127.0.0.0/8",)


@dataclass
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    taken: bool = False

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> Any:
        return json.loads(self.body)

    @property
    def position(self) -> int:
        return self.message["data"]["position"]

    @property
    def account(self) -> str | None:
        return self.message["data"]["account_id"]


@dataclass
class Reply:
    """What is answered, and how."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    seconds: float = 0
    hang: bool = False
    cut: bool = False
    """Close the connection without an answer."""


@dataclass
class Receiver:
    """What was received, and what is answered to it."""

    port: int = 0
    got: list[Got] = field(default_factory=list[Got])
    reply: Callable[[Got], Reply] = lambda _: Reply()
    connections: int = 0
    open: int = 0
    most_open: int = 0
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [g.id for g in self.got]

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Be away, as after a kill: connections are reset, and nobody listens."""
        assert self.server is not None
        self.server.close()
        for writer in list(self.writers):
            writer.transport.abort()
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._one(reader, writer):
                    pass
        finally:
            self.writers.discard(writer)
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            got = Got(head[0].split()[1], headers, body)
            reply = self.reply(got)
            got.taken = 200 <= reply.status < 300 and not reply.hang and not reply.cut
            self.got.append(got)
            if reply.cut:
                return False
            await asyncio.sleep(3600 if reply.hang else reply.seconds)
        finally:
            self.open -= 1
        more = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        writer.write(
            f"HTTP/1.1 {reply.status} X\r\nContent-Length: {len(reply.body)}\r\n{more}\r\n".encode() + reply.body
        )
        await writer.drain()
        return True


@asynccontextmanager
async def receiving() -> AsyncGenerator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()


def reaching(settings: Settings, **more: Any) -> Settings:
    """These settings, with webhooks that reach this machine."""
    return settings.model_copy(update={"webhook_allow": ALLOWED, **more})


async def deliver(world: World, worker: Worker | None = None) -> None:
    """Number what has happened, and deliver all that is due; twice, for a delivery may cause an event."""
    mine = worker or world.worker()
    async with asyncio.timeout(20):
        for _ in range(2):
            await mine.number_all()
            await mine.deliverer.drain()
    if worker is None:
        await mine.deliverer.close()
