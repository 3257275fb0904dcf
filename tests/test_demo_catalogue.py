"""The demo's catalogue is one that operators could have made: it passes through the same services as theirs."""

import random
from collections import Counter

from app import demo_catalogue
from app.models import PLATFORM
from app.policy import Caller
from tests.conftest import World


async def test_the_demos_catalogue_is_complete_in_both_languages_and_made_once(world: World):
    olivia = await world.client("Olivia", operator=True)
    for _ in range(2):
        async with world.transaction(PLATFORM) as db:
            await demo_catalogue.fill(db, Caller(world.people["Olivia"].id, PLATFORM))
            await demo_catalogue.close(db, Caller(world.people["Olivia"].id, PLATFORM))
    found = {nouns: (await olivia.get(f"/v1/{nouns}", params={"filter": "archived:in:true,false", "limit": 200})).json()
             for nouns in ("features", "articles", "price-models")}  # fmt: skip
    assert {nouns: len(listed["items"]) for nouns, listed in found.items()} == {
        "features": len(demo_catalogue.FEATURES), "articles": len(demo_catalogue.ARTICLES),
        "price-models": len(demo_catalogue.PRICE_MODELS)}  # fmt: skip
    for item in [item for listed in found.values() for item in listed["items"]]:
        assert all(item["name"].values()), item
    granted = {g["feature"] for a in found["articles"]["items"] for g in a["grants"]}
    assert granted == set(demo_catalogue.FEATURES), "what no article grants cannot be bought"
    archived = {i.get("key") or i["number"] for listed in found.values() for i in listed["items"] if i["archived_at"]}
    assert archived == set(demo_catalogue.NO_LONGER_SOLD)


def test_what_the_demos_accounts_bought_is_in_its_catalogue_and_the_same_every_time():
    models = [*demo_catalogue.PRICE_MODELS, None]
    made = [demo_catalogue.bought_by(random.Random(n), models[n % 5]) for n in range(1_000)]
    assert made == [demo_catalogue.bought_by(random.Random(n), models[n % 5]) for n in range(1_000)]
    assert all(quantity > 0 for basket in made for _, quantity in basket)
    seen = Counter(number for basket in made for number, _ in basket)
    assert seen.keys() == demo_catalogue.ARTICLES.keys()
    assert any(not basket for basket in made)
