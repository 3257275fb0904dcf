"""Why somebody may or may not use something: each step of the verdict with its facts, and what would turn it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ScalarResult, select
from sqlalchemy.ext.asyncio import AsyncSession

from app import words
from app.express import line_of
from app.models import Article, Licence, utc_now
from app.policy import ACCOUNT_ROLES, GRANTS, Access, Permission, Role
from app.services import articles, price_models, prices, supplies, terms
from app.services.entitlements import Looked, feature_of, look_at, shown
from app.services.verdicts import MOST, OF_UNITS, REACH, Step, Verdict, judge

MOST_PIECES: Final = 1_000
CURRENCIES: Final = 10
"""In how many of them the cheapest article is named."""
LICENCES: Final = 100
"""How many licences are shown: those in force first, then those that begin last."""


@dataclass(frozen=True)
class Offer:
    """An article that can be bought now, as far as it gives something of the feature: for one piece."""

    number: str
    name: Mapping[str, Any]
    amount: Decimal
    currency: str
    units: int
    cap: int | None
    own_price: bool = False
    """Whether it is the price of the account's price model."""


async def explain(db: AsyncSession, access: Access, key: str, user_id: UUID | None, units: int) -> dict[str, Any]:
    """Whether this user, or else the caller, may use so many units more, and why.

    Raises:
        NotFound: the catalogue has no such feature.
    """
    feature, looked, at = await feature_of(db, key), await look_at(db, access, user_id), utc_now()
    if user_id is None and access.caller.client_id is None:
        user_id = access.user_id
    supply, used = (await supplies.of(await line_of(db), access.partner_id, access.account, [key], at))[key]
    verdict = judge(looked.person, supply, used, units)
    sold = await _offers(db, access, key, at) if OF_UNITS & verdict.failed.keys() else []
    return shown(feature, supply, used) | _of_person(looked) | {
        "user_id": user_id, "units": units, "allowed": verdict.allowed, "code": verdict.code,
        "over_limit": verdict.over_limit, "fits_at": verdict.fits_at,
        "steps": [{"step": step, "passed": step not in verdict.failed, "code": verdict.failed.get(step)}
                  for step in Step],
        "licences": [_licence(licence, at) for licence in await _licences(db, access, key, at)],
        "remedies": list(remedies(verdict, sold)),
    }  # fmt: skip


def _of_person(looked: Looked) -> dict[str, Any]:
    return {
        "account_role": looked.account_role, "partner_role": looked.partner_role,
        "account_status": looked.person.account_status, "partner_status": looked.partner_status,
        "partner_management_enabled": looked.partner_management_enabled,
    }  # fmt: skip


async def _licences(db: AsyncSession, access: Access, key: str, at: datetime) -> ScalarResult[Licence]:
    found = select(Licence).where(Licence.account_id == access.account, Licence.feature == key).limit(LICENCES)
    return await db.scalars(found.order_by(terms.giving(at).desc(), Licence.starts_at.desc(), Licence.id))


def _licence(licence: Licence, at: datetime) -> dict[str, Any]:
    said = ("id", "units", "max_units_per_claim", "starts_at", "ends_at", "grace_days", "source", "article",
            "price_model", "account_article_id", "order_number", "suspended_by")  # fmt: skip
    state = {"state": terms.state(licence, at), "counts": terms.in_force(licence, at)}
    return {name: getattr(licence, name) for name in said} | state


# --- what would turn it ---

BY_CODE: Final = {"insufficient_scope": "widen_scopes", "account_archived": "restore_account"}


def remedies(verdict: Verdict, offers: Sequence[Offer]) -> Iterator[dict[str, Any]]:
    """What must change, one after the other, for each step that fails; for too few units, the ways to choose from,
    each of which would do: those that cost nothing first.
    """
    for step in (step for step in Step if step in verdict.failed.keys() - OF_UNITS):
        match verdict.failed[step], step:
            case code, _ if code in BY_CODE:
                yield _remedy(BY_CODE[code])
            case _, Step.USER:
                yield _remedy("activate_user")
            case "partner_management_off", _:
                yield _remedy("join", role=_least_role())
            case _, Step.PARTNER:
                yield _remedy("resume_partner")
            case "not_a_member", _:
                yield _remedy("join", role=_least_role())
            case _, Step.ROLE:
                yield _remedy("change_role", role=_least_role())
            case _:
                yield _remedy("resume_account")
    if OF_UNITS & verdict.failed.keys():
        yield from _more_units(verdict, offers)


def _least_role() -> Role:
    """The role of the least rights that claims."""
    may = GRANTS[Permission.CLAIM_MANAGE] & ACCOUNT_ROLES
    return min(may, key=lambda role: sum(role in roles for roles in GRANTS.values()))


def _more_units(verdict: Verdict, offers: Sequence[Offer]) -> Iterator[dict[str, Any]]:
    now, used, units = verdict.supply.now, verdict.used, verdict.units
    over = units - now.left(used)
    if over <= used and now.holds(used - over, units):
        yield _remedy("release", units=over)
    if now.licensed and (fewer := min(now.left(used), now.cap or MOST)) > 0:
        yield _remedy("claim_less", units=fewer)
    if verdict.supply.if_resumed().holds(used, units):
        yield _remedy("resume_licence")
    if (fits_at := verdict.fits_at) is not None:
        yield _remedy("wait", at=fits_at)
    bought = [(offer, pieces) for offer in offers if (pieces := _pieces(verdict, offer)) is not None]
    for currency in _currencies([offer for offer, _ in bought])[:CURRENCIES]:
        offer, pieces = min((b for b in bought if b[0].currency == currency),
                            key=lambda b: (b[0].amount * b[1], b[0].number))  # fmt: skip
        yield _remedy(
            "buy", article=offer.number, article_name=words.both(offer.name), quantity=pieces,
            price=prices.shown(offer.amount * pieces, offer.currency), units=offer.units * pieces,
        )  # fmt: skip


def _currencies(offers: Sequence[Offer]) -> list[str]:
    """Those of the offers, for prices are compared within one: first those in which the account's price model prices
    most of them, then those of most offers.
    """
    own = Counter(offer.currency for offer in offers if offer.own_price)
    of_all = Counter(offer.currency for offer in offers)
    return sorted(of_all, key=lambda currency: (-own[currency], -of_all[currency], currency))


def _pieces(verdict: Verdict, offer: Offer) -> int | None:
    """How many of an article would do; null: no number would."""
    for pieces in _worth_trying(verdict, offer):
        level = verdict.supply.with_one_more(offer.units * pieces, offer.cap)
        if level.holds(verdict.used, verdict.units):
            return pieces
    return None


def _worth_trying(verdict: Verdict, offer: Offer) -> Iterator[int]:
    """One, and how many fill up the limit that is needed."""
    yield 1
    feature, supply = verdict.supply.feature, verdict.supply
    percent = REACH[feature.overage] if feature else None
    if offer.units > 0 and percent:
        needed = -(-(verdict.used + verdict.units) * 100 // percent)
        pieces = -(-(needed - (supply.now.limit if supply.given.licences else 0)) // offer.units)
        if 1 < pieces <= MOST_PIECES:
            yield pieces


def _remedy(kind: str, **said: Any) -> dict[str, Any]:
    blank = dict.fromkeys(("role", "units", "at", "article", "article_name", "quantity", "price"))
    return {"kind": kind} | blank | said


async def _offers(db: AsyncSession, access: Access, key: str, at: datetime) -> list[Offer]:
    """What can be bought now that gives something of the feature, at this account's prices."""
    statement = select(Article).where(articles.sellable_at(at), Article.grants.contains([{"feature": key}]))
    own = await price_models.article_prices(db, access.account)
    return [_offer(article, key, own.get(article.number)) for article in await db.scalars(statement)]


def _offer(article: Article, key: str, price: Mapping[str, Any] | None) -> Offer:
    grants = [grant for grant in article.grants if grant["feature"] == key]
    caps: list[int | None] = [grant.get("max_units_per_claim") for grant in grants]
    amount, currency = (Decimal(price["amount"]), price["currency"]) if price else (article.amount, article.currency)
    return Offer(article.number, article.name, amount, currency, sum(grant["units"] for grant in grants),
                 None if None in caps else max(cap for cap in caps if cap is not None), price is not None)  # fmt: skip
