"""Believable accounts, the same ones every time: German and English companies with ten columns of their partner."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

VERSION: Final = 1
"""Counts the changes of what is generated: databases of another number are made anew."""

START: Final = datetime(2023, 1, 9, 8, tzinfo=UTC)
TODAY: Final = datetime(2026, 11, 2, 8, tzinfo=UTC)
MISSING: Final = 0.15
RARE: Final = "Zwetschgenmanufaktur"
"""In the names of five accounts, however many there are."""
SELDOM_NAME, SELDOM_CITY = "Seidel", "Buxtehude"
"""Each in one account of 500."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FAMILIES: Final = _words(
    "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer Koch Bauer Richter Klein Wolf "
    "Schröder Neumann Schwarz Zimmermann Braun Krüger Hofmann Hartmann Lange Krause Lehmann Köhler König Huber Kaiser "
    "Fuchs Jäger Vogel Böhm Günther Ahrens Petersen Jansen Brandt Smith Jones Taylor Brown Davies Evans Wilson Roberts "
    "Walker Wright Hughes Green Wood Harris Clarke Jackson Turner Cooper Ward Baker Hill Carter Bennett Cole"
)  # fmt: skip
STEMS: Final = _words(
    "Nord Süd Ost West Elbe Rhein Weser Isar Neckar Alpen Hansa Küsten Stein Berg Tal Grün Silber Eisen Harbour Mill "
    "Oak River Bright North South Albion Thames Severn Crown Anglia Castle Orchard"
)  # fmt: skip
TRADES_DE: Final = _words(
    "Kältetechnik Logistik Maschinenbau Elektrotechnik Gebäudetechnik Metallbau Bäckerei Brauerei Molkerei Gärtnerei "
    "Pharma Energie Wassertechnik Anlagenbau Lebensmittel Transporte Bau Druck Glas Tierbedarf"
)  # fmt: skip
TRADES_EN: Final = _words(
    "Foods Dairy Farms Logistics Refrigeration Engineering Plumbing Utilities Facilities Breweries Pharma Textiles "
    "Haulage Glass Timber Energy Catering Packaging"
)  # fmt: skip
FORMS_DE: Final = ("GmbH", "GmbH", "GmbH", "GmbH & Co. KG", "AG", "KG", "OHG", "eG", "e. K.")
FORMS_EN: Final = ("Ltd", "Ltd", "Ltd", "plc", "LLP", "& Sons Ltd")
CITIES_DE: Final = _words(
    "Berlin Hamburg München Köln Frankfurt Stuttgart Düsseldorf Leipzig Dortmund Essen Bremen Dresden Hannover "
    "Nürnberg Duisburg Bochum Wuppertal Bielefeld Bonn Münster Mannheim Karlsruhe Augsburg Wien Zürich Graz Kiel "
    "Lübeck Rostock Oldenburg"
)  # fmt: skip
CITIES_EN: Final = _words("London Manchester Birmingham Leeds Glasgow Bristol Sheffield Liverpool Cardiff York")
FEES: Final = {"small": (9, 19, 29), "medium": (49, 79, 99), "large": (199, 299, 499), "enterprise": (999, 1_499)}
SCALE: Final = {"small": 4.0, "medium": 5.8, "large": 7.6, "enterprise": 9.4}
SEGMENTS, SEGMENT_WEIGHTS = tuple(SCALE), (62, 26, 10, 2)
TAGS: Final = {"vip": 0.04, "cold_chain": 0.2, "pilot": 0.03, "at_risk": 0.07, "reseller": 0.1, "public_sector": 0.06}


def _options(*keys: str) -> list[dict[str, Any]]:
    return [{"key": k, "label": {"en": k.replace("_", " ").title(), "de": k.title()}} for k in keys]


def _label(en: str, de: str) -> dict[str, str]:
    return {"en": en, "de": de}


DEFINITIONS: Final[tuple[dict[str, Any], ...]] = (
    {"key": "customer_no", "type": "text", "label": _label("Customer no.", "Kundennummer"), "max_length": 20},
    {"key": "city", "type": "text", "label": _label("City", "Ort")},
    {"key": "segment", "type": "select", "label": _label("Segment", "Segment"), "options": _options(*SEGMENTS)},
    {"key": "revenue", "type": "number", "label": _label("Revenue", "Umsatz"), "min": 0, "decimals": 1, "unit": "kEUR"},
    {"key": "monthly_fee", "type": "money", "label": _label("Monthly fee", "Monatspreis"), "currency": "EUR"},
    {"key": "contract_end", "type": "date", "label": _label("Contract end", "Vertragsende")},
    {"key": "last_contact", "type": "datetime", "label": _label("Last contact", "Letzter Kontakt")},
    {"key": "paperless", "type": "boolean", "label": _label("Paperless", "Papierlos")},
    {"key": "tags", "type": "multi_select", "label": _label("Tags", "Schlagworte"), "options": _options(*TAGS)},
    {"key": "billing_email", "type": "email", "label": _label("Billing e-mail", "Rechnungsadresse")},
)
"""The columns, as `POST …/properties` takes them."""


@dataclass(frozen=True)
class Made:
    """An account, before the application has had a look at it."""

    id: UUID
    name: str
    status: str
    created_at: datetime
    updated_at: datetime
    properties: dict[str, Any]


def accounts(count: int, *, seed: str) -> Iterator[Made]:
    """So many accounts of one partner, in the order in which they were opened."""
    chance, taken = random.Random(f"{seed}/{VERSION}"), Counter[str]()
    step = (TODAY - START) / count
    for number in range(count):
        segment = chance.choices(SEGMENTS, SEGMENT_WEIGHTS)[0]
        german = chance.random() < 0.7
        name = _name(chance, number, count, german=german)
        taken[name.casefold()] += 1
        if (times := taken[name.casefold()]) > 1:  # the second of a name is told apart, as people do
            name = f"{name} ({times})"
        created = START + step * number + timedelta(milliseconds=chance.randrange(1000))
        yield Made(
            uuid7(created, chance), name, chance.choices(("active", "suspended", "archived"), (92, 5, 3))[0],
            created, min(TODAY, created + timedelta(days=chance.expovariate(1 / 200))),
            _values(chance, number, name, segment, german=german),
        )  # fmt: skip


def uuid7(at: datetime, chance: random.Random) -> UUID:
    """RFC 9562, from a moment and a seeded generator."""
    head = int(at.timestamp() * 1000) << 80 | 0x7 << 76 | chance.getrandbits(12) << 64
    return UUID(int=head | 0b10 << 62 | chance.getrandbits(62))


def _name(chance: random.Random, number: int, count: int, *, german: bool) -> str:
    trade = chance.choice(TRADES_DE if german else TRADES_EN)
    form = chance.choice(FORMS_DE if german else FORMS_EN)
    if chance.random() < 0.6:
        start = chance.choice(FAMILIES)
    else:
        start = chance.choice(STEMS) + chance.choice(("werk", " Tec", "haus"))
    if number % 500 == 137:
        start = SELDOM_NAME
    if count >= 5 and number % (count // 5) == count // 10:
        trade = RARE
    place = f" {chance.choice(CITIES_DE if german else CITIES_EN)}" if chance.random() < 0.3 else ""
    return f"{start} {trade}{place} {form}"


ZIPF: Final = {cities: tuple(accumulate(1 / rank for rank in range(1, len(cities) + 1)))
               for cities in (CITIES_DE, CITIES_EN)}  # fmt: skip


def _values(chance: random.Random, number: int, name: str, segment: str, *, german: bool) -> dict[str, Any]:
    """In the form in which the application keeps them; each but the number is missing now and then."""
    cities = CITIES_DE if german else CITIES_EN
    revenue = round(chance.lognormvariate(SCALE[segment], 0.7), 1)
    found: dict[str, Any] = {
        "customer_no": f"K-{number + 1:07}",
        "city": chance.choices(cities, cum_weights=ZIPF[cities])[0],
        "segment": segment,
        "revenue": int(revenue) if revenue.is_integer() else revenue,
        "monthly_fee": {"amount": f"{chance.choice(FEES[segment]):.2f}", "currency": "EUR"},
        "contract_end": _contract_end(chance).isoformat(),
        "last_contact": _last_contact(chance).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "paperless": chance.random() < 0.7,
        "tags": [t for t, share in TAGS.items() if chance.random() < share * (4 if segment == "enterprise" else 1)],
        "billing_email": f"{chance.choice(('info', 'rechnung', 'billing', 'office'))}@{_host(name)}.example.com",
    }
    kept = {k: v for k, v in found.items() if k == "customer_no" or (chance.random() >= MISSING and v != [])}
    return kept | {"city": SELDOM_CITY} if number % 500 == 311 else kept


def _contract_end(chance: random.Random) -> date:
    """Mostly the last day of a month, more often than not of a quarter."""
    year, month = chance.choices((2025, 2026, 2027, 2028), (1, 4, 5, 2))[0], chance.choice((3, 6, 6, 9, 12, 12, 12, 0))
    month = month or chance.randint(1, 12)
    last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return last if chance.random() < 0.85 else last - timedelta(days=chance.randint(1, 27))


def _last_contact(chance: random.Random) -> datetime:
    """The more recent, the more often; in office hours."""
    day = TODAY - timedelta(days=int(chance.expovariate(1 / 120)))
    return day.replace(hour=chance.randint(7, 17), minute=chance.randrange(60), second=chance.randrange(60))


PLAIN: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def _host(name: str) -> str:
    return "".join(c for c in name.split(" ")[0].lower().translate(PLAIN) if c.isascii() and c.isalnum())
