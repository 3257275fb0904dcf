"""Members are counted, and the two new columns indexed, beside the running service.

Each statement is a transaction of its own. Interrupted anywhere, the migration does all of it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c2e84b6d0f17"
down_revision: str | None = "5f0c1d7a93be"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = ("price_model", "member_count")
AT_ONCE = 1000


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE accounts VALIDATE CONSTRAINT fk_accounts_price_model")
        while op.get_bind().scalar(sa.text(f"SELECT recount_members({AT_ONCE})")):
            pass
        # Builds nobody waits behind; it has to wait itself, for transactions that were there before.
        op.execute("SET lock_timeout = '60s'")
        for column in COLUMNS:
            name = f"ix_accounts_partner_id_{column}_id"
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what an interrupted attempt left is not valid
            op.create_index(name, "accounts", ["partner_id", column, "id"], postgresql_concurrently=True)
        op.execute("SET lock_timeout = '100ms'")


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_index(f"ix_accounts_partner_id_{column}_id", "accounts")
