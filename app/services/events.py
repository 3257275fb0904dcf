"""The change log: every change is recorded in its own transaction."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import NUMBER_SLOTS, PLATFORM, TEXT_SLOTS, Event
from app.policy import Access, Actor, Caller, Role

Change = Mapping[str, Any]

# Follows from other columns, stands on the event itself, or is nobody's business: secrets and their hashes.
UNSAID = frozenset({
    "id", "partner_id", "created_at", "updated_at", "version", "name_key", "name_search", "email_key",
    "password_hash", "totp_secret", "totp_last_step", "token_hash", "search", "properties_version", "slot", "stale",
    "refreshed_to", "member_count", *TEXT_SLOTS, *NUMBER_SLOTS,
})  # fmt: skip


def record(db: AsyncSession, access: Access, type: str, subject: Any, *, before: Change | None = None,
           after: Change | None = None, account_id: UUID | None = None) -> None:  # fmt: skip
    """Add a fact to this transaction: who did what to which subject, and what changed from what to what.

    `before` and `after` hold the changed fields only (all of them for a new or a deleted thing: `facts`). Audit
    log, webhooks and value history are readings of these rows, so they must suffice to rebuild any state.
    """
    as_operator = access.roles <= {Role.OPERATOR} and access.caller.actor == Actor.USER
    caller = replace(access.caller, actor=Actor.OPERATOR) if as_operator else access.caller
    _add(db, access.partner_id, caller, type, subject, before, after, account_id or access.account_id)


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
    details = {"before": plain(before), "after": plain(after)}
    origin = {"address": caller.address if caller else None}
    salt, origin_salt = secrets.token_bytes(16), secrets.token_bytes(16)
    db.add(Event(
        partner_id=partner_id, type=type, subject_type=subject.__subject__, subject_id=subject.id,
        account_id=account_id, actor=caller.actor if caller else Actor.SYSTEM,
        actor_id=caller.user_id if caller else None, on_behalf_of=caller.on_behalf_of if caller else None,
        request_id=caller.request_id if caller else None,
        details=details, salt=salt, details_hash=commitment(salt, details),
        origin=origin, origin_salt=origin_salt, origin_hash=commitment(origin_salt, origin),
    ))  # fmt: skip


def commitment(salt: bytes, details: Mapping[str, Any]) -> bytes:
    """SHA-256 over salt and canonical JSON: proves the details while they are kept, tells nothing once they are not."""
    return hashlib.sha256(salt + orjson.dumps(details, option=orjson.OPT_SORT_KEYS)).digest()


def plain(value: Any) -> Any:
    """A value as JSON that survives JSONB unchanged: decimals and times as strings."""
    match value:
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {k: plain(v) for k, v in cast("Change", value).items()}
        case list() | tuple() | set() | frozenset():
            return [plain(v) for v in cast("Iterable[Any]", value)]
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case str() | UUID() | Decimal():
            return str(value)
        case _:
            raise TypeError(f"{type(value)} in an event")


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
