"""The shape of the contract, which no linter asks for: what makes it pleasant to read and to generate clients from."""

import json
import re
from collections import Counter
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator

from tests.conftest import ROOT
from tests.contract import CONTRACT, calls, meant, messages, parameters_of, parts

SCHEMAS = CONTRACT["components"]["schemas"]
OPERATIONS = {o["operationId"]: o for _, _, o in calls()}
MESSAGES = {o["operationId"]: o for _, o in messages()}
BY_FIELDS = {name for name, s in SCHEMAS.items() if "default" in s.get("properties", {})} | {
    "PropertyList", "PropertyRead",
}  # fmt: skip
"""What has examples in its fields only: see contract._like_a_schema."""
VERBS = {
    "archive", "buy", "cancel", "change", "confirm", "create", "delete", "disable", "end", "erase", "explain", "export",
    "get", "grant", "list", "order", "ping", "preview", "redeliver", "refresh", "release", "remove", "renew", "resend",
    "restore", "resume", "revoke", "rotate", "run", "search", "start", "stream", "summarise", "suspend", "switch",
    "take", "update", "upgrade",
}  # fmt: skip
PUBLIC = {
    "createSession", "refreshSession", "createToken", "createPasswordReset", "confirmPasswordReset",
    "previewInvitation", "createRegistration", "listRoles", "getJwks", "getServerMetadata", "getLive", "getReady",
}  # fmt: skip


def test_an_operation_is_named_like_a_method_of_a_client_with_a_verb_first():
    for name in OPERATIONS:
        assert re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*)+", name), name
        assert re.split(r"[A-Z]", name)[0] in VERBS, name
    for name in MESSAGES:
        assert re.fullmatch(r"on([A-Z][a-z0-9]*)+", name), name
    every = [*(o["operationId"].lower() for _, _, o in calls()), *(o["operationId"].lower() for _, o in messages())]
    assert len(every) == len(set(every))


def test_only_these_operations_need_no_credential():
    assert {name for name, o in OPERATIONS.items() if not o["security"] or {} in o["security"]} == PUBLIC
    assert {name for name, o in OPERATIONS.items() if o["x-permission"] == "public"} == PUBLIC


def test_every_error_is_a_problem_with_an_example_of_each_kind():
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            if status[0] in "45":
                content = meant(response)["content"]
                assert list(content) == ["application/problem+json"], (name, status)
                kinds = content["application/problem+json"]["examples"]
                for code, example in kinds.items():
                    value = meant(example)["value"]
                    assert (value["code"], str(value["status"])) == (code, status), name
                    assert_like(value, content["application/problem+json"]["schema"])
        assert {"400", "431", "500", "503"} <= set(operation["responses"]), name


def test_an_answer_has_one_form():
    """Of two media types generators make a union that nobody can use: a file has an operation of its own."""
    for name, operation in OPERATIONS.items():
        successes = [meant(r) for s, r in operation["responses"].items() if s[0] == "2"]
        assert successes, name
        assert all(len(response.get("content", "_")) == 1 for response in successes), name


def test_no_schema_is_there_twice_for_reading_and_for_writing():
    for name in SCHEMAS:
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]*", name), name
        assert not re.search(r"(Input|Output)$|^Body|ValidationError", name), name
        if name.endswith(("Create", "Update")) and "oneOf" not in SCHEMAS[name]:
            assert SCHEMAS[name].get("additionalProperties") is False, name
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(CONTRACT)))
    assert used == set(SCHEMAS), "every schema is of use"


def test_a_union_of_objects_says_by_which_field_they_are_told_apart():
    unions = 0
    for place, part in parts(CONTRACT):
        for union in ("oneOf", "anyOf"):
            several = [meant(one) for one in part.get(union, ()) if isinstance(part.get(union), list)]
            objects = [one for one in several if one.get("type") == "object"]
            if len(objects) > 1:
                unions += 1
                assert union == "oneOf", place
                assert re.fullmatch(r"/components/schemas/\w+", place), f"{place}: a union without a name"
                field, mapping = part["discriminator"]["propertyName"], part["discriminator"]["mapping"]
                assert {meant({"$ref": ref})["description"] for ref in mapping.values()} == {
                    one["description"] for one in objects
                }, place
                assert all(field in one["required"] for one in objects), place
        assert "patternProperties" not in part, f"{place}: generators drop it"
        assert not (part.get("format") == "binary" and "maxLength" in part), f"{place}: does not compile in Go"
        assert place.endswith("/properties") or part.get("default") != {}, f"{place}: does not compile in Go"
    assert unions > 3


def test_webhooks_stand_behind_references_and_share_no_tag_with_operations():
    """Else openapi-generator emits a class that does not compile, and writes one file over the other."""
    assert all(list(item) == ["$ref"] for item in CONTRACT["webhooks"].values())
    assert not {t for o in MESSAGES.values() for t in o["tags"]} & {t for o in OPERATIONS.values() for t in o["tags"]}
    assert all(len(o["tags"]) == 1 for o in [*OPERATIONS.values(), *MESSAGES.values()])


def test_every_schema_has_an_example_that_is_as_it_says():
    for name, schema in SCHEMAS.items():
        assert schema.get("examples") or name in BY_FIELDS, name
        for example in schema.get("examples", ()):
            assert_like(example, {"$ref": f"#/components/schemas/{name}"})
    for place, part in parts(SCHEMAS):
        for example in part.get("examples", ()) if isinstance(part.get("examples"), list) else ():
            assert_like(
                example,
                {k: v for k, v in part.items() if k != "$ref"} | ({"$ref": part["$ref"]} if "$ref" in part else {}),
            )
            assert example not in ("text", ["text"]) or "enum" in part, f"{place}: an example that tells nothing"


def test_example_of_a_schema_says_nothing_that_is_refused_beside_the_rest():
    for name, schema in SCHEMAS.items():
        for example in schema.get("examples", ()):
            for start, end in (
                ("starts_at", "ends_at"),
                ("active_from_at", "active_until_at"),
                ("created_at", "expires_at"),
            ):
                if isinstance(example, dict) and example.get(start) and example.get(end):
                    assert example[start] < example[end], name
    for name, either in (
        ("LicenceCreate", {"ends_at", "duration"}),
        ("TokenRequest", {"client_secret", "client_assertion"}),
    ):
        assert len(either & set(SCHEMAS[name]["examples"][0])) == 1, name
    assert SCHEMAS["PropertyUpdate"]["examples"] == [{"pattern": "[A-Z]{2}[0-9]+"}], "what a text has, and no number"


def test_every_parameter_and_every_body_has_an_example():
    for name, operation in (OPERATIONS | MESSAGES).items():
        for parameter in parameters_of(operation):
            assert parameter["example"] not in (None, "text"), (name, parameter["name"])
            assert_like(parameter["example"], parameter["schema"])
            assert parameter["description"].endswith((".", ")", "`")), (name, parameter["name"])
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for holder in [*bodies, *(meant(r) for s, r in operation["responses"].items() if s[0] == "2")]:
            for content in holder.get("content", {}).values():
                name_of_it = content["schema"].get("$ref", "").rpartition("/")[2]
                assert name_of_it in SCHEMAS or "example" in content, name


def test_parameters_of_the_path_come_first_and_in_its_order():
    """Generated methods take them so, and three ids are easily mixed up."""
    for path, _, operation in calls():
        names = [one["name"] for one in parameters_of(operation)]
        inside = re.findall(r"{(\w+)}", path)
        assert names[: len(inside)] == inside, path


def test_every_operation_is_described_in_sentences_of_its_own():
    """A title of a few words, and a description that says more than the title."""
    for name, operation in (OPERATIONS | MESSAGES).items():
        title, said = operation["summary"], operation["description"]
        assert title[0].isupper(), name
        assert len(title) <= 100, (name, title)
        assert not title.endswith("."), name
        assert said.endswith((".", "`")), (name, said)
        assert len(said) > len(title) + 20, (name, said)
    for what in ("summary", "description"):
        twice = [s for s, n in Counter(o[what] for o in OPERATIONS.values()).items() if n > 1]
        assert not twice, what


def test_every_schema_and_every_tag_is_described():
    for name, schema in SCHEMAS.items():
        assert schema.get("description"), name
    assert all(tag["description"].endswith(".") for tag in CONTRACT["tags"])


def test_no_rule_of_the_linters_is_switched_off_or_let_down():
    rules: dict[str, Any] = yaml.safe_load((ROOT / "contract/spectral.yaml").read_text())
    assert rules["extends"] == ["spectral:oas", "@stoplight/spectral-owasp-ruleset"]
    assert all(rule["severity"] == "error" for rule in rules["rules"].values())
    assert yaml.safe_load((ROOT / "contract/redocly.yaml").read_text()) == {"extends": ["recommended"]}


def test_the_lock_of_the_tools_says_what_they_are_and_not_whence():
    """So that they come from whichever registry a machine is set to."""
    written = (ROOT / "contract/package-lock.json").read_text()
    assert "://" not in written
    lock = json.loads(written)["packages"]
    wanted = json.loads((ROOT / "contract/package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    for name, package in lock.items():
        assert not name or package["integrity"].startswith("sha512-"), name


def assert_like(value: Any, schema: dict[str, Any]) -> None:
    whole = schema | {"components": CONTRACT["components"]}
    checker = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
    faults = [str(error.message) for error in cast("Any", checker).iter_errors(value)]
    assert not faults, (value, faults)


def test_field_that_is_called_default_is_a_field():
    assert "default" in SCHEMAS["PropertyUpdate"]["properties"]
