"""What an import makes of its file: which column is which, by what its rows are matched, and what is done with them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from app.problems import Text
from app.services import columns as known_columns
from app.services import exports, tables, values
from app.services.columns import Columns, Definition
from app.sheets import Cell, Layout

PREFIX: Final = tables.PREFIX
TAKEN: Final = ("id", "name", "status", "price_model")
# What exports write and nobody sets: listed as ignored.
IGNORED: Final = {*known_columns.FIXED, "partner_id"} - {*TAKEN}
LABELS: Final = {label.casefold(): key for key, column in exports.FIXED.items() for label in column.label}
"""What exports call the columns that every account has."""
MAX_SHOWN: Final = 200


class Unusable(Exception):
    """The file as a whole cannot be imported: a stable code, and what to do."""

    def __init__(self, code: str, en: str, de: str) -> None:
        super().__init__(code)
        self.code, self.said = code, Text(en, de)


@dataclass(frozen=True)
class Heading:
    """One column of the file: one of `TAKEN`, a property, or nothing that is taken."""

    header: str
    field: str | None
    definition: Definition | None = None
    ignored: bool = False
    """Whether it is known to be nothing that is taken."""


@dataclass(frozen=True, eq=False)
class Plan:
    """How one file is read and what becomes of its rows, by the definitions of one moment."""

    columns: Columns
    layout: Layout
    headings: tuple[Heading, ...]
    match: str
    mode: str
    keep_empty: bool
    known: dict[tuple[int, str], Any] = field(default_factory=dict[tuple[int, str], Any])
    """What short texts of a column were found to mean: most stand in many rows."""

    @cached_property
    def matching(self) -> Definition | None:
        """The unique property by which rows are matched; None: by id or name."""
        return None if self.match in TAKEN else self.columns.by_key[self.match.removeprefix(PREFIX)]

    @cached_property
    def header_of(self) -> Mapping[str, str]:
        """The file's own name of a field, for errors."""
        return {h.field: h.header for h in self.headings if h.field}


def planned(columns: Columns, layout: Layout, options: Mapping[str, Any]) -> Plan:
    """The plan for a file with this header.

    Raises:
        Unusable: a column is unknown or stands twice, or the one by which rows are matched is not there.
    """
    headings = _headings(columns, layout.header, ignore_unknown=options["ignore_unknown"])
    fields = {h.field for h in headings} - {None}
    match = _match(columns, fields, options["match"])
    if not fields - {"id"}:
        raise Unusable("nothing_to_import", "No column holds anything that can be set.",
                       "Keine Spalte enthält etwas, das gesetzt werden kann.")  # fmt: skip
    return Plan(columns, layout, headings, match, options["mode"], options["empty"] == "keep")


def shown(plan: Plan) -> list[dict[str, Any]]:
    """Which column of the file is which, as it is kept with the import."""
    return [{"header": h.header[:MAX_SHOWN], "field": h.field} for h in plan.headings]


def _headings(columns: Columns, header: Sequence[str], *, ignore_unknown: bool) -> tuple[Heading, ...]:
    labels = _labels(columns)
    found = [_heading(columns, labels, name) for name in header]
    unknown = [h.header for h in found if h.field is None and not h.ignored]
    if unknown and not ignore_unknown:
        names = _named(unknown)
        raise Unusable("unknown_columns", f"No column of the accounts table: {names}. Rename them, or upload with "
                       "ignore_unknown=true.", f"Keine Spalte der Kontentabelle: {names}. Benennen Sie sie um, oder "
                       "laden Sie mit ignore_unknown=true hoch.")  # fmt: skip
    twice = [name for name, n in Counter(h.field for h in found if h.field).items() if n > 1]
    if twice:
        names = _named([h.header for h in found if h.field in twice])
        raise Unusable("duplicate_column", f"Several columns mean the same: {names}.",
                       f"Mehrere Spalten meinen dasselbe: {names}.")  # fmt: skip
    return tuple(found)


def _named(headers: Iterable[str]) -> str:
    return ", ".join(f"“{h[:40]}”" for h in list(headers)[:5])


def _labels(columns: Columns) -> dict[str, list[Definition]]:
    found: dict[str, list[Definition]] = {}
    for d in columns.active:
        for label in {str(text).casefold() for text in d.label.values() if text}:
            found.setdefault(label, []).append(d)
    return found


def _heading(columns: Columns, labels: Mapping[str, list[Definition]], name: str) -> Heading:
    folded = name.casefold()
    if folded in TAKEN:
        return Heading(name, folded)
    if folded in IGNORED:
        return Heading(name, None, ignored=True)
    d, called = columns.by_key.get(folded.removeprefix(PREFIX)), labels.get(folded, ())
    if d is None and not called and folded in LABELS:  # a partner's own words come first
        field = LABELS[folded]
        return Heading(name, field) if field in TAKEN else Heading(name, None, ignored=True)
    if d is None and len(called) == 1:
        (d,) = called
    if d is None or d.archived:
        return Heading(name, None)
    return Heading(name, PREFIX + d.key, d)


def _match(columns: Columns, fields: set[str | None], asked: str | None) -> str:
    if asked is None:
        found = "id" if "id" in fields else "name"
    elif asked in ("id", "name"):
        found = asked
    else:
        found = PREFIX + asked.removeprefix(PREFIX)
        d = columns.by_key.get(found.removeprefix(PREFIX))
        if d is None or d.archived or not d.unique or d.type not in values.CAN_BE_UNIQUE:
            raise Unusable("cannot_match", "Rows are matched by id, name or a unique property.",
                           "Zeilen werden nach id, name oder einer eindeutigen Eigenschaft zugeordnet.")  # fmt: skip
    if found not in fields:
        name = found.removeprefix(PREFIX)
        raise Unusable("no_match_column", f"There is no column “{name}”, by which rows are matched to accounts.",
                       f"Es gibt keine Spalte „{name}“, nach der Zeilen Konten zugeordnet werden.")  # fmt: skip
    return found


def is_short(cell: Cell) -> bool:
    """Whether it is worth remembering what a cell means."""
    return type(cell) is str and len(cell) <= 40


__all__ = ["Heading", "Plan", "Unusable", "is_short", "planned", "shown"]
