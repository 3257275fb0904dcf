from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.models.job import JobKind, JobStatus
from app.schemas.base import Instant, Out


class JobRead(Out):
    """What a worker does for the partner over minutes."""

    id: Annotated[UUID, Field(description="The same as at `url`.")]
    kind: Annotated[JobKind, Field(description="More kinds will follow: pass over those that you do not know.")]
    status: Annotated[
        JobStatus,
        Field(description="`waiting`: for somebody. An import waits to be confirmed when its dry run is over."),
    ]
    title: Annotated[str, Field(max_length=200, description="Of an import: the file's name.", examples=["new.csv"])]
    url: Annotated[
        str,
        Field(
            max_length=200,
            description="Where all that there is to know of it is, and what may be done with it.",
            examples=[
                "/v1/partners/0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60/account-imports/0198c5b2-8a1e-7c3d-9f60-4b2a1d3e5f60"
            ],
        ),
    ]
    done: Annotated[int, Field(ge=0, description="Units of work that are done: of an import, rows.", examples=[1200])]
    total: Annotated[int | None, Field(ge=0, description="How many there are; null until that is known.")]
    created_by: Annotated[UUID, Field(description="The user who started it, or for whom an API client did.")]
    client_id: Annotated[UUID | None, Field(description="The API client that set it going last; null: a person did.")]
    created_at: Instant
    updated_at: Instant
    finished_at: Annotated[Instant | None, Field(description="Null while it is not over.")]
