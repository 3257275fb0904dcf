from typing import Annotated
from uuid import UUID

from pydantic import Field

from app.models import FeatureKind
from app.schemas.base import Instant, Out, ShownName


class FileLevel(Out):
    """How much there is of a feature at a moment."""

    limit: int
    reach: int | None
    max_units_per_claim: int | None


class FileChange(FileLevel):
    """The same from a moment to come on."""

    at: Instant


class FileEntitlement(FileLevel):
    """What the account may use of a feature."""

    feature: str
    kind: FeatureKind
    expires_at: Instant | None
    changes: list[FileChange]


class LicenceFileContent(Out):
    """What a licence file says, besides what every token says."""

    partner_id: UUID
    account_id: UUID
    account_name: ShownName
    entitlements: Annotated[list[FileEntitlement], Field(description="By feature.")]
