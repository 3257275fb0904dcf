"""The contract as tests read it: its operations, and what its references stand for."""

import json
from collections.abc import Iterator
from typing import Any, Final, cast

from contract.document import DOCUMENT, operations, resolved

Part = dict[str, Any]

CONTRACT: Final[Part] = json.loads(DOCUMENT.read_text())


def meant(part: Part) -> Part:
    """What is meant: itself, or what it refers to."""
    return resolved(CONTRACT, part)


def parameters_of(operation: Part) -> list[Part]:
    return [meant(part) for part in operation.get("parameters", ())]


def calls() -> Iterator[tuple[str, str, Part]]:
    """Path, method and operation of every request that we answer."""
    return operations(CONTRACT)


def messages() -> Iterator[tuple[str, Part]]:
    """Name and operation of every request that we send."""
    for name, item in CONTRACT["webhooks"].items():
        yield name, meant(item)["post"]


def parts(node: Any, at: str = "") -> Iterator[tuple[str, Part]]:
    """Every object under a node with its place; examples are data, and left out."""
    if isinstance(node, dict):
        found = cast("Part", node)
        yield at, found
        for name, inner in found.items():
            if name not in ("example", "examples"):
                yield from parts(inner, f"{at}/{name}")
    elif isinstance(node, list):
        for number, inner in enumerate(cast("list[Any]", node)):
            yield from parts(inner, f"{at}/{number}")
