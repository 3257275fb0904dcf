"""What Schemathesis is told for contract/fuzz.py: the contract with examples of what there is, and values for what it
makes up; and what is not demanded, with the reasons.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from contract.document import Node, operations, resolved
from contract.scene import VARIABLE, WORDS, Scene

OFTEN: Final = 0.9
"""How likely the value of a parameter is one that there is; the others are made up."""
OF_WORDS: Final = 0.6
"""How likely any text of a chain is one of the scene's words: else few requests would lead to another."""
ENDINGS: Final = ("", "/archive", "/suspend", "/revoke", "/cancel")
"""Behind the address of a thing: that it changes, or ends."""

# --- what is not demanded, and why ---

REFUSALS: Final[dict[str, tuple[str, ...]]] = {
    # What fits the contract may be refused for what no schema states. 401 to 409: the tool's own. 410: a link that is
    # over. 412, 428: an ETag that is old, or left out, where the contract cannot make it required without breaking
    # clients of 0.1.0. 422: only with the codes that reasons.py lets pass. 429: invitations to one address. 503: a
    # receiver that does not answer a ping.
    "positive_data_acceptance": ("2xx", "3xx", "401", "403", "404", "409", "410", "412", "422", "428", "429", "503"),
    # The tool's own, and those that it does not think of: 410 and 412 as above, 413 for a body that is too large.
    "negative_data_rejection": ("400", "401", "403", "404", "405", "409", "410", "412", "413", "415", "422", "428"),
}
MORE_REFUSALS: Final[dict[str, tuple[str, ...]]] = {
    "createToken": ("400",),  # RFC 6749, 5.2: of everything, also of two proofs of who calls
}
UNREAD: Final = ("application/jwt", "text/event-stream")
"""Bodies whose schema is left out: Schemathesis 4.32 reads the one as JSON, and holds it against each event of the
other, where OpenAPI 3.1 means the whole. tests/test_licence_files.py and tests/test_following.py read them.
"""


def _as_understood(parameter: Node) -> Node:
    """The schema of a parameter, as it is meant and Schemathesis takes it."""
    schema = {k: v for k, v in parameter["schema"].items() if k != "examples"}
    if parameter["name"] == "If-None-Match":  # what is no tag of ours is no condition, and no error (RFC 9110, 13.1.2)
        return {"type": "string"}
    if parameter["name"] == "If-Match":  # the same pattern: of its escapes, it makes values that do not match
        schema["pattern"] = schema["pattern"].replace(r"\x21\x23-\x7e", "!#-~")
    return schema


# --- what it is told ---


@dataclass
class Plan:
    """What Schemathesis is told of a scene."""

    scene: Scene

    @property
    def contract(self) -> Node:
        return self.scene.contract

    def document(self) -> Node:
        """The contract with examples of what there is: it cannot know of any id."""
        made = cast("Node", json.loads(json.dumps(self.contract)))
        for path, _, operation in operations(made):
            parameters = [dict(resolved(made, one)) for one in operation.get("parameters", ())]
            for parameter in parameters:
                if found := self._values(path, parameter):
                    parameter["example"] = found[0]
                elif parameter["name"] == "cursor":
                    del parameter["example"]  # no list has that page
                parameter["schema"] = _as_understood(parameter)
            if parameters:
                operation["parameters"] = parameters
            for media_type, content in operation["responses"].get("200", {}).get("content", {}).items():
                if media_type in UNREAD:
                    del content["schema"]
        return made

    def inside(self, document: Node) -> Node:
        """The document as somebody of the partner sees it, who need not ask for its id: without that parameter."""
        made = cast("Node", json.loads(json.dumps(document)))
        partner = self.scene.values("/v1/partners/{partner_id}")[0]
        for _, _, operation in operations(made):
            operation["parameters"] = [p for p in operation.get("parameters", ()) if p["name"] != "partner_id"]
        return made | {"paths": {p.replace("{partner_id}", partner): item for p, item in made["paths"].items()}}

    def settings(self, *, inside: bool) -> Node:
        """The values of all parameters, and what is to be known of each operation.

        `inside` is for a document of that name.
        """
        values: dict[str, list[str]] = {"words": list(WORDS)}
        told: list[Node] = []
        for path, _, operation in operations(self.contract):
            bound: Node = {}
            for one in operation.get("parameters", ()):
                parameter = resolved(self.contract, one)
                if (found := self._values(path, parameter)) and not (inside and parameter["name"] == "partner_id"):
                    name = f"{operation['operationId']}.{parameter['name']}"
                    values[name] = found
                    bound[f"{parameter['in']}.{parameter['name']}"] = {"dictionary": name, "probability": OFTEN}
            said: Node = {"include-operation-id": operation["operationId"], "parameters": bound}
            if more := MORE_REFUSALS.get(operation["operationId"]):
                statuses = REFUSALS["positive_data_acceptance"] + more
                said["checks"] = {"positive_data_acceptance": {"expected-statuses": statuses}}
            told.append(said)
        return {"dictionaries": {name: {"values": found} for name, found in values.items()}, "operations": told}

    def kept(self) -> dict[str, dict[str, dict[str, str]]]:
        """By operation and parameter, what is not to be changed or ended, and what is in its place: the first and the
        last of several.
        """
        found: dict[str, dict[str, dict[str, str]]] = {}
        for path, method, operation in operations(self.contract):
            for match in VARIABLE.finditer(path) if method != "get" else ():
                there = self.scene.values(path[: match.end()])
                if len(there) > 1 and path[match.end() :] in ENDINGS:
                    found[operation["operationId"]] = {match[1]: {there[0]: there[-1]}}
        return found

    def _values(self, path: str, parameter: Node) -> list[str]:
        """Of a path's last parameter, all that there are; of those before it, the first, in which the others are."""
        name = parameter["name"]
        if name == "If-Match":
            return ["*"]
        if name == "view":
            return self.scene.values("/v1/partners/{partner_id}/views/{view_id}")
        if parameter["in"] != "path":
            return []
        before, _, behind = path.partition(f"{{{name}}}")
        found = self.scene.values(f"{before}{{{name}}}")
        return found[:1] if VARIABLE.search(behind) else found


def toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, dict):
        pairs = cast("Node", value).items()
        return "{" + ", ".join(f"{json.dumps(name)} = {toml(inner)}" for name, inner in pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, cast("Sequence[Any]", value))) + "]"
    return json.dumps(value)
