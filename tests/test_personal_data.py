"""What is kept about a person: one inventory; the export has all of it, and after the erasure nobody can be found."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from httpx import ASGITransport, AsyncClient
from sqlalchemy import func, select
from typer.testing import CliRunner

from app import operate, personal
from app.cli import cli
from app.models import Account, Base
from app.policy import Role
from app.services import erasures, throttles
from app.services.holdings import BY_RULE, DELETED, HOLDINGS, KEPT, NOTHING
from tests.conftest import PASSWORD, PROMISES, Owner, Server, World, join, problem, token_of
from tests.pools import feature
from tests.test_secrets import captured

EMAIL, NAME, AGENT, ADDRESS = "Kanaria.Vogelsang@example.com", "Kanaria Vogelsang", "CanaryBrowser/7", "203.0.113.77"
CANARIES = ("kanaria", "vogelsang", "canarybrowser", "203.0.113.")
"""What leads to the person: in any case, anywhere."""


class Canary:
    """A person who is in every table that can hold one."""

    def __init__(self, world: World, api: AsyncClient) -> None:
        self.world, self.api = world, api
        self.id = UUID(int=0)

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = await self.api.request(method, f"/v1/{path}", json=body, headers=headers)
        assert answer.status_code < 300, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None


async def canary(world: World) -> Canary:
    """Invited, registered, and busy: in a partner with Anna as the other admin, and in one that she has left."""
    await world.partner("Former", Anna=Role.PARTNER_ADMIN, Kai=Role.PARTNER_ADMIN)
    acme = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    transport = ASGITransport(world.app, raise_app_exceptions=False, client=(ADDRESS, 4711))
    api = await world.stack.enter_async_context(
        AsyncClient(
            transport=transport, base_url="http://localhost", headers={"User-Agent": AGENT}, event_hooks=PROMISES
        )
    )
    she, anna = Canary(world, api), await world.client("Anna")
    here = f"partners/{acme.id}"
    invited = {"email": EMAIL, "role": "partner_admin"}
    made = await anna.post(f"/v1/{here}/invitations", json=invited, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201, made.text
    await she.call("POST", "registrations", {"token": token_of((await world.mails())[0]), "name": "K. Vogelsang",
                                             "password": PASSWORD})  # fmt: skip
    assert (await api.post("/v1/sessions", json={"email": EMAIL, "password": "a wrong one, twice"})).status_code == 401
    tokens = await she.call("POST", "sessions", {"email": EMAIL, "password": PASSWORD})
    api.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    me = await api.get("/v1/me")
    she.id = UUID(me.json()["id"])
    await she.call("PATCH", "me", {"name": NAME}, **{"If-Match": me.headers["ETag"]})
    assert (
        await api.post("/v1/me/password", json={"current_password": "wrong", "password": PASSWORD})
    ).status_code == 422
    assert (await api.post("/v1/password-resets", json={"email": EMAIL.upper()})).status_code == 202
    account = await she.call("POST", f"{here}/accounts", {"name": "Nordwerk"}, **{"Idempotency-Key": "two"})
    at = f"{here}/accounts/{account['id']}"
    await she.call("POST", f"{at}/invitations", {"email": "other@example.com", "role": "account_viewer"})
    await she.call("POST", f"{here}/views", {"name": "Mine", "shared": True})
    await she.call("POST", f"{here}/views", {"name": "Private"})
    await she.call("POST", f"{here}/api-clients", {"name": "ERP", "scopes": ["account:read"]})
    await she.call("POST", f"{here}/webhooks", {"url": "https://hooks.example.com/in"})
    definition = {"key": "keeper", "type": "user", "label": {"en": "Keeper"}}
    await she.call("POST", f"{here}/properties", definition)
    tag = (await api.get(f"/v1/{at}")).headers["ETag"]
    await she.call("PATCH", at, {"properties": {"keeper": str(she.id)}}, **{"If-Match": tag})
    key = await feature(world, "assets", default=10)
    await she.call("POST", f"{at}/claims", {"feature": key, "resource": "asset:1"})
    file = {"file": ("new.csv", b"name\nSouthwerk\n")}
    assert (await api.post(f"/v1/{here}/account-imports", files=file)).status_code == 201
    await anna.post(f"/v1/{here}/accounts", json={"name": "Of Anna"})
    async with world.transaction(acme.id) as db:  # somebody else is in charge there, too
        found = await db.get_one(Account, (acme.id, UUID(account["id"])))
        await join(db, found, world.people["Anna"].id, Role.ACCOUNT_ADMIN)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    waiting = await (await world.client("Rita")).post(
        f"/v1/partners/{rival.id}/invitations", json={"email": EMAIL.lower(), "role": "partner_viewer"}
    )
    assert waiting.status_code == 201
    await world.mails()
    await world.worker().number_all()
    return she


async def everything(owner: Owner) -> dict[str, list[str]]:
    """All rows of all tables as text, past every wall; bytes that are text, too."""
    await owner.execute("SET bytea_output = 'escape'")
    found: dict[str, list[str]] = {}
    for table in Base.metadata.tables:
        found[table] = [r["row"].lower() for r in await owner.rows(f"SELECT t::text AS row FROM {table} t")]
    return found


def hits(rows: Mapping[str, list[str]], *needles: str) -> set[str]:
    """Where these are found."""
    return {f"{table}: {row}" for table, texts in rows.items() for row in texts if any(n in row for n in needles)}


# --- the inventory ---


def test_the_inventory_speaks_of_every_table_and_every_column():
    held = {h.table for h in HOLDINGS}
    assert held | set(NOTHING) == set(Base.metadata.tables)
    assert not held & set(NOTHING)
    for name, table in Base.metadata.tables.items():
        columns = {c.name for c in table.columns}
        for holding in (h for h in HOLDINGS if h.table == name):
            shown, withheld = holding.shown.split(), holding.withheld.split()
            assert sorted([*shown, *withheld]) == sorted(columns), f"{name}: {holding.what}"
        if name in NOTHING:
            assert sorted(NOTHING[name][1].split()) == sorted(columns), name


def test_each_holding_says_what_becomes_of_it():
    for holding in HOLDINGS:
        assert not isinstance(holding.fate, str) or holding.fate in (KEPT, DELETED, BY_RULE), holding.what


# --- the export ---


async def file_of(she: Canary) -> dict[str, Any]:
    """The file, by the API and a worker."""
    made = await she.api.post("/v1/me/data-exports")
    assert made.status_code == 202, made.text
    there = made.headers["Location"]
    assert problem(await she.api.get(f"{there}/file")) == (409, "data_export_not_ready")
    assert problem(await she.api.post("/v1/me/data-exports")) == (409, "data_export_running")
    await she.world.worker().serve_people()
    said = (await she.api.get(there)).json()
    file = await she.api.get(f"{there}/file")
    assert file.status_code == 200
    assert file.headers["content-type"] == "application/json"
    assert file.headers["content-disposition"].startswith('attachment; filename="tenantry-personal-data-')
    found = json.loads(file.content)
    assert (said["status"], said["records"]) == ("done", len(found["records"]))
    return found


@pytest.mark.slow
async def test_the_export_has_every_row_that_names_the_person(world: World, owner: Owner):
    """Against an oracle that knows no inventory: it searches all tables for the id, the address, and the sessions."""
    she = await canary(world)
    found = await file_of(she)
    needles = [str(she.id), EMAIL.lower()]
    needles += [str(r["id"]) for r in await owner.rows("SELECT id FROM sessions WHERE user_id = $1", she.id)]
    needles += [
        str(r["id"]) for r in await owner.rows("SELECT id FROM invitations WHERE email_key = $1", EMAIL.lower())
    ]
    rows = await everything(owner)
    expected: dict[str, int] = {}
    for table, texts in rows.items():
        # the mail of an invitation names that alone
        number = sum(any(n in t for n in needles) for t in texts if table != "deliveries" or "invitation" not in t)
        if number and table != "data_export_parts":
            expected[table] = number
    exported: dict[str, set[str]] = {}
    for record in found["records"]:
        exported.setdefault(record["table"], set()).add(_key(record["row"]))
    assert {t: len(keys) for t, keys in exported.items()} == expected
    assert set(expected) == {h.table for h in HOLDINGS} - {"recovery_codes", "erasures"}


def _key(row: Mapping[str, Any]) -> str:
    return str(row["id"]) if "id" in row else json.dumps({k: row[k] for k in row if k not in ("status",)})


@pytest.mark.slow
async def test_the_export_tells_no_secret_and_nothing_that_is_others(world: World, owner: Owner):
    she = await canary(world)
    text = json.dumps(await file_of(she))
    assert EMAIL in text
    assert NAME in text
    assert ADDRESS in text
    for other in ("other@example.com", "anna@example.com", "127.0.0.1", "argon2", "Southwerk"):
        assert other not in text, other
    hashes = await owner.rows("SELECT encode(token_hash, 'hex') AS h FROM refresh_tokens")
    assert not [h for h in hashes if h["h"] in text]


async def test_a_file_is_its_owners_alone_and_gone_after_a_week(world: World, owner: Owner):
    await world.partner(Anna=Role.PARTNER_ADMIN, Bert=Role.PARTNER_ADMIN)
    anna, bert = await world.client("Anna"), await world.client("Bert")
    there = (await anna.post("/v1/me/data-exports")).headers["Location"]
    await world.worker().serve_people()
    for path in (there, f"{there}/file"):
        assert (await anna.get(path)).status_code == 200
        assert problem(await bert.get(path)) == (404, "not_found")
    again = (await anna.post("/v1/me/data-exports")).headers["Location"]
    assert problem(await anna.get(there)) == (404, "not_found")
    await world.worker().serve_people()
    await owner.execute("UPDATE data_exports SET expires_at = now() - interval '1 second'")
    assert problem(await anna.get(f"{again}/file")) == (404, "not_found")
    await world.worker().clean_up()
    assert await owner.value("SELECT count(*) FROM data_export_parts") == 0


# --- the erasure ---


async def erased(she: Canary) -> None:
    answer = await she.api.post("/v1/me/erasure", json={"password": PASSWORD})
    assert answer.status_code == 202, answer.text
    assert problem(await she.api.get("/v1/me")) == (401, "unauthenticated")  # at once, before the worker comes
    assert problem(await she.api.post("/v1/sessions", json={"email": EMAIL, "password": PASSWORD}))[0] == 401


@pytest.mark.slow
async def test_after_the_erasure_nothing_leads_to_the_person_and_the_log_is_true(world: World, owner: Owner):
    with captured(world.settings) as log:
        she = await canary(world)
        await file_of(she)
        await world.worker().number_all()
        before = await everything(owner)
        assert await owner.value("SELECT count(*) FROM throttles") > 3
        tables = {hit.partition(":")[0] for hit in hits(before, *CANARIES)}
        assert tables >= {"users", "sessions", "invitations", "events", "stored_answers", "account_imports",
                          "data_export_parts", "deliveries"}  # fmt: skip
        actions = await owner.rows("SELECT position, type, actor_id, hash FROM events WHERE actor_id = $1", she.id)
        await erased(she)
        await world.worker().serve_people()
        assert hits(await everything(owner), *CANARIES) == set()
        assert not [c for c in CANARIES if c in log.getvalue().lower()]
    await world.worker().number_all()
    verdicts = await operate.verify_log(world.settings, None)
    assert [v for v in verdicts.values() if v.broken_at] == []
    kept = await owner.rows("SELECT position, type, actor_id, hash FROM events WHERE actor_id = $1", she.id)
    assert [a for a in actions if a not in kept] == []  # who did what is as it was
    assert len(actions) > 15
    assert await owner.value("SELECT count(*) FROM events WHERE type = 'user.erased' AND subject_id = $1", she.id) == 1
    left = await owner.rows("SELECT * FROM users WHERE id = $1", she.id)
    assert [(u["name"], u["email"], u["status"]) for u in left] == [
        ("Erased user", f"erased-{she.id}@erased.invalid", "suspended")
    ]
    for table in ("partner_members", "account_members"):
        assert await owner.value(f"SELECT count(*) FROM {table} WHERE user_id = $1", she.id) == 0
    details = await owner.value("SELECT details FROM events WHERE type = 'account.created' AND actor_id = $1", she.id)
    assert "Nordwerk" in details  # what she did for the partner is the partner's
    secret = world.app.state.keys.derived("throttles")
    left_over = [r["key"] for r in await owner.rows("SELECT * FROM throttles")]
    for of in (("log-in", EMAIL.lower(), "elsewhere"), ("proof", str(she.id)), ("resets of", EMAIL.lower())):
        assert throttles.key(secret, *of) not in left_over


async def test_what_waits_for_the_person_is_revoked_and_a_new_one_may_come(world: World, owner: Owner):
    partner = await world.partner(Anna=Role.PARTNER_ADMIN, Kai=Role.PARTNER_VIEWER)
    rival = await world.partner("Rival", Rita=Role.PARTNER_ADMIN)
    rita, kai = await world.client("Rita"), await world.client("Kai")
    here = f"/v1/partners/{rival.id}/invitations"
    made = (await rita.post(here, json={"email": "kai@example.com", "role": "partner_viewer"})).json()
    assert (await kai.post("/v1/me/erasure", json={"password": PASSWORD})).status_code == 202
    await world.worker().serve_people()
    now = (await rita.get(f"{here}?filter=status:eq:revoked")).json()["items"]
    assert [(i["id"], i["email"]) for i in now] == [(made["id"], f"erased-{world.people['Kai'].id}@erased.invalid")]
    again = await rita.post(here, json={"email": "kai@example.com", "role": "partner_viewer"})
    assert again.status_code == 201
    members = (await (await world.client("Anna")).get(f"/v1/partners/{partner.id}/members")).json()["items"]
    assert [m["name"] for m in members] == ["Anna"]
    removed = await owner.rows("SELECT type FROM events WHERE partner_id = $1 AND type LIKE '%removed'", partner.id)
    assert len(removed) == 1


async def test_who_is_still_needed_is_told_where_and_stays(world: World):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN, Bert=Role.PARTNER_MANAGER)
    account = await world.account(partner, "Nordwerk", by="Anna")
    gone = await world.account(partner, "Gone", by="Anna")
    anna = await world.client("Anna")
    assert (
        await anna.delete(f"/v1/partners/{partner.id}/accounts/{gone.id}", headers={"If-Match": "*"})
    ).status_code == 204
    refused = await anna.post("/v1/me/erasure", json={"password": PASSWORD})
    assert problem(refused) == (409, "still_last_admin")
    assert refused.json()["admin_of"] == [
        {"partner_id": str(partner.id), "partner_name": "Acme", "account_id": None, "account_name": None},
        {"partner_id": str(partner.id), "partner_name": "Acme", "account_id": str(account.id),
         "account_name": "Nordwerk"},
    ]  # fmt: skip
    assert (await anna.get("/v1/me")).status_code == 200
    async with world.transaction(partner.id) as db:
        await join(db, account, world.people["Bert"].id, Role.ACCOUNT_ADMIN)
    promoted = await anna.patch(
        f"/v1/partners/{partner.id}/members/{world.people['Bert'].id}", json={"role": "partner_admin"},
        headers={"If-Match": "*"},
    )  # fmt: skip
    assert promoted.status_code == 200
    assert (await anna.post("/v1/me/erasure", json={"password": PASSWORD})).status_code == 202
    await world.worker().serve_people()
    bert = await world.client("Bert")
    assert problem(await bert.post("/v1/me/erasure", json={"password": PASSWORD})) == (409, "still_last_admin")


async def test_of_two_last_admins_who_want_to_go_at_once_one_stays(world: World):
    await world.partner("Acme", Anna=Role.PARTNER_ADMIN, Bert=Role.PARTNER_ADMIN)
    both = [await world.client("Anna"), await world.client("Bert")]
    answers = await asyncio.gather(*(c.post("/v1/me/erasure", json={"password": PASSWORD}) for c in both))
    assert sorted(a.status_code for a in answers) == [202, 409]


async def test_the_only_operator_stays_and_a_wrong_password_erases_nobody(world: World, owner: Owner):
    olga = await world.client("Olga", operator=True)
    assert problem(await olga.post("/v1/me/erasure", json={"password": PASSWORD})) == (409, "last_admin")
    await world.user("Otto", operator=True)
    assert problem(await olga.post("/v1/me/erasure", json={"password": "not hers"})) == (422, "invalid")
    assert await owner.value("SELECT count(*) FROM erasures") == 0
    assert (await olga.post("/v1/me/erasure", json={"password": PASSWORD})).status_code == 202
    await world.worker().serve_people()
    assert await owner.value("SELECT operator FROM users WHERE id = $1", world.people["Olga"].id) is False


@pytest.mark.slow
async def test_an_erasure_that_is_killed_at_any_step_goes_on_where_it_was(
    world: World, owner: Owner, monkeypatch: pytest.MonkeyPatch
):
    """Every step fails just before its commit, and is done again. A window holds few events, so that there are many."""
    monkeypatch.setattr("app.services.people.WINDOW", 3)
    monkeypatch.setattr(erasures, "MEMBERS", 1)
    she = await canary(world)
    await erased(she)
    secret = world.app.state.keys.derived("throttles")
    steps, more = 0, True
    while more:
        before = await everything(owner)
        async with world.begin() as db:
            await erasures.step(db, secret)
            await db.rollback()
        assert await everything(owner) == before
        async with world.begin() as db:
            more = await erasures.step(db, secret)
            await db.commit()
        steps += 1
        assert steps < 500
    assert steps > 15
    assert hits(await everything(owner), *CANARIES) == set()
    await world.worker().number_all()
    assert [v for v in (await operate.verify_log(world.settings, None)).values() if v.broken_at] == []


async def test_an_erasure_that_fails_keeps_nobody_from_their_file(world: World, server: Server, database: str):
    kai, bert = await world.client("Kai"), await world.client("Bert")
    assert (await kai.post("/v1/me/erasure", json={"password": PASSWORD})).status_code == 202
    there = (await bert.post("/v1/me/data-exports")).headers["Location"]
    await server.execute("ALTER FUNCTION erase_events_about RENAME TO gone", database=database)
    with structlog.testing.capture_logs() as logged:
        await world.worker().serve_people()
    assert {(e["event"], e["work"]) for e in logged} == {("work failed", "erase people")}
    assert (await bert.get(there)).json()["status"] == "done"


async def test_a_client_of_the_erased_is_refused_until_somebody_takes_it_over(world: World):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN, Kai=Role.PARTNER_ADMIN)
    here = f"/v1/partners/{partner.id}"
    kai, anna = await world.client("Kai"), await world.client("Anna")
    made = (await kai.post(f"{here}/api-clients", json={"name": "ERP", "scopes": ["account:list"]})).json()
    program = await world.client(token=made["secret"])
    assert (await program.get(f"{here}/accounts")).status_code == 200
    assert (await kai.post("/v1/me/erasure", json={"password": PASSWORD})).status_code == 202
    assert problem(await program.get(f"{here}/accounts"))[0] in (401, 403)
    await world.worker().serve_people()
    assert problem(await program.get(f"{here}/accounts"))[0] in (401, 403)
    shown = (await anna.get(f"{here}/api-clients/{made['id']}")).json()
    assert shown["status"] == "owner_gone"
    assert (await anna.post(f"{here}/api-clients/{made['id']}/take-over", json={})).status_code == 200
    assert (await program.get(f"{here}/accounts")).status_code == 200


async def test_the_log_of_nobody_else_can_be_erased_with_the_function(world: World):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    from_, to = UUID(int=0), UUID(int=2**128 - 1)
    with pytest.raises(Exception, match="nobody is to be erased"):
        async with world.transaction(partner.id) as db:
            await db.execute(select(func.erase_events_about(partner.id, world.people["Anna"].id, "x", from_, to)))


# --- at a shell ---


@pytest.mark.slow
async def test_an_operator_exports_and_erases_at_a_shell(world: World, owner: Owner, tmp_path: Path):
    she = await canary(world)
    target = tmp_path / "she.json"
    await personal.export_person(world.settings, EMAIL, target)
    with pytest.raises(FileExistsError):
        await personal.export_person(world.settings, EMAIL, target)
    assert target.stat().st_mode & 0o777 == 0o600
    by_shell, by_api = json.loads(target.read_bytes()), await file_of(she)
    own = ("data_exports", "sessions")
    assert [
        r for r in by_shell["records"] if r["table"] not in own and r["row"].get("type") != "data_export.created"
    ] == [r for r in by_api["records"] if r["table"] not in own and r["row"].get("type") != "data_export.created"]
    assert await personal.erase_person(world.settings, EMAIL) == she.id
    assert hits(await everything(owner), *CANARIES) == set()
    with pytest.raises(operate.Refused, match="no user has this address"):
        await personal.erase_person(world.settings, EMAIL)
    with pytest.raises(operate.Refused, match="no user has this address"):
        await personal.export_person(world.settings, EMAIL, tmp_path / "nobody.json")
    assert not (tmp_path / "nobody.json").exists()


async def test_at_a_shell_the_last_admin_stays_too_and_nothing_is_done_without_a_yes(world: World):
    await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    with pytest.raises(operate.Refused, match="the last admin must stay: Acme"):
        await personal.erase_person(world.settings, "anna@example.com")
    asked = CliRunner().invoke(cli, ["erase-person", "anna@example.com"], input="n\n")
    assert asked.exit_code == 1
    assert "for good?" in asked.output


# --- retention ---


async def test_the_address_of_somebody_who_never_came_is_forgotten_after_90_days(world: World, owner: Owner):
    partner = await world.partner("Acme", Anna=Role.PARTNER_ADMIN)
    anna = await world.client("Anna")
    here = f"/v1/partners/{partner.id}/invitations"
    for email in ("old@example.com", "young@example.com"):
        assert (await anna.post(here, json={"email": email, "role": "partner_viewer"})).status_code == 201
    await owner.execute("UPDATE invitations SET expires_at = now() - interval '91 days' WHERE email LIKE 'old%'")
    await owner.execute("UPDATE invitations SET expires_at = now() - interval '89 days' WHERE email LIKE 'young%'")
    await world.worker().number_all()
    for _ in range(2):
        await world.worker().clean_up()
    rows = await everything(owner)
    assert hits(rows, "old@example.com") == set()
    assert hits(rows, "young@example.com") != set()
    shown = (await anna.get(f"{here}?filter=status:eq:expired")).json()["items"]
    assert len(shown) == 2
    assert [v for v in (await operate.verify_log(world.settings, None)).values() if v.broken_at] == []
