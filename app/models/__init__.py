"""Every table, imported here once so that Alembic and the mappers see all of them."""

from app.models.account import Account, AccountMember, AccountStatus
from app.models.base import PLATFORM, Base, Identified, Tenanted, Versioned, new_id, utc_now
from app.models.delivery import Delivery
from app.models.event import Event
from app.models.idempotency import StoredAnswer
from app.models.invitation import Invitation, InvitationStatus, MailStatus
from app.models.partner import Partner, PartnerMember, PartnerStatus
from app.models.price_model import PriceModel
from app.models.property import NUMBER_SLOTS, TEXT_SLOTS, Property, PropertyType, UniqueValue
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

__all__ = [
    "NUMBER_SLOTS",
    "PLATFORM",
    "TEXT_SLOTS",
    "Account",
    "AccountMember",
    "AccountStatus",
    "Base",
    "Delivery",
    "Event",
    "Identified",
    "Invitation",
    "InvitationStatus",
    "MailStatus",
    "Partner",
    "PartnerMember",
    "PartnerStatus",
    "PasswordReset",
    "PriceModel",
    "Property",
    "PropertyType",
    "RecoveryCode",
    "RefreshToken",
    "Session",
    "StoredAnswer",
    "Tenanted",
    "Throttle",
    "UniqueValue",
    "User",
    "UserStatus",
    "Versioned",
    "WorkerBeat",
    "new_id",
    "utc_now",
]
