from typing import Annotated, Literal

from pydantic import Field

from app.policy import Permission, Role
from app.schemas.base import Out


class RoleRead(Out):
    """A role and what it may do."""

    role: Role
    permissions: Annotated[list[Permission], Field(max_length=200)]


class RolesRead(Out):
    """The whole policy."""

    items: Annotated[list[RoleRead], Field(max_length=50)]


class JsonWebKey(Out):
    """A public key (RFC 7517): EC on P-256, for ES256."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Annotated[str, Field(max_length=64, examples=["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"])]
    y: Annotated[str, Field(max_length=64, examples=["x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"])]
    kid: Annotated[
        str,
        Field(
            max_length=64,
            description="RFC 7638 thumbprint.",
            examples=["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"],
        ),
    ]
    alg: Literal["ES256"]
    use: Literal["sig"]


class JsonWebKeySet(Out):
    """The keys in use; cache them, and fetch them again when a token names an unknown `kid`."""

    keys: Annotated[list[JsonWebKey], Field(max_length=10)]


class ServerMetadata(Out):
    """RFC 8414."""

    issuer: Annotated[
        str, Field(max_length=300, description="`iss` of every token.", examples=["https://api.example.com"])
    ]
    jwks_uri: Annotated[str, Field(max_length=300, examples=["https://api.example.com/.well-known/jwks.json"])]
    token_endpoint: Annotated[str, Field(max_length=300, examples=["https://api.example.com/v1/oauth/token"])]
    grant_types_supported: Annotated[list[Literal["client_credentials"]], Field(max_length=1)]
    token_endpoint_auth_methods_supported: Annotated[
        list[Literal["client_secret_basic", "client_secret_post", "private_key_jwt"]], Field(max_length=3)
    ]
    token_endpoint_auth_signing_alg_values_supported: Annotated[list[Literal["ES256"]], Field(max_length=1)]
    scopes_supported: Annotated[
        list[Permission], Field(max_length=200, description="Those that an API client, or a service client, may have.")
    ]
    response_types_supported: Annotated[list[Literal["none"]], Field(max_length=1)]
