from typing import Annotated, Literal

from pydantic import Field

from app.schemas.base import In, Out

Scope = Annotated[
    str,
    Field(
        max_length=4000,
        description="Scopes with a space between (RFC 6749, 3.3).",
        examples=["account:list account:read"],
    ),
]


class TokenRequest(In):
    """A form that asks for an access token."""

    grant_type: Literal["client_credentials"]
    scope: Annotated[Scope, Field(default=None, description="Less than all that the client may, if that will do.")]
    client_id: Annotated[
        str,
        Field(
            default=None,
            max_length=36,
            description="Id of the client, unless the Authorization header says it.",
            examples=["0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60"],
        ),
    ]
    client_secret: Annotated[
        str,
        Field(
            default=None,
            max_length=200,
            description="One of its secrets (`client_secret_post`).",
            examples=["the secret that was shown once"],
        ),
    ]
    client_assertion_type: Annotated[
        Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
        Field(default=None, description="With `client_assertion` (RFC 7523, 2.2)."),
    ]
    client_assertion: Annotated[
        str,
        Field(
            default=None,
            max_length=4096,
            description="A JWT, signed ES256, with the `kid` of a public key of the client: `iss` and `sub` its id, "
            "`aud` the issuer or this address, `jti` another one each time, `exp` in five minutes at most.",
            examples=["eyJhbGciOiJFUzI1NiJ9.e30.c2ln"],
        ),
    ]


class ClientToken(Out):
    """An access token for an API client (RFC 6749, 5.1). There is no refresh token: ask again."""

    access_token: Annotated[
        str,
        Field(max_length=4096, description="Send it as `Authorization: Bearer …`.", examples=["eyJhbGciOiJFUzI1NiJ9…"]),
    ]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(ge=0, description="Seconds.", examples=[900])]
    scope: Annotated[Scope, Field(description="What it is good for.")]
