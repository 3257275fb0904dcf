from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.schemas.base import In, Instant, Out, Password


class SessionCreate(In):
    """Log in."""

    email: Annotated[str, Field(min_length=1, max_length=254, examples=["eva@nordwerk.example.com"])]
    password: Password
    one_time_code: Annotated[
        str | None,
        Field(
            max_length=40, description="Six digits, or a recovery code. Only with a second factor.", examples=["492039"]
        ),
    ] = None


class SessionRefresh(In):
    """Renew."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=200, examples=["tnr_ZlG9"])]


class SessionTokens(Out):
    """The tokens of a session."""

    access_token: Annotated[
        str,
        Field(
            max_length=4096,
            description="Send it as `Authorization: Bearer …`.",
            examples=["eyJhbGciOiJFUzI1NiJ9.e30.c2ln"],
        ),
    ]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(ge=1, le=3600, description="Seconds.", examples=[900])]
    refresh_token: Annotated[str, Field(max_length=200, description="Good for one renewal.", examples=["tnr_ZlG9"])]
    session_id: UUID
    session_expires_at: Instant


class SessionRead(Out):
    """One log-in."""

    id: UUID
    current: Annotated[bool, Field(description="The session of this request.")]
    user_agent: Annotated[str, Field(max_length=200, examples=["curl/8.5.0"])]
    network: Annotated[str, Field(max_length=64, description="From where.", examples=["192.0.2.0/24"])]
    created_at: Instant
    last_used_at: Instant
    expires_at: Instant


class SessionList(Out):
    """The user's sessions that are in force, latest first."""

    items: Annotated[list[SessionRead], Field(max_length=1000)]
