"""Who calls, and what they are there: read in one statement from the database."""

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Integer,
    Text,
    Uuid,
    and_,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from app.bearer import Token
from app.express import Driver, Prepared, param
from app.models import Account, AccountMember, Partner, PartnerMember, Session, User, utc_now
from app.models.partner import PartnerStatus
from app.models.user import UserStatus
from app.policy import Role
from app.problems import Unauthenticated
from app.records import record

SEEN_EVERY = timedelta(minutes=5)


@record
class Standing:
    """What the caller is, where: as one statement reads it. Null: not there, or no member.

    Of an API client (`client_id`), user and roles are its owner's, and the rest says what it may, and where.
    """

    user_id: UUID
    client_id: UUID | None
    client_partner_id: UUID | None
    client_scopes: list[str] | None
    client_networks: list[str] | None
    operator: bool
    last_used_at: datetime
    partner_status: PartnerStatus | None
    partner_management_enabled: bool | None
    partner_role: Role | None
    account_id: UUID | None
    account_role: Role | None

    @property
    def partner_roles(self) -> set[Role]:
        """The roles that come from outside the account.

        An API client is in its partner what its owner is there, an operator's what an admin is; and an operator's own
        is a service wherever it comes.
        """
        if self.client_id is not None:
            if self.client_partner_id is None:
                return {Role.SERVICE} if self.operator else set()
            return {self.partner_role or Role.PARTNER_ADMIN} if self.partner_role or self.operator else set()
        member = {self.partner_role} if self.partner_role else set[Role]()
        return member | ({Role.OPERATOR} if self.operator else set[Role]())

    @property
    def lent(self) -> bool:
        """Whether it is a client in the partner for an operator who is none of its people."""
        return self.client_partner_id is not None and self.operator and self.partner_role is None


WIDTH: Final = len(fields(Standing))
"""How many columns of a statement make one."""

_PARTNER, _ACCOUNT = param("partner", Uuid()), param("account", Uuid())

_SIGNED_IN = (
    Session.id == param("session", Uuid()),
    func.coalesce(Session.client_id, Session.user_id) == param("bearer", Uuid()),
    Session.ended_at.is_(None), Session.expires_at > param("now", DateTime(timezone=True)),
    User.status == UserStatus.ACTIVE,
)  # fmt: skip

_CALLER = (
    Session.user_id, Session.client_id, Session.client_partner_id, Session.client_scopes, Session.client_networks,
)  # fmt: skip

STANDING = (
    select(
        *_CALLER, User.operator, Session.last_used_at, Partner.status, Partner.partner_management_enabled,
        PartnerMember.role, Account.id, AccountMember.role,
    )
    .select_from(Session)
    .join(User, User.id == Session.user_id)
    .outerjoin(Partner, Partner.id == _PARTNER)
    .outerjoin(PartnerMember, and_(PartnerMember.partner_id == _PARTNER, PartnerMember.user_id == User.id))
    .outerjoin(Account, and_(Account.partner_id == _PARTNER, Account.id == _ACCOUNT))
    .outerjoin(AccountMember, and_(AccountMember.partner_id == _PARTNER, AccountMember.user_id == User.id,
                                   AccountMember.account_id == _ACCOUNT))
    .where(*_SIGNED_IN)
)  # fmt: skip
"""User, session, partner, account and both roles, in one statement."""

_CONFINED = (
    select(func.set_config("app.partner_id", cast(_PARTNER, Text), true()).label("partner"))
    .offset(literal_column("0"))
    .subquery("confined")
)
_HERE = cast(_CONFINED.c.partner, Uuid)

_GLANCED = (
    _CONFINED.join(Session, true())
    .join(User, User.id == Session.user_id)
    .outerjoin(Partner, Partner.id == _HERE)
    .outerjoin(PartnerMember, and_(PartnerMember.partner_id == _HERE, PartnerMember.user_id == User.id))
)
_OUTSIDE = (
    *_CALLER, User.operator, Session.last_used_at, Partner.status, Partner.partner_management_enabled,
    PartnerMember.role,
)  # fmt: skip

GLANCE = select(*_OUTSIDE, null(), null()).select_from(_GLANCED).where(*_SIGNED_IN)
"""The same of a partner, in a transaction that is this statement alone: it confines itself before it reads what is the
partner's. Where it does not (another plan, another node of a cluster), row-level security lets it see nothing."""

GLANCE_IN_ACCOUNT = (
    select(*_OUTSIDE, Account.id, AccountMember.role)
    .select_from(
        _GLANCED.outerjoin(Account, and_(Account.partner_id == _HERE, Account.id == _ACCOUNT))
        .outerjoin(AccountMember, and_(AccountMember.partner_id == _HERE, AccountMember.user_id == User.id,
                                       AccountMember.account_id == _ACCOUNT))
    )
    .where(*_SIGNED_IN)
)  # fmt: skip
"""The same of an account."""

_ENTERED = (
    select(func.entered(_PARTNER, param("lock", BigInteger())).label("version"))
    .offset(literal_column("0"))
    .subquery("entered")
)
_INSIDE = case((_ENTERED.c.version.is_not(None), _PARTNER))  # so that what is the partner's is joined behind it

AS_BEFORE = Prepared(
    select(and_(
        _ENTERED.c.version == param("version", Integer()),
        User.operator == param("operator", Boolean()),
        Partner.status == param("status", Partner.status.type),
        Partner.partner_management_enabled == param("managed", Boolean()),
        PartnerMember.role.is_not_distinct_from(param("role", PartnerMember.role.type)),
        Session.last_used_at > param("seen_after", DateTime(timezone=True)),
    ))
    .select_from(_ENTERED)
    .join(Session, true())
    .join(User, User.id == Session.user_id)
    .outerjoin(Partner, Partner.id == _INSIDE)
    .outerjoin(PartnerMember, and_(PartnerMember.partner_id == _INSIDE, PartnerMember.user_id == User.id))
    .where(*_SIGNED_IN)
)  # fmt: skip
"""Whether a caller still is in a partner what they were (and its columns are), in a transaction that is one statement:
it enters the partner before it reads what is the partner's, as `GLANCE` does, and holds its columns (`columns.steady`).
"""


def asked_as_before(token: Token, partner_id: UUID, was: "Standing", version: int, lock: int) -> dict[str, Any]:
    """The parameters of `AS_BEFORE`."""
    now = utc_now()
    return {"session": token.session_id, "bearer": token.bearer_id, "partner": partner_id, "now": now, "lock": lock,
            "version": version, "operator": was.operator, "status": was.partner_status, "role": was.partner_role,
            "managed": was.partner_management_enabled, "seen_after": now - SEEN_EVERY}  # fmt: skip


_USED = (
    update(Session)
    .where(Session.id == param("session", Uuid()))
    .values(last_used_at=param("now", DateTime(timezone=True)))
)
_USED_EXPRESS = Prepared(_USED)


def asked_of(token: Token, partner_id: UUID, account_id: UUID | None) -> dict[str, Any]:
    """The parameters of `STANDING`."""
    return {"session": token.session_id, "bearer": token.bearer_id, "partner": partner_id, "account": account_id,
            "now": utc_now()}  # fmt: skip


async def look_up(db: AsyncSession, token: Token, partner_id: UUID, account_id: UUID | None) -> Standing:
    """Raises:
    Unauthenticated: the session has ended or its user may not sign in.
    """
    found = (await db.execute(STANDING, asked_of(token, partner_id, account_id))).one_or_none()
    if found is None:
        raise Unauthenticated
    standing = Standing(*found)
    if long_unseen(standing):
        await db.execute(_USED, {"session": token.session_id, "now": utc_now()})
    return standing


async def look_up_express(
    line: Driver, token: Token, partner_id: UUID, statement: Prepared, account_id: UUID | None = None, **values: Any
) -> tuple[Standing, tuple[Any, ...]]:
    """The same on the driver's connection; `statement` is `STANDING`, and asks more besides.

    Raises:
        Unauthenticated: the session has ended or its user may not sign in.
    """
    found = await statement.one(line, **asked_of(token, partner_id, account_id), **values)
    if found is None:
        raise Unauthenticated
    standing = Standing(*found[:WIDTH])
    if long_unseen(standing):
        await _USED_EXPRESS.all(line, session=token.session_id, now=utc_now())
    return standing, found[WIDTH:]


def long_unseen(standing: Standing) -> bool:
    """The use of a session is remembered to within five minutes: most requests write nothing."""
    return utc_now() - standing.last_used_at > SEEN_EVERY
