"""What rows of an import make of accounts, written for many at once: by the rules, and with the events, of one."""

import asyncio
from collections.abc import Sequence
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
PIECE: Final = 250


class Raced(Exception):
    """Somebody else took a name or a unique value between our look and our write."""


async def write(db: AsyncSession, access: Access, plan: Plan, changes: Sequence[Change]) -> None:
    """Create and change accounts: names first, then unique values, each in one order, so that no two writers wait
    for each other.

    Raises:
        Raced: undo all of it, and look again.
        Unusable: a price model gives an account more licences than it may have.
    """
    new = sorted((c for c in changes if c.new), key=lambda c: c.name_key)
    old = sorted((c for c in changes if c.changes), key=lambda c: c.name_key)
    rows = _Rows(access, plan)
    if old:
        await _change(db, access, old, rows)
    await _open(db, new, rows)
    try:
        await base_grants.move(db, access, [_moved(c) for c in (*new, *old)])
    except TooManyLicences as crowded:
        raise Unusable(crowded.code, crowded.detail.en, crowded.detail.de) from None
    uniques = rows.uniques([*new, *old])
    if await bulks.insert(db, UniqueValue, rows.shared, uniques) < len(uniques):
        raise Raced


async def _change(db: AsyncSession, access: Access, old: Sequence[Change], rows: "_Rows") -> None:
    try:
        await bulks.update_accounts(db, access.partner_id, await asyncio.to_thread(rows.states, old))
    except IntegrityError as error:
        if NAME not in str(error.orig):
            raise
        raise Raced from None
    freed = [(c.account_id, property_id) for c in old for property_id in c.frees]
    await bulks.free_values(db, access.partner_id, [a for a, _ in freed], [p for _, p in freed])
    kind, facts = Account.__subject__, [_updated(c) for c in old]
    await bulks.insert(db, Event, *await asyncio.to_thread(events.rows, access, "account.updated", kind, facts))


async def _open(db: AsyncSession, new: Sequence[Change], rows: "_Rows") -> None:
    """Piece by piece: while the database writes one, the next is made in a thread."""
    pieces = [new[n : n + PIECE] for n in range(0, len(new), PIECE)]
    ahead = [asyncio.create_task(asyncio.to_thread(rows.opened, piece)) for piece in pieces[:1]]
    try:
        for n in range(len(pieces)):
            (made,) = await asyncio.gather(*ahead)
            ahead = [asyncio.create_task(asyncio.to_thread(rows.opened, p)) for p in pieces[n + 1 : n + 2]]
            if await bulks.insert(db, Account, dict(bulks.blank_account()) | rows.new, made.accounts) < len(
                made.accounts
            ):
                raise Raced
            await bulks.insert(db, AccountMember, rows.new | rows.admin, made.members)
            for shared, told in (made.opened, made.joined):
                await bulks.insert(db, Event, shared, told)
    finally:
        await asyncio.gather(*ahead, return_exceptions=True)


Told = tuple[dict[str, Any], list[dict[str, Any]]]


class _Opened(NamedTuple):
    """What is written for some new accounts: they, their admin, and what the change log says of both."""

    accounts: list[dict[str, Any]]
    members: list[dict[str, Any]]
    opened: Told
    joined: Told


class _Rows:
    """Makes the rows to write; large numbers of them in a thread."""

    def __init__(self, access: Access, plan: Plan) -> None:
        self.access, self.plan, now = access, plan, utc_now()
        self.shared = {"partner_id": access.partner_id}
        self.new = self.shared | {"created_at": now, "updated_at": now, "version": 1}
        self.admin = {"user_id": access.user_id, "role": Role.ACCOUNT_ADMIN.value}

    def opened(self, new: Sequence[Change]) -> _Opened:
        members = [{"id": new_id(), "account_id": c.account_id} for c in new]
        opened = events.rows(self.access, "account.created", Account.__subject__, [_created(c) for c in new])
        joined = events.rows(self.access, "account_member.added", AccountMember.__subject__,
                             [self._joined(member) for member in members])  # fmt: skip
        return _Opened(self.states(new), members, opened, joined)

    def states(self, changes: Sequence[Change]) -> list[dict[str, Any]]:
        return [{"id": c.account_id} | self._state(c) for c in changes]

    def uniques(self, changes: Sequence[Change]) -> list[dict[str, Any]]:
        return sorted(
            ({"property_id": d.id, "digest": digest, "account_id": c.account_id}
             for c in changes for d, digest in c.takes),
            key=lambda row: (row["property_id"], row["digest"]),
        )  # fmt: skip

    def _state(self, change: Change) -> dict[str, Any]:
        name_search = words.search_key(change.name)
        return {
            "name": change.name, "name_key": change.name_key, "name_search": name_search, "status": change.status.value,
            "price_model": change.price_model, "properties": change.properties,
        } | self.plan.columns.projected(name_search, change.properties)  # fmt: skip

    def _joined(self, member: dict[str, Any]) -> events.Fact:
        account_id = member["account_id"]
        return events.Fact(member["id"], None, {"account_id": account_id} | self.admin, account_id)


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
