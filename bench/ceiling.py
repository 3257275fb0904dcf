"""The ceiling: what this machine, PostgreSQL and an asynchronous Python server can give at most.

The accounts table of one partner, the creation of an account, and a claim, on the same tables with the same indexes and
durability, by the best SQL we know: one statement a request, JSON built by PostgreSQL, statements prepared once.
There is no token, guard or row-level security, nothing is checked, and one partner is all it knows.
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app import turnstile, words
from app.models import Claim, Event, new_id, utc_now
from app.services import bulks, counters, tallies
from app.services.columns import Columns, definition
from app.services.events import commitment
from bench.databases import PARTNER, SESSION, USER, properties
from bench.pool import opened

# Concatenated rather than built by json_build_object: a tenth faster, and JSON all the same.
ITEM: Final = """
    '{"id":"' || id || '","partner_id":"' || partner_id || '","name":' || to_json(name) || ',"status":"' || status
    || '","price_model":' || coalesce(to_json(price_model)::text, 'null')
    || ',"time_zone":' || coalesce(to_json(time_zone)::text, 'null') || ',"member_count":' || member_count
    || ',"properties":' || properties || ',"masked_properties":[],"created_at":' || to_json(created_at)
    || ',"updated_at":' || to_json(updated_at) || '}'
"""


def _page(by: str, direction: str) -> str:
    return f"""
        SELECT '{{"items":[' || coalesce(string_agg({ITEM}, ','), '') || '],"next_cursor":'
            || coalesce('"' || (array_agg(id))[50] || '"', 'null') || ',"total":null}}'
        FROM (SELECT * FROM accounts
              WHERE partner_id = $1 AND status <> 'archived' AND {by} IS NOT NULL
              ORDER BY {by} {direction}, id {direction} LIMIT 50) page
    """


PAGES: Final = {"name": _page("name_search", "ASC"), "-properties.revenue": _page("n1", "DESC")}

# Planned once, for a partner of any size: without a hint PostgreSQL expects the twenty accounts that partners have on
# average, and sorts them all.
PLANNING: Final = {"plan_cache_mode": "force_generic_plan", "enable_sort": "off"}

SLOTS: Final = ("t1", "t2", "t3", "t4", "n1", "n2", "n3", "n4", "n5")
CREATE: Final = f"""
    WITH account AS (
        INSERT INTO accounts (partner_id, id, name, name_key, name_search, status, properties, search, {", ".join(SLOTS)},
                              created_at, updated_at, version)
        VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, {", ".join(f"${n}" for n in range(8, 8 + len(SLOTS)))}, $17, $17, 1)
        RETURNING *
    ), member AS (
        INSERT INTO account_members (partner_id, id, account_id, user_id, role, created_at, updated_at, version)
        VALUES ($1, $18, $2, $19, 'account_admin', $17, $17, 1)
    ), logged AS (
        INSERT INTO events (partner_id, id, type, subject_type, subject_id, account_id, actor, actor_id, request_id,
                            details, salt, details_hash, origin, origin_salt, origin_hash, created_at)
        VALUES ($1, $20, 'account.created', 'account', $2, $2, 'user', $19, $21, $22, $23, $24, $25, $26, $27, $17),
               ($1, $28, 'account_member.added', 'account_member', $18, $2, 'user', $19, $21, $29, $30, $31, $25, $32, $33,
                $17)
    )
    SELECT {ITEM} FROM account
"""  # noqa: E501 - as SQL is read

CLAIM_FOUND: Final = turnstile.statement(counters)
"""What ours asks of callers and pools."""

pool: Any = None
columns = Columns(0, tuple(definition(row) for row in properties(PARTNER)))


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    global pool
    async with opened(PLANNING) as pool:
        yield


async def page(request: Request) -> Response:
    return Response(await pool.fetchval(PAGES[request.query_params["sort"]], PARTNER), media_type="application/json")


async def create(request: Request) -> Response:
    body = orjson.loads(await request.body())
    now, account_id, member_id = datetime.now(UTC), new_id(), new_id()
    name_search = words.search_key(body["name"])
    projected = columns.projected(name_search, body["properties"])
    after = {"name": body["name"], "status": "active", "price_model": None, "time_zone": None,
             "properties": body["properties"]}  # fmt: skip
    member = {"account_id": str(account_id), "user_id": str(USER), "role": "account_admin"}
    opened, joined = _logged(None, after), _logged(None, member)
    origin = {"address": "127.0.0.1"}
    salts = secrets.token_bytes(16), secrets.token_bytes(16)
    made = await pool.fetchval(
        CREATE, PARTNER, account_id, body["name"], words.name_key(body["name"]), name_search,
        _json(body["properties"]), projected["search"], *(projected[slot] for slot in SLOTS), now, member_id, USER,
        new_id(), secrets.token_hex(8), *opened, _json(origin), salts[0], commitment(salts[0], origin),
        new_id(), *joined, salts[1], commitment(salts[1], origin),
    )  # fmt: skip
    return Response(made, 201, {"Location": f"{request.url.path}/{account_id}"}, "application/json")


async def claim(request: Request) -> Response:
    """Four messages, as ours: begin and hold the pool; read; write; commit. With the same SQL, and nothing but that."""
    body, account_id = orjson.loads(await request.body()), UUID(request.path_params["account"])
    feature, units, at = body["feature"], body["units"], utc_now()
    async with pool.acquire() as line:
        await line.execute(f"BEGIN; {counters.lock(PARTNER, account_id, feature)}")
        (found,) = await CLAIM_FOUND.all(
            line, partner=PARTNER, account=account_id, thing=feature, now=at, one_session=SESSION, one_user=USER,
            one_subject=body["resource"],
        )  # fmt: skip
        _, _, _, _, _, used, licences = orjson.loads(found[-1])
        had = found[turnstile.WIDTH + 2]
        if had is not None or used + units > sum(licence[0] for licence in licences):
            await line.execute("ROLLBACK")
            return Response("no", 409)
        made = {
            "partner_id": PARTNER, "id": new_id(), "account_id": account_id, "feature": feature,
            "resource": body["resource"], "units": units, "actor": "user", "user_id": USER, "reason": None,
            "reference": body.get("reference"), "released_at": None, "release_reason": None, "release_reference": None,
            "created_at": at,
        }  # fmt: skip
        told = {tallies.OUTSIDE.get(k, k): v for k, v in made.items()}
        said = {"before": None, "after": {k: v for k, v in told.items() if k not in tallies.UNSAID}}
        salts, origin = (secrets.token_bytes(16), secrets.token_bytes(16)), {"address": "127.0.0.1"}
        event = {
            "partner_id": PARTNER, "id": new_id(), "type": "claim.created", "subject_type": "claim",
            "subject_id": made["id"], "account_id": account_id, "actor": "user", "actor_id": USER,
            "request_id": secrets.token_hex(8), "details": said, "salt": salts[0],
            "details_hash": commitment(salts[0], said), "origin": origin, "origin_salt": salts[1],
            "origin_hash": commitment(salts[1], origin), "created_at": at,
        }  # fmt: skip
        await line.fetch(tallies.of_one(), PARTNER, account_id, feature, units, *bulks.flat(Claim, [made]),
                         *bulks.flat(Event, [event]))  # fmt: skip
        await line.execute("COMMIT")
    shown = told | {"over_limit": False, "created_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    headers = {"Location": f"{request.url.path}/{made['id']}"}
    return Response(orjson.dumps(shown), 201, headers, "application/json")


def _logged(before: Any, after: Any) -> tuple[str, bytes, bytes]:
    details, salt = {"before": before, "after": after}, secrets.token_bytes(16)
    return _json(details), salt, commitment(salt, details)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


app = Starlette(
    routes=[
        Route("/accounts", page, methods=["GET"]),
        Route("/accounts", create, methods=["POST"]),
        Route("/accounts/{account}/claims", claim, methods=["POST"]),
    ],
    lifespan=lifespan,
)
