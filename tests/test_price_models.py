"""Price models: operators keep the catalogue, everybody signed in reads it, partner admins put accounts into them."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient, Response

from app.models import PLATFORM, Partner
from app.policy import Role
from tests.conftest import World, problem

STAR = {"If-Match": "*"}
MODELS = "/v1/price-models"
BASIC: dict[str, Any] = {
    "key": "basic",
    "name": {"en": "Basic", "de": "Grundtarif"},
    "description": {"en": "Ten sensors."},
}


@pytest.fixture
async def olivia(world: World) -> AsyncClient:
    return await world.client("Olivia", operator=True)


async def offer(olivia: AsyncClient, *keys: str) -> None:
    """Have price models of these keys."""
    for key in keys:
        answer = await olivia.post(MODELS, json={"key": key, "name": {"en": key.title()}})
        assert answer.status_code == 201, answer.text


def faults(answer: Response) -> list[tuple[str, str]]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


# --- the catalogue ---


async def test_operators_keep_the_catalogue_and_everybody_signed_in_reads_it(world: World, olivia: AsyncClient):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Vera=Role.PARTNER_VIEWER)
    account = await world.account(partner, by="Anna", Eva=Role.ACCOUNT_VIEWER)
    made = await olivia.post(MODELS, json=BASIC)
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, f"{MODELS}/basic", '"1"')
    inside = (await (await world.client("Eva")).post(f"/v1/partners/{partner.id}/accounts/{account.id}/switch")).json()
    callers = [(await world.client(name), (403, "forbidden")) for name in ("Anna", "Vera", "Eva", "Stranger")]
    callers += [(await world.client(), (401, "unauthenticated")),
                (await world.client(token=inside["access_token"]), (403, "insufficient_scope"))]  # fmt: skip
    for caller, refused in callers:
        for attempt in (caller.post(MODELS, json=BASIC | {"key": "other"}), caller.post(f"{MODELS}/basic/archive"),
                        caller.patch(f"{MODELS}/basic", json={"name": {"en": "X"}}, headers=STAR),
                        caller.post(f"{MODELS}/basic/restore")):  # fmt: skip
            assert problem(await attempt) == refused
        for path in (MODELS, f"{MODELS}/basic"):
            read = await caller.get(path)
            assert read.status_code == 200 if refused[1] == "forbidden" else problem(read) == refused
    (shown,) = (await olivia.get(MODELS)).json()["items"]
    assert shown == made.json() == (await olivia.get(f"{MODELS}/basic")).json()
    assert (shown["key"], shown["name"], shown["description"], shown["archived_at"]) == (
        "basic", {"en": "Basic", "de": "Grundtarif"}, {"en": "Ten sensors.", "de": "Ten sensors."}, None)  # fmt: skip


async def test_each_change_of_the_catalogue_is_an_event_that_says_which_operator(world: World, olivia: AsyncClient):
    await olivia.post(MODELS, json=BASIC)
    await olivia.patch(f"{MODELS}/basic", json={"name": {"de": None}, "description": None}, headers=STAR)
    await olivia.patch(f"{MODELS}/basic", json={"name": {"en": "Basic"}}, headers=STAR)  # as it is: nothing to say
    for verb in ("archive", "archive", "restore", "restore"):
        assert (await olivia.post(f"{MODELS}/basic/{verb}")).status_code == 200
    events = [e for e in await world.events(PLATFORM) if e.subject_type == "price_model"]
    verbs = ("created", "updated", "archived", "restored")
    assert [e.type for e in events] == [f"price_model.{verb}" for verb in verbs]
    assert {(e.actor, e.actor_id, e.subject_id) for e in events} == {
        ("operator", world.people["Olivia"].id, events[0].subject_id)
    }
    created, updated, archived, restored = (e.details or {} for e in events)
    assert created["after"] == BASIC | {"archived_at": None, "base_grants": [], "article_prices": []}
    assert updated == {"before": {"name": BASIC["name"], "description": BASIC["description"]},
                       "after": {"name": {"en": "Basic"}, "description": {}}}  # fmt: skip
    assert archived["before"] == restored["after"] == {"archived_at": None}
    assert archived["after"] == restored["before"]
    await world.worker().number_all()
    assert [e.position for e in await world.events(PLATFORM)] == list(range(1, 1 + len(await world.events(PLATFORM))))


async def test_a_change_is_a_merge_patch_with_if_match(olivia: AsyncClient):
    await olivia.post(MODELS, json=BASIC)
    here = f"{MODELS}/basic"
    tag = (await olivia.get(here)).headers["etag"]
    assert problem(await olivia.patch(here, json={})) == (428, "precondition_required")
    answer = await olivia.patch(here, json={"description": {"de": "Zehn Sensoren."}}, headers={"If-Match": tag})
    assert answer.json()["description"] == {"en": "Ten sensors.", "de": "Zehn Sensoren."}
    assert answer.json()["name"] == BASIC["name"]
    stale = await olivia.patch(here, json={"name": {"en": "X"}}, headers={"If-Match": tag})
    assert problem(stale) == (412, "version_mismatch")
    assert (await olivia.get(here, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
    for body, expected in (({"name": {"en": None, "de": None}}, ("/name", "missing")),
                           ({"name": {"en": "  ", "de": None}}, ("/name", "missing")),
                           ({"name": None}, ("/name", "missing")), ({"key": "other"}, ("/key", "extra_forbidden")),
                           ({"name": {"fr": "Base"}}, ("/name/fr", "extra_forbidden")),
                           ({"archived_at": None}, ("/archived_at", "extra_forbidden"))):  # fmt: skip
        wrong = await olivia.patch(here, json=body, headers=STAR)
        assert (problem(wrong), faults(wrong)[0][0]) == ((422, "invalid"), expected[0]), (body, wrong.text)
    assert (await olivia.get(here)).headers["etag"] == answer.headers["etag"]


async def test_a_key_is_one_word_and_nobody_elses(olivia: AsyncClient):
    await olivia.post(MODELS, json=BASIC)
    await olivia.post(f"{MODELS}/basic/archive")
    assert problem(await olivia.post(MODELS, json=BASIC)) == (409, "key_taken")
    for key in ("Basic", "1st", "a-b", "", "x" * 41, "a\n", None, 7):
        answer = await olivia.post(MODELS, json=BASIC | {"key": key})
        assert (problem(answer), faults(answer)[0][0]) == ((422, "invalid"), "/key"), key
    for name in ({}, {"en": ""}, {"en": " "}, {"en": "x" * 121}, {"en": "a\nb"}, "Basic"):
        answer = await olivia.post(MODELS, json=BASIC | {"key": "other", "name": name})
        assert (problem(answer), faults(answer)[0][0][:5]) == ((422, "invalid"), "/name"), name
    assert [
        m["key"] for m in (await olivia.get(MODELS, params={"filter": "archived:in:true,false"})).json()["items"]
    ] == ["basic"]
    answers = await asyncio.gather(*(olivia.post(MODELS, json=BASIC | {"key": "race"}) for _ in range(12)))
    assert sorted(a.status_code for a in answers) == [201] + [409] * 11
    for path in (f"{MODELS}/nowhere", f"{MODELS}/nowhere/archive"):
        answer = await (olivia.get(path) if path.endswith("nowhere") else olivia.post(path))
        assert problem(answer) == (404, "not_found")


async def test_a_repeated_post_is_one_price_model(world: World, olivia: AsyncClient):
    answers = [await olivia.post(MODELS, json=BASIC, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert answers[1].headers["idempotency-replayed"] == "true"
    assert len([e for e in await world.events(PLATFORM) if e.type == "price_model.created"]) == 1


async def test_the_list_is_filtered_sorted_searched_and_paged_and_leaves_archived_ones_out(olivia: AsyncClient):
    for key, name in {"basic": {"de": "Grundtarif"}, "pro": {"en": "Professional"}, "old": {"en": "Öld & gone"},
                      "enterprise": {"en": "Big", "de": "Konzern"}}.items():  # fmt: skip
        await olivia.post(MODELS, json={"key": key, "name": name})
    await olivia.post(f"{MODELS}/old/archive")

    async def keys(**query: Any) -> list[str]:
        answer = await olivia.get(MODELS, params=query)
        assert answer.status_code == 200, answer.text
        return [m["key"] for m in answer.json()["items"]]

    assert await keys() == ["basic", "enterprise", "pro"]
    assert await keys(sort="-key") == ["pro", "enterprise", "basic"]
    assert await keys(sort="created_at", filter="archived:in:true,false") == ["basic", "pro", "old", "enterprise"]
    assert await keys(filter="archived:eq:true") == ["old"]
    assert await keys(filter="archived:eq:false") == ["basic", "enterprise", "pro"]
    assert await keys(filter="key:in:pro,old") == ["pro"]
    for q, expected in {"GRUND": "basic", "konzern": "enterprise", "big": "enterprise", "enter": "enterprise"}.items():
        assert await keys(q=q) == [expected]
    assert await keys(q="old", filter="archived:eq:true") == ["old"]
    first = (await olivia.get(MODELS, params={"limit": 2, "count": "true"})).json()
    assert (first["total"], await keys(limit=2, cursor=first["next_cursor"])) == (3, ["pro"])
    for condition, code in {"archived:eq:yes": "invalid_value", "name:eq:Big": "unknown_field"}.items():
        assert faults(await olivia.get(MODELS, params={"filter": condition})) == [("query:filter", code)]


# --- on accounts ---


@pytest.fixture
async def partner(world: World, olivia: AsyncClient) -> Partner:
    await offer(olivia, "basic", "pro", "old")
    await olivia.post(f"{MODELS}/old/archive")
    return await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER, Vera=Role.PARTNER_VIEWER)


def url(partner: Partner, *more: object) -> str:
    return "/".join([f"/v1/partners/{partner.id}/accounts", *map(str, more)])


async def test_who_may_set_the_price_model_of_an_account(world: World, partner: Partner):
    account = await world.account(partner, by="Anna", Ada=Role.ACCOUNT_ADMIN, Edi=Role.ACCOUNT_EDITOR,
                                  Eva=Role.ACCOUNT_VIEWER)  # fmt: skip
    await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    here, before = url(partner, account.id), None
    for name, expected in {"Olivia": 200, "Anna": 200, "Max": 403, "Vera": 403, "Ada": 403, "Edi": 403, "Eva": 403,
                           "Rita": 404}.items():  # fmt: skip
        caller = await world.client(name)
        wish = "basic" if before == "pro" else "pro"
        answer = await caller.patch(here, json={"price_model": wish}, headers=STAR)
        assert answer.status_code == expected, (name, answer.text)
        after = (await (await world.client("Anna")).get(here)).json()["price_model"]
        assert after == (wish if expected == 200 else before)
        if expected != 404:
            assert (await caller.get(here)).json()["price_model"] == after  # all of them may know it
        if name == "Max":
            assert (problem(answer), faults(answer)) == ((403, "forbidden"), [("/price_model", "not_editable")])
        before = after


async def test_a_manager_changes_everything_but_the_price_model(world: World, partner: Partner):
    anna, max_ = await world.client("Anna"), await world.client("Max")
    here = (await anna.post(url(partner), json={"name": "Nordwerk", "price_model": "basic"})).headers["location"]
    count = len(await world.events(partner.id))
    for model in ("pro", None, "nowhere", "old"):
        answer = await max_.patch(here, json={"name": "Südwerk", "price_model": model}, headers=STAR)
        assert faults(answer) == [("/price_model", "not_editable")], model
    assert len(await world.events(partner.id)) == count
    same = await max_.patch(here, json={"name": "Südwerk", "price_model": "basic"}, headers=STAR)
    assert (same.status_code, same.json()["name"], same.json()["price_model"]) == (200, "Südwerk", "basic")
    assert (await world.events(partner.id))[-1].details == {
        "before": {"name": "Nordwerk"},
        "after": {"name": "Südwerk"},
    }
    for body, status in (({"price_model": "basic"}, 403), ({"price_model": None}, 201), ({}, 201)):
        answer = await max_.post(url(partner), json={"name": f"By Max {body}"} | body)
        assert answer.status_code == status, body
        if status == 403:
            assert (problem(answer), faults(answer)) == ((403, "forbidden"), [("/price_model", "not_editable")])
    names = [a["name"] for a in (await anna.get(url(partner))).json()["items"]]
    assert names == ["By Max {'price_model': None}", "By Max {}", "Südwerk"]


async def test_a_price_model_is_set_changed_and_cleared_with_an_event_each(world: World, partner: Partner):
    anna = await world.client("Anna")
    made = await anna.post(url(partner), json={"name": "Nordwerk", "price_model": "basic"})
    assert (made.status_code, made.json()["price_model"]) == (201, "basic")
    created = next(e for e in await world.events(partner.id) if e.type == "account.created")
    assert created.details
    assert created.details["after"]["price_model"] == "basic"
    assert "member_count" not in created.details["after"]  # that is told by the events of its members
    here = made.headers["location"]
    for before, after in (("basic", "pro"), ("pro", None), (None, "basic")):
        answer = await anna.patch(here, json={"price_model": after}, headers=STAR)
        assert (answer.status_code, answer.json()["price_model"]) == (200, after)
        event = (await world.events(partner.id))[-1]
        assert (event.type, event.details) == (
            "account.updated", {"before": {"price_model": before}, "after": {"price_model": after}})  # fmt: skip
    version = (await anna.get(here)).headers["etag"]
    same = await anna.patch(here, json={"price_model": "basic"}, headers=STAR)
    assert same.headers["etag"] == version
    assert (await anna.get(f"{here}/overview")).json()["account"]["price_model"] == "basic"
    assert (await anna.post(url(partner), json={"name": "None yet"})).json()["price_model"] is None


async def test_unknown_and_archived_price_models_are_refused_and_nothing_is_changed(world: World, partner: Partner):
    anna = await world.client("Anna")
    here = (await anna.post(url(partner), json={"name": "Nordwerk", "price_model": "basic"})).headers["location"]
    before = (await anna.get(here)).json()
    for model, code in {"nowhere": "unknown_price_model", "old": "archived_price_model"}.items():
        for attempt in (anna.patch(here, json={"name": "X", "price_model": model}, headers=STAR),
                        anna.post(url(partner), json={"name": "Other", "price_model": model})):  # fmt: skip
            answer = await attempt
            assert (problem(answer), faults(answer)) == ((422, "invalid"), [("/price_model", code)])
    for wrong in ("", "Basic", "a b", 5, ["basic"], "x" * 41):
        answer = await anna.patch(here, json={"price_model": wrong}, headers=STAR)
        assert (problem(answer), faults(answer)[0][0]) == ((422, "invalid"), "/price_model"), wrong
    assert (await anna.get(url(partner))).json()["items"] == [before]


async def test_an_archived_price_model_stays_where_it_is_and_can_be_left(
    world: World, partner: Partner, olivia: AsyncClient
):
    anna = await world.client("Anna")
    here = (await anna.post(url(partner), json={"name": "Nordwerk", "price_model": "pro"})).headers["location"]
    await olivia.post(f"{MODELS}/pro/archive")
    kept = await anna.patch(here, json={"price_model": "pro", "name": "Südwerk"}, headers=STAR)
    assert (kept.status_code, kept.json()["price_model"]) == (200, "pro")
    await anna.delete(here, headers=STAR)
    assert (await anna.post(f"{here}/restore")).json()["price_model"] == "pro"
    assert len((await anna.get(url(partner), params={"filter": "price_model:eq:pro"})).json()["items"]) == 1
    assert (await anna.patch(here, json={"price_model": None}, headers=STAR)).status_code == 200
    back = await anna.patch(here, json={"price_model": "pro"}, headers=STAR)
    assert faults(back) == [("/price_model", "archived_price_model")]
    await olivia.post(f"{MODELS}/pro/restore")
    assert (await anna.patch(here, json={"price_model": "pro"}, headers=STAR)).status_code == 200


async def test_batches_set_price_models_item_by_item(world: World, partner: Partner):
    anna, max_ = await world.client("Anna"), await world.client("Max")
    ids = [(await anna.post(url(partner), json={"name": name})).json()["id"] for name in ("A", "B", "C")]
    batch = f"/v1/partners/{partner.id}/account-batches"

    def items(*models: str | None) -> dict[str, Any]:
        changes = [{"action": "update", "account_id": i, "account": {"price_model": m}}
                   for i, m in zip(ids, models, strict=True)]  # fmt: skip
        return {"items": [*changes, {"action": "create", "account": {"name": f"N{models}", "price_model": models[0]}}]}

    done = (await anna.post(batch, json=items("basic", "old", "nowhere"))).json()["results"]
    assert [r["status"] for r in done] == [200, 422, 422, 201]
    assert [e["code"] for r in done[1:3] for e in r["problem"]["errors"]] == [
        "archived_price_model", "unknown_price_model"]  # fmt: skip
    assert [done[n]["account"]["price_model"] for n in (0, 3)] == ["basic", "basic"]
    refused = (await max_.post(batch, json=items("pro", None, "pro"))).json()["results"]
    assert [(r["status"], r["problem"] and r["problem"]["code"]) for r in refused] == [
        (403, "forbidden"), (200, None), (403, "forbidden"), (403, "forbidden")]  # fmt: skip
    assert refused[0]["problem"]["errors"][0]["pointer"] == "/price_model"
    shown = (await anna.get(url(partner))).json()["items"]
    assert [a["price_model"] for a in shown] == ["basic", None, None, "basic"]


# --- what they give, and what things cost in them ---

VISIT: dict[str, Any] = {
    "name": {"en": "Visit"},
    "price": {"amount": "80", "currency": "EUR"},
    "billing_period": "once",
}
GRANT: dict[str, Any] = {"feature": "assets", "units": 10, "grace_days": 14, "max_units_per_claim": 5}
OTHER: dict[str, Any] = {"feature": "api_access", "units": 1, "grace_days": 0, "max_units_per_claim": None}


def costs(article: str, amount: str, currency: str = "EUR") -> dict[str, Any]:
    return {"article": article, "price": {"amount": amount, "currency": currency}}


@pytest.fixture
async def shop(olivia: AsyncClient) -> AsyncClient:
    """Olivia, with features and articles of which some are archived."""
    for key, kind in {"assets": "quota", "api_access": "switch", "fax": "switch"}.items():
        assert (
            await olivia.post("/v1/features", json={"key": key, "kind": kind, "name": {"en": key}})
        ).status_code == 201
    for number in ("SRV-1", "SRV-2", "OLD-1"):
        assert (await olivia.post("/v1/articles", json=VISIT | {"number": number})).status_code == 201
    for path in ("features/fax", "articles/OLD-1"):
        assert (await olivia.post(f"/v1/{path}/archive")).status_code == 200
    return olivia


async def test_a_price_model_grants_features_and_has_prices_of_its_own(world: World, shop: AsyncClient):
    lists = {"base_grants": [GRANT, {"feature": "api_access", "units": 1}],
             "article_prices": [costs("SRV-1", "70.5"), costs("OLD-1", "100", "JPY")]}  # fmt: skip
    made = await shop.post(MODELS, json=BASIC | lists)
    expected = {
        "base_grants": [GRANT, OTHER],
        "article_prices": [costs("SRV-1", "70.50"), costs("OLD-1", "100", "JPY")],
    }
    assert (made.status_code, {k: made.json()[k] for k in lists}) == (201, expected)
    assert (await shop.get(f"{MODELS}/basic")).json() == made.json() == (await shop.get(MODELS)).json()["items"][0]
    change = {"article_prices": [costs("SRV-2", "1")]}
    changed = (await shop.patch(f"{MODELS}/basic", json=change, headers=STAR)).json()
    assert {k: changed[k] for k in lists} == expected | {"article_prices": [costs("SRV-2", "1.00")]}
    event = (await world.events(PLATFORM))[-1]
    assert (event.type, event.details) == ("price_model.updated", {
        "before": {"article_prices": expected["article_prices"]}, "after": {"article_prices": [costs("SRV-2", "1.00")]}})  # fmt: skip
    tag = (await shop.get(f"{MODELS}/basic")).headers["etag"]
    same = await shop.patch(f"{MODELS}/basic", json=lists | change, headers=STAR)
    assert same.headers["etag"] == tag  # it was so before: nothing to say
    emptied = (await shop.patch(f"{MODELS}/basic", json={"base_grants": [], "article_prices": []}, headers=STAR)).json()
    assert (emptied["base_grants"], emptied["article_prices"], emptied["name"]) == ([], [], BASIC["name"])


WRONG: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"base_grants": [GRANT | {"feature": "nowhere"}]}, [("/base_grants/0/feature", "unknown_feature")]),
    ({"base_grants": [GRANT, GRANT]}, [("/base_grants/1/feature", "duplicate_feature")]),
    ({"base_grants": [GRANT, OTHER | {"feature": "fax"}]}, [("/base_grants/1/feature", "archived_feature")]),
    ({"base_grants": [OTHER | {"units": 2}]}, [("/base_grants/0/units", "too_many_units")]),
    ({"base_grants": [GRANT | {"duration": "P1Y"}]}, [("/base_grants/0/duration", "extra_forbidden")]),
    ({"base_grants": [GRANT | {"feature": f"f{n}"} for n in range(21)]}, [("/base_grants", "too_long")]),
    ({"base_grants": None}, [("/base_grants", "list_type")]), ({"article_prices": None}, [("/article_prices", "list_type")]),
    ({"article_prices": [costs("SRV-1", "1"), costs("SRV-9", "1"), costs("SRV-1", "2"), costs("SRV-2", "1", "XYZ")]}, [
        ("/article_prices/1/article", "unknown_article"),
        ("/article_prices/2/article", "duplicate_article"), ("/article_prices/3/price/currency", "currency")]),
    ({"article_prices": [costs("srv-1", "1")]}, [("/article_prices/0/article", "string_pattern_mismatch")]),
    ({"article_prices": [costs("SRV-1", "-1")]}, [("/article_prices/0/price/amount", "string_pattern_mismatch")]),
    ({"article_prices": [{"article": "SRV-1"}]}, [("/article_prices/0/price", "missing")]),
    ({"article_prices": [costs(f"A{n}", "1") for n in range(201)]}, [("/article_prices", "too_long")]),
]  # fmt: skip


async def test_grants_and_prices_that_cannot_be_are_told_by_their_pointers(shop: AsyncClient):
    for body, expected in WRONG:
        made = await shop.post(MODELS, json=BASIC | body)
        assert (problem(made), faults(made)) == ((422, "invalid"), expected), body
    assert (await shop.get(MODELS)).json()["items"] == []
    before = await shop.post(MODELS, json=BASIC | {"base_grants": [GRANT], "article_prices": [costs("SRV-1", "1")]})
    for body, expected in WRONG:
        changed = await shop.patch(f"{MODELS}/basic", json=body, headers=STAR)
        assert (problem(changed), faults(changed)) == ((422, "invalid"), expected), body
    assert (await shop.get(f"{MODELS}/basic")).json() == before.json()


async def test_base_grants_may_go_on_naming_a_feature_that_was_archived_since(shop: AsyncClient):
    await shop.post(MODELS, json=BASIC | {"base_grants": [GRANT]})
    await shop.post("/v1/features/assets/archive")
    more = await shop.patch(f"{MODELS}/basic", json={"base_grants": [GRANT | {"units": 11}, OTHER]}, headers=STAR)
    assert (more.status_code, [g["units"] for g in more.json()["base_grants"]]) == (200, [11, 1])
    other = await shop.post(MODELS, json=BASIC | {"key": "other", "base_grants": [GRANT]})
    assert faults(other) == [("/base_grants/0/feature", "archived_feature")]
