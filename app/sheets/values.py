"""Values that were written as text: numbers, money, dates and truths, as the layout says people wrote them.

Never a guess: a text that could be two numbers is the one of the layout, and what fits neither is refused.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from app.sheets.table import Cell, Layout

MAX_NUMBER = 100
_SPACES = " \u00a0\u2009\u202f"


def _numbers(decimal: str, group: str) -> re.Pattern[str]:
    grouped = rf"[1-9][0-9]{{0,2}}([{group}'’{_SPACES}])[0-9]{{3}}(?:\3[0-9]{{3}})*"
    return re.compile(rf"([-+−]?)({grouped}|[0-9]+|(?={re.escape(decimal)}))(?:{re.escape(decimal)}([0-9]+))?")


_NUMBER = {".": _numbers(".", ","), ",": _numbers(",", ".")}
_SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP"}
_MONEY = re.compile(r"([-+−]?)\s*([A-Za-z]{3}(?![A-Za-z])|[€$£])?([^A-Za-z€$£]*)([A-Za-z]{3}|[€$£])?")
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_GERMAN = re.compile(r"(?P<day>[0-9]{1,2})\.\s?(?P<month>[0-9]{1,2})\.\s?(?P<year>[0-9]{4})")
_SLASHED = re.compile(r"(?P<month>[0-9]{1,2})/(?P<day>[0-9]{1,2})/(?P<year>[0-9]{4})")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,6}))?)?\s?(Z|[+-][0-9]{2}:?[0-9]{2})?")
_TRUTHS = {
    **dict.fromkeys(("true", "yes", "y", "ja", "j", "wahr", "1", "x", "✓"), True),
    **dict.fromkeys(("false", "no", "n", "nein", "falsch", "0", ""), False),
}


def number(text: str, layout: Layout) -> Decimal:
    """`1.234,56`, `1,234.56`, `1'234.56`, `12,5`: exactly one number, by the decimal sign of the layout.

    Raises:
        ValueError: it is none, or grouped in a way that leaves a doubt.
    """
    return _number(text.strip(), layout.decimal)


def _number(text: str, decimal: str) -> Decimal:
    found = _NUMBER[decimal].fullmatch(text) if len(text) <= MAX_NUMBER else None
    if found is None:
        raise ValueError("not a number")
    sign, whole, group, fraction = found.groups()
    digits = whole.replace(group, "") if group else whole
    return Decimal(f"{'-' if sign in ('-', '−') else ''}{digits or '0'}.{fraction or '0'}" if fraction
                   else f"{'-' if sign in ('-', '−') else ''}{digits}")  # fmt: skip


def money(text: str, layout: Layout) -> tuple[Decimal, str | None]:
    """`12,50 EUR`, `€ 12,50`, `-12,50`: the amount, and the currency if it is named.

    Raises:
        ValueError: the amount is no number, or there are two currencies.
    """
    return _money(text.strip(), layout.decimal)


def _money(text: str, decimal: str) -> tuple[Decimal, str | None]:
    found = _MONEY.fullmatch(text) if len(text) <= MAX_NUMBER else None
    if found is None or (found[2] and found[4]):
        raise ValueError("not an amount of money")
    named = found[2] or found[4]
    amount = _number(found[1] + found[3].strip(), decimal)
    return amount, _SYMBOLS.get(named, named.upper()) if named else None


def day(text: str, layout: Layout) -> date:
    """`2026-12-31` and `31.12.2026`; `12/31/2026` only where the layout says so. Years have four digits.

    Raises:
        ValueError: it is no date.
    """
    text = text.strip()
    if found := _ISO.fullmatch(text):
        return date(int(found[1]), int(found[2]), int(found[3]))
    found = _GERMAN.fullmatch(text) or (_SLASHED.fullmatch(text) if layout.dates == "us" else None)
    if found is None:
        raise ValueError("not a date")
    return date(int(found["year"]), int(found["month"]), int(found["day"]))


def moment(text: str, layout: Layout) -> datetime:
    """A date as `day` reads it, a time behind it (`T`, space or comma between) and perhaps a zone.

    Without a time it is midnight; without a zone it has none.

    Raises:
        ValueError: it is no date and time.
    """
    parts = re.split(r"T|,\s?|\s(?=[0-9]{1,2}:)", text.strip(), maxsplit=1)
    on = day(parts[0], layout)
    if len(parts) == 1:
        return datetime(on.year, on.month, on.day)  # noqa: DTZ001
    found = _TIME.fullmatch(parts[1])
    if found is None:
        raise ValueError("not a time")
    hour, minute, second, fraction, zone = found.groups()
    clock = f"{int(hour):02}:{minute}:{second or '00'}.{(fraction or '0'):0<6}{zone or ''}"
    return datetime.fromisoformat(f"{on.isoformat()}T{clock}")


def truth(text: str) -> bool:
    """Yes or no, in English or German, as a number or a cross; nothing at all is no.

    Raises:
        ValueError: it is neither.
    """
    found = _TRUTHS.get(text.strip().casefold())
    if found is None:
        raise ValueError("neither yes nor no")
    return found


@dataclass
class _Tally:
    """What the texts of one column look like."""

    filled: int = 0
    numbers: int = 0
    comma: int = 0
    point: int = 0
    dates: int = 0
    dotted: int = 0
    month_first: int = 0
    day_first: int = 0

    def add(self, text: str) -> None:
        self.filled += 1
        comma, point = _fits(text, ","), _fits(text, ".")
        self.numbers += comma or point
        self.comma += comma and not point
        self.point += point and not comma
        first = re.split(r"[T\s]", text, maxsplit=1)[0]
        if _GERMAN.fullmatch(first):
            self.dotted += 1
        elif slashed := _SLASHED.fullmatch(first):
            self.month_first += int(slashed["day"]) > 12
            self.day_first += int(slashed["month"]) > 12
        elif not _ISO.fullmatch(first):
            return
        self.dates += 1


def _fits(text: str, decimal: str) -> bool:
    try:
        _money(text, decimal)
    except ValueError:
        return False
    return True


def styles(rows: Iterable[Sequence[Cell]], default: str) -> tuple[str, str]:
    """The decimal sign and the style of dates, from columns that hold little else; `default` where they differ."""
    columns: list[_Tally] = []
    for row in rows:
        columns += (_Tally() for _ in range(len(row) - len(columns)))
        for column, cell in zip(columns, row, strict=False):
            if isinstance(cell, str) and (text := cell.strip()):
                column.add(text)
    numeric = [c for c in columns if c.numbers * 10 >= c.filled * 9]
    comma, point = any(c.comma > c.point for c in numeric), any(c.point > c.comma for c in numeric)
    decimal = default if comma == point else "," if comma else "."
    dated = [c for c in columns if c.dates * 10 >= c.filled * 9]
    if any(c.month_first for c in dated) and not any(c.day_first for c in dated):
        return decimal, "us"
    return decimal, "german" if any(c.dotted for c in dated) else "iso"
