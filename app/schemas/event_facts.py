"""What events say of a thing: the fields that changed only, so any may be left out; all of a new or deleted thing."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from app.models.account import AccountStatus
from app.models.account_import import ImportStatus
from app.models.api_client import CredentialKind
from app.models.article import BillingPeriod
from app.models.invitation import InvitationStatus, MailStatus
from app.models.licence import LicenceSource, SuspendedBy
from app.models.partner import PartnerStatus
from app.models.property import PropertyType
from app.models.webhook import DisabledReason, WebhookStatus
from app.policy import Actor, Permission, Role
from app.schemas.base import Language, ShownEmail, ShownName

Moment = Annotated[
    str, Field(max_length=40, examples=["2026-11-23T09:30:00.123456+00:00"], json_schema_extra={"format": "date-time"})
]
Text = Annotated[str, Field(max_length=500, examples=["Agreed with the customer."])]
Number = Annotated[str, Field(max_length=500, examples=["PO-2026-1188"])]
Key = Annotated[str, Field(max_length=60, examples=["assets"])]
Zone = Annotated[str, Field(max_length=64, examples=["Europe/Berlin"])]
Whole = Annotated[int, Field(ge=0, le=2**53 - 1, json_schema_extra={"format": "int64"})]
Some = Annotated[dict[str, Any], Field(max_length=200)]
Things = Annotated[list[dict[str, Any]], Field(max_length=200)]
Member = Annotated[UUID, Field(description="The user who is the member.")]


class PartnerFacts(TypedDict, total=False):
    """Of a partner."""

    name: ShownName
    status: PartnerStatus
    partner_management_enabled: bool
    language: Language
    time_zone: Zone
    operation: Annotated[
        str, Field(max_length=60, description="What an operator read: an `operationId`.", examples=["listAccounts"])
    ]


class PartnerMemberFacts(TypedDict, total=False):
    """Of a member of the partner."""

    user_id: Member
    role: Role


class AccountFacts(TypedDict, total=False):
    """Of an account."""

    name: ShownName
    status: AccountStatus
    price_model: Annotated[Key | None, Field(description="Key of its price model; null: none.")]
    time_zone: Annotated[Zone | None, Field(description="Null: that of its partner.")]
    properties: Annotated[
        Some, Field(description="The property values that changed, by key; null: none, or sensitive.")
    ]


class AccountsFacts(TypedDict, total=False):
    """Of a file of accounts."""

    format: Literal["csv", "xlsx"]
    columns: Annotated[Whole, Field(description="How many columns it has.")]
    sensitive_columns: Annotated[Whole, Field(description="How many of them are sensitive.")]
    filters: Annotated[Whole, Field(description="How many conditions chose the accounts.")]
    searched: Annotated[bool, Field(description="Whether words were searched for.")]


class AuditLogFacts(TypedDict, total=False):
    """Of a file of the audit log."""

    format: Literal["csv"]
    filters: Annotated[Whole, Field(description="How many conditions chose the entries.")]


class AccountMemberFacts(TypedDict, total=False):
    """Of a member of an account."""

    account_id: UUID
    user_id: Member
    role: Role


class InvitationFacts(TypedDict, total=False):
    """Of an invitation."""

    account_id: Annotated[UUID | None, Field(description="Null: into the partner itself.")]
    email: ShownEmail
    role: Role
    invited_by: Annotated[UUID | None, Field(description="The user who invited; null: a command at the shell.")]
    generation: Annotated[Whole, Field(description="How many links were sent.")]
    expires_at: Moment
    status: InvitationStatus
    mail_status: MailStatus
    accepted_by: Annotated[UUID | None, Field(description="The user who accepted.")]


class ApiClientFacts(TypedDict, total=False):
    """Of an API client, and of the secrets and keys that it has."""

    name: ShownName
    owner_id: Annotated[UUID, Field(description="The user it acts for.")]
    scopes: Annotated[list[Permission], Field(max_length=100)]
    networks: Annotated[list[Annotated[str, Field(max_length=49, examples=["192.0.2.0/24"])]], Field(max_length=50)]
    expires_at: Moment | None
    revoked_at: Moment | None
    credential: Annotated[UUID, Field(description="The secret or key that was added or ended.")]
    kind: CredentialKind
    hint: Annotated[
        str, Field(max_length=64, description="The end of the secret, or the thumbprint of the key.", examples=["x4Kd"])
    ]
    overlap_hours: Annotated[Whole, Field(description="After how many hours its other secrets and keys end.")]


class WebhookFacts(TypedDict, total=False):
    """Of a webhook."""

    url: Annotated[
        str,
        Field(
            max_length=2010,
            description="Its query, which may hold a secret, is `(hidden)`.",
            examples=["https://erp.example.com/hooks/tenantry"],
        ),
    ]
    description: Annotated[str, Field(max_length=500, examples=["To the ERP system"])]
    types: Annotated[
        list[Key], Field(max_length=100, description="Types that are sent; empty: all.", examples=[["account.created"]])
    ]
    created_by: UUID
    status: WebhookStatus
    disabled_reason: DisabledReason | None
    overlap_hours: Annotated[Whole, Field(description="How long the secrets before go on signing.")]
    delivery_id: Annotated[UUID, Field(description="What is to be sent again.")]
    since: Annotated[Moment, Field(description="From when on all is to be sent again.")]
    events: Annotated[Whole, Field(description="How many events that are.")]


class PropertyFacts(TypedDict, total=False):
    """Of the definition of a column."""

    key: Key
    type: PropertyType
    label: Annotated[Some, Field(description="By language.")]
    help: Annotated[Some, Field(description="By language.")]
    inputs: Annotated[Some, Field(description="What the type asks for besides: bounds, options, a currency.")]
    default: Annotated[Any, Field(description="Value of a new account; null: none.")]
    required: bool
    unique: bool
    filterable: bool
    sensitive: bool
    editable_by: Annotated[list[Role], Field(max_length=20, description="The roles that may change values.")]
    position: Annotated[Whole, Field(description="From the left.")]
    archived_at: Moment | None
    deleted_at: Moment | None
    values: Annotated[Whole, Field(description="How many accounts had a value.")]


class ViewFacts(TypedDict, total=False):
    """Of a saved view. What it asks for is null in the feed."""

    owner_id: Annotated[UUID, Field(description="Who made it.")]
    name: ShownName
    shared: bool
    columns: Annotated[list[Key] | None, Field(max_length=120, description="Null: all.")]
    all: Annotated[Things | None, Field(description="Conditions of which all must hold.")]
    any: Annotated[Things | None, Field(description="Conditions of which one must hold.")]
    q: Annotated[Text | None, Field(description="Words to be found.", examples=["nordwerk"])]
    sort: Annotated[Text | None, Field(description="Columns by which it is sorted.", examples=["-created_at"])]


class AccountImportFacts(TypedDict, total=False):
    """Of an import of accounts."""

    file_name: Annotated[str, Field(max_length=500, examples=["accounts.csv"])]
    file_bytes: Whole
    options: Annotated[Some, Field(description="How the file is to be read.")]
    status: ImportStatus
    columns: Annotated[
        list[Any], Field(max_length=200, description="Which columns of the table those of the file are.")
    ]
    match: Annotated[
        Text | None, Field(description="The column by which rows are matched to accounts.", examples=["name"])
    ]
    skip_errors: bool
    rows_done: Whole
    rows_total: Whole | None
    planned: Annotated[Some | None, Field(description="Rows by what the dry run says would become of them.")]
    result: Annotated[Some | None, Field(description="Rows by what became of them.")]
    failure: Annotated[Some | None, Field(description="Why it ended before its last row.")]


class AccountArticleFacts(TypedDict, total=False):
    """Of a purchase."""

    account_id: UUID
    article: Annotated[Key, Field(description="Number of the article.")]
    name: Annotated[Some, Field(description="By language.")]
    quantity: Whole
    amount: Annotated[str, Field(max_length=24, description="Price of one, an exact decimal.", examples=["12.5000"])]
    currency: Annotated[str, Field(max_length=3, description="ISO 4217.", examples=["EUR"])]
    billing_period: BillingPeriod
    grants: Annotated[Things, Field(description="What one of it gives.")]
    price_model: Annotated[Key | None, Field(description="The price model that the price came from.")]
    order_number: Number | None
    invoice_number: Number | None
    starts_at: Moment
    ends_at: Annotated[Moment | None, Field(description="Null: it runs until it is cancelled.")]
    cancelled_at: Moment | None
    cancellation_reason: Text | None
    renews_id: Annotated[UUID | None, Field(description="The purchase that it continues.")]
    replaces_id: Annotated[UUID | None, Field(description="The purchase that was upgraded to it.")]
    renewed_by_id: Annotated[UUID, Field(description="The purchase that continues it.")]
    replaced_by_id: Annotated[UUID, Field(description="The purchase that it was upgraded to.")]


class LicenceFacts(TypedDict, total=False):
    """Of a licence; of one that ends soon, what is left then."""

    account_id: UUID
    feature: Key
    units: Whole
    max_units_per_claim: Whole | None
    starts_at: Moment
    ends_at: Annotated[Moment | None, Field(description="Null: never by itself.")]
    grace_days: Whole
    source: LicenceSource
    account_article_id: UUID | None
    article: Key | None
    price_model: Key | None
    order_number: Number | None
    reason: Text | None
    suspended_at: Moment | None
    suspended_by: SuspendedBy | None
    suspension_reason: Text | None
    revoked_at: Moment | None
    revocation_reason: Text | None
    days: Annotated[Whole, Field(description="In how many days it ends.")]
    limit_then: Annotated[Whole | None, Field(description="Units that are left of the feature then.")]


class EntitlementFacts(TypedDict, total=False):
    """Of what an account may use of a feature."""

    feature: Key
    used: Whole
    limit: Whole | None


class LicenceFileFacts(TypedDict, total=False):
    """Of a licence file."""

    until_at: Annotated[Moment, Field(description="How long it is good.")]


class ClaimFacts(TypedDict, total=False):
    """Of a claim."""

    account_id: UUID
    feature: Key
    resource: Annotated[str, Field(max_length=200, description="What the units are for.", examples=["asset:4711"])]
    units: Whole
    actor: Actor
    actor_id: Annotated[UUID | None, Field(description="Who made it: a user, or an API client.")]
    reason: Text | None
    reference: Number | None
    released_at: Moment | None
    release_reason: Text | None
    release_reference: Number | None


FACTS: dict[str, Any] = {
    "partner": PartnerFacts,
    "partner_member": PartnerMemberFacts,
    "account": AccountFacts,
    "accounts": AccountsFacts,
    "audit_log": AuditLogFacts,
    "account_member": AccountMemberFacts,
    "invitation": InvitationFacts,
    "api_client": ApiClientFacts,
    "webhook": WebhookFacts,
    "property": PropertyFacts,
    "view": ViewFacts,
    "account_import": AccountImportFacts,
    "account_article": AccountArticleFacts,
    "licence": LicenceFacts,
    "entitlement": EntitlementFacts,
    "licence_file": LicenceFileFacts,
    "claim": ClaimFacts,
}
"""By the noun of the event's type."""
