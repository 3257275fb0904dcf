"""Columns that partners invent: definitions, values, unique values, slots."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import definer_function, grant, protect

revision: str = "88f5ab091268"
down_revision: str | None = "647e54ae6217"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
TEXT_SLOTS = [f"t{n}" for n in range(1, 13)]
NUMBER_SLOTS = [f"n{n}" for n in range(1, 13)]


def upgrade() -> None:
    op.create_table(
        "properties",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("label", JSON, nullable=False),
        sa.Column("help", JSON, nullable=False),
        sa.Column("inputs", JSON, nullable=False),
        sa.Column("default", JSON, nullable=True),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("unique", sa.Boolean(), nullable=False),
        sa.Column("filterable", sa.Boolean(), nullable=False),
        sa.Column("sensitive", sa.Boolean(), nullable=False),
        sa.Column("editable_by", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("slot", sa.String(length=4), nullable=True),
        sa.Column("stale", sa.Boolean(), nullable=False),
        sa.Column("refreshed_to", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.id"], name=op.f("fk_properties_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_properties")),
        sa.UniqueConstraint("partner_id", "key", name=op.f("uq_properties_partner_id_key")),
        sa.UniqueConstraint("partner_id", "slot", name=op.f("uq_properties_partner_id_slot")),
    )
    op.create_index("ix_properties_stale", "properties", ["partner_id"], postgresql_where=sa.text("stale"))
    op.create_table(
        "unique_values",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("property_id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_id"],
            ["accounts.partner_id", "accounts.id"],
            name=op.f("fk_unique_values_partner_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_id", "property_id"],
            ["properties.partner_id", "properties.id"],
            name=op.f("fk_unique_values_partner_id_property_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_id", "property_id", "digest", name=op.f("pk_unique_values")),
    )
    op.create_index("ix_unique_values_partner_id_account_id", "unique_values", ["partner_id", "account_id"])
    _slots()
    op.add_column("partners", sa.Column("properties_version", sa.Integer(), server_default="0", nullable=False))
    for table in ("properties", "unique_values"):
        grant(table)
        protect(table)
    definer_function(
        "partners_with_stale_properties()",
        "TABLE (partner_id uuid)",
        "SELECT partner_id FROM (SELECT DISTINCT p.partner_id FROM properties p WHERE p.stale) waiting"
        " ORDER BY random() LIMIT 100",
    )


def _slots() -> None:
    """Defaults of the server stay: the version before goes on writing while this one is rolled out."""
    op.execute("ALTER TABLE accounts SET (fillfactor = 85)")
    op.add_column("accounts", sa.Column("properties", JSON, server_default="{}", nullable=False))
    op.add_column("accounts", sa.Column("search", sa.Text(collation="C"), server_default="", nullable=False))
    op.execute("UPDATE accounts SET search = name_search")
    op.create_index("ix_accounts_partner_id_status_id", "accounts", ["partner_id", "status", "id"])
    for slot in TEXT_SLOTS:
        op.add_column("accounts", sa.Column(slot, sa.Text(collation="C"), nullable=True))
    for slot in NUMBER_SLOTS:
        op.add_column("accounts", sa.Column(slot, sa.Double(), nullable=True))
    for slot in TEXT_SLOTS + NUMBER_SLOTS:
        op.create_index(f"ix_accounts_partner_id_{slot}_id", "accounts", ["partner_id", slot, "id"])


def downgrade() -> None:
    op.execute("DROP FUNCTION partners_with_stale_properties()")
    op.drop_column("partners", "properties_version")
    op.drop_index("ix_accounts_partner_id_status_id", "accounts")
    for slot in TEXT_SLOTS + NUMBER_SLOTS:
        op.drop_column("accounts", slot)  # and its index
    op.drop_column("accounts", "search")
    op.drop_column("accounts", "properties")
    op.execute("ALTER TABLE accounts RESET (fillfactor)")
    op.drop_table("unique_values")
    op.drop_table("properties")
