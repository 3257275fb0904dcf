"""The catalogue of the demo: features, articles and price models that sensor clouds have."""

import random
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.models import PLATFORM, BillingPeriod, FeatureKind, Overage
from app.policy import Access, Caller, Role
from app.problems import KeyTaken, NumberTaken
from app.services import articles, catalogue, features, price_models

Entry = Mapping[str, Any]


def _texts(en: str, de: str) -> dict[str, str]:
    return {"en": en, "de": de}


def _quota(name: tuple[str, str], description: tuple[str, str], unit: tuple[str, str], default: int,
           overage: Overage = Overage.FORBIDDEN) -> Entry:  # fmt: skip
    return {"kind": FeatureKind.QUOTA, "name": _texts(*name), "description": _texts(*description),
            "unit": _texts(*unit), "default_units": default, "overage": overage}  # fmt: skip


def _switch(name: tuple[str, str], description: tuple[str, str]) -> Entry:
    return {"kind": FeatureKind.SWITCH, "name": _texts(*name), "description": _texts(*description), "unit": {}}


FEATURES: Final[Mapping[str, Entry]] = {
    "assets": _quota(("Assets", "Anlagen"), ("What is watched: a cold room, a tank, a machine.",
                                             "Was überwacht wird: ein Kühlraum, ein Tank, eine Maschine."),
                     ("asset", "Anlage"), 3),
    "data_loggers": _quota(("Data loggers", "Datenlogger"), ("Sensors and gateways that send values.",
                                                             "Sensoren und Gateways, die Werte senden."),
                           ("data logger", "Datenlogger"), 0),
    "users": _quota(("Users", "Benutzer"), ("People who sign in to the account.", "Wer sich im Konto anmeldet."),
                    ("user", "Benutzer"), 2, Overage.UP_TO_125),
    "alarms": _quota(("Alarms", "Alarme"), ("Rules that watch a value and tell somebody.",
                                            "Regeln, die einen Wert überwachen und jemandem Bescheid geben."),
                     ("alarm", "Alarm"), 5),
    "text_messages": _quota(("Text messages", "SMS"), ("Alarms that go out as text messages.",
                                                       "Alarme, die als SMS gehen."),
                            ("text message", "SMS"), 0, Overage.ALLOWED),
    "api_access": _switch(("API access", "API-Zugang"), ("Other programs read and write values.",
                                                         "Andere Programme lesen und schreiben Werte.")),
    "reports": _switch(("Reports", "Berichte"), ("HACCP and energy reports as PDF, every month.",
                                                 "HACCP- und Energieberichte als PDF, jeden Monat.")),
}  # fmt: skip


def _grant(feature: str, units: int = 1, duration: str | None = None, *, grace_days: int = 14) -> Entry:
    return {"feature": feature, "units": units, "duration": duration, "grace_days": grace_days}


def _article(name: tuple[str, str], amount: str, period: BillingPeriod, *grants: Entry, en: str = "",
             de: str = "") -> Entry:  # fmt: skip
    return {"name": _texts(*name), "description": _texts(en, de), "price": {"amount": amount, "currency": "EUR"},
            "billing_period": period, "grants": grants}  # fmt: skip


ONCE, MONTHLY, QUARTERLY, YEARLY = BillingPeriod
LOGGER: Final = _grant("data_loggers", grace_days=0)
ARTICLES: Final[Mapping[str, Entry]] = {
    "SEN-T-100": _article(("Temperature sensor", "Temperaturfühler"), "89.00", ONCE, LOGGER,
                          en="−40 to +85 °C, battery for five years.", de="−40 bis +85 °C, Batterie für fünf Jahre."),
    "SEN-TH-110": _article(("Temperature and humidity sensor", "Temperatur- und Feuchtefühler"), "119.00", ONCE,
                           LOGGER),
    "SEN-D-200": _article(("Door contact", "Türkontakt"), "39.00", ONCE, LOGGER),
    "SEN-L-300": _article(("Level sensor for tanks", "Füllstandsensor für Tanks"), "289.00", ONCE, LOGGER),
    "GW-LAN-1": _article(("Gateway, LAN", "Gateway LAN"), "179.00", ONCE, LOGGER),
    "GW-LTE-1": _article(("Gateway, LTE, with SIM card", "Gateway LTE mit SIM-Karte"), "249.00", ONCE, LOGGER),
    "GW-2G-1": _article(("Gateway, 2G", "Gateway 2G"), "149.00", ONCE, LOGGER),
    "LIC-A-10": _article(("Licence pack, 10 assets", "Lizenzpaket 10 Anlagen"), "29.00", MONTHLY, _grant("assets", 10)),
    "LIC-A-50": _article(("Licence pack, 50 assets", "Lizenzpaket 50 Anlagen"), "119.00", MONTHLY, _grant("assets", 50),
                         _grant("alarms", 50)),
    "LIC-A-250": _article(("Licence pack, 250 assets", "Lizenzpaket 250 Anlagen"), "4900.00", YEARLY,
                          _grant("assets", 250, "P1Y", grace_days=30), _grant("alarms", 500, "P1Y", grace_days=30),
                          en="Paid for a year in advance.", de="Für ein Jahr im Voraus."),
    "LIC-U-5": _article(("5 more users", "5 weitere Benutzer"), "15.00", MONTHLY, _grant("users", 5)),
    "LIC-SMS-500": _article(("500 text messages", "500 SMS"), "45.00", ONCE,
                            _grant("text_messages", 500, "P12M", grace_days=0),
                            en="To be used within twelve months.", de="Innerhalb von zwölf Monaten zu verbrauchen."),
    "OPT-API": _article(("API access", "API-Zugang"), "360.00", YEARLY, _grant("api_access", 1, "P1Y", grace_days=30)),
    "OPT-REP": _article(("Monthly reports", "Monatsberichte"), "19.00", MONTHLY, _grant("reports")),
    "SRV-S": _article(("Service contract, standard", "Servicevertrag Standard"), "49.00", MONTHLY, _grant("users", 2),
                      en="Help on working days, answers within a day.",
                      de="Hilfe an Werktagen, Antwort binnen eines Tages."),
    "SRV-P": _article(("Service contract, premium", "Servicevertrag Premium"), "390.00", QUARTERLY, _grant("users", 10),
                      _grant("reports"), en="Help around the clock, spare devices the next day.",
                      de="Hilfe rund um die Uhr, Ersatzgeräte am nächsten Tag."),
    "SRV-CAL-1": _article(("Calibration of a sensor, with certificate", "Kalibrierung eines Fühlers mit Zertifikat"),
                          "59.00", ONCE),
    "SRV-INST-1": _article(("Installation, per day", "Montage je Tag"), "720.00", ONCE),
    "TRIAL-30": _article(("Trial for 30 days", "30 Tage zur Probe"), "0.00", ONCE,
                         *(_grant(feature, units, "P30D", grace_days=0) for feature, units in
                           (("assets", 25), ("alarms", 25), ("users", 5), ("api_access", 1), ("reports", 1)))),
}  # fmt: skip


def _model(name: tuple[str, str], description: tuple[str, str], grants: Mapping[str, int],
           prices: Mapping[str, str] | None = None) -> Entry:  # fmt: skip
    return {"name": _texts(*name), "description": _texts(*description),
            "base_grants": [{"feature": feature, "units": units} for feature, units in grants.items()],
            "article_prices": [{"article": number, "price": {"amount": amount, "currency": "EUR"}}
                               for number, amount in (prices or {}).items()]}  # fmt: skip


PRICE_MODELS: Final[Mapping[str, Entry]] = {
    "starter": _model(("Starter", "Einstieg"), ("Up to 10 sensors, values kept for a year.",
                                                "Bis 10 Sensoren, Werte ein Jahr lang."),
                      {"assets": 10, "data_loggers": 10, "users": 3, "alarms": 10}),
    "professional": _model(("Professional", "Professional"),
                           ("Up to 200 sensors, alarms by text message, values kept for five years.",
                            "Bis 200 Sensoren, Alarme per SMS, Werte fünf Jahre lang."),
                           {"assets": 100, "data_loggers": 200, "users": 15, "alarms": 200, "text_messages": 100,
                            "reports": 1},
                           {"LIC-A-10": "24.00", "LIC-A-50": "99.00", "LIC-U-5": "12.00", "SRV-S": "39.00"}),
    "enterprise": _model(("Enterprise", "Konzern"), ("Any number of sensors, API access, support around the clock.",
                                                     "Beliebig viele Sensoren, API-Zugang, Betreuung rund um die Uhr."),
                         {"assets": 10_000, "data_loggers": 20_000, "users": 500, "alarms": 20_000,
                          "text_messages": 5_000, "api_access": 1, "reports": 1},
                         {"SEN-T-100": "69.00", "SEN-TH-110": "95.00", "GW-LTE-1": "199.00", "SRV-P": "290.00",
                          "SRV-INST-1": "640.00", "LIC-SMS-500": "35.00"}),
    "pilot_2025": _model(("Pilot 2025", "Pilotphase 2025"), ("The terms of the first customers. No longer sold.",
                                                             "Die Bedingungen der ersten Kunden. Nicht mehr verkauft."),
                         {"assets": 50, "data_loggers": 100, "users": 10, "alarms": 100, "api_access": 1},
                         {"SRV-S": "0.00"}),
}  # fmt: skip
NO_LONGER_SOLD: Final = ("pilot_2025", "GW-2G-1")
WEIGHTS: Final = (45, 25, 6, 9, 15)


async def fill(db: AsyncSession, caller: Caller) -> None:
    """Add what is not there yet. The session must be confined to `PLATFORM`."""
    access = _operator(caller)
    for key, entry in FEATURES.items():
        try:
            await features.create(db, access, key=key, **entry)
        except KeyTaken:
            await catalogue.archive(db, access, await features.get(db, key), archived=False)
    for number, entry in ARTICLES.items():
        try:
            await articles.create(db, access, number=number, **entry)
        except NumberTaken:
            await catalogue.archive(db, access, await articles.get(db, number), archived=False)
    for key, entry in PRICE_MODELS.items():
        try:
            await price_models.create(db, access, key=key, **entry)
        except KeyTaken:
            await catalogue.archive(db, access, await price_models.get(db, key), archived=False)


async def close(db: AsyncSession, caller: Caller) -> None:
    """Archive what is no longer sold: accounts that have it keep it."""
    model, article = NO_LONGER_SOLD
    await catalogue.archive(db, _operator(caller), await price_models.get(db, model), archived=True)
    await catalogue.archive(db, _operator(caller), await articles.get(db, article), archived=True)


def price_model_of(chance: random.Random) -> str | None:
    """Of one account; some have none yet."""
    return chance.choices((*PRICE_MODELS, None), WEIGHTS)[0]


def bought_by(chance: random.Random, model: str | None) -> list[tuple[str, int]]:
    """What an account in this price model has bought: numbers of articles and how many of each, the hardware first."""
    if model is None:
        return [("TRIAL-30", 1)] if chance.random() < 0.6 else []
    size = {"starter": 1, "professional": 6, "enterprise": 40}.get(model, 3)
    found = {chance.choice(("GW-LAN-1", "GW-LTE-1")): chance.randint(1, 1 + size // 6)}
    if model == "pilot_2025":
        found = {"GW-2G-1": 1} | found
    devices = {"SEN-T-100": 1.0, "SEN-TH-110": 0.6, "SEN-D-200": 0.4, "SEN-L-300": 0.15}
    for number, share in {**devices, "SRV-INST-1": 0.2, "SRV-CAL-1": 0.3}.items():
        if chance.random() < share:
            found[number] = chance.randint(size, 4 * size)
    extras = {"LIC-A-10": 0.3, "LIC-U-5": 0.25, "OPT-REP": 0.15, "OPT-API": 0.15, "LIC-SMS-500": 0.2}
    found |= {number: 1 for number, share in extras.items() if chance.random() < share}
    if model == "professional" and chance.random() < 0.4:
        found[chance.choice(("LIC-A-50", "LIC-A-50", "LIC-A-250"))] = 1
    found["SRV-P" if model == "enterprise" else "SRV-S"] = 1
    return list(found.items())


def _operator(caller: Caller) -> Access:
    return Access(caller, PLATFORM, frozenset({Role.OPERATOR}))
