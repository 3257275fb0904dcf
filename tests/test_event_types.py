"""The table of event types is what the code records, and what the contract, the feed and the documents say."""

import ast
import re
from typing import Any

import pytest
from pydantic import ValidationError

from app.config import Settings
from app.event_types import FEED, KNOWN
from app.main import create_app
from app.models import Base
from app.policy import Role
from app.schemas.event import EventRead
from app.schemas.event_facts import FACTS
from app.services import events
from tests.conftest import World
from tests.contract import parameters_of
from tests.test_rules import sources

WORD = r"[a-z][a-z_]*"


def test_every_type_in_the_table_is_recorded_somewhere_and_every_type_in_the_code_is_in_the_table():
    """A name that the code puts together, `f"{noun}.added"`, stands for all that it may become."""
    said, patterns = set[str](), set[str]()
    for layer, _, text in sources():
        if layer not in {"services", "routers", "worker", "looks"}:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [re.escape(str(p.value)) if isinstance(p, ast.Constant) else WORD for p in node.values]
                patterns.add("".join(parts))
    named = {type for type in KNOWN if type in said}
    built = {type for type in KNOWN - named if any(re.fullmatch(p, type) for p in patterns if "\\." in p)}
    assert KNOWN - named - built == set()
    nouns = {m.class_.__subject__ for m in Base.registry.mappers if hasattr(m.class_, "__subject__")}
    nouns |= {kind.noun for kind in FEED.values()}
    recorded = {
        s for s in said if re.fullmatch(rf"({'|'.join(nouns)})\.{WORD}(?<!_)", s)
    }  # of `f"{…}.mail_{…}"`, see above
    assert recorded - KNOWN == {"webhook.ping"}, "which is sent, and stands in no log"


async def test_a_type_that_is_not_in_the_table_cannot_be_recorded(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    async with world.transaction(partner.id) as db:
        with pytest.raises(LookupError, match=r"partner\.sold"):
            events.record_system(db, partner.id, "partner.sold", partner)


def test_the_contract_has_a_named_union_over_every_type_and_a_webhook_for_each():
    contract = create_app(Settings()).openapi()
    schemas = contract["components"]["schemas"]
    union = schemas["EventRead"]
    mapping = union["discriminator"]["mapping"]
    assert union["discriminator"]["propertyName"] == "type"
    assert set(mapping) == set(FEED) == set(contract["webhooks"]) - {"webhook.ping"}
    assert {one["$ref"] for one in union["oneOf"]} == set(mapping.values())
    for name, ref in mapping.items():
        member = schemas[ref.rpartition("/")[2]]
        assert name in member["properties"]["type"]["enum"]
        assert member["properties"]["subject_type"]["enum"] == [FEED[name].subject]
        change = schemas[member["properties"]["data"]["$ref"].rpartition("/")[2]]
        assert set(change["required"]) == {"before", "after"}
    assert schemas["EventFeed"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/EventRead"}
    assert set(FACTS) == {kind.noun for kind in FEED.values()}
    operations = [o["operationId"] for item in contract["paths"].values() for o in item.values()]
    for ref in contract["webhooks"].values():
        hook = contract["components"]["pathItems"][ref["$ref"].rpartition("/")[2]]["post"]
        operations.append(hook["operationId"])
        assert [p["name"] for p in parameters_of(hook)] == ["webhook-id", "webhook-timestamp", "webhook-signature"]
    assert len(operations) == len(set(operations))


def test_the_union_tells_events_apart_by_their_type():
    event: dict[str, Any] = {
        "id": "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60", "position": 1, "type": "licence.ends_soon",
        "subject_type": "licence", "subject_id": "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60", "account_id": None,
        "actor": "system", "actor_id": None, "occurred_at": "2026-11-25T09:00:00.000Z",
        "data": {"before": None, "after": {"days": 7, "feature": "assets"}},
    }  # fmt: skip
    assert type(EventRead.model_validate(event).root).__name__ == "LicenceEvent"
    with pytest.raises(ValidationError):
        EventRead.model_validate(event | {"type": "licence.sold"})
    with pytest.raises(ValidationError):
        EventRead.model_validate(event | {"subject_type": "claim"})
