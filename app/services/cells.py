"""What a cell of a file says as a property's value: the other way round than an export writes it."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from app import sheets, words
from app.models import PropertyType as T
from app.services import values
from app.services.columns import Definition
from app.services.values import Refused
from app.sheets import Cell, Layout

Inputs = Mapping[str, Any]

NO_NUMBER = ("number_type", "Must be a number.", "Muss eine Zahl sein.")
NO_TRUTH = ("bool_type", "Must be yes or no.", "Muss ja oder nein sein.")
NO_DAY = (
    "date_parsing",
    "Must be a date: 2027-01-31 or 31.01.2027.",
    "Muss ein Datum sein: 31.01.2027 oder 2027-01-31.",
)
NO_MOMENT = ("datetime_parsing", "Must be a date with its time: 2027-01-31T09:30:00Z.",
             "Muss ein Datum mit Uhrzeit sein: 31.01.2027 09:30.")  # fmt: skip


class Mailbox(str):
    """The address of a user, as addresses are compared: whose it is, is a question to the database."""


def from_cell(definition: Definition, cell: Cell, layout: Layout) -> Any:
    """The value as the API would be given it; None for an empty cell. Not yet checked against the definition.

    Raises:
        Refused: nothing of this type is written like that.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    return READERS[definition.type](cell, definition.inputs, layout)


def written(cell: Cell) -> str:
    """A cell as text: what a spreadsheet took for a number or a date as well."""
    match cell:
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case Decimal():
            return f"{cell:f}"
        case date():
            return cell.isoformat()
        case _:
            return "" if cell is None else str(cell)


def _text(cell: Cell, _: Inputs, __: Layout) -> str:
    return written(cell)


def _decimal(cell: Cell, layout: Layout) -> Decimal:
    if isinstance(cell, Decimal | int) and not isinstance(cell, bool):
        return Decimal(cell)
    if isinstance(cell, str):
        try:
            return sheets.number(cell, layout)
        except ValueError:
            pass
    raise Refused(*NO_NUMBER)


def _number(cell: Cell, _: Inputs, layout: Layout) -> Decimal:
    return _decimal(cell, layout)


def _money(cell: Cell, inputs: Inputs, layout: Layout) -> dict[str, str]:
    currency: str | None = None
    if isinstance(cell, str):
        try:
            amount, currency = sheets.money(cell, layout)
        except ValueError:
            raise Refused(*NO_NUMBER) from None
    else:
        amount = _decimal(cell, layout)
    return {"amount": f"{values.exact(amount):f}", "currency": currency or inputs["currency"]}


def _boolean(cell: Cell, inputs: Inputs, _: Layout) -> bool:
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, Decimal | int) and cell in (0, 1):
        return bool(cell)
    if isinstance(cell, str):
        said = cell.strip().casefold()
        for name, truth in (("true_label", True), ("false_label", False)):
            labels: Mapping[str, Any] = inputs.get(name) or {}
            if said in (str(label).casefold() for label in labels.values() if label):
                return truth
        try:
            return sheets.truth(cell)
        except ValueError:
            pass
    raise Refused(*NO_TRUTH)


def _day(cell: Cell, _: Inputs, layout: Layout) -> str:
    if isinstance(cell, datetime):
        if cell.time() == time():
            return cell.date().isoformat()
    elif isinstance(cell, date):
        return cell.isoformat()
    elif isinstance(cell, str):
        try:
            return sheets.day(cell, layout).isoformat()
        except ValueError:
            pass
    raise Refused(*NO_DAY)


def _moment(cell: Cell, _: Inputs, layout: Layout) -> str:
    """Without a zone it is in UTC, as exports write it."""
    found: datetime | None = None
    if isinstance(cell, datetime):
        found = cell
    elif isinstance(cell, date):
        found = datetime.combine(cell, time(), UTC)
    elif isinstance(cell, str):
        with suppress(ValueError):
            found = sheets.moment(cell, layout)
    if found is None:
        raise Refused(*NO_MOMENT)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def _option(said: str, inputs: Inputs) -> str:
    """The key, or the label if only one option has it; else as it was written, to be refused with what there is."""
    options: list[dict[str, Any]] = inputs["options"]
    if any(o["key"] == said for o in options):
        return said
    folded = said.casefold()
    named = {o["key"] for o in options if folded in (str(label).casefold() for label in o["label"].values() if label)}
    return named.pop() if len(named) == 1 else said


def _select(cell: Cell, inputs: Inputs, _: Layout) -> str:
    return _option(written(cell).strip(), inputs)


def _multi_select(cell: Cell, inputs: Inputs, _: Layout) -> list[str]:
    return [_option(part, inputs) for part in _parts(written(cell))]


def _parts(said: str) -> Iterator[str]:
    return (part.strip() for part in re.split(r"[,;\n]", said) if part.strip())


def _user(cell: Cell, _: Inputs, __: Layout) -> str:
    said = written(cell).strip()
    try:
        return Mailbox(words.email_key(said)) if "@" in said else str(UUID(said))
    except ValueError:
        raise Refused("user", "Must be the e-mail address or the id of a user.",
                      "Muss die E-Mail-Adresse oder die Id eines Benutzers sein.") from None  # fmt: skip


READERS: Final[Mapping[T, Callable[[Cell, Inputs, Layout], Any]]] = {
    T.TEXT: _text,
    T.NUMBER: _number,
    T.MONEY: _money,
    T.BOOLEAN: _boolean,
    T.DATE: _day,
    T.DATETIME: _moment,
    T.SELECT: _select,
    T.MULTI_SELECT: _multi_select,
    T.URL: _text,
    T.EMAIL: _text,
    T.PHONE: _text,
    T.USER: _user,
}
