"""Everything of one account, as one value of one statement: the database writes what is shown of members, invitations,
purchases and licences; of the account and its entitlements it tells what the usual functions show.

A test holds all of it to what the single addresses show. Each part names the partner itself: see `app.express`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final

import orjson
from sqlalchemy import DateTime, Select, Text, and_, func, or_, select
from sqlalchemy import cast as cast_
from sqlalchemy.dialects.postgresql import array

from app import words
from app.express import param
from app.models import (
    Account,
    AccountArticle,
    AccountMember,
    Feature,
    Invitation,
    InvitationStatus,
    Licence,
    PriceModel,
    Usage,
    User,
)
from app.policy import Access
from app.services import account_articles, accounts, entitlements, licences, prices, supplies, terms
from app.services.account_articles import PurchaseState
from app.services.columns import Columns
from app.services.supplies import ACCOUNT, PARTNER
from app.services.written import array_of, concatenated, fields, instant, maybe, moment, said, string, texts, word

MOST_PEOPLE: Final = 1000
"""Members, and invitations."""
MOST: Final = 100
"""Of anything else."""
AT: Final = param("at", DateTime(timezone=True))


def read(document: Sequence[str], known: Columns, access: Access, at: datetime) -> str:
    """What `WANTED` found at that moment, as JSON as this caller sees it."""
    account, pools, rest = document
    row: Any = SimpleNamespace(**orjson.loads(account))  # its values as whoever reads the row has them
    own = orjson.dumps(accounts.shown(known, access, row)).decode()
    found = [_entitlement(pool, at) for pool in orjson.loads(pools)]
    shown, more = orjson.dumps(found[:MOST]).decode(), "true" if len(found) > MOST else "false"
    return f'{{"account":{own},{rest},"entitlements":{shown},"entitlements_more":{more}}}'


def _entitlement(document: Sequence[Any], at: datetime) -> dict[str, Any]:
    """As `entitlements.shown` has it, ready to be JSON."""
    *pool, name, unit = document
    key, kind, _, overage, *_ = pool
    feature: Any = SimpleNamespace(key=key, kind=kind, name=name, unit=unit, overage=overage)
    supply, used = supplies.known(pool, at)
    found = entitlements.shown(feature, supply, used or 0)
    change = found["next_change"]
    found["next_change"] = change and {"at": words.stamp(change.at), "limit": change.limit}
    found["expires_at"] = found["expires_at"] and words.stamp(found["expires_at"])
    return found


# --- the statement ---


def _account() -> Any:
    """The row as JSON; its moments as they are shown."""
    own = ("id", "partner_id", "name", "status", "price_model", "time_zone", "member_count", "properties")
    values = {name: getattr(Account, name) for name in own}
    values |= {name: moment(getattr(Account, name)) for name in ("created_at", "updated_at")}
    named = (part for name, value in values.items() for part in (said(name), value))
    found = select(cast_(func.json_build_object(*named), Text))
    return found.where(Account.partner_id == PARTNER, Account.id == ACCOUNT).correlate(None).scalar_subquery()


def _price_model() -> Any:
    written = fields({"key": word(PriceModel.key), "name": texts(PriceModel.name),
                      "description": texts(PriceModel.description)})  # fmt: skip
    found = select(concatenated(written)).join(Account, Account.price_model == PriceModel.key)
    found = found.where(Account.partner_id == PARTNER, Account.id == ACCOUNT).correlate(None)
    return func.coalesce(found.scalar_subquery(), said("null"))


def _members() -> Select[Any]:
    member = AccountMember
    written = fields({
        "user_id": word(member.user_id), "name": string(User.name), "email": string(User.email),
        "role": word(member.role), **_moments(member),
    })  # fmt: skip
    found = select(concatenated(written)).select_from(member).join(User, User.id == member.user_id)
    return found.where(member.partner_id == PARTNER, member.account_id == ACCOUNT).order_by(User.name, member.id)


def _invitations() -> Select[Any]:
    i = Invitation
    written = fields({
        "id": word(i.id), "email": string(i.email), "role": word(i.role), "account_id": word(i.account_id),
        "status": word(i.status), "mail_status": word(i.mail_status), **_maybe(word, i, "invited_by"),
        "expires_at": instant(i.expires_at), **_moments(i),
    })  # fmt: skip
    found = select(concatenated(written)).where(i.partner_id == PARTNER, i.account_id == ACCOUNT)
    return found.where(i.status == said(InvitationStatus.PENDING), i.expires_at > AT).order_by(i.id.desc())


def _purchases() -> Select[Any]:
    p, state = AccountArticle, account_articles.state_at(AT)
    written = fields({
        "id": word(p.id), "partner_id": word(p.partner_id), "account_id": word(p.account_id),
        "article": string(p.article), "name": texts(p.name), "state": word(state), "quantity": p.quantity,
        "price": fields({"amount": word(prices.written(p.amount, p.currency)), "currency": word(p.currency)}),
        "billing_period": word(p.billing_period), "grants": p.grants, **_maybe(word, p, "price_model"),
        **_maybe(string, p, "order_number", "invoice_number"), "starts_at": instant(p.starts_at),
        **_maybe(instant, p, "ends_at", "cancelled_at"), **_maybe(string, p, "cancellation_reason"),
        **_maybe(word, p, "renews_id", "replaces_id"), **_moments(p),
    })  # fmt: skip
    found = select(concatenated(written)).where(p.partner_id == PARTNER, p.account_id == ACCOUNT)
    return found.where(state != said(PurchaseState.ENDED)).order_by(p.starts_at.desc(), p.id.desc())


_HELD: Final = (
    select(*(c for c in Licence.__mapper__.columns if c.key != "version"), licences.state_at(AT).label("state"),
           terms.over_of(Licence).label("over_at"))
    .where(Licence.partner_id == PARTNER, Licence.account_id == ACCOUNT, terms.lasting(AT))
    .cte("held")
)  # fmt: skip
"""The licences that are not over: read once, for what is shown of them and for what they add up to."""


def _licences() -> Select[Any]:
    held = _HELD.c
    suspension = fields({"by": word(held.suspended_by), **_maybe(string, held, "suspension_reason", as_="reason"),
                         **_maybe(instant, held, "suspended_at", as_="at")})  # fmt: skip
    revocation = fields({**_maybe(string, held, "revocation_reason", as_="reason"), "at": instant(held.revoked_at)})
    written = fields({
        "id": word(held.id), "partner_id": word(held.partner_id), "account_id": word(held.account_id),
        "feature": word(held.feature), "state": word(held.state), "units": held.units,
        **_maybe(lambda value: [value], held, "max_units_per_claim"), "starts_at": instant(held.starts_at),
        **_maybe(instant, held, "ends_at"), "grace_days": held.grace_days, **_maybe(instant, held, "over_at"),
        "source": word(held.source), **_maybe(word, held, "account_article_id"), **_maybe(string, held, "article"),
        **_maybe(word, held, "price_model"), **_maybe(string, held, "order_number", "reason"),
        "suspension": maybe(held.suspended_by, suspension), "revocation": maybe(held.revoked_at, revocation),
        **_moments(held),
    })  # fmt: skip
    return select(concatenated(written)).order_by(held.starts_at.desc(), held.id.desc())


def _pools() -> Any:
    """What `_entitlement` needs of each feature that the account is or will be licensed for, uses or has by default."""
    granted = select(_HELD.c.feature, supplies.granting(_HELD.c).label("licences")).group_by(_HELD.c.feature).subquery()
    used = and_(Usage.partner_id == PARTNER, Usage.account_id == ACCOUNT, Usage.feature == Feature.key)
    pool = func.json_build_array(*supplies.pool(granted.c.licences, Usage.used), Feature.name, Feature.unit)
    found = (
        select(pool.label("pool"))
        .select_from(Feature)
        .outerjoin(granted, granted.c.feature == Feature.key)
        .outerjoin(Usage, used)
        .where(or_(granted.c.feature.is_not(None), Usage.used > 0, entitlements.BY_DEFAULT))
        .order_by(Feature.key)
        .limit(MOST + 1)
        .subquery()
    )
    return func.coalesce(select(cast_(func.json_agg(found.c.pool), Text)).scalar_subquery(), said("[]"))


def _wanted() -> Any:
    rest = concatenated([
        '"price_model":', _price_model(),
        ",", array_of("members", _members(), MOST_PEOPLE),
        ",", array_of("pending_invitations", _invitations(), MOST_PEOPLE),
        ",", array_of("articles", _purchases(), MOST),
        ",", array_of("licences", _licences(), MOST),
    ])  # fmt: skip
    return select(array([_account(), _pools(), rest])).scalar_subquery()


def _maybe(write: Callable[[Any], Any], row: Any, *names: str, as_: str | None = None) -> dict[str, Any]:
    """Fields that may be null."""
    return {as_ or name: maybe(getattr(row, name), write(getattr(row, name))) for name in names}


def _moments(row: Any) -> dict[str, Any]:
    return {name: instant(getattr(row, name)) for name in ("created_at", "updated_at")}


WANTED: Final = _wanted()
"""An account, the pools of its features, and the rest as JSON; for `read`."""
