"""Operators who look at what is a partner's: its audit log says so, before they see it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.requests import Request

from app.db import is_outage, is_transient, unit_of_work
from app.models import utc_now
from app.policy import Access, Permission, Role
from app.recent import Recent
from app.services import looks
from app.tenancy import confine

log = structlog.get_logger("looks")
LOOKED: Final = "looked"
OPERATORS: Final = frozenset({Role.OPERATOR})
MAX_NOTED: Final = 10_000


def through(request: Request, permission: Permission, access: Access, *, lent: bool) -> Access:
    """What a guard hands on; an access to read that only operators have, or one that an operator has `lent` to an API
    client, is to be noted when it is answered.
    """
    if (lent or access.roles == OPERATORS) and permission.endswith((":read", ":list")):
        request.scope[LOOKED] = access
    return access


async def note(scope: Mapping[str, Any], access: Access) -> bool:
    """Record that the operator who asks looks at this; False: it could not be, so they must not see it."""
    first, *rest = scope["endpoint"].__name__.split("_")
    operation = first + "".join(word.title() for word in rest)
    key, now = (access.caller.id, access.partner_id, operation), utc_now()
    if (at := _noted.get(key)) is not None and now - at < looks.AGAIN:
        return True
    try:
        async with unit_of_work(scope["app"].state.sessions) as db:
            await confine(db, access.partner_id)
            at = await looks.note(db, access, operation)
    except (DBAPIError, OSError, PoolTimeout) as error:
        if not (is_outage(error) or is_transient(error)):
            raise
        log.warning("look not noted", error=type(error).__name__)
        return False
    _noted.note(key, at)
    return True


_noted = Recent[tuple[UUID, UUID, str], datetime](MAX_NOTED)
"""When it was noted last, as far as this process knows."""
