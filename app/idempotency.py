"""A POST that is repeated with the same Idempotency-Key has its effect once, and gets the first answer again."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final, cast
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy import DateTime, Integer, LargeBinary, String, Uuid, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.db import sqlstate
from app.express import Driver, Prepared, param, transaction
from app.models import StoredAnswer, utc_now
from app.problems import Fault, Invalid, KeyInUse, KeyReused, Text
from app.security import opened, sealed
from app.tenancy import confine

LOCK_TIMEOUT: Final = "55P03"
KEPT_HEADERS = ("ETag", "Location", "Content-Type")
UNFINISHED: Final = 0
"""The status of an answer that is not there yet. Others see it only of what is done outside of transactions."""
LONGEST: Final = timedelta(minutes=1)
"""So long what is done outside may take; after that, whoever did it is gone."""
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
KEY_FAULT = Fault("header:idempotency-key", "string_pattern_mismatch",
                  Text("1 to 255 visible ASCII characters.", "1 bis 255 sichtbare ASCII-Zeichen."))  # fmt: skip


SEALED: Final = "Tenantry-Sealed"
"""Says, among the headers that are kept, that the body is encrypted. It is never sent."""


def keep_sealed(request: Request) -> None:
    """Called by an endpoint whose answer shows a secret: what is kept of it, no copy of the database tells."""
    request.scope["sealed_answer"] = True


class Replay(Exception):
    """Ends the request early with the answer that was stored."""

    def __init__(self, response: Response) -> None:
        self.response = response


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= 255 and key.isascii() and key.isprintable() and " " not in key):
        raise Invalid(errors=[KEY_FAULT])
    return key


def fingerprint(request: Request, body: bytes) -> bytes:
    target = f"{request.method} {request.url.path}?{request.url.query}\n"
    return hashlib.sha256(target.encode() + body).digest()


async def recall(request: Request, db: AsyncSession, partner_id: UUID, actor_id: UUID) -> None:
    """Called by the guard once it has granted access: claim the key, or replay what it got before.

    A twin that runs at the same time waits here for the first one's commit.

    Raises:
        Replay: the stored answer.
        KeyReused: the key came with a different request before.
    """
    if "idempotency" not in request.scope:
        return
    key, print_ = request.scope["idempotency"]
    row = StoredAnswer(
        partner_id=partner_id, actor_id=actor_id, key=key, fingerprint=print_, status=0, headers={}, body=b""
    )
    values = {c.key: getattr(row, c.key) for c in StoredAnswer.__mapper__.column_attrs}
    claim = insert(StoredAnswer).values(**values).on_conflict_do_nothing().returning(literal(1))
    try:
        claimed = await (await db.connection()).scalar(claim)
    except DBAPIError as error:
        if sqlstate(error) != LOCK_TIMEOUT:
            raise
        raise KeyInUse from None  # the first one takes its time
    if claimed:
        request.scope["stored_answer"] = await db.get_one(StoredAnswer, (partner_id, actor_id, key))
        return
    stored = await db.get(StoredAnswer, (partner_id, actor_id, key))
    if stored is None:  # the first one was rolled back between our two statements
        raise KeyInUse
    if stored.fingerprint != print_:
        raise KeyReused
    headers, body = dict(stored.headers), stored.body
    if headers.pop(SEALED, None):
        body = opened(request.app.state.keys, body).encode()
    raise Replay(Response(body, stored.status, {**headers, "Idempotency-Replayed": "true"}))


async def is_known(request: Request, db: AsyncSession, partner_id: UUID, actor_id: UUID) -> bool:
    """Whether the request's key has come before: it may be for an answer that is there, whatever is refused now."""
    key = idempotency_key(request)
    return key is not None and await db.get(StoredAnswer, (partner_id, actor_id, key)) is not None


async def remember(request: Request, response: Response) -> None:
    """Keep the answer with its effect, in the request's own transaction."""
    stored = cast("StoredAnswer | None", request.scope.get("stored_answer"))
    if stored is None:
        return
    db: AsyncSession = request.scope["session"]
    await confine(db, stored.partner_id)
    stored.status, stored.body = response.status_code, bytes(response.body)
    stored.headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    if "sealed_answer" in request.scope:
        stored.body = sealed(request.app.state.keys, stored.body.decode())
        stored.headers[SEALED] = "1"
    await db.flush()


# --- the same on the express lane ---

_CLAIM: Final = Prepared(
    insert(StoredAnswer)
    .values({
        "partner_id": param("partner", Uuid()), "actor_id": param("actor", Uuid()), "key": param("key", String()),
        "fingerprint": param("fingerprint", LargeBinary()), "status": UNFINISHED, "headers": {}, "body": b"",
        "created_at": param("now", DateTime(timezone=True)),
    })
    .on_conflict_do_nothing()
    .returning(literal(1))
)  # fmt: skip
_OURS: Final = (
    StoredAnswer.partner_id == param("partner", Uuid()), StoredAnswer.actor_id == param("actor", Uuid()),
    StoredAnswer.key == param("key", String()),
)  # fmt: skip
_STORED: Final = Prepared(
    select(StoredAnswer.fingerprint, StoredAnswer.status, StoredAnswer.headers, StoredAnswer.body).where(*_OURS)
)
_KEEP: Final = Prepared(
    update(StoredAnswer)
    .where(*_OURS)
    .values(status=param("status", Integer()), headers=param("headers", JSONB()), body=param("body", LargeBinary()))
)


_TAKE: Final = Prepared(
    update(StoredAnswer)
    .where(*_OURS, StoredAnswer.status == UNFINISHED,
           StoredAnswer.created_at < param("before", DateTime(timezone=True)))
    .values(created_at=param("now", DateTime(timezone=True)))
    .returning(literal(1))
)  # fmt: skip
_LEAVE: Final = Prepared(
    update(StoredAnswer)
    .where(*_OURS, StoredAnswer.status == UNFINISHED)
    .values(created_at=param("now", DateTime(timezone=True)))
)


async def recall_express(request: Request, line: Driver, partner_id: UUID, actor_id: UUID) -> None:
    """As `recall`."""
    if "idempotency" not in request.scope:
        return
    key, print_ = request.scope["idempotency"]
    whose = {"partner": partner_id, "actor": actor_id, "key": key}
    try:
        claimed = await _CLAIM.one(line, **whose, fingerprint=print_, now=utc_now())
    except DBAPIError as error:
        if sqlstate(error) != LOCK_TIMEOUT:
            raise
        raise KeyInUse from None
    if claimed:
        request.scope["claimed"] = whose
        return
    stored = await _STORED.one(line, **whose)
    if stored is None:
        raise KeyInUse
    if stored[0] != print_:
        raise KeyReused
    _, status, headers, body = stored
    if status == UNFINISHED:
        now = utc_now()
        if await _TAKE.one(line, **whose, now=now, before=now - LONGEST) is None:
            raise KeyInUse
        request.scope["claimed"] = whose
        return
    raise Replay(Response(body, status, {**headers, "Idempotency-Replayed": "true"}))


async def remember_express(request: Request, line: Driver, response: Response) -> None:
    """As `remember`: call it before the transaction ends."""
    if whose := request.scope.get("claimed"):
        headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        await _KEEP.all(line, **whose, status=response.status_code, headers=headers, body=bytes(response.body))


# --- for what is done outside of transactions: its key is claimed in one before, and its answer kept in one after ---


async def remember_apart(request: Request, partner_id: UUID, response: Response) -> None:
    """As `remember_express`, in a transaction of its own."""
    if "claimed" in request.scope:
        async with transaction(request.app.state.engine, partner_id) as line:
            await remember_express(request, line, response)


async def leave(request: Request, partner_id: UUID) -> None:
    """Nothing came of it: whoever asks again with the same key is not kept waiting."""
    if whose := request.scope.pop("claimed", None):
        async with transaction(request.app.state.engine, partner_id) as line:
            await _LEAVE.all(line, **whose, now=LONG_AGO)
