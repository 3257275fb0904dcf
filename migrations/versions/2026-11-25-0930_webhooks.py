"""Webhooks: where partners have their events sent, with which secrets, and what became of each event."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import definer_function, grant, protect

revision: str = "b8d2f05a7c41"
down_revision: str | None = "5b7d20c4e9a8"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MOMENT = sa.DateTime(timezone=True)
STATUSES = sa.Enum("enabled", "disabled", name="webhookstatus", native_enum=False, length=20)
REASONS = sa.Enum("by_hand", "failing", "gone", name="disabledreason", native_enum=False, length=20)
STATES = sa.Enum("pending", "delivered", "failed", name="deliverystate", native_enum=False, length=20)


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=False),
        sa.Column("types", postgresql.ARRAY(sa.String(length=60)), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("status", STATUSES, nullable=False),
        sa.Column("status_since", MOMENT, nullable=False),
        sa.Column("disabled_reason", REASONS, nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", MOMENT, nullable=True),
        sa.Column("paused_until", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('enabled', 'disabled')", name=op.f("ck_webhooks_status")),
        sa.CheckConstraint(
            "disabled_reason IN ('by_hand', 'failing', 'gone')", name=op.f("ck_webhooks_disabled_reason")
        ),
        sa.CheckConstraint(
            "(status = 'disabled') = (disabled_reason IS NOT NULL)", name=op.f("ck_webhooks_disabled")
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.id"], name=op.f("fk_webhooks_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_webhooks")),
    )  # fmt: skip
    op.create_index(
        "ix_webhooks_enabled", "webhooks", ["partner_id", "id"], postgresql_where=sa.text("status = 'enabled'")
    )
    _secrets()
    _deliveries()
    _lanes()
    for table in ("webhooks", "webhook_secrets", "webhook_deliveries", "webhook_lanes"):
        grant(table)
        protect(table)
    _functions()


def _of_webhook(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["partner_id", "webhook_id"],
        ["webhooks.partner_id", "webhooks.id"],
        name=op.f(f"fk_{table}_partner_id_webhook_id"),
        ondelete="CASCADE",
    )


def _secrets() -> None:
    op.create_table(
        "webhook_secrets",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        _of_webhook("webhook_secrets"),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_webhook_secrets")),
    )
    op.create_index("ix_webhook_secrets_partner_id_webhook_id", "webhook_secrets", ["partner_id", "webhook_id"])


def _deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("lane", sa.Uuid(), nullable=False),
        sa.Column("begun_at", MOMENT, nullable=False),
        sa.Column("state", STATES, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")
        ),
        _of_webhook("webhook_deliveries"),
        sa.PrimaryKeyConstraint("partner_id", "webhook_id", "id", name=op.f("pk_webhook_deliveries")),
    )  # fmt: skip
    op.create_index(
        "ix_webhook_deliveries_partner_id_webhook_id_position",
        "webhook_deliveries",
        ["partner_id", "webhook_id", "position"],
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["partner_id", "webhook_id", "lane", "position"],
        postgresql_where=sa.text("state = 'pending'"),
    )


def _lanes() -> None:
    op.create_table(
        "webhook_lanes",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("lane", sa.Uuid(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("leased_by", sa.Uuid(), nullable=True),
        _of_webhook("webhook_lanes"),
        sa.PrimaryKeyConstraint("partner_id", "webhook_id", "lane", name=op.f("pk_webhook_lanes")),
    )
    op.create_index(
        "ix_webhook_lanes_partner_id_webhook_id_due_at", "webhook_lanes", ["partner_id", "webhook_id", "due_at"]
    )


def _functions() -> None:
    # Two looks into an index for each webhook that is enabled, whatever it has.
    definer_function(
        "webhooks_with_work(now_at timestamptz)",
        "TABLE (partner_id uuid, webhook_id uuid)",
        """
        SELECT w.partner_id, w.id FROM webhooks w JOIN partners p ON p.id = w.partner_id
         WHERE w.status = 'enabled' AND p.status = 'active' AND p.partner_management_enabled AND (
               EXISTS (SELECT FROM events e WHERE e.partner_id = w.partner_id AND e.position > w.position)
               OR ((w.paused_until IS NULL OR w.paused_until <= now_at)
                   AND EXISTS (SELECT FROM webhook_lanes l
                                WHERE l.partner_id = w.partner_id AND l.webhook_id = w.id AND l.due_at <= now_at)))
         ORDER BY random() LIMIT 500
        """,
    )
    # Ids are those of events, in order of time: a range of the primary key for each webhook.
    definer_function(
        "purge_webhook_rows(before uuid)",
        "void",
        """
        DELETE FROM webhook_deliveries d USING webhooks w
         WHERE d.partner_id = w.partner_id AND d.webhook_id = w.id AND d.id < before;
        DELETE FROM webhook_secrets WHERE expires_at < now() - interval '30 days';
        """,
        volatility="VOLATILE",
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION purge_webhook_rows(uuid)")
    op.execute("DROP FUNCTION webhooks_with_work(timestamptz)")
    op.drop_table("webhook_lanes")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_secrets")
    op.drop_table("webhooks")
