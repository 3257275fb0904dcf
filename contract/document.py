"""An OpenAPI document as it is read here: its operations, and what its references stand for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

Node = dict[str, Any]

DOCUMENT: Final = Path(__file__).resolve().parent.parent / "openapi.json"
METHODS: Final = ("get", "put", "post", "delete", "patch")


def operations(document: Node) -> Iterator[tuple[str, str, Node]]:
    """Path, method and operation, of every request that is answered."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def resolved(document: Node, node: Any) -> Node:
    """What a reference leads to, or the node itself; `true` is a schema without demands."""
    while isinstance(node, dict) and "$ref" in node:
        there: Any = document
        for part in cast("str", node["$ref"]).removeprefix("#/").split("/"):
            there = there[part.replace("~1", "/").replace("~0", "~")]
        node = there
    return cast("Node", node) if isinstance(node, dict) else {}
