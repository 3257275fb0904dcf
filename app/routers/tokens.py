"""Tokens for API clients: OAuth 2.0's client credentials grant."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response

from app import networks, proofs
from app.access import Origin, Public
from app.db import Db
from app.models import utc_now
from app.problems import (
    InvalidClient,
    InvalidScope,
    InvalidTokenRequest,
    NetworkNotAllowed,
    UnsupportedGrantType,
    UnsupportedMediaType,
    raises,
)
from app.rest import Route
from app.schemas.token import ClientToken, TokenRequest
from app.security import Tokens
from app.services import client_tokens

router = APIRouter(prefix="/v1/oauth", tags=["api clients"], route_class=Route)

FORM: Final = "application/x-www-form-urlencoded"
MAX_BODY: Final = 16_384
PROOFS: Final = frozenset({"client_secret", "client_assertion"})
ASSERTED: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIKE_OAUTH: Final = {"additionalProperties": True}
"""Fields that nobody knows are ignored (RFC 6749, 3.2)."""
TAKES_FORM: Final[Any] = {
    "requestBody": {"required": True, "content": {FORM: {"schema": TokenRequest.model_json_schema() | LIKE_OAUTH}}}
}


@router.post(
    "/token",
    response_model=ClientToken,
    dependencies=[Public],
    openapi_extra=TAKES_FORM
    | raises(InvalidTokenRequest, UnsupportedGrantType, InvalidScope, InvalidClient, NetworkNotAllowed),
)  # fmt: skip
async def create_token(request: Request, db: Db, origin: Origin, response: Response) -> dict[str, Any]:
    """Get an access token for an API client (RFC 6749, 4.4): send a form, and prove who you are in one of three ways.

    `client_secret_basic` (the Authorization header), `client_secret_post` (`client_id` and `client_secret`), or
    `private_key_jwt` (`client_assertion`, signed with the client's own key; RFC 7523). There is no refresh token: ask
    again. Unknown fields are ignored.
    """
    response.headers["Cache-Control"] = "no-store"
    form = await _form(request)
    if form.get("grant_type") != "client_credentials":
        raise UnsupportedGrantType if "grant_type" in form else InvalidTokenRequest
    proven = await _proven(request, db, form)
    if not networks.hold(proven.networks, origin.address):
        raise NetworkNotAllowed
    scope = proven.scope(form.get("scope"))
    tokens: Tokens = request.app.state.tokens
    return {
        "access_token": tokens.issue(
            proven.client_id, proven.session_id, utc_now(), client_id=str(proven.client_id), scope=scope,
            **({"service": True} if proven.service else {}),
        ),
        "token_type": "Bearer", "expires_in": int(tokens.lifetime.total_seconds()), "scope": scope,
    }  # fmt: skip


async def _form(request: Request) -> dict[str, str]:
    """The fields of the form; empty ones count as left out (RFC 6749, 3.2).

    Raises:
        UnsupportedMediaType: it is no form.
        InvalidTokenRequest: it cannot be read, or a field comes twice.
    """
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType
    body = await request.body()
    try:
        if len(body) > MAX_BODY:
            raise InvalidTokenRequest
        fields = parse_qsl(body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=20)
    except ValueError:
        raise InvalidTokenRequest from None
    found = dict(fields)
    if len(found) < len(fields):
        raise InvalidTokenRequest
    return found


async def _proven(request: Request, db: Db, form: Mapping[str, str]) -> client_tokens.Proven:
    """Who proves to be which client, in the one way that the request takes.

    Raises:
        InvalidTokenRequest: it takes none, or several.
        InvalidClient: it does not hold.
    """
    basic = proofs.basic_of(request.headers.get("Authorization", ""))
    if (basic is not None) + ("client_secret" in form) + ("client_assertion" in form) != 1:
        raise InvalidTokenRequest if basic or form.keys() & PROOFS else InvalidClient
    if basic is not None:
        name, secret = basic
        if form.get("client_id", name) != name:
            raise InvalidTokenRequest
        return await client_tokens.by_secret(db, name, secret)
    if "client_secret" in form:
        return await client_tokens.by_secret(db, form.get("client_id", ""), form["client_secret"])
    if form.get("client_assertion_type") != ASSERTED:
        raise InvalidTokenRequest
    url = request.app.state.settings.url
    audiences = (url, f"{url}{request.url.path}")
    return await client_tokens.by_assertion(db, form["client_assertion"], audiences, form.get("client_id"))
