from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.models.data_export import DataExportStatus
from app.schemas.base import Instant, Out


class DataExportRead(Out):
    """A file of all that is kept about the signed-in user."""

    id: UUID
    status: Annotated[DataExportStatus, Field(description="`done`: the file is there.")]
    records: Annotated[int, Field(ge=0, description="How many records it has so far.", examples=[184])]
    created_at: Instant
    finished_at: Annotated[Instant | None, Field(description="Null while it is being written.")]
    expires_at: Annotated[Instant, Field(description="When the file will be deleted: 7 days after it is done.")]
