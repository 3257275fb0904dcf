"""Opening an account, in one statement: the account, its admin, its unique values, the licences of its price model and
what the change log says.
"""

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, cast
from uuid import UUID

from app import words
from app.express import Driver, run
from app.models import Account, AccountMember, AccountStatus, Event, Licence, UniqueValue, new_id, utc_now
from app.policy import Access, Role
from app.problems import Fault, NameTaken, ValueTaken
from app.services import base_grants, bulks, columns, events, price_models, uniques
from app.services.columns import Columns

Row = dict[str, Any]
TABLES: Final = (Account, AccountMember, UniqueValue, Event, Licence)


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
    own = {"name": name, "price_model": price_model, "time_zone": time_zone, "properties": dict(values)}
    account = _account(access.partner_id, known, own)
    member = _member(access, account["id"])
    taken = [(d, uniques.digest(d, values[d.key])) for d in known.by_key.values() if d.unique and d.key in values]
    held = [{"partner_id": access.partner_id, "property_id": d.id, "digest": digest, "account_id": account["id"]}
            for d, digest in sorted(taken, key=lambda t: (t[0].id, t[1]))]  # fmt: skip
    licences = await base_grants.of_new(line, access, account["id"], price_model)
    rows = ([account], [member], held, _said(access, account, member, licences), licences)
    sent = [value for model, some in zip(TABLES, rows, strict=True) for value in bulks.flat(model, some)]
    ((opened, had),) = await run(line, _statement(*map(len, rows)), *sent)
    if not opened:
        raise NameTaken
    free: set[UUID] = set(had or ())
    if len(free) < len(taken):
        raise ValueTaken(errors=[Fault(f"/properties/{d.key}", "value_taken", uniques.TAKEN)
                                 for d, _ in taken if d.id not in free])  # fmt: skip
    return cast("Account", SimpleNamespace(**account, etag=str(account["version"])))


def _account(partner_id: UUID, known: Columns, own: Row) -> Row:
    now, name, search = utc_now(), own["name"], words.search_key(own["name"])
    return {
        **bulks.blank_account(), **known.projected(search, own["properties"]), **own,
        "partner_id": partner_id, "id": new_id(), "name_key": words.name_key(name), "name_search": search,
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
def _statement(*counts: int) -> str:
    """Each row carries its partner. Nothing is written when the name is taken; what is, waits for whoever is at it."""
    first, inserts = 1, list[str]()
    for model, count in zip(TABLES, counts, strict=True):
        inserts.append(bulks.inserting(model, count, first))
        first += count * bulks.width(model)
    account, member, held, said, granted = inserts
    then = "WHERE EXISTS (SELECT FROM account)"
    steps = [
        f"account AS ({account} ON CONFLICT DO NOTHING RETURNING id)", f"member AS ({member} {then})",
        f"held AS ({held} {then} ON CONFLICT DO NOTHING RETURNING property_id)", f"said AS ({said} {then})",
    ]  # fmt: skip
    if counts[-1]:
        steps.append(f"granted AS ({granted} {then})")
    written = "SELECT (SELECT count(*) FROM account), (SELECT array_agg(property_id) FROM held)"
    return f"WITH {', '.join(steps)} {written}"
