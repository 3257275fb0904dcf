"""Answers of the events feed that wait: for the next events, or for one after the other (Server-Sent Events).

They hold no transaction. Each reading asks in one of its own who calls, as every request does: whoever was removed, or
whose token ended, while they waited gets nothing more.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.bells import Bell, Waiter
from app.db import is_outage, is_transient
from app.downloads import Places, gone, send_piece
from app.problems import Problem
from app.rest import conditional

log = structlog.get_logger()

BREATH: Final = 1.0
"""Seconds until somebody looks again who was woken for nothing: for what their filters do not let pass."""
HEARTBEAT: Final = 15.0
"""Seconds without a word after which a stream says that it is there, once it knows that it still may."""

SURE: Final = 5.0
"""Seconds for which it is good that somebody may."""


class Item(NamedTuple):
    """One event, as JSON."""

    position: int
    type: str
    json: bytes

    def block(self) -> bytes:
        """As Server-Sent Events have it; there is no line break in the JSON."""
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (self.position, self.type.encode(), self.json)


class Found(NamedTuple):
    """A stretch of the feed: what passed the filters, how far was looked, and where the feed ends."""

    items: Sequence[Item]
    until: int
    latest: int

    @property
    def more(self) -> bool:
        return self.until < self.latest

    def answer(self) -> Response:
        items = b",".join(item.json for item in self.items)
        more = b"true" if self.more else b"false"
        body = b'{"items":[%b],"cursor":%d,"more":%b,"latest":%d}' % (items, self.until, more, self.latest)
        return Response(body, media_type="application/json")


Read = Callable[[int], Awaitable[Found]]


@dataclass(frozen=True)
class Follower:
    """Somebody who follows a partner's events from a position on; `read` also asks whether they still may."""

    request: Request
    partner_id: UUID
    after: int
    read: Read

    @property
    def bell(self) -> Bell:
        bell: Bell = self.request.app.state.bell
        return bell

    @property
    def places(self) -> Places:
        places: Places = self.request.app.state.waiters
        return places

    async def look(self, after: int) -> Found:
        async with self.bell.readers:
            return await self.read(after)

    async def pause(self, waiter: Waiter, seconds: float, found: Found) -> None:
        """Until it is worth looking again; that is no time of ours in the figures."""
        began, scope = time.monotonic(), self.request.scope
        await waiter.wait(seconds, seen=found.latest)
        scope["waited"] = scope.get("waited", 0.0) + time.monotonic() - began


class _Late(Response):
    """An answer that is made while it is sent, for as long as the client is there."""

    late = True

    def __init__(self, follower: Follower, *, media_type: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(media_type=media_type, headers=headers)
        self.follower = follower
        del self.headers["Content-Length"]

    async def _while_there(self, work: Coroutine[Any, Any, None], receive: Receive) -> None:
        """Raises ClientDisconnect when the client goes first."""
        working, leaving = asyncio.create_task(work), asyncio.create_task(gone(receive))
        try:
            done, _ = await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            (working if working in done else leaving).result()
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.wait({working, leaving})


class Awaited(_Late):
    """The next events: as soon as there are some, or none when the time is over."""

    def __init__(self, follower: Follower, seconds: float) -> None:
        super().__init__(follower, media_type="application/json")
        self.until = time.monotonic() + seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._while_there(self._answer(scope, receive, send), receive)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = await self._found()
        response = conditional(self.follower.request, found.answer(), tag_content=True)
        await response(scope, receive, send)

    async def _found(self) -> Found:
        me = self.follower
        with me.places.taken(me.partner_id), me.bell.waiting(me.partner_id) as waiter:
            found = await me.look(me.after)
            while not found.items and not me.bell.closing and (left := self.until - time.monotonic()) > 0:
                if not found.more:
                    await me.pause(waiter, left, found)
                latest, found = found.latest, await me.look(found.until)
                if not found.items and found.latest > latest and not found.more:
                    await asyncio.sleep(max(0.0, min(BREATH, self.until - time.monotonic())))
            return found


class EventStream(_Late):
    """Server-Sent Events (WHATWG HTML, 9.2): one event after the other, until the right or the time is over.

    One stretch is in memory at a time, and the next is read when the client has taken it.
    """

    def __init__(self, follower: Follower) -> None:
        # proxies that collect answers before they pass them on are asked not to
        super().__init__(follower, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self.cursor = follower.after
        self.told_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        try:
            await self._while_there(self._stream(scope, send), receive)
        finally:
            scope["waited"] = time.monotonic() - started

    async def _stream(self, scope: Scope, send: Send) -> None:
        me = self.follower
        with me.places.taken(me.partner_id), me.bell.waiting(me.partner_id) as waiter:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if not scope.get("head"):
                await self._tell(send, b"retry: 2000\nid: %d\n\n" % self.cursor)
                await self._follow(waiter, send)
        await send({"type": "http.response.body", "body": b""})

    async def _follow(self, waiter: Waiter, send: Send) -> None:
        me, latest = self.follower, None
        end = time.monotonic() + me.request.app.state.settings.event_stream_seconds
        while not me.bell.closing and (now := time.monotonic()) < end:
            found = await self._look()
            if found is None:
                return
            await self._tell_all(found, send)
            if self.cursor < found.latest:
                continue
            if self.told_at + HEARTBEAT <= now:
                # An id without data is remembered and dispatched as nothing: who comes back begins behind what their
                # filters kept from them.
                await self._tell(send, b":\nid: %d\n\n" % self.cursor)
            if not found.items and latest not in (None, found.latest):
                await asyncio.sleep(BREATH)
            latest = found.latest
            await me.pause(waiter, max(0.0, min(self.told_at + HEARTBEAT, end) - time.monotonic()), found)

    async def _tell_all(self, found: Found, send: Send) -> None:
        """Tell a stretch; a part of it, if that takes long: whether they still may is asked again then."""
        began = time.monotonic()
        for item in found.items:
            await self._tell(send, item.block())
            self.cursor = item.position
            if time.monotonic() - began > SURE:
                return
        self.cursor = found.until

    async def _look(self) -> Found | None:
        """What comes next; None: nothing more for them, or not now. When they come back, they are told why."""
        try:
            return await self.follower.look(self.cursor)
        except Problem:
            return None
        except (DBAPIError, OSError, PoolTimeout) as error:
            if not (is_outage(error) or is_transient(error)):
                raise
            log.warning("stream ended", error=type(error).__name__)
            return None

    async def _tell(self, send: Send, piece: bytes) -> None:
        await send_piece(send, piece)
        self.told_at = time.monotonic()
