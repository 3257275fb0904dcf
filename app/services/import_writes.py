"""What rows of an import make of accounts, written for many at once: by the rules, and with the events, of one."""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.models import Account, AccountMember, Event, UniqueValue, new_id, utc_now
from app.policy import Access, Role
from app.services import bulks, columns, events
from app.services.import_plans import Plan
from app.services.import_rows import Change

NAME: Final = "uq_accounts_name_key"


class Raced(Exception):
    """Somebody else took a name or a unique value between our look and our write."""


async def write(db: AsyncSession, access: Access, plan: Plan, changes: Sequence[Change]) -> None:
    """Create and change accounts: names first, then unique values, each in one order, so that no two writers wait
    for each other.

    Raises:
        Raced: undo all of it, and look again.
    """
    new = sorted((c for c in changes if c.new), key=lambda c: c.name_key)
    old = sorted((c for c in changes if c.changes), key=lambda c: c.name_key)
    if not new and not old:
        return
    made = await asyncio.to_thread(_Rows, access, plan, new, old)
    told = asyncio.create_task(asyncio.to_thread(made.events, new, old))  # while the database writes the accounts
    try:
        await _write(db, access, made, old)
    finally:
        rows = await told
    await bulks.insert(db, Event, rows)


async def _write(db: AsyncSession, access: Access, made: "_Rows", old: Sequence[Change]) -> None:
    try:
        await bulks.update_accounts(db, access.partner_id, made.changed)
    except IntegrityError as error:
        if NAME not in str(error.orig):
            raise
        raise Raced from None
    if await bulks.insert(db, Account, made.accounts) < len(made.accounts):
        raise Raced
    await bulks.insert(db, AccountMember, made.members)
    freed = [(c.account_id, property_id) for c in old for property_id in c.frees]
    await bulks.free_values(db, access.partner_id, [a for a, _ in freed], [p for _, p in freed])
    if await bulks.insert(db, UniqueValue, made.uniques) < len(made.uniques):
        raise Raced


class _Rows:
    """The rows to write. Made in a thread."""

    def __init__(self, access: Access, plan: Plan, new: Sequence[Change], old: Sequence[Change]) -> None:
        self.access, self.plan, self.now = access, plan, utc_now()
        self.accounts = [self._account(c) for c in new]
        self.changed = [{"id": c.account_id} | self._state(c) for c in old]
        self.members = [self._member(c) for c in new]
        self.uniques = sorted(
            ({"partner_id": access.partner_id, "property_id": d.id, "digest": digest, "account_id": c.account_id}
             for c in (*new, *old) for d, digest in c.takes),
            key=lambda row: (row["property_id"], row["digest"]),
        )  # fmt: skip

    def events(self, new: Sequence[Change], old: Sequence[Change]) -> list[dict[str, Any]]:
        """What the change log says of them."""
        facts = [fact for c, member in zip(new, self.members, strict=True) for fact in _opened(c, member)]
        return events.rows(self.access, facts + [_updated(c) for c in old])

    def _state(self, change: Change) -> dict[str, Any]:
        name_search = words.search_key(change.name)
        return {
            "name": change.name, "name_key": change.name_key, "name_search": name_search, "status": change.status.value,
            "price_model": change.price_model, "properties": change.properties,
        } | self.plan.columns.projected(name_search, change.properties)  # fmt: skip

    def _account(self, change: Change) -> dict[str, Any]:
        own = {"partner_id": self.access.partner_id, "id": change.account_id, "created_at": self.now,
               "updated_at": self.now, "version": 1}  # fmt: skip
        return _blank() | own | self._state(change)

    def _member(self, change: Change) -> dict[str, Any]:
        return {"partner_id": self.access.partner_id, "id": new_id(), "account_id": change.account_id,
                "user_id": self.access.user_id, "role": Role.ACCOUNT_ADMIN.value, "created_at": self.now,
                "updated_at": self.now, "version": 1}  # fmt: skip


@cache
def _blank() -> dict[str, Any]:
    """What a column of an account holds when nobody says anything: a new column needs no word here."""
    bare = Account(partner_id=new_id(), name="", name_key="", name_search="")
    return {c.key: getattr(bare, c.key) for c in inspect(Account).column_attrs}


def _opened(change: Change, member: dict[str, Any]) -> list[events.Fact]:
    account_id = change.account_id
    facts = {"name": change.name, "status": change.status, "price_model": change.price_model,
             "properties": change.properties}  # fmt: skip
    who = {k: member[k] for k in ("account_id", "user_id", "role")}
    return [
        events.Fact("account.created", Account.__subject__, account_id, None, facts, account_id),
        events.Fact("account_member.added", AccountMember.__subject__, member["id"], None, who, account_id),
    ]


def _updated(change: Change) -> events.Fact:
    known = change.known
    assert known is not None  # noqa: S101 - an account that is not new is one that was found
    before = {k: getattr(known, k) for k in ("name", "status", "price_model", "properties") if k in change.changes}
    after = {k: getattr(change, k) for k in before}
    if "properties" in before:
        before["properties"], after["properties"] = columns.changes(before["properties"], after["properties"])
    return events.Fact("account.updated", Account.__subject__, change.account_id, before, after, change.account_id)
