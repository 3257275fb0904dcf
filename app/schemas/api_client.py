from ipaddress import ip_network
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.models.api_client import CredentialKind
from app.policy import Permission
from app.schemas.base import GivenInstant, In, Instant, Name, Out, ShownName


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise PydanticCustomError("network", "no network") from None


def _once(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("duplicate_key", "every one once")
    return values


CLIENT_NAME = Field(description="Unique among the clients there that are not revoked.", examples=["ERP Nordwerk"])
ClientName = Annotated[Name, CLIENT_NAME]
Scopes = Annotated[
    list[Permission],
    Field(
        min_length=1,
        max_length=100,
        description="All that it may: permissions, as `x-permission` of each operation names them. Never more than its "
        "owner may, and never the making of other API clients.",
        examples=[["account:list", "account:read"]],
    ),
    AfterValidator(_once),
]
Network = Annotated[str, Field(min_length=2, max_length=49, pattern=r"^[0-9a-fA-F.:/]+$", examples=["203.0.113.0/24"])]
GivenNetwork = Annotated[Network, AfterValidator(_network)]
NETWORKS = Field(
    max_length=50,
    description="Where it may call from: networks in CIDR notation (RFC 4632), or addresses; empty: from everywhere.",
    examples=[["203.0.113.0/24"]],
)
GivenNetworks = Annotated[list[GivenNetwork], NETWORKS, AfterValidator(_once)]
ExpiresAt = Annotated[
    GivenInstant | None, Field(description="When it and all that it has ends by itself; null: never.")
]
OVERLAP = Field(
    ge=0,
    le=8760,
    strict=True,
    description="Hours in which all its other secrets and keys are still good: time to put the new one in place. 0 "
    "ends them at once; null: they stay.",
    examples=[24],
)


class ApiClientCreate(In):
    """A program that is to call for whoever makes it."""

    name: ClientName
    scopes: Scopes
    networks: Annotated[GivenNetworks, Field(default_factory=list[str])]
    expires_at: ExpiresAt = None


class ApiClientUpdate(In):
    """JSON merge patch: a field left out stays as it is. Lists are replaced as a whole. It counts at once."""

    name: Annotated[ClientName, Field(default=None, validate_default=False)]
    scopes: Annotated[Scopes, Field(default=None, validate_default=False)]
    networks: Annotated[GivenNetworks, Field(default=None, validate_default=False)]
    expires_at: ExpiresAt = None


Coordinate = Annotated[str, Field(min_length=43, max_length=43, pattern=r"^[A-Za-z0-9_-]+$")]


class PublicKey(In):
    """The public half of an EC key on P-256 (RFC 7517), for ES256."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: Annotated[Coordinate, Field(examples=["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"])]
    y: Annotated[Coordinate, Field(examples=["x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"])]
    alg: Annotated[Literal["ES256"], Field(default="ES256", description="May be left out.")]
    use: Annotated[Literal["sig"], Field(default="sig", description="May be left out.")]


class SecretCreate(In):
    """A new secret, made here."""

    kind: Literal["secret"]
    overlap_hours: Annotated[int | None, OVERLAP] = None


class PublicKeyCreate(In):
    """A public key of the client's own, for `private_key_jwt` (RFC 7523)."""

    kind: Literal["public_key"]
    public_key: Annotated[
        PublicKey,
        Field(description="Never send the private half.", examples=[{
            "kty": "EC", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }]),
    ]  # fmt: skip
    overlap_hours: Annotated[int | None, OVERLAP] = None


CredentialCreate = Annotated[SecretCreate | PublicKeyCreate, Field(discriminator="kind")]


class CredentialRead(Out):
    """A secret or a key that a client can prove itself with."""

    id: UUID
    kind: CredentialKind
    hint: Annotated[
        str,
        Field(max_length=64, description="The last characters of a secret; of a key its `kid` (RFC 7638), which "
              "assertions name.", examples=["x4Kd"]),
    ]  # fmt: skip
    expires_at: Annotated[Instant | None, Field(description="When it ends by itself; null: with its client.")]
    created_at: Instant
    last_used_at: Annotated[Instant | None, Field(description="To within five minutes; null: not yet.")]


Secret = Annotated[
    str | None,
    Field(
        max_length=80,
        description="Shown this once, and never again: only its hash is kept. It is the `client_secret`, and a bearer "
        "token as it is. Null: there is none with a public key.",
        examples=["tnk_0aZ…"],
    ),
]


class CredentialCreated(CredentialRead):
    """A credential as it is shown once, when it is made."""

    secret: Secret


class ApiClientRead(Out):
    """A program that calls for a partner, or for the cloud."""

    id: Annotated[UUID, Field(description="Also its `client_id`.")]
    partner_id: Annotated[UUID | None, Field(description="Null: a service of the cloud, which comes to all partners.")]
    name: Annotated[ShownName, Field(examples=["ERP Nordwerk"])]
    owner_id: Annotated[UUID, Field(description="The user for whom it acts; it may no more than the owner.")]
    status: Annotated[
        Literal["active", "expired", "owner_gone", "revoked"],
        Field(description="`owner_gone`: its owner is not there any more, and it is refused until it is taken over."),
    ]
    scopes: Annotated[list[Permission], Field(max_length=100, description="All that it may.")]
    networks: Annotated[list[Network], NETWORKS]
    expires_at: Annotated[Instant | None, Field(description="When it ends by itself; null: never.")]
    revoked_at: Annotated[Instant | None, Field(description="When it was revoked; null: it is not.")]
    last_used_at: Annotated[Instant | None, Field(description="To within five minutes; null: not yet.")]
    credentials: Annotated[
        list[CredentialRead], Field(max_length=10, description="Those that are in force, the newest first.")
    ]
    created_at: Instant
    updated_at: Instant


class ApiClientCreated(ApiClientRead):
    """A client as it is shown once, when it is made."""

    secret: Secret
