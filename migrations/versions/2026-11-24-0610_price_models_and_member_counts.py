"""Price models; accounts get one of them, and the number of their members.

All of it takes but a moment, however many accounts there are; what takes longer is done by the next migration.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import definer_function, grant

revision: str = "5f0c1d7a93be"
down_revision: str | None = "88f5ab091268"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "price_models",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("name", JSON, nullable=False),
        sa.Column("description", JSON, nullable=False),
        sa.Column("search", sa.Text(collation="C"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_models")),
        sa.UniqueConstraint("key", name=op.f("uq_price_models_key")),
    )
    grant("price_models", "SELECT, INSERT, UPDATE")  # archived, never deleted
    op.add_column("accounts", sa.Column("price_model", sa.Text(collation="C"), nullable=True))
    op.create_foreign_key(
        op.f("fk_accounts_price_model"), "accounts", "price_models", ["price_model"], ["key"], ondelete="RESTRICT",
        postgresql_not_valid=True,
    )  # fmt: skip
    # The default stays. While this release is rolled out, processes of the one before go on writing and do not count:
    # an account that they make has one member, its creator, as the default says; a member whom they let in or out is
    # not counted until a process of this release lets one in or out of the same account (it counts all of them anew),
    # or until the worker has recounted, which it does every hour. So for at most an hour after the last old process
    # is gone, `member_count` of accounts that those touched may be off. It decides nothing but filters and sorts.
    op.add_column("accounts", sa.Column("member_count", sa.Integer(), server_default="1", nullable=False))
    definer_function("recount_members(most integer)", "integer", RECOUNT_MEMBERS, language="plpgsql",
                     volatility="VOLATILE")  # fmt: skip


# Under the lock of the account, which whoever changes members of it holds too, and in a statement of its own, which
# sees what others have committed before: so it is exact whatever goes on meanwhile. Who is busy has its turn next time.
RECOUNT_MEMBERS = """
DECLARE
    wrong record;
    recounted integer := 0;
BEGIN
    FOR wrong IN
        SELECT a.partner_id, a.id FROM accounts a
          LEFT JOIN (SELECT m.partner_id, m.account_id, count(*) AS members FROM account_members m GROUP BY 1, 2) c
            ON c.partner_id = a.partner_id AND c.account_id = a.id
         WHERE a.member_count <> coalesce(c.members, 0) LIMIT most FOR NO KEY UPDATE OF a SKIP LOCKED
    LOOP
        UPDATE accounts a SET member_count = (
            SELECT count(*) FROM account_members m WHERE m.partner_id = wrong.partner_id AND m.account_id = wrong.id
        ) WHERE a.partner_id = wrong.partner_id AND a.id = wrong.id;
        recounted := recounted + 1;
    END LOOP;
    RETURN recounted;
END
"""


def downgrade() -> None:
    op.execute("DROP FUNCTION recount_members(integer)")
    op.drop_column("accounts", "member_count")
    op.drop_column("accounts", "price_model")  # and its foreign key
    op.drop_table("price_models")
