"""Property values: what each type takes, and the one form it has in JSON, in a slot, in a filter and in the search."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any, Final, Literal, cast
from uuid import UUID

import phonenumbers
import re2
from iso4217 import Currency
from pydantic import HttpUrl, TypeAdapter, ValidationError

from app import words
from app.models import PropertyType as T
from app.problems import Text

Inputs = Mapping[str, Any]
Slot = str | float

DIGITS: Final = 15
"""Every decimal of so many digits has a float8 of its own: a slot sorts and compares it exactly."""
MAX_TEXT: Final = 10_000
MAX_FILTERABLE_TEXT: Final = 200
MAX_SLOT: Final = 400
MAX_SEARCHED: Final = 1_000
MAX_URL: Final = 500


class Refused(ValueError):
    """Not a value of this property: a stable code, and what it takes."""

    def __init__(self, code: str, en: str, de: str) -> None:
        super().__init__(code)
        self.code, self.said = code, Text(en, de)


@dataclass(frozen=True)
class Kind:
    """One type of property."""

    check: Callable[[Any, Inputs], Any]
    """The value in its one form (what JSON shows and the database keeps)."""
    slot: Callable[[Any], Slot] | None
    """What a slot holds of a value; monotone, so that slots sort as values do."""
    ask: Callable[[str], Slot]
    """What a slot is compared with, from a filter's text."""
    operators: tuple[str, ...]
    slots: Literal["text", "number"] | None = None
    searched: bool = False
    written: Literal["string", "word", "plain"] | None = None
    """What its JSON is: a string; a string in which nothing is ever escaped; a number or a truth; null: anything else.

    Good for all that is stored under a key: a type never changes, and a key is free only when its values are gone.
    """


# --- texts ---


def _text(value: Any, inputs: Inputs) -> str:
    if not isinstance(value, str):
        raise Refused("string_type", "Must be a string.", "Muss ein Text sein.")
    found = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()
    shown = found.replace("\n", "").replace("\t", "") if inputs.get("multi_line") else found
    if not words.is_printable(shown):
        raise Refused("unprintable", "Holds characters that cannot be shown.", "Enthält nicht darstellbare Zeichen.")
    most = inputs.get("max_length") or MAX_FILTERABLE_TEXT
    if len(found) > most:
        raise Refused("string_too_long", f"At most {most} characters.", f"Höchstens {most} Zeichen.")
    if found and (expected := inputs.get("pattern")) and not pattern(expected).fullmatch(found):
        raise Refused("string_pattern_mismatch", "Has not the form that is asked for.",
                      "Hat nicht die verlangte Form.")  # fmt: skip
    return found


@lru_cache(maxsize=1000)
def pattern(expression: str) -> Any:
    """A compiled pattern, matched in linear time whatever the text (RE2).

    Raises:
        Refused: it is none of RE2's syntax, or too large.
    """
    options = re2.Options()
    options.max_mem, options.log_errors = 1 << 20, False
    try:
        return re2.compile(expression, options)
    except re2.error:
        raise Refused("invalid_pattern", "Not a pattern in RE2 syntax: no look-around, no back references.",
                      "Kein Muster in RE2-Syntax: ohne Lookaround und Rückverweise.") from None  # fmt: skip


def _url(value: Any, _: Inputs) -> str:
    wrong = Refused("url", "Must be a web address (http or https) of at most 500 characters.",
                    "Muss eine Webadresse (http oder https) mit höchstens 500 Zeichen sein.")  # fmt: skip
    if not isinstance(value, str):
        raise wrong
    try:
        found = str(_URL.validate_python(value.strip()))
    except ValidationError:
        raise wrong from None
    if len(found) > MAX_URL or not found.isprintable():
        raise wrong
    return found


_URL: TypeAdapter[HttpUrl] = TypeAdapter(HttpUrl)


def _email(value: Any, _: Inputs) -> str:
    try:
        return words.email(_string(value))
    except ValueError:
        raise Refused("email", "Must be an e-mail address.", "Muss eine E-Mail-Adresse sein.") from None


def _phone(value: Any, _: Inputs) -> str:
    """E.164: the form in which every telephone number of the world is written once."""
    wrong = Refused("phone", "Must be a telephone number with its country code: +49 30 123456.",
                    "Muss eine Telefonnummer mit Ländervorwahl sein: +49 30 123456.")  # fmt: skip
    if not isinstance(value, str) or len(value) > 40:
        raise wrong
    try:
        number = phonenumbers.parse(value)
    except phonenumbers.NumberParseException:
        raise wrong from None
    if not phonenumbers.is_possible_number(number) or number.extension:
        raise wrong
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _user(value: Any, _: Inputs) -> str:
    """Whether that user may be chosen is a question to the database: see `services.properties`."""
    try:
        return str(UUID(_string(value)))
    except ValueError:
        raise Refused("uuid_parsing", "Must be the id of a user.", "Muss die Id eines Benutzers sein.") from None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


# --- numbers ---


def exact(value: Decimal) -> Decimal:
    """Without trailing zeros; at most 15 significant digits, before and behind the point.

    Raises:
        Refused: it has more, or is none.
    """
    if not value.is_finite() or abs(value.adjusted()) > 2 * DIGITS:
        raise _too_many_digits()
    found = value.normalize(Context(prec=len(value.as_tuple().digits)))  # the usual one would round
    if len(found.as_tuple().digits) > DIGITS or found.adjusted() >= DIGITS or found.adjusted() < -DIGITS:
        raise _too_many_digits()
    return found


def _too_many_digits() -> Refused:
    return Refused("too_many_digits", f"At most {DIGITS} digits.", f"Höchstens {DIGITS} Ziffern.")


def _number(value: Any, inputs: Inputs) -> float:
    """An int or a float whose shortest text is the number that was given, digit by digit."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        raise Refused("number_type", "Must be a number.", "Muss eine Zahl sein.")
    found = exact(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
    decimals = inputs.get("decimals")
    if decimals is not None and _places(found) > decimals:
        raise _too_many_places(decimals)
    _within(found, *(None if b is None else _plain(b) for b in (inputs.get("min"), inputs.get("max"))))
    return int(found) if found == found.to_integral_value() else float(found)


def _plain(bound: float) -> Decimal:
    """As people write it: 0, not 0.0."""
    return Decimal(int(bound)) if bound == int(bound) else Decimal(repr(bound))


def _places(value: Decimal) -> int:
    return max(0, -cast("int", value.as_tuple().exponent))


def _too_many_places(most: int) -> Refused:
    return Refused("too_many_decimals", f"At most {most} decimal places.", f"Höchstens {most} Nachkommastellen.")


def _within(value: Any, least: Any, most: Any) -> None:
    if least is not None and value < least:
        raise Refused("greater_than_equal", f"At least {least}.", f"Mindestens {least}.")
    if most is not None and value > most:
        raise Refused("less_than_equal", f"At most {most}.", f"Höchstens {most}.")


AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,4})?")


def _money(value: Any, inputs: Inputs) -> dict[str, str]:
    if not isinstance(value, Mapping) or set(cast("Mapping[str, Any]", value)) != {"amount", "currency"}:
        raise Refused("money_type", 'Must be {"amount": "12.50", "currency": "EUR"}.',
                      'Muss {"amount": "12.50", "currency": "EUR"} sein.')  # fmt: skip
    given = cast("Mapping[str, Any]", value)
    if given["currency"] != inputs["currency"]:
        raise Refused("currency", f"The currency is {inputs['currency']}.", f"Die Währung ist {inputs['currency']}.")
    if not isinstance(given["amount"], str) or not AMOUNT.fullmatch(given["amount"]):
        raise Refused("money_amount", 'The amount is a string: "12.50".', 'Der Betrag ist ein Text: "12.50".')
    return {"amount": amount(Decimal(given["amount"]), inputs), "currency": inputs["currency"]}


def amount(value: Decimal, inputs: Inputs) -> str:
    """An amount with as many decimal places as its currency has (ISO 4217).

    Raises:
        Refused: it has more, or lies outside the bounds.
    """
    places = places_of(inputs["currency"])
    if _places(exact(value)) > places:
        raise _too_many_places(places)
    _within(value, *(None if b is None else Decimal(b) for b in (inputs.get("min"), inputs.get("max"))))
    return f"{value or Decimal(0):.{places}f}"  # nor is there a "-0.00"


def places_of(currency: str) -> int:
    """Decimal places of a currency (ISO 4217).

    Raises:
        Refused: there is no such currency.
    """
    try:
        return Currency(currency).exponent or 0
    except ValueError:
        raise Refused("currency", "Not a currency of ISO 4217.", "Keine Währung nach ISO 4217.") from None


def _boolean(value: Any, _: Inputs) -> bool:
    if not isinstance(value, bool):
        raise Refused("bool_type", "Must be true or false.", "Muss true oder false sein.")
    return value


# --- days and moments ---


def _date(value: Any, inputs: Inputs) -> str:
    found = _day(value)
    _within(found, *(None if b is None else date.fromisoformat(b) for b in (inputs.get("min"), inputs.get("max"))))
    return found.isoformat()


def _day(value: Any) -> date:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise Refused("date_parsing", "Must be a date: 2027-01-31.", "Muss ein Datum sein: 2027-01-31.")


def _datetime(value: Any, inputs: Inputs) -> str:
    found = _moment(value, zone_needed=True)
    _within(found, *(None if b is None else datetime.fromisoformat(b) for b in (inputs.get("min"), inputs.get("max"))))
    return words.stamp(found)


MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
                    r"([Zz]|[+-][0-9]{2}:[0-9]{2})?)?")  # fmt: skip


def _moment(value: Any, *, zone_needed: bool = False) -> datetime:
    """A moment in UTC, to the millisecond."""
    if isinstance(value, str) and MOMENT.fullmatch(value):
        try:
            found = datetime.fromisoformat(value.upper())
            if found.tzinfo or not zone_needed:
                found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
                return found.replace(microsecond=found.microsecond // 1000 * 1000)
        except (ValueError, OverflowError):
            pass
    raise Refused("datetime_parsing", "Must be a moment with its zone: 2027-01-31T09:30:00Z.",
                  "Muss ein Zeitpunkt mit Zone sein: 2027-01-31T09:30:00Z.")  # fmt: skip


# --- choices ---


def _select(value: Any, inputs: Inputs) -> str:
    open_ = [o["key"] for o in inputs["options"] if not o["archived"]]
    if not isinstance(value, str) or value not in open_:
        shown = ", ".join(open_[:20])
        raise Refused("unknown_option", f"One of: {shown}.", f"Eines von: {shown}.")
    return value


def _multi_select(value: Any, inputs: Inputs) -> list[str]:
    if not isinstance(value, list):
        raise Refused("list_type", "Must be a list of options.", "Muss eine Liste von Optionen sein.")
    chosen = {_select(v, inputs) for v in cast("list[Any]", value)}
    return [o["key"] for o in inputs["options"] if o["key"] in chosen]


# --- the slots ---


def _folded(value: str) -> str:
    return words.search_key(value)[:MAX_SLOT]


def _ask_number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,30})?", text):
        raise Refused("number_type", "Must be a number: 12.5.", "Muss eine Zahl sein: 12.5.")
    return float(text)


def _ask_truth(text: str) -> float:
    if text not in ("true", "false"):
        raise Refused("bool_type", "Must be true or false.", "Muss true oder false sein.")
    return float(text == "true")


def _as_given(text: str) -> str:
    return text[:MAX_SLOT]


EQUAL = ("eq", "ne", "in", "is_null")
ORDERED = ("eq", "ne", "lt", "lte", "gt", "gte", "in", "is_null")
TEXTUAL = ("eq", "ne", "in", "contains", "starts_with", "is_null")

KINDS: Final[Mapping[T, Kind]] = {
    T.TEXT: Kind(_text, _folded, _folded, TEXTUAL, "text", searched=True, written="string"),
    T.NUMBER: Kind(_number, float, _ask_number, ORDERED, "number", written="plain"),
    T.MONEY: Kind(_money, lambda v: float(v["amount"]), _ask_number, ORDERED, "number"),
    T.BOOLEAN: Kind(_boolean, float, _ask_truth, ("eq", "ne", "is_null"), "number", written="plain"),
    T.DATE: Kind(_date, lambda v: float(_day(v).toordinal()), lambda t: float(_day(t).toordinal()), ORDERED, "number",
                 written="word"),
    T.DATETIME: Kind(_datetime, lambda v: _moment(v).timestamp(), lambda t: _moment(t).timestamp(),
                     ORDERED, "number", written="word"),
    T.SELECT: Kind(_select, str, _as_given, EQUAL, "text", written="word"),
    T.MULTI_SELECT: Kind(_multi_select, None, _as_given, ("contains", "is_null")),
    T.URL: Kind(_url, _as_given, _as_given, TEXTUAL, "text", searched=True, written="string"),
    T.EMAIL: Kind(_email, str.lower, str.lower, TEXTUAL, "text", searched=True, written="string"),
    T.PHONE: Kind(_phone, str, _as_given, TEXTUAL, "text", searched=True, written="word"),
    T.USER: Kind(_user, str, lambda t: _user(t, {}), EQUAL, "text", written="word"),
}  # fmt: skip

CAN_BE_UNIQUE: Final = frozenset({T.TEXT, T.NUMBER, T.DATE, T.URL, T.EMAIL, T.PHONE})


def is_empty(value: Any) -> bool:
    """Nothing, an empty text and an empty list are the same: no value."""
    return value is None or value == "" or value == []


def unique_form(kind: T, value: Any) -> str:
    """Two values with the same form are the same value: of texts, case, width and spacing do not count."""
    match kind:
        case T.TEXT:
            return words.name_key(value)
        case T.EMAIL:
            return words.email_key(value)
        case _:
            return str(value)
