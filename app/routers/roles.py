"""The policy, and the keys that verify our tokens."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app.access import Public
from app.policy import GRANTS, Permission, Role, scopes_of
from app.rest import Route
from app.schemas.role import JsonWebKeySet, RolesRead, ServerMetadata

router = APIRouter(tags=["policy"], route_class=Route, dependencies=[Public])


@router.get("/v1/roles", response_model=RolesRead)
async def list_roles() -> dict[str, Any]:
    """List the roles, and what each may do: the whole policy. What an operation needs is its `x-permission` in this
    document.
    """
    return {
        "items": [{"role": role, "permissions": [p for p, roles in GRANTS.items() if role in roles]} for role in Role]
    }


@router.get("/.well-known/jwks.json", response_model=JsonWebKeySet)
async def get_jwks(request: Request, response: Response) -> dict[str, Any]:
    """Get the public keys (RFC 7517) that verify what the service signs. These are access tokens, ours and those of
    accounts, and licence files.
    """
    response.headers["Cache-Control"] = "public, max-age=300"
    return {"keys": request.app.state.keys.jwks}


GRANTABLE = scopes_of(Role.PARTNER_ADMIN) | scopes_of(Role.SERVICE)


@router.get("/.well-known/oauth-authorization-server", response_model=ServerMetadata)
async def get_server_metadata(request: Request) -> dict[str, Any]:
    """Get the metadata of the authorization server (RFC 8414). It is what another service needs to verify tokens."""
    url = request.app.state.settings.url
    return {
        "issuer": url,
        "jwks_uri": f"{url}/.well-known/jwks.json",
        "token_endpoint": f"{url}/v1/oauth/token",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "scopes_supported": [p for p in Permission if p in GRANTABLE],
        "response_types_supported": ["none"],
    }
