"""Entitlements: what accounts may use and use, for one account and over all of a partner's."""

import json
from typing import Any

from httpx import AsyncClient

from app.models import Account, AccountStatus, FeatureKind, Overage, Partner, SuspendedBy
from app.policy import Role
from tests.conftest import World, problem
from tests.pools import at, change, claim, feature, in_days, licence

R = Role


async def test_entitlement_says_how_much_there_is_how_much_is_used_and_what_changes(world: World):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Vic=R.ACCOUNT_VIEWER)
    anna, vic, key = (
        await world.client("Anna"),
        await world.client("Vic"),
        await feature(world, overage=Overage.UP_TO_125),
    )
    path, ends = f"{at(account)}/entitlements/{key}", in_days(10)
    first = await licence(world, account, key, 10, ends_at=ends, grace_days=5)
    await licence(world, account, key, 4, starts_at=in_days(12), max_units_per_claim=3)
    await licence(world, account, key, 50, suspended_by=SuspendedBy.PARTNER, suspended_at=in_days(-1))
    assert (await claim(anna, account, "a", 7)).status_code == 201
    found = (await anna.get(path, params={"units": 5})).json()
    assert found["name"] == {"en": "Assets", "de": "Assets"}
    assert {k: found[k] for k in ("limit", "reach", "used", "available", "overused", "licensed", "max_units_per_claim")} == {
        "limit": 10, "reach": 12, "used": 7, "available": 3, "overused": 0, "licensed": True, "max_units_per_claim": None
    }  # fmt: skip
    assert found["expires_at"] == ends.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert found["next_change"]["limit"] == 14
    assert (found["units"], found["fits"], found["code"], found["fits_at"]) == (5, True, None, None)
    more = (await anna.get(path, params={"units": 6})).json()
    assert (more["fits"], more["code"], more["fits_at"]) == (False, "licence_exhausted", found["next_change"]["at"])
    assert (await vic.get(path, params={"units": 5})).json()["code"] == "forbidden"
    await change(world, account, first, units=4)
    shrunk = (await anna.get(path)).json()
    assert (shrunk["limit"], shrunk["available"], shrunk["overused"]) == (4, 0, 3)
    assert problem(await anna.get(f"{at(account)}/entitlements/unheard_of")) == (404, "not_found")
    assert problem(await anna.get(path, params={"units": 0})) == (422, "invalid")
    again = await anna.get(path, headers={"If-None-Match": (await anna.get(path)).headers["etag"]})
    assert again.status_code == 304


async def test_account_lists_what_it_is_licensed_for_uses_or_has_by_default(world: World):
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    anna = await world.client("Anna")
    for key, default, archived in (("a_default", 2, False), ("b_archived", 2, True), ("c_licensed", 0, False),
                                   ("d_expired", 0, False), ("e_used", 0, False), ("f_nothing", 0, False),
                                   ("g_scheduled", 0, False), ("h_switch", 0, False)):  # fmt: skip
        kind = FeatureKind.SWITCH if key == "h_switch" else FeatureKind.QUOTA
        await feature(world, key, default=default, archived=archived, kind=kind)
    for key, more in (("c_licensed", {}), ("d_expired", {"ends_at": in_days(-1)}), ("g_scheduled", {"starts_at": in_days(1)}),
                      ("h_switch", {"suspended_by": SuspendedBy.OPERATOR})):  # fmt: skip
        await licence(world, account, key, 1, **more)
    used = await licence(world, account, "e_used", 3)
    assert (await claim(anna, account, "x", 2, "e_used")).status_code == 201
    await change(world, account, used, revoked_at=in_days(-1))
    path = f"{at(account)}/entitlements"

    async def keys(**params: Any) -> list[str]:
        answer = await anna.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return [item["feature"] for item in answer.json()["items"]]

    everything = ["a_default", "c_licensed", "e_used", "g_scheduled", "h_switch"]
    assert await keys() == everything
    assert await keys(sort="-feature") == everything[::-1]
    assert await keys(filter="kind:eq:switch") == ["h_switch"]
    first = (await anna.get(path, params={"limit": 3, "count": "true"})).json()
    assert first["total"] == 5
    assert await keys(limit=3, cursor=first["next_cursor"]) == everything[3:]
    by_key = {item["feature"]: item for item in (await anna.get(path)).json()["items"]}
    for key, item in by_key.items():  # as the single one says
        single = (await anna.get(f"{path}/{key}")).json()
        assert {k: single[k] for k in item} == item
    assert (by_key["e_used"]["limit"], by_key["e_used"]["overused"]) == (0, 2)
    assert (by_key["h_switch"]["unit"], by_key["h_switch"]["licensed"]) == (None, False)


# --- over all accounts of a partner ---


async def fleet(world: World) -> tuple[Partner, dict[str, Account], AsyncClient]:
    """Accounts that use 0 %, 50 %, 80 %, 100 % and 150 % of what they have, and one without any limit."""
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    anna = await world.client("Anna")
    await feature(world)
    await feature(world, "users", default=8)
    accounts: dict[str, Account] = {}
    for name, units, used, ends in (("Zero", 10, 0, 5), ("Half", 10, 5, None), ("Most", 10, 8, 20), ("Full", 10, 10, 40),
                                    ("Over", 4, 6, None), ("None", 0, 3, None)):  # fmt: skip
        account = accounts[name] = await world.account(partner, name, by="Anna")
        row = await licence(world, account, units=max(units, used), ends_at=ends and in_days(ends))
        if used:
            assert (await claim(anna, account, "a", used)).status_code == 201
        await change(world, account, row, units=units)
    assert (await claim(anna, accounts["Half"], "u", 3, "users")).status_code == 201
    return partner, accounts, anna


async def test_partner_sees_who_is_near_a_limit_over_it_or_ends_soon(world: World):
    partner, accounts, anna = await fleet(world)
    path = f"/v1/partners/{partner.id}/entitlements"

    async def found(*filters: str, **params: Any) -> str:
        answer = await anna.get(path, params={"filter": filters, **params})
        assert answer.status_code == 200, answer.text
        return " ".join(f"{i['account_name']}:{i['usage_percent']}" for i in answer.json()["items"])

    assets = "feature:eq:assets"
    assert await found(assets) == "None:1000000 Over:150 Full:100 Most:80 Half:50 Zero:0"
    assert await found(assets, "usage_percent:gte:80") == "None:1000000 Over:150 Full:100 Most:80"
    assert await found(assets, "over:eq:true") == "None:1000000 Over:150"
    assert await found("feature:eq:users") == "Half:37"
    assert await found(f"expires_at:lt:{in_days(30).date()}", sort="expires_at") == "Zero:0 Most:80"
    assert await found(assets, sort="expires_at,account_name") == (
        "Zero:0 Most:80 Full:100 Half:50 None:1000000 Over:150"
    )
    assert await found(assets, sort="account_name") == "Full:100 Half:50 Most:80 None:1000000 Over:150 Zero:0"
    assert await found(f"account_id:eq:{accounts['Half'].id}", sort="feature") == "Half:50 Half:37"
    assert await found(q="ful") == "Full:100"
    assert problem(await anna.get(path, params={"filter": "account_id:eq:x"})) == (422, "invalid")
    over = next(i for i in (await anna.get(path, params={"q": "over"})).json()["items"])
    assert {k: over[k] for k in ("limit", "used", "available", "overused", "expires_at", "feature", "overage")} == {
        "limit": 4, "used": 6, "available": 0, "overused": 2, "expires_at": None, "feature": "assets",
        "overage": "forbidden",
    }  # fmt: skip


async def test_partners_list_is_paged_by_every_sort_and_says_what_each_account_says(world: World):
    partner, accounts, anna = await fleet(world)
    path = f"/v1/partners/{partner.id}/entitlements"
    for sort in (
        "-usage_percent",
        "usage_percent",
        "expires_at",
        "-expires_at",
        "account_name",
        "feature,account_name",
    ):
        whole = (await anna.get(path, params={"sort": sort, "count": "true"})).json()
        assert whole["total"] == len(whole["items"]) == 7
        paged, cursor = list[Any](), None
        while cursor is not None or not paged:
            page = (
                await anna.get(path, params={"sort": sort, "limit": 2} | ({"cursor": cursor} if cursor else {}))
            ).json()
            paged += page["items"]
            cursor = page["next_cursor"]
        assert paged == whole["items"], sort
    for item in (await anna.get(path)).json()["items"]:
        account = accounts[item["account_name"]]
        single = (await anna.get(f"{at(account)}/entitlements/{item['feature']}")).json()
        same = ("limit", "used", "available", "overused", "expires_at")
        assert {k: single[k] for k in same} == {k: item[k] for k in same}


async def test_archived_accounts_and_other_partners_are_left_out(world: World):
    partner, accounts, anna = await fleet(world)
    other = await world.partner("Other", Ben=R.PARTNER_ADMIN)
    foreign = await world.account(other, "Foreign", by="Ben")
    await licence(world, foreign)
    async with world.transaction(partner.id) as db:
        (await db.get_one(Account, (partner.id, accounts["Over"].id))).status = AccountStatus.ARCHIVED
    path = f"/v1/partners/{partner.id}/entitlements"
    shown = json.dumps((await anna.get(path)).json())
    assert "Over" not in shown
    assert "Foreign" not in shown
    archived = (await anna.get(path, params={"filter": "account_status:eq:archived"})).json()["items"]
    assert [item["account_name"] for item in archived] == ["Over"]
    ben = await world.client("Ben")
    assert [i["account_name"] for i in (await ben.get(f"/v1/partners/{other.id}/entitlements")).json()["items"]] == [
        "Foreign"
    ]
    assert problem(await ben.get(path)) == (404, "not_found")
