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
    data_exports,
    entitlements,
    erasures,
    events,
    exports,
    features,
    health,
    invitations,
    jobs,
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
)

ROUTERS = [
    claims.claiming,
    accounts.table,
    accounts.opening,
    *(r.router for r in (claims, accounts, overviews, account_searches, account_batches)),
    account_imports.uploads,
    *(r.router for r in (
        account_imports, account_summaries, entitlements, exports, views,
        members, invitations, switches, properties, partners, features, articles, price_models,
        account_articles, licences, licence_files, events, audit_logs, api_clients, service_clients, tokens,
        jobs, sessions, me, data_exports, erasures, registrations, password_resets, roles, health, pages,
    )),
]  # fmt: skip
