"""Files that are made while they are sent: few at a time, for a limited time, while somebody takes them."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from typing import Final
from uuid import UUID

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from app.problems import ExportsBusy, Problem, Unavailable

log = structlog.get_logger()
STALLED_SECONDS: Final = 30
"""Longest time that a client may take for one piece; the database ends a transaction that idles for twice as long."""


class Places:
    """How many files may be on their way at once in this process, and how many are: each holds a database connection
    when it is sent, or room on the disk when it is received.

    One owner does not get the last place, as long as there is more than one; nor more than `each`.
    """

    def __init__(self, most: int, each: int | None = None, busy: type[Problem] = ExportsBusy) -> None:
        self.most, self.each, self.busy = most, each or max(1, most - 1), busy
        self.running: Counter[UUID] = Counter()

    @contextmanager
    def taken(self, owner: UUID) -> Generator[None]:
        """One of the places.

        Raises:
            Problem: there is none; it is the `busy` of these places.
        """
        if self.running.total() >= self.most or self.running[owner] >= self.each:
            raise self.busy
        self.running[owner] += 1
        try:
            yield
        finally:
            self.running[owner] -= 1
            self.running += Counter()  # forget those who have none


class Download(StreamingResponse):
    """An attachment that is made while it is sent.

    What goes wrong before the first piece is a problem document as ever. After it, the connection is cut, so that no
    part of a file can be taken for the whole.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], *, name: str, media_type: str, seconds: float) -> None:
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(pieces, media_type=media_type, headers=disposition)
        self.pieces, self.seconds, self.begun = pieces, seconds, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("head"):
            await send(self._start())
            await send({"type": "http.response.body", "body": b"", "more_body": True})  # it would be in several
            return await send({"type": "http.response.body", "body": b""})
        sending = asyncio.create_task(self._send_pieces(send))
        leaving = asyncio.create_task(gone(receive))
        try:
            await asyncio.wait({sending, leaving}, timeout=self.seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, leaving):
                if task.done():
                    return task.result()
            log.warning("download takes too long", seconds=self.seconds)
            raise ClientDisconnect if self.begun else Unavailable
        finally:  # the task closes its transaction before anything else happens
            sending.cancel()
            leaving.cancel()
            await asyncio.wait({sending, leaving})

    def _start(self) -> Message:
        return {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}

    async def _send_pieces(self, send: Send) -> None:
        async with aclosing(self.pieces) as pieces:
            async for piece in pieces:
                if not self.begun:
                    await send(self._start())
                    self.begun = True
                if piece:
                    await send_piece(send, piece)
        await send({"type": "http.response.body", "body": b""})


async def send_piece(send: Send, piece: bytes) -> None:
    """Raises ClientDisconnect when the client does not take it: what is on its way is bounded."""
    try:
        async with asyncio.timeout(STALLED_SECONDS):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except TimeoutError:
        log.warning("download stalled")
        raise ClientDisconnect from None


async def gone(receive: Receive) -> None:
    """Raises ClientDisconnect when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect
