"""The conventions of the API, each on a resource that has it: versions, pages, filters, sorting, search."""

import asyncio
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import pytest
from httpx import AsyncClient, Response

from app.models import Partner
from app.policy import Role
from app.rest import MAX_CURSOR
from tests.conftest import World, problem

MANY = 25


async def table(world: World, *names: str) -> tuple[AsyncClient, str]:
    """Anna, a partner admin, and the address of her accounts, of which there are those named."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN)
    anna = await world.client("Anna")
    accounts = f"/v1/partners/{partner.id}/accounts"
    for name in names:
        assert (await anna.post(accounts, json={"name": name})).status_code == 201
    return anna, accounts


async def one(world: World, name: str = "Nordwerk GmbH") -> tuple[AsyncClient, str, str]:
    """Anna, the address of her one account, and its ETag."""
    anna, accounts = await table(world)
    made = await anna.post(accounts, json={"name": name})
    assert made.status_code == 201, made.text
    assert (await anna.get(made.headers["location"])).headers["etag"] == made.headers["etag"]
    return anna, made.headers["location"], made.headers["etag"]


def names(answer: Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["name"] for row in answer.json()["items"]]


def faults(answer: Response) -> list[tuple[str, str]]:
    """Pointer and code of each fault of a 422."""
    assert problem(answer) == (422, "invalid")
    return [(e["pointer"], e["code"]) for e in answer.json()["errors"]]


def detail(answer: Response) -> str:
    return answer.json()["errors"][0]["detail"]


# --- If-Match ---


async def test_change_without_if_match_is_refused_and_changes_nothing(world: World):
    anna, account, etag = await one(world)
    for call in (anna.patch(account, json={"name": "Südwerk"}), anna.delete(account)):
        assert problem(await call) == (428, "precondition_required")
    after = await anna.get(account)
    assert (after.json()["name"], after.headers["etag"]) == ("Nordwerk GmbH", etag)


async def test_change_with_the_present_version_succeeds_and_makes_a_new_one(world: World):
    anna, account, etag = await one(world)
    changed = await anna.patch(account, json={"name": "Südwerk"}, headers={"If-Match": etag})
    assert (changed.status_code, changed.json()["name"]) == (200, "Südwerk")
    read = await anna.get(account)
    assert read.headers["etag"] == changed.headers["etag"] != etag
    assert read.json() == changed.json()


async def test_stale_weak_or_foreign_tags_are_refused(world: World):
    anna, account, etag = await one(world)
    fresh = (await anna.patch(account, json={"name": "B"}, headers={"If-Match": etag})).headers["etag"]
    for tag in (etag, f"W/{fresh}", '"nonsense"', '""', f'{etag}, "x"'):
        for method in ("PATCH", "DELETE"):
            answer = await anna.request(method, account, json={"name": "C"}, headers={"If-Match": tag})
            assert problem(answer) == (412, "version_mismatch"), tag
    after = (await anna.get(account)).json()
    assert (after["name"], after["status"]) == ("B", "active")


async def test_if_match_takes_a_list_and_a_star(world: World):
    anna, account, etag = await one(world)
    for number, given in enumerate(('"x", {}', '{},"x"', 'W/"x" , {}', "*")):
        answer = await anna.patch(account, json={"name": f"N{number}"}, headers={"If-Match": given.format(etag)})
        assert answer.status_code == 200, answer.text
        etag = answer.headers["etag"]
        assert (await anna.get(account)).json()["name"] == f"N{number}"


async def test_if_match_that_is_no_tag_is_invalid(world: World):
    anna, account, etag = await one(world)
    for tag in (etag.strip('"'), "'1'", '"1', '"1""2"', "*, *", "é"):
        answer = await anna.patch(account, json={"name": "X"}, headers={b"If-Match": tag.encode("latin-1")})
        assert faults(answer) == [("header:If-Match", "string_pattern_mismatch")], tag
    assert (await anna.get(account)).headers["etag"] == etag


async def test_every_patch_and_delete_of_the_contract_takes_the_version_that_its_get_shows(world: World):
    """The tag of GET is the tag that PATCH and DELETE take: for partner, account, members, invitations and oneself."""
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Bob=Role.PARTNER_VIEWER)
    home = await world.account(partner, by="Anna", Carl=Role.ACCOUNT_VIEWER)
    operator = await world.client("Olivia", operator=True)
    bob, carl = await world.user("Bob"), await world.user("Carl")
    here = f"/v1/partners/{partner.id}"
    invited: list[str] = []
    for owner, role in ((here, "partner_viewer"), (f"{here}/accounts/{home.id}", "account_viewer")):
        made = await operator.post(f"{owner}/invitations", json={"email": "eva@example.com", "role": role})
        invited.append(made.headers["location"])
    cases: list[tuple[str, dict[str, Any] | None, bool]] = [
        ("/v1/me", {"name": "Olivia O."}, False),
        (here, {"name": "Acme 2"}, False),
        (f"{here}/members/{bob.id}", {"role": "partner_manager"}, True),
        (f"{here}/accounts/{home.id}/members/{carl.id}", {"role": "account_editor"}, True),
        (invited[0], None, True),
        (invited[1], None, True),
        (f"{here}/accounts/{home.id}", {"name": "Nordwerk 2"}, True),
    ]
    for address, change, removable in cases:
        first = (await operator.get(address)).headers["etag"]
        if change is not None:
            assert problem(await operator.patch(address, json=change)) == (428, "precondition_required"), address
            changed = await operator.patch(address, json=change, headers={"If-Match": first})
            assert changed.status_code == 200, (address, changed.text)
            again = await operator.get(address)
            assert again.headers["etag"] == changed.headers["etag"] != first, address
            assert again.json() == changed.json()
            stale = await operator.patch(address, json=change, headers={"If-Match": first})
            assert problem(stale) == (412, "version_mismatch"), address
            first = again.headers["etag"]
        if removable:
            assert problem(await operator.delete(address)) == (428, "precondition_required"), address
            wrong = await operator.delete(address, headers={"If-Match": '"0"'})
            assert problem(wrong) == (412, "version_mismatch"), address
            gone = await operator.delete(address, headers={"If-Match": first})
            assert gone.status_code == 204, (address, gone.text)


@pytest.mark.parametrize("rounds", [10])
async def test_of_two_concurrent_changes_of_one_version_exactly_one_wins(world: World, rounds: int):
    anna, account, etag = await one(world)
    for number in range(rounds):
        wanted = [f"A{number}", f"B{number}"]
        answers = await asyncio.gather(
            *(anna.patch(account, json={"name": n}, headers={"If-Match": etag}) for n in wanted)
        )
        assert sorted(a.status_code for a in answers) == [200, 412]
        won = next(n for n, a in zip(wanted, answers, strict=True) if a.status_code == 200)
        assert problem(next(a for a in answers if a.status_code == 412)) == (412, "version_mismatch")
        read = await anna.get(account)
        assert read.json()["name"] == won
        etag = read.headers["etag"]


async def test_of_many_concurrent_changes_of_oneself_one_wins(world: World):
    await world.user("Anna")
    anna = await world.client("Anna")
    etag = (await anna.get("/v1/me")).headers["etag"]
    tries = [anna.patch("/v1/me", json={"name": f"Anna {n}"}, headers={"If-Match": etag}) for n in range(8)]
    answers = await asyncio.gather(*tries)
    assert sorted(a.status_code for a in answers) == [200] + [412] * 7
    won = next(a for a in answers if a.status_code == 200)
    assert (await anna.get("/v1/me")).json()["name"] == won.json()["name"]


# --- If-None-Match ---


async def test_get_of_what_one_has_is_304_without_a_body(world: World):
    anna, account, etag = await one(world)
    for given in (etag, f"W/{etag}", f'"x", {etag}', f'W/"y" ,W/{etag}', "*", " * "):
        answer = await anna.get(account, headers={"If-None-Match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag), given
        assert "content-type" not in answer.headers
    for given in ('"x"', etag.strip('"'), 'W/"0"'):
        answer = await anna.get(account, headers={"If-None-Match": given})
        assert (answer.status_code, answer.json()["name"]) == (200, "Nordwerk GmbH"), given


async def test_changed_resource_is_sent_again(world: World):
    anna, account, etag = await one(world)
    await anna.patch(account, json={"name": "Südwerk"}, headers={"If-Match": etag})
    answer = await anna.get(account, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.json()["name"]) == (200, "Südwerk")


async def test_what_has_no_version_is_tagged_by_its_content(world: World):
    anna, account, etag = await one(world)
    before = await anna.get(f"{account}/overview")
    tag = before.headers["etag"]
    assert tag.startswith('W/"')
    assert (await anna.get(f"{account}/overview", headers={"If-None-Match": tag})).status_code == 304
    await anna.patch(account, json={"name": "Südwerk"}, headers={"If-Match": etag})
    after = await anna.get(f"{account}/overview", headers={"If-None-Match": tag})
    assert (after.status_code, after.json()["account"]["name"]) == (200, "Südwerk")
    assert after.headers["etag"] != tag


async def test_refusal_is_not_hidden_by_if_none_match(world: World):
    anna, account, _ = await one(world)
    anonymous = await world.client()
    assert problem(await anonymous.get(account, headers={"If-None-Match": "*"})) == (401, "unauthenticated")
    nothing = f"{account.rpartition('/')[0]}/{(await world.user('Anna')).id}"
    assert problem(await anna.get(nothing, headers={"If-None-Match": "*"})) == (404, "not_found")


# --- pages ---


async def pages(client: AsyncClient, address: str, **parameters: Any) -> list[Response]:
    """All pages of a list, by following `next_cursor`."""
    found = [await client.get(address, params=parameters)]
    while (cursor := found[-1].json()["next_cursor"]) is not None:
        found.append(await client.get(address, params=parameters | {"cursor": cursor}))
        assert len(found) < 200
    return found


def all_names(found: Iterable[Response]) -> list[str]:
    return [name for page in found for name in names(page)]


def many() -> list[str]:
    """Names whose order by letters, by case and by time all differ."""
    return [f"{'zyxw'[n % 4]}{'é' if n % 3 else 'E'} {n:02}" for n in range(MANY)]


async def test_all_pages_together_are_the_list_in_its_order(world: World):
    anna, accounts = await table(world, *many())
    for sort in ("name", "-name", "created_at", "-created_at"):
        whole = names(await anna.get(accounts, params={"sort": sort, "limit": 200}))
        assert sorted(whole) == sorted(many())
        for limit in (1, 2, 7, MANY - 1, MANY, MANY + 1):
            found = await pages(anna, accounts, sort=sort, limit=limit)
            assert all_names(found) == whole, (sort, limit)
            assert len(found) == -(-MANY // limit), (sort, limit)


async def test_sorting_goes_both_ways(world: World):
    anna, accounts = await table(world, "beta", "Älpha", "Gamma")
    by_name = ["Älpha", "beta", "Gamma"]
    assert names(await anna.get(accounts)) == by_name
    assert names(await anna.get(accounts, params={"sort": "name"})) == by_name
    assert names(await anna.get(accounts, params={"sort": "-name"})) == by_name[::-1]
    assert names(await anna.get(accounts, params={"sort": "created_at"})) == ["beta", "Älpha", "Gamma"]
    assert names(await anna.get(accounts, params={"sort": "-created_at"})) == ["Gamma", "Älpha", "beta"]


async def test_unknown_sort_names_the_possible_ones(world: World):
    anna, accounts = await table(world)
    for sort in ("status", "id", "-x"):
        answer = await anna.get(accounts, params={"sort": sort})
        assert faults(answer) == [("query:sort", "unknown_field")]
        assert (
            detail(answer)
            == "Sorts by name, price_model, member_count, created_at; a minus in front turns the order round."
        )
    for sort in ("--name", "name desc", "name;drop", "name,", "name,-name"):
        assert faults(await anna.get(accounts, params={"sort": sort}))[0][0] == "query:sort"


async def test_rows_that_come_go_and_move_make_neither_gap_nor_duplicate(world: World):
    """What is in the list from the first page to the last is seen once, whatever happens around it."""
    stay = [f"m{n:02}" for n in range(MANY)]
    anna, accounts = await table(world, *stay)
    address = {row["name"]: f"{accounts}/{row['id']}" for row in (await anna.get(accounts)).json()["items"]}
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 4}
    for turn in range(100):
        page = await anna.get(accounts, params=parameters)
        seen += names(page)
        if page.json()["next_cursor"] is None:
            break
        parameters["cursor"] = page.json()["next_cursor"]
        last = names(page)[-1]
        # before the cursor, right behind it, and at the end
        for name in (f"a{turn}", f"{last}x", f"z{turn}"):
            assert (await anna.post(accounts, json={"name": name})).status_code == 201
        # the very row that the cursor points at is renamed away, and back to before it
        moved = await anna.patch(address[last], json={"name": f"b{turn}"}, headers={"If-Match": "*"}) if last in address \
            else None  # fmt: skip
        assert moved is None or moved.status_code == 200
    assert len(seen) == len(set(seen))
    assert [name for name in seen if name in stay] == stay
    whole = all_names(await pages(anna, accounts, limit=9))
    assert len(whole) == len(set(whole)) == (await anna.get(accounts, params={"count": "true"})).json()["total"]


async def test_rows_of_one_moment_and_one_name_are_told_apart(world: World):
    """The sort value alone does not order them; the cursor does."""
    people = {f"P{n}": Role.PARTNER_VIEWER for n in range(9)}
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, **people)
    for name in people:
        user = await world.client(name)
        answer = await user.patch("/v1/me", json={"name": "Max Mustermann"}, headers={"If-Match": "*"})
        assert answer.status_code == 200
    anna = await world.client("Anna")
    members = f"/v1/partners/{partner.id}/members"
    for sort in ("name", "-name", "created_at", "-created_at"):
        rows = [
            row["user_id"] for page in await pages(anna, members, sort=sort, limit=2) for row in page.json()["items"]
        ]
        assert len(rows) == len(set(rows)) == 10


async def test_cursor_is_opaque_and_good_for_its_own_list_only(world: World):
    anna, accounts = await table(world, *many())
    page = await anna.get(accounts, params={"limit": 5, "sort": "name", "q": "z"})
    cursor = page.json()["next_cursor"]
    good = {"limit": 5, "sort": "name", "q": "z", "cursor": cursor}
    assert (await anna.get(accounts, params=good)).status_code == 200
    assert (await anna.get(accounts, params=good | {"limit": 7})).status_code == 200  # the size of a page may change
    other = await world.partner("Other", Anna=Role.PARTNER_ADMIN)
    for address, changed in [
        (accounts, {"sort": "-name"}), (accounts, {"sort": "created_at"}), (accounts, {"q": "y"}),
        (accounts, {"filter": "status:eq:active"}), (f"/v1/partners/{other.id}/accounts", {}),
        (f"/v1/partners/{other.id}/members", {}),
    ]:  # fmt: skip
        answer = await anna.get(address, params=good | changed)
        assert faults(answer) == [("query:cursor", "invalid_cursor")], (address, changed)
    without_q = {k: v for k, v in good.items() if k != "q"}
    assert faults(await anna.get(accounts, params=without_q)) == [("query:cursor", "invalid_cursor")]


async def test_tampered_cursor_is_refused(world: World):
    anna, accounts = await table(world, *many())
    cursor: str = (await anna.get(accounts, params={"limit": 5})).json()["next_cursor"]
    body, _, signature = cursor.partition(".")
    flipped = [cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :] for n in range(0, len(cursor) - 1, 7)]
    for bad in ["", "x", body, f"{body}.", f".{signature}", f"{body}.{signature[::-1]}", cursor + "A" * 5, "e30.e30",
                "é", "a" * 1024, *flipped]:  # fmt: skip
        answer = await anna.get(accounts, params={"limit": 5, "cursor": bad})
        assert faults(answer) == [("query:cursor", "invalid_cursor")], bad
    assert faults(await anna.get(accounts, params={"cursor": "a" * (MAX_CURSOR + 1)})) == [
        ("query:cursor", "string_too_long")
    ]


async def test_limit_has_bounds(world: World):
    anna, accounts = await table(world, "A", "B")
    for limit in (1, 2, 200):
        assert len(names(await anna.get(accounts, params={"limit": limit}))) == min(limit, 2)
    for limit, code in [("0", "greater_than_equal"), ("-1", "greater_than_equal"), ("201", "less_than_equal"),
                        ("x", "int_parsing"), ("1.5", "int_parsing"), ("", "int_parsing"), ("9" * 30, "less_than_equal"),
                        ("9" * 5000, "int_parsing_size")]:  # fmt: skip
        assert faults(await anna.get(accounts, params={"limit": limit})) == [("query:limit", code)], limit
    made = [await anna.post(accounts, json={"name": f"N{n}"}) for n in range(60)]
    assert {m.status_code for m in made} == {201}
    assert len(names(await anna.get(accounts))) == 50


async def test_link_header_leads_to_the_next_page(world: World):
    anna, accounts = await table(world, *many())
    parameters = {"limit": "4", "sort": "-name", "q": "é", "filter": "name:ne:zé & co=1?#"}
    first = await anna.get(accounts, params=parameters)
    seen, answer = names(first), first
    while "link" in answer.headers:
        address, _, relation = answer.headers["link"].partition(";")
        assert relation.strip() == 'rel="next"'
        assert address.startswith("</v1/")
        answer = await anna.get(address.strip("<>"))
        seen += names(answer)
    assert seen == names(await anna.get(accounts, params=parameters | {"limit": "200"}))
    assert len(seen) == len([n for n in many() if "é" in n or "E" in n])
    assert answer.json()["next_cursor"] is None


async def test_link_header_of_a_long_query_leads_to_the_next_page(world: World):
    anna, accounts = await table(world, "A", "B")
    words = ["x" * 400] * 19
    first = await anna.get(accounts, params={"limit": "1", "filter": [f"name:ne:{word}" for word in words]})
    address = first.headers["link"].partition(";")[0].strip("<>")
    assert len(address) > 7_000
    assert names(first) + names(await anna.get(address)) == ["A", "B"]


async def test_total_is_told_only_when_asked_for(world: World):
    anna, accounts = await table(world, *many())
    assert (await anna.get(accounts)).json()["total"] is None
    for page in await pages(anna, accounts, limit=10, count="true"):
        assert page.json()["total"] == MANY
    assert (await anna.get(accounts, params={"count": "true", "q": "z", "limit": 1})).json()["total"] == 7
    assert (await anna.get(accounts, params={"count": "true", "q": "nothing"})).json() == {
        "items": [], "next_cursor": None, "total": 0,
    }  # fmt: skip


# --- filters ---


async def test_filters_of_text_compare_without_case_and_accents(world: World):
    anna, accounts = await table(world, "Nordwerk GmbH", "NORDSEE AG", "Südwerk", "Straße, Nr. 1")
    for condition, found in [
        ("name:eq:nordwerk gmbh", ["Nordwerk GmbH"]),
        ("name:ne:SUDWERK", ["NORDSEE AG", "Nordwerk GmbH", "Straße, Nr. 1"]),
        ("name:in:sudwerk,nordsee ag,nobody", ["NORDSEE AG", "Südwerk"]),
        ("name:contains:WERK", ["Nordwerk GmbH", "Südwerk"]),
        ("name:starts_with:nord", ["NORDSEE AG", "Nordwerk GmbH"]),
        ("name:contains:strasse", ["Straße, Nr. 1"]),
        ("name:eq:strasse, nr. 1", ["Straße, Nr. 1"]),
        ("name:contains::", []),
    ]:
        assert names(await anna.get(accounts, params={"filter": condition})) == found, condition


async def test_filters_of_a_word_and_of_a_moment(world: World):
    anna, accounts = await table(world, "A", "B", "C")
    rows = {row["name"]: row for row in (await anna.get(accounts)).json()["items"]}
    await anna.patch(f"{accounts}/{rows['B']['id']}", json={"status": "suspended"}, headers={"If-Match": "*"})
    await anna.delete(f"{accounts}/{rows['C']['id']}", headers={"If-Match": "*"})
    for condition, found in [
        ("status:eq:active", ["A"]),
        ("status:eq:archived", ["C"]),
        ("status:ne:active", ["B", "C"]),
        ("status:in:suspended,archived", ["B", "C"]),
        ("created_at:gt:2020-01-01", ["A", "B"]),
        ("created_at:lt:2020-01-01T00:00:00Z", []),
        ("created_at:gte:2020-01-01T00:00:00%2B02:00", ["A", "B"]),
        ("created_at:lte:9999-12-31", ["A", "B"]),
        ("created_at:ne:2020-01-01", ["A", "B"]),
        ("created_at:eq:2020-01-01", []),
    ]:
        address = f"{accounts}?filter={condition if '%' in condition else quote(condition)}"
        assert names(await anna.get(address)) == found, condition


async def test_moment_that_the_api_shows_splits_the_list_where_it_says(world: World):
    anna, accounts = await table(world, "A", "B", "C")
    shown = {row["name"]: row["created_at"] for row in (await anna.get(accounts)).json()["items"]}
    after = await anna.get(accounts, params={"filter": f"created_at:gte:{shown['B']}", "sort": "created_at"})
    assert names(after)[-1] == "C"
    assert "B" in names(after)


async def test_filters_are_anded(world: World):
    anna, accounts = await table(world, "Nord 1", "Nord 2", "Süd 2")
    both = {"filter": ["name:starts_with:nord", "name:contains:2"], "q": "2"}
    assert names(await anna.get(accounts, params=both)) == ["Nord 2"]
    assert names(await anna.get(accounts, params={"filter": ["name:eq:nord 1", "name:eq:nord 2"]})) == []


async def test_wrong_filter_says_what_is_possible(world: World):
    anna, accounts = await table(world, "A")
    for condition, code, says in [
        ("nme:eq:x", "unknown_field", "Filters by name, status, price_model, member_count, created_at."),
        ("partner_id:eq:x", "unknown_field", "Filters by name, status, price_model, member_count, created_at."),
        ("name:like:x", "unknown_operator", "This field takes eq, ne, in, contains, starts_with."),
        ("status:lt:active", "unknown_operator", "This field takes eq, ne, in."),
        ("created_at:contains:2020", "unknown_operator", "This field takes eq, ne, lt, lte, gt, gte."),
        ("price_model:contains:pro", "unknown_operator", "This field takes eq, ne, in, is_null."),
        ("price_model:is_null:yes", "invalid_value", "Must be true or false."),
        ("price_model:eq:Pro Model", "invalid_value", "The key of a price model."),
        ("price_model:in:pro,", "invalid_value", "The key of a price model."),
        ("member_count:contains:1", "unknown_operator", "This field takes eq, ne, lt, lte, gt, gte, in."),
        ("member_count:gt:1.5", "invalid_value", "A whole number."),
        ("member_count:eq:-1", "invalid_value", "A whole number."),
        ("member_count:lt:99999999999", "invalid_value", "A whole number."),
        ("status:eq:gone", "invalid_value", "One of active, suspended, archived."),
        ("status:in:active,gone", "invalid_value", "One of active, suspended, archived."),
        ("created_at:gt:yesterday", "invalid_value", "A date or time in ISO 8601."),
        ("created_at:gt:0001-01-01T00:00:00+23:59", "invalid_value", "A date or time in ISO 8601."),
        ("created_at:gt:", "invalid_value", "A date or time in ISO 8601."),
        ("name", "malformed_filter", "Write field:operator:value."),
        ("name:eq", "malformed_filter", "Write field:operator:value."),
        ("NAME:eq:x", "malformed_filter", "Write field:operator:value."),
        ("", "malformed_filter", "Write field:operator:value."),
    ]:
        answer = await anna.get(accounts, params={"filter": condition})
        assert faults(answer) == [("query:filter", code)], condition
        assert detail(answer) == says
    german = await anna.get(accounts, params={"filter": "nme:eq:x"}, headers={"Accept-Language": "de"})
    assert detail(german) == "Filtert nach name, status, price_model, member_count, created_at."


async def test_filters_have_a_number_and_a_length(world: World):
    anna, accounts = await table(world, "A")
    assert names(await anna.get(accounts, params={"filter": ["name:ne:x"] * 20})) == ["A"]
    assert faults(await anna.get(accounts, params={"filter": ["name:ne:x"] * 21})) == [("query:filter", "too_long")]
    too_long = await anna.get(accounts, params={"filter": f"name:eq:{'x' * 500}"})
    assert faults(too_long) == [("query:filter.0", "string_too_long")]
    assert names(await anna.get(accounts, params={"filter": f"name:in:{','.join('x' * 200)}"})) == []
    too_many = await anna.get(accounts, params={"filter": f"name:in:{','.join('x' * 201)}"})
    assert faults(too_many) == [("query:filter", "invalid_value")]


async def test_members_and_invitations_and_partners_are_filtered_alike(world: World):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Bob=Role.PARTNER_VIEWER)
    operator = await world.client("Olivia", operator=True)
    here = f"/v1/partners/{partner.id}"
    invited = await operator.post(f"{here}/invitations", json={"email": "Eva@example.com", "role": "partner_viewer"})
    assert invited.status_code == 201
    assert names(await operator.get(f"{here}/members", params={"filter": "role:eq:partner_viewer"})) == ["Bob"]
    assert names(await operator.get(f"{here}/members", params={"q": "ANN"})) == ["Anna"]
    assert detail(await operator.get(f"{here}/members", params={"filter": "role:eq:account_admin"})) == (
        "One of partner_admin, partner_manager, partner_viewer."
    )
    for condition, number in [("status:eq:pending", 1), ("status:eq:expired", 0), ("email:eq:EVA@example.com", 1),
                              ("email:starts_with:eva@", 1), ("email:contains:nobody", 0)]:  # fmt: skip
        answer = await operator.get(f"{here}/invitations", params={"filter": condition, "sort": "-email"})
        assert len(answer.json()["items"]) == number, condition
    assert names(await operator.get("/v1/partners", params={"filter": "name:eq:acme"})) == ["Acme"]
    assert names(await operator.get("/v1/partners", params={"filter": "status:eq:suspended"})) == []


# --- search ---


async def test_search_heeds_neither_case_nor_accents(world: World):
    anna, accounts = await table(world, "Müller & Söhne", "MULLER", "Łódź", "İstanbul Ltd", "Ｗｉｄｅ", "straße")
    for q, found in [
        ("muller", ["MULLER", "Müller & Söhne"]),
        ("MÜLLER", ["MULLER", "Müller & Söhne"]),
        ("mu\u0308ller", ["MULLER", "Müller & Söhne"]),
        ("sohne", ["Müller & Söhne"]),
        ("STRASSE", ["straße"]),
        ("istanbul", ["İstanbul Ltd"]),
        ("wide", ["Ｗｉｄｅ"]),
        ("  muller   &  ", ["Müller & Söhne"]),
        ("nothing", []),
    ]:
        assert names(await anna.get(accounts, params={"q": q})) == found, q
    assert len(names(await anna.get(accounts, params={"q": "  "}))) == 6


async def test_wildcards_are_letters_like_others(world: World):
    odd = ["100% sure", "a_b", "a-b", "back\\slash", "quote'd", 'double"d']
    anna, accounts = await table(world, *odd, "plain")
    for q, found in [("%", ["100% sure"]), ("_", ["a_b"]), ("a_", ["a_b"]), ("\\", ["back\\slash"]),
                     ("0% s", ["100% sure"]), ("'", ["quote'd"]), ('"', ['double"d']), ("%%", []), ("/", [])]:  # fmt: skip
        assert names(await anna.get(accounts, params={"q": q})) == found, q
        assert names(await anna.get(accounts, params={"filter": f"name:contains:{q}"})) == found, q
    assert names(await anna.get(accounts, params={"filter": "name:starts_with:_"})) == []
    assert names(await anna.get(accounts, params={"filter": "name:starts_with:%"})) == []


async def test_search_never_reaches_another_partner(world: World):
    anna, accounts = await table(world, "Nordwerk")
    other: Partner = await world.partner("Other", Bob=Role.PARTNER_ADMIN)
    await world.account(other, "Nordwerk secret", by="Bob")
    for parameters in ({"q": "nordwerk"}, {"filter": "name:contains:nord"}, {"filter": "status:ne:archived"}):
        answer = await anna.get(accounts, params=parameters | {"count": "true"})
        assert (names(answer), answer.json()["total"]) == (["Nordwerk"], 1)


async def test_a_parameter_that_there_is_not_is_refused_and_not_ignored(world: World):
    """Else a misspelt filter would quietly show everything."""
    anna, accounts = await table(world, "A", "B")
    for query, pointer in (("status=active", "query:status"), ("filters=name:eq:A", "query:filters"), ("=", "query:?")):
        answer = await anna.get(f"{accounts}?{query}")
        assert faults(answer) == [(pointer, "extra_forbidden")]
        assert "items" not in answer.json()
