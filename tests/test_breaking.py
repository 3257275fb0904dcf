"""The check of a new contract against the last released one: what can break a client is found, and nothing else is."""

from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract import breaking

TODAY = date(2026, 11, 30)


SMALL = (Path(__file__).parent / "small_contract.yaml").read_text()


def document() -> Any:
    return yaml.safe_load(SMALL)


def key(node: Any, part: str) -> int | str:
    return int(part) if isinstance(node, list) else part


def at(doc: Any, path: str) -> tuple[Any, Any]:
    """The node that holds what is at a path such as `things.post.responses.201`, and its last name there."""
    node: Any = {
        **doc["components"]["schemas"],
        "things": doc["paths"]["/things"],
        "webhooks": doc["webhooks"],
        "paths": doc["paths"],
    }
    *way, last = path.split(">")
    for part in way:
        node = node[key(node, part)]
    return node, key(node, last)


Edit = Callable[[Any], None]


def put(path: str, value: Any) -> Edit:
    def edit(doc: Any) -> None:
        node, last = at(doc, path)
        node[last] = value

    return edit


def drop(path: str) -> Edit:
    def edit(doc: Any) -> None:
        node, last = at(doc, path)
        del node[last]

    return edit


NEW_KIND = {"type": "object", "required": ["form"], "properties": {"form": {"const": "star"}}}


def third_shape(doc: Any) -> None:
    schemas = doc["components"]["schemas"]
    schemas["Star"] = NEW_KIND
    schemas["Shape"]["oneOf"].append({"$ref": "#/components/schemas/Star"})
    schemas["Shape"]["discriminator"]["mapping"]["star"] = "#/components/schemas/Star"


def third_shape_where_asked(doc: Any) -> None:
    """In answers it stays as it was."""
    schemas = doc["components"]["schemas"]
    schemas["OldShape"] = deepcopy(schemas["Shape"])
    schemas["Thing"]["properties"]["shape"] = {"$ref": "#/components/schemas/OldShape"}
    third_shape(doc)


def one_shape(doc: Any) -> None:
    shape = doc["components"]["schemas"]["Shape"]
    shape["oneOf"].pop()
    del shape["discriminator"]["mapping"]["square"]


BREAKING: list[tuple[str, Edit, str]] = [
    ("an operation goes", drop("things>get"), "GET /things: is gone"),
    ("an address goes", drop("paths>/things"), "GET /things: is gone"),
    ("an operation is renamed", put("things>get>operationId", "getThings"), "listThings is named getThings"),
    ("another permission", put("things>get>x-permission", "thing:list"), "needs thing:list"),
    ("no more strangers", put("things>post>security", [{"token": []}]), "no proof at all is not enough"),
    ("a parameter goes", drop("things>get>parameters>1"), "query sort: is gone"),
    ("a parameter is required", put("things>get>parameters>1>required", True), "query sort: is required"),
    ("a parameter takes less", put("things>get>parameters>0>schema>maximum", 100), "query limit: maximum 200 is more"),
    ("a default changes", put("things>get>parameters>0>schema>default", 20), "left out, it means 20"),
    ("a sort goes", put("things>get>parameters>1>schema>enum", ["name"]), '"age" is not taken any more'),
    ("a list is sent otherwise", put("things>get>parameters>1>explode", False), "explode is False"),
    ("the body is required", put("things>post>requestBody>required", True), "a body is required"),
    ("another body", put("things>post>requestBody>content", {"text/plain": {}}), "application/json is not taken"),
    ("a field is required", put("ThingCreate>required", ["name", "size"]), "ThingCreate.size: is required"),
    ("a field goes", drop("ThingCreate>properties>size"), "ThingCreate.size: is not known any more"),
    ("a shorter name", put("ThingCreate>properties>name>maxLength", 50), "maxLength 100 is more than 50"),
    ("a longer least name", put("ThingCreate>properties>name>minLength", 2), "minLength 1 is less than 2"),
    ("a least number", put("ThingCreate>properties>size>minimum", 1), "minimum 0 is less than 1"),
    ("fewer tags", put("ThingCreate>properties>tags>maxItems", 5), "maxItems 10 is more than 5"),
    ("tags differ", put("ThingCreate>properties>tags>uniqueItems", True), "the same may be there twice"),
    ("tags are short", put("ThingCreate>properties>tags>items>maxLength", 5), "tags[]: maxLength None"),
    ("a pattern", put("ThingCreate>properties>name>pattern", "^x"), "not every value has the pattern"),
    ("null is refused", put("ThingCreate>properties>size>type", "integer"), "the type null is not taken"),
    ("another kind of number", put("ThingCreate>properties>size>format", "int64"), "the format is int32 on one side"),
    ("steps", put("ThingCreate>properties>size>multipleOf", 5), "not every value is a multiple of 5"),
    ("a value goes", put("ThingCreate>properties>colour>enum", ["red"]), '"green" is not taken any more'),
    ("another default", put("ThingCreate>properties>colour>default", "green"), 'left out, it means "green"'),
    ("values are named", put("ThingCreate>properties>name>enum", ["x"]), "only some values are taken"),
    ("one shape less", one_shape, "the kind 'square' is not taken any more"),
    ("one shape more, in answers", third_shape, "the kind 'star' is new"),
    ("a success goes", put("things>post>responses>201", {"content": {}}), "application/json is gone"),
    ("another success", put("things>post>responses>202", {}), "202: is new, and says that it is done"),
    ("a header goes", drop("things>get>responses>200>headers>Link"), "200 Link: is gone"),
    ("a field may be missing", put("Thing>required", ["id", "state"]), "Thing.name: may be missing"),
    ("a field of answers goes", drop("Thing>properties>note"), "Thing.note: is gone"),
    ("a field of answers may be null", put("Thing>properties>name>type", ["string", "null"]), "the type null is new"),
    ("another type", put("Thing>properties>name>type", "integer"), "the type integer is new"),
    ("an id is any text", drop("Thing>properties>id>format"), "the format is None on one side and uuid"),
    ("a text is a day", put("Thing>properties>note>format", "date"), "the format is date on one side and None"),
    ("a new state", put("Thing>properties>state>enum", ["new", "old", "gone"]), '"gone" is new'),
    ("any state", drop("Thing>properties>state>enum"), "values are no longer a known few"),
    ("longer names", put("Thing>properties>name>maxLength", 200), "maxLength 200 is more than 100"),
    ("a code is renamed", put("things>post>responses>409>content>application/problem+json>example>code", "taken"),
     "problem name_taken: is gone"),
    ("a webhook goes", drop("webhooks>thing.made"), "webhook thing.made: is gone"),
    ("a webhook's header goes", put("webhooks>thing.made>post>parameters", []), "webhook-id: may be missing"),
    ("a webhook's field may be missing", put("Thing>required", ["id"]), "Thing.state: may be missing"),
]  # fmt: skip

Q = {"name": "q", "in": "query", "schema": {"type": "string"}}
HARMLESS: list[tuple[str, Edit]] = [
    ("nothing", lambda _doc: None),
    ("an operation comes", put("things>patch", {"operationId": "patchThings", "responses": {"204": {}}})),
    ("what was announced goes on its day", drop("things>delete")),
    ("an error more", put("things>get>responses>503", {})),
    ("a parameter comes", lambda doc: at(doc, "things>get>parameters>0")[0].append(Q)),
    ("a parameter takes more", put("things>get>parameters>0>schema>maximum", 500)),
    ("a sort comes", put("things>get>parameters>1>schema>enum", ["name", "age", "size"])),
    ("strangers may", put("things>get>security", [{}, {"token": []}])),
    ("a field comes", put("ThingCreate>properties>more", {"type": "string"})),
    ("a field is no longer required", put("ThingCreate>required", [])),
    ("unknown fields are taken", drop("ThingCreate>additionalProperties")),
    ("longer names", put("ThingCreate>properties>name>maxLength", 500)),
    ("null is taken", put("ThingCreate>properties>on>type", ["string", "null"])),
    ("a whole number may be any", put("ThingCreate>properties>tags>items", {"type": ["string", "number"]})),
    ("more colours", put("ThingCreate>properties>colour>enum", ["red", "green", "blue"])),
    ("one shape more, where it is asked for", third_shape_where_asked),
    ("a body of another kind besides", put("things>post>requestBody>content>text/plain", {})),
    ("a field of answers comes", put("Thing>properties>more", {"type": "string"})),
    ("a field of answers is always there", put("Thing>required", ["id", "name", "state", "note"])),
    ("one state less", put("Thing>properties>state>enum", ["new"])),
    ("a known few", put("Thing>properties>note>enum", ["x", "y"])),
    ("words where more were to come", put("Thing>properties>kind>enum", ["a", "b"])),
    ("shorter names", put("Thing>properties>name>maxLength", 50)),
    ("a pattern of answers", put("Thing>properties>name>pattern", "^x")),
    ("a header comes", put("things>get>responses>200>headers>ETag", {"schema": {"type": "string"}})),
    ("a webhook comes", put("webhooks>thing.gone", {"post": {}})),
]


def edited(edit: Edit) -> Any:
    doc = document()
    edit(doc)
    return doc


@pytest.mark.parametrize(("what", "edit", "finding"), BREAKING, ids=[what for what, _, _ in BREAKING])
def test_what_breaks_a_client_is_found(what: str, edit: Edit, finding: str):
    found = breaking.breaking(document(), edited(edit), TODAY)
    assert any(finding in line for line in found), found


@pytest.mark.parametrize(("what", "edit"), HARMLESS, ids=[what for what, _ in HARMLESS])
def test_what_breaks_nobody_passes(what: str, edit: Edit):
    assert breaking.breaking(document(), edited(edit), TODAY) == []


def test_what_goes_before_its_day_is_found():
    found = breaking.breaking(document(), edited(drop("things>delete")), date(2026, 10, 31))
    assert found == ["DELETE /things: is gone"]
