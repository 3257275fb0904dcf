"""Many accounts in one call."""

from typing import Annotated, Any

from fastapi import APIRouter, Request

from app.access import in_partner
from app.db import Db
from app.faults import document
from app.policy import Access, Permission
from app.problems import Problem
from app.rest import BARE, IdempotentRoute
from app.schemas.account_batch import AccountBatch, AccountBatchRead, BatchCreate
from app.services import batches

router = APIRouter(prefix="/v1/partners/{partner_id}/account-batches", tags=["accounts"], route_class=IdempotentRoute)

MayChange = Annotated[Access, in_partner(Permission.ACCOUNT_CREATE)]


@router.post("", response_model=AccountBatchRead, openapi_extra=BARE)
async def run_account_batch(body: AccountBatch, access: MayChange, db: Db, request: Request) -> dict[str, Any]:
    """Open or change up to 100 accounts. Each item succeeds or fails by itself, as a request of its own would.

    But if one does not fit the contract, the whole body is refused (422, `/items/6/account/name`), and nothing is done.
    """
    items = [
        batches.Item(None, i.account.model_dump())
        if isinstance(i, BatchCreate)
        else batches.Item(i.account_id, i.account.model_dump(exclude_unset=True))
        for i in body.items
    ]
    results = zip(items, await batches.run(db, access, items), strict=True)
    return {"results": [_shown(request, item, result) for item, result in results]}


def _shown(request: Request, item: batches.Item, result: dict[str, Any] | Problem) -> dict[str, Any]:
    if isinstance(result, Problem):
        return {"status": result.status, "account": None, "problem": document(request.scope, result)}
    status = 201 if item.account_id is None else 200
    return {"status": status, "account": result, "problem": None}
