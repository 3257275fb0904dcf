"""Opening an account, in one statement: the account, its admin, its unique values, the licences of its price model and
what the change log says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import UUID

from app import words
from app.express import Driver, Prepared, run
from app.models import Account, AccountMember, AccountStatus, Event, Licence, PropertyType, UniqueValue, new_id, utc_now
from app.policy import Access, Role
from app.problems import Fault, NameTaken, Problem, ValueTaken
from app.services import base_grants, bulks, columns, events, price_models, uniques
from app.services.columns import Columns, Definition

Row = dict[str, Any]
TABLES: Final = (Account, AccountMember, UniqueValue, Event, Licence)
THEN: Final = "EXISTS (SELECT FROM account)"
STEPS: Final = (
    ("account", "{}", "ON CONFLICT DO NOTHING RETURNING id"), ("member", THEN, ""),
    ("held", THEN, "ON CONFLICT DO NOTHING RETURNING property_id"), ("said", THEN, ""), ("granted", THEN, ""),
)  # fmt: skip
OPENED: Final = "(SELECT count(*) FROM account)"
NOBODY: Final = cast("Driver", None)
"""Where no question to the database is to be expected."""


@dataclass(frozen=True)
class Opening:
    """All that is written for one new account: in one statement, or none of it."""

    account: Row
    rows: Sequence[Sequence[Row]]
    """Those of each of `TABLES`."""
    taken: Sequence[tuple[Definition, bytes]]

    @property
    def opened(self) -> Account:
        """As a plain object, of no session."""
        return cast("Account", SimpleNamespace(**self.account, etag=str(self.account["version"])))

    @property
    def values(self) -> Sequence[Any]:
        return [value for model, some in zip(TABLES, self.rows, strict=True) for value in bulks.flat(model, some)]

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(map(len, self.rows))

    def behind(self, condition: Prepared) -> str:
        return _behind(condition, self.counts)


async def write(line: Driver, access: Access, known: Columns, *, name: str, price_model: str | None,
                time_zone: str | None, properties: Mapping[str, Any]) -> Account:  # fmt: skip
    """Open a child account; whoever creates it becomes its admin. Returns it as a plain object, of no session.

    Call it under the lock of `columns.steady`.

    Raises:
        NameTaken: the partner already has an account of this name.
        Forbidden, Invalid: of its price model; see `price_models.check`.
        Invalid, PropertyNotEditable, ValueTaken: of its property values; see `columns.merge`.
    """
    await price_models.check(line, access, None, price_model)
    values = await columns.merge(line, access, known, {}, columns.with_defaults(known, properties), new=True)
    own = {"name": name, "price_model": price_model, "time_zone": time_zone, "properties": values}
    account_id = new_id()
    licences = await base_grants.of_new(line, access, account_id, price_model)
    opening = _opening(access, known, own, licences, account_id)
    ((opened, had),) = await run(line, _statement(opening.counts), *opening.values)
    if not opened:
        raise NameTaken
    free: set[UUID] = set(had or ())
    if len(free) < len(opening.taken):
        raise ValueTaken(errors=[Fault(f"/properties/{d.key}", "value_taken", uniques.TAKEN)
                                 for d, _ in opening.taken if d.id not in free])  # fmt: skip
    return opening.opened


async def at_once(access: Access, known: Columns, *, name: str, price_model: str | None, time_zone: str | None,
                  properties: Mapping[str, Any]) -> Opening | None:  # fmt: skip
    """The same, to be written by whoever is sure of `access` and `known` only then: see `access.Gate.write`.

    None if it is not good, or if the database has to be asked for that: `write` does, and says why.
    """
    given = columns.with_defaults(known, properties)
    if price_model is not None or any(d.type == PropertyType.USER for d in map(known.by_key.get, given) if d):
        return None
    try:
        values = await columns.merge(NOBODY, access, known, {}, given, new=True)
    except Problem:
        return None
    own = {"name": name, "price_model": None, "time_zone": time_zone, "properties": values}
    return _opening(access, known, own, [], new_id())


def _opening(access: Access, known: Columns, own: Row, licences: list[Row], account_id: UUID) -> Opening:
    values = own["properties"]
    account = _account(access.partner_id, known, own) | {"id": account_id}
    member = _member(access, account_id)
    taken = [(d, uniques.digest(d, values[d.key])) for d in known.by_key.values() if d.unique and d.key in values]
    held = [{"partner_id": access.partner_id, "property_id": d.id, "digest": digest, "account_id": account_id}
            for d, digest in sorted(taken, key=lambda t: (t[0].id, t[1]))]  # fmt: skip
    return Opening(account, ([account], [member], held, _said(access, account, member, licences), licences), taken)


def _account(partner_id: UUID, known: Columns, own: Row) -> Row:
    now, name, search = utc_now(), own["name"], words.search_key(own["name"])
    return {
        **bulks.blank_account(), **known.projected(search, own["properties"]), **own,
        "partner_id": partner_id, "name_key": words.name_key(name), "name_search": search,
        "status": AccountStatus.ACTIVE, "version": 1, "created_at": now, "updated_at": now,
    }  # fmt: skip


def _member(access: Access, account_id: UUID) -> Row:
    now = utc_now()
    return {"partner_id": access.partner_id, "id": new_id(), "account_id": account_id, "user_id": access.user_id,
            "role": Role.ACCOUNT_ADMIN, "created_at": now, "updated_at": now, "version": 1}  # fmt: skip


def _said(access: Access, account: Row, member: Row, licences: list[Row]) -> list[Row]:
    """What the change log says of it."""
    account_id = account["id"]
    opened = {k: account[k] for k in ("name", "status", "price_model", "time_zone", "properties")}
    joined = {k: member[k] for k in ("account_id", "user_id", "role")}
    found: list[Row] = []
    for type, model, subject, facts in (("account.created", Account, account, opened),
                                        ("account_member.added", AccountMember, member, joined)):  # fmt: skip
        fact = events.Fact(subject["id"], None, facts, account_id)
        shared, rows = events.rows(access, type, model.__subject__, [fact])
        found += [{**shared, **row} for row in rows]
    if licences:
        shared, rows = base_grants.told(access, licences)
        found += [{**shared, **row} for row in rows]
    return found


@cache
def _statement(counts: tuple[int, ...]) -> str:
    """Whether it was opened, and the properties whose unique values were free."""
    held = "(SELECT array_agg(property_id) FROM held)" if counts[2] else "NULL::uuid[]"
    return f"WITH {', '.join(_steps(counts, 1, 'true'))} SELECT {OPENED}, {held}"


@cache
def _behind(condition: Prepared, counts: tuple[int, ...]) -> str:
    """How many were opened. It fails, and so undoes itself, when a unique value is taken."""
    steps = _steps(counts, condition.width + 1, "(SELECT holds FROM asked)")
    short = f"{OPENED} > 0 AND (SELECT count(*) FROM held) < {counts[2]}"  # noqa: S608 - a number
    opened = f"{OPENED} / CASE WHEN {short} THEN 0 ELSE 1 END" if counts[2] else OPENED
    return f"WITH asked(holds) AS MATERIALIZED ({condition.sql}), {', '.join(steps)} SELECT {opened}"


def _steps(counts: tuple[int, ...], first: int, condition: str) -> list[str]:
    """Each row carries its partner. Nothing is written when the name is taken; what is, waits for whoever is at it."""
    found: list[str] = []
    for n, (model, count) in enumerate(zip(TABLES, counts, strict=True)):
        if count:
            name, if_, end = STEPS[n]
            found.append(f"{name} AS ({bulks.inserting(model, count, first)} WHERE {if_.format(condition)} {end})")
        first += count * bulks.width(model)
    return found
