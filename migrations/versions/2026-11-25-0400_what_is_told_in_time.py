"""What is told in time: licences that end, limits that are reached; and who wants to know."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.walls import definer_function, grant, protect

revision: str = "9a4f6c2e7d15"
down_revision: str | None = "4e8a1c60b7d3"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KINDS = ("ends_in_30_days", "ends_in_7_days", "ends_in_1_day", "nearly_used", "used_up")


def upgrade() -> None:
    # A default of the server: the release before goes on making users while this one is rolled out.
    op.add_column("users", sa.Column("licence_notices", sa.Boolean(), server_default=sa.true(), nullable=False))
    _notices()
    op.create_table(
        "notice_rounds",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("walk_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("walked_to", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.id"], name=op.f("fk_notice_rounds_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("partner_id", name=op.f("pk_notice_rounds")),
    )
    for table in ("notices", "notice_rounds"):
        grant(table)
        protect(table)
    # Two looks into an index for each partner, whatever it has.
    definer_function(
        "partners_to_be_told(now_at timestamptz, last uuid)",
        "TABLE (partner_id uuid)",
        """
        SELECT p.id FROM partners p LEFT JOIN notice_rounds r ON r.partner_id = p.id
         WHERE p.id > last AND p.status = 'active' AND (
               r.next_at IS NULL OR r.next_at <= now_at
               OR EXISTS (SELECT FROM events e WHERE e.partner_id = p.id AND e.position > r.position))
         ORDER BY p.id LIMIT 100
        """,
    )


def _notices() -> None:
    op.create_table(
        "notices",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Enum(*KINDS, name="noticekind", native_enum=False, length=20), nullable=False),
        sa.Column("licence_id", sa.Uuid(), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("armed", sa.Boolean(), nullable=False),
        sa.Column("mailed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(f"kind IN {KINDS}", name=op.f("ck_notices_kind")),
        sa.CheckConstraint("(licence_id IS NULL) = (ends_at IS NULL)", name=op.f("ck_notices_ends_at")),
        sa.ForeignKeyConstraint(["feature"], ["features.key"], name=op.f("fk_notices_feature"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_id"],
            ["accounts.partner_id", "accounts.id"],
            name=op.f("fk_notices_partner_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_id", "licence_id"],
            ["licences.partner_id", "licences.id"],
            name=op.f("fk_notices_partner_id_licence_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_notices")),
    )
    op.create_index(
        "uq_notices_kind",
        "notices",
        ["partner_id", "account_id", "feature", "licence_id", "kind"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_index("ix_notices_partner_id_licence_id", "notices", ["partner_id", "licence_id"], unique=False)


def downgrade() -> None:
    op.execute("DROP FUNCTION partners_to_be_told(timestamptz, uuid)")
    op.drop_table("notice_rounds")
    op.drop_table("notices")
    op.drop_column("users", "licence_notices")
