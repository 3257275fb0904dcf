"""The benchmark's data: the same every time, and as the application itself would have written them."""

from sqlalchemy import select

from app import words
from app.config import Settings
from app.models import Account
from app.services import columns, values
from bench import data, databases
from tests.conftest import Server, World, running


def test_generated_accounts_are_the_same_every_time_and_none_has_another_ones_name():
    made = list(data.accounts(1_000, seed="a"))
    assert made == list(data.accounts(1_000, seed="a"))
    assert len({words.name_key(account.name) for account in made}) == 1_000
    assert [account.id for account in made] == sorted(account.id for account in made)


def test_generated_values_have_the_form_in_which_the_application_keeps_them():
    rows = {row.key: row for row in databases.properties(databases.PARTNER)}
    for made in data.accounts(1_000, seed="b"):
        assert words.name(made.name) == made.name
        for key, value in made.properties.items():
            checked = values.KINDS[rows[key].type].check(value, rows[key].inputs)
            assert (type(checked), checked) == (type(value), value), key


def test_generated_data_are_skewed_correlated_and_have_gaps():
    made = [account.properties for account in data.accounts(5_000, seed="c")]
    for key in ("city", "segment", "revenue", "contract_end", "billing_email"):
        assert 0.13 < sum(key not in p for p in made) / 5_000 < 0.17, key
    revenue = {s: sorted(p["revenue"] for p in made if p.get("segment") == s and "revenue" in p) for s in data.SEGMENTS}
    middle = [revenue[s][len(revenue[s]) // 2] for s in data.SEGMENTS]
    assert middle == sorted(middle)
    assert len(revenue["small"]) > 20 * len(revenue["enterprise"])
    ends = [p["contract_end"] for p in made if "contract_end" in p]
    assert sum(end[8:] in ("30", "31") for end in ends) > len(ends) * 0.8
    assert sum(p.get("city") == data.SELDOM_CITY for p in made) == 10


async def test_a_filled_database_holds_what_the_application_makes_of_it(
    server: Server, database: str, settings: Settings
):
    async with databases.connected(server.url(database, owner=True)) as owner:
        await databases.fill(owner, 200, others=3)
    async with running(settings) as world:
        await every_projection_follows(world)


async def every_projection_follows(world: World) -> None:
    async with world.transaction(databases.PARTNER) as db:
        known = await columns.load(db, databases.PARTNER)
        assert len(known.active) == len(data.DEFINITIONS)
        accounts = (await db.scalars(select(Account))).all()
        assert len(accounts) == 200
        for account in accounts:
            assert (account.name_key, account.name_search) == (
                words.name_key(account.name),
                words.search_key(account.name),
            )
            columns.project(known, account)
            assert not db.is_modified(account)
