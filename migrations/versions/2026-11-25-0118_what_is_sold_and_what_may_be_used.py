"""What is sold, and what may be used: articles, purchases, features, licences, claims."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import grant, protect

revision: str = "1231bfadab5d"
down_revision: str | None = "5d1f0c7b9e34"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "articles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Text(collation="C"), nullable=False),
        sa.Column("name", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("description", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("amount", sa.Numeric(precision=18, scale=4), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column(
            "billing_period",
            sa.Enum("once", "monthly", "quarterly", "yearly", name="billingperiod", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("active_from_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("active_until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("grants", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("search", sa.Text(collation="C"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "billing_period IN ('once', 'monthly', 'quarterly', 'yearly')", name=op.f("ck_articles_billing_period")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_articles")),
        sa.UniqueConstraint("number", name=op.f("uq_articles_number")),
    )
    op.create_table(
        "features",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.Enum("quota", "switch", name="featurekind", native_enum=False, length=20), nullable=False),
        sa.Column("name", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("description", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("unit", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("default_units", sa.Integer(), nullable=False),
        sa.Column(
            "overage",
            sa.Enum(
                "forbidden",
                "up_to_125",
                "up_to_150",
                "up_to_200",
                "allowed",
                name="overage",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("search", sa.Text(collation="C"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "default_units >= 0 AND (kind = 'quota' OR default_units <= 1)", name=op.f("ck_features_default_units")
        ),
        sa.CheckConstraint("kind IN ('quota', 'switch')", name=op.f("ck_features_kind")),
        sa.CheckConstraint(
            "overage IN ('forbidden', 'up_to_125', 'up_to_150', 'up_to_200', 'allowed')",
            name=op.f("ck_features_overage"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_features")),
        sa.UniqueConstraint("key", name=op.f("uq_features_key")),
    )
    op.create_table(
        "account_articles",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("article", sa.Text(collation="C"), nullable=False),
        sa.Column("name", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=18, scale=4), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column(
            "billing_period",
            sa.Enum("once", "monthly", "quarterly", "yearly", name="billingperiod", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("grants", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("price_model", sa.Text(collation="C"), nullable=True),
        sa.Column("order_number", sa.Text(collation="C"), nullable=True),
        sa.Column("invoice_number", sa.Text(collation="C"), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancellation_reason", sa.Text(), nullable=True),
        sa.Column("renews_id", sa.Uuid(), nullable=True),
        sa.Column("replaces_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("ends_at >= starts_at", name=op.f("ck_account_articles_period")),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_account_articles_quantity")),
        sa.ForeignKeyConstraint(
            ["article"], ["articles.number"], name=op.f("fk_account_articles_article"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_id"],
            ["accounts.partner_id", "accounts.id"],
            name=op.f("fk_account_articles_partner_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_account_articles")),
    )
    op.create_index(
        "ix_account_articles_partner_id_account_id_starts_at_id",
        "account_articles",
        ["partner_id", "account_id", "starts_at", "id"],
        unique=False,
    )
    op.create_index(
        "ix_account_articles_partner_id_article_id", "account_articles", ["partner_id", "article", "id"], unique=False
    )
    op.create_index(
        "ix_account_articles_partner_id_invoice_number_id",
        "account_articles",
        ["partner_id", "invoice_number", "id"],
        unique=False,
    )
    op.create_index(
        "ix_account_articles_partner_id_order_number_id",
        "account_articles",
        ["partner_id", "order_number", "id"],
        unique=False,
    )
    op.create_table(
        "claims",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(collation="C"), nullable=False),
        sa.Column("resource", sa.String(length=200, collation="C"), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column(
            "actor",
            sa.Enum("user", "operator", "api_client", "system", name="actor", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("release_reason", sa.Text(), nullable=True),
        sa.Column("release_reference", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("actor IN ('user', 'operator', 'api_client', 'system')", name=op.f("ck_claims_actor")),
        sa.CheckConstraint("units > 0", name=op.f("ck_claims_units")),
        sa.ForeignKeyConstraint(["feature"], ["features.key"], name=op.f("fk_claims_feature"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_id"],
            ["accounts.partner_id", "accounts.id"],
            name=op.f("fk_claims_partner_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_claims")),
    )
    op.create_index(
        "ix_claims_live",
        "claims",
        ["partner_id", "account_id", "feature", "id"],
        unique=False,
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_index("ix_claims_partner_id_account_id_id", "claims", ["partner_id", "account_id", "id"], unique=False)
    op.create_index(
        "uq_claims_resource",
        "claims",
        ["partner_id", "account_id", "feature", "resource"],
        unique=True,
        postgresql_where=sa.text("released_at IS NULL"),
    )
    op.create_table(
        "usages",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(collation="C"), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.CheckConstraint("used >= 0", name=op.f("ck_usages_used")),
        sa.ForeignKeyConstraint(["feature"], ["features.key"], name=op.f("fk_usages_feature"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_id"],
            ["accounts.partner_id", "accounts.id"],
            name=op.f("fk_usages_partner_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_id", "account_id", "feature", name=op.f("pk_usages")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "licences",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("feature", sa.Text(collation="C"), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("max_units_per_claim", sa.Integer(), nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("grace_days", sa.Integer(), nullable=False),
        sa.Column(
            "source",
            sa.Enum("article", "price_model", "manual", name="licencesource", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("account_article_id", sa.Uuid(), nullable=True),
        sa.Column("article", sa.Text(collation="C"), nullable=True),
        sa.Column("price_model", sa.Text(collation="C"), nullable=True),
        sa.Column("order_number", sa.Text(collation="C"), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "suspended_by",
            sa.Enum("operator", "partner", name="suspendedby", native_enum=False, length=20),
            nullable=True,
        ),
        sa.Column("suspension_reason", sa.Text(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revocation_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("source IN ('article', 'price_model', 'manual')", name=op.f("ck_licences_source")),
        sa.CheckConstraint("suspended_by IN ('operator', 'partner')", name=op.f("ck_licences_suspended_by")),
        sa.CheckConstraint("ends_at >= starts_at", name=op.f("ck_licences_period")),
        sa.CheckConstraint("grace_days >= 0", name=op.f("ck_licences_grace_days")),
        sa.CheckConstraint("max_units_per_claim > 0", name=op.f("ck_licences_max_units_per_claim")),
        sa.CheckConstraint("units >= 0", name=op.f("ck_licences_units")),
        sa.ForeignKeyConstraint(["feature"], ["features.key"], name=op.f("fk_licences_feature"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_article_id"],
            ["account_articles.partner_id", "account_articles.id"],
            name=op.f("fk_licences_partner_id_account_article_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_id"],
            ["accounts.partner_id", "accounts.id"],
            name=op.f("fk_licences_partner_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_licences")),
    )
    op.create_index(
        "ix_licences_partner_id_account_article_id", "licences", ["partner_id", "account_article_id"], unique=False
    )
    op.create_index(
        "ix_licences_partner_id_account_id_feature_id",
        "licences",
        ["partner_id", "account_id", "feature", "id"],
        unique=False,
    )
    op.create_index("ix_licences_partner_id_ends_at_id", "licences", ["partner_id", "ends_at", "id"], unique=False)
    op.add_column(
        "price_models",
        sa.Column("base_grants", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
    )
    op.add_column(
        "price_models",
        sa.Column("article_prices", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
    )
    op.add_column("accounts", sa.Column("time_zone", sa.String(length=64), nullable=True))
    op.add_column("partners", sa.Column("time_zone", sa.String(length=64), server_default="UTC", nullable=False))
    for catalogue in ("articles", "features"):
        grant(catalogue, "SELECT, INSERT, UPDATE")  # archived, never deleted
    for table in ("account_articles", "licences", "usages", "claims"):
        grant(table)
        protect(table)


def downgrade() -> None:
    op.drop_column("partners", "time_zone")
    op.drop_column("accounts", "time_zone")
    op.drop_column("price_models", "article_prices")
    op.drop_column("price_models", "base_grants")
    op.drop_table("licences")
    op.drop_table("usages")
    op.drop_table("claims")
    op.drop_table("account_articles")
    op.drop_table("features")
    op.drop_table("articles")
