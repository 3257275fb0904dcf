"""Features: operators keep them, everybody signed in reads them."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient, Response

from app.models import PLATFORM
from app.policy import Role
from app.services import features
from tests.conftest import World, problem

STAR = {"If-Match": "*"}
FEATURES = "/v1/features"
ASSETS: dict[str, Any] = {
    "key": "assets", "kind": "quota", "name": {"en": "Assets", "de": "Anlagen"},
    "description": {"de": "Was überwacht wird."}, "unit": {"en": "asset", "de": "Anlage"}, "default_units": 3,
    "overage": "up_to_125",
}  # fmt: skip
API: dict[str, Any] = {"key": "api_access", "kind": "switch", "name": {"en": "API access"}}


@pytest.fixture
async def olivia(world: World) -> AsyncClient:
    return await world.client("Olivia", operator=True)


def faults(answer: Response) -> list[tuple[str, str]]:
    assert problem(answer) == (422, "invalid"), answer.text
    return [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


async def test_operators_keep_features_and_everybody_signed_in_reads_them(world: World, olivia: AsyncClient):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    await world.account(partner, by="Anna", Eva=Role.ACCOUNT_VIEWER)
    made = await olivia.post(FEATURES, json=ASSETS)
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, f"{FEATURES}/assets", '"1"')
    shown = made.json()
    assert {k: shown[k] for k in ASSETS} == ASSETS | {
        "description": {"en": "Was überwacht wird.", "de": "Was überwacht wird."}
    }
    callers = [(await world.client(name), (403, "forbidden")) for name in ("Anna", "Eva", "Stranger")]
    for caller, refused in [*callers, (await world.client(), (401, "unauthenticated"))]:
        for attempt in (caller.post(FEATURES, json=API), caller.post(f"{FEATURES}/assets/archive"),
                        caller.patch(f"{FEATURES}/assets", json={"default_units": 9}, headers=STAR),
                        caller.post(f"{FEATURES}/assets/restore")):  # fmt: skip
            assert problem(await attempt) == refused
        for path in (FEATURES, f"{FEATURES}/assets"):
            read = await caller.get(path)
            assert read.status_code == 200 if refused[0] == 403 else problem(read) == refused
    assert (await olivia.get(FEATURES)).json()["items"] == [shown] == [(await olivia.get(f"{FEATURES}/assets")).json()]


async def test_a_feature_says_little_unless_told_more(olivia: AsyncClient):
    shown = (await olivia.post(FEATURES, json=API)).json()
    nothing = {"en": None, "de": None}
    assert (shown["name"], shown["description"], shown["unit"]) == (
        {"en": "API access", "de": "API access"},
        nothing,
        nothing,
    )
    assert (shown["default_units"], shown["overage"], shown["archived_at"]) == (0, "forbidden", None)


async def test_each_change_of_a_feature_is_an_event(world: World, olivia: AsyncClient):
    await olivia.post(FEATURES, json=ASSETS)
    here = f"{FEATURES}/assets"
    change = {"unit": {"en": None}, "default_units": 5, "overage": "allowed", "description": None}
    tag = (await olivia.get(here)).headers["etag"]
    assert problem(await olivia.patch(here, json=change)) == (428, "precondition_required")
    changed = await olivia.patch(here, json=change, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert changed.json()["unit"] == {"en": "Anlage", "de": "Anlage"}
    assert problem(await olivia.patch(here, json=change, headers={"If-Match": tag})) == (412, "version_mismatch")
    await olivia.patch(
        here, json={"default_units": 5, "name": {"en": "Assets"}}, headers=STAR
    )  # as it is: nothing to say
    for verb in ("archive", "archive", "restore", "restore"):
        assert (await olivia.post(f"{here}/{verb}")).status_code == 200
    events = [e for e in await world.events(PLATFORM) if e.subject_type == "feature"]
    assert [e.type for e in events] == [f"feature.{verb}" for verb in ("created", "updated", "archived", "restored")]
    assert {(e.actor, e.actor_id) for e in events} == {("operator", world.people["Olivia"].id)}
    created, updated, archived, restored = (e.details or {} for e in events)
    assert created == {"before": None, "after": ASSETS | {"archived_at": None}}
    fields = ("unit", "default_units", "overage", "description")
    assert updated["before"] == {field: ASSETS[field] for field in fields}
    assert updated["after"] == {"unit": {"de": "Anlage"}, "default_units": 5, "overage": "allowed", "description": {}}
    assert archived["before"] == restored["after"] == {"archived_at": None}


WRONG: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"key": "A"}, ("/key", "string_pattern_mismatch")), ({"kind": "counter"}, ("/kind", "enum")),
    ({"kind": None}, ("/kind", "enum")), ({"name": {}}, ("/name", "missing")), ({"name": {"fr": "X"}}, ("/name/fr", "extra_forbidden")),
    ({"unit": {"en": "x" * 41}}, ("/unit/en", "string_too_long")), ({"unit": {"en": ""}}, ("/unit/en", "string_too_short")),
    ({"default_units": -1}, ("/default_units", "greater_than_equal")), ({"default_units": 1.5}, ("/default_units", "int_type")),
    ({"default_units": "3"}, ("/default_units", "int_type")), ({"default_units": True}, ("/default_units", "int_type")),
    ({"default_units": 1_000_000_001}, ("/default_units", "less_than_equal")), ({"default_units": None}, ("/default_units", "int_type")),
    ({"overage": "up_to_300"}, ("/overage", "enum")), ({"archived_at": None}, ("/archived_at", "extra_forbidden")),
    ({"used": 3}, ("/used", "extra_forbidden")),
]  # fmt: skip


async def test_what_a_feature_takes(olivia: AsyncClient):
    here = f"{FEATURES}/assets"
    for body, fault in WRONG:
        assert faults(await olivia.post(FEATURES, json=ASSETS | body)) == [fault], body
    assert (await olivia.get(FEATURES)).json()["items"] == []
    await olivia.post(FEATURES, json=ASSETS)
    for body, fault in WRONG:
        if not {"key", "kind"} & body.keys() and body != {"name": {}}:  # which leaves the name as it is
            assert faults(await olivia.patch(here, json=body, headers=STAR)) == [fault], body
    for field in ("key", "kind"):  # which never change
        never = await olivia.patch(here, json={field: ASSETS[field]}, headers=STAR)
        assert faults(never) == [(f"/{field}", "extra_forbidden")]
    nameless = await olivia.patch(here, json={"name": {"en": None, "de": None}}, headers=STAR)
    assert faults(nameless) == [("/name", "missing")]
    assert (await olivia.get(here)).headers["etag"] == '"1"'


async def test_a_switch_is_off_or_on_and_has_neither_unit_nor_overage(olivia: AsyncClient):
    wrong = {"default_units": 2, "unit": {"de": "Stück"}, "overage": "allowed"}
    expected = [("/default_units", "too_many_units"), ("/unit", "unit_of_switch"), ("/overage", "overage_of_switch")]
    assert faults(await olivia.post(FEATURES, json=API | wrong)) == expected
    made = await olivia.post(FEATURES, json=API | {"default_units": 1})
    assert (made.status_code, made.json()["default_units"]) == (201, 1)
    here = made.headers["location"]
    for (field, value), fault in zip(wrong.items(), expected, strict=True):
        assert faults(await olivia.patch(here, json={field: value}, headers=STAR)) == [fault]
    for change in ({"default_units": 0}, {"unit": None}, {"unit": {"en": None}}, {"overage": "forbidden"}):
        assert (await olivia.patch(here, json=change, headers=STAR)).status_code == 200
    assert (await olivia.get(here)).json()["default_units"] == 0
    assert (await olivia.post(FEATURES, json=ASSETS | {"default_units": 2})).status_code == 201


async def test_a_key_is_nobody_elses_and_a_repeated_post_is_one_feature(world: World, olivia: AsyncClient):
    answers = [await olivia.post(FEATURES, json=ASSETS, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert answers[0].content == answers[1].content
    await olivia.post(f"{FEATURES}/assets/archive")
    assert problem(await olivia.post(FEATURES, json=ASSETS)) == (409, "key_taken")
    race = await asyncio.gather(*(olivia.post(FEATURES, json=API) for _ in range(8)))
    assert sorted(a.status_code for a in race) == [201] + [409] * 7
    assert [e.type for e in await world.events(PLATFORM) if e.subject_type == "feature"].count("feature.created") == 2
    assert problem(await olivia.get(f"{FEATURES}/nowhere")) == (404, "not_found")
    assert problem(await olivia.post(f"{FEATURES}/nowhere/archive")) == (404, "not_found")


async def test_the_list_is_filtered_sorted_searched_and_paged(olivia: AsyncClient):
    for body in (ASSETS, API, {"key": "users", "kind": "quota", "name": {"de": "Nutzer"}, "overage": "allowed"},
                 {"key": "fax", "kind": "switch", "name": {"en": "Fax"}}):  # fmt: skip
        assert (await olivia.post(FEATURES, json=body)).status_code == 201
    await olivia.post(f"{FEATURES}/fax/archive")

    async def keys(**query: Any) -> list[str]:
        answer = await olivia.get(FEATURES, params=query)
        assert answer.status_code == 200, answer.text
        return [f["key"] for f in answer.json()["items"]]

    assert await keys() == ["api_access", "assets", "users"]
    assert await keys(sort="-created_at") == ["users", "api_access", "assets"]
    assert await keys(filter="kind:eq:switch") == ["api_access"]
    assert await keys(filter=["kind:eq:switch", "archived:in:true,false"]) == ["api_access", "fax"]
    assert await keys(filter="overage:in:allowed,up_to_125") == ["assets", "users"]
    assert await keys(filter="key:starts_with:a") == ["api_access", "assets"]
    assert (await keys(q="ANLAGE"), await keys(q="nutzer"), await keys(q="api_")) == (
        ["assets"],
        ["users"],
        ["api_access"],
    )
    await olivia.patch(f"{FEATURES}/users", json={"name": {"de": "Anwender"}}, headers=STAR)
    assert (await keys(q="nutzer"), await keys(q="anwender")) == ([], ["users"])
    first = (await olivia.get(FEATURES, params={"limit": 2, "count": "true"})).json()
    assert (first["total"], await keys(limit=2, cursor=first["next_cursor"])) == (3, ["users"])
    assert faults(await olivia.get(FEATURES, params={"filter": "kind:eq:counter"})) == [
        ("query:filter", "invalid_value")
    ]


async def test_a_feature_that_is_being_granted_is_not_archived_meanwhile(world: World, olivia: AsyncClient):
    await olivia.post(FEATURES, json=ASSETS)
    async with world.transaction(PLATFORM) as db:
        assert set(await features.steady(db, {"assets", "nowhere"})) == {"assets"}
        waiting = asyncio.create_task(olivia.post(f"{FEATURES}/assets/archive"))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
        assert (await features.steady(db, {"assets"}))["assets"].archived_at is None
    assert (await waiting).json()["archived_at"] is not None
