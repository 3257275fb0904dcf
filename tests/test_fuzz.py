"""What `make fuzz` promises before it sends anything: what it tells Schemathesis of a scene, and what it keeps."""

import tomllib
from typing import Any, cast

import httpx
import pytest

from contract.document import operations
from contract.plan import UNREAD, Plan, toml
from contract.scene import Scene
from contract.shapes import is_kept, is_misfit, is_more_than_shape
from tests.conftest import ROOT
from tests.contract import CONTRACT, calls

PARTNER = "/v1/partners/{partner_id}"
ACCOUNT = f"{PARTNER}/accounts/{{account_id}}"
MEMBERS = f"{PARTNER}/members/{{user_id}}"


def plan() -> Plan:
    """Of a scene that was looked at already."""
    scene = Scene(httpx.Client(), CONTRACT)
    scene._found = {path[: path.rindex("}") + 1]: [] for path in CONTRACT["paths"] if "}" in path}
    scene._found |= {PARTNER: ["p1", "p2"], ACCOUNT: ["a1", "a2", "a3"], MEMBERS: ["me", "you"]}
    return Plan(scene)


def test_toml_is_read_as_it_was_meant():
    said: dict[str, Any] = {"a": [1, True, 0.5], "b c": {"x": 'quote " and \\ and ü', "y": []}, "c": ({"z": "1"},)}
    text = "".join(f'"{key}" = {toml(value)}\n' for key, value in said.items())
    assert tomllib.loads(text) == said | {"c": [{"z": "1"}]}


def test_document_is_the_contract_but_for_examples_and_what_is_said_of_it():
    made = plan().document()
    assert {path: list(item) for path, item in made["paths"].items()} == {
        p: list(i) for p, i in CONTRACT["paths"].items()
    }
    for key in ("components", "webhooks", "security", "openapi"):
        assert made.get(key) == CONTRACT.get(key), key
    for path, method, operation in operations(made):
        own = CONTRACT["paths"][path][method]
        assert operation.get("requestBody") == own.get("requestBody"), path
        assert list(operation["responses"]) == list(own["responses"]), path
        bodies = own["responses"].get("200", {}).get("content", {})
        if not set(bodies) & set(UNREAD):
            assert operation["responses"] == own["responses"], path
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "partner_id":
                assert parameter["example"] == "p1"


def test_inside_a_partner_its_id_is_not_asked_for():
    told = plan()
    made = told.inside(told.document())
    assert "/v1/partners/p1/accounts" in made["paths"]
    assert not any("{partner_id}" in path for path in made["paths"])
    assert not any(p["name"] == "partner_id" for _, _, o in operations(made) for p in o.get("parameters", ()))


def test_every_operation_is_told_of_and_has_values_where_there_are_some():
    told = plan().settings(inside=False)
    by_id = {cast("str", one["include-operation-id"]): one for one in told["operations"]}
    assert set(by_id) == {o["operationId"] for _, _, o in calls()}
    names = by_id["archiveAccount"]["parameters"]
    values: dict[str, Any] = told["dictionaries"]
    assert values[names["path.account_id"]["dictionary"]] == {"values": ["a1", "a2", "a3"]}
    assert values[names["path.partner_id"]["dictionary"]] == {"values": ["p1"]}
    assert values[names["header.If-Match"]["dictionary"]] == {"values": ["*"]}


def test_nobody_ends_themselves_or_what_the_others_need():
    kept = plan().kept()
    assert kept["removePartnerMember"] == {"user_id": {"me": "you"}}
    assert kept["updatePartnerMember"] == {"user_id": {"me": "you"}}
    assert kept["archiveAccount"] == {"account_id": {"a1": "a3"}}
    assert kept["updatePartner"] == {"partner_id": {"p1": "p2"}}
    assert "getAccount" not in kept
    assert "restoreAccount" not in kept


def test_example_of_a_key_is_the_one_that_is_made_anew():
    example = CONTRACT["components"]["parameters"]["IdempotencyKey"]["example"]
    assert f'EXAMPLE: Final = "{example}"' in (ROOT / "contract" / "reasons.py").read_text()


@pytest.mark.parametrize(
    ("operation", "body", "pointer", "code", "expected"),
    [
        ("createAccount", {"properties": {"seats": "x"}}, "/properties/seats", "int_type", True),
        ("createProperty", {"default": "x"}, "/default", "int_type", True),
        ("createAccount", {"name": 7}, "/name", "string_type", False),
        ("createAccount", {"properties_of": 7}, "/properties_of", "extra_forbidden", False),
        ("updateProperty", {"min": 3}, "/min", "less_than_equal", True),
        ("updateProperty", {"surprise": 3}, "/surprise", "extra_forbidden", True),
        ("updateProperty", {"key": 3}, "/key", "string_type", False),
        ("createAccount", {"name": "  "}, "/name", "string_too_short", True),
        ("createAccount", {"name": "ab"}, "/name", "string_too_short", False),
        ("createView", {"label": {}}, "/label", "missing", True),
        ("createView", {}, "/name", "missing", False),
        ("grantLicence", {"starts_at": "0001-01-01T00:00:00Z"}, "/starts_at", "datetime_parsing", True),
        ("grantLicence", {"starts_at": "2027-01-01T00:00:00Z"}, "/starts_at", "datetime_parsing", False),
        ("updateArticle", {"active_from_at": "2000-01-01T00:00:52+03:25"}, "/active_from_at", "datetime_parsing", True),
        ("searchAccounts", {"all": [{"value": "9533-32-37"}]}, "/all/0/value", "date_parsing", True),
        ("searchAccounts", {"all": [{"value": "2027-01-31"}]}, "/all/0/value", "date_parsing", False),
        ("searchAccounts", {"all": []}, "/all/0/value", "less_than", False),
    ],
)
def test_refusal_of_a_shape_that_the_contract_allows_is_one_of_few(
    operation: str, body: Any, pointer: str, code: str, expected: bool
):
    assert is_more_than_shape(operation, body, pointer, code) is expected


@pytest.mark.parametrize(
    ("pointer", "sent", "expected"),
    [
        ("header:If-Match", "0", True),
        ("header:If-Match", '"7"', False),
        ("header:If-Match", "*", False),
        ("path:account_id", "None", True),
        ("path:account_id", "null", True),
        ("path:account_id", "0191", False),
        ("header:Idempotency-Key", "None", False),
        ("/name", "None", False),
    ],
)
def test_refusal_of_what_the_tool_should_not_have_sent_is_no_failure(pointer: str, sent: str, expected: bool):
    given = {pointer.partition(":")[2]: sent}
    assert is_misfit(pointer, given, given) is expected


def test_what_is_deleted_is_gone_and_only_what_is_ended_can_be_read():
    names = {o["operationId"] for _, method, o in operations(CONTRACT) if method == "delete"}
    assert {name for name in names if is_kept(name)} == {
        "archiveAccount", "releaseClaim", "releaseResource", "revokeAccountInvitation", "revokePartnerInvitation",
        "revokeApiClient", "revokeServiceClient", "endApiClientCredential", "endServiceClientCredential", "endSession",
    }  # fmt: skip
    assert {name for name in names if not is_kept(name)} == {
        "deleteProperty", "deleteSession", "deleteView", "deleteWebhook", "removeAccountMember", "removePartnerMember",
    }  # fmt: skip
