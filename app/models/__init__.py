"""Every table, imported here once so that Alembic and the mappers see all of them."""

from app.models.account import Account, AccountMember, AccountStatus
from app.models.account_article import AccountArticle
from app.models.account_import import AccountImport, ImportChunk, ImportFault, ImportStatus
from app.models.api_client import ApiClient, ApiCredential, CredentialKind, UsedAssertion
from app.models.article import Article, BillingPeriod
from app.models.base import PLATFORM, Base, Identified, Tenanted, Versioned, first_id, new_id, utc_now
from app.models.claim import Claim, Usage
from app.models.data_export import DataExport, DataExportPart, DataExportStatus
from app.models.delivery import Delivery
from app.models.erasure import Erasure
from app.models.event import Event, EventKeeping
from app.models.feature import Feature, FeatureKind, Overage
from app.models.idempotency import StoredAnswer
from app.models.invitation import Invitation, InvitationStatus, MailStatus
from app.models.licence import Licence, LicenceSource, SuspendedBy
from app.models.notice import Notice, NoticeKind, NoticeRound
from app.models.partner import Partner, PartnerMember, PartnerStatus
from app.models.price_model import PriceModel
from app.models.property import NUMBER_SLOTS, TEXT_SLOTS, Property, PropertyType, UniqueValue
from app.models.rate import RateBucket
from app.models.user import (
    PasswordReset,
    RecoveryCode,
    RefreshToken,
    Session,
    Throttle,
    User,
    UserStatus,
    WorkerBeat,
)
from app.models.view import View
from app.models.webhook import (
    DeliveryState,
    DisabledReason,
    Webhook,
    WebhookDelivery,
    WebhookLane,
    WebhookSecret,
    WebhookStatus,
)

__all__ = [
    "NUMBER_SLOTS",
    "PLATFORM",
    "TEXT_SLOTS",
    "Account",
    "AccountArticle",
    "AccountImport",
    "AccountMember",
    "AccountStatus",
    "ApiClient",
    "ApiCredential",
    "Article",
    "Base",
    "BillingPeriod",
    "Claim",
    "CredentialKind",
    "DataExport",
    "DataExportPart",
    "DataExportStatus",
    "Delivery",
    "DeliveryState",
    "DisabledReason",
    "Erasure",
    "Event",
    "EventKeeping",
    "Feature",
    "FeatureKind",
    "Identified",
    "ImportChunk",
    "ImportFault",
    "ImportStatus",
    "Invitation",
    "InvitationStatus",
    "Licence",
    "LicenceSource",
    "MailStatus",
    "Notice",
    "NoticeKind",
    "NoticeRound",
    "Overage",
    "Partner",
    "PartnerMember",
    "PartnerStatus",
    "PasswordReset",
    "PriceModel",
    "Property",
    "PropertyType",
    "RateBucket",
    "RecoveryCode",
    "RefreshToken",
    "Session",
    "StoredAnswer",
    "SuspendedBy",
    "Tenanted",
    "Throttle",
    "UniqueValue",
    "Usage",
    "UsedAssertion",
    "User",
    "UserStatus",
    "Versioned",
    "View",
    "Webhook",
    "WebhookDelivery",
    "WebhookLane",
    "WebhookSecret",
    "WebhookStatus",
    "WorkerBeat",
    "first_id",
    "new_id",
    "utc_now",
]
