"""What a queued mail says, at the moment it is sent: to whom, in which language, with which link."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import security, words
from app.models import (
    Account,
    Delivery,
    Feature,
    FeatureKind,
    Invitation,
    InvitationStatus,
    MailStatus,
    Partner,
    PasswordReset,
    User,
    utc_now,
)
from app.services import events, invitations, passwords, recipients, users


@dataclass(frozen=True)
class Letter:
    """A mail to write: which template, to whom, in which language, with which values."""

    template: str
    recipient: str
    language: str
    values: dict[str, Any]


async def write(
    db: AsyncSession, keys: security.Keys, delivery: Delivery, *, url: str, reset_minutes: int
) -> Letter | None:
    """The letter of a delivery; None when there is nothing to send any more (revoked, replaced, no such user)."""
    match delivery.template:
        case "invitation":
            return await _invitation(db, keys, delivery, url)
        case "password_reset":
            return await _password_reset(db, keys, delivery, url, reset_minutes)
        case "licence_notice":
            return await _licence_notice(db, delivery)
        case _:
            user = await db.get(User, delivery.subject_id)
            values = delivery.values | {"at": delivery.created_at}
            return Letter(delivery.template, user.email, user.language, values) if user else None


async def _invitation(db: AsyncSession, keys: security.Keys, delivery: Delivery, url: str) -> Letter | None:
    found = await db.get(Invitation, (delivery.partner_id, delivery.subject_id))
    if found is None or found.state_at(utc_now()) != InvitationStatus.PENDING:
        return None
    if found.generation != delivery.values["generation"]:
        return None  # a newer mail is on its way
    partner = await db.get_one(Partner, found.partner_id)
    account = await db.get_one(Account, (found.partner_id, found.account_id)) if found.account_id else None
    user = await users.by_email(db, found.email)
    token = invitations.token_of(keys, found.partner_id, found.id, found.generation)
    values = {
        "partner_name": partner.name,
        "account_name": account.name if account else None,
        "inviter_name": await db.scalar(select(User.name).where(User.id == found.invited_by)),
        "role": found.role.value,
        "link": f"{url}/register#token={token}",
        "expires_at": found.expires_at,
        "existing_user": user is not None,
        "resent": found.generation > 1,
    }
    return Letter("invitation", found.email, user.language if user else partner.language, values)


async def _password_reset(
    db: AsyncSession, keys: security.Keys, delivery: Delivery, url: str, minutes: int
) -> Letter | None:
    user = await users.by_email(db, delivery.values["email"])
    if user is None:
        return None
    again = await db.get(PasswordReset, delivery.id) is not None  # the mail of this very delivery, written once more
    if not again and await passwords.was_just_mailed(db, user, minutes=minutes):
        return None
    token = await passwords.open_reset(db, keys, delivery.id, user, minutes=minutes)
    values = {"link": f"{url}/reset-password#token={token}", "valid_minutes": minutes}
    return Letter("password_reset", user.email, user.language, values)


async def _licence_notice(db: AsyncSession, delivery: Delivery) -> Letter | None:
    """What the user may still see of it, and wants to: roles and wishes may have changed since."""
    user, said = await db.get(User, delivery.subject_id), delivery.values["accounts"]
    if user is None:
        return None
    wanted = await recipients.wanting(db, delivery.partner_id, [UUID(a["id"]) for a in said], user.id)
    keys = {item["feature"] for a in said for item in (*a["ends"], *a["used"])}
    features = {f.key: f for f in await db.scalars(select(Feature).where(Feature.key.in_(keys)))}
    now = utc_now()

    def shown(item: dict[str, Any]) -> dict[str, Any]:
        feature = features[item["feature"]]
        found = item | {"name": words.both(feature.name)[user.language], "quota": feature.kind == FeatureKind.QUOTA}
        if "ends_at" not in item:
            found["full"] = item["used"] >= item["limit"]
        else:
            found["ends_at"] = ends_at = datetime.fromisoformat(item["ends_at"])
            found["days"] = max(1, ceil((ends_at - now) / timedelta(days=1)))
        return found

    accounts = [{"name": a["name"], "ends": [shown(i) for i in a["ends"]], "used": [shown(i) for i in a["used"]]}
                for a in said if UUID(a["id"]) in wanted.get(user.id, ())]  # fmt: skip
    partner = await db.get_one(Partner, delivery.partner_id)
    values = {"partner_name": partner.name, "accounts": accounts}
    return Letter("licence_notice", user.email, user.language, values) if accounts else None


async def note_outcome(db: AsyncSession, delivery: Delivery, *, sent: bool) -> None:
    """Tell the invitation what became of its latest mail."""
    if delivery.template != "invitation":
        return
    found = await db.get(Invitation, (delivery.partner_id, delivery.subject_id), with_for_update=True)
    if found is None or found.generation != delivery.values["generation"]:
        return
    status = MailStatus.SENT if sent else MailStatus.FAILED
    before, after = events.changed(found, {"mail_status": status})
    events.record_system(db, delivery.partner_id, f"invitation.mail_{status}", found, account_id=found.account_id,
                         before=before, after=after)  # fmt: skip
