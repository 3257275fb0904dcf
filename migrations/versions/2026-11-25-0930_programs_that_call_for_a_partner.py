"""Programs that call for a partner or for the cloud: API clients, and what they prove themselves with."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import grant, protect

revision: str = "c1d5e83b9f20"
down_revision: str | None = "9a4f6c2e7d15"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WORDS = sa.ARRAY(sa.Text())
KINDS = ("secret", "public_key")


def upgrade() -> None:
    for column in ("client_id", "client_partner_id"):
        op.add_column("sessions", sa.Column(column, sa.Uuid(), nullable=True))
    for column in ("client_scopes", "client_networks"):
        op.add_column("sessions", sa.Column(column, WORDS, nullable=True))
    op.add_column("account_imports", sa.Column("client_id", sa.Uuid(), nullable=True))
    _clients()
    _credentials()
    op.create_table(
        "used_assertions",
        sa.Column("assertion_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("assertion_hash", name=op.f("pk_used_assertions")),
    )
    op.create_index("ix_used_assertions_expires_at", "used_assertions", ["expires_at"])
    for table in ("api_clients", "api_credentials", "used_assertions"):
        grant(table)
    protect("api_clients")


def _clients() -> None:
    op.create_table(
        "api_clients",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("name_key", sa.Text(collation="C"), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("scopes", WORDS, nullable=False),
        sa.Column("networks", WORDS, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_api_clients")),
    )
    op.create_index("uq_api_clients_name_key", "api_clients", ["partner_id", "name_key"], unique=True)


def _credentials() -> None:
    op.create_table(
        "api_credentials",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Enum(*KINDS, name="credentialkind", native_enum=False, length=20), nullable=False),
        sa.Column("hint", sa.String(64), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=True),
        sa.Column("public_key", postgresql.JSONB(none_as_null=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"kind IN {KINDS}", name=op.f("ck_api_credentials_kind")),
        sa.CheckConstraint("(secret_hash IS NULL) = (public_key IS NOT NULL)", name=op.f("ck_api_credentials_either")),
        sa.ForeignKeyConstraint(["id"], ["sessions.id"], name=op.f("fk_api_credentials_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_credentials")),
    )
    op.create_index("ix_api_credentials_client_id", "api_credentials", ["client_id"])


def downgrade() -> None:
    op.drop_table("used_assertions")
    op.execute("DELETE FROM sessions WHERE client_id IS NOT NULL")  # what is no client's there would be a log-in
    op.drop_table("api_credentials")
    op.drop_table("api_clients")
    op.drop_column("account_imports", "client_id")
    for column in ("client_networks", "client_scopes", "client_partner_id", "client_id"):
        op.drop_column("sessions", column)
