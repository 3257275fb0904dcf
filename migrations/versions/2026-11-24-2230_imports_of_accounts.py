"""Imports of accounts: the jobs, their files, and the rows that could not be taken."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import definer_function, grant, protect

revision: str = "c3a91f60d274"
down_revision: str | None = "5c1e7d0a93b2"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

JSON = postgresql.JSONB(none_as_null=True, astext_type=sa.Text())
UNFINISHED = sa.text("status IN ('checking', 'checked', 'running')")


def upgrade() -> None:
    op.create_table(
        "account_imports",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("file_search", sa.Text(collation="C"), nullable=False),
        sa.Column("file_bytes", sa.Integer(), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("confirmed_by", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("skip_errors", sa.Boolean(), nullable=False),
        sa.Column("layout", JSON, nullable=True),
        sa.Column("columns", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("match", sa.String(length=60), nullable=True),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("rows_done", sa.Integer(), nullable=False),
        sa.Column("rows_total", sa.Integer(), nullable=True),
        sa.Column("planned", JSON, nullable=True),
        sa.Column("result", JSON, nullable=True),
        sa.Column("errors_kept", sa.Integer(), nullable=False),
        sa.Column("failure", JSON, nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leased_by", sa.Uuid(), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('checking', 'checked', 'running', 'done', 'failed', 'cancelled')",
            name=op.f("ck_account_imports_status"),
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.id"], name=op.f("fk_account_imports_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_account_imports")),
    )
    op.create_index(
        "ix_account_imports_unfinished", "account_imports", ["partner_id", "id"], postgresql_where=UNFINISHED
    )
    op.create_index("ix_account_imports_finished_at", "account_imports", ["finished_at"])
    _parts()
    for table in ("account_imports", "account_import_chunks", "account_import_errors"):
        grant(table)
        protect(table)
    definer_function(
        "partners_with_waiting_imports(now_at timestamptz, worker uuid)",
        "TABLE (partner_id uuid)",
        "SELECT partner_id FROM (SELECT DISTINCT i.partner_id FROM account_imports i"
        " WHERE i.status IN ('checking', 'checked', 'running') AND"
        " CASE WHEN i.status = 'checked' THEN i.updated_at <= now_at - interval '1 day'"
        " ELSE i.leased_until IS NULL OR i.leased_until <= now_at OR i.leased_by = worker END) waiting"
        " ORDER BY random() LIMIT 100",
    )
    definer_function(
        "purge_imports()",
        "void",
        "DELETE FROM account_imports WHERE finished_at < now() - interval '90 days'",
        volatility="VOLATILE",
    )


def _parts() -> None:
    """What goes with an import."""
    op.create_table(
        "account_import_chunks",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id", "import_id"],
            ["account_imports.partner_id", "account_imports.id"],
            name=op.f("fk_account_import_chunks_partner_id_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_id", "import_id", "number", name=op.f("pk_account_import_chunks")),
    )
    op.create_table(
        "account_import_errors",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("import_id", sa.Uuid(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("column", sa.String(length=200), nullable=True),
        sa.Column("code", sa.String(length=80), nullable=False),
        sa.Column("en", sa.String(length=500), nullable=False),
        sa.Column("de", sa.String(length=500), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id", "import_id"],
            ["account_imports.partner_id", "account_imports.id"],
            name=op.f("fk_account_import_errors_partner_id_import_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_id", "import_id", "row", "number", name=op.f("pk_account_import_errors")),
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION purge_imports()")
    op.execute("DROP FUNCTION partners_with_waiting_imports(timestamptz, uuid)")
    op.drop_table("account_import_errors")
    op.drop_table("account_import_chunks")
    op.drop_index("ix_account_imports_finished_at", table_name="account_imports")
    op.drop_index("ix_account_imports_unfinished", table_name="account_imports", postgresql_where=UNFINISHED)
    op.drop_table("account_imports")
