"""The overview of an account that has something of everything: ours against the ceiling."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final, cast

from bench import contest, data, databases, load, servers
from bench.databases import PARTNER, USER, Server
from bench.rounds import Line, faster, play
from bench.servers import Running

DATABASE: Final = "bench_overview"
CLIENTS: Final = 8
COUNTS: Final = {"members": 5, "pending_invitations": 2, "articles": 6, "licences": 12, "entitlements": 8}
"""What an account has; besides, purchases and licences that are over."""


def lines(server: Server, rounds: int, seconds: int) -> list[Line]:
    scratch = databases.clone(server, databases.ready(server, contest.SIZE), DATABASE)
    databases.execute(server, scratch, *FILLING)
    (account,) = databases.rows(server, scratch, f"SELECT id FROM accounts {FULL} ORDER BY id LIMIT 1")
    with servers.ours(server, scratch) as ours, servers.overview_ceiling(server, scratch) as ceiling:
        running = {"ours": ours, "ceiling": ceiling}
        urls = {who: f"{at.url}/{account['id']}/overview" for who, at in running.items()}
        _same(running, urls)
        for who, url in urls.items():
            load.get(url, running[who].headers, clients=CLIENTS, seconds=1)  # warmed up
        runs = play({who: partial(contest.page, running[who], urls[who], seconds) for who in urls}, rounds)
    return [faster("overview, ours / ceiling", runs, "ours", "ceiling", 0.5)]


def _same(running: Mapping[str, Running], urls: Mapping[str, str]) -> None:
    """Both say the same, and the account has what it should have."""
    for _ in range(2):  # ours goes another way to whom it has let in before
        found = {who: contest.fetch(url, running[who].headers) for who, url in urls.items()}
        assert {name: len(found["ours"][name]) for name in COUNTS} == COUNTS
        assert len(found["ours"]["account"]["properties"]) == 10
        assert sum(e["next_change"] is not None for e in found["ours"]["entitlements"]) >= 2
        assert sum(e["used"] > 0 for e in found["ours"]["entitlements"]) == COUNTS["entitlements"]
        ours, ceiling = (_plain(found[who]) for who in ("ours", "ceiling"))
        assert ours.keys() == ceiling.keys()
        for name in ours:
            assert ours[name] == ceiling[name], f"ours and the ceiling's {name} differ"


PROPERTIES: Final = {definition["key"] for definition in data.DEFINITIONS}
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def _plain(value: Any) -> Any:
    """As both say it: ours shows moments to the millisecond, and properties without a value as null."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {k: _plain(v) for k, v in fields.items() if v is not None or k in fields.keys() - PROPERTIES}
    if isinstance(value, list):
        return [_plain(v) for v in cast("list[Any]", value)]
    if isinstance(value, str) and MOMENT.match(value):
        return datetime.fromisoformat(value).replace(microsecond=0)
    return value


# --- what there is ---

FULL: Final = f"WHERE partner_id = '{PARTNER}' AND status = 'active'"
STAMPS: Final = "now() - interval '1 year', now() - interval '1 year', 1"
KINDS: Final = """
    (VALUES (1, 'alarms', 'quota', 'forbidden'), (2, 'api_access', 'switch', 'forbidden'),
            (3, 'assets', 'quota', 'up_to_125'), (4, 'data_loggers', 'quota', 'forbidden'),
            (5, 'reports', 'switch', 'forbidden'), (6, 'storage', 'quota', 'up_to_200'),
            (7, 'text_messages', 'quota', 'allowed'), (8, 'users', 'quota', 'forbidden')) AS f (n, key, kind, overage)
"""
GRANTS: Final = json.dumps([{"feature": "assets", "units": 10, "duration": None, "grace_days": 14,
                             "max_units_per_claim": None}])  # fmt: skip
FILLING: Final = (
    f"""
    INSERT INTO features (id, key, kind, name, description, unit, search, default_units, overage, created_at,
                          updated_at, version)
    SELECT gen_random_uuid(), key, kind, jsonb_build_object('en', initcap(key), 'de', key), '{{}}',
           CASE kind WHEN 'quota' THEN '{{"en": "unit", "de": "Einheit"}}'::jsonb ELSE '{{}}' END, key,
           CASE key WHEN 'users' THEN 3 ELSE 0 END, overage, {STAMPS}
      FROM {KINDS}
    """,
    f"""
    INSERT INTO articles (id, number, name, description, search, amount, currency, billing_period, grants, created_at,
                          updated_at, version)
    SELECT gen_random_uuid(), 'LIC-' || n, '{{"en": "Licence pack", "de": "Lizenzpaket"}}', '{{}}', 'lic', 29, 'EUR',
           'monthly', '{GRANTS}', {STAMPS}
      FROM generate_series(1, 4) n
    """,
    f"""
    INSERT INTO price_models (id, key, name, description, search, base_grants, article_prices, created_at, updated_at,
                              version)
    VALUES (gen_random_uuid(), 'professional', '{{"en": "Professional"}}', '{{"en": "For most."}}', 'professional',
            '[]', '[]', {STAMPS})
    """,
    f"""
    INSERT INTO users (id, email, email_key, name, name_search, password_hash, status, operator, language,
                       totp_last_step, created_at, updated_at, version)
    SELECT gen_random_uuid(), 'member' || n || '@example.com', 'member' || n || '@example.com', 'Member ' || n,
           'member ' || n, 'none', 'active', false, 'en', 0, {STAMPS}
      FROM generate_series(2, 5) n
    """,
    f"UPDATE accounts SET price_model = 'professional', member_count = 5 {FULL}",
    f"""
    INSERT INTO account_members (partner_id, id, account_id, user_id, role, created_at, updated_at, version)
    SELECT a.partner_id, gen_random_uuid(), a.id, u.id,
           CASE u.id WHEN '{USER}' THEN 'account_admin' ELSE 'account_editor' END, {STAMPS}
      FROM accounts a CROSS JOIN users u {FULL.replace("partner_id", "a.partner_id").replace("status", "a.status")}
    """,
    f"""
    INSERT INTO invitations (partner_id, id, account_id, email, email_key, role, invited_by, token_hash, generation,
                             expires_at, status, mail_status, created_at, updated_at, version)
    SELECT partner_id, gen_random_uuid(), id, n || '@example.com', n || '@example.com', 'account_viewer', '{USER}',
           '\\x00', 1, now() + interval '5 days', 'pending', 'sent', {STAMPS}
      FROM accounts, generate_series(1, 2) n {FULL}
    """,
    f"""
    INSERT INTO account_articles (partner_id, id, account_id, article, name, quantity, amount, currency, billing_period,
                                  grants, price_model, order_number, invoice_number, starts_at, ends_at, created_at,
                                  updated_at, version)
    SELECT partner_id, gen_random_uuid(), id, 'LIC-' || 1 + n % 4, '{{"en": "Licence pack", "de": "Lizenzpaket"}}', n,
           29, 'EUR', 'monthly', '{GRANTS}', CASE n % 3 WHEN 0 THEN price_model END, 'PO-2026-' || n, 'RE-' || n,
           now() + (n * 30 - 120) * interval '1 day',
           CASE WHEN n < 3 THEN now() - interval '9 days' WHEN n % 2 = 0 THEN now() + interval '200 days' END, {STAMPS}
      FROM accounts, generate_series(1, 8) n {FULL}
    """,
    f"""
    INSERT INTO licences (partner_id, id, account_id, feature, units, max_units_per_claim, starts_at, ends_at,
                          grace_days, source, account_article_id, article, order_number, price_model, suspended_at,
                          suspended_by, suspension_reason, created_at, updated_at, version)
    SELECT a.partner_id, gen_random_uuid(), a.id, key, CASE kind WHEN 'switch' THEN 1 ELSE 10 * m END, NULL,
           now() + (m * 50 - 160) * interval '1 day',
           CASE WHEN m = 1 THEN now() - interval '20 days' WHEN n % 3 = 0 THEN now() + n * interval '20 days' END,
           CASE WHEN m > 1 THEN 14 ELSE 0 END, CASE m WHEN 3 THEN 'price_model' ELSE 'article' END, p.id, p.article,
           p.order_number, CASE m WHEN 3 THEN a.price_model END,
           CASE WHEN n = 6 THEN now() - interval '1 day' END, CASE WHEN n = 6 THEN 'partner' END,
           CASE WHEN n = 6 THEN 'Unpaid since May.' END, {STAMPS}
      FROM accounts a CROSS JOIN {KINDS} CROSS JOIN generate_series(1, 4) m
      LEFT JOIN account_articles p ON p.partner_id = a.partner_id AND p.account_id = a.id AND p.quantity = m + 2
           AND m <> 3
     {FULL.replace("partner_id", "a.partner_id").replace("status", "a.status")}
       AND (m = 1 AND n <= 4 OR m = 3 AND n <= 7 OR m = 2 AND n IN (1, 3, 4) OR m = 4 AND n IN (3, 7))
    """,
    f"""
    INSERT INTO usages (partner_id, account_id, feature, used)
    SELECT partner_id, id, key, n FROM accounts CROSS JOIN {KINDS} {FULL}
    """,
    f"""
    INSERT INTO claims (partner_id, id, account_id, feature, resource, units, actor, user_id, created_at)
    SELECT partner_id, gen_random_uuid(), id, key, 'resource:' || m, 1, 'user', '{USER}', now()
      FROM accounts CROSS JOIN {KINDS} CROSS JOIN LATERAL generate_series(1, n) m {FULL}
    """,
    "VACUUM ANALYZE",
)
"""Every active account of the partner has as much."""
