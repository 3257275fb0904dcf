"""Pools of many licences: how many there may be."""

from app.policy import Role
from tests import shop
from tests.conftest import Owner, World, problem
from tests.pools import at, feature

STAR = {"If-Match": "*"}


async def test_account_has_a_thousand_licences_of_a_feature_and_no_more(world: World, owner: Owner):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    await feature(world)
    await shop.price_model(world, "pro", shop.base("assets", 10))
    await shop.article(world, "A-1", shop.grant("assets", 10))
    account = await world.account(partner, by="Anna")
    anna = await world.client("Anna")
    by_hand = {"feature": "assets", "units": 1, "reason": "trial"}
    ends = {"starts_at": "2020-01-01T00:00:00Z", "ends_at": "2020-02-01T00:00:00Z"}
    over = (await anna.post(f"{at(account)}/licences", json=by_hand | ends)).json()
    await owner.execute(
        "INSERT INTO licences (partner_id, id, account_id, feature, units, starts_at, grace_days, source, created_at,"
        " updated_at, version) SELECT $1, gen_random_uuid(), $2, 'assets', 1, now(), 0, 'manual', now(), now(), 1"
        " FROM generate_series(1, 999)",
        account.partner_id, account.id,
    )  # fmt: skip
    last = await anna.post(f"{at(account)}/licences", json=by_hand)
    assert last.status_code == 201, last.text

    async def asked() -> list[tuple[int, str] | int]:
        answers = [
            await anna.post(f"{at(account)}/licences", json=by_hand),
            await anna.post(f"{at(account)}/articles", json={"article": "A-1"}),
            await anna.patch(at(account), json={"price_model": "pro"}, headers=STAR),
            await anna.patch(f"{at(account)}/licences/{over['id']}", json={"ends_at": None}, headers=STAR),
        ]
        return [problem(a)[:2] if a.status_code >= 400 else a.status_code for a in answers]

    assert await asked() == [(409, "too_many_licences")] * 4
    assert await owner.value("SELECT count(*) FROM licences") == 1_001
    assert await owner.value("SELECT count(*) FROM account_articles") == 0
    assert (await anna.get(at(account))).json()["price_model"] is None
    await owner.execute("UPDATE licences SET revoked_at = now() WHERE id IN (SELECT id FROM licences WHERE id <> $1"
                        " LIMIT 4)", last.json()["id"])  # fmt: skip
    assert [a if isinstance(a, int) else a[0] for a in await asked()][:3] == [201, 201, 200]
