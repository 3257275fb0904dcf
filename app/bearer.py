"""What a caller sends to say who calls: an access token, or the key of an API client (RFC 6750)."""

import hmac
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from fastapi import Request
from sqlalchemy import select

from app import networks, proofs, security
from app.db import unit_of_work
from app.limits import Limits
from app.models import ApiCredential, Session
from app.problems import Unauthenticated
from app.recent import Recent
from app.records import record
from app.turns import Turns

MAX_KNOWN: Final = 10_000


@record
class Token:
    """A verified token or key: whose it is (a user's, or an API client's) and of which session.

    With an account, it is good for that account alone; with scopes, for these permissions alone.
    """

    bearer_id: UUID
    session_id: UUID
    partner_id: UUID | None = None
    account_id: UUID | None = None
    scopes: frozenset[str] | None = None
    service: bool = False


async def token_of(request: Request) -> Token:
    """Whether its session goes on is not looked up here: the guards ask for that together with all else.

    Raises:
        Unauthenticated: there is none, or it is not ours, or no longer good.
        TooManyRequests: its bearer sends too many; or its network, of such as prove nothing.
    """
    limits: Limits = request.app.state.limits
    try:
        token = await _sent(request)
    except Unauthenticated:
        await take_as_stranger(request)
        raise
    await limits.take(request, limits.service if token.service else limits.credential, token.session_id.bytes)
    turns: Turns = request.app.state.turns
    await turns.take(request, token.session_id)
    return token


async def take_as_stranger(request: Request) -> None:
    """Spend the units of the network that the request comes from.

    Raises:
        TooManyRequests: it has none left.
    """
    limits: Limits = request.app.state.limits
    network = networks.around(request.client.host if request.client else None)
    secret = request.app.state.keys.derived("rates")  # the table tells nobody whose network it counts
    await limits.take(request, limits.address, hmac.digest(secret, network.encode(), "sha256"))


async def _sent(request: Request) -> Token:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    text = credentials.strip()
    if text.startswith(proofs.KEY_PREFIX):
        return await _of_key(request, text)
    claims: Mapping[str, Any] = request.app.state.tokens.verify(text)
    scope = claims.get("scope")
    return Token(claims["sub"], claims["sid"], claims.get("partner_id"), claims.get("account_id"),
                 None if scope is None else frozenset(scope.split()), bool(claims.get("service")))  # fmt: skip


async def _of_key(request: Request, key: str) -> Token:
    """What was once found right stays so: no two keys are of one session, and whether that goes on is asked each time.

    Raises:
        Unauthenticated: it is none that was ever given out.
    """
    print_ = security.digest(key)
    token = _known.get(print_)
    if token is None:
        session_id = proofs.id_in_key(key)
        if session_id is None:
            raise Unauthenticated
        async with unit_of_work(request.app.state.sessions) as db:
            found = (await db.execute(
                select(ApiCredential.secret_hash, Session.client_id, Session.client_partner_id)
                .join(Session, Session.id == ApiCredential.id)
                .where(ApiCredential.id == session_id)
            )).one_or_none()  # fmt: skip
        if found is None or not hmac.compare_digest(found.secret_hash or b"", print_):
            raise Unauthenticated
        client_id = UUID(int=found.client_id.int)  # the driver's ids are of a type of their own
        token = _known.note(print_, Token(client_id, session_id, service=found.client_partner_id is None))
    return token


_known = Recent[bytes, Token](MAX_KNOWN)
"""Keys, by their hash."""
