"""What a search relies on: that a text is in `search`, that a start is a range; and that its function has one partner."""

import sys
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app import words
from app.models import PropertyType
from app.policy import Role
from app.services import columns, tables
from app.services.lists import Query
from app.services.searches import sought
from app.services.values import KINDS, Refused
from tests.conftest import World

SEARCHED = [kind for kind in PropertyType if KINDS[kind].searched]
LETTERS = st.characters(exclude_categories=("Cs", "Cc", "Co", "Cn", "Cf", "Zl", "Zp"))
HOSTS = st.sampled_from(["example.com", "Müller.example", "ΑΣ.example", "straße.example", "한국.example"])
VALUES = {
    PropertyType.TEXT: st.text(LETTERS | st.sampled_from("ᴬﬃﷺİßẞΣς ´¨"), max_size=200),
    PropertyType.URL: st.builds("https://{}/{}".format, HOSTS, st.text(LETTERS, max_size=30)),
    PropertyType.EMAIL: st.builds("{}@{}".format, st.from_regex(r"[A-Za-z0-9]{1,9}", fullmatch=True), HOSTS),
    PropertyType.PHONE: st.builds("+4930{}".format, st.integers(100_000, 9_999_999)),
}


def definition(kind: PropertyType, *, sensitive: bool = False) -> columns.Definition:
    return columns.Definition(
        UUID(int=1), "it", kind, {}, {}, None, required=False, unique=False, filterable=True, sensitive=sensitive,
        editable_by=frozenset(), archived=False, deleted=False, slot="t1", stale=False,
    )  # fmt: skip


@pytest.mark.parametrize("kind", SEARCHED)
@given(data=st.data())
def test_what_a_slot_contains_is_in_the_text_that_is_searched(kind: PropertyType, data: st.DataObject):
    try:
        value = KINDS[kind].check(data.draw(VALUES[kind]), {})
    except Refused:
        assume(False)
        raise
    known = columns.Columns(1, (definition(kind),))
    row = known.projected(words.search_key("–"), {"it": value})
    whole = data.draw(st.sampled_from([value, row["t1"]]))
    start = data.draw(st.integers(0, len(whole)))
    part = whole[start : data.draw(st.integers(start, len(whole)))]
    query = Query(filter=(f"properties.it:contains:{part}",))
    table = tables.of(known, query, masked=False)
    asked = table.columns["properties.it"].parse(part)
    if asked in row["t1"]:  # as the slot is asked
        assert sought(table, query) in row["search"]


def test_a_text_is_sought_as_its_slot_is_even_where_what_is_folded_could_be_folded_once_more():
    known = columns.Columns(1, (definition(PropertyType.TEXT),))
    row, query = known.projected("0", {"it": "ᴬ"}), Query(filter=("properties.it:contains:ᴬ",))
    assert row["t1"] == "A"
    assert sought(tables.of(known, query, masked=False), query) == "A"


def test_a_name_that_contains_something_is_searched_by_it_and_a_sensitive_column_by_nothing():
    assert sought(tables.fixed(), Query(filter=("name:contains:Äpfel",))) == "apfel"
    known = columns.Columns(1, (definition(PropertyType.TEXT, sensitive=True),))
    query = Query(filter=("properties.it:contains:secret", "name:starts_with:x"))
    assert sought(tables.of(known, query, masked=False), query) == ""


def test_lower_case_letters_fold_as_their_capitals_do():
    for code in range(sys.maxunicode + 1):
        assert words.search_key(chr(code).lower()) == words.search_key(chr(code)), hex(code)


ANY = st.text(st.characters(exclude_categories=("Cs",)) | st.sampled_from("\ud7ff\ue000\U0010ffff"), max_size=4)


@given(ANY, ANY)
@example("a\ud7ff", "a\ud7ffx")
@example("\U0010ffff", "\U0010ffff\U0010ffff")
def test_what_begins_with_a_text_lies_before_the_first_that_is_behind_it(start: str, other: str):
    for found in (other, start + other):
        end = words.behind(start)
        assert found.startswith(start) == (found >= start and (not end or found < end))
        assert not end or end.encode()


async def test_the_function_that_finds_a_text_reads_no_other_partner(world: World):
    acme, rival = (
        await world.partner("Acme", Anna=Role.PARTNER_ADMIN),
        await world.partner("Rival", Rita=Role.PARTNER_ADMIN),
    )
    ours, theirs = await world.account(acme, "Nordwerk", by="Anna"), await world.account(rival, "Nordwerk", by="Rita")
    find = text("SELECT accounts_matching(:p, :text, 10)")
    async with world.app.state.engine.connect() as connection:
        with pytest.raises(DBAPIError, match="another partner"):
            async with connection.begin_nested():
                await connection.execute(find, {"p": acme.id, "text": "nordwerk"})
        await connection.execute(text(f"SET LOCAL app.partner_id = '{acme.id}'"))
        for sought_for in ("nordwerk", "rk", "k", "w"):
            assert await connection.scalar(find, {"p": acme.id, "text": sought_for}) == [ours.id] != [theirs.id]
        assert await connection.scalar(find, {"p": acme.id, "text": "südbau"}) == []
        with pytest.raises(DBAPIError, match="another partner"):
            await connection.execute(find, {"p": rival.id, "text": "nordwerk"})


async def test_a_text_that_too_many_hold_makes_no_set(world: World):
    acme = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    for name in ("Nordwerk", "Südwerk", "Westwerk"):
        await world.account(acme, name, by="Anna")
    async with world.transaction(acme.id) as db:
        line = await db.connection()
        for most, found in ((2, None), (3, 3)):
            ids = await line.scalar(text("SELECT accounts_matching(:p, 'werk', :most)"), {"p": acme.id, "most": most})
            assert (None if ids is None else len(ids)) == found
