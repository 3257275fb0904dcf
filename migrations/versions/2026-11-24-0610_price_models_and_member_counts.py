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
    # an account that they make has one member, its creator, as the default says; whom they let in or out of one is not
    # counted until a process of this release lets somebody in or out of it (who counts all of them anew), or until a
    # worker counts: each does when it starts, and once a day. So the counts are right when the last process has been
    # replaced by one with a worker, and at the latest a day after. They decide nothing but filters and sorts.
    op.add_column("accounts", sa.Column("member_count", sa.Integer(), server_default="1", nullable=False))
    definer_function(
        "partners_behind(last uuid)",
        "TABLE (partner_id uuid)",
        "SELECT p.id FROM partners p WHERE p.id > last ORDER BY p.id LIMIT 100",
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION partners_behind(uuid)")
    op.drop_column("accounts", "member_count")
    op.drop_column("accounts", "price_model")  # and its foreign key
    op.drop_table("price_models")
