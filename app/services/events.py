"""The change log: every change is recorded in its own transaction."""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, cast
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.event_types import FEED, KNOWN
from app.models import NUMBER_SLOTS, PLATFORM, TEXT_SLOTS, Event, new_id, utc_now
from app.policy import Access, Actor, Caller, Role
from app.services import lists

Change = Mapping[str, Any]
SALT = 16
type_of = lists.among(FEED, "There is no such type of event.", "Diese Art von Ereignis gibt es nicht.")
"""Parses what a list of a partner's events is filtered by."""


class Fact(NamedTuple):
    """What `record` is told of one subject, where its row is not at hand as an object."""

    subject_id: UUID
    before: Change | None
    after: Change | None
    account_id: UUID | None


# Follows from other columns, stands on the event itself, or is nobody's business: secrets and their hashes.
UNSAID = frozenset({
    "id", "partner_id", "created_at", "updated_at", "version", "name_key", "name_search", "email_key",
    "password_hash", "totp_secret", "totp_last_step", "token_hash", "search", "properties_version", "slot", "stale",
    "refreshed_to", "member_count", "secret_hash", *TEXT_SLOTS, *NUMBER_SLOTS,
})  # fmt: skip


def record(db: AsyncSession, access: Access, type: str, subject: Any, *, before: Change | None = None,
           after: Change | None = None, account_id: UUID | None = None) -> None:  # fmt: skip
    """Add a fact to this transaction: who did what to which subject, and what changed from what to what.

    `before` and `after` hold the changed fields only (all of them for a new or a deleted thing: `facts`). Audit
    log, webhooks and value history are readings of these rows, so they must suffice to rebuild any state.
    """
    _add(db, access.partner_id, _acting(access), type, subject, before, after, account_id or access.account_id)


def rows(
    access: Access, type: str, subject_type: str, facts: Sequence[Fact]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Many facts of one kind, for who writes them in one statement (`bulks.insert`): what they share, and the rows."""
    shared = _shared(access.partner_id, _acting(access), type, subject_type) | {"created_at": utc_now()}
    random = secrets.token_bytes(2 * SALT * len(facts))
    noise = (random[n : n + SALT] for n in range(0, len(random), SALT))
    return shared, [
        {"id": new_id(), **_own(shared, *fact, salt=next(noise), origin_salt=next(noise))} for fact in facts
    ]


def _acting(access: Access) -> Caller:
    as_operator = access.roles <= {Role.OPERATOR} and access.caller.actor == Actor.USER
    return replace(access.caller, actor=Actor.OPERATOR) if as_operator else access.caller


def record_own(db: AsyncSession, caller: Caller, type: str, subject: Any, *, before: Change | None = None,
               after: Change | None = None) -> None:  # fmt: skip
    """A fact about somebody's own user, which belongs to no partner."""
    _add(db, PLATFORM, caller, type, subject, before, after, None)


def record_system(db: AsyncSession, partner_id: UUID, type: str, subject: Any, *, before: Change | None = None,
                  after: Change | None = None, account_id: UUID | None = None) -> None:  # fmt: skip
    """A fact that nobody signed in caused: a mail that was sent, a command at the shell, a stolen token."""
    _add(db, partner_id, None, type, subject, before, after, account_id)


def _add(db: AsyncSession, partner_id: UUID, caller: Caller | None, type: str, subject: Any,
         before: Change | None, after: Change | None, account_id: UUID | None) -> None:  # fmt: skip
    shared = _shared(partner_id, caller, type, subject.__subject__)
    salt, origin_salt = secrets.token_bytes(SALT), secrets.token_bytes(SALT)
    own = _own(shared, subject.id, before, after, account_id, salt=salt, origin_salt=origin_salt)
    db.add(Event(**shared, **own))


def _shared(partner_id: UUID, caller: Caller | None, type: str, subject_type: str) -> dict[str, Any]:
    """What all facts of one kind have in common that one caller causes."""
    if type not in KNOWN:
        raise LookupError(f"{type} is not in app/event_types.py")  # nor in the contract, nor in the documents
    return {
        "partner_id": partner_id, "type": type, "subject_type": subject_type,
        "actor": caller.actor if caller else Actor.SYSTEM, "actor_id": caller.id if caller else None,
        "on_behalf_of": caller.on_behalf_of if caller else None, "request_id": caller.request_id if caller else None,
        "origin": {"address": caller.address if caller else None},
    }  # fmt: skip


def _own(shared: Mapping[str, Any], subject_id: UUID, before: Change | None, after: Change | None,
         account_id: UUID | None, *, salt: bytes, origin_salt: bytes) -> dict[str, Any]:  # fmt: skip
    details = {"before": plain(before), "after": plain(after)}
    return {
        "subject_id": subject_id, "account_id": account_id,
        "details": details, "salt": salt, "details_hash": commitment(salt, details),
        "origin_salt": origin_salt, "origin_hash": commitment(origin_salt, shared["origin"]),
    }  # fmt: skip


def commitment(salt: bytes, details: Mapping[str, Any]) -> bytes:
    """SHA-256 over salt and canonical JSON: proves the details while they are kept, tells nothing once they are not."""
    return hashlib.sha256(salt + orjson.dumps(details, option=orjson.OPT_SORT_KEYS)).digest()


def plain(value: Any) -> Any:
    """A value as JSON that survives JSONB unchanged: decimals and times as strings."""
    kind = cast("type[Any]", type(value))
    return value if kind in NATIVE else _way(kind)(value)  # most are: whoever writes thousands notices


NATIVE = frozenset({str, int, float, bool, type(None)})


@cache
def _way(kind: type[Any]) -> Callable[[Any], Any]:
    """How values of a type are told: found out once, for a claim holds seven of four types."""
    for kinds, way in WAYS:
        if issubclass(kind, kinds):
            return way
    raise TypeError(f"{kind} in an event")


WAYS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    ((int, float), lambda value: value),
    (Mapping, lambda value: {k: plain(v) for k, v in value.items()}),
    ((list, tuple, set, frozenset), lambda value: [plain(v) for v in value]),
    (Enum, lambda value: value.value),
    (datetime, datetime.isoformat),
    ((str, UUID, Decimal), str),
)


def changed(row: Any, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set attributes of a row; the facts that really differ, as (before, after)."""
    before = {k: getattr(row, k) for k, v in values.items() if getattr(row, k) != v}
    after = {k: values[k] for k in before}
    for key, value in after.items():
        setattr(row, key, value)
    return _said(before), _said(after)


def facts(row: Any) -> dict[str, Any]:
    """All that there is to say of a new or a deleted row: enough to make it again."""
    return _said({c.key: getattr(row, c.key) for c in row.__mapper__.column_attrs})


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k not in UNSAID}
