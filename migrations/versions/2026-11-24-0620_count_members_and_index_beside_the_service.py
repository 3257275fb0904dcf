"""Members are counted, and the two new columns indexed, beside the running service.

Each statement is a transaction of its own. Interrupted anywhere, the migration does all of it again.
"""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision: str = "c2e84b6d0f17"
down_revision: str | None = "5f0c1d7a93be"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = ("price_model", "member_count")
AT_ONCE = 1000
SLICE = sa.text("""
    SELECT id FROM (
        SELECT id FROM accounts WHERE partner_id = :partner AND id > :after ORDER BY id LIMIT :most
    ) AS slice ORDER BY id DESC LIMIT 1
""")
COUNT = sa.text("""
    WITH counted AS (
        SELECT account_id, count(*) AS members FROM account_members
         WHERE partner_id = :partner AND account_id > :after AND account_id <= :last GROUP BY account_id
    )
    UPDATE accounts a SET member_count = coalesce(c.members, 0)
      FROM accounts b LEFT JOIN counted c ON c.account_id = b.id
     WHERE a.partner_id = :partner AND b.partner_id = :partner AND a.id = b.id AND b.id > :after AND b.id <= :last
       AND a.member_count <> coalesce(c.members, 0)
""")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE accounts VALIDATE CONSTRAINT fk_accounts_price_model")
        for (partner_id,) in op.get_bind().execute(sa.text("SELECT id FROM partners")).all():
            _count(partner_id)
        # Builds nobody waits behind; it has to wait itself, for transactions that were there before.
        op.execute("SET lock_timeout = '60s'")
        for column in COLUMNS:
            name = f"ix_accounts_partner_id_{column}_id"
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # what an interrupted attempt left is not valid
            op.create_index(name, "accounts", ["partner_id", column, "id"], postgresql_concurrently=True)
        op.execute("SET lock_timeout = '100ms'")


def _count(partner_id: UUID) -> None:
    """In slices, so that nobody waits long for one of these rows."""
    after = UUID(int=0)
    while last := op.get_bind().scalar(SLICE, {"partner": partner_id, "after": after, "most": AT_ONCE}):
        op.get_bind().execute(COUNT, {"partner": partner_id, "after": after, "last": last})
        after = last


def downgrade() -> None:
    for column in COLUMNS:
        op.drop_index(f"ix_accounts_partner_id_{column}_id", "accounts")
