"""Who may do what: the whole authorisation policy, as one table of plain data."""

from collections.abc import Set
from enum import StrEnum
from uuid import UUID

from app.records import record


class Role(StrEnum):
    """What a user is: an operator, or a member of a partner or of an account.

    A service is no user: it is what an operator's API client is, wherever it comes.
    """

    OPERATOR = "operator"
    PARTNER_ADMIN = "partner_admin"
    PARTNER_MANAGER = "partner_manager"
    PARTNER_VIEWER = "partner_viewer"
    ACCOUNT_ADMIN = "account_admin"
    ACCOUNT_EDITOR = "account_editor"
    ACCOUNT_VIEWER = "account_viewer"
    SERVICE = "service"


class Permission(StrEnum):
    """One thing that may be allowed, as `noun:verb`."""

    CATALOGUE_MANAGE = "catalogue:manage"
    PARTNER_CREATE = "partner:create"
    PARTNER_LIST = "partner:list"
    PARTNER_READ = "partner:read"
    PARTNER_UPDATE = "partner:update"
    PARTNER_MEMBER_READ = "partner_member:read"
    PARTNER_MEMBER_MANAGE = "partner_member:manage"
    PROPERTY_READ = "property:read"
    PROPERTY_MANAGE = "property:manage"
    VIEW_READ = "view:read"
    VIEW_MANAGE = "view:manage"
    ACCOUNT_CREATE = "account:create"
    ACCOUNT_LIST = "account:list"
    ACCOUNT_READ = "account:read"
    ACCOUNT_UPDATE = "account:update"
    ACCOUNT_ENTER = "account:enter"
    PRICE_MODEL_SET = "account_price_model:set"
    ACCOUNT_IMPORT = "account:import"
    ACCOUNT_IMPORT_READ = "account_import:read"
    JOB_READ = "job:read"
    ACCOUNT_MEMBER_READ = "account_member:read"
    ACCOUNT_MEMBER_MANAGE = "account_member:manage"
    ACCOUNT_ARTICLE_READ = "account_article:read"
    ACCOUNT_ARTICLE_MANAGE = "account_article:manage"
    LICENCE_READ = "licence:read"
    LICENCE_MANAGE = "licence:manage"
    LICENCE_OVERRULE = "licence:overrule"
    ENTITLEMENT_READ = "entitlement:read"
    CLAIM_READ = "claim:read"
    CLAIM_MANAGE = "claim:manage"
    EVENT_READ = "event:read"
    AUDIT_LOG_READ = "audit_log:read"
    API_CLIENT_READ = "api_client:read"
    API_CLIENT_MANAGE = "api_client:manage"
    SERVICE_CLIENT_READ = "service_client:read"
    SERVICE_CLIENT_MANAGE = "service_client:manage"
    WEBHOOK_READ = "webhook:read"
    WEBHOOK_MANAGE = "webhook:manage"


P, R = Permission, Role

PARTNER_ROLES = frozenset({R.PARTNER_ADMIN, R.PARTNER_MANAGER, R.PARTNER_VIEWER})
ACCOUNT_ROLES = frozenset({R.ACCOUNT_ADMIN, R.ACCOUNT_EDITOR, R.ACCOUNT_VIEWER})
ADMINS = frozenset({R.PARTNER_ADMIN, R.ACCOUNT_ADMIN})
"""Who runs a partner or an account, and is told when something there needs somebody's attention."""

GRANTS: dict[Permission, frozenset[Role]] = {
    #                          who may
    P.CATALOGUE_MANAGE:      frozenset({R.OPERATOR}),
    P.PARTNER_CREATE:        frozenset({R.OPERATOR}),
    P.PARTNER_LIST:          frozenset({R.OPERATOR}),
    P.PARTNER_READ:          frozenset({R.OPERATOR, *PARTNER_ROLES, R.SERVICE}),
    P.PARTNER_UPDATE:        frozenset({R.OPERATOR}),
    P.PARTNER_MEMBER_READ:   frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.PARTNER_MEMBER_MANAGE: frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.PROPERTY_READ:         frozenset({R.OPERATOR, *PARTNER_ROLES}),
    P.PROPERTY_MANAGE:       frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.VIEW_READ:             frozenset({R.OPERATOR, *PARTNER_ROLES}),
    P.VIEW_MANAGE:           frozenset({R.OPERATOR, R.PARTNER_ADMIN, R.PARTNER_MANAGER}),
    P.ACCOUNT_CREATE:        frozenset({R.OPERATOR, R.PARTNER_ADMIN, R.PARTNER_MANAGER}),
    P.ACCOUNT_LIST:          frozenset({R.OPERATOR, *PARTNER_ROLES}),
    P.ACCOUNT_READ:          frozenset({R.OPERATOR, *PARTNER_ROLES, *ACCOUNT_ROLES}),
    P.ACCOUNT_UPDATE:        frozenset({R.OPERATOR, R.PARTNER_ADMIN, R.PARTNER_MANAGER}),
    P.ACCOUNT_ENTER:         ACCOUNT_ROLES,
    P.PRICE_MODEL_SET:       frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.ACCOUNT_IMPORT:        frozenset({R.OPERATOR, R.PARTNER_ADMIN, R.PARTNER_MANAGER}),
    P.ACCOUNT_IMPORT_READ:   frozenset({R.OPERATOR, *PARTNER_ROLES}),
    P.JOB_READ:              frozenset({R.OPERATOR, *PARTNER_ROLES}),
    P.ACCOUNT_MEMBER_READ:   frozenset({R.OPERATOR, *PARTNER_ROLES, *ACCOUNT_ROLES}),
    P.ACCOUNT_MEMBER_MANAGE: frozenset({R.OPERATOR, R.PARTNER_ADMIN, R.PARTNER_MANAGER, R.ACCOUNT_ADMIN}),
    P.ACCOUNT_ARTICLE_READ:  frozenset({R.OPERATOR, *PARTNER_ROLES, *ACCOUNT_ROLES, R.SERVICE}),
    P.ACCOUNT_ARTICLE_MANAGE: frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.LICENCE_READ:          frozenset({R.OPERATOR, *PARTNER_ROLES, *ACCOUNT_ROLES, R.SERVICE}),
    P.LICENCE_MANAGE:        frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.LICENCE_OVERRULE:      frozenset({R.OPERATOR}),
    P.ENTITLEMENT_READ:      frozenset({R.OPERATOR, *PARTNER_ROLES, *ACCOUNT_ROLES, R.SERVICE}),
    P.CLAIM_READ:            frozenset({R.OPERATOR, *PARTNER_ROLES, *ACCOUNT_ROLES, R.SERVICE}),
    P.CLAIM_MANAGE:          frozenset({R.ACCOUNT_ADMIN, R.ACCOUNT_EDITOR, R.SERVICE}),
    P.EVENT_READ:            frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.AUDIT_LOG_READ:        frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.API_CLIENT_READ:       frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.API_CLIENT_MANAGE:     frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.SERVICE_CLIENT_READ:   frozenset({R.OPERATOR}),
    P.SERVICE_CLIENT_MANAGE: frozenset({R.OPERATOR}),
    P.WEBHOOK_READ:          frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
    P.WEBHOOK_MANAGE:        frozenset({R.OPERATOR, R.PARTNER_ADMIN}),
}  # fmt: skip


def allowing(roles: Set[Role], permission: Permission) -> frozenset[Role]:
    """Those of `roles` that grant `permission`; empty when none does."""
    return GRANTS[permission] & roles


# What members do inside an account: it works on while partner management is off, for whoever is a member.
INSIDE = frozenset({P.ACCOUNT_ENTER, P.ENTITLEMENT_READ, P.CLAIM_READ, P.CLAIM_MANAGE})


# Permissions for a part of what another one guards: whoever changes an account may not set all of it, and whoever
# suspends licences may not lift every suspension.
OF_FIELDS = frozenset({P.PRICE_MODEL_SET, P.LICENCE_OVERRULE})


# What a token of one account may not do, whoever holds it: other services see such tokens, and must be able
# neither to renew one nor to plant an admin with it.
WITH_SESSION_ONLY = frozenset({P.ACCOUNT_ENTER, P.ACCOUNT_MEMBER_MANAGE})


# What no API client may do: a stolen key must not be able to make others.
FOR_PEOPLE_ONLY = frozenset({P.API_CLIENT_READ, P.API_CLIENT_MANAGE})


def scopes_of(role: Role) -> frozenset[Permission]:
    """What an API client may be allowed that acts in this role."""
    return frozenset(p for p, roles in GRANTS.items() if role in roles) - FOR_PEOPLE_ONLY


def decide(roles: Set[Role], permission: Permission, *, suspended: bool, managed: bool) -> frozenset[Role] | str:
    """Which of somebody's roles in a place grant `permission`, or the code of the problem that says why none does.

    `suspended` and `managed` (partner management is on) are the partner's state.
    """
    if not roles:
        return "not_found"
    awake = roles & {Role.OPERATOR} if suspended else roles
    if not managed and roles & PARTNER_ROLES:  # its own people: in as members, no more
        awake = awake & ({Role.OPERATOR, *ACCOUNT_ROLES} if permission in INSIDE else {Role.OPERATOR})
    if granted := allowing(awake, permission):
        return granted
    if awake != roles:
        return "partner_suspended" if suspended else "partner_management_off"
    members_only = GRANTS[permission] - {Role.SERVICE} <= ACCOUNT_ROLES
    return "not_a_member" if members_only and not roles & ACCOUNT_ROLES else "forbidden"


class Actor(StrEnum):
    """In what capacity somebody acted."""

    USER = "user"
    OPERATOR = "operator"
    API_CLIENT = "api_client"
    SYSTEM = "system"


@record
class Caller:
    """Who acts, for whom, and from where: what the change log says of every change.

    Of an API client, the user is its owner: whom it acts for.
    """

    user_id: UUID
    session_id: UUID
    operator: bool = False
    request_id: str | None = None
    address: str | None = None
    actor: Actor = Actor.USER
    client_id: UUID | None = None

    @property
    def id(self) -> UUID:
        """Who acts: the API client, or else the user."""
        return self.client_id or self.user_id

    @property
    def credential_id(self) -> UUID | None:
        """What an API client proves itself with: its session is that of the credential."""
        return self.session_id if self.client_id else None

    @property
    def on_behalf_of(self) -> UUID | None:
        """Whom an API client acts for."""
        return self.user_id if self.client_id else None


@record
class Request:
    """Where a request comes from, before it is known who makes it."""

    id: str
    address: str | None

    def by(self, user_id: UUID) -> Caller:
        """The same, made by somebody who holds no session (yet)."""
        return Caller(user_id, UUID(int=0), request_id=self.id, address=self.address)


@record
class Access:
    """A permission already granted: who acts, in which partner (and account), as what.

    `roles` are the roles that grant it. Services take an `Access`, so none can be called without a grant.
    """

    caller: Caller
    partner_id: UUID
    roles: frozenset[Role]
    account_id: UUID | None = None
    scopes: frozenset[str] | None = None
    """All that an API client may; people are bound by their roles alone."""

    def may(self, permission: Permission) -> bool:
        """Whether one of the roles grants another permission besides, and the scopes hold it."""
        return bool(allowing(self.roles, permission)) and (self.scopes is None or permission in self.scopes)

    def may_give(self, role: Role) -> bool:
        """Whether it may make somebody this. An API client gives no role in the partner that is more than it is: what
        a stolen key plants would outlive the key.
        """
        given = {permission for permission, roles in GRANTS.items() if role in roles}
        return self.scopes is None or role not in PARTNER_ROLES or given <= self.scopes

    @property
    def user_id(self) -> UUID:
        return self.caller.user_id

    @property
    def account(self) -> UUID:
        """The account that it is for.

        Raises:
            RuntimeError: it is for none.
        """
        if self.account_id is None:
            raise RuntimeError("this access is for no account")
        return self.account_id
