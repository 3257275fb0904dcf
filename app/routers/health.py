"""For load balancers, orchestrators and Prometheus."""

from typing import Any

from fastapi import APIRouter, Request, Response

from app import metrics
from app.access import Public
from app.db import Db, is_outage
from app.problems import Unavailable, raises
from app.rest import Route
from app.schemas.health import Live, Ready
from app.services import health

router = APIRouter(tags=["operation"], route_class=Route, dependencies=[Public])


@router.get("/health/live", response_model=Live)
async def get_live() -> dict[str, str]:
    """Say that the process is up. It asks nothing else, so that a database failure restarts no server."""
    return {"status": "ok"}


@router.get("/health/ready", response_model=Ready, openapi_extra=raises(Unavailable))
async def get_ready(db: Db, request: Request) -> dict[str, Any]:
    """Say whether the service can do its work: database reachable, migrations up to date, a worker alive.

    Otherwise 503: `errors` names the checks that failed as `code`: `database`, `migrations` or `worker`.
    """
    try:
        checks = await health.checks(db, outdated=request.app.state.outdated)
    except Exception as error:
        if not is_outage(error):
            raise
        checks = health.NO_DATABASE
    if faults := health.faults(checks):
        raise Unavailable(errors=faults)
    return {"status": "ready", "checks": checks}


@router.get("/metrics", response_class=Response, include_in_schema=False)
async def get_metrics(request: Request) -> Response:
    """Figures in Prometheus' text format. Asks the database nothing: they are wanted most when it is away."""
    pool = request.app.state.engine.pool
    metrics.POOL_IN_USE.set(pool.checkedout())
    metrics.POOL_SIZE.set(pool.size())
    return Response(
        metrics.exposition(request.app.state.settings), media_type="text/plain; version=0.0.4; charset=utf-8"
    )
