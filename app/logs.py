"""Structured logs: one event a line, as JSON or for a console. Never a token, a password or a body."""

import logging
import sys
from typing import Any

import structlog

from app.config import Settings
from app.db import is_outage, is_transient

_TRACE = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)  # locals hold passwords and tokens


def configure(settings: Settings) -> None:
    """Send everything, the libraries' own records included, through one formatter to standard error."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    as_json = settings.log_format == "json"
    last: list[Any] = (
        [structlog.processors.ExceptionRenderer(_TRACE), structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error"):  # and not its access log, which is off: the edge has a line for each
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for noisy in ("uvicorn.access", "aiosmtplib", "alembic", "sqlalchemy", "asyncio", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def report(work: str, error: Exception) -> None:
    """What goes wrong in a worker's work: an outage in one line, for it passes by itself; anything else is a mistake of
    ours, with its traceback.
    """
    log = structlog.get_logger("worker")
    if is_outage(error) or is_transient(error):
        log.warning("work failed", work=work, error=type(error).__name__)
    else:
        log.exception("work failed", work=work)
