"""Schemas of the contract, as generators and linters like them best; and an example for each."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

Schema = dict[str, Any]

EXAMPLE_ID: Final = "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60"
TEXT: Final = r"^[^\x00]*$"
"""What is true of every string, taken or given: none holds NUL."""
LENGTHS: Final = {"uuid": 36, "date": 10, "date-time": 35}
HIGHEST: Final = {"int32": 2**31 - 1, "int64": 2**53 - 1}
"""The latter is what JavaScript can hold."""
RESTRICTIONS: Final = ("format", "pattern", "enum", "const")
STAND_INS: Final = {"uuid": EXAMPLE_ID, "date": "2026-11-23", "date-time": "2026-11-23T09:30:00.000Z", "binary": "..."}

ENDS: Final = ("ends_at", "expires_at", "active_until_at")
"""Moments that are later than others of an example."""


def walk(node: Any, visit: Callable[[Schema], None]) -> None:
    """Visit every object of the document, outer ones first; not the examples."""
    if isinstance(node, dict):
        found = cast("Schema", node)
        visit(found)
        for name, inner in list(found.items()):
            if name not in ("example", "examples"):
                walk(inner, visit)
    elif isinstance(node, list):
        for inner in cast("list[Any]", node):
            walk(inner, visit)


def tidy(node: Schema) -> None:
    """One schema, or a parameter with its schema."""
    properties: dict[str, Any] = node.get("properties") or {}
    for name, inner in properties.items():
        if isinstance(inner, dict):  # else `properties` is the name of a field, and this its schema
            _field(name, cast("Schema", inner))
    if node.get("in") in ("query", "path", "header") and "schema" in node:
        _parameter(node)
    _fold_null(node)
    kinds = node.get("type")
    if "integer" in (kinds if isinstance(kinds, list) else [kinds]):
        _integer(node)
    if "const" in node and "type" in node:
        node["enum"] = [node.pop("const")]
    if "default" in node and (node["default"] is None or (node["default"] == {} and "$ref" in node)):
        del node["default"]  # says nothing that absence does not, and Go's generator writes {} as it stands
    if "string" in (kinds if isinstance(kinds, list) else [kinds]):
        _string(node)


def _field(name: str, schema: Schema) -> None:
    schema.pop("title", None)
    if name not in ENDS:
        return
    for one in (schema, *cast("list[Schema]", schema.get("anyOf", ()))):
        if "examples" in one:
            one["examples"] = [str(example).replace("2026-", "2036-") for example in one["examples"]]


def _integer(node: Schema) -> None:
    """Its bounds: ours all count something."""
    node.setdefault("format", "int32")
    for bound in ("minimum", "maximum"):
        if isinstance(node.get(bound), float):
            node[bound] = int(node[bound])
    if "exclusiveMinimum" not in node:
        node.setdefault("minimum", 0)
    if "exclusiveMaximum" not in node:
        node.setdefault("maximum", HIGHEST[node["format"]])


def _string(node: Schema) -> None:
    """How long it can be, and what cannot be in it."""
    form = node.get("format")
    if form in LENGTHS and "enum" not in node:
        node.setdefault("maxLength", LENGTHS[form])
    if form == "uuid":
        node.setdefault("examples", [EXAMPLE_ID])
    if not any(restriction in node for restriction in RESTRICTIONS):
        node["pattern"] = TEXT


def _fold_null(node: Schema) -> None:
    """`anyOf: [T, null]` as `type: [T, "null"]`, which every generator reads as an optional T."""
    kinds = node.get("anyOf")
    if not isinstance(kinds, list) or {"type": "null"} not in kinds:
        return
    rest: list[Schema] = [k for k in cast("list[Schema]", kinds) if k != {"type": "null"}]
    if len(rest) == 1 and isinstance(rest[0].get("type"), str):
        del node["anyOf"]
        for key, value in rest[0].items():
            node.setdefault(key, value)
        node["type"] = [rest[0]["type"], "null"]
        if "enum" in node:
            node["enum"] = [*node["enum"], None]


def _parameter(parameter: Schema) -> None:
    """It is there or not, never null; what it means, and an example, stand beside its schema and not in it again."""
    schema: Schema = parameter["schema"]
    schema.pop("title", None)
    _fold_null(schema)
    if isinstance(schema.get("type"), list):
        schema["type"] = next(t for t in schema["type"] if t != "null")
    if None in schema.get("enum", ()):
        schema["enum"].remove(None)
    if isinstance(schema.get("items"), dict):
        schema["items"].pop("title", None)
    parameter["description"] = schema.pop("description", None) or parameter["description"]
    examples: list[Any] = schema.pop("examples", None) or []
    if "example" not in parameter:
        parameter["example"] = examples[0] if examples else example_of(schema, {})


# --- examples ---


def example_of(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """A value that is as the schema says, made of the examples of its parts."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for key in ("examples", "enum", "default"):
        if key in schema:
            return schema[key][0] if key != "default" else schema[key]
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return example_of(schema[union][0], schemas)
    kinds = schema.get("type")
    return _PLAIN[kinds[0] if isinstance(kinds, list) else kinds or "any"](schema, schemas)


def _object(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """What is read has every field; what is written, those that it must have and those with an example of their own."""
    fields: dict[str, Schema] = schema.get("properties", {})
    needed: list[str] = schema.get("required", [])
    return {k: example_of(f, schemas) for k, f in fields.items() if k in needed or "examples" in f}


def _text(schema: Schema, _schemas: Mapping[str, Schema]) -> Any:
    return STAND_INS.get(schema.get("format", ""), "text")


_PLAIN: Final[dict[str, Callable[[Schema, Mapping[str, Schema]], Any]]] = {
    "object": _object,
    "array": lambda schema, schemas: [example_of(schema["items"], schemas)],
    "string": _text,
    "integer": lambda schema, _: max(1, schema.get("minimum", 0)),
    "number": lambda schema, _: max(1, schema.get("minimum", 0)),
    "boolean": lambda _schema, _schemas: True,
    "null": lambda _schema, _schemas: None,
    "any": lambda _schema, _schemas: None,
}


def title_of(description: str) -> str:
    """What a description says first."""
    return re.split(r"[.:]\s", description)[0].rstrip(".")


def name_of(text: str) -> str:
    """`partner_id` and `If-Match` as PartnerId and IfMatch."""
    return "".join(word.title() for word in re.split(r"[_-]", text))
