"""Deliveries of webhooks that have served their time go some at a time, however many there are."""

from collections.abc import Sequence

from alembic import op

from migrations.walls import definer_function

revision: str = "2f9e61b8c47d"
down_revision: str | None = "6c1f83d0a25e"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Ids are those of events, in order of time: of each webhook, the beginning of a range of the primary key is looked at.
# They are deleted by where they lie, for a plan that is made without knowing `before` would read the whole table; what
# somebody changes meanwhile has moved, and goes the next time.
PURGE = """
DECLARE
    gone integer;
BEGIN
    DELETE FROM webhook_secrets WHERE expires_at < now() - interval '30 days';
    DELETE FROM webhook_deliveries d WHERE d.ctid = ANY (ARRAY(
        SELECT old.place FROM webhooks w CROSS JOIN LATERAL (
            SELECT o.ctid AS place FROM webhook_deliveries o
             WHERE o.partner_id = w.partner_id AND o.webhook_id = w.id AND o.id < before
             ORDER BY o.id LIMIT most) old
         LIMIT most));
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
"""


def upgrade() -> None:
    op.execute("DROP FUNCTION purge_webhook_rows(uuid)")
    definer_function(
        "purge_webhook_rows(before uuid, most integer)", "integer", PURGE, language="plpgsql", volatility="VOLATILE"
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION purge_webhook_rows(uuid, integer)")
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
