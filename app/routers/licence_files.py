"""Licence files: what an account may use, signed, for devices that cannot ask."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from app.access import in_account
from app.db import Db
from app.policy import Access, Permission
from app.problems import AccountArchived, AccountSuspended, raises
from app.rest import Route
from app.schemas.licence_file import LicenceFileContent
from app.security import Tokens
from app.services import licence_files, terms

MEDIA_TYPE: Final = "application/jwt"
router = APIRouter(tags=["entitlements"], route_class=Route)

MayRead = Annotated[Access, in_account(Permission.ENTITLEMENT_READ)]
Days = Annotated[
    int | None,
    Query(ge=1, le=90, examples=[30], description="For how many days of 24 hours it is good; unless given, 30 or "
          "what the service is set to. What ends earlier says so in the file."),
]  # fmt: skip
FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {MEDIA_TYPE: {
        "schema": {"type": "string", "maxLength": 1_000_000, "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}$",
                   "description": "A JWS in compact form (RFC 7515), signed with ES256; `typ` is `licence+jwt`."},
        "example": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImxpY2VuY2Urand0In0.eyJpc3MiOiJodHRwczovL3RlbmFudHJ5In0.c2lnbmF0dXJl",
    }}}
}  # fmt: skip


@router.get(
    "/v1/partners/{partner_id}/accounts/{account_id}/licence-file",
    response_class=Response, responses=FILE, openapi_extra=raises(AccountSuspended, AccountArchived),
)  # fmt: skip
async def get_licence_file(access: MayRead, db: Db, request: Request, days: Days = None) -> Response:
    """What an account may use, as a signed file: a device without a connection verifies it with the published keys.

    It holds the limit of each feature now and every change that the clock alone will bring while the file is good. It
    is no access token. A licence that is revoked later is still in the files that were made before.
    """
    tokens: Tokens = request.app.state.tokens
    at = terms.now()
    until = at + timedelta(days=days or request.app.state.settings.licence_file_days)
    file = await licence_files.issue(db, access, at, until, taken="head" not in request.scope)
    content = LicenceFileContent.model_validate(file.content).model_dump(mode="json")
    signed = tokens.licence_file(file.id, access.account, at, until, content)
    name = f'attachment; filename="licences-{access.account}.jwt"'
    return Response(signed, media_type=MEDIA_TYPE, headers={"Content-Disposition": name})
