"""Who may do what, for every operation of the contract: refused cells, foreign ids, extra fields, sudden changes."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain, combinations, product
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi.routing import APIRoute
from httpx import AsyncClient, Response
from jose import jwt

from app.access import permissions_of
from app.models import PLATFORM, AccountStatus, Base, PartnerMember, User, UserStatus, utc_now
from app.policy import ACCOUNT_ROLES, GRANTS, OF_FIELDS, PARTNER_ROLES, Permission, Role, scopes_of
from app.routers import ROUTERS
from app.security import ALGORITHM
from tests.conftest import MISCOUNTED, PASSWORD, Owner, World, join, problem, running
from tests.contract import parameters_of
from tests.facts import strange
from tests.matrix import (
    ANY_OPERATION,
    BODIES,
    CATALOGUE,
    NO_OWNER,
    PARAMETERS,
    Actor,
    Ledger,
    Operation,
    Request,
    Requests,
    Stage,
    operations,
    refusal,
)

P, R = Permission, Role
ADMINS = (R.PARTNER_ADMIN, R.ACCOUNT_ADMIN)
ANY = {"If-Match": "*"}


People = Callable[["Cast"], Awaitable[list[Actor]]]


class Cast:
    """Stages (a partner with an account each), and people who act on them."""

    def __init__(self, world: World, olivia: AsyncClient, lobby: Stage) -> None:
        self.world, self.olivia = world, olivia
        self.requests, self.ledger, self.operations = Requests(world, olivia, lobby), Ledger(world), operations(world)

    @classmethod
    async def on(cls, world: World) -> "Cast":
        await world.user("Bystander")
        return cls(world, await world.client("Olivia", operator=True), await stage(world, "Lobby"))

    async def actor(self, name: str, at: Stage, *roles: Role) -> Actor:
        """Somebody with these roles in the stage's partner and account, in a session of their own."""
        user, partner_id = await self.world.user(name, operator=R.OPERATOR in roles), at.partner.id
        async with self.world.transaction(partner_id) as db:
            db.add_all(PartnerMember(partner_id=partner_id, user_id=user.id, role=r) for r in PARTNER_ROLES & {*roles})
            for role in ACCOUNT_ROLES & {*roles}:
                await join(db, at.account, user.id, role)
        return Actor(name, at, await self.world.client(name), name, frozenset(roles))

    async def inside(self, actor: Actor, account: Stage, confined: Any = "here") -> Actor:
        """The same person with the token of an account that they switched into."""
        answer = await actor.client.post(f"{account.account_path}/switch")
        assert answer.status_code == 200, answer.text
        actor.client, actor.confined = await self.world.client(token=answer.json()["access_token"]), confined
        return actor

    async def client(self, name: str, at: Stage, scopes: Collection[str], *, service: bool = False) -> Actor:
        """An API client: of the stage's partner, owned by an admin there; or a service, owned by an operator."""
        owner, place = (R.OPERATOR, "/v1/service-clients") if service else (R.PARTNER_ADMIN, f"{at.path}/api-clients")
        by = await self.actor(f"{name}Owner", at, owner)
        made = await by.client.post(place, json={"name": name, "scopes": sorted(scopes)})
        assert made.status_code == 201, made.text
        client = await self.world.client(token=made.json()["secret"])
        role = R.SERVICE if service else R.PARTNER_ADMIN
        proof = {"client_id": made.json()["id"], "client_secret": made.json()["secret"]}
        return Actor(name, at, client, by.person, frozenset({role}), scopes=frozenset(scopes), proof=proof)

    async def change(self, at: Stage, **values: Any) -> None:
        answer = await self.olivia.patch(at.path, json=values, headers=ANY)
        assert answer.status_code == 200, answer.text


async def stage(world: World, tag: str) -> Stage:
    partner = await world.partner(f"{tag} GmbH", **{f"{tag}Keeper": R.PARTNER_ADMIN})
    return Stage(partner, await world.account(partner, f"{tag} account", by=f"{tag}Founder"))


def bearer(client: AsyncClient) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


async def outsiders(cast: Cast, home: Stage) -> list[Actor]:
    """Those whose token is none, or no longer one. All but the first would be admins of everything otherwise."""
    world, tokens = cast.world, cast.world.app.state.tokens
    names = ("Expired", "WrongAudience", "Refresh", "SuspendedUser", "EndedSession")
    found = [await cast.actor(name, home, R.OPERATOR, *ADMINS) for name in names]
    expired, audience, refresh, _, ended = found
    claims = jwt.get_unverified_claims(bearer(expired.client))
    expired.client = await world.client(
        token=tokens.issue(UUID(claims["sub"]), UUID(claims["sid"]), utc_now() - timedelta(hours=2))
    )
    token = bearer(audience.client)
    forged = jwt.get_unverified_claims(token) | {"aud": [tokens.account_audience]}
    key = tokens.keys.signing[jwt.get_unverified_header(token)["kid"]]
    headers = {k: v for k, v in jwt.get_unverified_header(token).items() if k != "alg"}
    audience.client = await world.client(token=jwt.encode(forged, key, ALGORITHM, headers))
    log_in = {"email": "refresh@example.com", "password": PASSWORD}
    refresh.client = await world.client(
        token=(await refresh.client.post("/v1/sessions", json=log_in)).json()["refresh_token"]
    )
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, world.people["SuspendedUser"].id)).status = UserStatus.SUSPENDED
    assert (await ended.client.delete("/v1/sessions")).status_code == 204
    for actor in found:
        actor.signed_in = False
    return [Actor("Anonymous", home, await world.client(), "Bystander", signed_in=False), *found]


async def everybody(cast: Cast) -> list[Actor]:
    """The rows of the matrix."""
    world, home, other = cast.world, await stage(cast.world, "Home"), await stage(cast.world, "Other")
    sibling = Stage(home.partner, await world.account(home.partner, "Sibling account", by="SiblingFounder"))
    found = await outsiders(cast, home)

    removed = await cast.actor("Removed", home, *ADMINS)
    user_id = world.people["Removed"].id
    for place in (home.account_path, home.path):
        assert (await cast.olivia.delete(f"{place}/members/{user_id}", headers=ANY)).status_code == 204
    removed.roles = frozenset()
    stranger, neighbour = (
        await cast.actor("OtherAdmin", other, *ADMINS),
        await cast.actor("Neighbour", sibling, R.ACCOUNT_ADMIN),
    )
    for actor in (stranger, neighbour):
        actor.stage, actor.roles = home, frozenset()
    found += [removed, stranger, neighbour]
    found += [await cast.actor(f"Only_{role}", home, role) for role in {*Role} - {R.SERVICE}]
    found += [await cast.actor("AdminOfBoth", home, *ADMINS)]

    found.append(await cast.inside(await cast.actor("InsideAsAdmin", home, R.ACCOUNT_ADMIN), home))
    mighty = await cast.actor("InsideAsViewer", home, R.OPERATOR, R.PARTNER_ADMIN, R.ACCOUNT_VIEWER)
    found.append(await cast.inside(mighty, home))
    for name, there, confined in (("InsideSibling", sibling, "sibling"), ("InsideOther", other, "elsewhere")):
        actor = await cast.actor(name, home, R.OPERATOR, *ADMINS)
        await cast.actor(name, there, *(ADMINS if confined == "elsewhere" else (R.ACCOUNT_ADMIN,)))
        found.append(await cast.inside(actor, there, confined))
    return found + await programs(cast, home, other)


async def programs(cast: Cast, home: Stage, other: Stage) -> list[Actor]:
    """API clients: with all that they can be given, with little, of others, with a token, and without an owner."""
    everything = scopes_of(R.PARTNER_ADMIN)
    whole, abroad = await cast.client("Erp", home, everything), await cast.client("OtherErp", other, everything)
    narrow = await cast.client("Reader", home, ["account:list", "claim:read"])
    abroad.stage, abroad.roles = home, frozenset()
    with_token = await cast.client("Crm", home, everything)
    form = {"grant_type": "client_credentials", "scope": "account:read account:update"}
    answer = await (await cast.world.client()).post("/v1/oauth/token", data=form | with_token.proof)
    with_token.client = await cast.world.client(token=answer.json()["access_token"])
    with_token.scopes = frozenset({"account:read", "account:update"})
    orphan, revoked = await cast.client("Orphan", home, everything), await cast.client("Revoked", home, everything)
    gone = cast.world.people["OrphanOwner"].id
    assert (await cast.olivia.delete(f"{home.path}/members/{gone}", headers=ANY)).status_code == 204
    orphan.roles = NO_OWNER
    path = f"{home.path}/api-clients/{revoked.proof['client_id']}"
    assert (await cast.olivia.delete(path, headers=ANY)).status_code == 204
    revoked.signed_in = False
    service = await cast.client("Assets", home, scopes_of(R.SERVICE), service=True)
    watcher = await cast.client("Watcher", home, ["claim:read"], service=True)
    return [whole, narrow, abroad, with_token, orphan, revoked, service, watcher]


async def everybody_shut_out(cast: Cast) -> list[Actor]:
    return await shut_out(cast, "Off") + await shut_out(cast, "Suspended")


async def shut_out(cast: Cast, tag: str) -> list[Actor]:
    """People of a partner whose partner management is off, or that is suspended; the operator is not shut out."""
    there = await stage(cast.world, tag)
    crews = {"Operator": (R.OPERATOR,), "Admin": (R.PARTNER_ADMIN,), "AccountAdmin": (R.ACCOUNT_ADMIN,),
             "AccountViewer": (R.ACCOUNT_VIEWER,), "AdminOfBoth": ADMINS, "Nobody": ()}  # fmt: skip
    found = [await cast.actor(f"{tag}_{name}", there, *roles) for name, roles in crews.items()]
    found.append(await cast.inside(await cast.actor(f"{tag}_Inside", there, *ADMINS), there))
    found.append(await cast.client(f"{tag}_Erp", there, scopes_of(R.PARTNER_ADMIN)))
    found.append(await cast.client(f"{tag}_Assets", there, scopes_of(R.SERVICE), service=True))
    if tag == "Off":
        await cast.change(there, partner_management_enabled=False)
        there.enabled = False
    else:
        await cast.change(there, status="suspended")
        there.status = "suspended"
    return found


# --- (a) the matrix ---


async def test_every_operation_has_its_row(world: World):
    found = operations(world)
    rows = {o.id: [*(p for p in o.parameters if p not in PARAMETERS), *({o.body, o.encoded} - {None, *BODIES})]
            for o in found}  # fmt: skip
    assert {o: missing for o, missing in rows.items() if missing} == {}, "name an example in tests/matrix.py"
    unknown = {o.id for o in found if o.permission not in ("public", "anyone", "self", *Permission)}
    assert unknown == set()
    assert {*Permission} - OF_FIELDS == {o.permission for o in found} - {"public", "anyone", "self"}


async def test_reading_needs_a_permission_to_read_and_writing_another(world: World):
    reading = ("read", "list")
    wrong = [o.id for o in operations(world) if ":" in o.permission
             if (o.permission.partition(":")[2] in reading) == o.writes]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_what_the_contract_leaves_out_is_public_and_changes_nothing():
    hidden = [r for router in ROUTERS for r in router.routes if isinstance(r, APIRoute) and not r.include_in_schema]
    assert len(hidden) > 5
    assert {(*(r.methods or ()), *permissions_of(r.dependant)) for r in hidden} == {("GET", "public")}


async def together(requests: Sequence[Request], actor: Actor) -> AsyncGenerator[tuple[Request, Response]]:
    """Send requests that change nothing, a few at a time."""
    for some in (requests[i : i + 6] for i in range(0, len(requests), 6)):
        for pair in zip(some, await asyncio.gather(*(r.send(actor.client) for r in some)), strict=True):
            yield pair


async def refused(cast: Cast, actor: Actor) -> list[str]:
    """Send all that the actor may not; what differs from the rules. Nothing at all may change."""
    reasons = {o.id: why for o in cast.operations if (why := refusal(o, actor)) is not None}
    requests = [await cast.requests.build(o, actor, succeeds=False) for o in cast.operations if o.id in reasons]
    before, wrong = await cast.ledger.of_everything(), list[str]()
    async for request, answer in together(requests, actor):
        name, expected = request.operation.id, reasons[request.operation.id]
        if answer.status_code < 400 or problem(answer) != expected:
            wrong.append(f"{name} by {actor.name}: not {expected} but {answer.status_code} {answer.text[:200]}")
    if await cast.ledger.of_everything() != before:
        wrong.append(f"something that {actor.name} was refused changed something")
    return wrong


async def allowed(cast: Cast, actor: Actor) -> list[str]:
    """Send all that the actor may, first what only reads; what was not a success."""
    may = [o for o in cast.operations if refusal(o, actor) is None]
    reads = [await cast.requests.build(o, actor) for o in may if not o.writes]
    answers = [pair async for pair in together(reads, actor)]
    for operation in (o for o in may if o.writes):
        request = await cast.requests.build(operation, actor)
        answers.append((request, await request.send(actor.client)))
        if answers[-1][1].is_success:
            await cast.requests.clear_up(operation, actor)
    return [f"{request.operation.id} by {actor.name}: may, but got {answer.status_code} {answer.text[:200]}"
            for request, answer in answers if not answer.is_success]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("people", [everybody, everybody_shut_out])
async def test_every_operation_answers_every_caller_as_the_policy_says(world: World, owner: Owner, people: People):
    cast = await Cast.on(world)
    actors = await people(cast)
    wrong = [w for actor in actors for w in await refused(cast, actor) + await allowed(cast, actor)]
    assert not wrong, "\n".join(wrong)
    for operation in cast.operations:
        open_to_all = operation.permission == "public" and not operation.optional_token
        assert {refusal(operation, actor) is None for actor in actors} == ({True} if open_to_all else {True, False})
    assert await owner.rows(MISCOUNTED) == []
    recorded = await owner.rows("SELECT type, subject_type, details FROM events")
    assert len({row["type"] for row in recorded}) > 50
    assert [s for row in recorded for s in strange(row["type"], row["subject_type"], json.loads(row["details"]))] == []


# --- (b), (c): things of others ---


def without_id(answer: Response) -> tuple[int, str, list[tuple[str, str]]]:
    """An answer byte for byte, but for the id of its request and what it leaves of the caller's rate."""
    request_id = answer.headers["x-request-id"]
    headers = [(k, v) for k, v in answer.headers.items() if k not in ("x-request-id", "ratelimit")]
    return answer.status_code, answer.text.replace(request_id, ""), headers


async def two_partners(cast: Cast) -> tuple[list[Actor], Stage, list[Actor]]:
    """People of one partner (an admin, the same with an account's token, an operator), and owners of what is not
    theirs: an admin of another partner, and one of another account of the same partner.
    """
    home, other = await stage(cast.world, "Home"), await stage(cast.world, "Zebrafink")
    sibling = Stage(home.partner, await cast.world.account(home.partner, "Sibling account", by="SiblingFounder"))
    callers = [await cast.actor("Ada", home, *ADMINS),
               await cast.inside(await cast.actor("Ian", home, R.OPERATOR, *ADMINS), home),
               await cast.actor("Oscar", home, R.OPERATOR)]  # fmt: skip
    owners = [
        await cast.actor("ZebrafinkAdmin", other, *ADMINS),
        await cast.actor("Neighbour", sibling, R.ACCOUNT_ADMIN),
    ]
    return callers, other, owners


def foreign(operation: Operation, caller: Actor, owner: Actor) -> set[str]:
    """Which of the owner's ids in the path name things that the caller must not know of."""
    names = set(operation.parameters) - CATALOGUE
    if caller.stage.partner is owner.stage.partner:  # its people may see all its accounts, and who is in it
        return names - {"partner_id", "account_id"} if names >= {"account_id"} or "partner_id" not in names else set()
    operator = R.OPERATOR in caller.roles and not caller.confined
    return set() if operator and names == {"partner_id"} else names


@pytest.mark.slow
async def test_thing_of_others_answers_as_one_that_does_not_exist(world: World):
    cast = await Cast.on(world)
    callers, _, owners = await two_partners(cast)
    compared = set[tuple[str, str]]()
    located = [o for o in cast.operations if o.parameters and not o.of_everybody]
    for operation, caller, owner in product(located, callers, owners):
        request = await cast.requests.build(operation, caller, succeeds=False)
        theirs = await cast.requests.build(operation, owner, succeeds=False)
        nowhere = (404, "not_found")
        answers = {nowhere, refusal(operation, caller) or nowhere}
        for name in foreign(operation, caller, owner):
            of_others = await request.send(caller.client, **{name: theirs.ids[name]})
            of_nobody = await request.send(
                caller.client, **{name: f"k{uuid4().hex}" if name == "key" else str(uuid4())}
            )
            assert without_id(of_others) == without_id(of_nobody), (operation.id, caller.name, owner.name, name)
            assert problem(of_others) in answers, (operation.id, caller.name, owner.name, name)
            compared.add((operation.id, name))
    assert compared == {(o.id, name) for o in located for name in o.parameters if name not in CATALOGUE}


@pytest.mark.slow
async def test_ids_of_another_partner_reach_and_show_nothing_of_it(world: World):
    cast = await Cast.on(world)
    callers, _, (owner, _) = await two_partners(cast)
    located = [o for o in cast.operations if o.parameters and not o.of_everybody]
    for operation, caller in product(located, callers):
        request = await cast.requests.build(operation, caller, succeeds=False)
        theirs = (await cast.requests.build(operation, owner, succeeds=False)).ids
        theirs = {name: found for name, found in theirs.items() if name not in CATALOGUE}
        before = await cast.ledger.of_everything()
        for names in chain.from_iterable(combinations(theirs, n + 1) for n in range(len(theirs))):
            if len(names) == len(theirs) and R.OPERATOR in caller.roles and not caller.confined:
                continue  # whole again: an operator may
            answer = await request.send(caller.client, **{n: theirs[n] for n in names})
            assert answer.status_code in (403, 404), (operation.id, caller.name, names, answer.text)
            assert "zebrafink" not in str((answer.text, answer.headers)).lower()
        assert await cast.ledger.of_everything() == before, (operation.id, caller.name)


@pytest.mark.slow
async def test_no_answer_to_one_partner_shows_or_changes_another(world: World):
    cast = await Cast.on(world)
    callers, other, owners = await two_partners(cast)
    for operation in cast.operations:  # there is something of each kind to be seen
        await cast.requests.build(operation, owners[0], succeeds=False)
    for operation, caller in product(cast.operations, callers[:2]):
        if refusal(operation, caller) is None:
            request = await cast.requests.build(operation, caller)
            before = await cast.ledger.of_partner(other.partner)
            answer = await request.send(caller.client)
            assert answer.is_success
            assert "zebrafink" not in str((answer.text, answer.headers)).lower(), operation.id
            assert await cast.ledger.of_partner(other.partner) == before, operation.id
            await cast.requests.clear_up(operation, caller)
    for path in (f"{callers[0].stage.path}/accounts", f"{callers[0].stage.path}/members"):
        found = (await callers[0].client.get(path, params={"q": "zebrafink", "count": "true"})).json()
        assert (found["items"], found["total"]) == ([], 0)


async def test_bodies_and_queries_take_no_id_but_those_of_a_view_and_of_a_user(world: World):
    """The tests above swap the ids of a path; what these may be is swapped below, and the account of the events feed in
    tests/test_audit_log.py.
    """
    contract = world.app.openapi()
    bodies = [contract["components"]["schemas"][o.body]["properties"] for o in operations(world) if o.body]
    queries = [{p["name"]: p} for item in contract["paths"].values() for o in item.values()
               for p in parameters_of(o) if p["in"] in ("query", "header")]  # fmt: skip
    fields = chain.from_iterable(fields.items() for fields in bodies + queries)
    assert {name for name, field in fields if "uuid" in json.dumps(field)} == {"view", "user_id", "account_id"}


async def test_view_of_others_in_a_body_or_query_is_as_one_that_does_not_exist(world: World):
    cast = await Cast.on(world)
    callers, _, (owner, _) = await two_partners(cast)
    ada, theirs = callers[0], await cast.requests.view_id(ANY_OPERATION, owner)
    private = await owner.client.post(f"{owner.stage.path}/views", json={"name": "Zebrafink's own"})
    takers = [o for o in cast.operations if o.id in takes_view(world)]
    assert len(takers) > 1
    for operation in takers:
        request = await cast.requests.build(operation, ada)
        path, answers = operation.path.format(**request.ids), list[Response]()
        for view in (theirs, private.json()["id"], str(uuid4())):
            if operation.body:
                answers.append(await ada.client.post(path, json=request.body | {"view": view}))
            else:
                answers.append(await ada.client.get(path, params={"view": view}))
        assert {problem(answer) for answer in answers} == {(422, "invalid")}, operation.id
        assert len({str(without_id(answer)) for answer in answers}) == 1, operation.id


async def test_user_of_others_is_explained_as_one_that_does_not_exist(world: World):
    cast = await Cast.on(world)
    callers, _, (owner, neighbour) = await two_partners(cast)
    feature = await cast.requests.feature(ANY_OPERATION, callers[0])
    path = f"{callers[0].stage.account_path}/entitlements/{feature}/explanation"
    for caller in callers:
        answers = list[str]()
        for user_id in (*(str(world.people[o.person].id) for o in (owner, neighbour)), str(uuid4())):
            answer = await caller.client.get(path, params={"user_id": user_id})
            assert answer.status_code == 200, answer.text
            answers.append(answer.text.replace(user_id, ""))
        assert len(set(answers)) == 1


def takes_view(world: World) -> set[str]:
    contract = world.app.openapi()
    schemas = contract["components"]["schemas"]
    return {o.id for o in operations(world) if o.body and "view" in schemas[o.body]["properties"]} | {
        o["operationId"] for item in contract["paths"].values() for o in item.values()
        if any(p["name"] == "view" for p in parameters_of(o))
    }  # fmt: skip


# --- (d): fields that are not asked for ---


async def test_no_body_takes_a_field_that_it_does_not_name(world: World):
    cast = await Cast.on(world)
    mighty = await cast.actor("Mighty", await stage(world, "Home"), R.OPERATOR, *ADMINS)
    schemas = world.app.openapi()["components"]["schemas"]
    known = {c.name for table in Base.metadata.sorted_tables for c in table.c} | {"admin", "permissions", "tenant_id"}
    known |= {name for schema in schemas.values() for name in schema.get("properties", {}) if len(name) <= 40}
    for operation in [o for o in cast.operations if o.body]:
        request = await cast.requests.build(operation, mighty, succeeds=False)
        extra = sorted(known - set(schemas[operation.body]["properties"]))
        before = await cast.ledger.of_everything()
        for some in (extra[i : i + 50] for i in range(0, len(extra), 50)):
            answer = await replace(request, body=request.body | dict.fromkeys(some, str(uuid4()))).send(mighty.client)
            assert problem(answer) == (422, "invalid"), operation.id
            assert {(e["pointer"], e["code"]) for e in answer.json()["errors"]} == {
                (f"/{f}", "extra_forbidden") for f in some
            }
        assert await cast.ledger.of_everything() == before, operation.id


async def test_no_body_takes_a_role_or_status_beyond_its_own(world: World):
    cast = await Cast.on(world)
    mighty = await cast.actor("Mighty", await stage(world, "Home"), R.OPERATOR, *ADMINS)
    schemas, tried = world.app.openapi()["components"]["schemas"], 0
    for operation in [o for o in cast.operations if o.body]:
        request = await cast.requests.build(operation, mighty, succeeds=False)
        before = await cast.ledger.of_everything()
        for name, shape in schemas[operation.body]["properties"].items():
            own = (
                schemas[shape["$ref"].rpartition("/")[2]].get("enum", []) if "$ref" in shape else shape.get("enum", [])
            )
            if name == "role":
                assert {*own} == (ACCOUNT_ROLES if "account_id" in operation.parameters else PARTNER_ROLES), (
                    operation.id
                )
            for value in {*Role, *AccountStatus, "root"} - {*own} if own else set[str]():
                answer = await replace(request, body=request.body | {name: value}).send(mighty.client)
                assert problem(answer) == (422, "invalid"), (operation.id, value)
                (fault,) = answer.json()["errors"]
                assert (fault["pointer"], fault["code"] in ("enum", "literal_error")) == (f"/{name}", True)
                tried += 1
        assert await cast.ledger.of_everything() == before, operation.id
    assert tried > 50


# --- (e): changes take effect with the next request ---


class Scene:
    """A partner and its people, in live sessions, who use another instance of the app than the operator does."""

    def __init__(self, cast: Cast, home: Stage, second: World) -> None:
        self.cast, self.home, self.second = cast, home, second

    async def person(self, name: str, *roles: Role, inside: bool = False) -> AsyncClient:
        actor = await self.cast.actor(name, self.home, *roles)
        if inside:
            await self.cast.inside(actor, self.home)
        return await self.second.client(token=bearer(actor.client))


@pytest.fixture
async def scene(world: World) -> AsyncGenerator[Scene]:
    async with running(world.settings) as second:
        yield Scene(await Cast.on(world), await stage(world, "Home"), second)


async def test_partner_management_off_shuts_out_the_partners_people_at_once_and_no_customer(scene: Scene):
    ada, eli = await scene.person("Ada", R.PARTNER_ADMIN), await scene.person("Eli", R.ACCOUNT_EDITOR)
    inside, here = await scene.person("Ian", *ADMINS, inside=True), scene.home.account_path
    for enabled in (False, True, False):
        await scene.cast.change(scene.home, partner_management_enabled=enabled)
        for answer in (
            await ada.get(scene.home.path),
            await ada.post(f"{scene.home.path}/accounts", json={"name": "X"}),
        ):
            assert answer.is_success if enabled else problem(answer) == (403, "partner_management_off")
        for answer in (await eli.get(here), await eli.post(f"{here}/switch"), await inside.get(here)):
            assert answer.status_code == 200
        assert (await ada.get("/v1/me")).json()["navigation"]["partner_management"] is enabled


async def test_suspending_a_partner_shuts_out_everybody_at_once_and_resuming_lets_them_in(scene: Scene):
    people = [await scene.person("Ada", R.PARTNER_ADMIN), await scene.person("Eli", R.ACCOUNT_ADMIN),
              await scene.person("Ian", *ADMINS, inside=True)]  # fmt: skip
    for status in ("suspended", "active", "suspended"):
        await scene.cast.change(scene.home, status=status)
        for client in people:
            answer = await client.get(scene.home.account_path)
            assert answer.is_success if status == "active" else problem(answer) == (403, "partner_suspended")
        assert (await scene.cast.olivia.get(scene.home.account_path)).status_code == 200


async def test_partner_management_switched_off_in_mid_flight_stops_what_comes_after(scene: Scene):
    ada, accounts = await scene.person("Ada", R.PARTNER_ADMIN), f"{scene.home.path}/accounts"

    async def create(n: int) -> Response:
        return await ada.post(accounts, json={"name": f"Flight {n}"})

    early = [asyncio.create_task(create(n)) for n in range(8)]
    during = asyncio.create_task(scene.cast.change(scene.home, partner_management_enabled=False))
    early += [asyncio.create_task(create(n)) for n in range(8, 16)]
    await during
    late = [await create(n) for n in range(16, 20)]
    assert {problem(answer) for answer in late} == {(403, "partner_management_off")}
    answers = await asyncio.gather(*early)
    made = {a.json()["name"] for a in answers if a.is_success}
    assert {problem(a) for a in answers if not a.is_success} <= {(403, "partner_management_off")}
    listed = (await scene.cast.olivia.get(accounts, params={"q": "flight", "limit": 200})).json()["items"]
    assert {row["name"] for row in listed} == made


async def test_removed_member_is_out_with_the_next_request_also_with_a_key_that_was_used(scene: Scene):
    ada, eli = await scene.person("Ada", R.PARTNER_ADMIN), await scene.person("Eli", R.ACCOUNT_ADMIN)
    ian, people, home = await scene.person("Ian", *ADMINS, inside=True), scene.cast.world.people, scene.home
    create: dict[str, Any] = {"json": {"name": "Once"}, "headers": {"Idempotency-Key": "one"}}
    assert (await ada.post(f"{home.path}/accounts", **create)).status_code == 201
    for client, place, who in (
        (ada, home.path, "Ada"),
        (eli, home.account_path, "Eli"),
        (ian, home.account_path, "Ian"),
    ):
        assert (await client.get(home.account_path)).status_code == 200
        assert (await scene.cast.olivia.delete(f"{place}/members/{people[who].id}", headers=ANY)).status_code == 204
        assert problem(await client.get(home.account_path)) == (404, "not_found")
    assert problem(await ada.post(f"{home.path}/accounts", **create)) == (404, "not_found")


async def test_new_role_counts_with_the_next_request_in_partner_and_account(scene: Scene):
    max_, home = await scene.person("Max", R.PARTNER_MANAGER), scene.home
    ian = await scene.person("Ian", R.ACCOUNT_ADMIN)

    async def give(who: str, place: str, role: Role) -> None:
        path = f"{place}/members/{scene.cast.world.people[who].id}"
        assert (await scene.cast.olivia.patch(path, json={"role": role}, headers=ANY)).status_code == 200

    for role, expected in ((R.PARTNER_VIEWER, 403), (R.PARTNER_ADMIN, 201), (R.PARTNER_VIEWER, 403)):
        await give("Max", home.path, role)
        assert (await max_.post(f"{home.path}/accounts", json={"name": "By Max"})).status_code == expected
    for n, (role, expected) in enumerate(((R.ACCOUNT_VIEWER, 403), (R.ACCOUNT_ADMIN, 201), (R.ACCOUNT_EDITOR, 403))):
        await give("Ian", home.account_path, role)
        invite = {"email": f"guest{n}@example.com", "role": "account_viewer"}
        assert (await ian.post(f"{home.account_path}/invitations", json=invite)).status_code == expected


async def test_ended_session_and_suspended_user_are_out_with_the_next_request(scene: Scene):
    world, here = scene.cast.world, scene.home.account_path
    elsewhere, inside = await scene.person("Ada", *ADMINS), await scene.person("Ian", *ADMINS, inside=True)
    for client, who in ((elsewhere, "Ada"), (inside, "Ian")):
        assert (await client.get(here)).status_code == 200
        session_id = jwt.get_unverified_claims(bearer(client))["sid"]
        assert (await (await world.client(who)).delete(f"/v1/me/sessions/{session_id}")).status_code == 204
        assert problem(await client.get(here)) == (401, "unauthenticated")
    again = await scene.second.client(token=await world.token("Ada"))
    assert (await again.get(here)).status_code == 200
    async with world.transaction(PLATFORM) as db:
        (await db.get_one(User, world.people["Ada"].id)).status = UserStatus.SUSPENDED
    assert problem(await again.get(here)) == (401, "unauthenticated")


# --- (f): the policy itself ---

POLICY = {
    # O operator; A, M, V the partner's admin, manager, viewer; a, e, v the account's admin, editor, viewer
    "catalogue:manage": "O",
    "partner:create": "O",        "partner:list": "O",    "partner:read": "OAMVS",     "partner:update": "O",
    "partner_member:read": "OA",                          "partner_member:manage": "OA",
    "property:read": "OAMV",      "property:manage": "OA",
    "view:read": "OAMV",          "view:manage": "OAM",
    "account:create": "OAM",      "account:list": "OAMV", "account:read": "OAMVaev",    "account:update": "OAM",
    "account:enter": "aev",       "account_price_model:set": "OA",
    "account:import": "OAM",      "account_import:read": "OAMV", "job:read": "OAMV",
    "account_member:read": "OAMVaev",                     "account_member:manage": "OAMa",
    "account_article:read": "OAMVaevS",                   "account_article:manage": "OA",
    "licence:read": "OAMVaevS",   "licence:manage": "OA", "licence:overrule": "O",
    "entitlement:read": "OAMVaevS",                       "claim:read": "OAMVaevS",        "claim:manage": "aeS",
    "event:read": "OA",           "audit_log:read": "OA",
    "api_client:read": "OA",      "api_client:manage": "OA",
    "service_client:read": "O",   "service_client:manage": "O",
    "webhook:read": "OA",         "webhook:manage": "OA",
}  # fmt: skip


async def test_roles_that_the_api_shows_are_the_policy_and_the_policy_is_the_products(world: World):
    shown = (await (await world.client()).get("/v1/roles")).json()["items"]
    assert [item["role"] for item in shown] == list(Role)
    granted = {P(p): {Role(item["role"]) for item in shown if p in item["permissions"]}
               for item in shown for p in item["permissions"]}  # fmt: skip
    assert granted == GRANTS
    letters = dict(zip("OAMVaevS", Role, strict=True))
    assert granted == {P(p): {letters[letter] for letter in who} for p, who in POLICY.items()}
