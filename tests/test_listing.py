"""What the contract says of every list's query parameters."""

from app.policy import Role
from tests.conftest import World
from tests.contract import CONTRACT, parameters_of


async def test_the_examples_of_filters_and_sorts_are_such_as_the_lists_take(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    operator = await world.client("Olivia", operator=True)
    hook = await operator.post(f"/v1/partners/{partner.id}/webhooks", json={"url": "https://example.com/hook"})
    taken: list[str] = []
    for path, operations in CONTRACT["paths"].items():
        parameters = parameters_of(operations.get("get", {}))
        examples = {p["name"]: p["example"] for p in parameters if p["name"] in ("filter", "sort")}
        if examples:
            here = path.format(partner_id=partner.id, account_id=account.id, webhook_id=hook.json()["id"])
            answer = await operator.get(here, params=examples)
            assert answer.status_code == 200, (path, examples, answer.text)
            taken += [path]
    assert len(taken) >= 10, taken
