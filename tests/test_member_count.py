"""How many members an account has: kept with it, exact whoever comes and goes at once, and a column of the table."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import text

from app import migrate
from app.models import Account, Partner, User
from app.policy import Role
from app.services import invitations, recounts
from tests.conftest import MISCOUNTED, Owner, Server, World, join
from tests.test_price_models import offer

STAR = {"If-Match": "*"}
ANY = Role.ACCOUNT_VIEWER


@pytest.fixture
async def partner(world: World) -> Partner:
    return await world.partner(Anna=Role.PARTNER_ADMIN)


@pytest.fixture
async def anna(world: World, partner: Partner) -> AsyncClient:
    return await world.client("Anna")


def url(partner: Partner, account: Account | None = None) -> str:
    return f"/v1/partners/{partner.id}/accounts" + (f"/{account.id}" if account else "")


async def invite(world: World, anna: AsyncClient, partner: Partner, account: Account, user: User) -> str:
    """Invite somebody; the token of the mail."""
    body = {"email": user.email, "role": "account_viewer"}
    answer = await anna.post(f"{url(partner, account)}/invitations", json=body)
    assert answer.status_code == 201, answer.text
    return invitations.token_of(world.app.state.keys, partner.id, UUID(answer.json()["id"]), 1)


async def count(api: AsyncClient, here: str) -> int:
    return (await api.get(here)).json()["member_count"]


async def test_the_count_follows_who_comes_and_goes(world: World, partner: Partner, anna: AsyncClient, owner: Owner):
    made = await anna.post(url(partner), json={"name": "Nordwerk"})
    here = made.headers["location"]
    assert made.json()["member_count"] == 1
    account = Account(partner_id=partner.id, id=UUID(made.json()["id"]), name="", name_key="", name_search="")
    eva = await world.user("Eva")
    token = await invite(world, anna, partner, account, eva)
    assert await count(anna, here) == 1  # who is invited is no member yet
    accepted = await (await world.client("Eva")).post("/v1/registrations", json={"token": token})
    assert accepted.status_code == 201
    assert await count(anna, here) == (await anna.get(f"{here}/overview")).json()["account"]["member_count"] == 2
    new = await anna.post(f"{here}/invitations", json={"email": "new@example.com", "role": "account_viewer"})
    token = invitations.token_of(world.app.state.keys, partner.id, UUID(new.json()["id"]), 1)
    body = {"token": token, "name": "New", "password": "a staple of correct horses"}
    assert (await (await world.client()).post("/v1/registrations", json=body)).status_code == 201
    assert await count(anna, here) == 3
    role = {"role": "account_editor"}
    assert (await anna.patch(f"{here}/members/{eva.id}", json=role, headers=STAR)).status_code == 200
    assert await count(anna, here) == 3
    assert (await anna.delete(f"{here}/members/{eva.id}", headers=STAR)).status_code == 204
    anna_id = (await world.user("Anna")).id
    assert (await anna.delete(f"{here}/members/{anna_id}", headers=STAR)).status_code == 409  # the last admin
    assert await count(anna, here) == 2
    assert (await anna.delete(here, headers=STAR)).status_code == 204
    assert (await anna.post(f"{here}/restore")).json()["member_count"] == 2
    assert await owner.rows(MISCOUNTED) == []


async def test_members_of_one_account_count_for_no_other(world: World, partner: Partner, anna: AsyncClient):
    first = await world.account(partner, "First", by="Anna", Eva=Role.ACCOUNT_VIEWER, Edi=Role.ACCOUNT_EDITOR)
    second = await world.account(partner, "Second", by="Anna", Eva=Role.ACCOUNT_VIEWER)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    third = await world.account(rival, "First", by="Rita")
    assert [await count(anna, url(partner, a)) for a in (first, second)] == [3, 2]
    assert await count(await world.client("Rita"), url(rival, third)) == 1
    await anna.delete(f"{url(partner, first)}/members/{(await world.user('Eva')).id}", headers=STAR)
    assert [await count(anna, url(partner, a)) for a in (first, second)] == [2, 2]


@pytest.mark.slow
async def test_fifty_accept_while_fifty_are_removed_and_the_count_is_exact(
    world: World, partner: Partner, anna: AsyncClient, owner: Owner
):
    """Over two accounts, so that the transactions of each also meet those of the other."""
    accounts = [await world.account(partner, name, by="Anna") for name in ("One", "Two")]
    leaving = [await world.user(f"Leaves{n}") for n in range(50)]
    coming = [await world.user(f"Comes{n}") for n in range(50)]
    async with world.transaction(partner.id) as db:
        for n, user in enumerate(leaving):
            await join(db, await db.get_one(Account, (partner.id, accounts[n % 2].id)), user.id, Role.ACCOUNT_EDITOR)
    tokens = [await invite(world, anna, partner, accounts[n % 2], user) for n, user in enumerate(coming)]
    clients = [await world.client(user.name) for user in coming]
    calls: list[Any] = []
    for n in range(50):
        calls.append(clients[n].post("/v1/registrations", json={"token": tokens[n]}))
        calls.append(anna.delete(f"{url(partner, accounts[n % 2])}/members/{leaving[n].id}", headers=STAR))
    answers: list[Response] = []
    for start in range(0, len(calls), 25):
        answers += await asyncio.gather(*calls[start : start + 25])
    assert Counter(a.status_code for a in answers) == {201: 50, 204: 50}
    assert await owner.rows(MISCOUNTED) == []
    assert [await count(anna, url(partner, account)) for account in accounts] == [26, 26]
    assert await owner.value("SELECT count(*) FROM account_members") == 52


async def test_all_at_once_of_one_account(world: World, partner: Partner, anna: AsyncClient, owner: Owner):
    account = await world.account(partner, by="Anna", **{f"Leaves{n}": Role.ACCOUNT_EDITOR for n in range(8)})
    coming = [await world.user(f"Comes{n}") for n in range(8)]
    tokens = [await invite(world, anna, partner, account, user) for user in coming]
    clients = [await world.client(user.name) for user in coming]
    here = url(partner, account)
    gone = [anna.delete(f"{here}/members/{world.people[f'Leaves{n}'].id}", headers=STAR) for n in range(8)]
    came = [c.post("/v1/registrations", json={"token": t}) for c, t in zip(clients, tokens, strict=True)]
    answers = await asyncio.gather(*(call for pair in zip(gone, came, strict=True) for call in pair))
    assert Counter(a.status_code for a in answers) == {201: 8, 204: 8}
    assert await count(anna, here) == 9
    assert await owner.rows(MISCOUNTED) == []


async def test_who_lets_a_member_in_counts_under_the_lock_of_the_account(world: World, partner: Partner, owner: Owner):
    """Requests take it first; a set-up that does not, as the demo's, is no less exact."""
    account = await world.account(partner, by="Anna")
    crew = [await world.user(f"User{n}") for n in range(24)]

    async def let_in(user: User) -> None:
        async with world.transaction(partner.id) as db:
            await join(db, account, user.id, ANY)

    await asyncio.gather(*(let_in(user) for user in crew))
    assert await owner.value("SELECT member_count FROM accounts") == 25
    assert await owner.rows(MISCOUNTED) == []


# --- what does not change, and what caches learn ---


async def test_a_new_member_freshens_caches_and_hinders_no_change(world: World, partner: Partner, anna: AsyncClient):
    account = await world.account(partner, by="Anna")
    here = url(partner, account)
    before = await anna.get(here)
    tag = before.headers["etag"]
    assert tag == '"1.0.1"'
    assert (await anna.get(here, headers={"If-None-Match": tag})).status_code == 304
    eva = await world.user("Eva")
    token = await invite(world, anna, partner, account, eva)
    assert (await anna.get(here, headers={"If-None-Match": tag})).status_code == 304  # invited is not joined
    await (await world.client("Eva")).post("/v1/registrations", json={"token": token})
    after = await anna.get(here, headers={"If-None-Match": tag})
    assert (after.status_code, after.headers["etag"]) == (200, '"1.0.2"')
    assert after.json() == before.json() | {"member_count": 2}  # its `updated_at` is what it was
    changed = await anna.patch(here, json={"name": "Südwerk"}, headers={"If-Match": tag})
    assert (changed.status_code, changed.headers["etag"], changed.json()["member_count"]) == (200, '"2.0.2"', 2)
    for stale in (tag, after.headers["etag"], '"1"', '"1.0"', 'W/"2.0.2"', '"2.x"', '"2."'):
        answer = await anna.patch(here, json={"name": "X"}, headers={"If-Match": stale})
        assert answer.status_code == 412, stale
    for good in ('"2"', '"2.7.7"', '"9.9.9", "2.0.1"'):  # the first part decides
        assert (await anna.patch(here, json={"name": "Südwerk"}, headers={"If-Match": good})).status_code == 200, good
    await anna.delete(f"{here}/members/{eva.id}", headers=STAR)
    assert (await anna.get(here)).headers["etag"] == '"2.0.1"'
    column = {"key": "city", "type": "text", "label": {"en": "City"}}
    await anna.post(f"/v1/partners/{partner.id}/properties", json=column)
    assert (await anna.get(here)).headers["etag"] == '"2.1.1"'


# --- the release before, which does not count ---


async def test_what_the_release_before_writes_is_right_when_a_worker_has_counted(
    world: World, partner: Partner, anna: AsyncClient, owner: Owner, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recounts, "BATCH", 2)  # three accounts are two batches
    accounts = [await world.account(partner, name, by="Anna", Eva=Role.ACCOUNT_VIEWER) for name in ("A", "B", "C")]
    eva = await world.user("Eva")
    for n in range(3):  # of other partners too
        other = await world.account(await world.partner(f"Other {n}", Otto=Role.PARTNER_ADMIN), by="Otto")
        await owner.execute("UPDATE accounts SET member_count = 0 WHERE id = $1", other.id)
    await owner.execute("DELETE FROM account_members WHERE account_id = $1", accounts[2].id)
    left = "DELETE FROM account_members WHERE account_id = $1 AND user_id = $2"  # as it did: without counting
    for account in accounts[:2]:
        await owner.execute(left, account.id, eva.id)
    row = await owner.rows("SELECT * FROM accounts WHERE id = $1", accounts[0].id)
    unknown = {"member_count", "price_model"}
    old = {k: v for k, v in row[0].items() if k not in unknown} | {"id": UUID(int=7), "name_key": "made by the old one"}
    await owner.execute(f"INSERT INTO accounts ({', '.join(old)}) VALUES ({', '.join(f'${n + 1}' for n in range(len(old)))})",
                        *old.values())  # fmt: skip
    assert await owner.value("SELECT member_count FROM accounts WHERE id = $1", UUID(int=7)) == 1
    await owner.execute("DELETE FROM accounts WHERE id = $1", UUID(int=7))
    assert [await count(anna, url(partner, a)) for a in accounts] == [2, 2, 2]
    token = await invite(world, anna, partner, accounts[0], await world.user("Edi"))
    await (await world.client("Edi")).post("/v1/registrations", json={"token": token})
    assert [await count(anna, url(partner, a)) for a in accounts] == [2, 2, 2]  # A has been counted anew
    tag = (await anna.get(url(partner, accounts[1]))).headers["etag"]
    versions = await owner.rows("SELECT id, version, updated_at FROM accounts ORDER BY id")
    await world.worker().recount_all()
    assert await owner.rows(MISCOUNTED) == []
    assert [await count(anna, url(partner, a)) for a in accounts] == [2, 1, 0]
    assert await owner.rows("SELECT id, version, updated_at FROM accounts ORDER BY id") == versions
    assert (await anna.get(url(partner, accounts[1]), headers={"If-None-Match": tag})).status_code == 200


async def test_the_migration_counts_the_members_that_are_there(
    world: World, partner: Partner, anna: AsyncClient, server: Server, database: str, owner: Owner
):
    accounts = [await world.account(partner, "A", by="Anna"), await world.account(partner, "B", by="Anna", Eva=ANY)]
    url_, before = server.url(database, owner=True), "88f5ab091268"
    await migrate.downgrade(url_, before)
    await owner.execute("DELETE FROM account_members WHERE account_id = $1", accounts[0].id)
    await migrate.upgrade(url_)
    found = await owner.rows("SELECT name, member_count, price_model FROM accounts ORDER BY name")
    assert [(r["name"], r["member_count"], r["price_model"]) for r in found] == [("A", 0, None), ("B", 2, None)]
    for column in ("price_model", "member_count"):
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = $1::regclass"
        assert await owner.value(valid, f"ix_accounts_partner_id_{column}_id") is True
    assert await owner.value("SELECT convalidated FROM pg_constraint WHERE conname = 'fk_accounts_price_model'") is True


async def test_a_recount_waits_for_nobody(world: World, partner: Partner, owner: Owner):
    account = await world.account(partner, by="Anna")
    await owner.execute("UPDATE accounts SET member_count = 9")
    async with world.transaction(partner.id) as db:
        await db.get(Account, (partner.id, account.id), with_for_update={"key_share": True})
        async with asyncio.timeout(5):
            await world.worker().recount_all()
        assert await owner.value("SELECT member_count FROM accounts") == 9
    await world.worker().recount_all()
    assert await owner.rows(MISCOUNTED) == []


# --- both columns in the table ---

ROWS: dict[str, tuple[str | None, int]] = {
    "A": ("pro", 3), "B": (None, 1), "C": ("basic", 2), "D": (None, 4), "E": ("pro", 1), "F": ("basic", 12),
}  # fmt: skip


async def filled(world: World, partner: Partner, owner: Owner) -> AsyncClient:
    """Six accounts, in whose letters the tests speak."""
    await offer(await world.client("Olivia", operator=True), "basic", "pro", "unused")
    api = await world.client("Anna")
    crew = [await world.user(f"User{n}") for n in range(11)]
    for name, (model, members) in ROWS.items():
        made = await api.post(url(partner), json={"name": name, "price_model": model})
        async with world.transaction(partner.id) as db:
            account = await db.get_one(Account, (partner.id, UUID(made.json()["id"])))
            for user in crew[: members - 1]:
                await join(db, account, user.id, Role.ACCOUNT_VIEWER)
    assert await owner.rows(MISCOUNTED) == []
    return api


async def letters(api: AsyncClient, at: str, **query: Any) -> str:
    """The names on all pages, two rows a page."""
    found, cursor = "", dict[str, str]()
    while True:
        answer = await api.get(at, params={"limit": 2, **query, **cursor})
        assert answer.status_code == 200, (query, answer.text)
        found += "".join(item["name"] for item in answer.json()["items"])
        if (following := answer.json()["next_cursor"]) is None:
            return found
        cursor = {"cursor": following}


async def test_the_table_is_filtered_and_sorted_by_price_model_and_member_count(
    world: World, partner: Partner, owner: Owner
):
    api = await filled(world, partner, owner)
    at = url(partner)
    for item in (await api.get(at)).json()["items"]:
        assert (item["price_model"], item["member_count"]) == ROWS[item["name"]]
    for condition, expected in {
        "price_model:eq:pro": "AE", "price_model:ne:pro": "BCDF", "price_model:in:pro,basic": "ACEF",
        "price_model:in:unused,nowhere": "", "price_model:is_null:true": "BD", "price_model:is_null:false": "ACEF",
        "member_count:eq:1": "BE", "member_count:ne:1": "ACDF", "member_count:lt:3": "BCE", "member_count:lte:3": "ABCE",
        "member_count:gt:3": "DF", "member_count:gte:3": "ADF", "member_count:in:2,4,99": "CD", "member_count:eq:0": "",
    }.items():  # fmt: skip
        assert await letters(api, at, filter=condition) == expected, condition
        field, operator, value = condition.split(":")
        typed: Any = value.split(",") if operator == "in" else value
        typed = int(value) if value.isdigit() else typed
        body = {"all": [{"field": field, "operator": operator, "value": typed}]}
        answer = await api.post(f"/v1/partners/{partner.id}/account-searches", json=body)
        assert "".join(a["name"] for a in answer.json()["items"]) == expected, body
    for sort, expected in {
        "price_model,name": "CFAEBD", "-price_model,name": "AECFBD", "-price_model,-name": "EAFCDB",
        "price_model,-member_count": "FCAEDB", "-price_model,member_count": "EACFBD", "member_count,name": "BECADF",
        "-member_count,name": "FDACBE", "member_count,price_model": "EBCADF", "-member_count,-price_model": "FDACEB",
    }.items():  # fmt: skip
        assert await letters(api, at, sort=sort) == expected, sort
    both = ["price_model:is_null:false", "member_count:lt:3"]
    assert await letters(api, at, filter=both, sort="-member_count") == "CE"
    chosen = (await api.get(at, params={"columns": "price_model,member_count", "limit": 1})).json()["items"][0]
    assert (chosen["name"], chosen["price_model"], chosen["member_count"]) == ("A", "pro", 3)


async def test_the_columns_are_found_by_their_indexes(world: World, partner: Partner, owner: Owner):
    """As the service asks, under row-level security: a walk along the column's own index."""
    async with world.transaction(partner.id) as db:
        await world.account(partner, by="Anna")
        connection = await db.connection()
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        await connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        await connection.execute(text("SET LOCAL enable_sort = off"))
        for column in ("price_model", "member_count"):
            ask = (f"EXPLAIN SELECT id FROM accounts WHERE partner_id = '{partner.id}' AND {column} IS NOT NULL"
                   f" ORDER BY {column}, id LIMIT 51")  # fmt: skip
            plan = "\n".join((await connection.execute(text(ask))).scalars())
            assert f"ix_accounts_partner_id_{column}_id" in plan, plan
            assert "Sort" not in plan
