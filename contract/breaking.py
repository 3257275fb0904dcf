"""What in a new contract can break a client of an older one: requests may only ask less, answers only promise more.

    .venv/bin/python -m contract.breaking [OLD.json] [NEW.json]

Without names, the last contract in `released/` and openapi.json. Prints a line a finding, and exits with 1 if there is
one. `--release` puts openapi.json into `released/`, under its version.

One rule does it: whatever one side sends by its document must be right by the other side's. A client that was made of
the old document sends requests to a service that goes by the new one; of answers and webhooks it is the other way
round, and a reader passes over fields that it does not know. Where a document says so (`x-extensible`), a reader passes
over unknown words and kinds, too.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, cast

from contract.document import DOCUMENT, Node, operations, resolved

RELEASED: Final = Path(__file__).resolve().parent / "released"
UPPER: Final = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
LIMITS: Final = ("minimum", "exclusiveMinimum")
LOWER: Final = (*LIMITS, "minLength", "minItems", "minProperties")
"""All but limits of numbers are 0 unless they are given."""
TYPED: Final = frozenset(
    {"date", "date-time", "time", "duration", "uuid", "binary", "byte", "int32", "int64", "double"}
)
"""Formats that are types of their own in clients: another one, or none, does not compile there."""


@dataclass(frozen=True)
class Side:
    """A schema, and the document in which its references lead somewhere."""

    document: Node
    schema: Any

    def __getitem__(self, name: str) -> Any:
        return self.node.get(name)

    def inner(self, schema: Any) -> "Side":
        return Side(self.document, schema)

    @property
    def node(self) -> Node:
        return resolved(self.document, self.schema)

    @property
    def name(self) -> str:
        """Of a schema that has one."""
        schema = cast("Node", self.schema) if isinstance(self.schema, dict) else {}
        return str(schema.get("$ref", "")).rpartition("/")[2]

    @property
    def kinds(self) -> frozenset[str]:
        """JSON's types that it allows; none: any."""
        said: str | list[str] = self.node.get("type", [])
        kinds = {said} if isinstance(said, str) else set(said)
        return frozenset(kinds | ({"integer"} if "number" in kinds else set[str]()))

    @property
    def words(self) -> set[str] | None:
        """The values that it names, as JSON; None: it names none."""
        said = [self.node["const"]] if "const" in self.node else self.node.get("enum")
        return None if said is None else {json.dumps(value) for value in said}

    @property
    def fields(self) -> Node:
        return self.node.get("properties", {})

    @property
    def required(self) -> set[str]:
        return set(self.node.get("required", []))

    @property
    def alternatives(self) -> "list[Side]":
        """Of a union, its members; without those that a type array has by itself."""
        members = self.node.get("oneOf") or self.node.get("anyOf")
        return [self.inner(member) for member in members] if members else [self]

    @property
    def by_name(self) -> "dict[str, Side]":
        """Of a union with a discriminator, its members by the values of that."""
        mapping: Mapping[str, str] = self.node.get("discriminator", {}).get("mapping", {})
        return {name: self.inner({"$ref": reference}) for name, reference in mapping.items()}


@dataclass
class Comparison:
    """Notes what is wrong when `sender` sends to `receiver`; a tolerant one passes over what it does not know."""

    tolerant: bool
    found: list[str] = field(default_factory=list[str])
    _seen: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    _under_way: frozenset[tuple[str, str]] = frozenset()

    def compare(self, sender: Side, receiver: Side, where: str) -> None:
        """Whether everything that the sender's schema allows is right by the receiver's. What is wrong with one that
        has a name is noted once, under that name.
        """
        outer, pair = self._under_way, (sender.name, receiver.name)
        if all(pair):
            if pair in self._seen:
                return
            self._seen.add(pair)
            self._under_way |= {pair}
            where = receiver.name if self.tolerant else sender.name
        if sender["oneOf"] or sender["anyOf"] or receiver["oneOf"] or receiver["anyOf"]:
            self._compare_unions(sender, receiver, where)
        else:
            self._compare_kinds(sender, receiver, where)
            self._compare_values(sender, receiver, where)
            self._compare_objects(sender, receiver, where)
            self._compare_arrays(sender, receiver, where)
        self._under_way = outer

    def fits(self, sender: Side, receiver: Side) -> bool:
        """The same, as a question."""
        trial = Comparison(self.tolerant, _seen=set(self._under_way), _under_way=self._under_way)
        trial.compare(sender, receiver, "")
        return not trial.found

    def note(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}")

    # unions

    def _compare_unions(self, sender: Side, receiver: Side, where: str) -> None:
        sent, taken = sender.by_name, receiver.by_name
        if sent and taken:
            for name, member in sent.items():
                if name in taken:
                    self.compare(member, taken[name], f"{where}<{name}>")
                elif not self._passes_over(receiver):
                    self.note(where, f"the kind {name!r} is {self._unknown}")
            if gone := sorted(taken.keys() - sent.keys()) if self.tolerant else []:
                self.note(where, f"the kinds {gone} are gone")
            return
        for member in sender.alternatives:
            if not any(self.fits(member, other) for other in receiver.alternatives):
                title = member.schema.get("$ref") or member.node.get("type") or "of it"
                self.note(where, f"the alternative {title} is {self._unknown}")

    # what a value is

    def _compare_kinds(self, sender: Side, receiver: Side, where: str) -> None:
        if receiver.kinds and (unknown := (sender.kinds or {"anything"}) - receiver.kinds):
            self.note(where, f"the type {' or '.join(sorted(unknown))} is {self._unknown}")
        was, now = sorted((sender["format"] or "none", receiver["format"] or "none"), key=lambda f: f not in TYPED)
        if was != now and was in TYPED:
            self.note(where, f"the format is {sender['format']} on one side and {receiver['format']} on the other")
        elif receiver["format"] and sender["format"] != receiver["format"]:
            self.note(where, f"not every value has the format {receiver['format']}")

    def _compare_values(self, sender: Side, receiver: Side, where: str) -> None:
        if receiver.words is not None and not self._passes_over(receiver):
            if sender.words is None:
                self.note(where, "values are no longer a known few" if self.tolerant else "only some values are taken")
            elif unknown := sorted(sender.words - receiver.words):
                self.note(where, f"{', '.join(unknown)} is {self._unknown}")
        if sender.words is None or not sender.words <= (receiver.words or set()):
            self._compare_bounds(sender, receiver, where)

    def _compare_bounds(self, sender: Side, receiver: Side, where: str) -> None:
        for bound in UPPER:
            if receiver[bound] is not None and (sender[bound] is None or sender[bound] > receiver[bound]):
                self.note(where, f"{bound} {sender[bound]} is more than {receiver[bound]}")
        for bound in LOWER:
            least = sender[bound] if sender[bound] is not None or bound in LIMITS else 0
            if receiver[bound] is not None and (least is None or least < receiver[bound]):
                self.note(where, f"{bound} {least} is less than {receiver[bound]}")
        if receiver["pattern"] and receiver["pattern"] != sender["pattern"]:
            self.note(where, "not every value has the pattern")
        if (step := receiver["multipleOf"]) and (not sender["multipleOf"] or sender["multipleOf"] % step):
            self.note(where, f"not every value is a multiple of {step}")

    # objects and arrays

    def _compare_objects(self, sender: Side, receiver: Side, where: str) -> None:
        for name in sorted(receiver.required - sender.required):
            self.note(f"{where}.{name}", "may be missing" if self.tolerant else "is required")
        for name, schema in sender.fields.items():
            if name in receiver.fields:
                self._compare_field(sender.inner(schema), receiver.inner(receiver.fields[name]), f"{where}.{name}")
            elif not self.tolerant:
                self.note(f"{where}.{name}", "is not known any more")
        if self.tolerant:
            for name in sorted(receiver.fields.keys() - sender.fields.keys() - receiver.required):
                self.note(f"{where}.{name}", "is gone")
        ours, theirs = sender["additionalProperties"], receiver["additionalProperties"]
        if isinstance(theirs, dict) and (ours is not False):
            self.compare(sender.inner(ours or {}), receiver.inner(theirs), f"{where}.*")
        elif theirs is False and ours is not False and not self.tolerant:
            self.note(where, "fields that are not named are refused")

    def _compare_field(self, sender: Side, receiver: Side, where: str) -> None:
        self.compare(sender, receiver, where)
        if not self.tolerant and sender["default"] != receiver["default"]:
            self.note(where, f"left out, it means {json.dumps(receiver['default'])}")

    def _compare_arrays(self, sender: Side, receiver: Side, where: str) -> None:
        if receiver["items"] is not None and (sender["items"] is not None or "array" in sender.kinds):
            self.compare(sender.inner(sender["items"]), receiver.inner(receiver["items"]), f"{where}[]")
        if receiver["uniqueItems"] and not sender["uniqueItems"]:
            self.note(where, "the same may be there twice")

    @property
    def _unknown(self) -> str:
        return "new" if self.tolerant else "not taken any more"

    def _passes_over(self, receiver: Side) -> bool:
        return self.tolerant and bool(receiver["x-extensible"])


@dataclass
class Contracts:
    """Two contracts, and everything in the new one that can break a client of the old."""

    old: Node
    new: Node
    today: date
    asked: Comparison = field(default_factory=lambda: Comparison(tolerant=False))
    told: Comparison = field(default_factory=lambda: Comparison(tolerant=True))
    found: list[str] = field(default_factory=list[str])

    def compare(self) -> list[str]:
        for path, method, operation in operations(self.old):
            now = self.new["paths"].get(path, {}).get(method)
            self._operation(operation, now, f"{method.upper()} {path}")
        for name, hook in self.old.get("webhooks", {}).items():
            now = resolved(self.new, self.new.get("webhooks", {}).get(name))
            self._webhook(resolved(self.old, hook)["post"], now.get("post"), f"webhook {name}")
        gone = sorted(set(_codes(self.old)) - set(_codes(self.new)))
        self.found += [f"problem {code}: is gone; codes are never renamed" for code in gone]
        return list(dict.fromkeys([*self.found, *self.asked.found, *self.told.found]))

    def _ask(self, old: Any, new: Any, where: str) -> None:
        self.asked.compare(Side(self.old, old), Side(self.new, new), where)

    def _tell(self, old: Any, new: Any, where: str) -> None:
        self.told.compare(Side(self.new, new), Side(self.old, old), where)

    def _operation(self, old: Node, new: Node | None, where: str) -> None:
        if new is None:
            if not _is_over(old, self.today):
                self.found.append(f"{where}: is gone")
            return
        if old["operationId"] != new["operationId"]:
            self.found.append(
                f"{where}: {old['operationId']} is named {new['operationId']}, and so are clients' methods"
            )
        if old.get("x-permission") != new.get("x-permission"):
            self.found.append(f"{where}: needs {new.get('x-permission')}, needed {old.get('x-permission')}")
        for way in old.get("security", []):
            if way not in new.get("security", []):
                self.found.append(f"{where}: {' and '.join(way) or 'no proof at all'} is not enough any more")
        self._parameters(old, new, where)
        self._body(old, new, where)
        self._answers(old, new, where)

    def _parameters(self, old: Node, new: Node, where: str) -> None:
        were, are = _parameters(self.old, old), _parameters(self.new, new)
        for key, parameter in were.items():
            at = f"{where} {key[0]} {key[1]}"
            if key not in are:
                self.found.append(f"{at}: is gone")
                continue
            now = are[key]
            self._ask(parameter["schema"], now["schema"], at)
            for name in ("style", "explode"):
                if parameter.get(name) != now.get(name):
                    self.found.append(f"{at}: {name} is {now.get(name)}")
            if (was := resolved(self.old, parameter["schema"]).get("default")) != (
                means := resolved(self.new, now["schema"]).get("default")
            ):
                self.found.append(f"{at}: left out, it means {json.dumps(means)}, not {json.dumps(was)}")
        for key, parameter in are.items():
            if parameter.get("required") and not were.get(key, {}).get("required"):
                self.found.append(f"{where} {key[0]} {key[1]}: is required")

    def _body(self, old: Node, new: Node, where: str) -> None:
        was, now = resolved(self.old, old.get("requestBody")), resolved(self.new, new.get("requestBody"))
        if now.get("required") and not was.get("required"):
            self.found.append(f"{where}: a body is required")
        for media_type, content in was.get("content", {}).items():
            if media_type in now.get("content", {}):
                self._ask(content.get("schema"), now["content"][media_type].get("schema"), f"{where} body")
            else:
                self.found.append(f"{where} body: {media_type} is not taken any more")

    def _answers(self, old: Node, new: Node, where: str) -> None:
        were, are = old["responses"], new["responses"]
        for status in sorted(_successes(were) ^ _successes(are)):
            self.found.append(f"{where} {status}: is {'gone' if status in were else 'new, and says that it is done'}")
        for status in were.keys() & are.keys():
            was, now, at = resolved(self.old, were[status]), resolved(self.new, are[status]), f"{where} {status}"
            self._headers(was, now, at)
            for media_type, content in was.get("content", {}).items():
                if media_type in now.get("content", {}):
                    self._tell(content.get("schema"), now["content"][media_type].get("schema"), at)
                else:
                    self.found.append(f"{at}: {media_type} is gone")

    def _headers(self, was: Node, now: Node, where: str) -> None:
        for name, header in was.get("headers", {}).items():
            if name in now.get("headers", {}):
                ours, theirs = resolved(self.old, header), resolved(self.new, now["headers"][name])
                self._tell(ours.get("schema"), theirs.get("schema"), f"{where} {name}")
            else:
                self.found.append(f"{where} {name}: is gone")

    def _webhook(self, old: Node, new: Node | None, where: str) -> None:
        """What we send: its body and headers are told, not asked."""
        if new is None:
            self.found.append(f"{where}: is gone")
            return
        were, are = _parameters(self.old, old), _parameters(self.new, new)
        for key, parameter in were.items():
            if key in are and (are[key].get("required") or not parameter.get("required")):
                self._tell(parameter["schema"], are[key]["schema"], f"{where} {key[1]}")
            else:
                self.found.append(f"{where} {key[1]}: may be missing")
        for media_type, content in old["requestBody"]["content"].items():
            if media_type in new["requestBody"]["content"]:
                self._tell(content["schema"], new["requestBody"]["content"][media_type]["schema"], where)
            else:
                self.found.append(f"{where}: {media_type} is gone")
        for status in sorted(old["responses"].keys() - new["responses"].keys()):
            self.found.append(f"{where}: {status} is not taken for an answer any more")


def breaking(old: Node, new: Node, today: date | None = None) -> list[str]:
    """A line for each change that can break a client, in the words of a changelog; none: every client goes on."""
    return Contracts(old, new, today or datetime.now(UTC).date()).compare()


def _parameters(document: Node, operation: Node) -> dict[tuple[str, str], Node]:
    found = [resolved(document, parameter) for parameter in operation.get("parameters", [])]
    return {(p["in"], p["name"]): p for p in found}


def _successes(responses: Iterable[str]) -> set[str]:
    return {status for status in responses if status.startswith("2")}


def _is_over(operation: Node, today: date) -> bool:
    """Whether it was announced to go (RFC 8594), and its day has come."""
    with suppress(KeyError, ValueError):
        return bool(operation["deprecated"]) and date.fromisoformat(operation["x-sunset"]) <= today
    return False


def _codes(node: Any) -> Iterator[str]:
    """Of all problems that are shown anywhere in a document."""
    if isinstance(node, dict):
        found = cast("Node", node)
        if "code" in found and "type" in found and "/problems/" in str(found["type"]):
            yield str(found["code"])
        for inner in found.values():
            yield from _codes(inner)
    elif isinstance(node, list):
        for inner in cast("list[Any]", node):
            yield from _codes(inner)


def last_released() -> Path:
    """The contract of the newest version that was released."""
    return max(RELEASED.glob("*.json"), key=lambda file: [int(part) for part in file.stem.split(".")])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m contract.breaking", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("old", nargs="?", type=Path, help="the last released, unless given")
    parser.add_argument("new", nargs="?", type=Path, default=DOCUMENT, help="openapi.json, unless given")
    parser.add_argument("--release", action="store_true", help="keep openapi.json as released")
    given = parser.parse_args()
    if given.release:
        version = json.loads(DOCUMENT.read_text())["info"]["version"]
        shutil.copyfile(DOCUMENT, RELEASED / f"{version}.json")
        return 0
    old: Path = given.old or last_released()
    found = breaking(json.loads(old.read_text()), json.loads(given.new.read_text()))
    print(*found, f"{len(found)} changes since {old.stem} can break a client", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
