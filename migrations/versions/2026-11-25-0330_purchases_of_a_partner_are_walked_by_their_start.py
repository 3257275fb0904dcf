"""Purchases of a partner are walked by their start: what billing asks for is a period."""

from collections.abc import Sequence

from alembic import op

revision: str = "7c2e90b1d4a8"
down_revision: str | None = "1231bfadab5d"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "ix_account_articles_partner_id_starts_at_id"


def upgrade() -> None:
    # The table came with the revision before, in the same release: nobody writes to it yet.
    op.create_index(INDEX, "account_articles", ["partner_id", "starts_at", "id"], unique=False)


def downgrade() -> None:
    op.drop_index(INDEX, "account_articles")
