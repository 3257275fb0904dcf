"""Webhooks: signed events at the partner's own systems, and what it sees of them."""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from standardwebhooks import Webhook as Reference
from standardwebhooks import WebhookVerificationError

from app import security
from app.config import Settings
from app.models import Partner, new_id, utc_now
from app.policy import Role
from app.schemas.webhook_message import WebhookMessage
from app.worker import PURGED_AT_ONCE
from tests.conftest import Owner, World, problem, running, text_of
from tests.receivers import Got, Receiver, Reply, deliver, reaching, receiving

ANY = {"If-Match": "*"}


@pytest.fixture
async def there(settings: Settings) -> AsyncGenerator[World]:
    """A world whose webhooks reach this machine."""
    async with running(reaching(settings)) as world:
        yield world


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as found:
        yield found


async def anna_of(world: World) -> tuple[AsyncClient, Partner, str]:
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    return await world.client("Anna"), partner, f"/v1/partners/{partner.id}"


async def hook(anna: AsyncClient, here: str, receiver: Receiver, **more: Any) -> tuple[str, str]:
    """A webhook at the receiver: its address and its secret."""
    answer = await anna.post(f"{here}/webhooks", json={"url": receiver.url, **more})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"], answer.json()["secret"]


async def account(anna: AsyncClient, here: str, name: str) -> str:
    answer = await anna.post(f"{here}/accounts", json={"name": name})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


async def listed(anna: AsyncClient, at: str, query: str = "") -> list[Any]:
    answer = await anna.get(f"{at}/deliveries?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


# --- what arrives ---


async def test_what_happens_arrives_signed_and_as_the_feed_shows_it(there: World, receiver: Receiver):
    anna, _, here = await anna_of(there)
    before = await account(anna, here, "Before")
    await there.worker().number_all()
    _, secret = await hook(anna, here, receiver)
    after = await account(anna, here, "After")
    await deliver(there)
    feed = {e["id"]: e for e in (await anna.get(f"{here}/events?limit=200")).json()["items"]}
    assert receiver.got
    for got in receiver.got:
        message = Reference(secret).verify(got.body, got.headers)
        assert WebhookMessage.model_validate(message)
        assert message["data"] == feed[got.id]
        assert (message["type"], message["timestamp"]) == (feed[got.id]["type"], feed[got.id]["occurred_at"])
        assert got.headers["content-type"] == "application/json"
        assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    accounts = {g.account for g in receiver.got} - {None}
    assert accounts == {after.rpartition("/")[2]}
    assert before.rpartition("/")[2] not in accounts
    by_account: dict[str | None, list[int]] = {}
    for got in receiver.got:
        by_account.setdefault(got.account, []).append(got.position)
    assert all(found == sorted(found) for found in by_account.values())


async def test_only_the_types_that_it_wants_are_sent(there: World, receiver: Receiver):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.updated"])
    one = await account(anna, here, "One")
    await anna.patch(one, json={"name": "Two"}, headers=ANY)
    await deliver(there)
    assert [g.message["type"] for g in receiver.got] == ["account.updated"]
    assert (await anna.patch(at, json={"types": []}, headers=ANY)).json()["types"] == []
    await anna.patch(one, json={"name": "Three"}, headers=ANY)
    await account(anna, here, "Four")
    await deliver(there)
    assert {"account.created", "account.updated"} <= {g.message["type"] for g in receiver.got}


async def test_values_of_sensitive_properties_do_not_leave(there: World, receiver: Receiver):
    anna, _, here = await anna_of(there)
    definition = {"key": "iban", "type": "text", "label": {"en": "IBAN"}, "sensitive": True}
    assert (await anna.post(f"{here}/properties", json=definition)).status_code == 201
    await hook(anna, here, receiver, types=["account.created"])
    await anna.post(f"{here}/accounts", json={"name": "A", "properties": {"iban": "CANARY-9f3"}})
    await deliver(there)
    (got,) = receiver.got
    assert b"CANARY" not in got.body
    assert got.message["data"]["data"]["after"]["properties"] == {"iban": None}


# --- signatures ---


def test_reference_verifier_accepts_a_thousand_signatures_and_none_that_is_tampered_with_old_or_of_another_secret():
    old, new, other = (security.new_webhook_secret() for _ in range(3))
    for number in range(1_000):
        body = f'{{"type":"account.created","data":{{"name":"Kühl & Söhne {number} €","n":{number}}}}}'
        sent = security.webhook_headers([new, old], new_id(), utc_now(), body)
        for secret in (new, old):
            assert Reference(secret).verify(body, sent)["data"]["n"] == number
        tampered = [
            (body.replace("data", "date"), sent),
            (body, sent | {"webhook-id": str(new_id())}),
            (body, sent | {"webhook-timestamp": str(int(sent["webhook-timestamp"]) - 1)}),
            (body, sent | {"webhook-signature": sent["webhook-signature"].replace("v1,", "v1a,")}),
        ]
        for wrong, headers in tampered:
            with pytest.raises(WebhookVerificationError):
                Reference(new).verify(wrong, headers)
        with pytest.raises(WebhookVerificationError):
            Reference(other).verify(body, sent)
    late = security.webhook_headers([new], new_id(), utc_now() - timedelta(minutes=6), "{}")
    with pytest.raises(WebhookVerificationError, match="too old"):
        Reference(new).verify("{}", late)


async def test_old_and_new_secret_sign_while_they_overlap_and_then_the_new_one_alone(
    there: World, receiver: Receiver, owner: Owner
):
    anna, _, here = await anna_of(there)
    at, old = await hook(anna, here, receiver, types=["account.created"])
    before = (await anna.get(at)).headers["etag"]
    rotated = await anna.post(f"{at}/secrets", json={"overlap_hours": 24})
    assert rotated.status_code == 201
    new = rotated.json()["secret"]
    assert (await anna.get(at)).headers["etag"] != before
    assert [bool(s["expires_at"]) for s in rotated.json()["secrets"]] == [False, True]
    await account(anna, here, "One")
    await deliver(there)
    (got,) = receiver.got
    for secret in (old, new):
        Reference(secret).verify(got.body, got.headers)
    await owner.execute("UPDATE webhook_secrets SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL")
    await account(anna, here, "Two")
    await deliver(there)
    got = receiver.got[-1]
    Reference(new).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Reference(old).verify(got.body, got.headers)
    assert len((await anna.get(at)).json()["secrets"]) == 1
    at_once = (await anna.post(f"{at}/secrets", json={"overlap_hours": 0})).json()
    assert len(at_once["secrets"]) == 1
    await account(anna, here, "Three")
    await deliver(there)
    got = receiver.got[-1]
    Reference(at_once["secret"]).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Reference(new).verify(got.body, got.headers)


async def test_five_secrets_are_enough(there: World, receiver: Receiver):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver)
    for _ in range(4):
        assert (await anna.post(f"{at}/secrets", json={})).status_code == 201
    assert problem(await anna.post(f"{at}/secrets", json={})) == (409, "too_many_secrets")
    assert len((await anna.get(at)).json()["secrets"]) == 5
    assert (await anna.post(f"{at}/secrets", json={"overlap_hours": 0})).status_code == 201


async def test_secret_is_shown_once_and_is_nowhere_else(there: World, receiver: Receiver, owner: Owner):
    anna, _, here = await anna_of(there)
    key = {"Idempotency-Key": "once"}
    made = await anna.post(f"{here}/webhooks", json={"url": receiver.url}, headers=key)
    secrets = [made.json()["secret"]]
    again = await anna.post(f"{here}/webhooks", json={"url": receiver.url}, headers=key)
    assert (again.status_code, again.json(), again.headers["idempotency-replayed"]) == (201, made.json(), "true")
    assert "tenantry-sealed" not in again.headers
    at = made.headers["location"]
    secrets.append((await anna.post(f"{at}/secrets", json={}, headers={"Idempotency-Key": "two"})).json()["secret"])
    await account(anna, here, "One")
    await deliver(there)
    delivery = (await listed(anna, at))[0]
    shown = [(await anna.get(a)).text for a in (
        at, f"{here}/webhooks", f"{at}/deliveries", f"{at}/deliveries/{delivery['id']}", f"{here}/events",
        f"{here}/audit-log")]  # fmt: skip
    signature = receiver.got[-1].headers["webhook-signature"]
    for table in ("webhooks", "webhook_secrets", "webhook_deliveries", "webhook_lanes", "events", "stored_answers",
                  "deliveries"):  # fmt: skip
        shown += [str(row) for row in await owner.rows(f"SELECT t::text FROM {table} t")]
        if table == "stored_answers":
            shown += [str(row) for row in await owner.rows("SELECT convert_from(body, 'UTF8') FROM stored_answers")]
    for secret in secrets:
        bare = secret.removeprefix("whsec_")
        for text in shown:
            assert bare not in text
            assert bare.encode().hex() not in text
    assert all(part.removeprefix("v1,") not in text for part in signature.split() for text in shown)


# --- order, failures, retries ---


async def due_now(owner: Owner) -> None:
    """Let the time pass until what waits is tried again."""
    await owner.execute("UPDATE webhook_lanes SET due_at = now() - interval '1 s'")
    await owner.execute("UPDATE webhooks SET paused_until = NULL")


async def test_what_fails_holds_up_its_own_account_only_and_arrives_in_order(
    there: World, receiver: Receiver, owner: Owner
):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created", "account.updated"])
    one, two = await account(anna, here, "One"), await account(anna, here, "Two")
    for number in range(3):
        for address in (one, two):
            assert (await anna.patch(address, json={"name": f"N{number}{address[-4:]}"}, headers=ANY)).is_success
    bad = one.rpartition("/")[2]
    receiver.reply = lambda got: Reply(500, b"no") if got.account == bad else Reply()
    await deliver(there)
    assert [g.account for g in receiver.got].count(bad) == 1
    good = [g.position for g in receiver.got if g.account != bad]
    assert len(good) == 4
    assert good == sorted(good)
    await deliver(there)
    assert len(receiver.got) == 5  # not before its time
    receiver.reply = lambda _: Reply()
    await due_now(owner)
    await deliver(there)
    late = [g.position for g in receiver.got if g.account == bad]
    assert late[0] == late[1]
    assert late[1:] == sorted(set(late))
    assert len(set(late)) == 4
    assert {d["state"] for d in await listed(anna, at)} == {"delivered"}


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (Reply(500, b"broken"), 500, "refused"),
        (Reply(404), 404, "refused"),
        (Reply(302, headers={"Location": "http://127.0.0.1:1/elsewhere"}), 302, "redirect"),
        (Reply(307, headers={"Location": "/hook"}), 307, "redirect"),
        (Reply(cut=True), None, "protocol"),
        (Reply(hang=True), None, "timeout"),
    ],
    ids=["500", "404", "redirect", "redirect to itself", "cut", "hang"],
)
async def test_every_way_to_fail_is_told_and_tried_again(
    settings: Settings, receiver: Receiver, owner: Owner, reply: Reply, status: int | None, error: str
):
    async with running(reaching(settings, lease_seconds=1.0)) as world:
        anna, _, here = await anna_of(world)
        at, _ = await hook(anna, here, receiver, types=["account.created"])
        await account(anna, here, "One")
        receiver.reply = lambda _: reply
        before = utc_now()
        await deliver(world)
        assert len(receiver.got) == 1
        (shown,) = await listed(anna, at)
        last = shown["last_attempt"]
        assert (shown["state"], shown["attempt_count"], last["status"], last["error"]) == ("pending", 1, status, error)
        assert last["body"] == (reply.body.decode() if status else "")
        wait = (datetime.fromisoformat(shown["next_attempt_at"]) - before).total_seconds()
        assert 4 <= wait <= 8
        assert (await anna.get(at)).json()["failing_since"] is not None
        receiver.reply = lambda _: Reply(204, b"")
        await due_now(owner)
        await deliver(world)
        detail = (await anna.get(f"{at}/deliveries/{shown['id']}")).json()
        assert (detail["state"], detail["next_attempt_at"]) == ("delivered", None)
        assert [a["status"] for a in detail["attempts"]] == [status, 204]
        assert receiver.ids == [shown["id"]] * 2
        assert (await anna.get(at)).json()["failing_since"] is None


async def test_receiver_that_is_away_gets_it_when_it_is_back(there: World, receiver: Receiver, owner: Owner):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    await receiver.stop()
    await account(anna, here, "One")
    await deliver(there)
    assert (await listed(anna, at))[0]["last_attempt"]["error"] == "connect"
    await receiver.start()
    await due_now(owner)
    await deliver(there)
    assert len(receiver.got) == 1


async def test_waits_grow_and_after_three_days_it_is_given_up_and_the_next_one_goes(
    there: World, receiver: Receiver, owner: Owner
):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created", "account.updated"])
    one = await account(anna, here, "One")
    await anna.patch(one, json={"name": "Two"}, headers=ANY)
    receiver.reply = lambda _: Reply(500)
    for wait in (5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 14400):
        before = utc_now()
        await deliver(there)
        second, first = await listed(anna, at)
        assert (first["state"], second["attempt_count"]) == ("pending", 0)
        waited = (datetime.fromisoformat(first["next_attempt_at"]) - before).total_seconds()
        assert 0.8 * wait - 1 <= waited <= 1.2 * wait + 2
        await due_now(owner)
    await owner.execute("UPDATE webhook_deliveries SET begun_at = now() - interval '71 h' WHERE tries > 0")
    await deliver(there)
    await due_now(owner)
    receiver.reply = lambda _: Reply()
    await deliver(there)
    second, first = await listed(anna, at)
    assert (first["state"], first["attempt_count"], first["next_attempt_at"]) == ("failed", 11, None)
    assert first["finished_at"]
    assert (second["state"], second["attempt_count"]) == ("delivered", 1)
    assert await owner.value("SELECT count(*) FROM webhook_lanes") == 0


@pytest.mark.parametrize("form", ["seconds", "moment"])
async def test_receiver_that_asks_for_time_gets_it(there: World, receiver: Receiver, form: str):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    when = (utc_now() + timedelta(seconds=600)).astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    receiver.reply = lambda _: Reply(429, headers={"Retry-After": "600" if form == "seconds" else when})
    await account(anna, here, "One")
    before = utc_now()
    await deliver(there)
    (shown,) = await listed(anna, at)
    waits = datetime.fromisoformat(shown["next_attempt_at"]) - before
    assert timedelta(seconds=590) < waits < timedelta(seconds=610)
    await account(anna, here, "Two")  # another account: it is the receiver that wants to be left alone
    await deliver(there)
    assert len(receiver.got) == 1


async def test_dead_receiver_is_probed_by_one_delivery_at_a_time_and_when_it_lives_all_go(
    there: World, receiver: Receiver, owner: Owner
):
    anna, _, here = await anna_of(there)
    await hook(anna, here, receiver, types=["account.created"])
    for number in range(30):
        await account(anna, here, f"A{number}")
    receiver.reply = lambda _: Reply(500)
    await deliver(there)
    tried = len(receiver.got)
    assert 5 <= tried <= 16  # those that were on their way when it was noticed
    for _ in range(3):
        await owner.execute("UPDATE webhooks SET paused_until = NULL")
        before = len(receiver.got)
        await deliver(there)
        assert len(receiver.got) - before == 1
    await deliver(there)
    assert len(receiver.got) == tried + 3  # nor is it probed all the time
    receiver.reply = lambda _: Reply()
    await owner.execute("UPDATE webhooks SET paused_until = NULL")
    await deliver(there)
    taken = receiver.got[tried + 3 :]
    assert len({g.account for g in taken}) == len(taken) == 30


async def test_what_waits_three_days_behind_others_is_given_up_with_the_next_probe(
    there: World, receiver: Receiver, owner: Owner
):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    for number in range(30):
        await account(anna, here, f"A{number}")
    receiver.reply = lambda _: Reply(500, seconds=1)
    await deliver(there)
    await owner.execute("UPDATE webhooks SET paused_until = NULL")
    probing = asyncio.create_task(deliver(there))
    while not receiver.open:  # noqa: ASYNC110 - its server works
        await asyncio.sleep(0.01)
    await owner.execute("UPDATE webhook_deliveries SET begun_at = now() - interval '73 h' WHERE tries = 0")
    await deliver(there)  # another worker: nothing is looked through while a probe is on its way
    assert {d["state"] for d in await listed(anna, at)} == {"pending"}
    await probing
    await owner.execute("UPDATE webhooks SET paused_until = NULL")
    await deliver(there)
    found = await listed(anna, at)
    assert {d["state"] for d in found if not d["attempt_count"]} == {"failed"}
    assert "pending" in {d["state"] for d in found}  # those that are tried have their own three days


async def test_receiver_that_fails_for_days_is_disabled_and_its_admins_are_told(
    there: World, receiver: Receiver, owner: Owner
):
    anna, partner, here = await anna_of(there)
    await there.user("Max", language="de")
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    receiver.reply = lambda _: Reply(500)
    await account(anna, here, "One")
    await deliver(there)
    await owner.execute("UPDATE webhooks SET failing_since = now() - interval '119 h'")
    await due_now(owner)
    await deliver(there)
    assert (await anna.get(at)).json()["status"] == "enabled"
    await owner.execute("UPDATE webhooks SET failing_since = now() - interval '121 h'")
    await due_now(owner)
    await deliver(there)
    shown = (await anna.get(at)).json()
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "failing")
    event = (await there.events(partner.id))[-1]
    assert (event.type, event.actor, str(event.subject_id)) == ("webhook.disabled", "system", shown["id"])
    (mail,) = await there.mails()
    assert (mail["To"], mail["Subject"]) == ("anna@example.com", "A webhook was disabled")
    assert "127.0.0.1" in text_of(mail)
    sent = len(receiver.got)
    await account(anna, here, "Two")
    await due_now(owner)
    await deliver(there)
    assert len(receiver.got) == sent

    receiver.reply = lambda _: Reply()
    enabled = await anna.patch(at, json={"status": "enabled"}, headers=ANY)
    assert (enabled.json()["status"], enabled.json()["failing_since"]) == ("enabled", None)
    await account(anna, here, "Three")
    await deliver(there)
    names = [g.message["data"]["data"]["after"]["name"] for g in receiver.got[sent:]]
    assert sorted(names) == ["One", "Three"]  # what waited, and what came after


async def test_receiver_that_is_gone_is_disabled_at_once(there: World, receiver: Receiver):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    receiver.reply = lambda _: Reply(410)
    await account(anna, here, "One")
    await deliver(there)
    shown = (await anna.get(at)).json()
    assert (shown["status"], shown["disabled_reason"]) == ("disabled", "gone")
    assert "gone for good" in text_of((await there.mails())[0])
    assert (await listed(anna, at))[0]["state"] == "failed"


async def test_while_partner_management_is_off_or_the_partner_suspended_nothing_goes_out_and_then_all_does(
    there: World, receiver: Receiver
):
    anna, _, here = await anna_of(there)
    olivia = await there.client("Olivia", operator=True)
    await hook(anna, here, receiver, types=["account.created"])
    for off, on in (
        ({"partner_management_enabled": False}, {"partner_management_enabled": True}),
        ({"status": "suspended"}, {"status": "active"}),
    ):
        before = len(receiver.got)
        assert (await olivia.patch(here, json=off, headers=ANY)).status_code == 200
        await account(olivia, here, f"While {next(iter(off))}")
        await deliver(there)
        assert len(receiver.got) == before
        assert (await olivia.patch(here, json=on, headers=ANY)).status_code == 200
        await deliver(there)
        assert len(receiver.got) == before + 1


# --- nobody waits for anybody ---


async def test_hanging_receiver_slows_nobody(settings: Settings, receiver: Receiver):
    async with running(reaching(settings)) as world, receiving() as dead:
        dead.reply = lambda _: Reply(hang=True)
        anna, _, here = await anna_of(world)
        await hook(anna, here, dead, types=["account.created"])
        await hook(anna, here, receiver, types=["account.created"])
        for number in range(30):
            await account(anna, here, f"A{number}")
        worker = world.worker()
        await worker.number_all()
        started = time.monotonic()
        await worker.deliverer.poll()
        async with asyncio.timeout(10):
            while len(receiver.got) < 30:
                await worker.deliverer.poll()
                await asyncio.sleep(0.02)
        assert time.monotonic() - started < 5
        assert len(dead.got) == dead.most_open == 8  # so many at a time, and no more
        await asyncio.sleep(0.1)
        async with world.app.state.engine.connect() as connection:
            assert connection
        assert world.app.state.engine.pool.checkedout() == 0  # nobody holds a connection while it waits
        for courier, _ in list(worker.deliverer.couriers.values()):
            await courier.stop()
        await worker.deliverer.close()


async def test_huge_answer_is_not_read_and_what_is_kept_is_short(there: World, receiver: Receiver):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    receiver.reply = lambda _: Reply(200, b"x\x00\x1b" * 3_000_000, {"Content-Type": "text/plain; charset=\x7f"})
    await account(anna, here, "One")
    await deliver(there)
    (shown,) = await listed(anna, at)
    assert (shown["state"], len(shown["last_attempt"]["body"])) == ("delivered", 1024)
    assert set(shown["last_attempt"]["body"]) == {"x", "\ufffd"}


# --- ping ---


async def test_ping_says_what_the_receiver_answers(there: World, receiver: Receiver, owner: Owner):
    anna, _, here = await anna_of(there)
    at, secret = await hook(anna, here, receiver)
    receiver.reply = lambda _: Reply(201, b"hello", {"Content-Type": "text/plain"})
    pinged = await anna.post(f"{at}/ping")
    assert pinged.status_code == 200, pinged.text
    body = pinged.json()
    assert (body["status"], body["error"], body["body"], body["content_type"]) == (201, None, "hello", "text/plain")
    (got,) = receiver.got
    message = Reference(secret).verify(got.body, got.headers)
    assert (message["type"], message["data"]) == ("webhook.ping", {"webhook_id": at.rpartition("/")[2]})
    await anna.patch(at, json={"status": "disabled"}, headers=ANY)
    receiver.reply = lambda _: Reply(500)
    assert (await anna.post(f"{at}/ping")).json()["error"] == "refused"
    assert await listed(anna, at) == []
    assert (await anna.get(at)).json()["failing_since"] is None


async def test_ping_holds_no_connection_while_it_waits(there: World, receiver: Receiver):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver)
    seen: list[int] = []

    def look(_: Got) -> Reply:
        seen.append(there.app.state.engine.pool.checkedout())
        return Reply()

    receiver.reply = look
    assert (await anna.post(f"{at}/ping")).status_code == 200
    assert seen == [0]


# --- again ---


async def test_one_delivery_is_sent_again_under_the_same_id(there: World, receiver: Receiver):
    anna, partner, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    await account(anna, here, "One")
    await deliver(there)
    (shown,) = await listed(anna, at)
    again = await anna.post(f"{at}/deliveries/{shown['id']}/redeliver")
    assert (again.status_code, again.json()["state"]) == (202, "pending")
    await deliver(there)
    assert receiver.ids == [shown["id"]] * 2
    detail = (await anna.get(f"{at}/deliveries/{shown['id']}")).json()
    assert (detail["state"], len(detail["attempts"])) == ("delivered", 2)
    assert (await there.events(partner.id))[-1].type == "webhook.redelivery_requested"
    await anna.patch(at, json={"status": "disabled"}, headers=ANY)
    assert problem(await anna.post(f"{at}/deliveries/{shown['id']}/redeliver")) == (409, "webhook_disabled")
    assert problem(await anna.post(f"{at}/deliveries/{new_id()}/redeliver")) == (404, "not_found")


async def test_all_since_a_moment_are_sent_again_in_order_also_those_missed_while_disabled(
    there: World, receiver: Receiver
):
    anna, partner, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    await account(anna, here, "Early")
    await deliver(there)
    await asyncio.sleep(0.01)
    since = utc_now()
    await asyncio.sleep(0.01)
    await account(anna, here, "One")
    await deliver(there)
    await anna.patch(at, json={"status": "disabled"}, headers=ANY)
    body = {"since": since.isoformat()}
    assert problem(await anna.post(f"{at}/redeliver", json=body)) == (409, "webhook_disabled")
    await account(anna, here, "Missed")
    await deliver(there)
    await anna.patch(at, json={"status": "enabled"}, headers=ANY)
    await deliver(there)
    names = [g.message["data"]["data"]["after"]["name"] for g in receiver.got]
    assert names == ["Early", "One"]
    again = await anna.post(f"{at}/redeliver", json=body)
    assert (again.status_code, again.json()) == (202, {"events": 2})
    await account(anna, here, "New")
    await deliver(there)
    names = [g.message["data"]["data"]["after"]["name"] for g in receiver.got[2:]]
    assert sorted(names) == ["Missed", "New", "One"]
    assert len(set(receiver.ids)) == 4
    assert {d["state"] for d in await listed(anna, at)} == {"delivered"}
    future = {"since": (utc_now() + timedelta(days=1)).isoformat()}
    assert (await anna.post(f"{at}/redeliver", json=future)).json() == {"events": 0}
    every, _ = await hook(anna, here, receiver)
    await deliver(there)
    told = [e for e in await there.events(partner.id) if e.position and e.created_at >= since]
    assert (await anna.post(f"{every}/redeliver", json=body)).json() == {"events": len(told)}


async def test_repeated_redelivery_with_the_same_key_is_one(there: World, receiver: Receiver):
    anna, partner, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    since = utc_now().isoformat()
    await account(anna, here, "One")
    await deliver(there)
    one = f"{at}/deliveries/{receiver.ids[0]}/redeliver"
    asked: dict[str, dict[str, Any]] = {one: {}, f"{at}/redeliver": {"json": {"since": since}}}
    for n, (path, body) in enumerate(asked.items()):
        key = {"Idempotency-Key": f"again-{n}"}
        first, again = [await anna.post(path, **body, headers=key) for _ in range(2)]
        assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
        assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
        await deliver(there)
    assert len(receiver.got) == 3
    assert [e.type for e in await there.events(partner.id)].count("webhook.redelivery_requested") == 2


async def test_repeated_ping_with_the_same_key_is_sent_once_and_a_twin_is_told_to_wait(
    there: World, receiver: Receiver, owner: Owner
):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver)
    key = {"Idempotency-Key": "ping-1"}
    receiver.reply = lambda _: Reply(200, b"hello", seconds=0.5)
    answers = await asyncio.gather(*(anna.post(f"{at}/ping", headers=key) for _ in range(3)))
    assert sorted(a.status_code for a in answers) == [200, 409, 409]
    assert {problem(a)[1] for a in answers if a.status_code == 409} == {"idempotency_key_in_use"}
    (first,) = [a for a in answers if a.status_code == 200]
    again = await anna.post(f"{at}/ping", headers=key)
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (200, first.content, "true")
    assert len(receiver.got) == 1
    other, _ = await hook(anna, here, receiver)
    assert problem(await anna.post(f"{other}/ping", headers=key)) == (422, "idempotency_key_reused")

    nothing, late = f"{here}/webhooks/{new_id()}/ping", {"Idempotency-Key": "ping-2"}
    for _ in range(2):  # what was refused is asked anew
        assert problem(await anna.post(nothing, headers=late)) == (404, "not_found")

    killed = {"Idempotency-Key": "ping-3"}
    assert (await anna.post(f"{at}/ping", headers=killed)).status_code == 200
    await owner.execute("UPDATE stored_answers SET status = 0, body = '' WHERE key = 'ping-3'")
    assert problem(await anna.post(f"{at}/ping", headers=killed)) == (409, "idempotency_key_in_use")
    await owner.execute("UPDATE stored_answers SET created_at = now() - interval '2 minutes' WHERE key = 'ping-3'")
    assert (await anna.post(f"{at}/ping", headers=killed)).json()["status"] == 200
    assert len(receiver.got) == 3, "whoever had it in hand was killed"


# --- the resource ---


async def test_deliveries_are_listed_newest_first_and_filtered(there: World, receiver: Receiver):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created", "account.updated"])
    one, two = await account(anna, here, "One"), await account(anna, here, "Two")
    await anna.patch(one, json={"name": "Three"}, headers=ANY)
    bad = two.rpartition("/")[2]
    receiver.reply = lambda got: Reply(500, b"broken\n", {"Content-Type": "text/x"}) if got.account == bad else Reply()
    await deliver(there)
    found = await listed(anna, at)
    assert [d["position"] for d in found] == sorted((d["position"] for d in found), reverse=True)
    assert [d["state"] for d in found] == ["delivered", "pending", "delivered"]
    (waits,) = await listed(anna, at, "filter=state:eq:pending")
    assert waits["account_id"] == bad
    assert (waits["last_attempt"]["body"], waits["last_attempt"]["content_type"]) == ("broken\n", "text/x")
    assert len(await listed(anna, at, "filter=type:eq:account.updated")) == 1
    assert problem(await anna.get(f"{at}/deliveries?filter=type:eq:account.update")) == (422, "invalid")
    assert len(await listed(anna, at, f"filter=account_id:eq:{one.rpartition('/')[2]}")) == 2
    first = await anna.get(f"{at}/deliveries?limit=1&count=true")
    assert first.json()["total"] == 3
    second = await anna.get(first.headers["link"].partition(">")[0].removeprefix("<"))
    assert second.json()["items"][0]["id"] == found[1]["id"]
    detail = (await anna.get(f"{at}/deliveries/{waits['id']}")).json()
    assert detail["request"]["url"] == receiver.url
    assert detail["request"]["headers"]["webhook-id"] == waits["id"]
    assert detail["request"]["headers"]["webhook-signature"] == "v1,(hidden)"
    sent = next(g for g in receiver.got if g.id == waits["id"])
    assert detail["request"]["body"] == sent.message
    assert detail["request"]["headers"]["webhook-timestamp"] == sent.headers["webhook-timestamp"]


async def test_query_of_an_address_is_in_no_event_and_in_no_audit_entry(there: World):
    anna, partner, here = await anna_of(there)
    made = await anna.post(f"{here}/webhooks", json={"url": "https://erp.example.com/in?key=s3cret&x=?"})
    assert made.json()["url"] == "https://erp.example.com/in?key=s3cret&x=?"
    at = made.headers["location"]
    for url in (
        "https://erp.example.com/in?key=s3cret-2",
        "https://erp.example.com?s3cret-3",
        "https://erp.example.com/",
    ):
        changed = await anna.patch(at, json={"url": url}, headers={"If-Match": "*"})
        assert (changed.status_code, changed.json()["url"]) == (200, url)
    assert (await anna.delete(at, headers={"If-Match": "*"})).status_code == 204
    hidden = ["https://erp.example.com/in?(hidden)", "https://erp.example.com?(hidden)", "https://erp.example.com/"]
    found = [e for e in await there.events(partner.id) if e.type.startswith("webhook.")]
    assert [{name: (side or {}).get("url") for name, side in (e.details or {}).items()} for e in found] == [
        {"before": None, "after": hidden[0]}, {"before": hidden[0], "after": hidden[0]},
        {"before": hidden[0], "after": hidden[1]}, {"before": hidden[1], "after": hidden[2]},
        {"before": hidden[2], "after": None},
    ]  # fmt: skip
    await deliver(there)  # the worker numbers them
    for place in ("events", "audit-log", "audit-log.csv"):
        told = await anna.get(f"{here}/{place}")
        assert told.status_code == 200
        assert "(hidden)" in told.text
        assert "s3cret" not in told.text


async def test_change_needs_the_version_and_another_address_gets_what_waits(there: World, receiver: Receiver):
    anna, partner, here = await anna_of(there)
    async with receiving() as dead:
        dead.reply = lambda _: Reply(500)
        at, _ = await hook(anna, here, dead, types=["account.created"], description="  ERP ")
        tag = (await anna.get(at)).headers["etag"]
        await account(anna, here, "One")
        await deliver(there)
        assert dead.got
        shown = (await anna.get(at)).json()
        assert (shown["description"], bool(shown["failing_since"])) == ("ERP", True)
        moved = {"url": receiver.url}
        assert problem(await anna.patch(at, json=moved)) == (428, "precondition_required")
        changed = await anna.patch(at, json=moved, headers={"If-Match": tag})  # deliveries make no new version
        assert (changed.status_code, changed.json()["failing_since"]) == (200, None)
        assert problem(await anna.patch(at, json=moved, headers={"If-Match": tag})) == (412, "version_mismatch")
        await deliver(there)
        assert len(receiver.got) == 1
    event = next(e for e in await there.events(partner.id) if e.type == "webhook.updated")
    assert event.details is not None
    assert event.details["after"] == {"url": receiver.url}
    tag = (await anna.get(at)).headers["etag"]
    assert (await anna.delete(at, headers={"If-Match": tag})).status_code == 204
    assert problem(await anna.get(at)) == (404, "not_found")
    await account(anna, here, "Two")
    await deliver(there)
    assert len(receiver.got) == 1


async def test_partner_has_so_many_webhooks_and_no_more(settings: Settings, receiver: Receiver):
    async with running(reaching(settings, webhooks_per_partner=2)) as world:
        anna, _, here = await anna_of(world)
        for _ in range(2):
            await hook(anna, here, receiver)
        assert problem(await anna.post(f"{here}/webhooks", json={"url": receiver.url})) == (409, "too_many_webhooks")
        assert len((await anna.get(f"{here}/webhooks")).json()["items"]) == 2


async def test_only_admins_of_the_partner_and_operators_see_webhooks(there: World, receiver: Receiver):
    partner = await there.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER)
    here = f"/v1/partners/{partner.id}"
    at, _ = await hook(await there.client("Anna"), here, receiver)
    assert problem(await (await there.client("Max")).get(at)) == (403, "forbidden")
    assert (await (await there.client("Olivia", operator=True)).get(at)).status_code == 200
    await there.partner("Other", Rita=Role.PARTNER_ADMIN)
    assert problem(await (await there.client("Rita")).get(at)) == (404, "not_found")


async def test_deliveries_are_kept_as_long_as_the_feed_goes_back(there: World, receiver: Receiver, owner: Owner):
    anna, _, here = await anna_of(there)
    at, _ = await hook(anna, here, receiver, types=["account.created"])
    await account(anna, here, "One")
    await deliver(there)
    worker = there.worker()
    await worker.clean_up()
    assert len(await listed(anna, at)) == 1
    long_ago = UUID(int=int((utc_now() - timedelta(days=91)).timestamp() * 1000) << 80)
    await owner.execute("UPDATE webhook_deliveries SET id = $1", long_ago)
    await owner.execute(MANY_OLD, PURGED_AT_ONCE)
    await worker.clean_up()
    assert await listed(anna, at) == []


MANY_OLD = """
    INSERT INTO webhook_deliveries (partner_id, webhook_id, id, position, type, lane, begun_at, state, tries, attempts,
                                    created_at)
    SELECT partner_id, webhook_id, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, position, type, lane,
           begun_at, state, tries, attempts, created_at FROM webhook_deliveries, generate_series(1, $1) n
"""
"""More than are deleted at once."""
