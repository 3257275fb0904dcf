"""A partner's columns: its property definitions as they are in force, and what they make of an account's values."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.express import Driver, Prepared, param
from app.models import Account, Partner, PartnerMember, Property, PropertyType
from app.policy import PARTNER_ROLES, Access, Permission, Role
from app.problems import Fault, Invalid, PropertyNotEditable, Text
from app.recent import Recent
from app.services import values

MAX_KEPT: Final = 1_000
FIXED: Final = frozenset({"id", "name", "status", "price_model", "member_count", "created_at", "updated_at"})

UNKNOWN = Text("There is no such property.", "Diese Eigenschaft gibt es nicht.")
ARCHIVED = Text("The property is archived; restore it first.", "Die Eigenschaft ist archiviert; stellen Sie sie her.")
MISSING = Text("This is required.", "Das ist erforderlich.")
NOT_YOURS = Text("Your role may not change this property.", "Ihre Rolle darf diese Eigenschaft nicht ändern.")
NO_MEMBER = Text("No member of the partner, or none who may be chosen here.",
                 "Kein Mitglied des Partners, oder keines, das hier gewählt werden kann.")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Definition:
    """A property definition as it is in force; read-only, shared by all requests."""

    id: UUID
    key: str
    type: PropertyType
    label: Mapping[str, str]
    inputs: Mapping[str, Any]
    default: Any
    required: bool
    unique: bool
    filterable: bool
    sensitive: bool
    editable_by: frozenset[str]
    archived: bool
    deleted: bool
    slot: str | None
    stale: bool

    @cached_property
    def kind(self) -> values.Kind:
        return values.KINDS[self.type]

    def editable(self, roles: Iterable[Role]) -> bool:
        return not self.editable_by.isdisjoint(roles) or not PARTNER_ROLES.issuperset(roles)


@dataclass(frozen=True, eq=False)
class Columns:
    """All definitions of a partner, in order; those that are being deleted are known by their slots only."""

    version: int
    all: tuple[Definition, ...]

    @cached_property
    def by_key(self) -> Mapping[str, Definition]:
        return {d.key: d for d in self.all if not d.deleted}

    @cached_property
    def active(self) -> tuple[Definition, ...]:
        return tuple(d for d in self.all if not d.deleted and not d.archived)

    @cached_property
    def open(self) -> Mapping[str, Definition]:
        return {d.key: d for d in self.active}

    def shown(self, properties: Mapping[str, Any], *, masked: bool, only: Set[str] | None = None) -> dict[str, Any]:
        """The values as the API shows them: every column, null when empty or when it may not be seen."""
        asked = self.active if only is None else [self.open[key] for key in only if key in self.open]
        return {d.key: None if masked and d.sensitive else properties.get(d.key) for d in asked}

    def hidden(self, properties: Mapping[str, Any], *, masked: bool) -> list[str]:
        """The columns whose value is there, and may not be seen."""
        return [d.key for d in self.active if d.sensitive and d.key in properties] if masked else []

    def projected(self, name_search: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The values of an account's row that follow from its properties: slots, and the text that `q` searches."""
        found: dict[str, Any] = {"search": self._search(name_search, properties)}
        for slot, key, form in self._slots:
            value = properties.get(key)
            found[slot] = None if value is None or form is None else form(value)
        return found

    def _search(self, name_search: str, properties: Mapping[str, Any]) -> str:
        open_ = (properties[key] for key in self._searched if key in properties)
        texts = [words.search_key(str(value))[: values.MAX_SEARCHED] for value in open_]
        return "\n".join([name_search, *texts])

    @cached_property
    def _slots(self) -> tuple[tuple[str, str, Callable[[Any], values.Slot] | None], ...]:
        """Each slot, and what stands in it: nothing of what is deleted or not filtered (any more)."""
        return tuple((d.slot, d.key, None if d.deleted or not d.filterable else d.kind.slot)
                     for d in self.all if d.slot is not None)  # fmt: skip

    @cached_property
    def _searched(self) -> tuple[str, ...]:
        return tuple(d.key for d in self.active if d.kind.searched and not d.sensitive)


_kept = Recent[UUID, Columns](MAX_KEPT)


async def load(db: AsyncSession, partner_id: UUID) -> Columns:
    """The partner's columns: from memory, if they have not changed since."""
    version = await db.scalar(select(Partner.properties_version).where(Partner.id == partner_id)) or 0
    return kept(partner_id, version) or _keep(partner_id, version, await db.scalars(select(Property).order_by(*_ORDER)))


async def at(line: Driver, partner_id: UUID, version: int) -> Columns:
    """The same on the express lane, where the guard has read the version."""
    found = kept(partner_id, version)
    if found is None:
        rows = [dict(zip(_FIELDS, row, strict=True)) for row in await _ALL.all(line, partner=partner_id)]
        found = _keep(partner_id, version, (cast("Property", SimpleNamespace(**row)) for row in rows))
    return found


def kept(partner_id: UUID, version: int | None = None) -> Columns | None:
    """What memory has of a partner's columns; with `version`, only if it is that one."""
    found = _kept.get(partner_id)
    return found if found is not None and version in (None, found.version) else None


def _keep(partner_id: UUID, version: int, rows: Iterable[Property]) -> Columns:
    return _kept.note(partner_id, Columns(version, tuple(definition(r) for r in rows)))


_ORDER: Final = (Property.position, Property.id)
_FIELDS: Final = [c.key for c in Property.__mapper__.column_attrs]
_ALL = Prepared(
    select(*(getattr(Property, f) for f in _FIELDS))
    .where(Property.partner_id == param("partner", Uuid()))
    .order_by(*_ORDER)
)


def definition(row: Property) -> Definition:
    return Definition(
        row.id, row.key, row.type, row.label, row.inputs, row.default, row.required, row.unique, row.filterable,
        row.sensitive, frozenset(row.editable_by), row.archived_at is not None, row.deleted_at is not None,
        row.slot, row.stale,
    )  # fmt: skip


async def steady(db: AsyncSession, partner_id: UUID) -> Columns:
    """The same, for whoever writes values: they stay as they are until the end of the transaction.

    Writers share a lock, in memory only; whoever changes a definition waits for them, and they for it. So no value
    is ever written by a definition that is no longer in force, nor into a slot that has become another column's.
    """
    await db.execute(select(func.pg_advisory_xact_lock_shared(lock_of(partner_id))))
    return await load(db, partner_id)


async def alone(db: AsyncSession, partner_id: UUID) -> None:
    """For whoever changes definitions: nobody writes values meanwhile, and what is kept of them becomes worthless."""
    await db.execute(select(func.pg_advisory_xact_lock(lock_of(partner_id))))


@lru_cache(maxsize=MAX_KEPT)
def lock_of(partner_id: UUID) -> int:
    """The number of the lock that `steady` shares and `alone` has alone."""
    digest = hashlib.blake2b(b"properties" + partner_id.bytes, digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def chosen(columns: Columns, asked: Iterable[str] | None, pointer: str) -> Set[str] | None:
    """Which properties a list of column names asks for, in its order; None: all. Fixed columns are always there.

    Raises:
        Invalid: there is no such column.
    """
    if asked is None:
        return None
    keys = dict.fromkeys(name.removeprefix("properties.") for name in asked).keys()
    if not keys <= columns.open.keys() | FIXED:
        raise Invalid(errors=[Fault(pointer, "unknown_field", UNKNOWN)])
    return keys


def masks(access: Access) -> bool:
    """Whether sensitive values are hidden: they are shown to those who may change accounts."""
    return not access.may(Permission.ACCOUNT_UPDATE)


def sees(permission: Permission) -> frozenset[Permission]:
    """What those have who have this permission and are shown everything."""
    return frozenset({permission, Permission.ACCOUNT_UPDATE})


# --- changing an account's values ---


async def merge(line: Driver, access: Access, columns: Columns, before: Mapping[str, Any],
                patch: Mapping[str, Any], *, new: bool = False) -> dict[str, Any]:  # fmt: skip
    """The values after a merge patch (RFC 7396): all of it, or none.

    Raises:
        Invalid: a pointer for every value that is none of its property's, and for every required one that lacks.
        PropertyNotEditable: a value changes that the caller's role may not change.
    """
    after, faults, refused = dict(before), list[Fault](), list[Fault]()
    for key, given in patch.items():
        d = columns.by_key.get(key)
        try:
            value = checked(d, given, before.get(key))
        except values.Refused as wrong:
            faults.append(Fault(_pointer(key), wrong.code, wrong.said))
            continue
        if d is not None and value != (d.default if new else before.get(key)) and not d.editable(access.roles):
            refused.append(Fault(_pointer(key), "not_editable", NOT_YOURS))
        after[key] = value
    after = {k: v for k, v in after.items() if v is not None}
    faults += [Fault(_pointer(d.key), "missing", MISSING) for d in columns.active if d.required and d.key not in after
               and not any(f.pointer == _pointer(d.key) for f in faults)]  # fmt: skip
    faults += await _wrong_users(line, access.partner_id, columns, before, after)
    if faults:
        raise Invalid(errors=faults)
    if refused:
        raise PropertyNotEditable(errors=refused)
    return after


def with_defaults(columns: Columns, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a new account is created with: defaults where nothing was given, not even null."""
    return {d.key: d.default for d in columns.active if d.default is not None} | dict(given)


def checked(d: Definition | None, given: Any, old: Any) -> Any:
    """A value in its one form, None for an empty one.

    Raises:
        Refused: it is none of the property's, or there is no such property.
    """
    if d is None:
        raise values.Refused("unknown_property", *UNKNOWN)
    if d.archived:
        raise values.Refused("archived_property", *ARCHIVED)
    if values.is_empty(given):
        return None
    if type(given) is type(old) and given == old:  # what was valid when it was set may stay; True == 1, though
        return old
    found = d.kind.check(given, still_open(d.inputs, old))
    return None if values.is_empty(found) else found


def still_open(inputs: Mapping[str, Any], old: Any) -> Mapping[str, Any]:
    """Archived options stay on values that have them."""
    if "options" not in inputs:
        return inputs
    had: list[Any] = cast("list[Any]", old) if isinstance(old, list) else [old]
    return {**inputs, "options": [{**o, "archived": o["archived"] and o["key"] not in had} for o in inputs["options"]]}


def _pointer(key: str) -> str:
    return (
        f"/properties/{key}" if key.isascii() and key.replace("_", "").isalnum() and len(key) <= 60 else "/properties/?"
    )


async def _wrong_users(line: Driver, partner_id: UUID, columns: Columns, before: Mapping[str, Any],
                       after: Mapping[str, Any]) -> list[Fault]:  # fmt: skip
    chosen = {d: UUID(after[d.key]) for d in columns.active if d.type == PropertyType.USER
              and d.key in after and after[d.key] != before.get(d.key)}  # fmt: skip
    if not chosen:
        return []
    roles = dict(await _ROLES.all(line, partner=partner_id, users=list(chosen.values())))
    return [Fault(_pointer(d.key), "not_a_partner_member", NO_MEMBER) for d, user_id in chosen.items()
            if user_id not in roles or roles[user_id].value not in d.inputs["roles"]]  # fmt: skip


_ROLES = Prepared(
    select(PartnerMember.user_id, PartnerMember.role).where(
        PartnerMember.partner_id == param("partner", Uuid()),
        PartnerMember.user_id == func.any(param("users", ARRAY(Uuid()))),
    )
)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values that differ, as (before, after); null where there is none."""
    keys = [k for k in {**before, **after} if before.get(k) != after.get(k)]
    return {k: before.get(k) for k in keys}, {k: after.get(k) for k in keys}


def project(columns: Columns, account: Account) -> None:
    """Bring what follows from an account's name and values up to date."""
    for name, value in columns.projected(account.name_search, account.properties).items():
        if getattr(account, name) != value:
            setattr(account, name, value)
