"""The events feed: what happened in a partner, for programs."""

from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from app.access import in_partner
from app.db import Db, Sessions, UnitsOfWork, unit_of_work
from app.follows import Awaited, EventStream, Follower, Found, Item, Read
from app.policy import Access, Permission
from app.problems import EventsBusy, EventsGone, raises
from app.rest import Route
from app.schemas.event import MOST, EventFeed
from app.schemas.webhook import GivenEventType
from app.services import columns, feeds

router = APIRouter(prefix="/v1/partners/{partner_id}/events", tags=["events"], route_class=Route)

_guard = in_partner(Permission.EVENT_READ)
MayRead = Annotated[Access, _guard]
After = Annotated[
    int | None,
    Query(ge=0, le=MOST, examples=[4711], json_schema_extra={"format": "int64"},
          description="`cursor` of the answer before; unless given, from the oldest event that is kept."),
]  # fmt: skip
Limit = Annotated[int, Query(ge=1, le=200, description="Most events in the answer.")]
Types = Annotated[
    list[GivenEventType] | None,
    Query(max_length=50, description="Only events of these types, as `EventRead` names them; repeatable.",
          examples=[["account.updated"]]),
]  # fmt: skip
OfAccount = Annotated[UUID | None, Query(description="Only events of this account.")]


Wait = Annotated[
    int,
    Query(ge=0, le=30, description="Seconds to wait for events if there are none yet; the answer comes with the first. "
          "0: it comes at once."),
]  # fmt: skip
LastEventId = Annotated[
    int | None,
    Header(alias="Last-Event-ID", ge=0, le=MOST, examples=[4711], json_schema_extra={"format": "int64"},
           description="Position to go on behind, as `EventSource` sends it when it connects again; it counts before "
           "`after`."),
]  # fmt: skip
FromNow = Annotated[
    int | None,
    Query(ge=0, le=MOST, examples=[4711], json_schema_extra={"format": "int64"},
          description="Position to go on behind; unless given, what happens from now on is told."),
]  # fmt: skip


@router.get("", response_model=EventFeed, openapi_extra=raises(EventsGone, EventsBusy))
async def list_events(
    request: Request, access: MayRead, db: Db, begin: UnitsOfWork, after: After = None, limit: Limit = 100,
    types: Types = None, account_id: OfAccount = None, wait: Wait = 0,
) -> Response:  # fmt: skip
    """List what happened in the partner, in order. Whoever remembers `cursor` misses nothing and gets nothing twice.

    Events appear within a second of their change and are kept for 90 days, or what the service is set to. Whoever comes
    back later than that is told so (410 `events_gone`). With `wait`, the answer comes with the next event that passes
    the filters, or empty when the time is over.
    """
    asked = Asked(request, limit, tuple(types or ()), account_id)
    found = await asked.read(db, access, after)
    if found.items or found.more or not wait or "head" in request.scope:
        return found.answer()
    return Awaited(Follower(request, access.partner_id, found.until, asked.again(begin, access.partner_id)), wait)


STREAM: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/event-stream": {
    "schema": {
        "type": "string", "maxLength": 2_147_483_647, "pattern": "^[^\\u0000]*$",
        "description": "Server-Sent Events in UTF-8. Of each event, `id` is its position, `event` its type, and `data` "
        "the event as JSON in one line: the schema `EventRead`. A comment, with the position up to which filters "
        "were looked through, comes whenever nothing else did for 15 seconds.",
    },
    "example": "retry: 2000\nid: 4710\n\nid: 4711\nevent: account.updated\ndata: {\"position\": 4711, …}\n\n",
}}}}  # fmt: skip


@router.get("/stream", response_class=Response, responses=STREAM, openapi_extra=raises(EventsGone, EventsBusy))
async def stream_events(
    request: Request, access: MayRead, db: Db, begin: UnitsOfWork, after: FromNow = None, types: Types = None,
    account_id: OfAccount = None, last_event_id: LastEventId = None,
) -> EventStream:  # fmt: skip
    """Tell what happens in the partner while it happens: Server-Sent Events (WHATWG HTML).

    The stream ends after ten minutes, or what the service is set to, and when the token or the right does: connect
    again with `Last-Event-ID`, and nothing is missed.
    """
    position, source = (after, "query:after") if last_event_id is None else (last_event_id, "header:Last-Event-ID")
    begun, latest = await feeds.place(db, position, days=request.app.state.settings.event_days, source=source)
    asked = Asked(request, STREAMED, tuple(types or ()), account_id)
    read = asked.again(begin, access.partner_id)
    return EventStream(Follower(request, access.partner_id, latest if position is None else begun, read))


STREAMED: Final = 50
"""Events that are read, and are in memory, at a time."""


@dataclass(frozen=True)
class Asked:
    """What is asked of the feed."""

    request: Request
    limit: int
    types: tuple[str, ...]
    account_id: UUID | None

    async def read(self, db: AsyncSession, access: Access, after: int | None) -> Found:
        days = self.request.app.state.settings.event_days
        stretch = await feeds.read(db, after=after, limit=self.limit, days=days, types=self.types,
                                   account_id=self.account_id)  # fmt: skip
        if not stretch.events:
            return Found((), stretch.until, stretch.latest)
        known = await columns.load(db, access.partner_id)
        items = [Item(e.position or 0, e.type, feeds.told(known, e)) for e in stretch.events]
        return Found(items, stretch.until, stretch.latest)

    def again(self, begin: Sessions, partner_id: UUID) -> Read:
        """The same from another position, later: past the guard again, in a transaction of its own."""

        async def read(after: int) -> Found:
            async with unit_of_work(begin) as db:
                access: Access = await _guard.dependency(self.request, db, partner_id)
                return await self.read(db, access, after)

        return read
