"""Licences: by hand, by price model; suspended, resumed, revoked; what the clock makes of them."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.models import Licence, LicenceSource, SuspendedBy, utc_now
from app.policy import Role
from app.services import terms
from tests import shop
from tests.conftest import Owner, World, problem
from tests.test_purchases import STAR, Customer, after, done, faults, moment

TRIAL = {"feature": "assets", "units": 5, "reason": "A trial."}


@pytest.fixture
async def customer(world: World) -> Customer:
    """Someone who has no licence yet; there are a quota and a switch."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER, Vera=Role.PARTNER_VIEWER)
    account = await world.account(partner, by="Anna", Ada=Role.ACCOUNT_ADMIN)
    await shop.feature(world, "assets")
    await shop.feature(world, "api_access", kind="switch", unit={})
    return Customer(world, partner, account, await world.client("Anna"))


async def granted(customer: Customer, **values: Any) -> dict[str, Any]:
    return await done(customer.anna.post(f"{customer.here}/licences", json=TRIAL | values), 201)


def at(customer: Customer, licence: dict[str, Any], *more: str) -> str:
    return "/".join([f"{customer.here}/licences", licence["id"], *more])


# --- by hand ---


async def test_a_licence_by_hand_has_a_reason_and_an_order_number_and_an_event(customer: Customer):
    answer = await customer.anna.post(f"{customer.here}/licences", json=TRIAL | {
        "grace_days": 3, "max_units_per_claim": 2, "order_number": "PO-9", "ends_at": (end := after(days=30)),
    })  # fmt: skip
    licence = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, at(customer, licence))
    assert licence == {
        "id": licence["id"], "partner_id": str(customer.partner.id), "account_id": str(customer.account.id),
        "feature": "assets", "state": "active", "units": 5, "max_units_per_claim": 2, "starts_at": licence["starts_at"],
        "ends_at": end, "grace_days": 3, "over_at": licence["over_at"], "source": "manual", "account_article_id": None,
        "article": None, "price_model": None, "order_number": "PO-9", "reason": "A trial.", "suspension": None,
        "revocation": None, "created_at": licence["created_at"], "updated_at": licence["updated_at"],
    }  # fmt: skip
    assert moment(licence["over_at"]) == moment(end) + timedelta(days=3)
    read = await customer.anna.get(at(customer, licence))
    assert (read.json(), read.headers["etag"]) == (licence, answer.headers["etag"])
    (event,) = [e for e in await customer.world.events(customer.partner.id) if e.subject_type == "licence"]
    assert (event.type, str(event.subject_id), event.account_id) == (
        "licence.granted",
        licence["id"],
        customer.account.id,
    )
    assert event.details
    assert (event.details["before"], event.details["after"]["reason"]) == (None, "A trial.")


async def test_who_grants_and_who_only_reads(customer: Customer):
    licence, world = await granted(customer), customer.world
    await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    olivia = await world.client("Olivia", operator=True)
    for name, may, reads in (("Max", 403, 200), ("Vera", 403, 200), ("Ada", 403, 200), ("Rita", 404, 404)):
        caller = await world.client(name)
        assert (await caller.post(f"{customer.here}/licences", json=TRIAL)).status_code == may
        for verb in ("suspend", "revoke", "resume"):
            body = None if verb == "resume" else {"reason": "X"}
            assert (await caller.post(at(customer, licence, verb), json=body)).status_code == may, (name, verb)
        assert (await caller.patch(at(customer, licence), json={"units": 9}, headers=STAR)).status_code == may
        assert {
            (await caller.get(path)).status_code for path in (f"{customer.here}/licences", at(customer, licence))
        } == {reads}
    assert await customer.told() == ["licence.granted"]
    assert (await olivia.post(f"{customer.here}/licences", json=TRIAL)).status_code == 201


async def test_a_duration_is_counted_by_the_calendar_of_the_accounts_time_zone(customer: Customer, owner: Owner):
    await owner.execute("UPDATE accounts SET time_zone = 'Europe/Berlin'")
    for start, duration, end in (("2026-01-31T11:00:00Z", "P1M", "2026-02-28T11:00:00.000Z"),
                                 ("2028-02-29T11:00:00Z", "P1Y", "2029-02-28T11:00:00.000Z"),
                                 ("2026-03-28T23:00:00Z", "P1D", "2026-03-29T22:00:00.000Z"),
                                 ("2026-10-24T22:00:00Z", "P1D", "2026-10-25T23:00:00.000Z")):  # fmt: skip
        licence = await granted(customer, starts_at=start, duration=duration)
        assert (licence["ends_at"], licence["state"]) == (end, terms_state(licence)), start


def terms_state(licence: dict[str, Any]) -> str:
    """What a licence that is neither suspended nor revoked is now, worked out anew."""
    now, start, end, over = (
        utc_now(),
        *(x and moment(x) for x in (licence["starts_at"], licence["ends_at"], licence["over_at"])),
    )
    if over and over <= now:
        return "expired"
    if start > now:
        return "scheduled"
    return "grace" if end and end <= now else "active"


async def test_what_cannot_be_granted(customer: Customer):
    await shop.feature(customer.world, "old", archived_at=datetime.now(UTC))
    for change, expected in (
        ({"feature": "nothing"}, ("/feature", "unknown_feature")), ({"feature": "old"}, ("/feature", "archived_feature")),
        ({"feature": "api_access", "units": 2}, ("/units", "too_many_units")),
        ({"units": -1}, ("/units", "greater_than_equal")), ({"units": 2**31}, ("/units", "less_than_equal")),
        ({"units": 1.5}, ("/units", "int_type")), ({"reason": None}, ("/reason", "string_type")),
        ({"reason": "  "}, ("/reason", "string_too_short")), ({"grace_days": 366}, ("/grace_days", "less_than_equal")),
        ({"max_units_per_claim": 0}, ("/max_units_per_claim", "greater_than_equal")),
        ({"ends_at": after(days=-1)}, ("/ends_at", "not_after_start")),
        ({"ends_at": after(days=1), "duration": "P1D"}, ("/duration", "either_or")),
        ({"duration": "P0D"}, ("/duration", "string_pattern_mismatch")), ({"duration": "P101Y"}, ("/duration", "duration_too_long")),
        ({"source": "article"}, ("/source", "extra_forbidden")),
    ):  # fmt: skip
        answer = await customer.anna.post(f"{customer.here}/licences", json=TRIAL | change)
        assert faults(answer) == [expected], change
    nameless = await customer.anna.post(f"{customer.here}/licences", json={"feature": "assets", "units": 1})
    assert faults(nameless) == [("/reason", "missing")]
    assert await customer.licences() == []
    assert (await granted(customer, feature="api_access", units=0))["units"] == 0
    for status in ("suspended", "archived"):
        if status == "suspended":
            await customer.anna.patch(customer.here, json={"status": status}, headers=STAR)
        else:
            await customer.anna.delete(customer.here, headers=STAR)
        refused = await customer.anna.post(f"{customer.here}/licences", json=TRIAL)
        assert problem(refused) == (409, f"account_{status}")


async def test_a_licence_by_hand_is_patched_with_if_match(customer: Customer):
    licence = await granted(customer, ends_at=after(days=2))
    here = at(customer, licence)
    assert problem(await customer.anna.patch(here, json={})) == (428, "precondition_required")
    tag, end = (await customer.anna.get(here)).headers["etag"], after(days=9)
    changed = {
        "units": 7,
        "ends_at": end,
        "grace_days": 1,
        "max_units_per_claim": 3,
        "order_number": "PO",
        "reason": "More.",
    }
    patched = await customer.anna.patch(here, json=changed, headers={"If-Match": tag})
    assert patched.status_code == 200
    assert {k: patched.json()[k] for k in changed} == changed
    event = (await customer.world.events(customer.partner.id))[-1]
    assert event.details
    assert (event.type, event.details["before"]["units"], event.details["after"]["units"]) == ("licence.updated", 5, 7)
    assert problem(await customer.anna.patch(here, json={"units": 1}, headers={"If-Match": tag})) == (
        412,
        "version_mismatch",
    )
    for body, expected in (({"units": None}, ("/units", "int_type")), ({"reason": None}, ("/reason", "string_type")),
                           ({"grace_days": None}, ("/grace_days", "int_type")),
                           ({"feature": "api_access"}, ("/feature", "extra_forbidden")),
                           ({"ends_at": licence["starts_at"]}, ("/ends_at", "not_after_start"))):  # fmt: skip
        assert faults(await customer.anna.patch(here, json=body, headers=STAR)) == [expected], body
    cleared = await done(customer.anna.patch(here, json={"ends_at": None, "max_units_per_claim": None}, headers=STAR))
    assert (cleared["ends_at"], cleared["over_at"], cleared["max_units_per_claim"], cleared["units"]) == (
        None,
        None,
        None,
        7,
    )
    switch = await granted(customer, feature="api_access", units=1)
    wrong = await customer.anna.patch(at(customer, switch), json={"units": 2}, headers=STAR)
    assert faults(wrong) == [("/units", "too_many_units")]


async def test_a_later_end_brings_back_what_has_expired(customer: Customer):
    licence = await granted(customer, starts_at=after(days=-3), ends_at=after(days=-1))
    assert licence["state"] == "expired"
    back = await done(customer.anna.patch(at(customer, licence), json={"ends_at": after(days=1)}, headers=STAR))
    assert back["state"] == "active"


# --- suspended, resumed, revoked ---


async def test_who_suspended_decides_who_may_lift_it(customer: Customer):
    licence, olivia = await granted(customer), await customer.world.client("Olivia", operator=True)
    suspend, resume = at(customer, licence, "suspend"), at(customer, licence, "resume")
    anna, reason = customer.anna, {"reason": "Unpaid."}
    assert problem(await anna.post(resume)) == (409, "licence_not_suspended")
    by_partner = await done(anna.post(suspend, json=reason))
    assert (by_partner["state"], by_partner["suspension"]["by"], by_partner["suspension"]["reason"]) == (
        "suspended", "partner", "Unpaid.")  # fmt: skip
    assert await customer.limit("assets", utc_now()) == 0
    assert problem(await anna.post(suspend, json=reason)) == (409, "licence_suspended")
    back = await done(anna.post(resume))
    assert (back["state"], back["suspension"]) == ("active", None)
    await done(anna.post(suspend, json=reason))
    assert (await done(olivia.post(resume)))["state"] == "active"  # operators lift any
    await done(anna.post(suspend, json=reason))
    over = await done(olivia.post(suspend, json={"reason": "Fraud."}))  # and take over
    assert (over["suspension"]["by"], over["suspension"]["reason"]) == ("operator", "Fraud.")
    assert problem(await anna.post(resume)) == (403, "suspended_by_operator")
    for caller in (anna, olivia):
        assert problem(await caller.post(suspend, json=reason)) == (409, "licence_suspended")
    assert (await done(anna.get(at(customer, licence))))["suspension"] == over["suspension"]
    assert (await done(olivia.post(resume)))["suspension"] is None
    verbs = ("granted", "suspended", "resumed", "suspended", "resumed", "suspended", "suspended", "resumed")
    assert await customer.told() == [f"licence.{verb}" for verb in verbs]
    taken = [e for e in await customer.world.events(customer.partner.id) if e.type == "licence.suspended"][-1]
    assert taken.details
    assert (taken.details["before"]["suspended_by"], taken.details["after"]["suspended_by"]) == ("partner", "operator")


async def test_revoked_is_final(customer: Customer):
    licence = await granted(customer, ends_at=after(days=1), grace_days=30)
    await done(customer.anna.post(at(customer, licence, "suspend"), json={"reason": "Wait."}))
    revoked = await done(customer.anna.post(at(customer, licence, "revoke"), json={"reason": "Wrong account."}))
    assert (revoked["state"], revoked["revocation"]["reason"]) == ("revoked", "Wrong account.")
    assert await customer.limit("assets", utc_now()) == 0
    for verb, body in (("suspend", {"reason": "X"}), ("resume", None), ("revoke", {"reason": "X"})):
        assert problem(await customer.anna.post(at(customer, licence, verb), json=body)) == (409, "licence_over")
    patch = await customer.anna.patch(at(customer, licence), json={"ends_at": None}, headers=STAR)
    assert problem(patch) == (409, "licence_over")
    expired = await granted(customer, starts_at=after(days=-3), ends_at=after(days=-1))
    assert problem(await customer.anna.post(at(customer, expired, "revoke"), json={"reason": "X"})) == (
        409,
        "licence_over",
    )
    assert (await customer.told())[1:3] == ["licence.suspended", "licence.revoked"]
    for verb in ("suspend", "revoke"):
        assert faults(await customer.anna.post(at(customer, licence, verb), json={})) == [("/reason", "missing")]


async def test_what_was_bought_is_suspended_and_revoked_but_not_changed_by_hand(customer: Customer):
    await shop.article(customer.world, "S-10", shop.grant("assets", 10))
    bought = await customer.buy("S-10")
    (licence,) = await customer.licences()
    refused = await customer.anna.patch(at(customer, licence), json={"units": 99}, headers=STAR)
    assert problem(refused) == (409, "licence_not_by_hand")
    await done(customer.anna.post(at(customer, licence, "suspend"), json={"reason": "Unpaid."}))
    assert (await done(customer.anna.post(at(customer, licence, "resume"))))["state"] == "active"
    await done(customer.anna.post(at(customer, licence, "revoke"), json={"reason": "Returned."}))
    assert (await customer.act(bought, "cancel")).status_code == 200
    (still,) = await customer.licences()
    assert (still["state"], still["ends_at"]) == ("revoked", None)  # as it was revoked, it stays


async def test_an_archived_account_keeps_its_licences_and_nobody_changes_them(customer: Customer):
    licence = await granted(customer)
    await customer.anna.delete(customer.here, headers=STAR)
    for verb, body in (("suspend", {"reason": "X"}), ("resume", None), ("revoke", {"reason": "X"})):
        assert problem(await customer.anna.post(at(customer, licence, verb), json=body)) == (409, "account_archived")
    assert problem(await customer.anna.patch(at(customer, licence), json={}, headers=STAR)) == (409, "account_archived")
    assert await customer.licences() == [licence]


# --- the pools that claims wait for ---


async def test_whatever_changes_a_licence_waits_for_its_pool_and_happens_after(customer: Customer, owner: Owner):
    """Whoever holds the pool (a claim, say) believes what it read of licences until it lets go."""
    anna = customer.anna
    await shop.article(customer.world, "S-10", shop.grant("assets", 10))
    await shop.price_model(customer.world, "basic", shop.base("assets", 5))
    mine = [await granted(customer) for _ in range(4)]
    await done(anna.post(at(customer, mine[1], "suspend"), json={"reason": "X"}))
    bought = [await customer.buy("S-10", ends_at=after(days=9)) for _ in range(4)]
    changes: list[Any] = [
        lambda: anna.post(f"{customer.here}/licences", json=TRIAL),
        lambda: anna.post(at(customer, mine[0], "suspend"), json={"reason": "X"}),
        lambda: anna.post(at(customer, mine[1], "resume")),
        lambda: anna.post(at(customer, mine[2], "revoke"), json={"reason": "X"}),
        lambda: anna.patch(at(customer, mine[3]), json={"units": 1}, headers=STAR),
        lambda: anna.post(customer.articles, json={"article": "S-10"}),
        lambda: customer.act(bought[0], "cancel"),
        lambda: customer.act(bought[1], "renew"),
        lambda: customer.act(bought[2], "upgrade", article="S-10"),
        lambda: anna.patch(f"{customer.articles}/{bought[3]['id']}", json={"order_number": "PO"}, headers=STAR),
        lambda: anna.patch(customer.here, json={"price_model": "basic"}, headers=STAR),
        lambda: anna.patch(customer.here, json={"price_model": None}, headers=STAR),
    ]
    for n, change in enumerate(changes):
        before = await customer.licences(limit=200)
        async with owner.transaction():
            await owner.rows("SELECT FROM usages WHERE feature = 'assets' FOR UPDATE")
            waiting = asyncio.create_task(change())
            assert await asyncio.wait({waiting}, timeout=0.1) == (set(), {waiting}), n
            assert await customer.licences(limit=200) == before
            released = terms.now()
        assert (await waiting).is_success, n
        news = [moment(x[k]) for x in await customer.licences(limit=200) for k in ("starts_at", "ends_at")
                if x[k] and x not in before]  # fmt: skip
        assert [m for m in news if released - timedelta(seconds=0.1) < m < released] == [], n


# --- the clock ---


async def read_in_time(customer: Customer) -> tuple[dict[str, Any], str]:
    """A licence that starts and ends at once, and the tag that it had before it ended: on a slow machine a later one."""
    for seconds in itertools.count(1):
        soon = await granted(customer, starts_at=after(seconds=seconds / 2), ends_at=after(seconds=seconds))
        read = await customer.anna.get(at(customer, soon))
        if read.json()["state"] != "expired":
            return soon, read.headers["etag"]
    raise AssertionError


async def test_a_licence_that_starts_and_ends_this_second_is_what_the_clock_makes_of_it(customer: Customer):
    soon, tag = await read_in_time(customer)
    shown = soon["state"]
    while shown != "expired":
        before = terms_state(soon)
        shown = (await done(customer.anna.get(at(customer, soon))))["state"]
        found = await customer.licences(filter=f"state:eq:{before}")
        assert shown in {before, terms_state(soon)}
        assert found or before != terms_state(soon)
        await asyncio.sleep(0.02)
    fresh = await customer.anna.get(at(customer, soon), headers={"If-None-Match": tag})
    assert (fresh.status_code, fresh.json()["state"]) == (200, "expired")  # no cache keeps what the clock has changed
    start = moment(soon["starts_at"])
    length = (moment(soon["ends_at"]) - start) // timedelta(milliseconds=1)
    edges = (-1, 0, length - 1, length)
    assert [await customer.limit("assets", start + timedelta(milliseconds=n)) for n in edges] == [0, 5, 5, 0]


async def test_the_database_works_out_the_state_that_the_clock_says(customer: Customer):
    """Every combination of start, end, grace, suspension and revocation: the filter finds what is shown."""
    now, days = terms.now(), (-40, -20, -5, 5, 10, None)
    rows = [
        Licence(
            partner_id=customer.partner.id, account_id=customer.account.id, feature="assets", units=1, grace_days=grace,
            max_units_per_claim=None, starts_at=now + timedelta(days=start),
            ends_at=None if end is None else now + timedelta(days=end), source=LicenceSource.MANUAL, reason="A test.",
            suspended_by=by, suspended_at=by and now, suspension_reason=by and "X",
            revoked_at=None if revoked is None else now + timedelta(days=revoked), revocation_reason=revoked and "X",
        )
        for start in (-40, -10, 10) for end in days if end is None or end >= start
        for grace in (0, 10, 30) for by in (None, SuspendedBy.PARTNER) for revoked in (None, -1)
    ]  # fmt: skip
    async with customer.world.transaction(customer.partner.id) as db:
        db.add_all(rows)
    shown = {x["id"]: x["state"] for x in await customer.licences(limit=200, sort="units")}
    assert len(shown) == len(rows) > 80
    assert shown == {str(row.id): terms.state(row, now).value for row in rows}
    for state in terms.LicenceState:
        found = await customer.licences(limit=200, filter=f"state:eq:{state}")
        assert {x["id"] for x in found} == {i for i, s in shown.items() if s == state} != set(), state


# --- lists ---


async def test_the_lists_are_filtered_sorted_searched_and_paged(customer: Customer):
    world = customer.world
    elsewhere = Customer(
        world, customer.partner, await world.account(customer.partner, "Südwerk", by="Anna"), customer.anna
    )
    await shop.article(world, "S-10", shop.grant("assets", 10))
    trial = await granted(customer, ends_at=(end := after(days=3)), order_number="PO-1")
    switch = await granted(customer, feature="api_access", units=1, starts_at=after(days=1))
    bought = await customer.buy("S-10", order_number="PO-2")
    other = await granted(elsewhere, units=8, ends_at=after(days=1))
    (article,) = await customer.licences(filter="source:eq:article")
    names = {trial["id"]: "trial", switch["id"]: "switch", article["id"]: "bought", other["id"]: "other"}
    here, everywhere = f"{customer.here}/licences", f"/v1/partners/{customer.partner.id}/licences"

    async def found(path: str, **query: Any) -> list[str]:
        return [names[item["id"]] for item in (await done(customer.anna.get(path, params=query)))["items"]]

    assert await found(here) == ["switch", "trial", "bought"]
    assert await found(everywhere) == ["other", "trial", "switch", "bought"]  # what ends first; what does not, last
    for query, expected in {
        f"account_id:eq:{elsewhere.account.id}": ["other"], "feature:eq:assets": ["other", "trial", "bought"],
        "source:eq:article": ["bought"], "article:eq:S-10": ["bought"], "order_number:eq:PO-1": ["trial"],
        f"account_article_id:eq:{bought['id']}": ["bought"], "units:gt:5": ["other", "bought"],
        f"ends_at:lte:{end}": ["other", "trial"], "ends_at:is_null:true": ["switch", "bought"],
        "state:eq:scheduled": ["switch"], "state:in:active,grace": ["other", "trial", "bought"],
        f"runs_until:gt:{after(days=2)}": ["trial", "switch", "bought"], f"runs_until:lte:{end}": ["other", "trial"],
    }.items():  # fmt: skip
        assert await found(everywhere, filter=query) == expected, query
    assert await found(everywhere, q="po-2") == ["bought"]
    assert await found(everywhere, sort="-units") == ["bought", "other", "trial", "switch"]
    page = await done(customer.anna.get(everywhere, params={"limit": 1, "count": "true"}))
    assert (page["total"], await found(everywhere, limit=1, cursor=page["next_cursor"])) == (4, ["trial"])
    for query in ("state:eq:gone", "source:eq:gift", "units:gt:x", "account_article_id:eq:x"):
        assert faults(await customer.anna.get(here, params={"filter": query})) == [("query:filter", "invalid_value")]
    graced = await granted(customer, starts_at=after(days=-9), ends_at=after(days=-1), grace_days=3)
    names[graced["id"]] = "graced"
    for days, expected in ((1, ["graced"]), (3, [])):
        ran = ["starts_at:lt:" + after(days=-2), "runs_until:gt:" + after(days=days)]
        assert await found(here, filter=ran) == expected  # days of grace included


# --- price models ---


@pytest.fixture
async def tariffs(customer: Customer) -> Customer:
    """Two price models that give something, and one that does not."""
    await shop.price_model(customer.world, "basic", shop.base("assets", 5))
    await shop.price_model(customer.world, "pro", shop.base("assets", 50), shop.base("api_access", 1))
    await shop.price_model(customer.world, "bare")
    return customer


async def own(customer: Customer, here: str | None = None) -> dict[tuple[str | None, str], tuple[int, str]]:
    """The licences of an account's price models: units and state, by price model and feature."""
    path = f"{here or customer.here}/licences"
    found = (await done(customer.anna.get(path, params={"filter": "source:eq:price_model"})))["items"]
    return {(x["price_model"], x["feature"]): (x["units"], x["state"]) for x in found}


async def test_an_account_has_what_its_price_model_gives_from_its_first_moment(tariffs: Customer):
    path = f"/v1/partners/{tariffs.partner.id}/accounts"
    answer = await tariffs.anna.post(path, json={"name": "New", "price_model": "pro"})
    here = answer.headers["location"]
    assert await own(tariffs, here) == {("pro", "assets"): (50, "active"), ("pro", "api_access"): (1, "active")}
    (first, *_) = (await done(tariffs.anna.get(f"{here}/licences")))["items"]
    assert moment(first["starts_at"]) <= moment(answer.json()["created_at"])
    assert (await tariffs.told()) == ["licence.granted"] * 2
    event = next(e for e in await tariffs.world.events(tariffs.partner.id) if e.type == "licence.granted")
    assert event.details
    assert (event.details["after"]["price_model"], event.details["after"]["source"]) == ("pro", "price_model")
    assert str(event.account_id) == answer.json()["id"]
    for name, model in (("Bare", "bare"), ("None", None)):
        made = await done(tariffs.anna.post(path, json={"name": name, "price_model": model}), 201)
        assert await own(tariffs, f"{path}/{made['id']}") == {}
    taken = await tariffs.anna.post(path, json={"name": "New", "price_model": "pro"})
    assert problem(taken) == (409, "name_taken")
    assert len(await tariffs.told()) == 2


async def test_a_changed_price_model_ends_and_starts_its_base_grants_at_one_moment(tariffs: Customer):
    async def change(model: str | None) -> None:
        await done(tariffs.anna.patch(tariffs.here, json={"price_model": model}, headers=STAR))

    await change("basic")
    assert await own(tariffs) == {("basic", "assets"): (5, "active")}
    await change("pro")
    assert await own(tariffs) == {("basic", "assets"): (5, "expired"), ("pro", "assets"): (50, "active"),
                                  ("pro", "api_access"): (1, "active")}  # fmt: skip
    old, new = await tariffs.licences(filter="feature:eq:assets", sort="starts_at")
    assert old["ends_at"] == new["starts_at"]
    edge = moment(new["starts_at"])
    assert [await tariffs.limit("assets", edge + timedelta(milliseconds=n)) for n in (-1, 0)] == [5, 50]
    await done(tariffs.anna.patch(tariffs.here, json={"name": "Other", "price_model": "pro"}, headers=STAR))
    assert len(await tariffs.licences()) == 3  # as it was: nothing ends, nothing begins
    await change(None)
    assert {state for _, state in (await own(tariffs)).values()} == {"expired"}
    await change("bare")
    assert len(await tariffs.licences()) == 3
    assert await tariffs.told() == [
        "licence.granted",
        "licence.ended",
        *["licence.granted"] * 2,
        *["licence.ended"] * 2,
    ]
    ended = next(e for e in await tariffs.world.events(tariffs.partner.id) if e.type == "licence.ended")
    assert ended.details
    assert ended.details["before"] == {"ends_at": None}
    assert moment(ended.details["after"]["ends_at"]) == edge


async def test_days_of_grace_of_a_base_grant_run_from_the_day_when_the_price_model_is_left(tariffs: Customer):
    await shop.price_model(tariffs.world, "kind", shop.base("assets", 7, grace_days=10))
    for model in ("kind", None):
        await done(tariffs.anna.patch(tariffs.here, json={"price_model": model}, headers=STAR))
    (licence,) = await tariffs.licences()
    assert (licence["state"], moment(licence["over_at"]) - moment(licence["ends_at"])) == ("grace", timedelta(days=10))


async def test_days_of_grace_are_over_where_a_price_model_gives_the_feature_again(tariffs: Customer):
    await shop.price_model(
        tariffs.world, "kind", shop.base("assets", 7, grace_days=10), shop.base("api_access", 1, grace_days=10)
    )

    async def change(model: str | None) -> None:
        await done(tariffs.anna.patch(tariffs.here, json={"price_model": model}, headers=STAR))

    await change("kind")
    await change("basic")  # gives assets and no switch
    assert await own(tariffs) == {("kind", "assets"): (7, "expired"), ("kind", "api_access"): (1, "grace"),
                                  ("basic", "assets"): (5, "active")}  # fmt: skip
    old, new = await tariffs.licences(filter="feature:eq:assets", sort="starts_at")
    edge = moment(new["starts_at"])
    assert (old["over_at"], old["grace_days"]) == (new["starts_at"], 0)
    assert [await tariffs.limit("assets", edge + timedelta(milliseconds=n)) for n in (-1, 0)] == [7, 5]
    for model in ("kind", None, "kind", None, "pro"):
        await change(model)
    assert [await tariffs.limit(key, terms.now()) for key in ("assets", "api_access")] == [50, 1]
    ended = [
        e.details for e in await tariffs.world.events(tariffs.partner.id) if e.type == "licence.ended" and e.details
    ]
    cut = [(d["before"], d["after"]["grace_days"]) for d in ended if "grace_days" in d["after"]]
    assert cut[0] == ({"ends_at": None, "grace_days": 10}, 0)
    assert len(cut) == 6  # each licence of the model with grace, once
    assert len({(d["before"]["ends_at"], d["after"]["ends_at"]) for d in ended}) > 1


async def test_what_operators_suspend_of_a_price_model_stays_so_in_the_next_until_operators_lift_it(tariffs: Customer):
    olga = await tariffs.world.client("Olga", operator=True)

    async def latest(*models: str | None) -> dict[str, Any]:
        for model in models:
            await done(tariffs.anna.patch(tariffs.here, json={"price_model": model}, headers=STAR))
        return (await tariffs.licences(filter="feature:eq:assets", sort="-starts_at"))[0]

    first = await latest("basic")
    await done(olga.post(at(tariffs, first, "suspend"), json={"reason": "Unpaid."}))
    await done(tariffs.anna.post(at(tariffs, first, "revoke"), json={"reason": "A way around?"}))
    second = await latest(None, "pro")
    assert (second["state"], second["suspension"]["by"], second["suspension"]["reason"]) == (
        "suspended", "operator", "Unpaid.")  # fmt: skip
    assert await own(tariffs) == {("basic", "assets"): (5, "revoked"), ("pro", "assets"): (50, "suspended"),
                                  ("pro", "api_access"): (1, "active")}  # fmt: skip
    granted = [e.details["after"] for e in await tariffs.world.events(tariffs.partner.id)
               if str(e.subject_id) == second["id"] and e.details]  # fmt: skip
    assert granted[0]["suspended_by"] == "operator"
    assert problem(await tariffs.anna.post(at(tariffs, second, "resume"))) == (403, "suspended_by_operator")
    third = await latest("basic")
    assert third["state"] == "suspended"
    await done(olga.post(at(tariffs, third, "resume")))
    fourth = await latest(None, "basic")  # what came before the latest counts no more
    assert (fourth["state"], fourth["suspension"]) == ("active", None)
    await done(tariffs.anna.post(at(tariffs, fourth, "suspend"), json={"reason": "Mine."}))
    assert (await latest("pro"))["state"] == "active"  # a partner's own is of that licence


async def test_what_a_price_model_gave_before_stays_whatever_it_becomes(tariffs: Customer, owner: Owner):
    await done(tariffs.anna.patch(tariffs.here, json={"price_model": "basic"}, headers=STAR))
    await owner.execute("UPDATE price_models SET base_grants = '[]'")
    assert await own(tariffs) == {("basic", "assets"): (5, "active")}
    await done(tariffs.anna.patch(tariffs.here, json={"price_model": None}, headers=STAR))
    assert await own(tariffs) == {("basic", "assets"): (5, "expired")}


async def test_archiving_and_suspending_an_account_end_nothing(tariffs: Customer):
    await done(tariffs.anna.patch(tariffs.here, json={"price_model": "basic"}, headers=STAR))
    await done(tariffs.anna.patch(tariffs.here, json={"status": "suspended"}, headers=STAR))
    await tariffs.anna.delete(tariffs.here, headers=STAR)
    assert await own(tariffs) == {("basic", "assets"): (5, "active")}
    await done(tariffs.anna.post(f"{tariffs.here}/restore"))
    assert await tariffs.told() == ["licence.granted"]


async def test_batches_and_imports_change_the_base_grants_too(tariffs: Customer):
    partner = f"/v1/partners/{tariffs.partner.id}"
    item = {"action": "update", "account_id": str(tariffs.account.id), "account": {"price_model": "basic"}}
    new = {"action": "create", "account": {"name": "Batch", "price_model": "basic"}}
    results = (await done(tariffs.anna.post(f"{partner}/account-batches", json={"items": [item, new]})))["results"]
    batch = f"{partner}/accounts/{results[1]['account']['id']}"
    for here in (tariffs.here, batch):
        assert await own(tariffs, here) == {("basic", "assets"): (5, "active")}
    file = f"name,price_model\n{tariffs.account.name},pro\nBatch,\nImported,pro\nBare,bare\n".encode()
    started = await done(tariffs.anna.post(f"{partner}/account-imports", files={"file": ("a.csv", file)},
                                           data={"empty": "clear"}), 201)  # fmt: skip
    worker = tariffs.world.worker()
    await worker.import_all()
    await done(tariffs.anna.post(f"{partner}/account-imports/{started['id']}/confirm", json={}))
    await worker.import_all()
    result = await done(tariffs.anna.get(f"{partner}/account-imports/{started['id']}"))
    assert (result["status"], result["result"]["created"], result["result"]["updated"]) == ("done", 2, 2)
    by_name = {a["name"]: f"{partner}/accounts/{a['id']}"
               for a in (await done(tariffs.anna.get(f"{partner}/accounts")))["items"]}  # fmt: skip
    pro = {("pro", "assets"): (50, "active"), ("pro", "api_access"): (1, "active")}
    assert await own(tariffs) == {("basic", "assets"): (5, "expired")} | pro
    assert await own(tariffs, by_name["Imported"]) == pro
    assert await own(tariffs, by_name["Batch"]) == {("basic", "assets"): (5, "expired")}
    assert await own(tariffs, by_name["Bare"]) == {}
    assert sorted(await tariffs.told()) == ["licence.ended"] * 2 + ["licence.granted"] * 6
