"""Saved views of the accounts table."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import grant, protect

revision: str = "5c1e7d0a93b2"
down_revision: str | None = "c2e84b6d0f17"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "views",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("name_key", sa.Text(collation="C"), nullable=False),
        sa.Column("name_search", sa.Text(collation="C"), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("columns", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("all", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("any", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("q", sa.Text(), nullable=True),
        sa.Column("sort", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["partner_id"], ["partners.id"], name=op.f("fk_views_partner_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_views")),
    )
    op.create_index("uq_views_shared_name_key", "views", ["partner_id", "name_key"], unique=True,
                    postgresql_where=sa.text("shared"))  # fmt: skip
    op.create_index("uq_views_owner_id_name_key", "views", ["partner_id", "owner_id", "name_key"], unique=True,
                    postgresql_where=sa.text("NOT shared"))  # fmt: skip
    grant("views")
    protect("views")


def downgrade() -> None:
    op.drop_table("views")
