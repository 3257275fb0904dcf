"""The overview: everything of one account in one call and one statement, as the single addresses show it."""

import random
from collections import Counter
from datetime import timedelta
from typing import Any

from httpx import AsyncClient
from sqlalchemy import event

from app.models import Account, FeatureKind, Overage, Partner, PartnerStatus, SuspendedBy, utc_now
from app.models.base import new_id
from app.policy import GRANTS, Permission, Role
from tests import shop
from tests.conftest import Owner, World, problem
from tests.pools import at, change, claim, feature, in_days, licence

R, P = Role, Permission
STAR = {"If-Match": "*"}
ODD = 'a "quoted" \\ back/slash, Größe <é> 💡'
PEOPLE = {"Anna": R.PARTNER_ADMIN, "Vera": R.PARTNER_VIEWER}


async def read(client: AsyncClient, account: Account) -> dict[str, Any]:
    answer = await client.get(f"{at(account)}/overview")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def items(client: AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = await client.get(path, params={"limit": 200, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def singly(client: AsyncClient, account: Account) -> dict[str, Any]:
    """The same as the other addresses have it."""
    here = at(account)
    shown = (await client.get(here)).json()
    model = None
    if shown["price_model"]:
        found = (await client.get(f"/v1/price-models/{shown['price_model']}")).json()
        model = {k: found[k] for k in ("key", "name", "description")}
    lasting = "state:in:scheduled,active,grace,suspended"
    return {
        "account": shown, "price_model": model, "members": await items(client, f"{here}/members"),
        "pending_invitations": await items(client, f"{here}/invitations", filter="status:eq:pending"),
        "articles": await items(client, f"{here}/articles", filter="state:in:scheduled,active"),
        "licences": await items(client, f"{here}/licences", filter=lasting, sort="-starts_at"),
        "entitlements": await items(client, f"{here}/entitlements"),
    }  # fmt: skip


def is_same(overview: dict[str, Any], single: dict[str, Any]) -> None:
    assert {k for k in overview if k.removesuffix("_more") not in single} == set()
    for name, expected in single.items():
        assert overview[name] == expected, name
    assert all(overview[f"{name}_more"] is False for name, found in single.items() if isinstance(found, list))


async def catalogue(world: World, chance: random.Random) -> list[str]:
    """Features of every kind and policy, articles that grant them in several currencies, a price model."""
    keys: list[str] = []
    for n, overage in enumerate([*Overage, *Overage, Overage.FORBIDDEN]):
        kind = FeatureKind.SWITCH if n in (3, 10) else FeatureKind.QUOTA
        key = await feature(world, f"f{n:02}", kind=kind, default=chance.choice((0, 0, 1)), overage=overage)
        keys.append(key)
    grants = [shop.grant(keys[n], 1 + n, "P1M" if n % 2 else None, grace_days=3 * n) for n in range(4)]
    for n, (price, currency) in enumerate(
        (("12.50", "EUR"), ("0.0042", "USD"), ("1200", "JPY"), ("7.1", "KWD"), ("3.1", "XAU"))
    ):
        await shop.article(world, f"A-{n}", *grants[: n + 1], price=price, currency=currency,
                           name={"de": ODD} if n == 1 else {"en": f"Article {n}", "de": ""})  # fmt: skip
    await shop.price_model(
        world, "basic", shop.base(keys[0], 7), shop.base(keys[5], 2, grace_days=4), prices={"A-0": "9.99"}
    )
    return keys


async def customer(world: World, chance: random.Random, keys: list[str], partner: Partner, name: str) -> Account:
    """An account with a bit of everything that there can be."""
    anna = await world.client("Anna")
    account = await world.account(partner, name, by="Anna", Eva=R.ACCOUNT_EDITOR, Ben=R.ACCOUNT_VIEWER)
    here, model = at(account), chance.choice((None, "basic"))
    changed = await anna.patch(
        here, json={"price_model": model, "properties": {"note": ODD, "secret": 12.5}}, headers=STAR
    )
    assert changed.status_code == 200, changed.text
    for n in range(chance.randint(0, 3)):
        invited = await anna.post(f"{here}/invitations", json={"email": f"p{n}@example.com", "role": "account_viewer"})
        assert invited.status_code == 201, invited.text
    for n in range(chance.randint(0, 6)):
        start, length = chance.choice((-60, -5, 0, 9)), chance.choice((None, 3, 30))
        body = {"article": f"A-{chance.randrange(5)}", "quantity": chance.randint(1, 9), "starts_at": in_days(start).isoformat(),
                "ends_at": in_days(start + length).isoformat() if length else None,
                "order_number": chance.choice((None, ODD)), "invoice_number": chance.choice((None, f"RE-{n}"))}  # fmt: skip
        bought = await anna.post(f"{here}/articles", json=body)
        assert bought.status_code == 201, bought.text
        if chance.random() < 0.3:
            await anna.post(f"{here}/articles/{bought.json()['id']}/cancel", json={"reason": ODD})
    for _ in range(chance.randint(0, 20)):
        start, length = chance.choice((-40, -8, -1, 4, 20)), chance.choice((None, 5, 12, 60))
        stopped = {
            "suspended_by": chance.choice(list(SuspendedBy)),
            "suspended_at": in_days(-1),
            "suspension_reason": ODD,
        }
        await licence(
            world, account, chance.choice(keys), chance.randint(0, 9), starts_at=in_days(start),
            ends_at=in_days(start + length) if length else None, grace_days=chance.choice((0, 0, 3, 30)),
            max_units_per_claim=chance.choice((None, None, 2)), reason=chance.choice((None, ODD)),
            **(stopped if chance.random() < 0.2 else {}),
            **({"revoked_at": in_days(-1), "revocation_reason": ODD} if chance.random() < 0.15 else {}),
        )  # fmt: skip
    for n in range(10):
        await claim(anna, account, f"thing:{n}", chance.randint(1, 3), chance.choice(keys))
    return account


async def test_overview_is_what_the_single_addresses_show_whoever_asks(world: World):
    chance = random.Random(4)
    partner, keys = await world.partner(**PEOPLE), await catalogue(world, chance)
    anna = await world.client("Anna")
    for key, type, sensitive in (("note", "text", False), ("secret", "number", True)):
        made = await anna.post(f"/v1/partners/{partner.id}/properties",
                               json={"key": key, "type": type, "label": {"en": key}, "sensitive": sensitive})  # fmt: skip
        assert made.status_code == 201, made.text
    askers = [
        anna,
        *[await world.client(name) for name in ("Vera", "Eva", "Ben")],
        await world.client("Olga", operator=True),
    ]
    seen, accounts = Counter[str](), [await customer(world, chance, keys, partner, f"{n} {ODD}") for n in range(8)]
    for account in accounts:
        for asker in askers if account is accounts[0] else [anna]:
            single = await singly(asker, account)
            for _ in range(2):  # through the guard, and then at a glance
                is_same(await read(asker, account), single)
        shown = await read(anna, account)
        seen.update(x["state"] for x in shown["licences"] + shown["articles"])
        seen.update(e["overage"] for e in shown["entitlements"] if e["used"])
        seen.update("change" for e in shown["entitlements"] if e["next_change"])
        seen.update(a["price"]["currency"] for a in shown["articles"])
    assert {"scheduled", "active", "grace", "suspended", "change", "EUR", "USD", "JPY", "KWD", "XAU"} <= set(seen)
    assert set(Overage) <= set(seen)
    masked = (await read(askers[1], accounts[0]))["account"]
    assert (masked["properties"]["secret"], masked["masked_properties"]) == (None, ["secret"])


def test_whoever_reads_an_account_may_read_all_that_its_overview_shows():
    parts = (P.ACCOUNT_MEMBER_READ, P.ACCOUNT_ARTICLE_READ, P.LICENCE_READ, P.ENTITLEMENT_READ)
    assert all(GRANTS[P.ACCOUNT_READ] <= GRANTS[part] for part in parts)


async def test_overview_of_an_account_that_has_nothing(world: World):
    account = await world.account(await world.partner(**PEOPLE), by="Anna")
    shown = await read(await world.client("Anna"), account)
    assert [m["name"] for m in shown.pop("members")] == ["Anna"]
    assert shown.pop("account")["id"] == str(account.id)
    assert all(not value for value in shown.values())
    assert set(shown) == {"price_model", "members_more", *(
        f"{name}{more}" for name in ("pending_invitations", "articles", "licences", "entitlements") for more in ("", "_more")
    )}  # fmt: skip


async def test_what_is_too_much_for_an_overview_is_said_to_be_more(world: World, owner: Owner):
    partner = await world.partner(**PEOPLE)
    account, key = await world.account(partner, by="Anna"), await feature(world)
    await shop.article(world, "A-1")
    anna = await world.client("Anna")
    await licence(world, account, key, 1)
    assert (await anna.post(f"{at(account)}/articles", json={"article": "A-1"})).status_code == 201
    invited = await anna.post(f"{at(account)}/invitations", json={"email": "a@example.com", "role": "account_viewer"})
    assert invited.status_code == 201

    async def multiply(table: str, to: int, **values: str) -> None:
        names: list[str] = [r["name"] for r in await owner.rows(
            "SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1", table)]  # fmt: skip
        given = ", ".join(values.get(name) or name for name in names)
        have = await owner.value(f"SELECT count(*) FROM {table}")
        await owner.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {given} FROM (SELECT * FROM {table} LIMIT 1) t,"
                            f" generate_series({have + 1}, {to}) n")  # fmt: skip

    newest = "starts_at + n * interval '1 minute'"
    most = {"licences": 100, "articles": 100, "pending_invitations": 1000, "entitlements": 100}
    tables = {"licences": ("licences", {"starts_at": newest}), "articles": ("account_articles", {"starts_at": newest}),
              "pending_invitations": ("invitations", {"email_key": "'b' || n", "token_hash": "n::text::bytea"}),
              "entitlements": ("features", {"key": "'f' || n", "default_units": "1"})}  # fmt: skip
    shown = dict[str, Any]()
    for name, count in most.items():
        table, values = tables[name]
        for to, more in ((count, False), (count + 1, True)):
            await multiply(table, to, id="gen_random_uuid()", **values)
            shown = await read(anna, account)
            assert (len(shown[name]), shown[f"{name}_more"]) == (count, more), name
    assert shown["licences"][0]["starts_at"] == max(
        x["starts_at"] for x in await items(anna, f"{at(account)}/licences")
    )


class Sent:
    """The statements that are sent to the database."""

    def __init__(self, world: World) -> None:
        self.said: list[str] = []
        for engine in (world.app.state.engine, world.app.state.lines._engine):
            event.listen(engine.sync_engine, "connect", self._listen)

    def _listen(self, connection: Any, _record: object) -> None:
        connection.driver_connection.add_query_logger(self._note)

    def _note(self, sent: Any) -> None:
        self.said.append(str(sent.query))


async def test_overview_is_one_statement(world: World):
    partner = await world.partner(**PEOPLE)
    account = await world.account(partner, by="Anna")
    sent = Sent(world)
    await world.app.state.engine.dispose()
    anna = await world.client("Anna")
    await read(anna, account)
    await read(anna, account)
    sent.said.clear()
    await read(anna, account)
    (statement,) = sent.said
    assert "set_config" in statement


async def test_overview_follows_every_change_at_once(world: World):
    partner = await world.partner(**PEOPLE)
    account, key = await world.account(partner, by="Anna", Eva=R.ACCOUNT_EDITOR), await feature(world, default=2)
    anna, eva = await world.client("Anna"), await world.client("Eva")
    path, tags = f"{at(account)}/overview", set[str]()

    async def changed() -> dict[str, Any]:
        """It looks another way than ever before, for whoever has kept it too."""
        for tag in tags:
            assert (await anna.get(path, headers={"If-None-Match": tag})).status_code == 200
        answer = await anna.get(path)
        assert (await anna.get(path, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
        tags.add(answer.headers["etag"])
        return answer.json()

    assert (await changed())["entitlements"][0]["limit"] == 2
    given = await licence(world, account, key, 5)
    assert (await changed())["entitlements"][0]["limit"] == 5
    assert (await claim(eva, account, "a", 3)).status_code == 201
    assert (await changed())["entitlements"][0]["available"] == 2
    await change(world, account, given, suspended_by=SuspendedBy.PARTNER, suspended_at=utc_now(), suspension_reason="x")
    assert (await changed())["entitlements"][0]["overused"] == 1
    column = {"key": "note", "type": "text", "label": {"en": "Note"}}
    assert (await anna.post(f"/v1/partners/{partner.id}/properties", json=column)).status_code == 201
    assert (await changed())["account"]["properties"] == {"note": None}
    eva_id = world.people["Eva"].id
    assert (await anna.delete(f"{at(account)}/members/{eva_id}", headers=STAR)).status_code == 204
    assert len((await changed())["members"]) == 1


async def test_whoever_was_let_in_before_is_refused_like_everybody_else(world: World, owner: Owner):
    partner, other = await world.partner(**PEOPLE), await world.partner("Rival", Rita=R.PARTNER_ADMIN)
    account, foreign = (
        await world.account(partner, by="Keeper", Eva=R.ACCOUNT_EDITOR),
        await world.account(other, by="Rita"),
    )
    vera, eva, rita, olga = [await world.client(n, operator=n == "Olga") for n in ("Vera", "Eva", "Rita", "Olga")]
    path = f"{at(account)}/overview"
    everybody = {"vera": vera, "eva": eva, "rita": rita, "olga": olga}

    async def answers(address: str = path) -> dict[str, Any]:
        found = {who: await client.get(address) for who, client in everybody.items()}
        return {who: 200 if a.status_code == 200 else problem(a)[1] for who, a in found.items()}

    for _ in range(2):
        assert await answers() == {"vera": 200, "eva": 200, "rita": "not_found", "olga": 200}
    for stranger in (f"/v1/partners/{partner.id}/accounts/{foreign.id}", f"/v1/partners/{other.id}/accounts/{account.id}",
                     f"/v1/partners/{partner.id}/accounts/{new_id()}", f"/v1/partners/{new_id()}/accounts/{account.id}"):  # fmt: skip
        assert set((await answers(f"{stranger}/overview")).values()) == {"not_found"}
    await owner.execute("UPDATE partners SET partner_management_enabled = false WHERE id = $1", partner.id)
    assert await answers() == {"vera": "partner_management_off", "eva": 200, "rita": "not_found", "olga": 200}
    await owner.execute("UPDATE partners SET status = $2 WHERE id = $1", partner.id, PartnerStatus.SUSPENDED)
    assert await answers() == {
        "vera": "partner_suspended",
        "eva": "partner_suspended",
        "rita": "not_found",
        "olga": 200,
    }
    await owner.execute("UPDATE partners SET status = 'active', partner_management_enabled = true")
    await owner.execute("UPDATE accounts SET status = 'archived' WHERE id = $1", account.id)
    assert await answers() == {"vera": 200, "eva": 200, "rita": "not_found", "olga": 200}
    await owner.execute("DELETE FROM account_members WHERE user_id = $1", world.people["Eva"].id)
    await owner.execute("DELETE FROM partner_members WHERE user_id = $1", world.people["Vera"].id)
    assert await answers() == {"vera": "not_found", "eva": "not_found", "rita": "not_found", "olga": 200}
    await owner.execute("UPDATE sessions SET ended_at = now()")
    assert set((await answers()).values()) == {"unauthenticated"}


async def test_token_of_an_account_sees_its_overview_and_no_other(world: World):
    partner = await world.partner(**PEOPLE)
    account, other = [await world.account(partner, name, by="Anna") for name in ("One", "Two")]
    anna = await world.client("Anna")
    token = (await anna.post(f"{at(account)}/switch")).json()["access_token"]
    inside = await world.client(token=token)
    for _ in range(2):
        assert (await inside.get(f"{at(account)}/overview")).status_code == 200
        assert (await anna.get(f"{at(other)}/overview")).status_code == 200
        assert problem(await inside.get(f"{at(other)}/overview")) == (404, "not_found")


async def test_use_of_a_session_is_noted_by_overviews_too(world: World, owner: Owner):
    account = await world.account(await world.partner(**PEOPLE), by="Anna")
    anna = await world.client("Anna")
    await read(anna, account)
    await owner.execute("UPDATE sessions SET last_used_at = $1", utc_now() - timedelta(minutes=6))
    await read(anna, account)
    assert utc_now() - await owner.value("SELECT last_used_at FROM sessions") < timedelta(minutes=1)
