"""Settings: one frozen object, read once from `TENANTRY_*` environment variables or a `.env` file."""

from functools import cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.addresses import Network
from app.words import is_loopback

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Every knob of the service. No other module reads the environment."""

    model_config = SettingsConfigDict(env_prefix="TENANTRY_", env_file=".env", frozen=True, extra="ignore")

    environment: Literal["development", "production"] = Field(
        default="development",
        description="`production` has no mailbox page and no ready-made operator, and needs SMTP_URL.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="postgresql://user:password@host/database; none: an embedded PostgreSQL under DATA_DIR.",
    )
    owner_database_url: SecretStr | None = Field(
        default=None,
        description="The login that owns the tables, for `tenantry migrate`; none: DATABASE_URL is the owner.",
    )
    pg_bin: Path | None = Field(
        default=None, description="Folder of the PostgreSQL programs that the embedded server uses."
    )
    data_dir: Path = Field(default=Path(".data"), description="Embedded database, keys and the development mailbox.")
    public_url: str = Field(default="", description="Address in links and tokens; none: made of HOST and PORT.")
    guides_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Where the guides (`make site`) can be read: `/docs` and the first page link to it; none: no link.",
    )
    smtp_url: SecretStr | None = Field(
        default=None,
        description="smtp://user:password@host:587 (STARTTLS when offered) or smtps://…; none: mailbox page.",
    )
    mail_from: str = Field(default="Tenantry <tenantry@localhost>", description="Sender of all mails.")
    signing_keys: Names = Field(
        default=(),
        description="Files with PEM keys (EC P-256), comma-separated: the first signs, all verify; none: made once.",
    )
    secret_key: SecretStr | None = Field(
        default=None, description="At least 32 characters; none: made once under DATA_DIR."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on; in development, loopback only.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(default=1, ge=1, le=64, description="Server processes.")
    embedded_worker: bool = Field(default=True, description="Run the outbox worker inside `serve`.")
    log_format: Literal["console", "json"] = Field(default="console", description="How log lines are written.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")
    cors_origins: Names = Field(default=(), description="Browser origins that may call the API, comma-separated.")
    trusted_proxies: str = Field(default="127.0.0.1", description="Whose X-Forwarded-For is believed, comma-separated.")

    body_bytes: int = Field(default=1_048_576, ge=1024, description="Largest request body.")
    body_seconds: float = Field(default=20, gt=0, description="Longest time that a request body may take to arrive.")
    import_bytes: int = Field(default=52_428_800, ge=1024, description="Largest file of accounts to import.")
    import_seconds: float = Field(default=300, gt=0, description="Longest time that such a file may take to arrive.")
    lease_seconds: float = Field(
        default=60,
        ge=1,
        description="How long a mail or import stays a worker's own; if it died, another goes on then.",
    )
    pool_size: int = Field(
        default=10,
        ge=1,
        description="Database connections per process; as many again for claims, and for the accounts table.",
    )
    pool_timeout_seconds: float = Field(default=5, gt=0, description="Longest wait for one; then the answer is 503.")
    exports_at_once: int = Field(
        default=4, ge=1, description="Exports that run at once per process (at most half of POOL_SIZE); then 503."
    )
    export_seconds: float = Field(
        default=600, gt=0, description="Longest time that an export may take; who reads more slowly is cut off."
    )
    access_token_minutes: int = Field(default=15, ge=1, le=60, description="How long an access token is good.")
    session_days: int = Field(default=30, ge=1, le=365, description="After which a log-in ends, used or not.")
    licence_file_days: int = Field(
        default=30, ge=1, le=90, description="How long a licence file is good, unless it is asked for otherwise."
    )
    audit_days: int = Field(
        default=3650, ge=30, le=36_500,
        description="How long the audit log keeps what changed and from which address, at least EVENT_DAYS; that "
        "somebody did something stays.",
    )  # fmt: skip
    event_waiters: int = Field(
        default=500, ge=1,
        description="Who may wait for events at once per process, of one partner a fifth; then 503. They share one "
        "database connection.",
    )  # fmt: skip
    event_stream_seconds: float = Field(
        default=600, gt=0, description="How long a stream of events lasts; then the client connects again."
    )
    event_days: int = Field(
        default=90, ge=1, le=3650, description="How long the events feed gives an event, and deliveries are kept."
    )
    webhooks_per_partner: int = Field(default=20, ge=1, le=200, description="Most webhooks of one partner.")
    webhook_failing_days: int = Field(
        default=5, ge=1, le=90, description="After which a webhook whose receiver takes nothing is disabled."
    )
    webhook_allow: Names = Field(
        default=(),
        description="Networks (10.1.0.0/16, comma-separated) that webhooks reach although they are not public, also by "
        "plain http.",
    )
    invitation_days: int = Field(default=7, ge=1, le=90, description="How long the link of an invitation is good.")
    password_reset_minutes: int = Field(default=60, ge=5, le=1440, description="How long the link of a reset is good.")
    password_min_length: int = Field(default=12, ge=8, le=64, description="Shortest password without second factor.")
    password_min_length_with_totp: int = Field(default=8, ge=8, le=64, description="Shortest password with one.")
    password_resets_free: int = Field(
        default=3, ge=1, description="Reset mails to one address (ten times as many from one network) before a wait."
    )
    rate_per_minute: int = Field(
        default=6000, ge=0,
        description="Units that each log-in, and each secret of an API client, may spend in a minute (a read costs 1, "
        "a change 2, some more); 0: no limit.",
    )  # fmt: skip
    rate_of_service_per_minute: int = Field(
        default=120_000, ge=0, description="The same for each secret of a service client."
    )
    rate_of_address_per_minute: int = Field(
        default=600, ge=0, description="The same for all callers of one network who prove nothing, log-ins included."
    )
    partner_requests_at_once: int = Field(
        default=8,
        ge=0,
        le=100,
        description="Requests of one partner that are at work at once per process; 0: any number. Of all partners "
        "together it is as many as `POOL_SIZE`, and they take turns.",
    )
    login_free_failures: int = Field(
        default=10, ge=3, description="Failed log-ins before each further one must wait longer."
    )

    @field_validator("signing_keys", "cors_origins", "webhook_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(v.strip() for v in value.split(",") if v.strip()) if isinstance(value, str) else value

    @field_validator("webhook_allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("database_url", "owner_database_url")
    @classmethod
    def _asyncpg(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        scheme, found, rest = value.get_secret_value().partition("://")
        if not found or scheme not in ("postgres", "postgresql", "postgresql+asyncpg"):
            raise ValueError("must start with postgresql://")
        return SecretStr(f"postgresql+asyncpg://{rest}")

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        if self.audit_days < self.event_days:
            raise ValueError("AUDIT_DAYS must not be less than EVENT_DAYS")
        if self.secret_key and len(self.secret_key.get_secret_value()) < 32:
            raise ValueError("SECRET_KEY must have at least 32 characters")
        if self.environment == "production":
            if not (self.smtp_url and self.public_url):
                raise ValueError("production needs SMTP_URL and PUBLIC_URL")
            if "*" in (*self.cors_origins, self.trusted_proxies.strip()):
                raise ValueError("production needs CORS_ORIGINS and TRUSTED_PROXIES by name, not *")
        elif self.public_url and not is_loopback(urlsplit(self.public_url).hostname or ""):
            raise ValueError("development has no public address, for its mailbox shows every token; set "
                             "TENANTRY_ENVIRONMENT=production")  # fmt: skip
        elif not is_loopback(self.host):
            raise ValueError("development listens on loopback only, for its mailbox shows every token; set "
                             "TENANTRY_ENVIRONMENT=production")  # fmt: skip
        return self

    @property
    def development(self) -> bool:
        return self.environment == "development"

    @cached_property
    def webhook_networks(self) -> tuple[Network, ...]:
        """The networks of WEBHOOK_ALLOW."""
        return tuple(map(ip_network, self.webhook_allow))

    @cached_property
    def url(self) -> str:
        """The service's public address, without a slash at its end; also the `iss` of every token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")
