"""Saved views of the accounts table."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app.access import in_partner
from app.db import Db
from app.models import View
from app.policy import Access, Permission
from app.problems import NameTaken, PreconditionRequired, TooManyOwnViews, TooManyViews, VersionMismatch, raises
from app.rest import IdempotentRoute, IfMatch, Page, PageQuery, created, tagged
from app.routers.listing import list_query, page_of
from app.schemas.view import ViewCreate, ViewRead, ViewUpdate
from app.services import columns, lists, views

router = APIRouter(prefix="/v1/partners/{partner_id}/views", tags=["views"], route_class=IdempotentRoute)

MayRead = Annotated[Access, in_partner(Permission.VIEW_READ)]
MayManage = Annotated[Access, in_partner(Permission.VIEW_MANAGE)]
ViewQuery = Annotated[lists.Query, list_query(views.TABLE)]
ViewId = Annotated[UUID, Path(description="Id of the view.")]


@router.get("", response_model=Page[ViewRead])
async def list_views(access: MayRead, db: Db, page: PageQuery, query: ViewQuery, response: Response) -> Page[Any]:
    """List the saved views of the accounts table. You see those that are shared in the partner, and your own private
    ones.
    """
    known = await columns.load(db, access.partner_id)
    found = await views.listed(db, access, query, limit=page.limit, after=page.after, count=page.count)
    return page_of(found, page, response, lambda view: views.shown(known, access, view))


@router.post(
    "", response_model=ViewRead, status_code=201, openapi_extra=raises(NameTaken, TooManyViews, TooManyOwnViews)
)
async def create_view(
    body: ViewCreate, access: MayManage, db: Db, request: Request, response: Response
) -> dict[str, Any]:
    """Save columns, conditions and order of the accounts table under a name. Each wrong part has its own pointer."""
    view = await views.create(db, access, body.model_dump())
    created(response, request, view, view.id)
    return await _shown(db, access, view, response)


@router.get("/{view_id}", response_model=ViewRead)
async def get_view(view_id: ViewId, access: MayRead, db: Db, response: Response) -> dict[str, Any]:
    """One view, as it was saved. A private view of somebody else does not exist."""
    return await _shown(db, access, await views.get(db, access, view_id), response)


@router.patch(
    "/{view_id}", response_model=ViewRead, openapi_extra=raises(NameTaken, VersionMismatch, PreconditionRequired)
)
async def update_view(
    body: ViewUpdate, view_id: ViewId, access: MayManage, db: Db, match: IfMatch, response: Response
) -> dict[str, Any]:
    """Change a view, or share it. A shared view belongs to all who manage views; only its owner makes it private."""
    view = match.check(await views.get(db, access, view_id, lock=True))
    return await _shown(db, access, await views.update(db, access, view, body.model_dump(exclude_unset=True)), response)


@router.delete("/{view_id}", status_code=204, openapi_extra=raises(VersionMismatch, PreconditionRequired))
async def delete_view(view_id: ViewId, access: MayManage, db: Db, match: IfMatch) -> None:
    """Delete a view. No account changes."""
    await views.delete(db, access, match.check(await views.get(db, access, view_id, lock=True)))


async def _shown(db: Db, access: Access, view: View, response: Response) -> dict[str, Any]:
    known = await columns.load(db, access.partner_id)
    tagged(response, view, 2 * known.version + columns.masks(access))  # what is broken depends on both
    return views.shown(known, access, view)
