"""A realistic partner to look at: the same one every time."""

import random
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import demo_catalogue, demo_columns, security
from app.config import Settings
from app.demo_purchases import Trade
from app.models import PLATFORM, Account, AccountStatus, User, WebhookStatus, new_id
from app.operate import Refused
from app.parts import load_keys
from app.policy import Access, Caller, Permission, Role, allowing
from app.services import accounts, invitations, members, partners, users, views, webhooks
from app.tenancy import confine
from app.welcome import one_session

ACCOUNTS = 250
PARTNER = "Sensorhaus GmbH"
PEOPLE = (
    ("Petra Sommer", Role.PARTNER_ADMIN, "de"),
    ("Jonas Weber", Role.PARTNER_MANAGER, "de"),
    ("Harriet Cole", Role.PARTNER_VIEWER, "en"),
)
FIRST = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hannah", "Isaac", "Julia", "Karl", "Lena", "Max",
         "Nora", "Oliver", "Paula", "Ruth", "Simon", "Tessa", "Ulrich", "Vera", "William", "Yasmin", "Zoe")  # fmt: skip
LAST = (
    "Ahrens",
    "Baker",
    "Böhm",
    "Carter",
    "Dietz",
    "Ebert",
    "Foster",
    "Günther",
    "Hughes",
    "Jäger",
    "Krüger",
    "Lehmann",
    "Müller",
    "Nowak",
    "Otto",
    "Parker",
    "Richter",
    "Schäfer",
    "Turner",
    "Vogel",
    "Walsh",
    "Zimmermann",
)
STEMS = ("Nord", "Süd", "Ost", "West", "Elbe", "Rhein", "Alpen", "Hansa", "Harbour", "Mill", "Oak", "River", "Stein",
         "Berg", "Tal", "Küsten", "Bright", "Green", "Silber", "Eisen")  # fmt: skip
TRADES = ("werk", "bau", "kühlung", "logistik", "energie", "technik", "agrar", "foods", "dairy", "pharma", "gärtnerei",
          "wasser", "klima", "metall", "glas")  # fmt: skip
ASKS_NOTHING: dict[str, Any] = {"shared": True, "columns": None, "all": [], "any": [], "q": None, "sort": None}
VIEWS: tuple[dict[str, Any], ...] = (
    {"name": "Verträge, die bald enden", "sort": "properties.contract_end,name",
     "columns": ["name", "properties.contract_end", "properties.monthly_fee", "properties.looked_after_by"],
     "all": [{"field": "properties.contract_end", "operator": "lt", "value": "2027-04-01"}]},
    {"name": "Große Kunden", "sort": "-properties.revenue",
     "columns": ["name", "properties.city", "properties.revenue", "properties.monthly_fee"],
     "any": [{"field": "properties.segment", "operator": "eq", "value": "large"},
             {"field": "properties.revenue", "operator": "gte", "value": 1000}]},
    {"name": "VIP, lange nicht besucht", "sort": "properties.last_visit",
     "columns": ["name", "properties.last_visit", "properties.phone", "properties.tags"],
     "all": [{"field": "properties.tags", "operator": "contains", "value": "vip"},
             {"field": "properties.last_visit", "operator": "lt", "value": "2026-06-01"}]},
)  # fmt: skip
FORMS = ("GmbH", "AG", "GmbH & Co. KG", "Ltd", "KG", "eG", "plc")


async def fill(settings: Settings) -> str:
    """Make the partner, through the same services as the API; says who may log in.

    Raises:
        Refused: it is there already.
    """
    password = security.kept_secret(
        settings.data_dir / "keys" / "demo-password", secrets.token_urlsafe(15).encode()
    ).decode()
    hashed = await security.hash_password(password)
    keys, chance = load_keys(settings), random.Random(2026)  # noqa: S311 - the same demo every time
    tariffs = random.Random(7)  # noqa: S311 - one of its own, so that everything else stays as it was
    async with one_session(settings) as db:
        await confine(db, PLATFORM)
        if await db.scalar(select(User.id).where(User.email_key == _address("Petra Sommer", "sensorhaus"))):
            raise Refused("the demo partner is there already")
        people = [await _person(db, name, "sensorhaus", language, hashed) for name, _, language in PEOPLE]
        customers = [await _person(db, n, "kunde", chance.choice(("de", "en")), hashed) for n in _names(chance, 120)]
        await demo_catalogue.fill(db, Caller(people[0].id, PLATFORM))
        access = await _partner(db, people)
        await demo_columns.define(db, access)
        trade = Trade(db)
        await _webhook(db, access, keys)
        for view in VIEWS:
            await views.create(db, access, ASKS_NOTHING | view)
        for number, name in enumerate(_companies(chance)):
            properties = demo_columns.values_of(chance, number, name, people[0].id)
            model = demo_catalogue.price_model_of(tariffs)
            account = await accounts.create(db, access, name=name, price_model=model, properties=properties)
            await trade.go(replace(access, account_id=account.id), account)
            await _fill(db, access, keys, chance, account, customers, settings.invitation_days)
        await confine(db, PLATFORM)
        await demo_catalogue.close(db, access.caller)
    lines = [f"  {_address(name, 'sensorhaus')}  {password}  ({role})" for name, role, _ in PEOPLE]
    return f"{PARTNER}: {ACCOUNTS} accounts, {len(demo_columns.COLUMNS)} columns of its own. Log in as\n" + "\n".join(
        lines
    )


async def _partner(db: AsyncSession, people: Sequence[User]) -> Access:
    partner_id = new_id()
    await confine(db, partner_id)
    caller = Caller(people[0].id, PLATFORM)
    founding = Access(caller, partner_id, allowing({Role.OPERATOR}, Permission.PARTNER_CREATE))
    await partners.create(
        db, founding, name=PARTNER, partner_management_enabled=True, language="de", time_zone="Europe/Berlin"
    )
    for user, (_, role, _) in zip(people, PEOPLE, strict=True):
        await members.add(db, founding, user_id=user.id, role=role)
    return Access(caller, partner_id, frozenset({Role.PARTNER_ADMIN}))


async def _webhook(db: AsyncSession, access: Access, keys: security.Keys) -> None:
    """One to look at; disabled, for nobody is there."""
    rules = webhooks.Rules(1, ())
    row, _ = await webhooks.create(
        db, access, keys, rules, url="https://erp.sensorhaus.example.com/hooks/tenantry",
        description="Aufträge und Lizenzen ins ERP", types=["account.created", "account_article.created"],
    )  # fmt: skip
    await webhooks.change(db, access, rules, row, {"status": WebhookStatus.DISABLED})


async def _fill(db: AsyncSession, access: Access, keys: security.Keys, chance: random.Random, account: Account,
                customers: Sequence[User], days: int) -> None:  # fmt: skip
    inside = Access(access.caller, access.partner_id, frozenset({Role.PARTNER_ADMIN}), account.id)
    crew = chance.sample(customers, chance.choice((1, 1, 2, 3, 5)))
    for user, role in zip(crew, (Role.ACCOUNT_ADMIN, *[Role.ACCOUNT_EDITOR, Role.ACCOUNT_VIEWER] * 2), strict=False):
        await members.add(db, inside, user_id=user.id, role=role)
    if chance.random() < 0.08:
        email = _address(f"{chance.choice(FIRST)} {chance.choice(LAST)}", "einladung")
        await invitations.create(db, inside, keys, email=email, role=Role.ACCOUNT_VIEWER, days=days)
    if chance.random() < 0.05:
        await accounts.update(db, inside, account, {"status": AccountStatus.SUSPENDED})
    elif chance.random() < 0.04:
        await accounts.archive(db, inside, account)


async def _person(db: AsyncSession, name: str, domain: str, language: str, hashed: str) -> User:
    return await users.create(db, email=_address(name, domain), name=name, password_hash=hashed, language=language)


def _address(name: str, domain: str) -> str:
    plain = name.lower().translate(str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", " ": "."}))
    return f"{plain}@{domain}.example.com"


def _names(chance: random.Random, count: int) -> list[str]:
    return chance.sample([f"{first} {last}" for first in FIRST for last in LAST], count)


def _companies(chance: random.Random) -> list[str]:
    found = [f"{stem}{trade} {form}" for stem in STEMS for trade in TRADES for form in FORMS]
    return chance.sample(found, ACCOUNTS)
