"""Why somebody may or may not: what the explanation says is what a claim gets, and its remedies help."""

from collections.abc import AsyncGenerator
from itertools import product
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import select, update

from app.models import (
    PLATFORM,
    Account,
    AccountStatus,
    Article,
    FeatureKind,
    Overage,
    Partner,
    PartnerMember,
    PriceModel,
    SuspendedBy,
    User,
    UserStatus,
    new_id,
)
from app.policy import ACCOUNT_ROLES, PARTNER_ROLES, Role
from app.problems import KINDS
from tests.conftest import World, join, problem
from tests.pools import article, at, change, claim, feature, grant, in_days, licence

R = Role
ROLES: dict[str, tuple[Role, ...]] = {
    "Adam": (R.ACCOUNT_ADMIN,), "Edda": (R.ACCOUNT_EDITOR,), "Vera": (R.ACCOUNT_VIEWER,),
    "Paul": (R.PARTNER_ADMIN,), "Petra": (R.PARTNER_VIEWER,), "Pia": (R.PARTNER_MANAGER, R.ACCOUNT_EDITOR),
    "Otto": (R.OPERATOR,), "Olga": (R.OPERATOR, R.ACCOUNT_ADMIN), "Nils": (),
}  # fmt: skip
POOLS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "active": [{"units": 4}],
    "two": [{"units": 2}, {"units": 2, "max_units_per_claim": 1}],
    "capped": [{"units": 4, "max_units_per_claim": 2}],
    "scheduled": [{"units": 4, "starts_at": in_days(3)}],
    "grace": [{"units": 4, "ends_at": in_days(-1), "grace_days": 3}],
    "expired": [{"units": 4, "ends_at": in_days(-1)}],
    "suspended": [{"units": 4, "suspended_by": SuspendedBy.OPERATOR, "suspended_at": in_days(-1)}],
    "revoked": [{"units": 4, "revoked_at": in_days(-1)}],
    "zero": [{"units": 0}],
}


async def crowd(world: World) -> tuple[Partner, Account, dict[str, AsyncClient]]:
    """An account, and somebody in every role that matters."""
    partner = await world.partner(Anna=R.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    clients: dict[str, AsyncClient] = {}
    for name, roles in ROLES.items():
        user = await world.user(name, operator=R.OPERATOR in roles)
        async with world.transaction(partner.id) as db:
            for role in roles:
                if role in PARTNER_ROLES:
                    db.add(PartnerMember(partner_id=partner.id, user_id=user.id, role=role))
                if role in ACCOUNT_ROLES:
                    await join(db, account, user.id, role)
        clients[name] = await world.client(name)
    return partner, account, clients


class Question:
    """Asks for the verdict in all three ways."""

    def __init__(self, world: World, account: Account, clients: dict[str, AsyncClient], asker: AsyncClient) -> None:
        self.world, self.account, self.clients, self.asker = world, account, clients, asker
        self.number = 0

    async def explained(self, who: str, key: str, units: int) -> dict[str, Any]:
        user = str(self.world.people[who].id)
        answer = await self.asker.get(
            f"{at(self.account)}/entitlements/{key}/explanation", params={"user_id": user, "units": units}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def agree(self, who: str, key: str, units: int) -> str | None:
        """All three say the same; what they say."""
        said = await self.explained(who, key, units)
        self.number += 1
        fits = await self.clients[who].get(f"{at(self.account)}/entitlements/{key}", params={"units": units})
        made = await claim(self.clients[who], self.account, f"asset {self.number}", units, key)
        about = (who, key, units, said)
        if made.status_code == 201:
            assert said["allowed"], about
            assert fits.json()["fits"], about
            assert made.json()["over_limit"] == said["over_limit"], about
            undone = await self.clients[who].delete(made.headers["location"])
            assert undone.status_code == 204
            return None
        status, code = problem(made)
        assert (said["allowed"], status) == (False, KINDS[code].status), about
        if (status, code) == (404, "not_found"):  # strangers are told no more
            assert said["code"] == "not_a_member", about
        else:
            assert said["code"] == code, about
        if fits.status_code == 200:
            assert (fits.json()["fits"], fits.json()["code"]) == (False, said["code"]), about
        first = next(step for step in said["steps"] if not step["passed"])
        assert first["code"] == said["code"], about
        return code


async def states(world: World, partner: Partner, account: Account, operator: AsyncClient) -> AsyncGenerator[str]:
    """Every state of the account and its partner, one after the other."""

    async def of_partner(**values: Any) -> None:
        answer = await operator.patch(f"/v1/partners/{partner.id}", json=values, headers={"If-Match": "*"})
        assert answer.status_code == 200, answer.text

    async def of_account(status: AccountStatus) -> None:
        async with world.transaction(partner.id) as db:
            (await db.get_one(Account, (partner.id, account.id))).status = status

    for status, enabled in product(("active", "suspended"), (True, False)):
        await of_partner(status=status, partner_management_enabled=enabled)
        for account_status in AccountStatus:
            await of_account(account_status)
            yield f"{status} {enabled} {account_status}"
    await of_partner(status="active", partner_management_enabled=True)
    await of_account(AccountStatus.ACTIVE)


@pytest.mark.slow
async def test_explanation_says_what_a_claim_gets_for_every_role_in_every_state(world: World):
    partner, account, clients = await crowd(world)
    question = Question(world, account, clients, await world.client("Olivia", operator=True))
    keys = {name: await feature(world, name) for name in ("active", "none")}
    await licence(world, account, "active", 2)
    said = set[Any]()
    async for _ in states(world, partner, account, question.asker):
        for who, key in product(ROLES, keys):
            said.add(await question.agree(who, key, 1))
    assert said == {None, "not_licensed", "forbidden", "not_a_member", "not_found", "partner_suspended",
                    "partner_management_off", "account_suspended", "account_archived"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("overage", list(Overage))
async def test_explanation_says_what_a_claim_gets_for_every_pool_and_every_number_of_units(
    world: World, overage: Overage
):
    _, account, clients = await crowd(world)
    question = Question(world, account, clients, await world.client("Olivia", operator=True))
    said = set[Any]()
    for (name, licences), default in product(POOLS.items(), (0, 3)):
        key = await feature(world, f"{name}_{default}", default=default, overage=overage)
        rows = [await licence(world, account, key, **given) for given in licences]
        for used in (0, 3, 4, 5):
            if used and (await claim(clients["Adam"], account, f"used {used}", 1 if used > 3 else 3, key)).is_error:
                break
            for units in (1, 2, 5):
                said.add(await question.agree("Edda", key, units))
        for row in rows[:1]:  # it shrinks below what is used
            await change(world, account, row, units=1)
            said.add(await question.agree("Edda", key, 1))
    assert said == {None, "not_licensed", "too_many_units_for_one_use", *(
        {"licence_exhausted"} if overage is not Overage.ALLOWED else set[str]())}  # fmt: skip


async def test_explanation_tells_each_step_with_its_facts(world: World):
    partner, account, clients = await crowd(world)
    key = await feature(world, overage=Overage.UP_TO_150)
    ends = in_days(20)
    bought = await licence(world, account, key, 4, ends_at=ends, article="A-100", order_number="O-1")
    await licence(world, account, key, 5, starts_at=in_days(30))
    await licence(world, account, key, 0, starts_at=in_days(-9))
    await licence(world, account, key, 7, starts_at=in_days(-99), ends_at=in_days(-98))
    assert (await claim(clients["Adam"], account, "a", 4, key)).status_code == 201
    vera = (await clients["Vera"].get(f"{at(account)}/entitlements/{key}/explanation", params={"units": 3})).json()
    assert (vera["user_id"], vera["allowed"], vera["code"]) == (str(world.people["Vera"].id), False, "forbidden")
    assert (vera["account_role"], vera["partner_role"], vera["account_status"]) == ("account_viewer", None, "active")
    assert (vera["partner_status"], vera["partner_management_enabled"]) == (partner.status, True)
    assert {k: vera[k] for k in ("limit", "reach", "used", "available", "overused", "over_limit")} == {
        "limit": 4, "reach": 6, "used": 4, "available": 0, "overused": 0, "over_limit": True
    }  # fmt: skip
    assert [(s["step"], s["code"]) for s in vera["steps"]] == [
        ("user", None), ("partner", None), ("role", "forbidden"), ("account", None), ("licence", None), ("use", None),
        ("limit", "licence_exhausted"),
    ]  # fmt: skip
    assert [(x["state"], x["units"], x["counts"]) for x in vera["licences"]] == [
        ("active", 0, True),
        ("active", 4, True),
        ("scheduled", 5, False),
        ("expired", 7, False),
    ]
    first = vera["licences"][1]
    assert (first["id"], first["article"], first["order_number"]) == (str(bought), "A-100", "O-1")
    assert vera["next_change"] == {"at": first["ends_at"], "limit": 0}
    assert [r["kind"] for r in vera["remedies"]] == ["change_role", "release", "claim_less", "wait"]
    assert vera["remedies"][0]["role"] == "account_editor"
    assert vera["remedies"][1]["units"] == 1
    assert vera["remedies"][2]["units"] == 2
    assert vera["remedies"][3]["at"] == vera["licences"][2]["starts_at"]
    assert problem(await clients["Nils"].get(f"{at(account)}/entitlements/{key}/explanation")) == (404, "not_found")
    unknown = await clients["Adam"].get(f"{at(account)}/entitlements/unheard_of/explanation")
    assert problem(unknown) == (404, "not_found")


async def test_user_who_may_not_sign_in_is_explained_as_such(world: World):
    _, account, clients = await crowd(world)
    key = await feature(world, default=1)
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, world.people["Edda"].id)).status = UserStatus.SUSPENDED
    params = {"user_id": str(world.people["Edda"].id)}
    said = (await clients["Adam"].get(f"{at(account)}/entitlements/{key}/explanation", params=params)).json()
    assert (said["code"], said["remedies"][0]["kind"]) == ("unauthenticated", "activate_user")
    assert problem(await claim(clients["Edda"], account, "a", key=key)) == (401, "unauthenticated")


async def test_of_strangers_an_explanation_says_nothing_not_even_that_there_are_such(world: World):
    _, account, clients = await crowd(world)
    key, adam = await feature(world, default=1), clients["Adam"]
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, world.people["Nils"].id)).status = UserStatus.SUSPENDED
    about = f"{at(account)}/entitlements/{key}/explanation"
    said = [(await adam.get(about, params={"user_id": str(user_id)})).json() | {"user_id": ""}
            for user_id in (world.people["Nils"].id, new_id())]  # fmt: skip
    assert said[0] == said[1]
    assert (said[0]["code"], said[0]["account_role"], said[0]["partner_role"]) == ("not_a_member", None, None)


# --- remedies ---


async def bought(world: World, account: Account, remedy: dict[str, Any], key: str) -> None:
    """Buy what the remedy says."""
    async with world.transaction(PLATFORM) as db:
        row = (await db.scalars(select(Article).where(Article.number == remedy["article"]))).one()
    for given in row.grants:
        if given["feature"] == key:
            await licence(world, account, key, given["units"] * remedy["quantity"],
                          max_units_per_claim=given["max_units_per_claim"])  # fmt: skip


async def remedies(client: AsyncClient, account: Account, key: str, units: int) -> dict[str, dict[str, Any]]:
    return {remedy["kind"]: remedy for remedy in (await explained(client, account, key, units))["remedies"]}


async def test_cheapest_article_that_gives_enough_is_named_and_it_helps(world: World):
    _, account, clients = await crowd(world)
    key, adam = await feature(world), clients["Adam"]
    for number, amount, grants, more in [
        ("PACK-10", "9.00", [grant(units=10)], {}),
        ("PACK-100", "50.00", [grant(units=100)], {}),
        ("OTHER", "1.00", [grant("something", 100)], {}),
        ("GONE", "1.00", [grant(units=100)], {"archived_at": in_days(-1)}),
        ("SOON", "1.00", [grant(units=100)], {"active_from_at": in_days(1)}),
        ("OVER", "1.00", [grant(units=100)], {"active_until_at": in_days(-1)}),
        ("SMALL-USES", "0.50", [grant(units=100, cap=2)], {}),
    ]:
        await article(world, number, amount, *grants, **more)
    for units, expected in (
        (1, ("SMALL-USES", 1, "0.50")),
        (10, ("PACK-10", 1, "9.00")),
        (51, ("PACK-100", 1, "50.00")),
    ):
        said = await remedies(adam, account, key, units)
        assert list(said) == ["buy"]
        assert (said["buy"]["article"], said["buy"]["quantity"], said["buy"]["price"]["amount"]) == expected
    said = await remedies(adam, account, key, 25)
    assert (said["buy"]["article"], said["buy"]["quantity"], said["buy"]["units"]) == ("PACK-10", 3, 30)
    assert said["buy"]["price"] == {"amount": "27.00", "currency": "EUR"}
    await bought(world, account, said["buy"], key)
    assert (await claim(adam, account, "a", 25, key)).status_code == 201
    said = await remedies(adam, account, key, 26)  # 5 of 30 are left, and 26 are needed: 21 more
    assert said["buy"]["article"] == "SMALL-USES"  # no bound now: a licence in force has none
    async with world.transaction(PLATFORM) as db:
        await db.execute(update(Article).where(Article.number == "SMALL-USES").values(archived_at=in_days(0)))
    said = await remedies(adam, account, key, 26)
    assert (said["buy"]["article"], said["buy"]["quantity"]) == ("PACK-10", 3)
    assert said["release"]["units"] == 21
    async with world.transaction(PLATFORM) as db:
        db.add(PriceModel(key="gold", name={"en": "Gold"}, description={}, search="gold", article_prices=[
            {"article": "PACK-100", "price": {"amount": "20.00", "currency": "EUR"}}]))  # fmt: skip
    async with world.transaction(account.partner_id) as db:
        (await db.get_one(Account, (account.partner_id, account.id))).price_model = "gold"
    said = await remedies(adam, account, key, 26)
    assert (said["buy"]["article"], said["buy"]["price"]["amount"]) == ("PACK-100", "20.00")
    await bought(world, account, said["buy"], key)
    assert (await claim(adam, account, "b", 26, key)).status_code == 201


@pytest.mark.parametrize("overage", list(Overage))
@pytest.mark.parametrize("default", [0, 7])
async def test_what_a_remedy_says_to_buy_turns_the_verdict(world: World, overage: Overage, default: int):
    _, account, clients = await crowd(world)
    key, adam = await feature(world, overage=overage, default=default), clients["Adam"]
    await article(world, "PIECE", "1.00", grant(units=3))
    for n, units in enumerate((2, 9, 14, 31)):
        said = await remedies(adam, account, key, units)
        if not said:
            assert (await claim(adam, account, f"{n}", units, key)).status_code == 201
            continue
        await bought(world, account, said["buy"], key)
        assert (await claim(adam, account, f"{n}", units, key)).status_code == 201
        fewer = said["buy"]["quantity"] - 1
        assert fewer == 0 or overage is not Overage.ALLOWED


async def test_claims_that_are_too_large_may_be_made_smaller_and_switches_be_switched_on(world: World):
    _, account, clients = await crowd(world)
    key, adam = await feature(world), clients["Adam"]
    await licence(world, account, key, 10, max_units_per_claim=2)
    said = await remedies(adam, account, key, 3)
    assert {kind: remedy["units"] for kind, remedy in said.items()} == {"claim_less": 2}
    switch = await feature(world, "api_access", kind=FeatureKind.SWITCH)
    await article(world, "API", "5.00", grant(switch, 1))
    said = await remedies(adam, account, switch, 1)
    assert said["buy"]["article"] == "API"
    assert await remedies(adam, account, switch, 2) == {}


async def explained(client: AsyncClient, account: Account, key: str, units: int) -> dict[str, Any]:
    answer = await client.get(f"{at(account)}/entitlements/{key}/explanation", params={"units": units})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_cheapest_article_of_each_currency_is_named_the_price_models_currency_first(world: World):
    _, account, clients = await crowd(world)
    key, adam = await feature(world), clients["Adam"]

    async def named(units: int) -> list[tuple[str, int, dict[str, str]]]:
        said = (await explained(adam, account, key, units))["remedies"]
        assert {remedy["kind"] for remedy in said} <= {"buy"}
        return [(remedy["article"], remedy["quantity"], remedy["price"]) for remedy in said]

    assert await named(1) == []
    for number, amount, units, currency in [
        ("EUR-1", "3.00", 1, "EUR"), ("EUR-9", "9.00", 9, "EUR"), ("CHF-1", "0.5", 1, "CHF"), ("JPY-1", "100", 1, "JPY"),
        ("CHF-9", "0.0042", 2, "CHF"), ("BHD-9", "999999999999.9999", 9, "BHD"), ("EUR-2", "20.00", 2, "EUR"),
    ]:  # fmt: skip
        await article(world, number, amount, grant(units=units), currency=currency)
    chf, jpy = ("CHF-9", 2, {"amount": "0.0084", "currency": "CHF"}), ("JPY-1", 4, {"amount": "400", "currency": "JPY"})
    eur = ("EUR-9", 1, {"amount": "9.00", "currency": "EUR"})
    bhd = ("BHD-9", 1, {"amount": "999999999999.9999", "currency": "BHD"})
    assert await named(4) == [eur, chf, bhd, jpy]  # most articles are sold in EUR, then in CHF
    async with world.transaction(PLATFORM) as db:
        db.add(PriceModel(key="gold", name={"en": "Gold"}, description={}, search="gold", article_prices=[
            {"article": "JPY-1", "price": {"amount": "80", "currency": "JPY"}}]))  # fmt: skip
    async with world.transaction(account.partner_id) as db:
        (await db.get_one(Account, (account.partner_id, account.id))).price_model = "gold"
    jpy = ("JPY-1", 4, {"amount": "320", "currency": "JPY"})
    assert await named(4) == [jpy, eur, chf, bhd]
    assert [(number, pieces) for number, pieces, _ in await named(1001)] == [
        ("EUR-9", 112), ("BHD-9", 112), ("CHF-9", 501),  # no more than a thousand pieces
    ]  # fmt: skip


STOPPED: dict[str, Any] = {"units": 4, "suspended_by": SuspendedBy.PARTNER, "suspended_at": in_days(-1)}
TIGHT: dict[str, tuple[list[dict[str, Any]], int, int, set[str]]] = {
    "some are left": ([{"units": 4}], 3, 4, {"release", "claim_less"}),
    "none is left": ([{"units": 4}], 4, 1, {"release"}),
    "more than there ever are": ([{"units": 4}], 1, 5, {"claim_less"}),
    "capped": ([{"units": 9, "max_units_per_claim": 2}], 2, 3, {"claim_less"}),
    "capped, and none is left": ([{"units": 2, "max_units_per_claim": 2}], 2, 3, set()),
    "suspended": ([STOPPED], 0, 3, {"resume_licence"}),
    "suspended in part": ([{"units": 2}, STOPPED], 2, 3, {"resume_licence"}),
    "suspended and too few": ([STOPPED], 0, 5, set()),
    "suspended before it begins": ([STOPPED | {"starts_at": in_days(2)}], 0, 1, set()),
}
"""Licences, units in use, units that are asked about, and the ways out that cost nothing."""


@pytest.mark.parametrize("case", TIGHT)
async def test_every_way_out_that_is_offered_is_one(world: World, case: str):
    """Each is gone for real, and what it promises passes then."""
    _, account, clients = await crowd(world)
    adam, anna = clients["Adam"], await world.client("Anna")
    licences, used, units, ways = TIGHT[case]
    key = await feature(world)
    rows = [await licence(world, account, key, **given) for given in licences]
    for n in range(used):
        assert (await claim(adam, account, f"{n}", 1, key)).status_code == 201
    said = await explained(adam, account, key, units)
    assert said["code"] == next(step["code"] for step in said["steps"] if not step["passed"])
    assert {step["step"]: step["passed"] for step in said["steps"]}["limit"] == (used + units <= said["reach"])
    offered = {remedy["kind"]: remedy for remedy in said["remedies"]}
    assert offered.keys() == ways

    if fewer := offered.get("claim_less"):
        assert (await claim(adam, account, "more", fewer["units"] + 1, key)).is_error
        made = await claim(adam, account, "fewer", fewer["units"], key)
        assert (made.status_code, (await adam.delete(made.headers["location"])).status_code) == (201, 204)
    for n in range(offered.get("release", {"units": 0})["units"]):
        assert problem(await claim(adam, account, "wanted", units, key)) == (409, "licence_exhausted")
        await adam.delete(f"{at(account)}/claims", params={"feature": key, "resource": f"{n}"})
    if "resume_licence" in offered:
        stopped = [row for row, given in zip(rows, licences, strict=True) if "suspended_by" in given]
        assert [(await anna.post(f"{at(account)}/licences/{row}/resume")).status_code for row in stopped] == [200]
    passes = bool(ways - {"claim_less"})
    assert ((await claim(adam, account, "wanted", units, key)).status_code == 201) == passes
