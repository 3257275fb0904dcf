"""What callers have left of their rates."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.walls import grant

revision: str = "d7b21f4ac806"
down_revision: str | None = "c1d5e83b9f20"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "rate_buckets",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("level", sa.Float(53), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_rate_buckets")),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": 50},
    )
    grant("rate_buckets")


def downgrade() -> None:
    op.drop_table("rate_buckets")
