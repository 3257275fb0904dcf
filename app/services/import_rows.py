"""The rows of an import: what each says by itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from app import words
from app.models import AccountStatus
from app.problems import Text
from app.services import cells, uniques, values
from app.services.columns import Definition
from app.services.import_plans import Plan, is_short
from app.services.values import Refused
from app.sheets import Cell, Record

MAX_KNOWN: Final = 20_000

NO_STATUS = Text("One of: active, suspended.", "Eines von: active, suspended.")
LONG_NAME = Text(f"At most {words.MAX_NAME} characters.", f"Höchstens {words.MAX_NAME} Zeichen.")
ADDRESS = Text("Must not hold a web address.", "Darf keine Webadresse enthalten.")
UNPRINTABLE = Text("Holds characters that cannot be shown.", "Enthält nicht darstellbare Zeichen.")
NO_ID = Text("Must be the id of an account.", "Muss die Id eines Kontos sein.")


class RowFault(NamedTuple):
    """Why a row is not taken: where, a stable code, and what to do."""

    row: int
    column: str | None
    code: str
    said: Text


@dataclass(slots=True)
class Draft:
    """What one row says: still to be compared with the account that it is for."""

    row: int
    key: Any = None
    """By which its account is found; None: it is for a new one."""
    name: str | None = None
    status: AccountStatus | None = None
    price_model: str | None = None
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    doubtful: dict[str, tuple[Any, Refused]] = field(default_factory=dict[str, "tuple[Any, Refused]"])
    """Values that only an account which has them already may keep."""
    flawed: bool = False
    """Its cells could not be read."""
    faults: list[RowFault] = field(default_factory=list[RowFault])
    misfits: list[RowFault] = field(default_factory=list[RowFault])
    """What is wrong with it for that account: found out anew with each look at the table."""


# --- what a row says ---


def key_of(plan: Plan, record: Record) -> Any:
    """By what a row is matched, for those that were dealt with before; None if it has nothing there."""
    draft = Draft(record.row)
    for heading, cell in zip(plan.headings, record.cells, strict=False):
        if heading.field is not None and heading.field == plan.match:
            _take(plan, draft, heading.header, heading.field, heading.definition, cell, 0)
    return draft.key


def understood(plan: Plan, records: Iterable[Record]) -> list[Draft]:
    """What the rows say by themselves. Takes its time: call it in a thread."""
    return [_understood(plan, record) for record in records]


def _understood(plan: Plan, record: Record) -> Draft:
    draft = Draft(record.row)
    if record.flaws:
        draft.flawed = True
        draft.faults = [RowFault(record.row, f.column, f.code, Text(f.en, f.de)) for f in record.flaws]
        return draft
    for index, (heading, cell) in enumerate(zip(plan.headings, record.cells, strict=True)):
        if heading.field is not None:
            _take(plan, draft, heading.header, heading.field, heading.definition, cell, index)
    return draft


def _take(plan: Plan, draft: Draft, header: str, name: str, d: Definition | None, cell: Cell, index: int) -> None:
    if d is None:
        _take_fixed(plan, draft, header, name, cells.written(cell).strip())
        return
    short = is_short(cell)
    found = plan.known.get((index, cell)) if short else None  # pyright: ignore[reportArgumentType] - a short text
    if found is None:
        found = _value(plan, d, cell)
        if short and len(plan.known) < MAX_KNOWN:
            plan.known[index, cell] = found  # pyright: ignore[reportArgumentType]
    value, raw, wrong = found
    if wrong is None:
        draft.given[d.key] = value
        if name == plan.match and value is not None:
            draft.key = uniques.digest(d, value)
    elif raw is None:
        draft.faults.append(RowFault(draft.row, header, wrong.code, wrong.said))
    else:
        draft.doubtful[d.key] = (raw, wrong)


def _value(plan: Plan, d: Definition, cell: Cell) -> tuple[Any, Any, Refused | None]:
    """A value; or what was written, and why it is none."""
    raw = None
    try:
        raw = cells.from_cell(d, cell, plan.layout)
        if values.is_empty(raw):
            return None, None, None
        value = d.kind.check(raw, d.inputs)
    except Refused as wrong:
        return None, raw, wrong
    return (None if values.is_empty(value) else value), None, None


def _take_fixed(plan: Plan, draft: Draft, header: str, name: str, said: str) -> None:
    if not said:
        return
    if name == "id":
        try:
            found: Any = UUID(said)
        except ValueError:
            draft.faults.append(RowFault(draft.row, header, "uuid_parsing", NO_ID))
            return
    elif name == "name":
        found = draft.name = words.clean(said)
        draft.faults += [RowFault(draft.row, header, code, text) for code, text in _wrong_name(found)]
        found = words.name_key(found)
    elif name == "price_model":
        draft.price_model = said.casefold()
        return
    else:
        if said.casefold() not in (AccountStatus.ACTIVE, AccountStatus.SUSPENDED, AccountStatus.ARCHIVED):
            draft.faults.append(RowFault(draft.row, header, "unknown_option", NO_STATUS))
        else:
            draft.status = AccountStatus(said.casefold())
        return
    if name == plan.match:
        draft.key = found


def _wrong_name(name: str) -> list[tuple[str, Text]]:
    if len(name) > words.MAX_NAME:
        return [("string_too_long", LONG_NAME)]
    if words.holds_address(name):
        return [("address_in_name", ADDRESS)]
    return [] if words.is_printable(name) else [("unprintable", UNPRINTABLE)]
