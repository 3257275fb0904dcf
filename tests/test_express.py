"""The express lane: as confined, as exact and as strict as the other one, and nothing of a caller stays behind."""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError

from app import express
from app.express import line_of, run
from app.models import Account, new_id
from app.policy import Role
from app.services import columns, pages
from tests.conftest import Owner, World, problem
from tests.test_table import filled

STAR = {"If-Match": "*"}


async def test_account_in_the_table_is_the_account_by_itself_for_every_role(world: World):
    """SQL writes the one and Python the other: see `services.pages`."""
    api, at = await filled(world)
    more = [await api.post(f"{at}/properties", json={"key": f"more_{n}", "type": "text", "label": {"en": f"More {n}"},
                                                     "filterable": False}) for n in range(60)]  # fmt: skip
    assert {answer.status_code for answer in more} == {201}
    hidden = await api.patch(f"{at}/properties/revenue", headers=STAR, json={"sensitive": True})
    assert hidden.status_code == 200, hidden.text
    properties = {"more_3": 'quoted "text" \\ and a\ttab?'.replace("\t", " "), "more_59": "ö 💡"}
    made = await api.post(f"{at}/accounts", json={"name": 'A "B" \\ C ÄÖÜ', "properties": properties,
                                                  "time_zone": "Etc/GMT+5"})  # fmt: skip
    assert made.status_code == 201, made.text
    viewer = await world.client("Vera")
    for client in (api, viewer):
        for extra in ({}, {"columns": "properties.revenue,properties.more_3"}):
            items = (await client.get(f"{at}/accounts", params={"limit": 200, **extra})).json()["items"]
            assert len(items) > 5
            for item in items:
                alone = (await client.get(f"{at}/accounts/{item['id']}")).json()
                if extra:
                    alone["properties"] = {k: alone["properties"][k] for k in ("revenue", "more_3")}
                assert item == alone
    masked = [i for i in (await viewer.get(f"{at}/accounts", params={"limit": 200})).json()["items"]
              if i["masked_properties"]]  # fmt: skip
    assert masked
    assert all(i["properties"]["revenue"] is None and i["masked_properties"] == ["revenue"] for i in masked)


async def test_line_sees_one_partner_and_after_it_none(world: World, owner: Owner):
    acme, rival = (
        await world.partner("Acme", Anna=Role.PARTNER_ADMIN),
        await world.partner("Rival", Rita=Role.PARTNER_ADMIN),
    )
    await world.account(acme, "Nordwerk", by="Anna")
    await world.account(rival, "Südbau", by="Rita")
    engine = world.app.state.engine
    for _ in range(20):
        for partner, name in ((acme, "Nordwerk"), (rival, "Südbau")):
            async with express.transaction(engine, partner.id, plans=express.WALKING) as line:
                assert [r[0] for r in await run(line, "SELECT name FROM accounts")] == [name]
    with pytest.raises(DBAPIError, match="row-level security"):
        async with express.transaction(engine, acme.id) as line:
            await run(line, "UPDATE accounts SET partner_id = $1", rival.id)
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        for setting, usual in (("app.partner_id", ""), ("plan_cache_mode", "auto"), ("enable_sort", "on")):
            assert (await raw.driver_connection.fetchval("SELECT current_setting($1, true)", setting) or "") == usual
        assert await raw.driver_connection.fetch("SELECT name FROM accounts") == []
    assert await owner.value("SELECT count(*) FROM accounts WHERE partner_id = $1", rival.id) == 1


async def test_failure_in_the_middle_undoes_everything(world: World, owner: Owner):
    acme = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    await world.account(acme, "Nordwerk", by="Anna")
    for failure in (RuntimeError("ours"), asyncio.CancelledError()):
        with pytest.raises(type(failure)):
            await failing(world, acme.id, failure)
    assert await owner.value("SELECT name FROM accounts") == "Nordwerk"
    busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
    assert await owner.value(busy) == 0


async def failing(world: World, partner_id: UUID, failure: BaseException) -> None:
    async with express.transaction(world.app.state.engine, partner_id) as line:
        await run(line, "UPDATE accounts SET name = 'X'")
        raise failure


async def test_requests_that_are_given_up_leave_no_connection_behind(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    api, accounts = await world.client("Anna"), f"/v1/partners/{partner.id}/accounts"
    assert (await api.get(accounts)).status_code == 200
    for n in range(60):
        task = asyncio.create_task(api.get(accounts) if n % 2 else api.post(accounts, json={"name": f"Given up {n}"}))
        await asyncio.sleep(n / 10_000)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    answers = await asyncio.gather(*(api.get(accounts) for _ in range(30)))
    assert {a.status_code for a in answers} == {200}
    assert world.app.state.engine.pool.checkedout() == 0
    open_ = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
    assert await owner.value(open_) == 0
    orphans = (
        "SELECT count(*) FROM accounts a WHERE NOT EXISTS (SELECT FROM account_members m WHERE m.account_id = a.id)"
    )
    assert await owner.value(orphans) == 0


async def test_who_may_is_asked_each_time_though_the_query_is_known(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN, Bob=Role.PARTNER_VIEWER)
    await world.account(partner, "Nordwerk", by="Anna")
    bob, accounts = await world.client("Bob"), f"/v1/partners/{partner.id}/accounts?sort=-created_at"
    for _ in range(3):
        assert [a["name"] for a in (await bob.get(accounts)).json()["items"]] == ["Nordwerk"]
    assert problem(await (await world.client()).get(accounts)) == (401, "unauthenticated")
    other = accounts.replace(str(partner.id), str(new_id()))
    assert problem(await bob.get(other)) == (404, "not_found")
    assert (await bob.get(accounts.replace("created_at", "nothing"))).status_code == 422
    await owner.execute("DELETE FROM partner_members WHERE user_id = $1", (await world.user("Bob")).id)
    assert problem(await bob.get(accounts)) == (404, "not_found")
    assert problem(await bob.get(accounts.replace("created_at", "nothing"))) == (404, "not_found")


async def test_glance_is_confined_before_it_reads_and_leaves_nothing_behind(world: World, owner: Owner):
    acme = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    await world.account(acme, "Nordwerk", by="Anna")
    await world.account(rival, "Südbau", by="Rita")
    anna, rita, lines = await world.client("Anna"), await world.client("Rita"), world.app.state.lines
    for _ in range(20):
        for api, partner, seen in ((anna, acme, "Nordwerk"), (rita, rival, "Südbau")):
            answer = await api.get(f"/v1/partners/{partner.id}/accounts")
            assert [a["name"] for a in answer.json()["items"]] == [seen]
    assert lines._idle, "no page was answered at a glance"
    for raw, _ in lines._idle:
        line = raw.driver_connection
        assert await line.fetchval("SELECT coalesce(current_setting('app.partner_id', true), '')") == ""
        assert await line.fetch("SELECT name FROM accounts") == []


async def test_glance_is_as_strict_as_the_usual_way(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN, Bob=Role.PARTNER_ADMIN)
    await world.account(partner, "Nordwerk", by="Anna")
    bob, accounts = await world.client("Bob"), f"/v1/partners/{partner.id}/accounts"
    operator = await world.client("Olivia", operator=True)
    at = f"/v1/partners/{partner.id}"
    for _ in range(3):
        assert (await bob.get(accounts)).status_code == 200
    asked = seen_by(world)
    assert (await bob.get(accounts)).status_code == 200
    assert asked == ["answered"]
    for change, back, told in (
        ({"partner_management_enabled": False}, {"partner_management_enabled": True}, (403, "partner_management_off")),
        ({"status": "suspended"}, {"status": "active"}, (403, "partner_suspended")),
    ):
        assert (await operator.patch(at, json=change, headers=STAR)).status_code == 200
        assert problem(await bob.get(accounts)) == told
        assert (await operator.patch(at, json=back, headers=STAR)).status_code == 200
        assert (await bob.get(accounts)).status_code == 200
    made = await bob.post(f"{at}/properties", json={"key": "city", "type": "text", "label": {"en": "City"}})
    assert made.status_code == 201
    assert (await bob.get(accounts)).json()["items"][0]["properties"] == {"city": None}
    await owner.execute("UPDATE partners SET properties_version = properties_version + 1")  # as by another process
    assert (await bob.get(accounts)).json()["items"][0]["properties"] == {"city": None}
    assert asked[-1] == "stepped aside"  # the guess was made with the columns of before
    await owner.execute("UPDATE sessions SET last_used_at = now() - interval '1 hour'")
    assert (await bob.get(accounts)).status_code == 200
    assert await owner.value("SELECT max(last_used_at) > now() - interval '1 minute' FROM sessions")
    await owner.execute("UPDATE users SET status = 'suspended' WHERE id = $1", (await world.user("Bob")).id)
    assert problem(await bob.get(accounts)) == (401, "unauthenticated")


async def test_glance_on_a_connection_that_is_gone_is_asked_again(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    await world.account(partner, "Nordwerk", by="Anna")
    api, accounts = await world.client("Anna"), f"/v1/partners/{partner.id}/accounts"
    for n in range(6):
        answers = await asyncio.gather(*(api.get(accounts) for _ in range(10)))
        assert {a.status_code for a in answers} == {200}
        if n % 2:
            await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tenantry_app'"
                                " AND datname = current_database()")  # fmt: skip
        else:
            for raw, _ in world.app.state.lines._idle:
                raw.driver_connection.terminate()
    assert world.app.state.lines._places._value == 8


async def test_account_is_opened_in_one_round_trip_once_its_opener_is_known(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    api, at = await world.client("Anna"), f"/v1/partners/{partner.id}"
    wrote, accounts = written_by(world), f"{at}/accounts"
    made = [await api.post(accounts, json={"name": f"N{n}"}) for n in range(3)]
    assert ([a.status_code for a in made], wrote) == ([201] * 3, [1, 1])
    first, other = await owner.rows("SELECT * FROM accounts ORDER BY name LIMIT 2")  # the first the usual way
    assert {k for k in dict(first) if first[k] != other[k]} <= {"id", "name", "name_key", "name_search", "search",
                                                                 "created_at", "updated_at"}  # fmt: skip
    assert problem(await api.post(accounts, json={"name": "n1"})) == (409, "name_taken")
    number = {"key": "number", "type": "text", "label": {"en": "Number"}, "unique": True}
    assert (await api.post(f"{at}/properties", json=number)).status_code == 201
    taken = {"properties": {"number": "K1"}}
    assert (await api.post(accounts, json={"name": "First", **taken})).status_code == 201
    before = await counts(owner)
    answer = await api.post(accounts, json={"name": "Second", **taken})
    assert (problem(answer), answer.json()["errors"][0]["pointer"]) == ((409, "value_taken"), "/properties/number")
    wrong = await api.post(accounts, json={"name": "Third", "properties": {"number": 5}})
    assert problem(wrong) == (422, "invalid")
    assert (await counts(owner), wrote[2:]) == (before, [0, None])


async def test_account_is_opened_only_by_those_who_still_may_and_by_the_columns_in_force(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN, Bob=Role.PARTNER_ADMIN)
    bob, at = await world.client("Bob"), f"/v1/partners/{partner.id}"
    wrote, accounts, whose = written_by(world), f"{at}/accounts", (await world.user("Bob")).id
    for n in range(2):
        assert (await bob.post(accounts, json={"name": f"N{n}"})).status_code == 201
    assert wrote == [1]
    before = await counts(owner)
    changes = (
        (
            "UPDATE partner_members SET role = {} WHERE user_id = $1",
            "'partner_viewer'",
            "'partner_admin'",
            (403, "forbidden"),
        ),
        (
            "UPDATE partners SET status = {} WHERE $1::uuid IS NOT NULL",
            "'suspended'",
            "'active'",
            (403, "partner_suspended"),
        ),
        (
            "UPDATE partners SET partner_management_enabled = {} WHERE $1::uuid IS NOT NULL",
            "false",
            "true",
            (403, "partner_management_off"),
        ),
        ("UPDATE sessions SET ended_at = {} WHERE user_id = $1", "now()", "NULL", (401, "unauthenticated")),
        ("UPDATE users SET status = {} WHERE id = $1", "'suspended'", "'active'", (401, "unauthenticated")),
    )
    for sql, off, on, told in changes:
        await owner.execute(sql.format(off), whose)
        assert problem(await bob.post(accounts, json={"name": "No"})) == told
        await owner.execute(sql.format(on), whose)
    assert (await counts(owner), wrote) == (before, [1, *[0] * len(changes)])
    assert (await bob.post(accounts, json={"name": "Yes"})).status_code == 201
    # columns that another process changes: here, the memory of this one knows nothing of it
    city = {"key": "city", "type": "text", "label": {"en": "City"}, "default": "Lübeck"}
    assert (await bob.post(f"{at}/properties", json=city)).status_code == 201
    assert (await bob.post(accounts, json={"name": "By the default"})).json()["properties"] == {"city": "Lübeck"}
    await owner.execute('UPDATE properties SET required = true, "default" = NULL')
    await owner.execute("UPDATE partners SET properties_version = properties_version + 1")
    answer = await bob.post(accounts, json={"name": "Without"})
    assert (problem(answer), answer.json()["errors"][0]["pointer"]) == ((422, "invalid"), "/properties/city")


async def test_account_is_not_opened_while_columns_change(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    api, accounts = await world.client("Anna"), f"/v1/partners/{partner.id}/accounts"
    wrote = written_by(world)
    for n in range(2):
        assert (await api.post(accounts, json={"name": f"N{n}"})).status_code == 201
    async with world.transaction(partner.id) as db:
        await columns.alone(db, partner.id)
        waiting = asyncio.create_task(api.post(accounts, json={"name": "Waits"}))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert wrote == [1, 0]  # it did not wait there, where others would have to wait with it
    assert (await waiting).status_code == 201


async def test_opening_on_a_connection_that_breaks_is_not_done_twice(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    api, accounts = await world.client("Anna"), f"/v1/partners/{partner.id}/accounts"
    for n in range(2):
        assert (await api.post(accounts, json={"name": f"N{n}"})).status_code == 201
    for raw, _ in world.app.state.lines._idle:
        await raw.driver_connection.execute("SET lock_timeout = '10s'")
    async with world.transaction(partner.id) as db:  # somebody is about to take the name: whoever wants it waits
        await db.execute(update(Account).values(name_key="waits").where(Account.name == "N0"))
        waiting = asyncio.create_task(api.post(accounts, json={"name": "Waits"}))
        ended = 0
        while not ended and not waiting.done():
            await asyncio.sleep(0.05)
            ended = await owner.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                                      " WHERE wait_event_type = 'Lock' AND datname = current_database()")  # fmt: skip
        answer = await waiting
        await db.rollback()
    assert (ended, problem(answer)) == (1, (503, "unavailable"))
    assert await owner.value("SELECT count(*) FROM accounts WHERE name = 'Waits'") == 0
    assert (await api.post(accounts, json={"name": "Waits"})).status_code == 201


def written_by(world: World) -> list[int | None]:
    """How much each attempt to write in one round trip wrote, from now on; None: it failed."""
    lines, found = world.app.state.lines, list[int | None]()
    write = lines.write

    async def noted(*given: Any) -> int | None:
        found.append(await write(*given))
        return found[-1]

    lines.write = noted
    return found


def seen_by(world: World) -> list[str]:
    """What becomes of each glance from now on."""
    lines, found = world.app.state.lines, list[str]()
    ask = lines.one

    async def one(statement: Any, **values: Any) -> Any:
        row = await ask(statement, **values)
        found.append("stepped aside" if row is None or row[-1] is None else "answered")
        return row

    lines.one = one
    return found


async def test_taken_name_and_taken_value_open_nothing(world: World, owner: Owner):
    api, at = await filled(world)
    body: dict[str, Any] = {"name": "Twice GmbH"}
    assert (await api.post(f"{at}/accounts", json=body)).status_code == 201
    before = await counts(owner)
    assert problem(await api.post(f"{at}/accounts", json=body)) == (409, "name_taken")
    assert await counts(owner) == before
    races = await asyncio.gather(*(api.post(f"{at}/accounts", json={"name": "Raced GmbH"}) for _ in range(20)))
    assert sorted(a.status_code for a in races) == [201, *[409] * 19]
    assert await counts(owner) == [n + more for n, more in zip(before, (1, 1, 2), strict=True)]


async def counts(owner: Owner) -> list[int]:
    return [await owner.value(f"SELECT count(*) FROM {table}") for table in ("accounts", "account_members", "events")]


async def test_session_and_line_are_one_transaction(world: World):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, "Nordwerk", by="Anna")
    async with world.transaction(partner.id) as db:
        line = await line_of(db)
        await run(line, "UPDATE accounts SET name = 'Seen' WHERE partner_id = $1", partner.id)
        await db.rollback()
    async with world.transaction(partner.id) as db:
        assert [r[0] for r in await run(await line_of(db), "SELECT name FROM accounts WHERE id = $1", account.id)] == [
            "Nordwerk"
        ]


async def test_strangers_question_is_not_even_prepared(world: World):
    """What it costs to prepare one would tell which partners and columns there are, and push out what others ask."""
    api, at = await filled(world)
    assert (await api.get(f"{at}/accounts", params={"sort": "name"})).status_code == 200
    await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    rita, before = await world.client("Rita"), pages._made.cache_info()
    for n in range(5):
        for field in ("revenue", "nothing"):
            answer = await rita.get(f"{at}/accounts", params={"filter": f"properties.{field}:eq:{n}"})
            assert problem(answer) == (404, "not_found")
    assert pages._made.cache_info() == before
    assert (await api.get(f"{at}/accounts", params={"filter": "properties.revenue:eq:1"})).status_code == 200
    assert pages._made.cache_info().misses == before.misses + 1


async def test_question_of_many_words_is_answered_and_not_kept(world: World):
    api, at = await filled(world)
    words = [f"word {n} " * 20 for n in range(150)]
    body = {"all": [{"field": "name", "operator": "in", "value": [*words, "Birnen AG"]}]}
    kept = pages._made.cache_info().currsize
    for _ in range(3):
        answer = await api.post(f"{at}/account-searches", json=body)
        assert [a["name"] for a in answer.json()["items"]] == ["Birnen AG"]
    assert pages._made.cache_info().currsize == kept
    body = {"any": [{"field": "name", "operator": "in", "value": [str(n) for n in range(126)]}] * 4}
    answer = await api.post(f"{at}/account-searches", json=body)
    assert (problem(answer), answer.json()["errors"][0]["code"]) == ((422, "invalid"), "too_many")


async def test_cursor_that_outlived_its_column_is_refused_and_says_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
):
    api, at = await filled(world)
    made = await api.post(f"{at}/properties", json={"key": "iban", "type": "text", "label": {"en": "IBAN"},
                                                    "sensitive": True})  # fmt: skip
    assert made.status_code == 201, made.text
    for n, row in enumerate((await api.get(f"{at}/accounts")).json()["items"]):
        changed = await api.patch(f"{at}/accounts/{row['id']}", headers=STAR,
                                  json={"properties": {"iban": f"secretcanary{n}"}})  # fmt: skip
        assert changed.status_code == 200, changed.text
    await world.worker().refresh_all()
    asked = {"sort": "properties.iban", "limit": 1}
    cursor = (await api.get(f"{at}/accounts", params=asked)).json()["next_cursor"]
    assert (await api.get(f"{at}/accounts", params=asked | {"cursor": cursor})).status_code == 200
    assert (await api.delete(f"{at}/properties/iban", headers=STAR)).status_code == 200
    for _ in range(3):
        await world.worker().refresh_all()
    again = await api.post(f"{at}/properties", json={"key": "iban", "type": "number", "label": {"en": "IBAN"}})
    assert again.status_code == 201, again.text
    await world.worker().refresh_all()
    answer = await api.get(f"{at}/accounts", params=asked | {"cursor": cursor})
    assert (problem(answer), answer.json()["errors"][0]["pointer"]) == ((422, "invalid"), "query:cursor")
    assert "secretcanary" not in "".join(capsys.readouterr())


async def test_what_becomes_sensitive_is_not_found_by_those_who_may_not_see_it_not_even_for_a_moment(world: World):
    api, at = await filled(world)
    vera = await world.client("Vera")
    assert [a["name"] for a in (await vera.get(f"{at}/accounts", params={"q": "ab-0001"})).json()["items"]] == [
        "Äpfel GmbH"
    ]
    hidden = await api.patch(f"{at}/properties/customer_no", headers=STAR, json={"sensitive": True})
    assert hidden.status_code == 200, hidden.text
    for address in ("accounts", "account-summaries", "accounts.csv"):
        assert problem(await vera.get(f"{at}/{address}", params={"q": "ab-0001"})) == (409, "column_not_ready"), address
    assert (await api.get(f"{at}/accounts", params={"q": "ab-0001"})).status_code == 200
    await world.worker().refresh_all()
    assert (await vera.get(f"{at}/accounts", params={"q": "ab-0001"})).json()["items"] == []


async def test_undoing_that_is_given_up_closes_the_connection(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    await world.account(partner, "Nordwerk", by="Anna")
    engine = world.app.state.engine

    async def writing() -> None:
        async with express.transaction(engine, partner.id) as line:
            await run(line, "UPDATE accounts SET name = 'X'")
            asyncio.get_running_loop().call_soon(task.cancel)
            raise RuntimeError

    for _ in range(20):
        task = asyncio.create_task(writing())
        with suppress(RuntimeError, asyncio.CancelledError):
            await task
        async with express.transaction(engine, partner.id) as line:
            assert [r[0] for r in await run(line, "SELECT name FROM accounts")] == ["Nordwerk"]
    assert await owner.value("SELECT name FROM accounts") == "Nordwerk"
