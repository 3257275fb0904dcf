"""Purchases: articles bought, cancelled, renewed and upgraded, and the licences that come and go with them."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import select

from app.models import Account, Licence, Partner, utc_now
from app.policy import Role
from app.services import terms
from tests import shop
from tests.conftest import Owner, World, problem

STAR = {"If-Match": "*"}


@dataclass
class Customer:
    """An account of a partner, and its partner's admin, who buys for it."""

    world: World
    partner: Partner
    account: Account
    anna: AsyncClient

    @property
    def here(self) -> str:
        return f"/v1/partners/{self.partner.id}/accounts/{self.account.id}"

    @property
    def articles(self) -> str:
        return f"{self.here}/articles"

    async def buy(self, article: str, **values: Any) -> dict[str, Any]:
        return await done(self.anna.post(self.articles, json={"article": article, **values}), 201)

    async def act(self, purchase: dict[str, Any], verb: str, **values: Any) -> Response:
        return await self.anna.post(f"{self.articles}/{purchase['id']}/{verb}", json=values)

    async def licences(self, **query: Any) -> list[dict[str, Any]]:
        return (await done(self.anna.get(f"{self.here}/licences", params=query)))["items"]

    async def limit(self, feature: str, at: datetime) -> int:
        """The units of the licences in force at that moment."""
        async with self.world.transaction(self.partner.id) as db:
            rows = await db.scalars(select(Licence).where(Licence.feature == feature))
            return sum(row.units for row in rows if terms.in_force(row, at))

    async def told(self) -> list[str]:
        """What the change log says of purchases and licences."""
        events = await self.world.events(self.partner.id)
        return [e.type for e in events if e.subject_type in ("account_article", "licence")]


async def done(request: Any, status: int = 200) -> dict[str, Any]:
    answer = await request
    assert answer.status_code == status, answer.text
    return answer.json()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def after(**time: float) -> str:
    """A moment that much later than now, as the API shows it."""
    return (utc_now() + timedelta(**time)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def faults(answer: Response) -> list[tuple[str, str]]:
    assert problem(answer) == (422, "invalid")
    return [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


@pytest.fixture
async def customer(world: World) -> Customer:
    """Someone for whom an article grants ten assets, and another a hundred and a switch."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Max=Role.PARTNER_MANAGER, Vera=Role.PARTNER_VIEWER)
    account = await world.account(partner, by="Anna", Ada=Role.ACCOUNT_ADMIN)
    await shop.feature(world, "assets")
    await shop.feature(world, "api_access", kind="switch", unit={})
    await shop.article(world, "S-10", shop.grant("assets", 10), price="12.5")
    await shop.article(world, "L-100", shop.grant("assets", 100), shop.grant("api_access", 1), price="99")
    return Customer(world, partner, account, await world.client("Anna"))


# --- buying ---


async def test_what_is_bought_is_shown_with_the_terms_of_that_day_and_its_licences_are_there(customer: Customer):
    before = terms.now()
    answer = await customer.anna.post(customer.articles, json={
        "article": "L-100", "quantity": 3, "order_number": " PO-1 ", "invoice_number": "RE-1",
    })  # fmt: skip
    bought = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{customer.articles}/{bought['id']}")
    assert before <= moment(bought["starts_at"]) <= terms.now()
    assert bought == {
        "id": bought["id"], "partner_id": str(customer.partner.id), "account_id": str(customer.account.id),
        "article": "L-100", "name": {"en": "Article L-100", "de": "Article L-100"}, "state": "active", "quantity": 3,
        "price": {"amount": "99.00", "currency": "EUR"}, "billing_period": "monthly",
        "grants": [shop.grant("assets", 100), shop.grant("api_access", 1)], "price_model": None,
        "order_number": "PO-1", "invoice_number": "RE-1", "starts_at": bought["starts_at"], "ends_at": None,
        "cancelled_at": None, "cancellation_reason": None, "renews_id": None, "replaces_id": None,
        "created_at": bought["created_at"], "updated_at": bought["updated_at"],
    }  # fmt: skip
    read = await customer.anna.get(answer.headers["location"])
    assert (read.json(), read.headers["etag"]) == (bought, answer.headers["etag"])
    switch, assets = await customer.licences()
    assert [(x["feature"], x["units"], x["state"]) for x in (switch, assets)] == [
        ("api_access", 1, "active"), ("assets", 300, "active")]  # fmt: skip
    for licence in (switch, assets):
        assert (licence["source"], licence["account_article_id"], licence["article"], licence["order_number"]) == (
            "article", bought["id"], "L-100", "PO-1")  # fmt: skip
        assert (licence["starts_at"], licence["ends_at"], licence["over_at"]) == (bought["starts_at"], None, None)
    bought_event, *granted = [e for e in await customer.world.events(customer.partner.id)
                              if e.subject_type in ("account_article", "licence")]  # fmt: skip
    assert (bought_event.type, [e.type for e in granted]) == ("account_article.bought", ["licence.granted"] * 2)
    assert {e.account_id for e in (bought_event, *granted)} == {customer.account.id}
    assert bought_event.details
    assert bought_event.details["after"]["grants"] == bought["grants"]


async def test_who_buys_and_cancels_and_who_only_reads(customer: Customer):
    bought, world = await customer.buy("S-10"), customer.world
    await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    here = f"{customer.articles}/{bought['id']}"
    for name, may, reads in (("Max", 403, 200), ("Vera", 403, 200), ("Ada", 403, 200), ("Rita", 404, 404)):
        caller = await world.client(name)
        for path, body in ((customer.articles, {"article": "S-10"}), (f"{here}/cancel", {}), (f"{here}/renew", {}),
                           (f"{here}/upgrade", {"article": "L-100"})):  # fmt: skip
            assert (await caller.post(path, json=body)).status_code == may, (name, path)
        assert (await caller.patch(here, json={"order_number": "X"}, headers=STAR)).status_code == may
        assert {(await caller.get(path)).status_code for path in (customer.articles, here)} == {reads}
    assert await customer.told() == ["account_article.bought", "licence.granted"]
    olivia = await world.client("Olivia", operator=True)
    assert (await olivia.post(f"{here}/cancel", json={})).status_code == 200


async def test_the_price_is_the_given_one_or_the_price_models_or_the_articles(customer: Customer):
    await shop.price_model(customer.world, "pro", prices={"S-10": "9.9"})

    async def price(article: str, **values: Any) -> tuple[str, str, str | None]:
        bought = await customer.buy(article, **values)
        return bought["price"]["amount"], bought["price"]["currency"], bought["price_model"]

    assert await price("S-10") == ("12.50", "EUR", None)
    assert (await customer.anna.patch(customer.here, json={"price_model": "pro"}, headers=STAR)).status_code == 200
    assert await price("S-10") == ("9.90", "EUR", "pro")
    assert await price("L-100") == ("99.00", "EUR", None)
    for given, amount, currency in (("7", "7.00", "EUR"), ("0.0042", "0.0042", "EUR"), ("5000", "5000", "JPY")):
        asked = {"amount": given, "currency": currency}
        assert await price("S-10", price=asked) == (amount, currency, None)
    for wrong, pointer in (({"amount": "-1", "currency": "EUR"}, "/price/amount"), ({"amount": 5, "currency": "EUR"}, "/price/amount"),
                           ({"amount": "1", "currency": "XQX"}, "/price/currency"), ({"amount": "1"}, "/price/currency")):  # fmt: skip
        answer = await customer.anna.post(customer.articles, json={"article": "S-10", "price": wrong})
        assert [at for at, _ in faults(answer)] == [pointer]


async def test_what_was_sold_stays_as_it_was_whatever_the_catalogue_becomes(customer: Customer, owner: Owner):
    bought = await customer.buy("S-10")
    licences = await customer.licences()
    await owner.execute(
        """UPDATE articles SET amount = 1, name = '{"en": "Other"}', grants = '[]', archived_at = now()"""
    )
    assert await done(customer.anna.get(f"{customer.articles}/{bought['id']}")) == bought
    assert await customer.licences() == licences


async def test_a_period_in_the_past_or_the_future_is_what_the_clock_makes_of_it(customer: Customer):
    past = await customer.buy("S-10", starts_at=after(days=-3), ends_at=after(days=-1))
    future = await customer.buy("S-10", starts_at=after(days=1))
    assert (past["state"], future["state"]) == ("ended", "scheduled")
    soon = await customer.buy("S-10", starts_at=after(seconds=-1), ends_at=after(seconds=1.5))
    assert soon["state"] == "active"
    states = {x["account_article_id"]: x["state"] for x in await customer.licences()}
    assert states == {past["id"]: "expired", future["id"]: "scheduled", soon["id"]: "active"}
    tag = (await customer.anna.get(f"{customer.articles}/{soon['id']}")).headers["etag"]
    await asyncio.sleep(max(0.0, (moment(soon["ends_at"]) - utc_now()).total_seconds()))
    now = await customer.anna.get(f"{customer.articles}/{soon['id']}", headers={"If-None-Match": tag})
    assert (now.status_code, now.json()["state"]) == (200, "ended")  # no cache keeps what the clock has changed
    assert {x["state"] for x in await customer.licences(filter=f"account_article_id:eq:{soon['id']}")} == {"expired"}


async def test_licences_end_with_their_duration_or_with_the_purchase_whichever_is_first(
    customer: Customer, owner: Owner
):
    await owner.execute("UPDATE partners SET time_zone = 'Europe/Berlin'")
    await shop.article(customer.world, "Y", shop.grant("assets", 1, "P1Y", grace_days=14, max_units_per_claim=2))
    start = "2026-03-01T00:00:00.000Z"
    for ends_at, expected in ((None, "2027-03-01T00:00:00.000Z"), ("2026-09-01T00:00:00Z", "2026-09-01T00:00:00.000Z"),
                              ("2028-09-01T00:00:00Z", "2027-03-01T00:00:00.000Z")):  # fmt: skip
        bought = await customer.buy("Y", starts_at=start, ends_at=ends_at)
        (licence,) = await customer.licences(filter=f"account_article_id:eq:{bought['id']}")
        assert (licence["ends_at"], licence["grace_days"], licence["max_units_per_claim"]) == (expected, 14, 2)
        assert moment(licence["over_at"]) == moment(expected) + timedelta(days=14)
    await shop.article(customer.world, "M", shop.grant("assets", 1, "P1M"))
    bought = await customer.buy("M", starts_at="2026-03-01T12:00:00Z")  # the clocks go forward within it
    (licence,) = await customer.licences(filter=f"account_article_id:eq:{bought['id']}")
    assert licence["ends_at"] == "2026-04-01T11:00:00.000Z"
    await owner.execute("UPDATE accounts SET time_zone = 'UTC'")
    bought = await customer.buy("M", starts_at="2026-03-01T12:00:00Z")
    (licence,) = await customer.licences(filter=f"account_article_id:eq:{bought['id']}")
    assert licence["ends_at"] == "2026-04-01T12:00:00.000Z"


async def test_what_is_not_for_sale_is_refused_and_nothing_comes_into_being(customer: Customer):
    world, now = customer.world, datetime.now(UTC)
    await shop.article(world, "OLD", archived_at=now)
    await shop.article(world, "SEASON", active_from_at=now + timedelta(days=1), active_until_at=now + timedelta(days=2))
    await shop.article(world, "HUGE", shop.grant("assets", 10**9))
    for body, expected in (
        ({"article": "NONE"}, ("/article", "unknown_article")), ({"article": "OLD"}, ("/article", "archived_article")),
        ({"article": "SEASON"}, ("/article", "article_not_sold_then")),
        ({"article": "SEASON", "starts_at": after(days=3)}, ("/article", "article_not_sold_then")),
        ({"article": "HUGE", "quantity": 3}, ("/quantity", "too_many_units")),
        ({"article": "S-10", "quantity": 0}, ("/quantity", "greater_than_equal")),
        ({"article": "S-10", "quantity": 100_001}, ("/quantity", "less_than_equal")),
        ({"article": "S-10", "quantity": True}, ("/quantity", "int_type")),
        ({"article": "S-10", "ends_at": after(days=-1)}, ("/ends_at", "not_after_start")),
        ({"article": "S-10", "starts_at": after(days=1), "ends_at": after(hours=1)}, ("/ends_at", "not_after_start")),
        ({"article": "S-10", "starts_at": 0}, ("/starts_at", "datetime_parsing")),
        ({"article": "S-10", "starts_at": "2026-02-30T00:00:00Z"}, ("/starts_at", "datetime_parsing")),
        ({"article": "S-10", "starts_at": "2026-02-20T00:00:00"}, ("/starts_at", "datetime_parsing")),
        ({"article": "S-10", "starts_at": "0001-01-01T00:00:00+14:00"}, ("/starts_at", "datetime_parsing")),
        ({"article": "S-10", "starts_at": "3000-01-01T00:00:00Z"}, ("/starts_at", "datetime_parsing")),
        ({"article": "S-10", "order_number": " "}, ("/order_number", "string_too_short")),
        ({"article": "S-10", "order_number": "a\u0000"}, ("/order_number", "unprintable")),
        ({"article": "S-10", "order_number": "x" * 65}, ("/order_number", "string_too_long")),
        ({}, ("/article", "missing")),
    ):  # fmt: skip
        answer = await customer.anna.post(customer.articles, json=body)
        assert faults(answer) == [expected], body
    assert (await done(customer.anna.get(customer.articles)))["items"] == await customer.licences() == []
    assert await customer.told() == []
    assert (await customer.buy("SEASON", starts_at=after(days=1, minutes=1)))["state"] == "scheduled"
    assert (await customer.buy("HUGE"))["quantity"] == 1


async def test_nothing_is_bought_for_an_account_that_is_suspended_or_archived_and_all_can_be_read(customer: Customer):
    bought = await customer.buy("S-10", ends_at=after(days=30))
    other = await customer.buy("S-10")
    here = f"{customer.articles}/{bought['id']}"

    async def refused(code: str, *, cancel: int) -> None:
        for path, body in ((customer.articles, {"article": "S-10"}), (f"{here}/renew", {}),
                           (f"{here}/upgrade", {"article": "L-100"})):  # fmt: skip
            assert problem(await customer.anna.post(path, json=body)) == (409, code)
        assert (await customer.act(other, "cancel")).status_code == cancel
        patched = await customer.anna.patch(here, json={"invoice_number": code}, headers=STAR)
        assert patched.status_code == cancel
        assert (await customer.anna.get(here)).status_code == (await customer.anna.get(customer.articles)).status_code

    await customer.anna.patch(customer.here, json={"status": "suspended"}, headers=STAR)
    await refused("account_suspended", cancel=200)  # who does not pay is given notice
    assert (await customer.anna.delete(customer.here, headers=STAR)).status_code == 204
    await refused("account_archived", cancel=409)
    states = {x["account_article_id"]: x["state"] for x in await customer.licences()}
    assert states == {bought["id"]: "active", other["id"]: "expired"}  # archiving ends nothing
    assert (await customer.anna.post(f"{customer.here}/restore")).status_code == 200
    assert (await customer.act(bought, "renew")).status_code == 201


async def test_a_repeated_post_is_one_purchase(customer: Customer):
    body, key = {"article": "S-10"}, {"Idempotency-Key": "order-1"}
    answers = [await customer.anna.post(customer.articles, json=body, headers=key) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert await customer.told() == ["account_article.bought", "licence.granted"]


# --- order and invoice numbers ---


async def test_order_and_invoice_number_are_patched_with_if_match_and_the_licences_follow(customer: Customer):
    bought = await customer.buy("L-100", order_number="PO-1")
    here = f"{customer.articles}/{bought['id']}"
    assert problem(await customer.anna.patch(here, json={})) == (428, "precondition_required")
    tag = (await customer.anna.get(here)).headers["etag"]
    patched = await customer.anna.patch(
        here, json={"order_number": "PO-2", "invoice_number": "RE-7"}, headers={"If-Match": tag}
    )
    assert (patched.status_code, patched.json()["order_number"], patched.json()["invoice_number"]) == (
        200, "PO-2", "RE-7")  # fmt: skip
    stale = await customer.anna.patch(here, json={"order_number": None}, headers={"If-Match": tag})
    assert problem(stale) == (412, "version_mismatch")
    assert {x["order_number"] for x in await customer.licences()} == {"PO-2"}
    assert (await customer.told())[3:] == ["account_article.updated", "licence.updated", "licence.updated"]
    cleared = await done(customer.anna.patch(here, json={"order_number": None}, headers=STAR))
    assert (cleared["order_number"], cleared["invoice_number"]) == (None, "RE-7")
    for field in ("article", "quantity", "price", "starts_at", "ends_at", "name"):
        answer = await customer.anna.patch(here, json={field: None}, headers=STAR)
        assert faults(answer) == [(f"/{field}", "extra_forbidden")]


# --- cancelling ---


async def test_cancelled_now_or_at_a_date_it_ends_then_with_its_licences_and_no_days_of_grace(customer: Customer):
    await shop.article(customer.world, "G", shop.grant("assets", 5, grace_days=30))
    now_, later = await customer.buy("G"), await customer.buy("G", ends_at=after(days=60))
    at = after(days=10)
    answer = await customer.act(now_, "cancel", reason="Moved away.")
    ended = answer.json()
    assert (answer.status_code, ended["state"], ended["cancellation_reason"]) == (200, "ended", "Moved away.")
    assert ended["ends_at"] == ended["cancelled_at"]
    planned = (await customer.act(later, "cancel", at=at)).json()
    assert (planned["state"], planned["ends_at"], planned["cancelled_at"] < at) == ("active", at, True)
    found = {x["account_article_id"]: x for x in await customer.licences()}
    assert (found[now_["id"]]["state"], found[now_["id"]]["over_at"]) == ("expired", ended["ends_at"])
    assert (found[later["id"]]["state"], found[later["id"]]["over_at"]) == ("active", at)
    edge = moment(at)
    assert [await customer.limit("assets", edge - timedelta(milliseconds=1)), await customer.limit("assets", edge)] == [
        5,
        0,
    ]
    assert (await customer.told())[4:] == ["account_article.cancelled", "licence.ended"] * 2
    event = next(e for e in await customer.world.events(customer.partner.id) if e.type == "licence.ended")
    assert event.details
    assert event.details["before"] == {"ends_at": None, "grace_days": 30}
    assert event.details["after"]["grace_days"] == 0


async def test_a_purchase_that_has_not_begun_is_called_off_and_gives_nothing_ever(customer: Customer):
    await shop.article(customer.world, "G", shop.grant("assets", 5, "P1Y", grace_days=30))
    start = after(days=5)
    bought = await customer.buy("G", starts_at=start)
    off = (await customer.act(bought, "cancel")).json()
    assert (off["state"], off["starts_at"], off["ends_at"]) == ("ended", start, start)
    for days in (0, 4, 5, 6, 400):
        assert await customer.limit("assets", utc_now() + timedelta(days=days)) == 0
    assert await customer.limit("assets", moment(start)) == 0
    assert problem(await customer.act(bought, "cancel")) == (409, "purchase_over")
    (licence,) = await customer.licences()
    assert (licence["state"], licence["over_at"]) == ("expired", start)
    assert await customer.licences(filter="state:eq:scheduled") == []
    assert problem(await customer.anna.post(f"{customer.here}/licences/{licence['id']}/suspend",
                                            json={"reason": "Unpaid."})) == (409, "licence_over")  # fmt: skip
    overview = await done(customer.anna.get(f"{customer.here}/overview"))
    assert (overview["articles"], overview["licences"], overview["entitlements"]) == ([], [], [])


async def test_a_date_outside_the_period_and_a_second_cancellation_are_refused(customer: Customer):
    bought = await customer.buy("S-10", starts_at=after(days=-1), ends_at=after(days=9))
    for at in (after(days=-2), after(days=10)):
        assert faults(await customer.act(bought, "cancel", at=at)) == [("/at", "outside_period")]
    assert (await customer.act(bought, "cancel", at=after(days=8))).status_code == 200
    sooner = await customer.act(bought, "cancel", at=after(days=3))  # it still runs: it may end sooner, not later
    assert sooner.status_code == 200
    assert faults(await customer.act(bought, "cancel", at=after(days=8))) == [("/at", "outside_period")]
    assert (await customer.act(bought, "cancel")).status_code == 200
    assert problem(await customer.act(bought, "cancel")) == (409, "purchase_over")
    over = await customer.buy("S-10", starts_at=after(days=-2), ends_at=after(days=-1))
    assert problem(await customer.act(over, "cancel")) == (409, "purchase_over")
    ghost = {"id": "0198c5b2-7a1e-7c3d-9f60-4b2a1d3e5f60"}
    assert problem(await customer.act(ghost, "cancel")) == (404, "not_found")


async def test_a_licence_that_is_over_or_revoked_already_stays_as_it_was(customer: Customer):
    await shop.article(
        customer.world, "D", shop.grant("assets", 5, "P1D"), shop.grant("api_access", 1, "P1D", grace_days=9)
    )
    bought = await customer.buy("D", starts_at=after(days=-3))
    in_grace, over = await customer.licences()
    assert (in_grace["state"], over["state"]) == ("grace", "expired")
    ended = (await customer.act(bought, "cancel")).json()
    after_grace, still_over = await customer.licences()
    assert still_over == over
    assert (after_grace["state"], after_grace["over_at"]) == ("expired", ended["ends_at"])

    bought = await customer.buy("S-10")
    (licence,) = await customer.licences(filter=f"account_article_id:eq:{bought['id']}")
    path = f"{customer.here}/licences/{licence['id']}"
    revoked = await done(customer.anna.post(f"{path}/revoke", json={"reason": "A mistake."}))
    await done(customer.act(bought, "cancel"))
    assert await done(customer.anna.get(path)) == revoked


# --- renewing ---


async def test_a_renewal_goes_on_where_the_purchase_ends_on_the_terms_of_today(customer: Customer, owner: Owner):
    end = after(days=30)
    await owner.execute("UPDATE articles SET grants = jsonb_set(grants, '{0,grace_days}', '14')")
    bought = await customer.buy(
        "S-10", quantity=2, ends_at=end, order_number="PO-1", price={"amount": "1", "currency": "EUR"}
    )
    await owner.execute("""UPDATE articles SET amount = 20, grants = '[{"feature": "assets", "units": 12}]'""")
    answer = await customer.act(bought, "renew", order_number="PO-2")
    new = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{customer.articles}/{new['id']}")
    assert (new["starts_at"], new["ends_at"], new["state"], new["renews_id"]) == (end, None, "scheduled", bought["id"])
    assert (new["quantity"], new["price"]["amount"], new["order_number"]) == (2, "20.00", "PO-2")
    edge = moment(end)
    assert [await customer.limit("assets", edge + timedelta(milliseconds=n)) for n in (-1, 0)] == [20, 24]
    assert await done(customer.anna.get(f"{customer.articles}/{bought['id']}")) == bought
    assert (await customer.told())[2:] == [
        "licence.ended", "account_article.bought", "licence.granted", "account_article.renewed"]  # fmt: skip
    assert problem(await customer.act(bought, "renew")) == (409, "purchase_continued")
    assert problem(await customer.act(bought, "upgrade", article="L-100")) == (409, "purchase_continued")
    assert (await customer.act(new, "cancel")).status_code == 200  # called off: the first may be continued otherwise
    given = (await customer.act(bought, "renew", quantity=1, ends_at=after(days=90), starts_at=after(days=31))).json()
    assert (given["quantity"], given["renews_id"]) == (1, bought["id"])


async def test_what_cannot_be_renewed(customer: Customer, owner: Owner):
    open_ended, over = (
        await customer.buy("S-10"),
        await customer.buy("S-10", starts_at=after(days=-2), ends_at=after(days=-1)),
    )
    cancelled, fine = await customer.buy("S-10"), await customer.buy("S-10", ends_at=after(days=3))
    await customer.act(cancelled, "cancel", at=after(days=1))
    assert problem(await customer.act(open_ended, "renew")) == (409, "purchase_open_ended")
    for purchase in (over, cancelled):
        assert problem(await customer.act(purchase, "renew")) == (409, "purchase_over")
        assert problem(await customer.act(purchase, "upgrade", article="L-100")) == (409, "purchase_over")
    assert faults(await customer.act(fine, "renew", starts_at=after(days=2))) == [("/starts_at", "before_end")]
    assert faults(await customer.act(fine, "renew", ends_at=after(days=2))) == [("/ends_at", "not_after_start")]
    await owner.execute("UPDATE articles SET active_until_at = now() + interval '2 days'")
    assert problem(await customer.act(fine, "renew")) == (409, "article_not_sold")
    await owner.execute("UPDATE articles SET active_until_at = null, archived_at = now()")
    assert problem(await customer.act(fine, "renew")) == (409, "article_not_sold")
    await owner.execute("UPDATE articles SET archived_at = null")
    assert (await customer.act(fine, "renew")).status_code == 201


# --- upgrading ---


async def test_an_upgrade_leaves_no_moment_with_neither_and_none_with_both(customer: Customer):
    await shop.article(customer.world, "G", shop.grant("assets", 5, "P1Y", grace_days=30))
    bought = await customer.buy("G", starts_at=after(days=-1), quantity=2, order_number="PO-1")
    answer = await customer.act(bought, "upgrade", article="L-100", quantity=1)
    new = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{customer.articles}/{new['id']}")
    old = await done(customer.anna.get(f"{customer.articles}/{bought['id']}"))
    assert (old["state"], new["state"], old["ends_at"], new["replaces_id"]) == (
        "ended",
        "active",
        new["starts_at"],
        bought["id"],
    )
    assert (old["cancelled_at"], new["ends_at"], new["order_number"]) == (None, None, None)
    edge = moment(new["starts_at"])
    steps = [await customer.limit("assets", edge + timedelta(milliseconds=n)) for n in (-1, 0, 1, 10**9)]
    assert steps == [10, 100, 100, 100]
    assert (await customer.told())[2:] == [
        "licence.ended", "account_article.bought", "licence.granted", "licence.granted", "account_article.upgraded"]  # fmt: skip
    for verb in ("renew", "upgrade", "cancel"):
        again = await customer.act(bought, verb, **({"article": "L-100"} if verb == "upgrade" else {}))
        assert problem(again) == (409, "purchase_over")


async def test_an_upgrade_at_a_date_in_grace_or_before_the_start_has_no_gap_either(customer: Customer):
    await shop.article(customer.world, "G", shop.grant("assets", 5, "P1D", grace_days=30))
    in_grace = await customer.buy("G", starts_at=after(days=-5))
    new = (await customer.act(in_grace, "upgrade", article="S-10")).json()
    edge = moment(new["starts_at"])
    assert [await customer.limit("assets", edge + timedelta(milliseconds=n)) for n in (-1, 0)] == [5, 10]
    await customer.act(new, "cancel")

    end, at = after(days=20), after(days=7)
    dated = await customer.buy("S-10", ends_at=end)
    new = (await customer.act(dated, "upgrade", article="L-100", at=at)).json()
    assert (new["starts_at"], new["ends_at"]) == (at, end)  # it ends when the other would have
    steps = [await customer.limit("assets", moment(t) + timedelta(milliseconds=n)) for t in (at, end) for n in (-1, 0)]
    assert steps == [10, 100, 100, 0]
    assert problem(await customer.act(dated, "upgrade", article="L-100")) == (409, "purchase_continued")

    future = await customer.buy("S-10", starts_at=after(days=40))
    new = (await customer.act(future, "upgrade", article="L-100", ends_at=None)).json()
    assert (new["starts_at"], new["ends_at"], new["state"]) == (future["starts_at"], None, "scheduled")
    edge = moment(future["starts_at"])
    assert [await customer.limit("assets", edge + timedelta(milliseconds=n)) for n in (-1, 0)] == [0, 100]


@pytest.mark.parametrize("verb", ["renew", "upgrade"])
async def test_what_operators_suspended_of_a_purchase_stays_so_in_the_one_that_continues_it(
    customer: Customer, verb: str
):
    olga = await customer.world.client("Olga", operator=True)
    purchase = await customer.buy("L-100", ends_at=after(days=5))
    more = {"article": "L-100"} if verb == "upgrade" else {}

    async def continued(purchase: dict[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        new = await done(customer.act(purchase, verb, ends_at=after(days=5 + 5 * next(rounds)), **more), 201)
        found = await customer.licences(filter=f"account_article_id:eq:{new['id']}")
        return new, {licence["feature"]: licence for licence in found}

    rounds = iter(range(1, 9))
    by_feature = {licence["feature"]: licence for licence in await customer.licences()}
    path = f"{customer.here}/licences"
    told = {"reason": "Unpaid."}
    stopped = await done(olga.post(f"{path}/{by_feature['assets']['id']}/suspend", json=told))
    await done(customer.anna.post(f"{path}/{by_feature['api_access']['id']}/suspend", json=told))
    purchase, found = await continued(purchase)
    assert found["assets"]["suspension"] == stopped["suspension"]
    assert found["api_access"]["suspension"] is None  # a partner's own is of that licence
    lifting = f"{path}/{found['assets']['id']}/resume"
    assert problem(await customer.anna.post(lifting)) == (403, "suspended_by_operator")
    await done(olga.post(lifting))
    purchase, found = await continued(purchase)
    assert found["assets"]["suspension"] is None
    await done(olga.post(f"{path}/{found['assets']['id']}/suspend", json=told))
    await done(customer.act(purchase, "cancel"))  # cancelling stays possible, and buying anew
    await customer.buy("S-10")
    assert await customer.limit("assets", utc_now()) >= 10


async def test_a_suspension_survives_an_article_that_does_not_grant_the_feature(customer: Customer):
    """From A to B and back, or further: the latest licence of the feature on the way decides."""
    olga = await customer.world.client("Olga", operator=True)
    path, told = f"{customer.here}/licences", {"reason": "Unpaid."}

    async def upgraded(purchase: dict[str, Any], article: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        new = await done(customer.act(purchase, "upgrade", article=article), 201)
        found = await customer.licences(filter=f"account_article_id:eq:{new['id']}")
        return new, {licence["feature"]: licence for licence in found}

    purchase = await customer.buy("L-100")
    switch = next(x for x in await customer.licences() if x["feature"] == "api_access")
    stopped = await done(olga.post(f"{path}/{switch['id']}/suspend", json=told))
    for _ in range(2):
        purchase, found = await upgraded(purchase, "S-10")
        assert found.keys() == {"assets"}
        assert found["assets"]["state"] == "active"
    purchase, found = await upgraded(purchase, "L-100")
    assert found["api_access"]["suspension"] == stopped["suspension"]
    assert found["assets"]["suspension"] is None
    assert await customer.limit("api_access", utc_now()) == 0
    await done(olga.post(f"{path}/{found['api_access']['id']}/resume"))
    purchase, _ = await upgraded(purchase, "S-10")
    purchase, found = await upgraded(purchase, "L-100")
    assert found["api_access"]["suspension"] is None  # what was lifted stays lifted
    other = await customer.buy("L-100")
    (anew,) = await customer.licences(filter=[f"account_article_id:eq:{other['id']}", "feature:eq:api_access"])
    assert anew["suspension"] is None


async def test_an_upgrade_that_is_refused_leaves_the_purchase_as_it_was(customer: Customer):
    await shop.article(customer.world, "OLD", archived_at=datetime.now(UTC))
    await shop.article(customer.world, "HUGE", shop.grant("assets", 10**9))
    bought = await customer.buy("S-10", quantity=2, ends_at=after(days=5))
    licences = await customer.licences()
    for body, expected in (
        ({"article": "NONE"}, ("/article", "unknown_article")), ({"article": "OLD"}, ("/article", "archived_article")),
        ({"article": "HUGE", "quantity": 3}, ("/quantity", "too_many_units")),
        ({"article": "L-100", "at": after(days=-1)}, ("/at", "outside_period")),
        ({"article": "L-100", "at": after(days=6)}, ("/at", "outside_period")),
        ({"article": "L-100", "ends_at": after(days=-6)}, ("/ends_at", "not_after_start")),
    ):  # fmt: skip
        assert faults(await customer.act(bought, "upgrade", **body)) == [expected]
    assert (await done(customer.anna.get(customer.articles)))["items"] == [bought]
    assert await customer.licences() == licences
    assert await customer.told() == ["account_article.bought", "licence.granted"]


async def test_of_many_who_continue_one_purchase_at_once_one_does(customer: Customer):
    bought = await customer.buy("S-10", ends_at=after(days=30))
    answers = await asyncio.gather(*(customer.act(bought, "renew") for _ in range(4)),
                                   *(customer.act(bought, "upgrade", article="L-100") for _ in range(4)))  # fmt: skip
    assert sorted(a.status_code for a in answers) == [201] + [409] * 7
    assert {problem(a)[1] for a in answers if a.status_code == 409} <= {"purchase_continued", "purchase_over"}
    assert len((await done(customer.anna.get(customer.articles)))["items"]) == 2


# --- lists ---


async def test_the_lists_are_filtered_sorted_searched_and_paged(customer: Customer):
    anna, world = customer.anna, customer.world
    other = await world.account(customer.partner, "Südwerk", by="Anna")
    await world.account(await world.partner("Rival", Rita=Role.PARTNER_ADMIN), by="Rita")
    first = await customer.buy(
        "S-10", starts_at="2026-01-01T00:00:00Z", ends_at="2026-02-01T00:00:00Z", order_number="PO-1"
    )
    second = await customer.buy("L-100", starts_at="2026-03-01T00:00:00Z", invoice_number="RE-2", order_number="po-2")
    third = await customer.buy("S-10", starts_at="2199-01-01T00:00:00Z")
    elsewhere = Customer(world, customer.partner, other, anna)
    fourth = await elsewhere.buy("S-10", order_number="PO-1")
    names = {first["id"]: "first", second["id"]: "second", third["id"]: "third", fourth["id"]: "fourth"}
    everywhere = f"/v1/partners/{customer.partner.id}/account-articles"

    async def found(path: str, **query: Any) -> list[str]:
        return [names[item["id"]] for item in (await done(anna.get(path, params=query)))["items"]]

    assert await found(customer.articles) == ["third", "second", "first"]
    assert await found(elsewhere.articles) == ["fourth"]
    assert await found(everywhere) == ["third", "fourth", "second", "first"]
    assert await found(everywhere, filter=f"account_id:eq:{other.id}") == ["fourth"]
    for query, expected in {
        "article:eq:S-10": ["third", "first"], "article:starts_with:L": ["second"], "order_number:eq:PO-1": ["first"],
        "order_number:is_null:true": ["third"], "invoice_number:contains:RE": ["second"],
        "starts_at:gte:2026-02-01": ["third", "second"], "ends_at:lt:2026-03-01": ["first"],
        "ends_at:is_null:true": ["third", "second"], "state:eq:active": ["second"],
        "state:in:scheduled,ended": ["third", "first"], "cancelled:eq:true": [],
    }.items():  # fmt: skip
        assert await found(customer.articles, filter=query) == expected, query
    for start, end, expected in (
        ("2025-12-01", "2026-01-01", []), ("2026-01-31", "2026-03-01", ["first"]), ("2026-02-01", "2026-03-01", []),
        ("2026-03-31", "2026-04-01", ["second"]), ("2025-01-01", "2200-01-01", ["third", "second", "first"]),
    ):  # fmt: skip
        ran = [f"starts_at:lt:{end}", f"runs_until:gt:{start}"]  # in a period, wholly or in part
        assert await found(customer.articles, filter=ran) == expected, (start, end)
    await done(customer.act(third, "cancel"))
    assert await found(customer.articles, filter="runs_until:gt:2026-02-01") == ["second"]  # called off, it never runs
    assert problem(await anna.get(everywhere, params={"filter": "runs_until:eq:2026-02-01"})) == (422, "invalid")
    assert await found(customer.articles, sort="ends_at,starts_at") == ["first", "third", "second"]
    assert await found(customer.articles, sort="-order_number") == ["second", "first", "third"]
    assert await found(everywhere, sort="-created_at") == ["fourth", "third", "second", "first"]
    assert await found(everywhere, q="po-1") == ["fourth", "first"]
    assert await found(everywhere, q="re-2", sort="article") == ["second"]
    page = await done(anna.get(everywhere, params={"limit": 3, "count": "true", "filter": "article:eq:S-10"}))
    assert (page["total"], page["next_cursor"]) == (3, None)
    page = await done(anna.get(everywhere, params={"limit": 3}))
    assert await found(everywhere, limit=3, cursor=page["next_cursor"]) == ["first"]
    for query in ("account_id:eq:x", "state:eq:over", "starts_at:gte:x"):
        assert faults(await anna.get(everywhere, params={"filter": query})) == [("query:filter", "invalid_value")]
    assert faults(await anna.get(customer.articles, params={"filter": "account_id:is_null:true"})) == [
        ("query:filter", "unknown_field")]  # fmt: skip
    rita = await world.client("Rita")
    assert problem(await rita.get(everywhere)) == (404, "not_found")
    ada = await world.client("Ada")
    assert problem(await ada.get(everywhere)) == (404, "not_found")
