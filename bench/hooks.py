"""Delivers webhooks to a receiver that does nothing but say yes, and says how fast that goes.

    .venv/bin/python -m bench.hooks [events] [rounds]

By turns with a bare loop of httpx that posts the same bodies to the same receiver, with as many connections, and does
nothing else: no signature, no database, no order. Each is one process; the receiver is another, PostgreSQL a third.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import func, select

from app.config import Settings
from app.db import unit_of_work
from app.delivering import OF_WEBHOOK, Deliverer
from app.main import create_app
from app.models import Event, WebhookDelivery, new_id
from app.operate import migrate_up
from app.policy import Access, Caller, Role
from app.services import bulks, events, webhooks
from app.services.events import Fact
from app.tenancy import confine
from app.worker import Worker
from bench.imports import scene

ACCOUNTS: Final = 200
YES: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class Yes(asyncio.Protocol):
    """Says yes to each request: when its body has come, going by its length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(YES)  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]


async def receive() -> None:
    server = await asyncio.get_running_loop().create_server(Yes, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(count: int, rounds: int, folder: Path, url: str) -> None:
    settings = Settings(_env_file=None, data_dir=folder, embedded_worker=False, log_level="warning",  # pyright: ignore[reportCallIssue]
                        webhook_allow=("127.0.0.0/8",))  # fmt: skip
    await migrate_up(settings)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        partner_id, _ = await scene(app)
        begin, keys = app.state.sessions, app.state.keys
        access = Access(Caller(partner_id, partner_id), partner_id, frozenset({Role.PARTNER_ADMIN}))
        async with unit_of_work(begin) as db:
            await confine(db, partner_id)
            rules = webhooks.Rules(1, settings.webhook_networks)
            await webhooks.create(db, access, keys, rules, url=url, description="", types=["account.updated"])
        worker = Worker(begin, keys, settings, None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - it sends no mail
        ratios, rates = list[float](), {"ours": list[float](), "httpx": list[float]()}
        costs = {name: list[float]() for name in rates}
        for number in range(rounds + 1):
            await make(begin, access, count)
            await worker.number_all()
            deliverer = Deliverer(begin, keys, settings, new_id())
            ours = await timed(deliverer.drain())
            await deliverer.close()
            bare = await timed(loop(url, count))
            if number:  # the first warms up
                ratios.append(bare[0] / ours[0])
                for name, (whole, cpu) in (("ours", ours), ("httpx", bare)):
                    rates[name].append(count / whole)
                    costs[name].append(1000 * cpu / count)
        await none_is_missing(begin, partner_id, count * (rounds + 1))
        middle = statistics.median
        print("webhooks: " + ", ".join(f"{n} {middle(rates[n]):,.0f}/s ({middle(costs[n]):.2f} ms)" for n in rates))
        print("ratios: " + " ".join(f"{ratio:.3f}" for ratio in ratios))


async def make(begin: Any, access: Access, count: int) -> None:
    """So many events, of as many accounts by turns."""
    accounts = [new_id() for _ in range(ACCOUNTS)]
    after = {"name": "Nordwerk Kältetechnik GmbH & Co. KG", "price_model": "professional"}
    facts = [Fact(a, {"name": "Nordwerk"}, after, a) for a in (accounts[n % ACCOUNTS] for n in range(count))]
    async with unit_of_work(begin) as db:
        await confine(db, access.partner_id)
        await bulks.insert(db, Event, *events.rows(access, "account.updated", "account", facts))


async def timed(work: Any) -> tuple[float, float]:
    """Seconds that it took, and seconds of processor time of this process."""
    started, used = time.perf_counter(), time.process_time()
    await work
    return time.perf_counter() - started, time.process_time() - used


async def loop(url: str, count: int) -> None:
    """The least that one can do with httpx."""
    body = b'{"type":"account.updated","data":"' + b"x" * 600 + b'"}'
    left = iter(range(count))
    async with httpx.AsyncClient(trust_env=False, timeout=15) as client:

        async def post() -> None:
            for _ in left:
                answer = await client.post(url, content=body, headers={"Content-Type": "application/json"})
                assert answer.status_code == 200

        await asyncio.gather(*(post() for _ in range(OF_WEBHOOK)))


async def none_is_missing(begin: Any, partner_id: Any, count: int) -> None:
    async with unit_of_work(begin) as db:
        await confine(db, partner_id)
        by_state = select(WebhookDelivery.state, func.count()).group_by(WebhookDelivery.state)
        found = {state.value: number for state, number in await db.execute(by_state)}
    assert found == {"delivered": count}, found


def main(count: int, rounds: int) -> None:
    receiver = subprocess.Popen([sys.executable, "-m", "bench.hooks", "receive"], stdout=subprocess.PIPE, text=True)
    try:
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as home:
            asyncio.run(measure(count, rounds, Path(home), f"http://127.0.0.1:{port}/hook"))
    finally:
        receiver.terminate()
        receiver.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["receive"]:
        asyncio.run(receive())
    else:
        given = [int(n) for n in sys.argv[1:]]
        main(*[*given, *(4_000, 5)[len(given) :]])
