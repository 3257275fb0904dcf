"""What makes a property definition sensible, beyond its shape: bounds in order, a valid pattern and default."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from app import words
from app.models import Property, PropertyType
from app.problems import Fault, Invalid, Text
from app.services import values

COMMON: Final = ("key", "type", "label", "help", "default", "required", "unique", "filterable", "sensitive",
                 "editable_by")  # fmt: skip

NO_LABEL = Text("A label in at least one language.", "Eine Beschriftung in mindestens einer Sprache.")
TOO_LONG = Text("A filterable text has one line of at most 200 characters: q finds longer ones.",
                "Filterbarer Text hat eine Zeile mit höchstens 200 Zeichen: längeren findet q.")  # fmt: skip
CROSSED = Text("The minimum is above the maximum.", "Das Minimum liegt über dem Maximum.")
TWICE = Text("Two options have the same key.", "Zwei Optionen haben denselben Schlüssel.")
NO_DATE = Text("There is no such day or moment.", "Diesen Tag oder Zeitpunkt gibt es nicht.")
ONE_USER = Text(
    "Every account of a person's choice: there is no default user.", "Einen Standardbenutzer gibt es nicht."
)


def row_values(document: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a definition's row; what only its type has stands in `inputs`.

    Raises:
        Invalid: it could never hold a value, or says two things at once.
    """
    found: dict[str, Any] = {"unique": False} | {k: document[k] for k in COMMON if k in document}
    found["type"] = PropertyType(found["type"])
    found["inputs"] = {k: v for k, v in document.items() if k not in COMMON}
    faults = list(_faults(found))
    if not faults and not values.is_empty(found["default"]):
        faults = list(_settle_default(found))
    if faults:
        raise Invalid(errors=faults)
    if values.is_empty(found["default"]):
        found["default"] = None
    return found


def document(row: Property) -> dict[str, Any]:
    """The other way round: a definition as it was given."""
    said = {k: getattr(row, k) for k in COMMON if k != "unique" or row.type in values.CAN_BE_UNIQUE}
    return said | {"type": row.type.value} | row.inputs


def shown(row: Property) -> dict[str, Any]:
    """A definition as the API shows it; a label in one language does for both."""
    inputs = dict(row.inputs)
    for name in ("true_label", "false_label"):
        if inputs.get(name):
            inputs[name] = words.both(inputs[name])
    if "options" in inputs:
        inputs["options"] = [{**o, "label": words.both(o["label"])} for o in inputs["options"]]
    own = {k: getattr(row, k) for k in ("id", "unique", "position", "archived_at", "created_at", "updated_at")}
    ready = row.filterable and not row.stale
    return document(row) | inputs | own | {"label": words.both(row.label), "help": words.both(row.help), "ready": ready}


def _faults(found: Mapping[str, Any]) -> Iterator[Fault]:
    inputs: Mapping[str, Any] = found["inputs"]
    if not any(found["label"].values()):
        yield Fault("/label", "missing", NO_LABEL)
    if found["type"] == PropertyType.TEXT:
        if found["filterable"] and (inputs["max_length"] > values.MAX_FILTERABLE_TEXT or inputs["multi_line"]):
            yield Fault("/filterable", "text_too_long", TOO_LONG)
        if inputs["pattern"] is not None:
            yield from _tried("/pattern", lambda: values.pattern(inputs["pattern"]))
    if "currency" in inputs:
        yield from _tried("/currency", lambda: values.places_of(inputs["currency"]))
    if "options" in inputs:
        keys = [o["key"] for o in inputs["options"]]
        if len(set(keys)) < len(keys):
            yield Fault("/options", "duplicate_key", TWICE)
        yield from (Fault(f"/options/{n}/label", "missing", NO_LABEL) for n, o in enumerate(inputs["options"])
                    if not any(o["label"].values()))  # fmt: skip
    yield from _crossed(found["type"], inputs)


def _tried(pointer: str, attempt: Any) -> Iterator[Fault]:
    try:
        attempt()
    except values.Refused as wrong:
        yield Fault(pointer, wrong.code, wrong.said)


BOUNDS: Mapping[PropertyType, Any] = {
    PropertyType.NUMBER: float,
    PropertyType.MONEY: Decimal,
    PropertyType.DATE: date.fromisoformat,
    PropertyType.DATETIME: datetime.fromisoformat,
}


def _crossed(type: PropertyType, inputs: Mapping[str, Any]) -> Iterator[Fault]:
    if type not in BOUNDS:
        return
    bounds: dict[str, Any] = {}
    for name in ("min", "max"):
        if inputs[name] is not None:
            try:
                bounds[name] = BOUNDS[type](inputs[name])
            except ValueError:
                yield Fault(f"/{name}", "date_parsing", NO_DATE)
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        yield Fault("/min", "bounds_crossed", CROSSED)


def _settle_default(found: dict[str, Any]) -> Iterator[Fault]:
    if found["type"] == PropertyType.USER:
        yield Fault("/default", "no_default", ONE_USER)
        return
    try:
        found["default"] = values.KINDS[found["type"]].check(found["default"], found["inputs"])
    except values.Refused as wrong:
        yield Fault("/default", wrong.code, wrong.said)
