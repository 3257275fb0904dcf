"""Who waits for events looks where their partners are; what has been kept long enough is erased."""

from collections.abc import Sequence

from alembic import op

from migrations.walls import definer_function

revision: str = "5b7d20c4e9a8"
down_revision: str | None = "9a4f6c2e7d15"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # One look into an index for each partner; numbers only.
    definer_function(
        "newest_positions(partners uuid[])",
        'TABLE (partner_id uuid, "position" bigint)',
        """
        SELECT p.id, coalesce((SELECT e.position FROM events e WHERE e.partner_id = p.id AND e.position IS NOT NULL
                                ORDER BY e.position DESC LIMIT 1), 0)
          FROM unnest(partners) AS p(id)
        """,
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION newest_positions(uuid[])")
