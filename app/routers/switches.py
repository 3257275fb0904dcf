"""Entering an account."""

from typing import Annotated, Any

from fastapi import APIRouter, Request

from app.access import in_account
from app.db import Db
from app.models import utc_now
from app.policy import Access, Permission
from app.problems import AccountArchived, AccountSuspended, NotAMember, raises
from app.rest import Route
from app.schemas.account import AccountToken
from app.security import Tokens
from app.services import accounts

# No Idempotency-Key here: the answer is a token, and no table holds one.
router = APIRouter(prefix="/v1/partners/{partner_id}/accounts", tags=["accounts"], route_class=Route)

MayEnter = Annotated[Access, in_account(Permission.ACCOUNT_ENTER)]


@router.post(
    "/{account_id}/switch",
    response_model=AccountToken,
    openapi_extra=raises(NotAMember, AccountSuspended, AccountArchived),
)
async def switch_account(access: MayEnter, db: Db, request: Request) -> dict[str, Any]:
    """Enter an account: an access token that is good for it alone. Members only, partner admins included."""
    account = await accounts.get(db, access)
    accounts.refuse_inactive(account)
    tokens: Tokens = request.app.state.tokens
    (role,) = access.roles
    token = tokens.issue(
        access.user_id, access.caller.session_id, utc_now(),
        partner_id=str(account.partner_id), account_id=str(account.id), role=role.value,
    )  # fmt: skip
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": int(tokens.lifetime.total_seconds()),
        "partner_id": account.partner_id,
        "account_id": account.id,
        "role": role,
    }
