"""The ceiling of the overview: Starlette and asyncpg, one statement a request, all of its JSON built by PostgreSQL.

The same payload from the same tables by the best SQL we know, limits and next changes included; its plan pinned. No
token, no guard, no row-level security, and one partner is all it knows.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.ceiling import ITEM
from bench.databases import PARTNER
from bench.pool import opened


def _or_null(expression: str) -> str:
    return f"coalesce(to_json({expression})::text, 'null')"


def _object(**fields: str) -> str:
    """JSON of these expressions, each of which gives JSON as text (or a number)."""
    return "'{" + " || ',".join(f'"{name}":\' || {value}' for name, value in fields.items()) + " || '}'"


def _strings(*names: str) -> dict[str, str]:
    return {name: f"to_json({name})" for name in names}


def _nullable(*names: str) -> dict[str, str]:
    return {name: _or_null(name) for name in names}


def _texts(column: str) -> str:
    return _object(en=_or_null(f"coalesce({column}->>'en', {column}->>'de')"),
                   de=_or_null(f"coalesce({column}->>'de', {column}->>'en')"))  # fmt: skip


MEMBER: Final = _object(**_strings("user_id", "name", "email", "role", "created_at", "updated_at"))
INVITATION: Final = _object(
    **_strings("id", "email", "role", "account_id", "status", "mail_status"), **_nullable("invited_by"),
    **_strings("expires_at", "created_at", "updated_at"),
)  # fmt: skip
PURCHASE: Final = _object(
    **_strings("id", "partner_id", "account_id", "article"), name=_texts("name"),
    state="CASE WHEN starts_at > now() THEN '\"scheduled\"' ELSE '\"active\"' END", quantity="quantity",
    price=_object(
        amount="to_json(round(amount, greatest(2, scale(trim_scale(amount))))::text)", **_strings("currency")
    ),
    **_strings("billing_period"), grants="grants", **_nullable("price_model", "order_number", "invoice_number"),
    **_strings("starts_at"),
    **_nullable("ends_at", "cancelled_at", "cancellation_reason", "renews_id", "replaces_id"),
    **_strings("created_at", "updated_at"),
)  # fmt: skip
LICENCE: Final = _object(
    **_strings("id", "partner_id", "account_id", "feature"),
    state="CASE WHEN suspended_by IS NOT NULL THEN '\"suspended\"' WHEN starts_at > now() THEN '\"scheduled\"'"
    " WHEN ends_at <= now() THEN '\"grace\"' ELSE '\"active\"' END",
    units="units", **_nullable("max_units_per_claim"), **_strings("starts_at"), **_nullable("ends_at"),
    grace_days="grace_days", **_nullable("over_at"), **_strings("source"),
    **_nullable("account_article_id", "article", "price_model", "order_number", "reason"),
    suspension="CASE WHEN suspended_by IS NULL THEN 'null' ELSE "
    + _object(by="to_json(suspended_by)", reason=_or_null("suspension_reason"), at="to_json(suspended_at)") + " END",
    revocation="'null'", **_strings("created_at", "updated_at"),
)  # fmt: skip
REACH: Final = """CASE overage WHEN 'forbidden' THEN "limit"::text WHEN 'up_to_125' THEN ("limit" * 125 / 100)::text
    WHEN 'up_to_150' THEN ("limit" * 150 / 100)::text WHEN 'up_to_200' THEN ("limit" * 200 / 100)::text
    ELSE 'null' END"""
ENTITLEMENT: Final = _object(
    **_strings("feature", "kind"), name=_texts("name"),
    unit=f"CASE kind WHEN 'switch' THEN 'null' ELSE {_texts('unit')} END",
    **_strings("overage", "licensed"), limit='"limit"', reach=REACH, used="used",
    available='greatest(0, "limit" - used)', overused='greatest(0, used - "limit")', **_nullable("max_units_per_claim"),
    next_change="coalesce(next_change, 'null')", **_nullable("expires_at"),
)  # fmt: skip


def _array(name: str, item: str, rows: str, order: str, most: int) -> str:
    return f"""
        (SELECT '"{name}":[' || coalesce(string_agg({item}, ','), '') || '],"{name}_more":false'
           FROM ({rows} ORDER BY {order} LIMIT {most}) page)
    """


OVERVIEW: Final = f"""
    WITH held AS MATERIALIZED (
        SELECT *, starts_at <= now() AND suspended_by IS NULL AS giving,
               ends_at + grace_days * interval '24 hours' AS over_at
          FROM licences
         WHERE partner_id = $1 AND account_id = $2 AND revoked_at IS NULL
           AND (ends_at IS NULL OR ends_at + grace_days * interval '24 hours' > now())
    ), sums AS (
        SELECT feature, count(*) FILTER (WHERE giving) AS giving, sum(units) FILTER (WHERE giving) AS units,
               min(ends_at) FILTER (WHERE giving) AS expires_at,
               CASE WHEN bool_and(max_units_per_claim IS NOT NULL) FILTER (WHERE giving)
                    THEN max(max_units_per_claim) FILTER (WHERE giving) END AS max_units_per_claim
          FROM held GROUP BY feature
    ), steps AS MATERIALIZED (
        SELECT feature, at, sum(units) OVER w AS units, sum(n) OVER w AS giving
          FROM (SELECT feature, greatest(starts_at, now()) AS at, units, 1 AS n FROM held WHERE suspended_by IS NULL
                UNION ALL
                SELECT feature, over_at, -units, -1 FROM held WHERE suspended_by IS NULL AND over_at IS NOT NULL) turns
        WINDOW w AS (PARTITION BY feature ORDER BY at)
    ), known AS (
        SELECT key AS feature, kind, name, unit, overage, sums.expires_at, max_units_per_claim,
               coalesce(used, 0) AS used,
               coalesce(sums.giving, 0) > 0 OR d.units > 0 AS licensed, d.units AS "default",
               CASE WHEN sums.giving > 0 THEN CASE kind WHEN 'switch' THEN least(1, sums.units) ELSE sums.units END
                    ELSE d.units END AS "limit"
          FROM features
          CROSS JOIN LATERAL (SELECT CASE WHEN archived_at IS NULL THEN default_units ELSE 0 END AS units) d
          LEFT JOIN sums ON sums.feature = key
          LEFT JOIN usages ON partner_id = $1 AND account_id = $2 AND usages.feature = key
         WHERE sums.feature IS NOT NULL OR used > 0 OR d.units > 0
    ), entitled AS (
        SELECT *, (SELECT '{{"at":' || to_json(at) || ',"limit":' || units || '}}'
                     FROM (SELECT at, CASE WHEN giving > 0
                                           THEN CASE kind WHEN 'switch' THEN least(1, units) ELSE units END
                                           ELSE "default" END AS units
                             FROM steps WHERE steps.feature = known.feature AND at > now()) turns
                    WHERE units <> "limit" ORDER BY at LIMIT 1) AS next_change
          FROM known
    )
    SELECT '{{"account":' || (SELECT {ITEM} FROM accounts WHERE partner_id = $1 AND id = $2)
        || ',"price_model":' || coalesce((
            SELECT {_object(**_strings("key"), name=_texts("m.name"), description=_texts("m.description"))}
              FROM accounts a JOIN price_models m ON m.key = a.price_model WHERE a.partner_id = $1 AND a.id = $2
           ), 'null')
        || ',' || {
    _array(
        "members",
        MEMBER,
        '''SELECT m.user_id, u.name, u.email, m.role, m.created_at, m.updated_at
                               FROM account_members m JOIN users u ON u.id = m.user_id
                              WHERE m.partner_id = $1 AND m.account_id = $2''',
        "u.name, m.id",
        1000,
    )
}
        || ',' || {
    _array(
        "pending_invitations",
        INVITATION,
        '''SELECT * FROM invitations WHERE partner_id = $1 AND account_id = $2
                                AND status = 'pending' AND expires_at > now()''',
        "id DESC",
        1000,
    )
}
        || ',' || {
    _array(
        "articles",
        PURCHASE,
        '''SELECT * FROM account_articles WHERE partner_id = $1 AND account_id = $2
                                AND (ends_at IS NULL OR ends_at > greatest(now(), starts_at))''',
        "starts_at DESC, id DESC",
        100,
    )
}
        || ',' || {_array("licences", LICENCE, "SELECT * FROM held", "starts_at DESC, id DESC", 100)}
        || ',' || {_array("entitlements", ENTITLEMENT, "SELECT * FROM entitled", "feature", 100)}
        || '}}'
"""

PLANNING: Final = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
pool: Any = None


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[None]:
    global pool
    async with opened(PLANNING) as pool:
        yield


async def overview(request: Request) -> Response:
    found = await pool.fetchval(OVERVIEW, PARTNER, UUID(request.path_params["account_id"]))
    return Response(found, media_type="application/json")


app = Starlette(routes=[Route("/accounts/{account_id}/overview", overview)], lifespan=lifespan)
