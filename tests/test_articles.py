"""Articles: what is sold, at which price, and what it grants. Operators keep them, everybody signed in reads them."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient, Response

from app.models import PLATFORM, Article
from app.policy import Role
from app.services import articles, prices
from tests.conftest import World, problem

STAR = {"If-Match": "*"}
ARTICLES = "/v1/articles"
NOW = datetime.now(UTC)
GRANT: dict[str, Any] = {
    "feature": "assets",
    "units": 10,
    "duration": "P1Y",
    "grace_days": 14,
    "max_units_per_claim": 5,
}
PACK: dict[str, Any] = {
    "number": "LIC-A-10", "name": {"en": "Licence pack, 10 assets", "de": "Lizenzpaket 10 Anlagen"},
    "description": {"en": "For a year."}, "price": {"amount": "120.00", "currency": "EUR"}, "billing_period": "yearly",
    "grants": [GRANT, {"feature": "api_access", "units": 1, "duration": None, "grace_days": 0, "max_units_per_claim": None}],
    "active_from_at": "2026-01-01T00:00:00.000Z", "active_until_at": None,
}  # fmt: skip
PLAIN: dict[str, Any] = {"number": "SRV-1", "name": {"en": "Visit"}, "price": {"amount": "80", "currency": "EUR"},
                         "billing_period": "once"}  # fmt: skip


@pytest.fixture
async def olivia(world: World) -> AsyncClient:
    """The operator; there are the quotas `assets` and `alarms` and the switch `api_access`, and what is archived."""
    olivia = await world.client("Olivia", operator=True)
    for key, kind in {"assets": "quota", "alarms": "quota", "api_access": "switch", "fax": "switch"}.items():
        await olivia.post("/v1/features", json={"key": key, "kind": kind, "name": {"en": key}})
    assert (await olivia.post("/v1/features/fax/archive")).status_code == 200
    return olivia


def faults(answer: Response) -> list[tuple[str, str]]:
    assert problem(answer) == (422, "invalid"), answer.text
    return [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


async def test_operators_keep_articles_and_everybody_signed_in_reads_them(world: World, olivia: AsyncClient):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    await world.account(partner, by="Anna", Eva=Role.ACCOUNT_VIEWER)
    made = await olivia.post(ARTICLES, json=PACK)
    here = f"{ARTICLES}/LIC-A-10"
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, here, '"1"'), made.text
    shown = made.json()
    assert {k: shown[k] for k in PACK} == PACK | {"description": {"en": "For a year.", "de": "For a year."}}
    callers = [(await world.client(name), (403, "forbidden")) for name in ("Anna", "Eva", "Stranger")]
    for caller, refused in [*callers, (await world.client(), (401, "unauthenticated"))]:
        for attempt in (caller.post(ARTICLES, json=PLAIN), caller.post(f"{here}/archive"),
                        caller.patch(here, json={"price": PLAIN["price"]}, headers=STAR),
                        caller.post(f"{here}/restore")):  # fmt: skip
            assert problem(await attempt) == refused
        for path in (ARTICLES, here):
            read = await caller.get(path)
            assert read.status_code == 200 if refused[0] == 403 else problem(read) == refused
    assert (await olivia.get(ARTICLES)).json()["items"] == [shown] == [(await olivia.get(here)).json()]


async def test_each_change_of_an_article_is_an_event(world: World, olivia: AsyncClient):
    await olivia.post(ARTICLES, json=PACK)
    here = f"{ARTICLES}/LIC-A-10"
    tag = (await olivia.get(here)).headers["etag"]
    change: dict[str, Any] = {
        "price": {"amount": "99.9", "currency": "CHF"}, "grants": [{"feature": "assets", "units": 20}],
        "active_from_at": None, "active_until_at": "2030-01-01T01:00:00+01:00", "billing_period": "monthly",
    }  # fmt: skip
    assert problem(await olivia.patch(here, json=change)) == (428, "precondition_required")
    changed = await olivia.patch(here, json=change, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    plain = {"duration": None, "grace_days": 0, "max_units_per_claim": None}
    expected: dict[str, Any] = change | {"price": {"amount": "99.90", "currency": "CHF"}, "active_until_at": "2030-01-01T00:00:00.000Z",
                         "grants": [{"feature": "assets", "units": 20, **plain}]}  # fmt: skip
    assert {k: changed.json()[k] for k in change} == expected
    assert problem(await olivia.patch(here, json=change, headers={"If-Match": tag})) == (412, "version_mismatch")
    assert (await olivia.patch(here, json=change, headers=STAR)).headers["etag"] == changed.headers["etag"]  # as it is
    for verb in ("archive", "archive", "restore", "restore"):
        assert (await olivia.post(f"{here}/{verb}")).status_code == 200
    events = [e for e in await world.events(PLATFORM) if e.subject_type == "article"]
    assert [e.type for e in events] == [f"article.{verb}" for verb in ("created", "updated", "archived", "restored")]
    created, updated, *_ = (e.details or {} for e in events)
    assert created["after"].keys() == PACK.keys() - {"price"} | {"amount", "currency", "archived_at"}
    assert (created["after"]["grants"], updated["before"]["grants"]) == (PACK["grants"], PACK["grants"])
    assert updated["after"]["grants"] == expected["grants"]
    for facts, price in ((created["after"], PACK["price"]), (updated["before"], PACK["price"]),
                         (updated["after"], expected["price"])):  # fmt: skip
        assert (Decimal(facts["amount"]), facts["currency"]) == (Decimal(price["amount"]), price["currency"])
    assert updated["after"].keys() == change.keys() - {"price"} | {"amount", "currency"}


async def test_a_number_is_what_stands_on_orders(olivia: AsyncClient):
    for number in ("A", "0", "SEN-T.100_B", "9" * 40):
        made = await olivia.post(ARTICLES, json=PLAIN | {"number": number})
        assert (made.status_code, made.headers["location"]) == (201, f"{ARTICLES}/{number}")
        assert (await olivia.get(made.headers["location"])).json()["number"] == number
    await olivia.post(f"{ARTICLES}/A/archive")
    assert problem(await olivia.post(ARTICLES, json=PLAIN | {"number": "A"})) == (409, "number_taken")
    for wrong in ("", "sen-1", "-A", ".A", "_A", "A B", "A/B", "Ä", "A\n", "A" * 41, 7, None):
        assert faults(await olivia.post(ARTICLES, json=PLAIN | {"number": wrong}))[0][0] == "/number", wrong
    assert faults(await olivia.patch(f"{ARTICLES}/A", json={"number": "B"}, headers=STAR)) == [
        ("/number", "extra_forbidden")
    ]
    assert problem(await olivia.get(f"{ARTICLES}/NOWHERE")) == (404, "not_found")
    assert problem(await olivia.post(f"{ARTICLES}/NOWHERE/archive")) == (404, "not_found")


async def test_one_number_is_one_article_whoever_comes_first(world: World, olivia: AsyncClient):
    race = await asyncio.gather(*(olivia.post(ARTICLES, json=PLAIN) for _ in range(8)))
    assert sorted(a.status_code for a in race) == [201] + [409] * 7
    answers = [await olivia.post(ARTICLES, json=PACK, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert [e.type for e in await world.events(PLATFORM)].count("article.created") == 2


PRICES: list[tuple[Any, Any]] = [
    ({"amount": "0", "currency": "EUR"}, "0.00"), ({"amount": "12.5", "currency": "EUR"}, "12.50"),
    ({"amount": "1200", "currency": "JPY"}, "1200"), ({"amount": "1.25", "currency": "KWD"}, "1.250"),
    ({"amount": "999999999999.99", "currency": "EUR"}, "999999999999.99"), ({"amount": "0007", "currency": "USD"}, "7.00"),
    ({"amount": "1.5", "currency": "JPY"}, "1.5"), ({"amount": "0.0042", "currency": "EUR"}, "0.0042"),
    ({"amount": "1.2300", "currency": "EUR"}, "1.23"), ({"amount": "999999999999.9999", "currency": "CLF"}, "999999999999.9999"),
    ({"amount": "1.00001", "currency": "EUR"}, ("/price/amount", "string_pattern_mismatch")),
    ({"amount": "1000000000000", "currency": "EUR"}, ("/price/amount", "string_pattern_mismatch")),
    ({"amount": "-1", "currency": "EUR"}, ("/price/amount", "string_pattern_mismatch")),
    ({"amount": "1e3", "currency": "EUR"}, ("/price/amount", "string_pattern_mismatch")),
    ({"amount": "1,5", "currency": "EUR"}, ("/price/amount", "string_pattern_mismatch")),
    ({"amount": "1.00\n", "currency": "EUR"}, ("/price/amount", "string_pattern_mismatch")),
    ({"amount": 12.5, "currency": "EUR"}, ("/price/amount", "string_type")),
    ({"amount": "1", "currency": "XYZ"}, ("/price/currency", "currency")),
    ({"amount": "1", "currency": "eur"}, ("/price/currency", "string_pattern_mismatch")),
    ({"amount": "1"}, ("/price/currency", "missing")), (None, ("/price", "model_attributes_type")), ("1 EUR", ("/price", "model_attributes_type")),
    ({"amount": "1", "currency": "EUR", "vat": "19"}, ("/price/vat", "extra_forbidden")),
]  # fmt: skip


async def test_what_has_not_the_right_form_is_told_the_form(olivia: AsyncClient):
    grants = [{"feature": "assets", "units": 1, "duration": "P1.5M"}]
    for language, said in (("en", "Must match ^P[1-9][0-9]{0,3}[DWMY]$, a regular expression."),
                           ("de", "Muss auf ^P[1-9][0-9]{0,3}[DWMY]$ passen, einen regulären Ausdruck.")):  # fmt: skip
        answer = await olivia.post(ARTICLES, json=PLAIN | {"grants": grants}, headers={"Accept-Language": language})
        (fault,) = answer.json()["errors"]
        assert (fault["pointer"], fault["detail"]) == ("/grants/0/duration", said)


async def test_prices_are_exact_amounts_of_a_currency(olivia: AsyncClient):
    await olivia.post(ARTICLES, json=PLAIN)
    for n, (price, expected) in enumerate(PRICES):
        made = await olivia.post(ARTICLES, json=PLAIN | {"number": f"N{n}", "price": price})
        changed = await olivia.patch(f"{ARTICLES}/SRV-1", json={"price": price}, headers=STAR)
        if isinstance(expected, str):
            shown = {"amount": expected, "currency": price["currency"]}
            assert made.json()["price"] == changed.json()["price"] == shown, (price, made.text)
            assert (await olivia.get(f"{ARTICLES}/N{n}")).json()["price"] == shown
        else:
            assert faults(made) == faults(changed) == [expected], price
            assert problem(await olivia.get(f"{ARTICLES}/N{n}")) == (404, "not_found")


def test_a_price_in_a_currency_that_was_given_up_is_still_shown():
    assert prices.shown(Decimal("12.5000"), "QQQ") == {"amount": "12.5", "currency": "QQQ"}


def grants(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [GRANT | change for change in changes]


WRONG: list[tuple[Any, list[tuple[str, str]]]] = [
    (grants({"feature": "nowhere"}), [("/grants/0/feature", "unknown_feature")]),
    (grants({}, {"feature": "fax", "units": 1}), [("/grants/1/feature", "archived_feature")]),
    (grants({}, {"feature": "alarms"}, {}), [("/grants/2/feature", "duplicate_feature")]),
    (grants({"feature": "api_access", "units": 2}), [("/grants/0/units", "too_many_units")]),
    (grants({"feature": "nowhere"}, {"feature": "fax"}, {"feature": "api_access", "units": 9}), [
        ("/grants/0/feature", "unknown_feature"), ("/grants/1/feature", "archived_feature"),
        ("/grants/1/units", "too_many_units"), ("/grants/2/units", "too_many_units")]),
    (grants({"feature": "Assets"}), [("/grants/0/feature", "string_pattern_mismatch")]),
    (grants({"units": 0}), [("/grants/0/units", "greater_than_equal")]),
    (grants({"units": 1_000_000_001}), [("/grants/0/units", "less_than_equal")]),
    (grants({"units": "10"}), [("/grants/0/units", "int_type")]),
    (grants({"grace_days": 366}), [("/grants/0/grace_days", "less_than_equal")]),
    (grants({"grace_days": -1}), [("/grants/0/grace_days", "greater_than_equal")]),
    (grants({"max_units_per_claim": 0}), [("/grants/0/max_units_per_claim", "greater_than_equal")]),
    (grants({"price": 1}), [("/grants/0/price", "extra_forbidden")]),
    (grants(*[{"feature": f"f{n}"} for n in range(21)]), [("/grants", "too_long")]),
    (None, [("/grants", "list_type")]), ([{"units": 1}], [("/grants/0/feature", "missing")]),
]  # fmt: skip


async def test_grants_that_cannot_be_are_told_by_their_pointers(olivia: AsyncClient):
    for given, expected in WRONG:
        assert faults(await olivia.post(ARTICLES, json=PACK | {"grants": given})) == expected, given
    assert (await olivia.get(ARTICLES)).json()["items"] == []
    made = await olivia.post(ARTICLES, json=PACK)
    here = made.headers["location"]
    for given, expected in WRONG:
        assert faults(await olivia.patch(here, json={"grants": given}, headers=STAR)) == expected, given
    assert (await olivia.get(here)).json() == made.json()


DURATIONS: list[tuple[Any, str | None]] = [
    ("P1D", None), ("P9999D", None), ("P52W", None), ("P5217W", None), ("P1200M", None), ("P100Y", None), (None, None),
    ("P5218W", "duration_too_long"), ("P1201M", "duration_too_long"), ("P101Y", "duration_too_long"),
    ("P9999Y", "duration_too_long"), ("P0D", "string_pattern_mismatch"), ("P01M", "string_pattern_mismatch"),
    ("P1Y6M", "string_pattern_mismatch"), ("PT24H", "string_pattern_mismatch"), ("1Y", "string_pattern_mismatch"),
    ("p1y", "string_pattern_mismatch"), ("P1Y\n", "string_pattern_mismatch"), ("P1.5Y", "string_pattern_mismatch"),
    ("P99999D", "string_too_long"), ("P١Y", "string_pattern_mismatch"), (365, "string_type"),
]  # fmt: skip


async def test_a_duration_is_one_part_of_the_calendar_and_at_most_a_hundred_years(olivia: AsyncClient):
    for n, (duration, code) in enumerate(DURATIONS):
        made = await olivia.post(ARTICLES, json=PLAIN | {"number": f"N{n}", "grants": grants({"duration": duration})})
        if code is None:
            assert (made.status_code, made.json()["grants"][0]["duration"]) == (201, duration)
        else:
            assert faults(made)[0] == ("/grants/0/duration", code), duration


async def test_grants_may_go_on_naming_a_feature_that_was_archived_since(olivia: AsyncClient):
    await olivia.post(ARTICLES, json=PACK)
    await olivia.post(ARTICLES, json=PLAIN)
    await olivia.post("/v1/features/assets/archive")
    more = await olivia.patch(
        f"{ARTICLES}/LIC-A-10", json={"grants": grants({"units": 11}, {"feature": "alarms"})}, headers=STAR
    )
    assert (more.status_code, [g["units"] for g in more.json()["grants"]]) == (200, [11, 10])
    other = await olivia.patch(f"{ARTICLES}/SRV-1", json={"grants": grants({})}, headers=STAR)
    assert faults(other) == [("/grants/0/feature", "archived_feature")]
    assert (await olivia.patch(f"{ARTICLES}/LIC-A-10", json={"grants": []}, headers=STAR)).json()["grants"] == []
    again = await olivia.patch(f"{ARTICLES}/LIC-A-10", json={"grants": grants({})}, headers=STAR)
    assert faults(again) == [("/grants/0/feature", "archived_feature")]


async def test_an_article_is_sellable_within_its_time_and_while_it_is_not_archived(world: World, olivia: AsyncClient):
    day = timedelta(days=1)
    times = {"ALWAYS": (None, None), "SINCE": (NOW - day, None), "UNTIL": (None, NOW + day), "NOW": (NOW - day, NOW + day),
             "SOON": (NOW + day, None), "OVER": (None, NOW - day), "PAST": (NOW - 2 * day, NOW - day), "GONE": (None, None)}  # fmt: skip
    for number, (start, end) in times.items():
        body = PLAIN | {"number": number, "active_from_at": start and start.isoformat(),
                        "active_until_at": end and end.isoformat()}  # fmt: skip
        assert (await olivia.post(ARTICLES, json=body)).status_code == 201
    await olivia.post(f"{ARTICLES}/GONE/archive")

    async def numbers(*filters: str) -> set[str]:
        found = await olivia.get(ARTICLES, params={"filter": list(filters)})
        return {a["number"] for a in found.json()["items"]}

    open_ = {"ALWAYS", "SINCE", "UNTIL", "NOW"}
    assert await numbers("sellable:eq:true") == open_
    assert await numbers("sellable:eq:false") == {"SOON", "OVER", "PAST"}
    assert await numbers("sellable:eq:false", "archived:in:true,false") == {"SOON", "OVER", "PAST", "GONE"}
    async with world.transaction(PLATFORM) as db:
        rows = [await articles.get(db, number) for number in times]
    assert {row.number for row in rows if articles.sellable(row, NOW)} == open_
    edge = next(row for row in rows if row.number == "NOW")
    assert edge.active_from_at
    assert edge.active_until_at
    moments = (edge.active_from_at - timedelta(microseconds=1), edge.active_from_at,
               edge.active_until_at - timedelta(microseconds=1), edge.active_until_at)  # fmt: skip
    assert [articles.sellable(edge, at) for at in moments] == [False, True, True, False]


async def test_moments_have_a_zone_and_lie_in_this_millennium(olivia: AsyncClient):
    for moment in ("2026-11-23", "2026-11-23T09:30:00", "2026-13-01T00:00:00Z", "1999-12-31T23:59:59Z",
                   "3000-01-01T00:00:00Z", "2999-12-31T23:30:00-01:00", "0001-01-01T00:00:00+14:00",
                   "9999-12-31T23:59:59-14:00", "2026-11-23T25:00:00Z", "2026-11-23T23:59:60Z", "now", 0, True, ""):  # fmt: skip
        answer = await olivia.post(ARTICLES, json=PLAIN | {"active_from_at": moment})
        assert faults(answer) == [("/active_from_at", "datetime_parsing")], moment


async def test_the_time_to_sell_ends_after_it_begins(olivia: AsyncClient):
    start = "2026-11-23T09:30:00Z"
    for end, fits in (("2026-11-23T09:29:59Z", False), (start, False), ("2026-11-23T10:30:00.001+01:00", True)):
        answer = await olivia.post(ARTICLES, json=PLAIN | {"active_from_at": start, "active_until_at": end})
        assert answer.status_code == 201 if fits else faults(answer) == [("/active_until_at", "not_later")]
    assert answer.json()["active_until_at"] == "2026-11-23T09:30:00.001Z"
    late = await olivia.patch(f"{ARTICLES}/SRV-1", json={"active_from_at": "2027-01-01T00:00:00Z"}, headers=STAR)
    assert faults(late) == [("/active_until_at", "not_later")]
    both = {"active_from_at": "2027-01-01T00:00:00Z", "active_until_at": None}
    assert (await olivia.patch(f"{ARTICLES}/SRV-1", json=both, headers=STAR)).status_code == 200


async def test_the_list_is_filtered_sorted_searched_and_paged(olivia: AsyncClient):
    swiss = {"price": {"amount": "9", "currency": "CHF"}, "name": {"de": "Wartung"}, "billing_period": "monthly"}
    for body in (PACK, PLAIN, PLAIN | swiss | {"number": "SRV-2"}, PLAIN | {"number": "OLD-1", "name": {"en": "Old"}}):
        assert (await olivia.post(ARTICLES, json=body)).status_code == 201
    await olivia.post(f"{ARTICLES}/OLD-1/archive")

    async def numbers(**query: Any) -> list[str]:
        answer = await olivia.get(ARTICLES, params=query)
        assert answer.status_code == 200, answer.text
        return [a["number"] for a in answer.json()["items"]]

    assert await numbers() == ["LIC-A-10", "SRV-1", "SRV-2"]
    assert await numbers(sort="-number") == ["SRV-2", "SRV-1", "LIC-A-10"]
    assert await numbers(sort="-created_at", filter="archived:in:true,false") == ["OLD-1", "SRV-2", "SRV-1", "LIC-A-10"]
    assert await numbers(filter="archived:eq:true") == ["OLD-1"]
    assert await numbers(filter="number:starts_with:srv") == ["SRV-1", "SRV-2"]
    assert await numbers(filter="currency:eq:chf") == ["SRV-2"]
    assert await numbers(filter="billing_period:in:once,monthly") == ["SRV-1", "SRV-2"]
    assert await numbers(filter="grants:contains:assets") == ["LIC-A-10"]
    assert await numbers(filter="grants:contains:alarms") == []
    assert (await numbers(q="lic-a"), await numbers(q="LIZENZ"), await numbers(q="wartung")) == (
        ["LIC-A-10"], ["LIC-A-10"], ["SRV-2"])  # fmt: skip
    first = (await olivia.get(ARTICLES, params={"limit": 2, "count": "true"})).json()
    assert (first["total"], await numbers(limit=2, cursor=first["next_cursor"])) == (3, ["SRV-2"])
    for condition, code in {"sellable:eq:now": "invalid_value", "price:eq:1": "unknown_field"}.items():
        assert faults(await olivia.get(ARTICLES, params={"filter": condition})) == [("query:filter", code)]


async def test_articles_are_never_rounded_in_the_database(world: World, olivia: AsyncClient):
    await olivia.post(ARTICLES, json=PLAIN | {"price": {"amount": "99999999999.9999", "currency": "CLF"}})
    async with world.transaction(PLATFORM) as db:
        row: Article = await articles.get(db, "SRV-1")
        assert (row.amount, row.currency) == (Decimal("99999999999.9999"), "CLF")
