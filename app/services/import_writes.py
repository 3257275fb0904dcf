"""What rows of an import make of accounts, written for many at once: by the rules, and with the events, of one."""

import asyncio
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import Account, AccountMember, Event, UniqueValue, new_id, utc_now
from app.policy import Access, Role
from app.problems import TooManyLicences
from app.services import base_grants, bulks, columns, events
from app.services.import_changes import Change
from app.services.import_plans import Plan, Unusable

NAME: Final = "uq_accounts_name_key"
NAME_KEY: Final = attrgetter("name_key")


class Raced(Exception):
    """Somebody else took a name or a unique value between our look and our write."""


Told = tuple[dict[str, Any], list[dict[str, Any]]]


class Made(NamedTuple):
    """What is written for some new accounts: they, their admin, and what the change log says of both."""

    accounts: list[dict[str, Any]]
    members: list[dict[str, Any]]
    opened: Told
    joined: Told


def made(access: Access, plan: Plan, changes: Sequence[Change]) -> Made:
    """The rows of those that are new, in the order of their names. Takes its time: call it in a thread."""
    new = sorted((c for c in changes if c.new), key=NAME_KEY)
    members = [{"id": new_id(), "account_id": c.account_id} for c in new]
    opened = events.rows(access, "account.created", Account.__subject__, [_created(c) for c in new])
    joined = events.rows(access, "account_member.added", AccountMember.__subject__,
                         [_joined(access, member) for member in members])  # fmt: skip
    return Made(_states(plan, new), members, opened, joined)


async def write(db: AsyncSession, access: Access, plan: Plan, changes: Sequence[Change], new: Made | None) -> None:
    """Create and change accounts: names first, then unique values, each in one order, so that no two writers wait
    for each other. `new` is what `made` makes, if that was done before.

    Raises:
        Raced: undo all of it, and look again.
        Unusable: a price model gives an account more licences than it may have.
    """
    if old := sorted((c for c in changes if c.changes), key=NAME_KEY):
        await _change(db, access, plan, old)
    await _open(db, access, new or await asyncio.to_thread(made, access, plan, changes))
    try:
        await base_grants.move(db, access, [_moved(c) for c in changes])
    except TooManyLicences as crowded:
        raise Unusable(crowded.code, crowded.detail.en, crowded.detail.de) from None
    uniques = _uniques(changes)
    if await bulks.insert(db, UniqueValue, {"partner_id": access.partner_id}, uniques) < len(uniques):
        raise Raced


async def _change(db: AsyncSession, access: Access, plan: Plan, old: Sequence[Change]) -> None:
    try:
        await bulks.update_accounts(db, access.partner_id, await asyncio.to_thread(_states, plan, old))
    except IntegrityError as error:
        if NAME not in str(error.orig):
            raise
        raise Raced from None
    freed = [(c.account_id, property_id) for c in old for property_id in c.frees]
    await bulks.free_values(db, access.partner_id, [a for a, _ in freed], [p for _, p in freed])
    kind, facts = Account.__subject__, [_updated(c) for c in old]
    await bulks.insert(db, Event, *await asyncio.to_thread(events.rows, access, "account.updated", kind, facts))


async def _open(db: AsyncSession, access: Access, new: Made) -> None:
    now = utc_now()  # it may have been made a while ago
    fresh = {"partner_id": access.partner_id, "created_at": now, "updated_at": now, "version": 1}
    if await bulks.insert(db, Account, dict(bulks.blank_account()) | fresh, new.accounts) < len(new.accounts):
        raise Raced
    await bulks.insert(db, AccountMember, fresh | _admin(access), new.members)
    for shared, told in (new.opened, new.joined):
        await bulks.insert(db, Event, shared | {"created_at": now}, told)


def _admin(access: Access) -> dict[str, Any]:
    """Whoever imports is the admin of what is created."""
    return {"user_id": access.user_id, "role": Role.ACCOUNT_ADMIN.value}


def _states(plan: Plan, changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [{"id": c.account_id} | _state(plan, c) for c in changes]


def _state(plan: Plan, change: Change) -> dict[str, Any]:
    name_search = words.search_key(change.name)
    return {
        "name": change.name, "name_key": change.name_key, "name_search": name_search, "status": change.status.value,
        "price_model": change.price_model, "properties": change.properties,
    } | plan.columns.projected(name_search, change.properties)  # fmt: skip


def _uniques(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return sorted(
        ({"property_id": d.id, "digest": digest, "account_id": c.account_id} for c in changes for d, digest in c.takes),
        key=lambda row: (row["property_id"], row["digest"]),
    )


def _joined(access: Access, member: dict[str, Any]) -> events.Fact:
    account_id = member["account_id"]
    return events.Fact(member["id"], None, {"account_id": account_id} | _admin(access), account_id)


def _moved(change: Change) -> base_grants.Move:
    before = None if change.known is None else change.known.price_model
    return base_grants.Move(change.account_id, before, change.price_model)


def _created(change: Change) -> events.Fact:
    facts = {"name": change.name, "status": change.status, "price_model": change.price_model, "time_zone": None,
             "properties": change.properties}  # fmt: skip
    return events.Fact(change.account_id, None, facts, change.account_id)


def _updated(change: Change) -> events.Fact:
    known = change.known
    assert known is not None  # noqa: S101 - an account that is not new is one that was found
    before = {k: getattr(known, k) for k in ("name", "status", "price_model", "properties") if k in change.changes}
    after = {k: getattr(change, k) for k in before}
    if "properties" in before:
        before["properties"], after["properties"] = columns.changes(before["properties"], after["properties"])
    return events.Fact(change.account_id, before, after, change.account_id)
