"""The connections of a ceiling: the driver's own pool, with nothing in the way."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg


@asynccontextmanager
async def opened(settings: dict[str, str]) -> AsyncGenerator[Any]:
    """Ten connections to the benchmark's database, with these settings of PostgreSQL's planner."""
    pool: Any = await asyncpg.create_pool(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - it has no types
        os.environ["BENCH_DATABASE_URL"], min_size=10, max_size=10, reset=_nothing, server_settings=settings
    )
    yield pool
    await pool.close()


async def _nothing(_: Any) -> None:
    """Statements that change no setting leave nothing to be reset: a round trip less."""
