"""Claims: units that resources take, up to the limit and never past it."""

import asyncio
from typing import Any

import pytest

from app.models import Account, AccountStatus, FeatureKind, Overage, Partner, PartnerMember, SuspendedBy, new_id
from app.policy import Role
from tests.conftest import Owner, World, problem
from tests.pools import at, change, claim, feature, in_days, licence, nothing_is_lost

R = Role


async def shop(world: World, partner: Partner | None = None, **crew: Role) -> Account:
    """An account with an editor, Eva, and 10 units of `assets`."""
    partner = partner or await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Eva=R.ACCOUNT_EDITOR, **crew)
    await feature(world)
    await licence(world, account)
    return account


async def used(owner: Owner, key: str = "assets") -> int:
    return await owner.value("SELECT coalesce(sum(used), 0) FROM usages WHERE feature = $1", key)


async def test_claim_takes_units_until_it_is_released(world: World, owner: Owner):
    account = await shop(world)
    eva = await world.client("Eva")
    body = {"feature": "assets", "resource": "asset:4711", "units": 3, "reason": "Hall 3", "reference": "WO-2207"}
    made = await eva.post(f"{at(account)}/claims", json=body)
    assert made.status_code == 201, made.text
    shown = made.json()
    assert made.headers["location"] == f"{at(account)}/claims/{shown['id']}"
    assert {k: shown[k] for k in body} == body
    assert (shown["over_limit"], shown["released_at"], shown["actor"]) == (False, None, "user")
    assert shown["actor_id"] == str(world.people["Eva"].id)
    assert await used(owner) == 3
    gone = await eva.delete(made.headers["location"], params={"reason": "Scrapped", "reference": "WO-3001"})
    assert (gone.status_code, gone.content) == (204, b"")
    again = (await eva.get(made.headers["location"])).json()
    assert (again["release_reason"], again["release_reference"]) == ("Scrapped", "WO-3001")
    assert again["released_at"] is not None
    assert await used(owner) == 0
    created, released = [e for e in await world.events(account.partner_id) if e.type.startswith("claim.")]
    assert created.details is not None
    assert created.details["before"] is None
    assert {k: created.details["after"][k] for k in body} == body
    assert created.details["after"]["actor_id"] == shown["actor_id"]
    assert released.details is not None
    assert released.details["before"]["units"] == 3
    assert released.details["after"]["release_reference"] == "WO-3001"
    assert {created.type, released.type} == {"claim.created", "claim.released"}
    assert {(e.subject_id, e.account_id, e.actor_id) for e in (created, released)} == {
        (created.subject_id, account.id, world.people["Eva"].id)
    }
    await nothing_is_lost(owner)


async def test_resource_that_has_the_units_gets_its_first_claim_again(world: World, owner: Owner):
    account = await shop(world)
    eva, anna = await world.client("Eva"), await world.client("Anna")
    first = await claim(eva, account, "a", 2)
    for client in (eva, anna):
        again = await claim(client, account, "a", 2)
        assert (again.status_code, again.json()) == (200, first.json())
        assert again.headers["location"] == first.headers["location"]
    other = await claim(eva, account, "a", 3)
    assert problem(other) == (409, "claimed_with_other_units")
    assert await used(owner) == 2
    assert (await eva.delete(first.headers["location"])).status_code == 204
    anew = await claim(eva, account, "a", 3)
    assert anew.status_code == 201
    assert anew.json()["id"] != first.json()["id"]
    await nothing_is_lost(owner)


async def test_above_the_limit_nothing_passes_and_the_answer_says_how_much_there_is_and_when_more_comes(
    world: World, owner: Owner
):
    account = await shop(world)
    starts, ends = in_days(10), in_days(5)
    await licence(world, account, units=7, starts_at=starts)
    await licence(world, account, units=2, ends_at=ends)
    eva = await world.client("Eva")
    assert (await claim(eva, account, "a", 12)).status_code == 201
    refused = await claim(eva, account, "b", 4)
    assert problem(refused) == (409, "licence_exhausted")
    assert {k: refused.json()[k] for k in ("limit", "used", "available", "max_units_per_claim")} == {
        "limit": 12, "used": 12, "available": 0, "max_units_per_claim": None
    }  # fmt: skip
    assert refused.json()["next_change"] == {"at": shown(ends), "limit": 10}
    assert refused.json()["fits_at"] == shown(starts)
    assert await used(owner) == 12
    far = await claim(eva, account, "b", 6)
    assert far.json()["fits_at"] is None
    german = await eva.post(
        f"{at(account)}/claims", json={"feature": "assets", "resource": "b"}, headers={"Accept-Language": "de"}
    )
    assert german.json()["title"] == "Dafür ist zu wenig übrig"
    await nothing_is_lost(owner)


def shown(moment: Any) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_what_is_not_licensed_is_refused_as_what_is_unknown(world: World, owner: Owner):
    account = await shop(world)
    await feature(world, "gateways")
    await feature(world, "old", default=5, archived=True)
    await feature(world, "new")
    await licence(world, account, "new", starts_at=in_days(1))
    eva = await world.client("Eva")
    answers = [await claim(eva, account, "a", key=key) for key in ("gateways", "unheard_of", "old", "new")]
    assert {problem(answer) for answer in answers} == {(403, "not_licensed")}
    assert await owner.value("SELECT count(*) FROM claims") == 0
    assert await owner.rows("SELECT feature FROM usages WHERE feature <> 'assets' AND feature <> 'new'") == []


async def test_default_of_a_feature_counts_until_a_licence_is_in_force(world: World, owner: Owner):
    account = await shop(world)
    await feature(world, "users", default=3)
    eva = await world.client("Eva")
    assert (await claim(eva, account, "a", 3, "users")).status_code == 201
    assert problem(await claim(eva, account, "b", 1, "users")) == (409, "licence_exhausted")
    bought = await licence(world, account, "users", 4)
    assert (await claim(eva, account, "b", 1, "users")).status_code == 201
    assert problem(await claim(eva, account, "c", 1, "users")) == (409, "licence_exhausted")
    await change(world, account, bought, revoked_at=in_days(0))
    refused = await claim(eva, account, "c", 1, "users")
    assert (refused.json()["limit"], refused.json()["used"]) == (3, 4)


async def test_switch_is_on_or_off_however_many_licences_give_it(world: World):
    account = await shop(world)
    await feature(world, "api_access", kind=FeatureKind.SWITCH)
    for _ in range(2):
        await licence(world, account, "api_access", 1)
    eva = await world.client("Eva")
    assert (await claim(eva, account, "the account", key="api_access")).status_code == 201
    refused = await claim(eva, account, "once more", key="api_access")
    assert (problem(refused), refused.json()["limit"]) == ((409, "licence_exhausted"), 1)


@pytest.mark.parametrize(
    ("overage", "passes"),
    [
        (Overage.FORBIDDEN, 3),
        (Overage.UP_TO_125, 3),
        (Overage.UP_TO_150, 4),
        (Overage.UP_TO_200, 6),
        (Overage.ALLOWED, 9),
    ],
)
async def test_overage_lets_claims_pass_and_marks_them(world: World, overage: Overage, passes: int):
    """125 % of 3 is 3.75: it is rounded down."""
    account = await shop(world)
    await feature(world, "loggers", overage=overage)
    await licence(world, account, "loggers", 3)
    eva = await world.client("Eva")
    answers = [await claim(eva, account, f"{n}", key="loggers") for n in range(9)]
    assert [a.status_code for a in answers] == [201] * passes + [409] * (9 - passes)
    assert [a.json()["over_limit"] for a in answers[:passes]] == [False] * 3 + [True] * (passes - 3)
    listed = (await eva.get(f"{at(account)}/claims")).json()["items"]
    assert [(c["resource"], c["over_limit"]) for c in listed] == [(f"{n}", n >= 3) for n in reversed(range(passes))]
    again = await claim(eva, account, f"{passes - 1}", key="loggers")
    assert (again.status_code, again.json()["over_limit"]) == (200, passes > 3)


async def test_claims_above_a_limit_that_shrank_stay_and_are_marked_the_newest_first(world: World, owner: Owner):
    account = await shop(world)
    eva = await world.client("Eva")
    for n, units in enumerate((4, 3, 2, 1)):
        assert (await claim(eva, account, f"{n}", units)).status_code == 201
    (only,) = await owner.rows("SELECT id FROM licences")
    for limit, marked in ((10, ""), (9, "3"), (8, "32"), (7, "32"), (6, "321"), (4, "321"), (3, "3210"), (0, "3210")):
        await change(world, account, only["id"], units=limit)
        listed = (await eva.get(f"{at(account)}/claims")).json()["items"]
        assert "".join(c["resource"] for c in listed if c["over_limit"]) == marked, limit
        for c in listed:
            assert (await eva.get(f"{at(account)}/claims/{c['id']}")).json() == c
        assert problem(await claim(eva, account, "new")) == (409, "licence_exhausted")
    assert (await claim(eva, account, "1", 3)).json()["over_limit"] is True
    await nothing_is_lost(owner)


async def test_use_is_capped_by_the_licence_that_allows_most(world: World, owner: Owner):
    account = await shop(world)
    await feature(world, "loggers")
    for units, cap in ((10, 2), (10, 5)):
        await licence(world, account, "loggers", units, max_units_per_claim=cap)
    eva = await world.client("Eva")
    refused = await claim(eva, account, "a", 6, "loggers")
    assert problem(refused) == (409, "too_many_units_for_one_use")
    assert (refused.json()["max_units_per_claim"], refused.json()["available"]) == (5, 20)
    assert (await claim(eva, account, "a", 5, "loggers")).status_code == 201
    await licence(world, account, "loggers", 1)
    assert (await claim(eva, account, "b", 6, "loggers")).status_code == 201
    assert await used(owner, "loggers") == 11


async def test_licence_counts_in_its_period_and_its_grace_and_not_while_suspended(world: World):
    account = await shop(world)
    eva = await world.client("Eva")
    cases: list[tuple[bool, dict[str, Any]]] = [
        (True, {"ends_at": in_days(0.0001)}), (False, {"ends_at": in_days(-0.0001)}),
        (True, {"ends_at": in_days(-1.9), "grace_days": 2}), (False, {"ends_at": in_days(-2.1), "grace_days": 2}),
        (False, {"starts_at": in_days(0.01)}), (False, {"revoked_at": in_days(-1)}), (True, {"revoked_at": in_days(1)}),
        (False, {"suspended_by": SuspendedBy.PARTNER, "suspended_at": in_days(-1)}),
    ]  # fmt: skip
    for n, (passes, given) in enumerate(cases):
        key = await feature(world, f"feature_{n}")
        await licence(world, account, key, **given)
        answer = await claim(eva, account, "a", key=key)
        assert answer.status_code == (201 if passes else 403), given


async def test_roles_and_states_of_account_and_partner_decide_who_claims(world: World, owner: Owner):
    account = await shop(world, Vic=R.ACCOUNT_VIEWER)
    partner_id, olivia = account.partner_id, await world.client("Olivia", operator=True)
    async with world.transaction(partner_id) as db:
        db.add(PartnerMember(partner_id=partner_id, user_id=(await world.user("Max")).id, role=R.PARTNER_ADMIN))
    people = {who: await world.client(who) for who in ("Anna", "Eva", "Vic", "Max", "Zoe")}
    people["Olivia"] = olivia
    inside = (await people["Eva"].post(f"{at(account)}/switch")).json()["access_token"]
    people["Eva inside"] = await world.client(token=inside)
    kept = (await claim(people["Eva"], account, "kept")).headers["location"]
    may = {"Anna": None, "Eva": None, "Eva inside": None, "Vic": (403, "forbidden"), "Max": (403, "not_a_member"),
           "Olivia": (403, "not_a_member"), "Zoe": (404, "not_found")}  # fmt: skip

    async def expect(refusals: dict[str, tuple[int, str]]) -> None:
        for who, client in people.items():
            answer = await claim(client, account, f"of {who}")
            refusal = (may | refusals)[who] if may[who] is None or who in refusals else may[who]
            if refusal is None:
                assert answer.status_code in (200, 201), who
                assert (await client.delete(answer.headers["location"])).status_code == 204
            else:
                assert problem(answer) == refusal, who

    async def set_partner(**values: Any) -> None:
        body = await olivia.patch(f"/v1/partners/{partner_id}", json=values, headers={"If-Match": "*"})
        assert body.status_code == 200

    async def set_account(status: AccountStatus) -> None:
        async with world.transaction(partner_id) as db:
            (await db.get_one(Account, (partner_id, account.id))).status = status

    await expect({})
    await set_partner(partner_management_enabled=False)
    await expect({"Max": (403, "partner_management_off")})
    await set_partner(partner_management_enabled=True, status="suspended")
    shut = (403, "partner_suspended")
    await expect(dict.fromkeys(("Anna", "Eva", "Eva inside", "Vic", "Max"), shut))
    assert problem(await people["Eva"].delete(kept)) == shut
    await set_partner(status="active")
    for status in (AccountStatus.SUSPENDED, AccountStatus.ARCHIVED):
        await set_account(status)
        await expect(dict.fromkeys(("Anna", "Eva", "Eva inside"), (409, f"account_{status}")))
        assert problem(await claim(people["Eva"], account, "kept")) == (409, f"account_{status}")
    assert (await people["Eva"].delete(kept)).status_code == 204
    assert await used(owner) == 0
    await nothing_is_lost(owner)


async def test_who_was_removed_or_signed_out_claims_no_more_with_the_next_request(world: World, owner: Owner):
    account = await shop(world)
    anna, eva = await world.client("Anna"), await world.client("Eva")
    assert (await claim(eva, account, "a")).status_code == 201
    member = f"{at(account)}/members/{world.people['Eva'].id}"
    viewer = await anna.patch(member, json={"role": "account_viewer"}, headers={"If-Match": "*"})
    assert viewer.status_code == 200
    assert problem(await claim(eva, account, "b")) == (403, "forbidden")
    assert (await anna.delete(member, headers={"If-Match": "*"})).status_code == 204
    assert problem(await claim(eva, account, "b")) == (404, "not_found")
    assert (await claim(anna, account, "b")).status_code == 201
    assert (await anna.delete("/v1/sessions")).status_code == 204
    assert problem(await claim(anna, account, "c")) == (401, "unauthenticated")
    assert await used(owner) == 2


async def test_claim_is_released_by_its_id_or_by_its_resource_once(world: World, owner: Owner):
    account = await shop(world, Vic=R.ACCOUNT_VIEWER)
    eva, vic = await world.client("Eva"), await world.client("Vic")
    here = f"{at(account)}/claims"
    by_id, asset = (await claim(eva, account, "a", 2)).headers["location"], {"feature": "assets", "resource": "b"}
    assert (await claim(eva, account, "b", 3)).status_code == 201
    assert problem(await vic.delete(by_id)) == (403, "forbidden")
    assert problem(await vic.delete(here, params=asset)) == (403, "forbidden")
    assert problem(await eva.delete(here, params=asset | {"resource": "c"})) == (404, "not_found")
    assert problem(await eva.delete(here, params=asset | {"feature": "nothing"})) == (404, "not_found")
    assert problem(await eva.delete(f"{here}/{new_id()}")) == (404, "not_found")
    assert problem(await eva.delete(here)) == (422, "invalid")
    assert await used(owner) == 5
    for _ in range(2):
        assert (await eva.delete(by_id, params={"reason": "first"})).status_code == 204
    assert (await eva.delete(here, params=asset | {"reference": "WO-1"})).status_code == 204
    assert problem(await eva.delete(here, params=asset)) == (404, "not_found")
    assert await used(owner) == 0
    rows = await owner.rows("SELECT release_reason, release_reference FROM claims ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("first", None), (None, "WO-1")]
    await nothing_is_lost(owner)


async def test_resource_that_was_claimed_anew_meanwhile_keeps_its_new_claim(world: World, owner: Owner):
    """Whoever releases a claim by its id waits for the pool; by then the resource may hold another one."""
    account = await shop(world)
    eva = await world.client("Eva")
    old, new = (await claim(eva, account, "a", 2)).headers["location"], new_id()
    async with owner.transaction():
        await owner.rows("SELECT FROM usages FOR UPDATE")
        releasing = asyncio.create_task(eva.delete(old))
        assert await asyncio.wait({releasing}, timeout=0.1) == (set(), {releasing})
        await owner.rows("UPDATE claims SET released_at = now()")
        await owner.rows(
            "INSERT INTO claims (partner_id, id, account_id, feature, resource, units, actor, user_id, created_at)"
            " SELECT partner_id, $1, account_id, feature, resource, units, actor, user_id, now() FROM claims", new,
        )  # fmt: skip
    assert (await releasing).status_code == 204
    assert (await eva.get(f"{at(account)}/claims/{new}")).json()["released_at"] is None
    assert await used(owner) == 2


async def test_claims_are_listed_newest_first_and_filtered(world: World):
    account = await shop(world)
    await feature(world, "users", default=5)
    eva = await world.client("Eva")
    for key, resource in (("assets", "x:1"), ("users", "u"), ("assets", "x:2"), ("assets", "y")):
        assert (await claim(eva, account, resource, key=key)).status_code == 201
    here = f"{at(account)}/claims"
    await eva.delete(here, params={"feature": "assets", "resource": "x:1"})

    async def found(*filters: str, **more: Any) -> str:
        answer = await eva.get(here, params={"filter": filters, **more})
        assert answer.status_code == 200, answer.text
        return " ".join(c["resource"] for c in answer.json()["items"])

    assert await found() == "y x:2 u x:1"
    assert await found("feature:eq:assets", "live:eq:true") == "y x:2"
    assert await found("live:eq:false") == "x:1"
    assert await found("resource:starts_with:x:") == "x:2 x:1"
    assert await found("created_at:lt:2020-01-01") == ""
    assert await found(sort="created_at") == "x:1 u x:2 y"
    first = (await eva.get(here, params={"limit": 3, "count": "true"})).json()
    assert first["total"] == 4
    rest = (await eva.get(here, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    assert [c["resource"] for c in first["items"] + rest["items"]] == ["y", "x:2", "u", "x:1"]
    anna, body = await world.client("Anna"), {"feature": "assets", "resource": "z", "reference": "WO-2207"}
    made = await anna.post(here, json=body)
    assert list(made.json())[:3] == ["id", "partner_id", "account_id"]  # as everything is shown
    assert await found("reference:eq:WO-2207") == await found(f"actor_id:eq:{world.people['Anna'].id}") == "z"
    assert await found("reference:is_null:true", f"actor_id:eq:{world.people['Eva'].id}") == "y x:2 u x:1"
    assert (await found("actor:eq:user"), await found("actor:eq:api_client")) == ("z y x:2 u x:1", "")


async def test_claims_of_another_account_or_partner_are_not_there(world: World):
    home = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await shop(world, home)
    eva, zoe = await world.client("Eva"), await world.client("Zoe")
    other = await world.partner("Other", Ben=R.PARTNER_ADMIN)
    sibling = await world.account(home, "Sibling", by="Zoe")
    foreign = await world.account(other, by="Ben")
    made = (await claim(eva, account, "a")).json()["id"]
    for client, place in ((zoe, sibling), (await world.client("Ben"), foreign)):
        for call in (client.get, client.delete):
            assert problem(await call(f"{at(place)}/claims/{made}")) == (404, "not_found")
        assert (await client.get(f"{at(place)}/claims")).json()["items"] == []
        assert problem(await client.get(f"{at(account)}/claims")) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"feature": "assets"}, "/resource", "missing"),
        ({"resource": "a"}, "/feature", "missing"),
        ({"feature": "Assets!", "resource": "a"}, "/feature", "string_pattern_mismatch"),
        ({"feature": "assets", "resource": ""}, "/resource", "string_too_short"),
        ({"feature": "assets", "resource": "a" * 201}, "/resource", "string_too_long"),
        ({"feature": "assets", "resource": "a\nb"}, "/resource", "unprintable"),
        ({"feature": "assets", "resource": "a", "units": 0}, "/units", "greater_than_equal"),
        ({"feature": "assets", "resource": "a", "units": 1_000_001}, "/units", "less_than_equal"),
        ({"feature": "assets", "resource": "a", "units": 1.5}, "/units", "int_type"),
        ({"feature": "assets", "resource": "a", "units": True}, "/units", "int_type"),
        ({"feature": "assets", "resource": "a", "reason": ""}, "/reason", "string_too_short"),
        ({"feature": "assets", "resource": "a", "used": 0}, "/used", "extra_forbidden"),
    ],
)
async def test_malformed_claim_is_refused_with_a_pointer(world: World, body: dict[str, Any], pointer: str, code: str):
    account = await shop(world)
    answer = await (await world.client("Eva")).post(f"{at(account)}/claims", json=body)
    assert problem(answer) == (422, "invalid")
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [(pointer, code)]


# --- batches ---


async def test_batch_claims_all_or_nothing(world: World, owner: Owner):
    account = await shop(world)
    await feature(world, "users", default=2)
    eva, here = await world.client("Eva"), f"{at(account)}/claim-batches"
    asked = [{"feature": "assets", "resource": f"a{n}", "units": 2} for n in range(5)]
    some = [*asked, {"feature": "users", "resource": "u", "reference": "R"}]
    refused = await eva.post(here, json={"claims": [*some, {"feature": "users", "resource": "v", "units": 2}]})
    assert problem(refused) == (409, "licence_exhausted")
    assert [(e["pointer"], e["code"]) for e in refused.json()["errors"]] == [("/claims/6", "licence_exhausted")]
    assert (refused.json()["limit"], refused.json()["used"]) == (2, 1)
    unknown = await eva.post(here, json={"claims": [*some, {"feature": "nothing", "resource": "v"}]})
    assert (problem(unknown), unknown.json()["errors"][0]["pointer"]) == ((403, "not_licensed"), "/claims/6")
    assert await owner.value("SELECT count(*) FROM claims") == 0
    done = await eva.post(here, json={"claims": some})
    assert done.status_code == 200
    assert [c["resource"] for c in done.json()["claims"]] == [c["resource"] for c in some]
    assert (await used(owner), await used(owner, "users")) == (10, 1)
    again = await eva.post(here, json={"claims": some})
    assert again.json() == done.json()
    assert (await used(owner), await used(owner, "users")) == (10, 1)
    await nothing_is_lost(owner)


async def test_batch_releases_before_it_claims(world: World, owner: Owner):
    account = await shop(world)
    eva, here = await world.client("Eva"), f"{at(account)}/claim-batches"
    assert (await claim(eva, account, "old", 10)).status_code == 201
    old, new = {"feature": "assets", "resource": "old"}, {"feature": "assets", "resource": "new", "units": 9}
    gone = await eva.post(here, json={"releases": [old, old | {"resource": "x"}], "claims": [new]})
    assert (problem(gone), gone.json()["errors"][0]["pointer"]) == ((404, "not_found"), "/releases/1")
    assert await used(owner) == 10
    moved = await eva.post(here, json={"releases": [old | {"reason": "Moved"}], "claims": [new, old | {"units": 1}]})
    assert moved.status_code == 200, moved.text
    assert [(c["resource"], c["units"]) for c in moved.json()["claims"]] == [("new", 9), ("old", 1)]
    assert await used(owner) == 10
    twice = await eva.post(here, json={"claims": [new, new]})
    assert (problem(twice), twice.json()["errors"][0]["code"]) == ((422, "invalid"), "duplicate_key")
    await nothing_is_lost(owner)


# --- once ---


async def test_repeated_post_with_the_same_key_is_one_claim(world: World, owner: Owner):
    account = await shop(world)
    eva, key = await world.client("Eva"), {"Idempotency-Key": "one"}
    answers = await asyncio.gather(*(claim(eva, account, "a", 2, **key) for _ in range(5)))
    assert {a.status_code for a in answers} == {201}
    assert len({a.text for a in answers}) == 1
    assert sum("idempotency-replayed" in a.headers for a in answers) == 4
    assert {a.headers["location"] for a in answers} == {answers[0].headers["location"]}
    assert problem(await claim(eva, account, "b", 2, **key)) == (422, "idempotency_key_reused")
    assert await used(owner) == 2
    full = await claim(eva, account, "b", 9, **{"Idempotency-Key": "two"})
    assert problem(full) == (409, "licence_exhausted")
    assert (await claim(eva, account, "b", 8, **{"Idempotency-Key": "three"})).status_code == 201
    await nothing_is_lost(owner)


async def test_first_claim_of_a_pool_with_a_key_and_a_refusal_leaves_no_trace(world: World, owner: Owner):
    account = await shop(world)
    await feature(world, "users", default=1)
    eva = await world.client("Eva")
    for headers in ({}, {"Idempotency-Key": "x"}):
        assert problem(await claim(eva, account, "a", 2, "users", **headers)) == (409, "licence_exhausted")
    assert await owner.rows("SELECT * FROM usages WHERE feature = 'users'") == []
    assert await owner.rows("SELECT * FROM stored_answers") == []
    assert (await claim(eva, account, "a", 1, "users", **{"Idempotency-Key": "x"})).status_code == 201
    await nothing_is_lost(owner)


# --- together ---


async def test_many_who_claim_at_once_get_each_their_own_answer(world: World, owner: Owner):
    account = await shop(world, Vic=R.ACCOUNT_VIEWER)
    eva, vic, zoe = [await world.client(who) for who in ("Eva", "Vic", "Zoe")]
    for client in (eva, vic, zoe):
        await claim(client, account, "warm")
    calls = [claim(client, account, f"{n // 2}") for n in range(30) for client in (eva, vic, zoe)]
    answers = await asyncio.gather(*calls)
    assert {problem(a) for a in answers[1::3]} == {(403, "forbidden")}
    assert {problem(a) for a in answers[2::3]} == {(404, "not_found")}
    mine = [a.status_code for a in answers[::3]]
    assert mine == [201, 200] * 9 + [409] * 12
    assert await used(owner) == 10
    await nothing_is_lost(owner)
