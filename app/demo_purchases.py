"""What the demo's accounts bought, and what they use of it: some of them nearly all, some all."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app import demo_catalogue
from app.express import line_of
from app.models import Account, AccountArticle, Licence
from app.policy import Access, Role
from app.services import claims, licences, purchases, supplies, terms
from app.services.tallies import Ask

HARDWARE: Final = ("SEN-", "GW-")
ONE_TIME: Final = (*HARDWARE, "SRV-INST", "SRV-CAL", "LIC-SMS", "TRIAL")
MOST_RESOURCES: Final = 8
RESOURCES: Final = {"assets": "asset", "data_loggers": "logger", "users": "seat", "alarms": "alarm",
                    "text_messages": "messages"}  # fmt: skip
LEVELS: Final = ((0.0, 0.3, 20), (0.3, 0.75, 60), (1.0, 1.0, 7), (0.8, 0.97, 13))
"""How much of a limit is used: from, to, and how often."""


@dataclass
class Trade:
    """Who buys what and uses how much of it, the same every time but for its moments: they count from now."""

    db: AsyncSession
    chance: random.Random = field(default_factory=lambda: random.Random(11))  # noqa: S311 - the same demo every time
    now: datetime = field(default_factory=terms.now)
    orders: Iterator[int] = field(default_factory=lambda: count(1001))
    invoices: Iterator[int] = field(default_factory=lambda: count(40_001))

    async def go(self, access: Access, account: Account) -> None:
        """All that an account buys and uses; `access` is its partner's admin's, in this account."""
        orders = [self._order(*item) for item in demo_catalogue.bought_by(self.chance, account.price_model)]
        if orders:
            await self._change(access, account, await purchases.buy_all(self.db, access, orders))
        late = self.chance.random() < 0.04
        await self._use(access, LEVELS[-1:] if late else LEVELS)
        if late:
            await self._suspend(access)

    def _order(self, article: str, quantity: int) -> dict[str, Any]:
        chance, days = self.chance, self.chance.randint(20, 900)
        ends = None
        if article.startswith("TRIAL"):
            days = chance.randint(2, 45)
        elif not article.startswith(ONE_TIME):
            ends = chance.choices((None, chance.randint(3, 45), -chance.randint(1, 15)), (75, 17, 8))[0]
        start = self.now - timedelta(days=days, minutes=chance.randrange(600))
        return {
            "article": article, "quantity": quantity, "price": None, "starts_at": start,
            "ends_at": None if ends is None else self.now + timedelta(days=ends),
            "order_number": f"PO-{start.year}-{next(self.orders)}",
            "invoice_number": f"RE-{start.year}-{next(self.invoices)}" if days > 30 else None,
        }  # fmt: skip

    async def _change(self, access: Access, account: Account, bought: Sequence[AccountArticle]) -> None:
        """Now and then something is cancelled, or a larger pack takes the place of a small one."""
        for purchase in bought:
            runs = purchase.ends_at is None and not purchase.article.startswith(ONE_TIME)
            if runs and purchase.article == "LIC-A-10" and self.chance.random() < 0.3:
                values: Mapping[str, Any] = {
                    "article": "LIC-A-50", "quantity": 1, "price": None, "at": self.now - timedelta(days=9),
                    "ends_at": None, "order_number": f"PO-{self.now.year}-{next(self.orders)}", "invoice_number": None,
                }  # fmt: skip
                await purchases.upgrade(self.db, access, account, purchase, values, keep_end=True)
            elif runs and self.chance.random() < 0.06:
                at = self.now + timedelta(days=self.chance.randint(1, 60))
                await purchases.cancel(self.db, access, account, purchase, at=at, reason="Wird nicht mehr gebraucht.")

    async def _use(self, access: Access, levels: Sequence[tuple[float, float, int]]) -> None:
        line, chance = await line_of(self.db), self.chance
        found = await supplies.of(line, access.partner_id, access.account, RESOURCES, terms.now())
        asks: list[Ask] = []
        for key, (supply, _) in sorted(found.items()):
            low, high, _ = chance.choices(levels, [often for *_, often in levels])[0]
            units = int(supply.now.limit * chance.uniform(low, high))
            asks += [Ask(key, f"{RESOURCES[key]}:{4000 + n}", some) for n, some in enumerate(_shares(units))]
        if asks:
            await claims.batch(self.db, replace(access, roles=frozenset({Role.ACCOUNT_ADMIN})), [], asks)

    async def _suspend(self, access: Access) -> None:
        """What was claimed stays; no more passes."""
        found = select(Licence).where(Licence.account_id == access.account, Licence.feature == "assets")
        if licence := await self.db.scalar(found.order_by(Licence.id).limit(1)):
            await licences.suspend(self.db, access, licence, reason="Rechnung offen.")


def _shares(units: int) -> list[int]:
    """Units of a few resources: each has one, if there are not too many."""
    each, more = divmod(units, MOST_RESOURCES)
    return [each + (n < more) for n in range(min(units, MOST_RESOURCES))]
