"""The columns of the demo's partner, and believable values in them."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.policy import Access
from app.schemas.property import CREATES
from app.services import definitions, properties

CITIES = ("Hamburg", "Bremen", "Berlin", "München", "Köln", "Leipzig", "Zürich", "Wien", "Manchester", "Bristol")


def _options(**labels: tuple[str, str, str]) -> list[dict[str, Any]]:
    return [{"key": k, "label": {"en": en, "de": de}, "colour": c} for k, (en, de, c) in labels.items()]


COLUMNS: tuple[dict[str, Any], ...] = (
    {"key": "customer_no", "type": "text", "label": {"en": "Customer no.", "de": "Kundennummer"}, "unique": True,
     "pattern": "K-[0-9]{5}", "max_length": 7},
    {"key": "city", "type": "text", "label": {"en": "City", "de": "Ort"}},
    {"key": "segment", "type": "select", "label": {"en": "Segment", "de": "Segment"}, "default": "small",
     "options": _options(small=("Small", "Klein", "#6e7781"), medium=("Medium", "Mittel", "#0969da"),
                         large=("Large", "Groß", "#8250df"))},
    {"key": "tags", "type": "multi_select", "label": {"en": "Tags", "de": "Schlagworte"},
     "options": _options(vip=("VIP", "VIP", "#bf8700"), cold_chain=("Cold chain", "Kühlkette", "#1a7f37"),
                         pilot=("Pilot", "Pilotkunde", "#cf222e"))},
    {"key": "revenue", "type": "number", "label": {"en": "Revenue", "de": "Umsatz"}, "min": 0, "decimals": 1,
     "unit": "kEUR"},
    {"key": "monthly_fee", "type": "money", "label": {"en": "Monthly fee", "de": "Monatspreis"}, "currency": "EUR",
     "min": "0"},
    {"key": "contract_end", "type": "date", "label": {"en": "Contract end", "de": "Vertragsende"}},
    {"key": "last_visit", "type": "datetime", "label": {"en": "Last visit", "de": "Letzter Besuch"}},
    {"key": "paperless", "type": "boolean", "label": {"en": "Paperless", "de": "Papierlos"}},
    {"key": "website", "type": "url", "label": {"en": "Website", "de": "Webseite"}},
    {"key": "phone", "type": "phone", "label": {"en": "Phone", "de": "Telefon"}},
    {"key": "looked_after_by", "type": "user", "label": {"en": "Looked after by", "de": "Betreut von"},
     "roles": ["partner_admin", "partner_manager"]},
)  # fmt: skip


async def define(db: AsyncSession, access: Access) -> None:
    for column in COLUMNS:
        checked = CREATES[column["type"]].model_validate(column)
        await properties.create(db, access, definitions.row_values(checked.model_dump()))


def values_of(chance: random.Random, number: int, name: str, admin_id: UUID) -> dict[str, Any]:
    """Values of one account; some are missing, as everywhere."""
    segment = chance.choices(("small", "medium", "large"), (70, 22, 8))[0]
    revenue = round(chance.lognormvariate({"small": 4, "medium": 6, "large": 8}[segment], 0.6), 1)
    end = date(2026, 12, 31) + timedelta(days=chance.choice((0, 90, 181, 365, 730)))
    visit = datetime(2026, 1, 7, 9, 30, tzinfo=UTC) + timedelta(hours=chance.randrange(7000))
    found: dict[str, Any] = {
        "customer_no": f"K-{10_000 + number * 7:05}", "city": chance.choice(CITIES), "segment": segment,
        "tags": [t for t in ("vip", "cold_chain", "pilot") if chance.random() < 0.2], "revenue": revenue,
        "monthly_fee": {"amount": f"{chance.choice((9, 19, 49, 99)):.2f}", "currency": "EUR"},
        "contract_end": end.isoformat(), "last_visit": visit.isoformat(), "paperless": chance.random() < 0.6,
        "website": f"https://{_host(name)}.example.com/", "phone": f"+4940{chance.randrange(10**6, 10**7)}",
        "looked_after_by": str(admin_id),
    }  # fmt: skip
    return {k: v for k, v in found.items() if k in ("customer_no", "segment") or chance.random() < 0.85}


def _host(name: str) -> str:
    plain = name.lower().translate(str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"}))
    return "".join(c for c in plain.split()[0] if c.isascii() and c.isalnum())
