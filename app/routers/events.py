"""The events feed: what happened in a partner, for programs."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from app.access import in_partner
from app.db import Db
from app.policy import Access, Permission
from app.problems import EventsGone, raises
from app.rest import Route
from app.schemas.event import MOST, EventFeed
from app.services import columns, feeds

router = APIRouter(prefix="/v1/partners/{partner_id}/events", tags=["events"], route_class=Route)

MayRead = Annotated[Access, in_partner(Permission.EVENT_READ)]
After = Annotated[
    int | None,
    Query(ge=0, le=MOST, examples=[4711], json_schema_extra={"format": "int64"},
          description="`cursor` of the answer before; unless given, from the oldest event that is kept."),
]  # fmt: skip
Limit = Annotated[int, Query(ge=1, le=200, description="Most events in the answer.")]
Types = Annotated[
    list[Annotated[str, Query(max_length=60, pattern=r"^[a-z_]+\.[a-z_]+$")]] | None,
    Query(max_length=50, description="Only events of these types; repeatable.", examples=[["account.updated"]]),
]
OfAccount = Annotated[UUID | None, Query(description="Only events of this account.")]


@router.get("", response_model=EventFeed, openapi_extra=raises(EventsGone))
async def list_events(request: Request, access: MayRead, db: Db, after: After = None, limit: Limit = 100,
                      types: Types = None, account_id: OfAccount = None) -> dict[str, Any]:  # fmt: skip
    """What happened in the partner, in order; whoever remembers `cursor` misses nothing and gets nothing twice.

    Events appear within a second of their change and are kept for 90 days, or what the service is set to. Whoever
    comes back later than that is told so (410 `events_gone`).
    """
    days = request.app.state.settings.event_days
    found = await feeds.read(db, after=after, limit=limit, days=days, types=types or (), account_id=account_id)
    known = await columns.load(db, access.partner_id)
    return {"items": [feeds.shown(known, event) for event in found.events], "cursor": found.until,
            "more": found.until < found.latest, "latest": found.latest}  # fmt: skip
