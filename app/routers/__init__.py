"""The endpoints, one noun a file: parse, guard, call one service function, return the model.

Addresses are tried in this order: what is asked most comes first.
"""

from app.routers import (
    account_articles,
    account_batches,
    account_imports,
    account_searches,
    account_summaries,
    accounts,
    api_clients,
    articles,
    audit_logs,
    claims,
    entitlements,
    events,
    exports,
    features,
    health,
    invitations,
    licence_files,
    licences,
    me,
    members,
    overviews,
    pages,
    partners,
    password_resets,
    price_models,
    properties,
    registrations,
    roles,
    service_clients,
    sessions,
    switches,
    tokens,
    views,
    webhook_deliveries,
    webhooks,
)

ROUTERS = [
    claims.claiming,
    accounts.table,
    accounts.opening,
    *(r.router for r in (claims, accounts, overviews, account_searches, account_batches)),
    account_imports.uploads,
    webhooks.pings,
    *(r.router for r in (
        account_imports, account_summaries, entitlements, exports, views,
        members, invitations, switches, properties, partners, features, articles, price_models,
        account_articles, licences, licence_files, events, audit_logs, webhooks, webhook_deliveries,
        api_clients, service_clients, tokens,
        sessions, me, registrations, password_resets, roles, health, pages,
    )),
]  # fmt: skip
