"""The endpoints, one noun a file: parse, guard, call one service function, return the model."""

from app.routers import (
    account_batches,
    account_imports,
    account_searches,
    accounts,
    health,
    invitations,
    me,
    members,
    pages,
    partners,
    password_resets,
    properties,
    registrations,
    roles,
    sessions,
    switches,
)

ROUTERS = [
    r.router
    for r in (
        sessions, me, registrations, password_resets, roles, partners, members, invitations, properties,
        account_batches, account_imports, account_searches, accounts,
        switches, health, pages,
    )
]  # fmt: skip
