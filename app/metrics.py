"""Figures for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.config import Settings

REQUESTS = Counter("tenantry_requests_total", "Requests answered.", ["operation", "method", "status"])
LATENCY = Histogram(
    "tenantry_request_seconds", "Time from first byte in to last byte out, but for what was waited for.", ["operation"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)  # fmt: skip
POOL_IN_USE = Gauge("tenantry_pool_connections_in_use", "Database connections at work.", multiprocess_mode="livesum")
POOL_SIZE = Gauge("tenantry_pool_connections_max", "Database connections allowed.", multiprocess_mode="livesum")
OUTBOX_DEPTH = Gauge("tenantry_outbox_depth", "Deliveries not yet done.", multiprocess_mode="mostrecent")
OUTBOX_AGE = Gauge("tenantry_outbox_age_seconds", "Age of the oldest due delivery.", multiprocess_mode="mostrecent")
DELIVERIES = Counter("tenantry_deliveries_total", "Deliveries tried.", ["template", "outcome"])
WEBHOOK_ATTEMPTS = Counter("tenantry_webhook_attempts_total", "Webhook requests sent.", ["outcome"])
NOTICES = Counter("tenantry_notices_total", "Notices of licences and limits that were given.", ["kind"])


def exposition(settings: Settings) -> bytes:
    """All figures in Prometheus' text format, over all processes of this server."""
    if settings.workers == 1:
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry)
