"""What must hold however many do it at once: one effect, an admin left, no deadlock and no full pool that leaks out."""

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.config import Settings
from app.models import AccountMember, Delivery, Invitation, Partner, PartnerMember, StoredAnswer, User
from app.policy import Role
from tests.conftest import MISCOUNTED, PASSWORD, Server, World, join, problem, running, token_of

PATIENT = {"pool_timeout_seconds": 60.0}
"""For tests of what holds, not of how long one waits for a connection."""


def tally(answers: list[Response]) -> Counter[tuple[int, str | None]]:
    """How many answers of which status and problem code."""
    return Counter((a.status_code, problem(a)[1] if a.status_code >= 400 else None) for a in answers)


async def count(world: World, partner: Partner, model: Any, *conditions: Any) -> int:
    async with world.transaction(partner.id) as db:
        return await db.scalar(select(func.count()).select_from(model).where(*conditions)) or 0


def owner(server: Server, database: str) -> AsyncEngine:
    return create_async_engine(server.url(database, owner=True), poolclass=NullPool)


# --- one invitation, one member ---


@pytest.mark.slow
async def test_two_hundred_concurrent_registrations_of_one_invitation_make_one_user_and_one_member(settings: Settings):
    async with running(settings.model_copy(update=PATIENT)) as world:
        partner = await world.partner(Anna=Role.PARTNER_ADMIN)
        account = await world.account(partner, by="Anna")
        anna = await world.client("Anna")
        here = f"/v1/partners/{partner.id}/accounts/{account.id}"
        invited = await anna.post(f"{here}/invitations", json={"email": "eva@example.com", "role": "account_editor"})
        assert invited.status_code == 201
        body = {"token": token_of((await world.mails())[0]), "name": "Eva", "password": PASSWORD}
        anonymous = await world.client()
        answers = await asyncio.gather(*(anonymous.post("/v1/registrations", json=body) for _ in range(200)))
        found = tally(answers)
        assert found.pop((201, None)) == 1
        # whoever looked at the invitation before the winner's commit and for the user after it is told to log in
        assert set(found) <= {(410, "invitation_used"), (409, "log_in_required")}
        assert found.total() == 199
        members = (await anna.get(f"{here}/members", params={"filter": "role:eq:account_editor"})).json()["items"]
        assert [m["email"] for m in members] == ["eva@example.com"]
        async with world.transaction(partner.id) as db:
            assert await db.scalar(select(func.count()).select_from(User)) == 2
        assert [e.type for e in await world.events(partner.id)].count("invitation.accepted") == 1
        again = await anonymous.post("/v1/sessions", json={"email": "eva@example.com", "password": PASSWORD})
        assert again.status_code == 201


async def test_two_hundred_concurrent_accepts_by_the_invited_user_make_one_member(settings: Settings):
    async with running(settings.model_copy(update=PATIENT)) as world:
        partner = await world.partner(Anna=Role.PARTNER_ADMIN)
        anna, eva = await world.client("Anna"), await world.client("Eva")
        here = f"/v1/partners/{partner.id}"
        await anna.post(f"{here}/invitations", json={"email": "eva@example.com", "role": "partner_viewer"})
        body = {"token": token_of((await world.mails())[0])}
        answers = await asyncio.gather(*(eva.post("/v1/registrations", json=body) for _ in range(200)))
        assert tally(answers) == {(201, None): 1, (410, "invitation_used"): 199}
        assert await count(world, partner, PartnerMember) == 2
        assert [e.type for e in await world.events(partner.id)].count("partner_member.added") == 1
        assert (await eva.get(here)).status_code == 200


async def test_concurrent_invitations_of_one_address_make_one_pending(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    anna = await world.client("Anna")
    here = f"/v1/partners/{partner.id}"
    for place, role in ((here, "partner_viewer"), (f"{here}/accounts/{account.id}", "account_viewer")):
        spellings = ["eva@example.com", "EVA@example.com", "Eva@EXAMPLE.com", " eva@example.com "]
        answers = await asyncio.gather(*(
            anna.post(f"{place}/invitations", json={"email": spellings[n % 4], "role": role}) for n in range(24)
        ))  # fmt: skip
        assert tally(answers) == {(201, None): 1, (409, "already_invited"): 23}
        assert len((await anna.get(f"{place}/invitations")).json()["items"]) == 1
    assert await count(world, partner, Invitation) == await count(world, partner, Delivery) == 2


async def test_concurrent_resends_leave_one_link_that_works(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna = await world.client("Anna")
    made = await anna.post(
        f"/v1/partners/{partner.id}/invitations", json={"email": "eva@example.com", "role": "partner_viewer"}
    )
    answers = await asyncio.gather(*(anna.post(f"{made.headers['location']}/resend") for _ in range(8)))
    assert tally(answers) == {(200, None): 8}
    assert len({a.headers["etag"] for a in answers}) == 8
    mails = await world.mails()
    assert len(mails) == 1  # those that were replaced before they went out are not sent
    preview = await (await world.client()).post("/v1/invitations/preview", json={"token": token_of(mails[0])})
    assert (preview.status_code, preview.json()["email"]) == (200, "eva@example.com")


# --- Idempotency-Key ---


async def rows(anna: AsyncClient, accounts: str) -> list[str]:
    return [row["name"] for row in (await anna.get(accounts, params={"limit": 200})).json()["items"]]


async def start(world: World, **members: Role) -> tuple[AsyncClient, str, Partner]:
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, **members)
    return await world.client("Anna"), f"/v1/partners/{partner.id}/accounts", partner


async def test_fifty_concurrent_creates_with_one_key_make_one_account_and_one_answer(settings: Settings):
    async with running(settings.model_copy(update=PATIENT)) as world:
        anna, accounts, partner = await start(world)
        tries = [anna.post(accounts, json={"name": "Nordwerk"}, headers={"Idempotency-Key": "k-1"}) for _ in range(50)]
        answers = await asyncio.gather(*tries)
        assert tally(answers) == {(201, None): 50}
        assert (
            len({(a.content, a.headers["etag"], a.headers["location"], a.headers["content-type"]) for a in answers})
            == 1
        )
        assert [a.headers.get("idempotency-replayed") for a in answers].count("true") == 49
        assert len({a.headers["x-request-id"] for a in answers}) == 50
        assert await rows(anna, accounts) == ["Nordwerk"]
        assert await count(world, partner, AccountMember) == 1
        assert [e.type for e in await world.events(partner.id)].count("account.created") == 1


async def test_repeat_gets_the_first_answer_even_after_the_thing_has_changed(world: World):
    anna, accounts, _ = await start(world)
    key = {"Idempotency-Key": "order-1"}
    first = await anna.post(accounts, json={"name": "Nordwerk"}, headers=key)
    await anna.patch(first.headers["location"], json={"name": "Changed"}, headers={"If-Match": "*"})
    again = await anna.post(accounts, json={"name": "Nordwerk"}, headers=key)
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (201, first.content, "true")
    assert "idempotency-replayed" not in first.headers
    assert await rows(anna, accounts) == ["Changed"]


async def test_key_with_another_request_is_refused(world: World):
    anna, accounts, _ = await start(world)
    key = {"Idempotency-Key": "order-1"}
    assert (await anna.post(accounts, json={"name": "A"}, headers=key)).status_code == 201
    invitations = f"{accounts.removesuffix('/accounts')}/invitations"
    for address, body in [(accounts, {"name": "B"}), (accounts, {"name": "A "}),
                          (invitations, {"email": "eva@example.com", "role": "partner_viewer"})]:  # fmt: skip
        assert problem(await anna.post(address, json=body, headers=key)) == (422, "idempotency_key_reused"), address
    assert await rows(anna, accounts) == ["A"]
    assert (await anna.get(invitations)).json()["items"] == []


async def test_key_belongs_to_the_user_who_sent_it(world: World):
    anna, accounts, partner = await start(world, Bob=Role.PARTNER_MANAGER)
    bob = await world.client("Bob")
    key = {"Idempotency-Key": "order-1"}
    hers = await anna.post(accounts, json={"name": "Hers"}, headers=key)
    his = await bob.post(accounts, json={"name": "His"}, headers=key)
    assert (hers.status_code, his.status_code) == (201, 201)
    assert "idempotency-replayed" not in his.headers
    assert await rows(anna, accounts) == ["Hers", "His"]
    assert problem(await bob.post(accounts, json={"name": "Hers"}, headers=key)) == (422, "idempotency_key_reused")
    assert await count(world, partner, StoredAnswer) == 2


async def test_key_belongs_to_the_partner_in_whose_path_it_came(world: World):
    anna, accounts, _ = await start(world)
    other = await world.partner("Other", Anna=Role.PARTNER_ADMIN)
    key = {"Idempotency-Key": "order-1"}
    first = await anna.post(accounts, json={"name": "A"}, headers=key)
    second = await anna.post(f"/v1/partners/{other.id}/accounts", json={"name": "A"}, headers=key)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] != second.json()["id"]


async def test_stored_answer_is_only_for_those_who_may_still_do_it(world: World):
    anna, accounts, partner = await start(world, Bob=Role.PARTNER_ADMIN)
    bob = await world.client("Bob")
    key = {"Idempotency-Key": "order-1"}
    first = await bob.post(accounts, json={"name": "A"}, headers=key)
    assert first.status_code == 201
    member = f"/v1/partners/{partner.id}/members/{(await world.user('Bob')).id}"
    assert (await bob.post(accounts, json={"name": "A"}, headers=key)).content == first.content
    await anna.patch(member, json={"role": "partner_viewer"}, headers={"If-Match": "*"})
    assert problem(await bob.post(accounts, json={"name": "A"}, headers=key)) == (403, "forbidden")
    await anna.delete(member, headers={"If-Match": "*"})
    assert problem(await bob.post(accounts, json={"name": "A"}, headers=key)) == (404, "not_found")
    assert await rows(anna, accounts) == ["A"]


async def test_failed_request_does_not_burn_its_key(world: World):
    anna, accounts, partner = await start(world)
    taken = await anna.post(accounts, json={"name": "A"})
    key = {"Idempotency-Key": "order-1"}
    assert problem(await anna.post(accounts, json={"name": "A"}, headers=key)) == (409, "name_taken")
    assert problem(await anna.post(accounts, json={"name": ""}, headers=key)) == (422, "invalid")
    assert await count(world, partner, StoredAnswer) == 0
    await anna.delete(taken.headers["location"], headers={"If-Match": "*"})
    made = await anna.post(accounts, json={"name": "A"}, headers=key)
    assert (made.status_code, "idempotency-replayed" in made.headers) == (201, False)
    assert (await anna.post(accounts, json={"name": "A"}, headers=key)).content == made.content


async def test_key_must_be_visible_ascii_of_bounded_length(world: World):
    anna, accounts, _ = await start(world)
    for key in (b"", b" ", b"a b", b"x" * 256, "schlüssel".encode(), b"\xff", b"a\tb"):
        answer = await anna.post(accounts, json={"name": "A"}, headers={b"Idempotency-Key": key})
        assert problem(answer) == (422, "invalid"), key
        assert answer.json()["errors"][0]["pointer"] == "header:idempotency-key"
    assert await rows(anna, accounts) == []
    for number, key in enumerate((b"x" * 255, b"!~", b"'; DROP TABLE accounts; --".replace(b" ", b"_"))):
        made = await anna.post(accounts, json={"name": f"N{number}"}, headers={b"Idempotency-Key": key})
        assert made.status_code == 201
    assert len(await rows(anna, accounts)) == 3


async def test_every_post_that_takes_a_key_has_its_effect_once(world: World):
    """Creating a partner, inviting into both, sending again, restoring."""
    operator = await world.client("Olivia", operator=True)
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    here = f"/v1/partners/{partner.id}"
    home = f"{here}/accounts/{account.id}"
    mail = {"email": "eva@example.com"}
    made = await operator.post(f"{here}/invitations", json={"email": "max@example.com", "role": "partner_viewer"})
    for number, (address, body) in enumerate([
        ("/v1/partners", {"name": "Twice GmbH"}),
        (f"{here}/invitations", mail | {"role": "partner_viewer"}),
        (f"{home}/invitations", mail | {"role": "account_viewer"}),
        (f"{made.headers['location']}/resend", None),
        (f"{home}/restore", None),
    ]):  # fmt: skip
        key = {"Idempotency-Key": f"k{number}"}
        answers = [await operator.post(address, json=body, headers=key) for _ in range(3)]
        assert len({(a.status_code, a.content) for a in answers}) == 1, address
        assert answers[0].is_success, answers[0].text
        assert [a.headers.get("idempotency-replayed") for a in answers] == [None, "true", "true"], address
    names = [p["name"] for p in (await operator.get("/v1/partners", params={"q": "twice"})).json()["items"]]
    assert names == ["Twice GmbH"]
    assert len((await operator.get(f"{here}/invitations")).json()["items"]) == 2
    assert await count(world, partner, Delivery) == 4  # two invited, one invited and sent again


# --- the last admin ---


@pytest.mark.slow
@pytest.mark.parametrize("place", ["partner", "account"])
async def test_two_concurrent_removals_or_demotions_never_leave_no_admin(
    world: World, server: Server, database: str, place: str
):
    """Of the last two admins, each ends the other's role, or both their own: one of the two is refused."""
    admin = "partner_admin" if place == "partner" else "account_admin"
    lesser = "partner_viewer" if place == "partner" else "account_viewer"
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Bob=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna", Bob=Role.ACCOUNT_ADMIN)
    model = PartnerMember if place == "partner" else AccountMember
    here = f"/v1/partners/{partner.id}" + (f"/accounts/{account.id}" if place == "account" else "")
    people = {name: await world.client(name) for name in ("Anna", "Bob")}
    ids = {name: (await world.user(name)).id for name in people}
    refused = Counter[tuple[int, str]]()
    kinds = [("DELETE", "DELETE"), ("PATCH", "PATCH"), ("DELETE", "PATCH")]

    for number in range(24):
        crossed = number % 2 == 0  # each the other, or each themselves
        (a, b), methods = ("Anna", "Bob") if number % 4 < 2 else ("Bob", "Anna"), kinds[number % 3]
        calls = [
            people[who].request(method, f"{here}/members/{ids[whom]}", headers={"If-Match": "*"},
                                json={"role": lesser} if method == "PATCH" else None)
            for who, whom, method in ((a, b if crossed else a, methods[0]), (b, a if crossed else b, methods[1]))
        ]  # fmt: skip
        answers = await asyncio.gather(*calls)
        assert [x.is_success for x in answers].count(True) == 1, [x.text for x in answers]
        refused[problem(next(x for x in answers if not x.is_success))] += 1
        assert await count(world, partner, model, model.role == Role(admin)) == 1
        async with world.transaction(partner.id) as db:  # both are admins again
            members = {m.user_id: m for m in await db.scalars(select(model))}
            for user_id in ids.values():
                if user_id in members:
                    members[user_id].role = Role(admin)
                elif place == "partner":
                    db.add(PartnerMember(partner_id=partner.id, user_id=user_id, role=Role(admin)))
                else:
                    await join(db, account, user_id, Role(admin))
    # a removed admin's call may come too late to be allowed at all
    assert set(refused) <= {(409, "last_admin"), (403, "forbidden"), (404, "not_found")}
    assert refused[409, "last_admin"] > 0
    async with owner(server, database).connect() as connection:
        assert (await connection.execute(text(MISCOUNTED))).all() == []


async def test_last_admin_stays_however_many_ask(world: World):
    people = {f"P{n}": Role.PARTNER_ADMIN for n in range(8)}
    partner = await world.partner(**people)
    clients = [(await world.user(name), await world.client(name)) for name in people]
    here = f"/v1/partners/{partner.id}/members"
    answers = await asyncio.gather(*(c.delete(f"{here}/{u.id}", headers={"If-Match": "*"}) for u, c in clients))
    assert tally(answers) == {(204, None): 7, (409, "last_admin"): 1}
    left = next(c for (_, c), a in zip(clients, answers, strict=True) if a.status_code == 409)
    assert [m["role"] for m in (await left.get(here)).json()["items"]] == ["partner_admin"]


# --- deadlocks and serialization failures ---

FAILING = """
CREATE SEQUENCE tries;
GRANT USAGE ON SEQUENCE tries TO tenantry_app;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'provoked' USING ERRCODE = '{state}'; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON accounts {when} FOR EACH ROW EXECUTE FUNCTION fail()
"""
"""A sequence counts on when a transaction is undone, so the trigger can fail the first so many times."""


async def fail_inserts(server: Server, database: str, *, times: int, state: str, at_commit: bool) -> None:
    when = "DEFERRABLE INITIALLY DEFERRED" if at_commit else ""
    script = FAILING.format(times=times, state=state, when=when)
    head, function, trigger = script.partition("CREATE FUNCTION")[0], *script.partition("CREATE FUNCTION")[1:]
    body, _, last = trigger.partition("$$;")
    await server.execute(*(s for s in head.split(";") if s.strip()), f"{function}{body}$$", last, database=database)


async def tries(server: Server, database: str) -> int:
    engine = owner(server, database)
    try:
        async with engine.connect() as connection:
            return await connection.scalar(text("SELECT last_value FROM tries")) or 0
    finally:
        await engine.dispose()


@pytest.mark.parametrize(("state", "at_commit"), [("40P01", False), ("40001", False), ("40P01", True), ("40001", True)])
async def test_whole_transaction_runs_again_after_a_deadlock(
    world: World, server: Server, database: str, state: str, at_commit: bool
):
    anna, accounts, partner = await start(world)
    await fail_inserts(server, database, times=3, state=state, at_commit=at_commit)
    key = {"Idempotency-Key": "k"}
    made = await anna.post(accounts, json={"name": "A"}, headers=key)
    assert made.status_code == 201, made.text
    assert await tries(server, database) == 4
    assert await rows(anna, accounts) == ["A"]
    assert [e.type for e in await world.events(partner.id)].count("account.created") == 1
    again = await anna.post(accounts, json={"name": "A"}, headers=key)
    assert (again.content, await tries(server, database)) == (made.content, 4)


@pytest.mark.parametrize("state", ["40P01", "40001"])
async def test_deadlock_that_does_not_end_is_503_and_changes_nothing(
    world: World, server: Server, database: str, state: str
):
    anna, accounts, partner = await start(world)
    await fail_inserts(server, database, times=5, state=state, at_commit=False)
    answer = await anna.post(accounts, json={"name": "A"}, headers={"Idempotency-Key": "k"})
    assert problem(answer) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert await tries(server, database) == 5
    assert await rows(anna, accounts) == []
    assert await count(world, partner, StoredAnswer) == 0
    made = await anna.post(accounts, json={"name": "A"}, headers={"Idempotency-Key": "k"})  # the key was not burnt
    assert made.status_code == 201


async def waiting(connection: AsyncConnection) -> int:
    """How many statements of the application wait for a lock."""
    return await connection.scalar(text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'tenantry' AND wait_event_type = 'Lock' AND datname = current_database()"
    )) or 0  # fmt: skip


@pytest.mark.slow
async def test_real_deadlock_is_retried_until_it_is_gone(world: World, server: Server, database: str):
    """A stranger inserts the invitation that Anna makes and then wants the account that she holds."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    account = await world.account(partner, by="Anna")
    anna = await world.client("Anna")
    invitations = f"/v1/partners/{partner.id}/accounts/{account.id}/invitations"
    made = await anna.post(invitations, json={"email": "eva@example.com", "role": "account_viewer"})
    await anna.delete(made.headers["location"], headers={"If-Match": "*"})
    engine, watcher = owner(server, database), owner(server, database)
    async with engine.connect() as stranger, watcher.connect() as eye:
        await stranger.execute(text("SET deadlock_timeout = '60s'"))  # so that the other one is the victim
        await stranger.execute(text("UPDATE invitations SET status = 'pending'"))
        call = asyncio.create_task(anna.post(invitations, json={"email": "eva@example.com", "role": "account_viewer"}))
        while not await waiting(eye):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.02)
        started = time.monotonic()
        await stranger.execute(text("UPDATE accounts SET name = name"))  # returns when the victim is dead
        before = await eye.scalar(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
        assert time.monotonic() - started < 5
        await stranger.rollback()
        answer = await asyncio.wait_for(call, 10)
        assert answer.status_code == 201, answer.text
        after = before
        for _ in range(100):  # statistics come late
            await eye.rollback()
            after = await eye.scalar(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
            if after:
                break
            await asyncio.sleep(0.1)
        assert before in (0, 1)
        assert after == 1
    await engine.dispose()
    await watcher.dispose()
    pending = (await anna.get(invitations, params={"filter": "status:eq:pending"})).json()["items"]
    assert [i["email"] for i in pending] == ["eva@example.com"]


# --- the pool ---


@pytest.mark.slow
async def test_full_pool_is_503_in_time_and_recovers(settings: Settings, server: Server, database: str):
    small = settings.model_copy(update={"pool_size": 2, "pool_timeout_seconds": 0.7})
    async with running(small) as world:
        anna, accounts, _ = await start(world)
        assert (await anna.post(accounts, json={"name": "A"})).status_code == 201
        engine = owner(server, database)
        async with engine.connect() as stranger:
            await stranger.execute(text("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE"))
            started = time.monotonic()
            stuck = [asyncio.create_task(anna.get(accounts)) for _ in range(60)]
            done, pending = await asyncio.wait(stuck, timeout=4)
            took = time.monotonic() - started
            assert (len(done), len(pending)) == (58, 2)
            assert took < 4.5
            for call in done:
                answer = call.result()
                assert problem(answer) == (503, "unavailable")
                assert int(answer.headers["retry-after"]) > 0
            assert (await anna.get("/health/live")).status_code == 200
            assert problem(await anna.get("/health/ready")) == (503, "unavailable")
            await stranger.rollback()
            released = time.monotonic()
            for call in pending:
                assert (await asyncio.wait_for(call, 2)).status_code == 200
            answers = await asyncio.gather(*(anna.get(accounts) for _ in range(10)))
            assert {a.status_code for a in answers} == {200}
            assert time.monotonic() - released < 2
        await engine.dispose()
        pool: Any = world.app.state.engine.pool
        assert pool.checkedout() == 0


@pytest.mark.slow
async def test_clients_that_go_away_leak_no_connection_and_no_half_change(settings: Settings):
    async with running(settings.model_copy(update={"pool_size": 4, "pool_timeout_seconds": 2.0})) as world:
        anna, accounts, partner = await start(world)
        made = 0
        for number in range(150):
            call = asyncio.create_task(anna.post(accounts, json={"name": f"N{number}"}))
            await asyncio.sleep(0.0004 * (number % 60))
            call.cancel()
            made += not isinstance((await asyncio.gather(call, return_exceptions=True))[0], asyncio.CancelledError)
        pool: Any = world.app.state.engine.pool
        assert pool.checkedout() == 0
        answers = await asyncio.gather(*(anna.get(accounts) for _ in range(12)))
        assert {a.status_code for a in answers} == {200}
        found = await rows(anna, accounts)
        assert made <= len(found) < 150
        events = [e.type for e in await world.events(partner.id)]
        assert events.count("account.created") == events.count("account_member.added") == len(found)
        assert await count(world, partner, AccountMember) == len(found)
