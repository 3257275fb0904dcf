from typing import Literal

from app.schemas.base import Out


class Live(Out):
    """The process is up."""

    status: Literal["ok"]


class Checks(Out):
    """What readiness looked at."""

    database: bool
    migrations: bool
    worker: bool


class Ready(Out):
    """The service can do its work."""

    status: Literal["ready"]
    checks: Checks
