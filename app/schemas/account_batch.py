from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.problems import ProblemDetails
from app.schemas.account import AccountCreate, AccountRead, AccountUpdate
from app.schemas.base import In, Out


class BatchCreate(In):
    """An account to open."""

    action: Literal["create"]
    account: AccountCreate


class BatchUpdate(In):
    """An account to change, whatever its version."""

    action: Literal["update"]
    account_id: UUID
    account: AccountUpdate


class AccountBatch(In):
    """Up to 100 accounts to open or to change."""

    items: Annotated[
        list[Annotated[BatchCreate | BatchUpdate, Field(discriminator="action")]],
        Field(
            min_length=1,
            max_length=100,
            description="Done one after the other.",
            examples=[[{"action": "create", "account": {"name": "Nordwerk GmbH"}}]],
        ),
    ]


class BatchResult(Out):
    """What became of one item."""

    status: Annotated[int, Field(ge=200, le=599, description="As if it had been a request of its own.", examples=[201])]
    account: AccountRead | None
    problem: ProblemDetails | None


class AccountBatchRead(Out):
    """What became of each item, in the order of the request."""

    results: Annotated[list[BatchResult], Field(max_length=100)]
