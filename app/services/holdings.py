"""What is kept about people: one inventory of tables and columns, of which the export and the erasure are readings.

A test compares it with the tables: a new table, or a new column, has its line in here before it is released.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, func, or_, select
from sqlalchemy.dialects.postgresql import JSONPATH

from app.models import (
    Account,
    AccountImport,
    AccountMember,
    ApiClient,
    ApiCredential,
    Claim,
    DataExport,
    Delivery,
    Erasure,
    Event,
    Invitation,
    PartnerMember,
    PasswordReset,
    RecoveryCode,
    RefreshToken,
    Session,
    StoredAnswer,
    Tenanted,
    User,
    View,
    Webhook,
)


@dataclass(frozen=True)
class Person:
    """Whom it is about."""

    id: UUID
    email: str
    email_key: str

    @property
    def pseudonym(self) -> str:
        """The address that stands where theirs stood: of a domain that never is one (RFC 2606)."""
        return f"erased-{self.id}@erased.invalid"


KEPT, DELETED, BY_RULE = "kept", "deleted", "by rule"
"""What becomes of rows when the person is erased: they stay, with an id that is a pseudonym from then on; they go; or
`erasures` has a rule for them. A mapping: they stay, with these values."""

Fate = str | Mapping[str, Callable[[Person], Any]]


@dataclass(frozen=True)
class Holding:
    """Rows of one table that are about a person."""

    model: Any
    what: str
    """In one sentence, for the person."""
    about: Callable[[Person], ColumnElement[bool]]
    shown: str
    """The columns that the export has."""
    withheld: str = ""
    """The others: secrets and their hashes, what follows from another column, and what is not about the person."""
    fate: Fate = KEPT

    @property
    def table(self) -> str:
        return self.model.__tablename__

    @property
    def of_partner(self) -> bool:
        return issubclass(self.model, Tenanted)


def _named(person: Person, *texts: Any) -> ColumnElement[bool]:
    return or_(*(func.lower(t).in_({person.email_key, person.email.lower()}) for t in texts))


def _sessions_of(person: Person) -> Any:
    return select(Session.id).where(Session.user_id == person.id)


def _acting(person: Person) -> ColumnElement[bool]:
    """Whoever set the import going last, did it from the address that it has."""
    return func.coalesce(AccountImport.confirmed_by, AccountImport.created_by) == person.id


def _in_log(person: Person) -> ColumnElement[bool]:
    """What the person did, what was done for them, and what names them."""
    to_them = select(Invitation.id).where(Invitation.email_key == person.email_key)
    return or_(
        Event.actor_id == person.id,
        Event.on_behalf_of == person.id,
        Event.subject_id == person.id,
        cast(Event.details, Text).contains(str(person.id)),
        (Event.subject_type == "invitation") & Event.subject_id.in_(to_them),
    )


IMPORT_WITHHELD: Final = (
    "file_search file_bytes options client_id client_scopes credential_id request_id skip_errors layout columns match"
    " row rows_done rows_total planned result errors_kept failure leased_by leased_until updated_at version"
)

OF_SERVICE: Final = (
    Holding(
        User, "Who you are here.", lambda p: User.id == p.id,
        "id email name language status operator totp_enabled_at licence_notices created_at updated_at",
        "email_key name_search password_hash totp_secret totp_last_step version", BY_RULE,
    ),
    Holding(
        Session, "Where you have been logged in.",
        lambda p: (Session.user_id == p.id) & Session.client_id.is_(None),
        "id network user_agent created_at last_used_at expires_at ended_at end_reason",
        "user_id client_id client_partner_id client_scopes client_networks", DELETED,
    ),
    Holding(
        Session, "The log-ins of API clients that act for you.",
        lambda p: (Session.user_id == p.id) & Session.client_id.is_not(None),
        "id client_id client_partner_id client_scopes client_networks created_at last_used_at expires_at ended_at",
        "user_id network user_agent end_reason",
    ),
    Holding(
        ApiCredential, "What those clients prove themselves with.", lambda p: ApiCredential.id.in_(_sessions_of(p)),
        "id client_id kind hint expires_at", "secret_hash public_key",
    ),
    Holding(
        RefreshToken, "That a session can be, or was, renewed; the token itself is not known to us.",
        lambda p: RefreshToken.session_id.in_(_sessions_of(p)), "session_id used_at", "token_hash", DELETED,
    ),
    Holding(
        RecoveryCode, "That you have a recovery code; the code itself is not known to us.",
        lambda p: RecoveryCode.user_id == p.id, "user_id", "code_hash", DELETED,
    ),
    Holding(
        PasswordReset, "Links for a new password that you were sent.", lambda p: PasswordReset.user_id == p.id,
        "id expires_at used_at", "user_id token_hash", DELETED,
    ),
    Holding(
        DataExport, "Files like this one.", lambda p: DataExport.user_id == p.id,
        "id status created_at finished_at expires_at", "user_id records at_partner at_holding at_id", DELETED,
    ),
    Holding(
        Erasure, "That you asked to be erased.", lambda p: Erasure.user_id == p.id, "user_id asked_at finished_at",
        "at_partner at_event",
    ),
)  # fmt: skip

OF_PARTNERS: Final = (
    Holding(
        PartnerMember, "Your role in a partner.", lambda p: PartnerMember.user_id == p.id,
        "id partner_id user_id role created_at updated_at", "version", BY_RULE,
    ),
    Holding(
        AccountMember, "Your role in an account.", lambda p: AccountMember.user_id == p.id,
        "id partner_id account_id user_id role created_at updated_at", "version", BY_RULE,
    ),
    Holding(
        Invitation, "Invitations to your address.", lambda p: Invitation.email_key == p.email_key,
        "id partner_id account_id email role invited_by status mail_status accepted_by expires_at created_at"
        " updated_at",
        "email_key token_hash generation version", BY_RULE,
    ),
    Holding(
        Invitation, "Invitations that you sent; to whom is their business.", lambda p: Invitation.invited_by == p.id,
        "id partner_id account_id role invited_by status expires_at created_at",
        "email email_key token_hash generation mail_status accepted_by updated_at version",
    ),
    Holding(
        View, "Your saved views.", lambda p: View.owner_id == p.id,
        "id partner_id owner_id name shared columns all any q sort created_at updated_at",
        "name_key name_search version",
    ),
    Holding(
        ApiClient, "API clients that act for you.", lambda p: ApiClient.owner_id == p.id,
        "id partner_id owner_id name scopes networks expires_at revoked_at created_at updated_at", "name_key version",
    ),
    Holding(
        Webhook, "Webhooks that you made.", lambda p: Webhook.created_by == p.id,
        "id partner_id url description types created_by status created_at updated_at",
        "status_since disabled_reason position failures failing_since paused_until version",
    ),
    Holding(
        Claim, "Claims that you made.", lambda p: Claim.user_id == p.id,
        "id partner_id account_id user_id feature resource units reason reference created_at released_at",
        "actor release_reason release_reference",
    ),
    Holding(
        AccountImport, "Imports that you started or confirmed.",
        lambda p: (AccountImport.created_by == p.id) | (AccountImport.confirmed_by == p.id),
        "id partner_id file_name status created_by confirmed_by created_at confirmed_at finished_at",
        f"address {IMPORT_WITHHELD}",
    ),
    Holding(
        AccountImport, "From where you set an import going.", lambda p: _acting(p) & AccountImport.address.is_not(None),
        "id partner_id address", f"file_name status created_by confirmed_by created_at confirmed_at finished_at "
        f"{IMPORT_WITHHELD}", {"address": lambda _: None},
    ),
    Holding(
        Delivery, "Mails to you.",
        lambda p: (Delivery.subject_id == p.id) | _named(p, Delivery.values["email"].astext),
        "id partner_id template created_at due_at done_at outcome",
        "values subject_id leased_until attempts last_error", DELETED,
    ),
    Holding(
        StoredAnswer, "Answers that are kept for a day, in case your program asks once more.",
        lambda p: StoredAnswer.actor_id == p.id,
        "partner_id actor_id key status created_at", "fingerprint headers body", DELETED,
    ),
    Holding(
        StoredAnswer, "Answers to others that say your address, kept for a day.",
        lambda p: or_(*(func.encode(StoredAnswer.body, "hex", type_=Text).contains(a.encode().hex())
                        for a in sorted({p.email, p.email_key}))) & (StoredAnswer.actor_id != p.id),
        "partner_id created_at", "actor_id key status fingerprint headers body", BY_RULE,
    ),
    Holding(
        Account, "Accounts of which a property names you.",
        lambda p: func.jsonb_path_exists(Account.properties, cast(f'$.* ? (@ == "{p.id}")', JSONPATH)),
        "id partner_id",
        "name name_key name_search status price_model member_count time_zone properties search created_at updated_at"
        " version t1 t2 t3 t4 t5 t6 t7 t8 t9 t10 t11 t12 n1 n2 n3 n4 n5 n6 n7 n8 n9 n10 n11 n12",
    ),
    Holding(
        Event, "What you did, and what was done that concerns you.", _in_log,
        "id partner_id type subject_type subject_id account_id actor actor_id on_behalf_of request_id details origin"
        " created_at",
        "salt details_hash origin_salt origin_hash position hash", BY_RULE,
    ),
)  # fmt: skip

HOLDINGS: Final = (*OF_SERVICE, *OF_PARTNERS)

OWN: Final = frozenset({"user", "session", "partner_member", "account_member", "invitation"})
"""What of the log is told with its content: facts about the person. Of what they did for a partner, the partner has
the content."""

NOTHING: Final[Mapping[str, tuple[str, str]]] = {
    "partners": ("an organisation", "id name name_search status partner_management_enabled language time_zone"
                 " properties_version created_at updated_at version"),
    "properties": ("a definition of a column", "partner_id id key type label help inputs default required unique"
                   " filterable sensitive editable_by position archived_at deleted_at slot stale refreshed_to"
                   " created_at updated_at version"),
    "unique_values": ("digests of accounts' values", "partner_id property_id digest account_id"),
    "account_import_chunks": ("a file of accounts, until its import ends", "partner_id import_id number data"),
    "account_import_errors": ("why a row was not taken, without the row", "partner_id import_id row number column code"
                              " en de"),
    "price_models": ("the catalogue", "id key name description search base_grants article_prices archived_at created_at"
                     " updated_at version"),
    "features": ("the catalogue", "id key kind name description unit search default_units overage archived_at"
                 " created_at updated_at version"),
    "articles": ("the catalogue", "id number name description amount currency search billing_period grants"
                 " active_from_at active_until_at archived_at created_at updated_at version"),
    "account_articles": ("what an account bought", "partner_id id account_id article name quantity amount currency"
                         " billing_period grants price_model order_number invoice_number starts_at ends_at cancelled_at"
                         " cancellation_reason renews_id replaces_id created_at updated_at version"),
    "licences": ("what an account may use", "partner_id id account_id feature units max_units_per_claim starts_at"
                 " ends_at grace_days source account_article_id article price_model order_number reason suspended_at"
                 " suspended_by suspension_reason revoked_at revocation_reason created_at updated_at version"),
    "usages": ("sums of claims", "partner_id account_id feature used"),
    "notices": ("what an account was told of", "partner_id id account_id feature kind licence_id ends_at armed"
                " mailed_at created_at"),
    "notice_rounds": ("how far the worker is", "partner_id position looked_at next_at walk_at walked_to"),
    "webhook_secrets": ("secrets of a partner's", "partner_id id webhook_id sealed expires_at created_at"),
    "webhook_deliveries": ("that an event was sent, and what a receiver answered", "partner_id webhook_id id position"
                           " type account_id lane begun_at state tries attempts next_attempt_at finished_at"
                           " created_at"),
    "webhook_lanes": ("what is sent next", "partner_id webhook_id lane due_at leased_by"),
    "event_keepings": ("up to where contents of events are erased", "partner_id erased_to"),
    "used_assertions": ("hashes of signatures, for minutes", "assertion_hash expires_at"),
    "throttles": ("counters under keyed hashes, for a day", "key failures blocked_until"),
    "rate_buckets": ("what sessions, clients and networks have left of their rates, for an hour",
                     "key level at granted"),
    "worker_beats": ("processes", "id seen_at"),
    "data_export_parts": ("what an export has gathered", "export_id number data"),
}  # fmt: skip
"""Tables that hold nothing about users but what somebody writes into a free text, and why; with all their columns."""
