"""What the rows of an import change, and why they cannot: compared with the accounts as they are, and each other."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from app import words
from app.models import AccountStatus, PropertyType
from app.policy import Access
from app.problems import Text
from app.services import cells, columns, price_models, uniques
from app.services.columns import MISSING, NO_MEMBER, NOT_YOURS, Definition
from app.services.import_plans import PREFIX, Plan
from app.services.import_rows import NO_STATUS, Draft, RowFault
from app.services.values import Refused

NO_ACCOUNT = Text("There is no such account.", "Dieses Konto gibt es nicht.")
IS_THERE = Text("There is such an account already.", "Dieses Konto gibt es schon.")
IS_ARCHIVED = Text("The account is archived; restore it first.", "Das Konto ist archiviert; stellen Sie es wieder her.")
NAME_TAKEN = Text("Another account has this name.", "Ein anderes Konto hat diesen Namen.")


@dataclass(frozen=True, slots=True)
class Known:
    """An account as it is."""

    id: UUID
    name: str
    name_key: str
    status: AccountStatus
    price_model: str | None
    properties: Mapping[str, Any]


@dataclass(slots=True)
class Change:
    """What a row makes of an account; nothing, when `changes` is empty and it is not new."""

    row: int
    known: Known | None
    account_id: UUID
    name: str
    name_key: str
    status: AccountStatus
    price_model: str | None
    properties: dict[str, Any]
    changes: Set[str] = frozenset()
    takes: list[tuple[Definition, bytes]] = field(default_factory=list["tuple[Definition, bytes]"])
    frees: list[UUID] = field(default_factory=list[UUID])

    @property
    def new(self) -> bool:
        return self.known is None

    @property
    def renamed(self) -> bool:
        """Whether it takes a name."""
        return self.known is None or self.name_key != self.known.name_key


# --- what it changes ---


class Named(NamedTuple):
    """What the rows name besides accounts: members of the partner, and price models."""

    ids: Mapping[str, str]
    """Of members, by the key of their address."""
    roles: Mapping[str, str]
    """Of members, by their id."""
    models: Mapping[str, bool]
    """Whether a price model is archived, by its key."""


def decided(plan: Plan, access: Access, drafts: Sequence[Draft], known: Mapping[Any, Known], named: Named,
            new_id: Any) -> list[Change]:  # fmt: skip
    """What each row changes; those that cannot be taken have faults instead. Takes its time: call it in a thread."""
    found: list[Change] = []
    where = plan.header_of[plan.match]
    for draft in drafts:
        draft.misfits = []
        if draft.flawed or any(fault.column == where for fault in draft.faults):
            continue  # nobody knows for which account it is
        change = _decided(plan, access, draft, known.get(draft.key), named, new_id)
        if not draft.faults and not draft.misfits:
            found.append(change)
    return found


def _decided(plan: Plan, access: Access, draft: Draft, known: Known | None, named: Named, new_id: Any) -> Change:
    name = draft.name or (known.name if known else "")
    change = Change(
        draft.row, known, known.id if known else new_id(), name, "", draft.status or AccountStatus.ACTIVE, None, {}
    )
    if fault := _misfit(plan, draft, known):
        draft.misfits.append(fault)
        return change
    change.name_key = words.name_key(name) if known is None or name != known.name else known.name_key
    if known and draft.status is None:
        change.status = known.status
    before: Mapping[str, Any] = known.properties if known else {}
    change.price_model = _priced(plan, access, draft, known, named)
    change.properties = _merged(plan, access, draft, known, named)
    if known:
        differs = {"name": name != known.name, "status": change.status != known.status,
                   "price_model": change.price_model != known.price_model,
                   "properties": change.properties != before}  # fmt: skip
        change.changes = {k for k, v in differs.items() if v}
    if known is None or "properties" in change.changes:
        wrong = {f.column for f in (*draft.faults, *draft.misfits)}
        lacking = (plan.header_of.get(PREFIX + d.key, d.key) for d in plan.columns.active
                   if d.required and d.key not in change.properties)  # fmt: skip
        draft.misfits += [RowFault(draft.row, column, "missing", MISSING) for column in lacking if column not in wrong]
        _note_uniques(plan, change, before)
    return change


def _misfit(plan: Plan, draft: Draft, known: Known | None) -> RowFault | None:
    """Why there is nothing to be done for the account that the row names, or does not name."""
    where = plan.header_of[plan.match]
    if known is None:
        if plan.mode == "update" or (plan.match == "id" and draft.key is not None):
            return RowFault(draft.row, where, "account_not_found", NO_ACCOUNT)
        if draft.status == AccountStatus.ARCHIVED:
            return RowFault(draft.row, plan.header_of["status"], "unknown_option", NO_STATUS)
        return None if draft.name else RowFault(draft.row, plan.header_of.get("name"), "missing", MISSING)
    if known.status == AccountStatus.ARCHIVED:
        return RowFault(draft.row, where, "account_archived", IS_ARCHIVED)
    if plan.mode == "create":
        return RowFault(draft.row, where, "account_exists", IS_THERE)
    if draft.status == AccountStatus.ARCHIVED:
        return RowFault(draft.row, plan.header_of["status"], "unknown_option", NO_STATUS)
    if "name" in plan.header_of and not draft.name and not plan.keep_empty:
        return RowFault(draft.row, plan.header_of["name"], "missing", MISSING)
    return None


def _priced(plan: Plan, access: Access, draft: Draft, known: Known | None, named: Named) -> str | None:
    """The price model of the account after the row."""
    before, where = known.price_model if known else None, plan.header_of.get("price_model")
    if where is None or (draft.price_model is None and plan.keep_empty):
        return before
    if wrong := price_models.refusal(access, before, draft.price_model, named.models):
        draft.misfits.append(RowFault(draft.row, where, *wrong))
    return draft.price_model


def _merged(plan: Plan, access: Access, draft: Draft, known: Known | None, named: Named) -> dict[str, Any]:
    """The values of the account after the row: by the rules of `columns.merge`, which reads one account's patch."""
    before: Mapping[str, Any] = known.properties if known else {}
    after = dict(before) if known else {d.key: d.default for d in plan.columns.active if d.default is not None}
    by_key = plan.columns.by_key
    for key, value in (*draft.given.items(), *_settled(draft, named)):
        d = by_key[key]
        if value is None and (plan.keep_empty or known is None):
            continue
        if value == before.get(key) and type(value) is type(before.get(key)):
            continue
        if value != (d.default if known is None else before.get(key)) and not d.editable(access.roles):
            draft.misfits.append(RowFault(draft.row, plan.header_of[PREFIX + key], "not_editable", NOT_YOURS))
        elif d.type == PropertyType.USER and value is not None and named.roles.get(value) not in d.inputs["roles"]:
            draft.misfits.append(RowFault(draft.row, plan.header_of[PREFIX + key], "not_a_partner_member", NO_MEMBER))
        after[key] = value
    for key in draft.doubtful:
        _doubt(plan, access, draft, by_key[key], before, after, named)
    return {k: v for k, v in after.items() if v is not None}


def _settled(draft: Draft, named: Named) -> list[tuple[str, Any]]:
    """Users who were named by their address."""
    return [(key, named.ids[raw]) for key, (raw, _) in draft.doubtful.items()
            if isinstance(raw, cells.Mailbox) and raw in named.ids]  # fmt: skip


def _doubt(plan: Plan, access: Access, draft: Draft, d: Definition, before: Mapping[str, Any],
           after: dict[str, Any], named: Named) -> None:  # fmt: skip
    """What is none of the definition's values may stay where it is, and go nowhere else."""
    raw, wrong = draft.doubtful[d.key]
    where, code, said = plan.header_of[PREFIX + d.key], wrong.code, wrong.said
    if isinstance(raw, cells.Mailbox):
        if raw in named.ids:
            return
        code, said = "not_a_partner_member", NO_MEMBER
    elif d.key in before:
        try:
            value = columns.checked(d, raw, before[d.key])
        except Refused as still:
            code, said = still.code, still.said
        else:
            if value == before[d.key] or d.editable(access.roles):
                after[d.key] = value
                return
            code, said = "not_editable", NOT_YOURS
    draft.misfits.append(RowFault(draft.row, where, code, said))


def _note_uniques(plan: Plan, change: Change, before: Mapping[str, Any]) -> None:
    for d in plan.columns.by_key.values():
        if d.unique and before.get(d.key) != change.properties.get(d.key):
            if d.key in before:
                change.frees.append(d.id)
            if d.key in change.properties:
                change.takes.append((d, uniques.digest(d, change.properties[d.key])))


# --- rows of one file in each other's way ---


@dataclass
class Seen:
    """Of the rows before: by what they were matched, and the names and unique values that they take. Hashes only."""

    keys: dict[int, int] = field(default_factory=dict[int, int])
    names: dict[int, int] = field(default_factory=dict[int, int])
    takes: dict[int, int] = field(default_factory=dict[int, int])


def taken(changes: Iterable[Change]) -> Seen:
    """What new accounts take that nobody can see yet."""
    found = Seen()
    for change in changes:
        _take(change, found)
    return found


def _take(change: Change, seen: Seen) -> None:
    if change.renamed:
        seen.names[hash(change.name_key)] = change.row
    seen.takes.update((hash((d.id, digest)), change.row) for d, digest in change.takes)


def note_keys(plan: Plan, drafts: Iterable[Draft], seen: Seen) -> None:
    """Refuse a second row for the same account."""
    where = plan.header_of[plan.match]
    for draft in drafts:
        if draft.key is not None:
            first = seen.keys.setdefault(hash(draft.key), draft.row)
            if first != draft.row:
                said = Text(f"Row {first} is for the same account.", f"Zeile {first} gilt demselben Konto.")
                draft.faults.append(RowFault(draft.row, where, "duplicate_row", said))


def settled(plan: Plan, changes: Iterable[Change], seen: Seen, names: Mapping[str, UUID],
            holders: Mapping[tuple[UUID, bytes], UUID]) -> tuple[list[Change], list[RowFault]]:  # fmt: skip
    """Those whose names and unique values nobody else has, neither in the table nor in a row before; and the others."""
    good, faults = list[Change](), list[RowFault]()
    for change in changes:
        wrong: list[RowFault] = []
        if change.renamed and (names.get(change.name_key, change.account_id) != change.account_id
                               or seen.names.get(hash(change.name_key), change.row) != change.row):  # fmt: skip
            wrong.append(RowFault(change.row, plan.header_of.get("name"), "name_taken", NAME_TAKEN))
        for d, digest in change.takes:
            if (holders.get((d.id, digest), change.account_id) != change.account_id
                    or seen.takes.get(hash((d.id, digest)), change.row) != change.row):  # fmt: skip
                column = plan.header_of.get(PREFIX + d.key, d.key)
                wrong.append(RowFault(change.row, column, "value_taken", uniques.TAKEN))
        if wrong:
            faults += wrong
            continue
        _take(change, seen)
        good.append(change)
    return good, faults
