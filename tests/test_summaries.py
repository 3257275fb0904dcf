"""Summaries of the accounts table: right to the last digit, under the table's conditions, and blind where it is."""

import random
from collections import Counter
from decimal import Decimal
from itertools import chain
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient
from sqlalchemy import event

from app.policy import Role
from app.words import search_key
from tests.conftest import Owner, World, problem
from tests.test_properties import ALL, define
from tests.test_table import filled
from tests.test_table_oracle import COLUMNS, Question, Row, a_question, peopled
from tests.test_views import column, faults, save

STAR = {"If-Match": "*"}


async def summed(api: AsyncClient, at: str, **query: Any) -> dict[str, Any]:
    answer = await api.get(f"{at}/account-summaries", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def one(api: AsyncClient, at: str, name: str, **query: Any) -> dict[str, Any]:
    (found,) = (await summed(api, at, columns=name, **query))["columns"]
    return found


async def opened(api: AsyncClient, at: str, *values: dict[str, Any]) -> None:
    items = [{"action": "create", "account": {"name": f"Account {n}", "properties": v}} for n, v in enumerate(values)]
    for start in range(0, len(items), 100):
        answer = await api.post(f"{at}/account-batches", json={"items": items[start : start + 100]})
        assert {r["status"] for r in answer.json()["results"]} == {201}, answer.text


# --- the oracle: what the listed rows say ---


def expected(rows: list[Row], name: str, type: str) -> dict[str, Any]:
    key = name.removeprefix("properties.")
    cells = [row["properties"][key] if name != key else row[key] for row in rows]
    have: list[Any] = [cell for cell in cells if cell is not None]
    found: dict[str, Any] = {"column": name, "filled": len(have)}
    match type:
        case "number":
            exact = [Decimal(repr(v)) for v in have]
            sums = (
                (plain(sum(exact, Decimal(0))), float(sum(exact, Decimal(0)) / len(exact))) if exact else (None, None)
            )
            return found | {"kind": "number", "min": min(have, default=None), "max": max(have, default=None),
                            "sum": sums[0], "average": sums[1]}  # fmt: skip
        case "money":
            amounts = [Decimal(v["amount"]) for v in have]
            figures = {"min": min(amounts), "max": max(amounts), "sum": sum(amounts)} if amounts else {}
            return found | {"kind": "money"} | {
                f: {"amount": f"{figures[f]:.2f}", "currency": "EUR"} if figures else None for f in ("min", "max", "sum")
            }  # fmt: skip
        case "boolean":
            return found | {"kind": "boolean", "true_count": have.count(True), "false_count": have.count(False)}
        case "date" | "datetime":
            return found | {"kind": type, "min": min(have, default=None), "max": max(have, default=None)}
        case "select" | "multi_select" | "user":
            lists: list[list[str]] = [v if isinstance(v, list) else [v] for v in have]
            top = sorted(Counter(chain.from_iterable(lists)).items(), key=lambda pair: (-pair[1], pair[0]))
            shown = [{"value": value, "count": count} for value, count in top[:20]]
            return found | {"kind": "options", "options": shown, "others": sum(count for _, count in top[20:])}
        case _:
            texts = {search_key(v) for v in have} if name == "name" else set(have)
            return found | {"kind": "text", "distinct": len(texts)}


def plain(value: Decimal) -> str:
    found = f"{value:f}"
    return found.rstrip("0").rstrip(".") if "." in found else found


FIXED = {"name": "text", "status": "select", "price_model": "select", "member_count": "number",
         "created_at": "datetime"}  # fmt: skip
TYPES = FIXED | {f"properties.{c['key']}": c["type"] for c in COLUMNS}


def asked(question: Question, rng: random.Random) -> dict[str, Any]:
    return {k: v for k, v in question.asked(rng).items() if k in ("filter", "q", "all", "any")}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
async def test_any_question_is_summed_up_as_its_rows_say(world: World, seed: int):
    rng = random.Random(seed)
    api, at, rows = await peopled(world, rng)
    filled_ones = 0
    for _ in range(40):
        question = a_question(rng, rows)
        ids = set(question.answered(rows))
        found = [row for row in rows if row["id"] in ids]
        names = [name for name in TYPES if rng.random() < 0.6]
        if "any" in (query := asked(question, rng)):
            answer = await api.post(f"{at}/account-summaries", json=query | {"columns": names})
            assert answer.status_code == 200, (question, answer.text)
            body = answer.json()
        else:
            body = await summed(api, at, **query, columns=",".join(names)) if names else await summed(api, at, **query)
        wanted = [expected(found, name, TYPES[name]) for name in names or TYPES]
        assert body == {"count": len(ids), "columns": wanted}, question
        filled_ones += bool(ids)
    assert filled_ones > 20


# --- columns of every kind ---


async def test_every_column_is_summed_up_by_its_kind(world: World):
    api, at = await filled(world)
    body = await summed(api, at)
    rows = (await api.get(f"{at}/accounts")).json()["items"]
    types = FIXED | {f"properties.{d['key']}": d["type"] for d in ALL}
    assert body == {"count": 5, "columns": [expected(rows, name, type) for name, type in types.items()]}
    assert body["columns"][6] == {"column": "properties.revenue", "kind": "number", "filled": 3, "min": 9, "max": 100,
                                  "sum": "119.5", "average": 119.5 / 3}  # fmt: skip


async def test_the_typed_query_says_the_same_and_knows_alternatives(world: World):
    api, at = await filled(world)
    rich = {"field": "properties.revenue", "operator": "gt", "value": 9}
    vip = {"field": "properties.vip", "operator": "is_null", "value": False}
    for body, count, total in (
        ({"all": [rich]}, 2, "110.5"), ({"any": [rich, vip]}, 3, "110.5"), ({"q": "birnen"}, 1, "9"), ({}, 5, "119.5"),
    ):  # fmt: skip
        answer = await api.post(f"{at}/account-summaries", json=body | {"columns": ["properties.revenue"]})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["count"], answer.json()["columns"][0]["sum"]) == (count, total), body
    assert (await summed(api, at, filter="properties.revenue:gt:9", columns="revenue"))["count"] == 2


async def test_an_empty_table_has_no_extremes_and_no_sums(world: World):
    api, at = await filled(world)
    nobody = await summed(api, at, q="nobody")
    assert nobody["count"] == 0
    types = [*FIXED.values(), *(d["type"] for d in ALL)]
    assert nobody["columns"] == [expected([], c["column"], t) for c, t in zip(nobody["columns"], types, strict=True)]
    partner = await world.partner("Empty", Anna=Role.PARTNER_ADMIN)
    assert (await summed(api, f"/v1/partners/{partner.id}"))["count"] == 0


async def test_sums_have_all_their_digits(world: World):
    api, at = await filled(world)
    await define(api, at, {"key": "x", "type": "number", "label": {"en": "X"}},
                 {"key": "yen", "type": "money", "currency": "JPY", "label": {"en": "Yen"}})  # fmt: skip
    yen = {"amount": "999999999999999", "currency": "JPY"}
    await opened(api, at, {"x": 999999999999999, "yen": yen}, {"x": 999999999999999, "yen": yen}, {"x": 1e-15},
                 {"x": 0.1}, {"x": 0.2}, {"yen": yen | {"amount": "1"}})  # fmt: skip
    found = await one(api, at, "x")
    assert found["sum"] == "1999999999999998.300000000000001"
    assert (found["min"], found["max"]) == (1e-15, 999999999999999)
    assert (await one(api, at, "yen"))["sum"] == {"amount": "1999999999999999", "currency": "JPY"}
    assert (
        await one(
            api,
            at,
            "x",
            filter="properties.x:lt:1",
        )
    )["sum"] == "0.300000000000001"
    negative = [{"x": -999999999999999}, {"x": -0.3}]
    partner = await world.partner("Rival", Anna=Role.PARTNER_ADMIN)
    there = f"/v1/partners/{partner.id}"
    await define(api, there, {"key": "x", "type": "number", "label": {"en": "X"}})
    await opened(api, there, *negative, {"x": 0})
    assert (await one(api, there, "x"))["sum"] == "-999999999999999.3"
    assert (await one(api, there, "x", filter="properties.x:eq:0"))["sum"] == "0"


async def test_of_many_options_the_twenty_most_frequent_are_told_and_how_often_the_others_occur(world: World):
    api, at = await filled(world)
    options = [{"key": f"o{n:02}", "label": {"en": f"O{n}"}} for n in range(25)]
    await define(api, at, {"key": "one", "type": "select", "label": {"en": "One"}, "options": options},
                 {"key": "some", "type": "multi_select", "label": {"en": "Some"}, "options": options})  # fmt: skip
    keys = [f"o{n:02}" for n in range(25)]
    await opened(api, at, *({"one": key, "some": keys[: n + 1]} for n, key in enumerate(keys)), {"one": "o24"})
    found = await one(api, at, "one")
    assert found["options"] == [{"value": "o24", "count": 2}, *({"value": key, "count": 1} for key in keys[:19])]
    assert (found["filled"], found["others"]) == (26, 5)
    found = await one(api, at, "some")
    assert found["options"] == [{"value": key, "count": 25 - n} for n, key in enumerate(keys[:20])]
    assert (found["filled"], found["others"]) == (25, 15)
    assert (await api.patch(f"{at}/properties/one", json={"options": [options[0] | {"archived": True}, *options[1:]]},
                            headers=STAR)).status_code == 200  # fmt: skip
    assert {"value": "o00", "count": 1} in (await one(api, at, "one"))["options"]  # archived, and still on its account


async def test_a_column_that_is_not_filterable_is_summed_up_but_long_texts_are_only_counted(world: World):
    api, at = await filled(world)
    await define(api, at, {"key": "n", "type": "number", "label": {"en": "N"}, "filterable": False},
                 {"key": "story", "type": "text", "label": {"en": "Story"}, "filterable": False, "max_length": 9000,
                  "multi_line": True})  # fmt: skip
    await opened(api, at, {"n": 1, "story": "x" * 9000}, {"n": 2.5, "story": "x" * 9000})
    assert (await one(api, at, "n"))["sum"] == "3.5"
    assert await one(api, at, "story") == {"column": "properties.story", "kind": "text", "filled": 2, "distinct": None}


async def test_figures_are_of_the_values_while_their_slots_are_still_being_made(world: World):
    api, at = await filled(world)
    await column(api, at, "revenue", filterable=False)
    await world.worker().refresh_all()
    await column(api, at, "revenue", filterable=True)
    before = await one(api, at, "revenue")
    assert (before["filled"], before["sum"]) == (3, "119.5")
    by_it = await api.get(f"{at}/account-summaries", params={"filter": "properties.revenue:gt:9"})
    assert problem(by_it) == (409, "column_not_ready")
    await world.worker().refresh_all()
    assert await one(api, at, "revenue") == before
    assert (await one(api, at, "revenue", filter="properties.revenue:gt:9"))["sum"] == "110.5"


async def test_archived_accounts_count_as_they_do_in_the_table(world: World):
    api, at = await filled(world)
    gone = (await api.get(f"{at}/accounts", params={"q": "citrus"})).json()["items"][0]["id"]
    assert (await api.delete(f"{at}/accounts/{gone}", headers=STAR)).status_code == 204
    assert (await one(api, at, "revenue"))["sum"] == "19.5"
    assert (await one(api, at, "revenue", filter="status:eq:archived"))["sum"] == "100"
    assert (await one(api, at, "status", filter="status:in:active,archived"))["options"] == [
        {"value": "active", "count": 4}, {"value": "archived", "count": 1},
    ]  # fmt: skip
    assert (await api.post(f"{at}/properties/revenue/archive")).status_code == 200
    assert "properties.revenue" not in [c["column"] for c in (await summed(api, at))["columns"]]


# --- what one may see ---


async def test_a_masked_column_is_left_out_and_never_leaks_through_a_condition(world: World):
    api, at = await filled(world)
    view = (await save(api, at, shared=True, columns=["properties.revenue", "properties.vip"]))["id"]
    secret = {"field": "properties.revenue", "operator": "gt", "value": 9}
    by_it = (await save(api, at, "By it", shared=True, all=[secret]))["id"]
    await column(api, at, "revenue", sensitive=True)
    await world.worker().refresh_all()
    vera = await world.client("Vera")
    for query in ({}, {"columns": "revenue"}, {"columns": "properties.revenue,vip"}, {"view": view}):
        names = [c["column"] for c in (await summed(vera, at, **query))["columns"]]
        assert "properties.revenue" not in names
        assert ("properties.vip" in names) is (query != {"columns": "revenue"})
        assert "properties.revenue" in [c["column"] for c in (await summed(api, at, **query))["columns"]]
    answer = await vera.get(f"{at}/account-summaries", params={"filter": "properties.revenue:gt:9"})
    assert faults(answer) == [("query:filter", "unknown_field")]
    answer = await vera.get(f"{at}/account-summaries", params={"view": by_it})
    assert faults(answer) == [("query:view/all/0", "unknown_field")]
    answer = await vera.post(f"{at}/account-summaries", json={"any": [secret]})
    assert faults(answer) == [("/any/0", "unknown_field")]
    assert (await summed(api, at, view=by_it))["count"] == 2


async def test_another_partners_table_is_not_summed_up(world: World):
    api, at = await filled(world)
    other = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    rita, there = await world.client("Rita"), f"/v1/partners/{other.id}"
    await define(rita, there, *ALL)
    await opened(rita, there, {"revenue": 7, "segment": "large", "tags": ["b"]})
    for call in (rita.get(f"{at}/account-summaries"), rita.post(f"{at}/account-summaries", json={})):
        assert problem(await call) == (404, "not_found")
    for who, here, count, total in ((api, at, 5, "119.5"), (rita, there, 1, "7")):
        assert (await summed(who, here))["count"] == count
        assert (await one(who, here, "revenue"))["sum"] == total


# --- views, limits, mistakes ---


async def test_a_view_says_which_accounts_and_which_columns(world: World):
    api, at = await filled(world)
    rich = {"field": "properties.revenue", "operator": "gt", "value": 9}
    view = (await save(api, at, all=[rich], columns=["properties.tags", "id", "name", "properties.revenue"],
                       sort="-properties.revenue"))["id"]  # fmt: skip
    for answer in (await api.get(f"{at}/account-summaries", params={"view": view}),
                   await api.post(f"{at}/account-summaries", json={"view": view})):  # fmt: skip
        assert answer.json()["count"] == 2
        assert [c["column"] for c in answer.json()["columns"]] == ["properties.tags", "name", "properties.revenue"]
    narrowed = await summed(api, at, view=view, columns="vip", filter="properties.vip:eq:true")
    assert (narrowed["count"], [c["column"] for c in narrowed["columns"]]) == (1, ["properties.vip"])
    unknown = await api.get(f"{at}/account-summaries", params={"view": str(uuid4())})
    assert faults(unknown) == [("query:view", "unknown_view")]
    unknown = await api.post(f"{at}/account-summaries", json={"view": str(uuid4())})
    assert faults(unknown) == [("/view", "unknown_view")]


async def test_mistakes_are_pointed_to(world: World):
    api, at = await filled(world)
    for query, expected_ in (
        ({"columns": "nothing"}, [("query:columns", "unknown_field")]), ({"sort": "name"}, [("query:sort", "extra_forbidden")]),
        ({"columns": ",".join(["revenue"] * 31)}, [("query:columns", "too_many")]),
        ({"filter": "properties.vip:gt:true"}, [("query:filter", "unknown_operator")]),
    ):  # fmt: skip
        assert faults(await api.get(f"{at}/account-summaries", params=query)) == expected_
    for body, expected_ in (
        ({"columns": ["nothing"]}, [("/columns", "unknown_field")]), ({"sort": "name"}, [("/sort", "extra_forbidden")]),
        ({"columns": ["revenue"] * 31}, [("/columns", "too_long")]),
        ({"all": [{"field": "name", "operator": "eq", "value": "x" * 501}]}, [("/all/0/value", "string_too_long")]),
        ({"all": [{"field": "name", "operator": "in", "value": ["x" * 501]}]}, [("/all/0/value", "string_too_long")]),
        ({"all": [{"field": "name", "operator": "eq", "value": "x"}] * 15, "any": [
            {"field": "name", "operator": "eq", "value": "x"}] * 6}, [("/any/5", "too_many")]),
    ):  # fmt: skip
        assert faults(await api.post(f"{at}/account-summaries", json=body)) == expected_


async def test_of_more_than_thirty_columns_the_first_are_summed_up_unless_others_are_named(world: World):
    api, at = await filled(world)
    for n in range(20):
        await define(api, at, {"key": f"more_{n}", "type": "text", "label": {"en": "More"}, "filterable": False})
    names = [c["column"] for c in (await summed(api, at))["columns"]]
    assert (len(names), names[0], names[-1]) == (30, "name", "properties.more_12")
    assert (await one(api, at, "more_19"))["filled"] == 0
    view = (await save(api, at, columns=[f"properties.more_{n}" for n in range(20)] + names[:15]))["id"]
    assert len((await summed(api, at, view=view))["columns"]) == 30


async def test_all_figures_are_read_by_one_statement(world: World):
    api, at = await filled(world)
    engine, seen = world.app.state.engine.sync_engine, list[str]()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    await summed(api, at)
    event.remove(engine, "before_cursor_execute", note)
    assert len([s for s in seen if "accounts" in s and "sessions" not in s]) == 1


async def test_a_summary_that_takes_too_long_is_a_problem_document_and_holds_nobody_up(world: World, owner: Owner):
    api, at = await filled(world)
    await owner.execute(
        "CREATE POLICY slow ON accounts AS RESTRICTIVE TO tenantry_app USING (pg_sleep(0.2)::text IS NOT NULL)"
    )
    engine = world.app.state.engine.sync_engine

    def hasten(connection: Any) -> None:
        connection.exec_driver_sql("SET LOCAL statement_timeout = '300ms'")

    event.listen(engine, "begin", hasten)
    answer = await api.get(f"{at}/account-summaries")
    assert problem(answer) == (503, "unavailable")
    assert answer.headers["retry-after"]
    event.remove(engine, "begin", hasten)
    await owner.execute("DROP POLICY slow ON accounts")
    assert (await summed(api, at))["count"] == 5
