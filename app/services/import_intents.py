"""What the rows of a batch are to make of accounts: found in the transaction that does it, or ahead of it.

Ahead is while the batch before is being done, without locks. So it is worth something only where nothing that was found
can have become another thing by then without being noticed: where all rows open accounts, and the batch before as well.
A name or a value that somebody takes meanwhile is noticed when it is written.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.ext.asyncio import AsyncSession

from app.models import new_id
from app.policy import Access
from app.services import import_changes, import_lookups, import_writes
from app.services.import_changes import Change, Named, Seen
from app.services.import_plans import Plan
from app.services.import_rows import Draft, RowFault
from app.services.import_writes import Made


@dataclass(frozen=True, eq=False)
class Intent:
    """What some rows are to make of accounts, by what was found in the table."""

    access: Access
    plan: Plan
    named: Named
    good: Sequence[Change]
    faults: Sequence[RowFault]
    made: Made | None = None
    """What is to be written of new accounts, if that is made already."""
    mark: object = field(default_factory=object)
    after: object = None
    """The mark of what was being done when this was found: if that is not done, this is worth nothing."""

    @property
    def only_opens(self) -> bool:
        """Whether it takes names and unique values, and frees none."""
        return all(change.new for change in self.good)


async def intended(db: AsyncSession, access: Access, plan: Plan, drafts: Sequence[Draft], within: Seen, *,
                   lock: bool) -> Intent:  # fmt: skip
    """What the rows make of the accounts that there are, and `within` the rows before."""
    known = await import_lookups.known(db, plan, drafts, lock=lock)
    named = await import_lookups.named(db, plan, drafts)
    changes = await asyncio.to_thread(import_changes.decided, plan, access, drafts, known, named, new_id)
    names, holders = await import_lookups.names(db, changes), await import_lookups.holders(db, changes)
    good, faults = import_changes.settled(plan, changes, within, names, holders)
    faults += [fault for draft in drafts for fault in (*draft.faults, *draft.misfits)]
    return Intent(access, plan, named, good, faults)


async def foreseen(db: AsyncSession, plan: Plan, drafts: Sequence[Draft], doing: Intent) -> Intent | None:
    """The same of the rows that come next, while those before are being done, which free nothing.

    None where a row is for an account that there is, or is refused for what was found in the table.
    """
    found = await intended(db, doing.access, plan, drafts, import_changes.taken(doing.good), lock=False)
    sound = sum(not (draft.flawed or draft.faults) for draft in drafts)
    if not found.only_opens or len(found.good) < sound or any(draft.misfits for draft in drafts):
        return None
    return replace(found, after=doing.mark)


async def ready(intent: Intent) -> Intent:
    """With what is to be written of the new accounts."""
    return replace(intent, made=await asyncio.to_thread(import_writes.made, intent.access, intent.plan, intent.good))


async def holds(db: AsyncSession, intent: Intent, access: Access, plan: Plan, drafts: Sequence[Draft],
                done: object) -> bool:  # fmt: skip
    """Whether what was foreseen is still to be done: the batch before, the importer's rights, the definitions, and the
    members and price models that the rows name are what they were.
    """
    if intent.after is not done or intent.access != access or intent.plan is not plan:
        return False
    return intent.named == await import_lookups.named(db, plan, drafts)
