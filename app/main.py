"""The application: `create_app()` assembles it, nothing else has import side effects."""

import gc
import json
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar, Final, cast

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import compile_path
from starlette.types import ASGIApp
from starlette_compress import CompressMiddleware, add_compress_type

from app import bells, contract, faults, lines, logs, migrate, security
from app.access import refuse_unguarded
from app.config import Settings
from app.db import connect, refuse_unsafe_role
from app.downloads import Places
from app.edge import Cors, Edge
from app.lanes import ExpressRoute, PostRoute, Shortcut
from app.limits import Limits
from app.outbound import Outlet
from app.parts import alongside, database, load_keys, mailbox_of, transport_of
from app.problems import EventsBusy, Unavailable
from app.queues import Queues
from app.routers import ROUTERS
from app.turns import Turns
from app.uploads import UploadRoute, arrivals
from app.worker import Worker, measure_for_ever

VERSION = "0.1.0"
PINGS: Final = 64
"""Pings of webhooks that are on their way at once, of one partner an eighth: a receiver may take long to answer."""
NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own would tell messages and stacks of failures to whatever the environment names: ours is in `edge`."""


def create_app(settings: Settings) -> FastAPI:
    """The API of these settings. It starts with its lifespan: database, keys, worker."""
    app = Api(title="Tenantry", version=VERSION, lifespan=_lifespan, openapi_url=None, redirect_slashes=False,
              telemetry=NO_TELEMETRY)  # fmt: skip
    app.state.settings = settings
    app.state.mailbox = mailbox_of(settings)
    app.state.places = Places(min(settings.exports_at_once, max(1, settings.pool_size // 2)))
    app.state.waiters = Places(settings.event_waiters, max(1, settings.event_waiters // 5), EventsBusy)
    app.state.pings = Places(PINGS, PINGS // 8, Unavailable)
    app.state.arrivals = arrivals()
    app.state.turns = Turns(settings.partner_requests_at_once, settings.pool_size, settings.pool_timeout_seconds)
    faults.install(app)
    for router in ROUTERS:
        refuse_unguarded(_routes(router.routes))
        app.router.routes.extend(router.routes)  # include_router would wrap each once more, for every request
    app.state.allowed = _allowed([r for router in ROUTERS for r in _routes(router.routes)])
    app.state.contract = cache(lambda: json.dumps(app.openapi(), ensure_ascii=False).encode())
    return app


class Api(FastAPI):
    """FastAPI behind layers of ours: the edge is the outermost, and answers whatever goes wrong in the others."""

    _contract: ClassVar[dict[str, Any] | None] = None

    def openapi(self) -> dict[str, Any]:
        """The contract: of the routers alone, whatever the settings. Made once in a process, for it takes seconds."""
        if Api._contract is None:
            Api._contract = contract.finalise(super().openapi())
        return Api._contract

    def build_middleware_stack(self) -> ASGIApp:
        settings: Settings = self.state.settings
        routes = _routes(self.routes)
        app: ASGIApp = AsyncExitStackMiddleware(self.router)
        app = ExceptionMiddleware(app, cast("Any", self.exception_handlers))
        app = Shortcut(
            app, [r for r in routes if isinstance(r, ExpressRoute)], [r for r in routes if isinstance(r, PostRoute)]
        )
        add_compress_type("text/csv")
        app = CompressMiddleware(app, minimum_size=1024, brotli=False)
        if settings.cors_origins:
            app = Cors.around(app, settings)
        return Edge(app, settings, _uploads(routes))


def serve() -> FastAPI:
    """The factory for server processes: settings from the environment, logs configured."""
    settings = Settings()
    logs.configure(settings)
    if parent := multiprocessing.parent_process():  # killed, it could not stop us, and we would keep its port
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    app = create_app(settings)
    gc.freeze()  # what is loaded by now stays: looking through it again and again takes a quarter of an import's time
    return app


def _end_with(parent: int) -> None:
    multiprocessing.connection.wait([parent])
    os.kill(os.getpid(), signal.SIGTERM)


def _routes(routes: Sequence[object]) -> list[APIRoute]:
    return [r for r in routes if isinstance(r, APIRoute)]


def _allowed(routes: Sequence[APIRoute]) -> Callable[[str], list[str]]:
    """All methods of an address: Starlette's own `Allow` names those of one route only."""
    known = [(compile_path(r.path)[0], r.methods or set()) for r in routes]

    def allowed(path: str) -> list[str]:
        found = {m for regex, methods in known if regex.match(path) for m in methods}
        return sorted(found | ({"HEAD"} if "GET" in found else set()))

    return allowed


def _uploads(routes: Sequence[APIRoute]) -> Callable[[str, str], bool]:
    """Whether a request may bring a file: for those the edge has a limit of their own."""
    known = [compile_path(r.path)[0] for r in routes if isinstance(r, UploadRoute)]

    def uploads(method: str, path: str) -> bool:
        return method == "POST" and any(regex.match(path) for regex in known)

    return uploads


# --- what a running process holds ---


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    settings: Settings = app.state.settings
    async with AsyncExitStack() as stack:
        url, role = await stack.enter_async_context(database(settings))
        engine, sessions = connect(
            url, role=role, pool_size=settings.pool_size, pool_timeout=settings.pool_timeout_seconds
        )
        stack.push_async_callback(engine.dispose)
        await refuse_unsafe_role(engine)
        most = settings.pool_size
        walking, _ = connect(url, role=role, pool_size=most, plans=lines.SHORT)
        app.state.lines = await stack.enter_async_context(lines.lines(walking, most, lines.PATIENCE))
        holding, _ = connect(url, role=role, pool_size=most, plans=lines.PLANS)  # apart: claims wait for one another
        app.state.holds = await stack.enter_async_context(lines.lines(holding, most, settings.pool_timeout_seconds))
        app.state.limits = limits_of(settings, app.state.holds)
        listening, _ = connect(url, role=role, pool_size=1)
        app.state.bell = await stack.enter_async_context(bells.hung(listening, max(1, most // 4)))
        app.state.engine, app.state.sessions, app.state.outdated = engine, sessions, migrate.outdated()
        app.state.keys, app.state.queues = load_keys(settings), Queues()
        app.state.tokens = security.Tokens(
            app.state.keys, settings.url, timedelta(minutes=settings.access_token_minutes)
        )
        app.state.outlet = Outlet(settings.webhook_networks)
        stack.push_async_callback(app.state.outlet.close)
        await stack.enter_async_context(
            alongside(_working(app) if settings.embedded_worker else measure_for_ever(sessions))
        )
        yield


def limits_of(settings: Settings, way: lines.Lines) -> Limits:
    return Limits(way, credential=settings.rate_per_minute, service=settings.rate_of_service_per_minute,
                  address=settings.rate_of_address_per_minute)  # fmt: skip


async def _working(app: FastAPI) -> None:
    transport = transport_of(app.state.settings)
    try:
        await Worker(app.state.sessions, app.state.keys, app.state.settings, transport).run()
    finally:
        await transport.close()
