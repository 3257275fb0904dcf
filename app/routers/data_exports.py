"""What is kept about the signed-in user, as a file."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from app.access import Self
from app.db import Db, Sessions, UnitsOfWork, unit_of_work
from app.downloads import Download
from app.models import DataExport
from app.problems import DataExportNotReady, DataExportRunning, raises
from app.rest import Route
from app.schemas.data_export import DataExportRead
from app.services import data_exports

router = APIRouter(prefix="/v1/me/data-exports", tags=["me"], route_class=Route)

ExportId = Annotated[UUID, Path(description="Id of the export.")]
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "`records` has a record for each row that is kept: its `table`, `what` it is in a "
                    "sentence, and the `row`. docs/personal-data.md lists the tables.",
                },
                "example": {
                    "format": "tenantry-personal-data-1",
                    "user_id": "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60",
                    "created_at": "2026-11-25T10:00:00Z",
                    "records": [{"table": "users", "what": "Who you are here.", "row": {"name": "Eva"}}],
                },
            }
        }
    }
}


@router.post(
    "",
    response_model=DataExportRead,
    status_code=202,
    openapi_extra=raises(DataExportRunning) | {"x-headers": ["Location"]},
)
async def create_data_export(caller: Self, db: Db, request: Request, response: Response) -> DataExport:
    """Have all that is kept about you written into a file; it takes seconds to minutes. An earlier file is deleted.

    Secrets (password, tokens, codes) are not in it: of them only hashes are kept. Nor is what others wrote about you
    into free texts, nor the content of what you did for a partner: that is the partner's.
    """
    export = await data_exports.create(db, caller)
    response.headers["Location"] = f"{request.url.path}/{export.id}"
    return export


@router.get("/{export_id}", response_model=DataExportRead)
async def get_data_export(export_id: ExportId, caller: Self, db: Db) -> DataExport:
    """Read whether the file with your data is there, and until when. While it is being written, ask again every few
    seconds.
    """
    return await data_exports.get(db, caller, export_id)


@router.get("/{export_id}/file", response_class=Response, responses=FILE,
            openapi_extra=raises(DataExportNotReady) | {"x-headers": ["Content-Disposition"]})  # fmt: skip
async def get_data_export_file(
    export_id: ExportId, caller: Self, db: Db, begin: UnitsOfWork, request: Request
) -> Download:
    """Download the file with your data. It is JSON in UTF-8, a record on each line."""
    export = await data_exports.finished(db, caller, export_id)
    name = f"tenantry-personal-data-{export.created_at:%Y-%m-%d}.json"
    return Download(_pieces(begin, export.id), name=name, media_type="application/json",
                    seconds=request.app.state.settings.export_seconds)  # fmt: skip


async def _pieces(begin: Sessions, export_id: UUID) -> AsyncGenerator[bytes]:
    """Piece by piece, each read in a transaction of its own: a slow reader holds no connection."""
    number = 0
    while True:
        async with unit_of_work(begin) as db:
            piece = await data_exports.part(db, export_id, number)
        if piece is None:
            return
        yield piece
        number += 1
