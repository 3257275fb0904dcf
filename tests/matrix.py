"""The access matrix: every operation of the contract, every kind of caller, and what the rules say of each pair."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Literal
from uuid import UUID

from httpx import AsyncClient, Response
from jose import jwt
from pyotp.totp import TOTP
from sqlalchemy import delete, make_url, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.models import (
    PLATFORM,
    Account,
    AccountMember,
    Base,
    DataExport,
    DataExportPart,
    DataExportStatus,
    Erasure,
    Event,
    Feature,
    Partner,
    PartnerMember,
    Throttle,
    User,
    UserStatus,
    WebhookDelivery,
    new_id,
    utc_now,
)
from app.outbound import Outlet
from app.policy import (
    ACCOUNT_ROLES,
    GRANTS,
    INSIDE,
    PARTNER_ROLES,
    WITH_SESSION_ONLY,
    Access,
    Caller,
    Permission,
    Role,
    allowing,
)
from app.policy import Request as Origin
from app.services import claims, invitations, passwords, sessions, totp
from tests.conftest import PASSWORD, World, join, password_hash
from tests.contract import meant, parameters_of
from tests.pools import feature

R = Role
Refusal = tuple[int, str]


# --- the operations: as the contract names them ---


@dataclass(frozen=True)
class Operation:
    """One operation of the contract."""

    id: str
    method: str
    path: str
    permission: str
    parameters: tuple[str, ...]
    body: str | None
    optional_token: bool
    form: bool = False
    """Whether the body is a form with a file, not JSON."""
    encoded: str | None = None
    """The schema of a body that is a form without one."""

    @property
    def writes(self) -> bool:
        return self.method != "GET" and self.id not in ("searchAccounts", "summariseAccounts")  # which ask with a body

    @property
    def of_everybody(self) -> bool:
        """Of no partner: the catalogue and the operators' service clients. Whoever may see it at all sees the same."""
        return self.path.startswith(("/v1/features", "/v1/articles", "/v1/price-models", "/v1/service-clients"))


def operations(world: World) -> list[Operation]:
    """All of them; a new endpoint is in here by itself."""
    return [_operation(path, method, found)
            for path, item in world.app.openapi()["paths"].items() for method, found in item.items()]  # fmt: skip


def _operation(path: str, method: str, found: dict[str, Any]) -> Operation:
    content = found.get("requestBody", {}).get("content", {})
    form = "multipart/form-data" in content
    schema = content.get("multipart/form-data" if form else "application/json", {}).get("schema", {})
    union = meant(schema).get("discriminator")
    body = next(iter(union["mapping"].values())) if union else schema.get("$ref")
    inside = tuple(p["name"] for p in parameters_of(found) if p["in"] == "path")
    encoded = content.get("application/x-www-form-urlencoded", {}).get("schema", {}).get("$ref", "")
    return Operation(found["operationId"], method.upper(), path, found["x-permission"], inside,
                     body and body.rpartition("/")[2], {} in found["security"], form,
                     encoded.rpartition("/")[2] or None)  # fmt: skip


ANY_OPERATION = Operation("", "", "", "", (), None, False)


# --- the callers ---


@dataclass
class Stage:
    """A partner with an account, in one state, and the things that operations need there."""

    partner: Partner
    account: Account
    status: Literal["active", "suspended"] = "active"
    enabled: bool = True
    spares: dict[tuple[str, bool], str] = field(default_factory=dict[tuple[str, bool], str])
    clients: dict[bool, Any] = field(default_factory=dict[bool, Any])

    @property
    def tag(self) -> str:
        """The word in the names and addresses of all that is here."""
        return self.partner.name.split()[0]

    @property
    def path(self) -> str:
        return f"/v1/partners/{self.partner.id}"

    @property
    def account_path(self) -> str:
        return f"{self.path}/accounts/{self.account.id}"


@dataclass
class Actor:
    """Somebody who calls operations of a stage: what they are there, and what kind of token they send.

    `confined` says which account the token is for: none (a session's own), this one, another one of the partner, or
    one of another partner.
    """

    name: str
    stage: Stage
    client: AsyncClient
    person: str
    roles: frozenset[Role] = frozenset()
    signed_in: bool = True
    confined: Literal["", "here", "sibling", "elsewhere"] = ""
    scopes: frozenset[str] | None = None
    """Of an API client: all that it may; its roles are what it is there."""
    proof: dict[str, str] = field(default_factory=dict[str, str])
    """What it proves itself with in a token request."""

    @property
    def anonymous(self) -> bool:
        return "Authorization" not in self.client.headers


NO_OWNER = frozenset({R.ACCOUNT_VIEWER})
"""What stands for the roles of an API client whose owner is gone: one that no client ever has."""


# --- what the rules say ---


def refusal(operation: Operation, actor: Actor) -> Refusal | None:
    """Status and code of the refusal; None when the caller may. Order: who (401), there (404), allowed (403)."""
    if operation.permission == "public" and (actor.anonymous or not operation.optional_token):
        return None
    if not actor.signed_in:
        return 401, "unauthenticated"
    if "partner_id" in operation.parameters:
        return _refusal_in_partner(operation, actor)
    if actor.confined:  # such a token is good for its account and for nothing else
        return 403, "insufficient_scope"
    if operation.permission == "anyone":
        return None
    if actor.scopes is not None:  # it is nobody with a self, and no operator
        return 403, "insufficient_scope"
    if operation.permission in ("self", "public"):
        return None
    return None if allowing(actor.roles & {R.OPERATOR}, Permission(operation.permission)) else (403, "forbidden")


def _refusal_in_partner(operation: Operation, actor: Actor) -> Refusal | None:
    permission, of_account = Permission(operation.permission), "account_id" in operation.parameters
    if actor.confined == "elsewhere" or (actor.confined == "sibling" and of_account):
        return 404, "not_found"
    if actor.confined and (not of_account or permission in WITH_SESSION_ONLY):
        return 403, "insufficient_scope"
    if actor.scopes is not None and actor.roles == NO_OWNER:
        return 403, "client_owner_gone"
    roles = actor.roles if of_account else actor.roles - ACCOUNT_ROLES
    if actor.confined:  # whatever else the person is: in here counts only the role in the account
        roles &= ACCOUNT_ROLES
    if not roles:  # a thing of others does not exist
        return 404, "not_found"
    suspended = actor.stage.status == "suspended"
    awake = roles & {R.OPERATOR} if suspended else roles  # whatever else an operator is, is shut out as well
    if not actor.stage.enabled and roles & PARTNER_ROLES:  # the partner's own people: in as members, and no more
        awake = awake - PARTNER_ROLES if permission in INSIDE else awake & {R.OPERATOR}
    if allowing(awake, permission):
        beyond = actor.scopes is not None and permission not in actor.scopes
        return (403, "insufficient_scope") if beyond else None
    if awake != roles:
        return 403, "partner_suspended" if suspended else "partner_management_off"
    if GRANTS[permission] - {R.SERVICE} <= ACCOUNT_ROLES and not roles & ACCOUNT_ROLES:
        return 403, "not_a_member"
    return 403, "forbidden"


# --- what is true in the database ---


UNCOUNTED = {"rate_buckets"}
"""What every request may change: how much its caller has left."""


class Ledger:
    """Checksums of what the tables hold, read as their owner, past row-level security."""

    def __init__(self, world: World) -> None:
        url = world.settings.owner_database_url
        assert url is not None
        self._engine = create_async_engine(make_url(url.get_secret_value()), pool_size=1)
        world.stack.push_async_callback(self._engine.dispose)

    async def of_everything(self) -> str:
        return await self._sum({t.name: "true" for t in Base.metadata.sorted_tables if t.name not in UNCOUNTED})

    async def of_partner(self, partner: Partner) -> str:
        """Everything that belongs to one partner."""
        owned = {t.name: f"partner_id = '{partner.id}'" for t in Base.metadata.sorted_tables if "partner_id" in t.c}
        return await self._sum(owned | {"partners": f"id = '{partner.id}'"})

    async def _sum(self, tables: Mapping[str, str]) -> str:
        rows = " UNION ALL ".join(
            f"SELECT '{t}' || md5(t::text) AS row FROM {t} AS t WHERE {only}" for t, only in tables.items()
        )
        query = text(f"SELECT count(*), md5(string_agg(row, '' ORDER BY row)) FROM ({rows}) AS found")
        async with self._engine.connect() as connection:
            rows_seen, found = (await connection.execute(query)).one()
        assert rows_seen > 5, "the owner sees no rows: the checksum would hold whatever happens"
        return found


# --- requests that succeed, for whoever may send them ---


@dataclass(frozen=True)
class Request:
    """A request of an operation, good for one use."""

    operation: Operation
    ids: dict[str, str]
    body: Any

    async def send(self, client: AsyncClient, **ids: str) -> Response:
        """Send it, perhaps with other ids in the path."""
        path = self.operation.path.format(**self.ids | ids)
        match = {"If-Match": "*"} if self.operation.method in ("PATCH", "DELETE") else {}
        if self.operation.id in QUERIES:
            path += f"?{QUERIES[self.operation.id]}"
        if self.operation.form:
            fields = {k: v for k, v in self.body.items() if k != "file"}
            return await client.post(path, data=fields, files={"file": ("accounts.csv", self.body["file"])})
        if self.operation.encoded:
            return await client.post(path, data=self.body)
        return await client.request(self.operation.method, path, json=self.body, headers=match)


class Requests:
    """Makes them: an id for each path parameter, an example for each body. What has no row in here fails by name."""

    def __init__(self, world: World, operator: AsyncClient, lobby: Stage) -> None:
        self.world, self.operator, self.lobby = world, operator, lobby
        self._numbers = count(1)

    def unique(self, word: str) -> str:
        return f"{word}{next(self._numbers)}"

    async def build(self, operation: Operation, actor: Actor, *, succeeds: bool = True) -> Request:
        """One that would succeed if the caller may; set up for it only when it `succeeds`."""
        ids = {name: await PARAMETERS[name](self, operation, actor) for name in operation.parameters}
        if succeeds and operation.id in BEFORE:
            await BEFORE[operation.id](self, actor)
        body = operation.body or operation.encoded
        return Request(operation, ids, await BODIES[body](self, actor) if body else None)

    async def clear_up(self, operation: Operation, actor: Actor) -> None:
        """After a success that wrote: put back what others rely on."""
        for name in operation.parameters:
            actor.stage.spares.pop((name, "account_id" in operation.parameters), None)
        if "client_id" in operation.parameters:
            actor.stage.clients.pop(operation.of_everybody, None)
        if operation.id in IMPORTING:
            await self._cancel_imports(actor.stage)
        if "webhook_id" in operation.parameters:  # a delivery belongs to its webhook
            actor.stage.spares.pop(("delivery_id", False), None)
        if operation.id in ("createWebhook", "rotateWebhookSecret"):
            await self._delete_webhooks(actor.stage)
        if operation.id == "archiveAccount":
            assert (await self.operator.post(f"{actor.stage.account_path}/restore")).status_code == 200
        if operation.permission == "self" or operation.id == "confirmPasswordReset":
            await self._as_before(actor.person if operation.permission == "self" else "Bystander")
        if operation.id in ("deleteSession", "eraseMe"):
            actor.client.headers["Authorization"] = f"Bearer {await self.world.token(actor.person)}"

    async def _cancel_imports(self, stage: Stage) -> None:
        """At most five wait at a time."""
        stage.spares.pop(("import_id", False), None)
        waiting = await self.operator.get(f"{stage.path}/account-imports?filter=status:in:{UNFINISHED}")
        for found in waiting.json()["items"]:
            await self.operator.post(f"{stage.path}/account-imports/{found['id']}/cancel")

    async def _delete_webhooks(self, stage: Stage) -> None:
        """A partner has so many, and no more."""
        stage.spares.pop(("webhook_id", False), None)
        for found in (await self.operator.get(f"{stage.path}/webhooks?limit=200")).json()["items"]:
            await self.operator.delete(f"{stage.path}/webhooks/{found['id']}", headers={"If-Match": "*"})

    async def _as_before(self, person: str) -> None:
        async with self.world.transaction(PLATFORM) as db:
            user = await db.get_one(User, self.world.people[person].id)
            user.password_hash, user.totp_secret, user.totp_enabled_at = password_hash(), None, None
            user.status = UserStatus.ACTIVE
            await db.execute(delete(Erasure).where(Erasure.user_id == user.id))
            await db.execute(delete(DataExport).where(DataExport.user_id == user.id))

    # path parameters

    async def partner_id(self, _operation: Operation, actor: Actor) -> str:
        return str(actor.stage.partner.id)

    async def account_id(self, _operation: Operation, actor: Actor) -> str:
        return str(actor.stage.account.id)

    async def session_id(self, _operation: Operation, actor: Actor) -> str:
        person = actor.person if actor.signed_in else "Bystander"
        return jwt.get_unverified_claims(await self.world.token(person))["sid"]

    async def export_id(self, _operation: Operation, actor: Actor) -> str:
        """A file of the caller's own data, which is there already."""
        person = actor.person if actor.signed_in else "Bystander"
        user = await self.world.user(person)
        async with self.world.transaction(PLATFORM) as db:
            db.add(made := DataExport(user_id=user.id, expires_at=utc_now() + timedelta(days=1),
                                      status=DataExportStatus.DONE))  # fmt: skip
            await db.flush()
            db.add(DataExportPart(export_id=made.id, number=0, data=b"{}"))
        return str(made.id)

    # API clients

    async def client_id(self, operation: Operation, actor: Actor) -> str:
        return (await self.client_of(operation, actor))["id"]

    async def credential_id(self, operation: Operation, actor: Actor) -> str:
        return (await self.client_of(operation, actor))["credentials"][0]["id"]

    async def client_of(self, operation: Operation, actor: Actor) -> Any:
        stage, of_service = actor.stage, operation.of_everybody
        if (found := stage.clients.get(of_service)) is None:
            place = "/v1/service-clients" if of_service else f"{stage.path}/api-clients"
            body = {"name": self.unique(f"{stage.tag} client "), "scopes": ["partner:read"]}
            answer = await self.operator.post(place, json=body)
            assert answer.status_code == 201, answer.text
            found = stage.clients[of_service] = answer.json()
        return found

    async def token_request(self, _actor: Actor) -> Any:
        body = {"name": self.unique("client "), "scopes": ["account:read"]}
        made = (await self.operator.post(f"{self.lobby.path}/api-clients", json=body)).json()
        return {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": made["secret"]}

    async def key(self, operation: Operation, actor: Actor) -> str:
        if operation.path.startswith("/v1/features"):
            return await self.quota()
        if operation.of_everybody:
            return (await self.entry("price-models", key=self.unique("model_")))["key"]
        return await self.property(actor)

    async def number(self, _operation: Operation, _actor: Actor) -> str:
        return (await self.entry("articles", number=self.unique("A-"), **SOLD))["number"]

    async def article(self, _actor: Actor) -> Any:
        return {"number": self.unique("A-"), "name": {"en": "Fresh"}, **SOLD}

    async def entry(self, nouns: str, **fields: Any) -> Any:
        """A new one in the catalogue."""
        answer = await self.operator.post(f"/v1/{nouns}", json={"name": {"en": "M"}, **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def property(self, actor: Actor) -> str:
        stage = actor.stage
        if (found := stage.spares.get(("key", False))) is None:
            found = stage.spares["key", False] = self.unique("column_")
            definition = {"key": found, "type": "text", "label": {"en": stage.tag}, "filterable": False}
            answer = await self.operator.post(f"{stage.path}/properties", json=definition)
            assert answer.status_code == 201, answer.text
        return found

    async def renamed(self, _actor: Actor) -> Any:
        return {"name": {"en": self.unique("Model ")}}

    async def view_id(self, _operation: Operation, actor: Actor) -> str:
        stage = actor.stage
        if (found := stage.spares.get(("view_id", False))) is None:
            answer = await self.operator.post(f"{stage.path}/views", json={"name": self.unique(f"{stage.tag} view "),
                                                                           "shared": True})  # fmt: skip
            assert answer.status_code == 201, answer.text
            found = stage.spares["view_id", False] = answer.json()["id"]
        return found

    async def webhook_id(self, _operation: Operation, actor: Actor) -> str:
        stage = actor.stage
        if (found := stage.spares.get(("webhook_id", False))) is None:
            body = {"url": "https://hooks.example.com/", "description": stage.tag}
            found = stage.spares["webhook_id", False] = await self._made(f"{stage.path}/webhooks", body)
        return found

    async def delivery_id(self, operation: Operation, actor: Actor) -> str:
        """One that waits, of the stage's webhook."""
        stage = actor.stage
        if (found := stage.spares.get(("delivery_id", False))) is None:
            webhook_id, partner_id = UUID(await self.webhook_id(operation, actor)), stage.partner.id
            await self.world.worker().number_all()  # what is sent has its place
            async with self.world.transaction(partner_id) as db:
                event = (await db.scalars(select(Event).order_by(Event.id).limit(1))).one()
                assert event.position is not None
                db.add(WebhookDelivery(
                    partner_id=partner_id, webhook_id=webhook_id, id=event.id, position=event.position,
                    type=event.type, account_id=event.account_id, lane=PLATFORM, begun_at=utc_now(),
                ))  # fmt: skip
            found = stage.spares["delivery_id", False] = str(event.id)
        return found

    async def unreachable(self, _actor: Actor) -> None:
        async def nowhere(_host: str, _port: int) -> list[str]:
            return ["127.0.0.1"]

        self.world.app.state.outlet = Outlet(resolver=nowhere)

    async def relabelled(self, _actor: Actor) -> Any:
        return {"label": {"en": self.unique("Label ")}}

    async def batch(self, _actor: Actor) -> Any:
        return {"items": [{"action": "create", "account": {"name": self.unique("Batch ")}}]}

    async def ordered(self, actor: Actor) -> Any:
        """An order of columns of which one exists, wherever that is."""
        return {"keys": [await self.property(actor)]}

    async def user_id(self, operation: Operation, actor: Actor) -> str:
        stage, of_account = actor.stage, "account_id" in operation.parameters
        if (found := stage.spares.get(("user_id", of_account))) is None:
            user, owner = await self.world.user(self.unique(f"{stage.tag}Spare")), stage.partner.id
            async with self.world.transaction(owner) as db:
                if of_account:
                    await join(db, stage.account, user.id, R.ACCOUNT_EDITOR)
                else:
                    db.add(PartnerMember(partner_id=owner, user_id=user.id, role=R.PARTNER_MANAGER))
            found = stage.spares["user_id", of_account] = str(user.id)
        return found

    async def invitation_id(self, operation: Operation, actor: Actor) -> str:
        stage, of_account = actor.stage, "account_id" in operation.parameters
        if (found := stage.spares.get(("invitation_id", of_account))) is None:
            email = f"{self.unique(stage.tag)}@example.com"
            found = stage.spares["invitation_id", of_account] = await self.invite(stage, email, of_account=of_account)
        return found

    async def import_id(self, _operation: Operation, actor: Actor) -> str:
        stage = actor.stage
        if (found := stage.spares.get(("import_id", False))) is None:
            file = {"file": (f"{stage.tag}.csv", f"name\n{self.unique(stage.tag)}".encode())}
            answer = await self.operator.post(f"{stage.path}/account-imports", files=file)
            assert answer.status_code == 201, answer.text
            found = stage.spares["import_id", False] = answer.json()["id"]
            await self.world.worker().import_all()
        return found

    async def purchase_id(self, _operation: Operation, actor: Actor) -> str:
        stage = actor.stage
        if (found := stage.spares.get(("purchase_id", True))) is None:
            body = {"article": await self.sold(), "ends_at": "2199-01-01T00:00:00Z", "order_number": stage.tag}
            found = stage.spares["purchase_id", True] = await self._made(f"{stage.account_path}/articles", body)
        return found

    async def licence_id(self, _operation: Operation, actor: Actor) -> str:
        stage = actor.stage
        if (found := stage.spares.get(("licence_id", True))) is None:
            body = await self.licence(actor) | {"order_number": stage.tag}
            found = stage.spares["licence_id", True] = await self._made(f"{stage.account_path}/licences", body)
        return found

    async def _made(self, path: str, body: Any) -> str:
        answer = await self.operator.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def sold(self) -> str:
        """The number of an article that grants something."""
        grant = {"feature": await self.quota(), "units": 10}
        return (await self.entry("articles", number=self.unique("A-"), grants=[grant], **SOLD))["number"]

    async def quota(self) -> str:
        return (await self.entry("features", key=self.unique("feature_"), kind="quota"))["key"]

    async def purchase(self, _actor: Actor) -> Any:
        return {"article": await self.sold()}

    async def licence(self, _actor: Actor) -> Any:
        return {"feature": await self.quota(), "units": 1, "reason": "A trial."}

    async def suspended(self, actor: Actor) -> None:
        licence = f"{actor.stage.account_path}/licences/{actor.stage.spares['licence_id', True]}"
        answer = await actor.client.post(f"{licence}/suspend", json={"reason": "By the one who lifts it."})
        assert answer.status_code == 200, answer.text

    async def invite(self, stage: Stage, email: str, *, of_account: bool) -> str:
        role = R.ACCOUNT_VIEWER if of_account else R.PARTNER_VIEWER
        place = stage.account_path if of_account else stage.path
        answer = await self.operator.post(f"{place}/invitations", json={"email": email, "role": role})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    async def feature(self, _operation: Operation, _actor: Actor) -> str:
        """The same for everybody: the catalogue is no partner's."""
        async with self.world.transaction(PLATFORM) as db:
            known = await db.scalar(select(Feature.key).where(Feature.key == "matrix_uses"))
        return known or await feature(self.world, "matrix_uses", default=1_000_000)

    async def claim_id(self, _operation: Operation, actor: Actor) -> str:
        stage = actor.stage
        if (found := stage.spares.get(("claim_id", True))) is None:
            found = stage.spares["claim_id", True] = await self.taken(actor, f"{stage.tag} {self.unique('asset')}")
        return found

    async def taken(self, actor: Actor, resource: str) -> str:
        """A claim of the stage's account: its id. It is made past the API, for a partner that is suspended too."""
        key, account = await self.feature(ANY_OPERATION, actor), actor.stage.account
        user = await self.world.user("Bystander")
        access = Access(Caller(user.id, PLATFORM), account.partner_id, frozenset({R.ACCOUNT_EDITOR}), account.id)
        async with self.world.transaction(account.partner_id) as db:
            (made,) = await claims.batch(db, access, [], [claims.Ask(key, resource)])
        return str(made["id"])

    async def claimed(self, actor: Actor) -> Any:
        return {"feature": await self.feature(ANY_OPERATION, actor), "resource": self.unique("asset:")}

    async def claimed_together(self, actor: Actor) -> Any:
        return {"claims": [await self.claimed(actor)]}

    async def resource_taken(self, actor: Actor) -> None:
        await self.taken(actor, "to be released")

    # bodies that need something to exist

    async def invitation_token(self, email: str) -> str:
        invitation_id = await self.invite(self.lobby, email, of_account=True)
        return invitations.token_of(self.world.app.state.keys, self.lobby.partner.id, UUID(invitation_id), 1)

    async def preview(self, _actor: Actor) -> Any:
        return {"token": await self.invitation_token(f"{self.unique('new')}@example.com")}

    async def registration(self, actor: Actor) -> Any:
        if not actor.anonymous:
            return {"token": await self.invitation_token(f"{actor.person.lower()}@example.com")}
        token = await self.invitation_token(f"{self.unique('new')}@example.com")
        return {"token": token, "name": "New", "password": PASSWORD}

    async def refresh_token(self, _actor: Actor) -> Any:
        user = await self.world.user("Bystander")
        async with self.world.transaction(PLATFORM) as db:
            opened = await sessions.log_in(
                db, self.world.app.state.keys, sessions.Attempt(user.id, user.password_hash, []), Origin("matrix", None),
                code=None, days=1, user_agent="",
            )  # fmt: skip
        return {"refresh_token": opened.refresh_token}

    async def reset(self, _actor: Actor) -> Any:
        user = await self.world.user("Bystander")
        async with self.world.transaction(PLATFORM) as db:
            token = await passwords.open_reset(db, self.world.app.state.keys, new_id(), user, minutes=60)
        return {"token": token, "password": PASSWORD}

    # the second factor

    async def totp_code(self, actor: Actor) -> Any:
        return {"code": TOTP(await self.totp(actor, on=False)).now()}

    async def totp_on(self, actor: Actor) -> None:
        await self.totp(actor, on=True)

    async def totp(self, actor: Actor, *, on: bool) -> str:
        """Begin to switch the second factor on, or have it on; the authenticator's secret."""
        async with self.world.transaction(PLATFORM) as db:
            user = await db.get_one(User, self.world.people[actor.person].id)
            secret = await totp.start(db, self.world.app.state.keys, Origin("matrix", None).by(user.id), user)
            user.totp_enabled_at = utc_now() if on else None
        return secret

    async def beat(self, _actor: Actor) -> None:
        await self.world.worker().beat()

    async def unthrottled(self, _actor: Actor) -> None:
        async with self.world.transaction(PLATFORM) as db:
            await db.execute(delete(Throttle))

    async def dispensable(self, actor: Actor) -> None:
        """Somebody else is in charge wherever the caller is: also of what they have created so far."""
        other, partner_id = await self.world.user(f"{actor.stage.tag}Standby"), actor.stage.partner.id
        me = self.world.people[actor.person].id
        async with self.world.transaction(partner_id) as db:
            if await db.scalar(select(PartnerMember).where(PartnerMember.user_id == other.id)) is None:
                db.add(PartnerMember(partner_id=partner_id, user_id=other.id, role=R.PARTNER_ADMIN))
            mine, theirs = (select(AccountMember.account_id).where(AccountMember.user_id == u) for u in (me, other.id))
            alone = select(Account).where(Account.id.in_(mine), Account.id.not_in(theirs))
            for account in (await db.scalars(alone)).all():
                await join(db, account, other.id, R.ACCOUNT_ADMIN)

    async def archived(self, actor: Actor) -> None:
        gone = await self.operator.delete(actor.stage.account_path, headers={"If-Match": "*"})
        assert gone.status_code == 204, gone.text


def _fixed(body: dict[str, Any]) -> Callable[[Requests, Actor], Awaitable[Any]]:
    async def make(requests: Requests, actor: Actor) -> Any:
        return dict(body)

    return make


def _unique(field: str, template: str, **rest: Any) -> Callable[[Requests, Actor], Awaitable[Any]]:
    """A body whose `field` is another one each time."""

    async def make(requests: Requests, actor: Actor) -> Any:
        return {field: template.format(requests.unique("fresh")), **rest}

    return make


IMPORTING = ("createAccountImport", "confirmAccountImport", "cancelAccountImport")
UNFINISHED = "checking,checked,running"
SOLD = {"price": {"amount": "9.90", "currency": "EUR"}, "billing_period": "monthly"}
LOG_IN = {"email": "bystander@example.com", "password": PASSWORD}

CATALOGUE = {"feature"}
"""Path parameters that name nobody's things: the same for every partner."""

QUERIES = {"releaseResource": "feature=matrix_uses&resource=to%20be%20released"}

PARAMETERS: dict[str, Callable[[Requests, Operation, Actor], Awaitable[str]]] = {
    "partner_id": Requests.partner_id,
    "account_id": Requests.account_id,
    "key": Requests.key,
    "number": Requests.number,
    "view_id": Requests.view_id,
    "webhook_id": Requests.webhook_id,
    "delivery_id": Requests.delivery_id,
    "user_id": Requests.user_id,
    "invitation_id": Requests.invitation_id,
    "session_id": Requests.session_id,
    "export_id": Requests.export_id,
    "import_id": Requests.import_id,
    "purchase_id": Requests.purchase_id,
    "licence_id": Requests.licence_id,
    "feature": Requests.feature,
    "claim_id": Requests.claim_id,
    "client_id": Requests.client_id,
    "credential_id": Requests.credential_id,
}

BODIES: dict[str, Callable[[Requests, Actor], Awaitable[Any]]] = {
    "SessionCreate": _fixed(LOG_IN),
    "SessionRefresh": Requests.refresh_token,
    "MeUpdate": _fixed({"language": "de"}),
    "PasswordChange": _fixed({"current_password": PASSWORD, "password": PASSWORD}),
    "Code": Requests.totp_code,
    "PasswordProof": _fixed({"password": PASSWORD}),
    "InvitationPreviewRequest": Requests.preview,
    "RegistrationCreate": Requests.registration,
    "PasswordResetCreate": _fixed({"email": LOG_IN["email"]}),
    "PasswordResetConfirm": Requests.reset,
    "PartnerCreate": _unique("name", "Partner {}"),
    "PartnerUpdate": _unique("name", "Partner {}"),
    "PartnerMemberUpdate": _fixed({"role": "partner_viewer"}),
    "PartnerInvitationCreate": _unique("email", "{}@example.com", role="partner_viewer"),
    "AccountInvitationCreate": _unique("email", "{}@example.com", role="account_viewer"),
    "AccountMemberUpdate": _fixed({"role": "account_viewer"}),
    "TextPropertyCreate": _unique("key", "{}", type="text", label={"en": "Fresh"}, filterable=False),
    "PropertyUpdate": Requests.relabelled,
    "FeatureCreate": _unique("key", "{}", kind="quota", name={"en": "Fresh"}),
    "FeatureUpdate": Requests.renamed,
    "ArticleCreate": Requests.article,
    "ArticleUpdate": Requests.renamed,
    "PriceModelCreate": _unique("key", "{}", name={"en": "Fresh"}),
    "PriceModelUpdate": Requests.renamed,
    "PropertyOrder": Requests.ordered,
    "AccountArticleCreate": Requests.purchase,
    "AccountArticleUpdate": _unique("order_number", "O-{}"),
    "AccountArticleCancel": _fixed({}),
    "AccountArticleRenew": _fixed({}),
    "AccountArticleUpgrade": Requests.purchase,
    "LicenceCreate": Requests.licence,
    "LicenceUpdate": _unique("order_number", "O-{}"),
    "LicenceSuspend": _fixed({"reason": "A test."}),
    "LicenceRevoke": _fixed({"reason": "A test."}),
    "ViewCreate": _unique("name", "View {}"),
    "ViewUpdate": _unique("name", "View {}"),
    "WebhookCreate": _fixed({"url": "https://hooks.example.com/"}),
    "WebhookUpdate": _unique("description", "Webhook {}"),
    "WebhookSecretCreate": _fixed({}),
    "WebhookRedelivery": _fixed({"since": "2026-01-01T00:00:00Z"}),
    "AccountSearch": _fixed({"q": "account"}),
    "AccountSummaryQuery": _fixed({"q": "account"}),
    "AccountBatch": Requests.batch,
    "AccountImportCreate": _unique("file", "name\nAccount {}\n"),
    "AccountCreate": _unique("name", "Account {}"),
    "ClaimCreate": Requests.claimed,
    "ClaimBatch": Requests.claimed_together,
    "AccountUpdate": _unique("name", "Account {}"),
    "ApiClientCreate": _unique("name", "Client {}", scopes=["partner:read"]),
    "ApiClientUpdate": _unique("name", "Client {}"),
    "SecretCreate": _fixed({"kind": "secret"}),
    "TokenRequest": Requests.token_request,
}

BEFORE: dict[str, Callable[[Requests, Actor], Awaitable[None]]] = {
    "getReady": Requests.beat,
    "eraseMe": Requests.dispensable,
    "createPasswordReset": Requests.unthrottled,
    "disableTotp": Requests.totp_on,
    "renewRecoveryCodes": Requests.totp_on,
    "restoreAccount": Requests.archived,
    "resumeLicence": Requests.suspended,
    "releaseResource": Requests.resource_taken,
    "pingWebhook": Requests.unreachable,
}
