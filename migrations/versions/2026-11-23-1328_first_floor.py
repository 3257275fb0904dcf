"""Users, partners, accounts, members, invitations; change log, outbox; the walls between tenants."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import create_app_role, definer_function, grant, protect

revision: str = "647e54ae6217"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("template", sa.String(length=40), nullable=False),
        sa.Column("values", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_done_at", "deliveries", ["done_at"], unique=False)
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["partner_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_table(
        "events",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("subject_type", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.String(length=20), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("on_behalf_of", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("details", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("details_hash", sa.LargeBinary(), nullable=False),
        sa.Column("origin", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("origin_salt", sa.LargeBinary(), nullable=True),
        sa.Column("origin_hash", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("actor IN ('user', 'operator', 'api_client', 'system')", name=op.f("ck_events_actor")),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_partner_id_position", "events", ["partner_id", "position"], unique=False)
    op.create_index("ix_events_partner_id_subject_id_id", "events", ["partner_id", "subject_id", "id"], unique=False)
    op.create_index(
        "ix_events_unnumbered",
        "events",
        ["partner_id", "id"],
        unique=False,
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_table(
        "partners",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("name_search", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("partner_management_enabled", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("language IN ('en', 'de')", name=op.f("ck_partners_language")),
        sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f("ck_partners_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partners")),
    )
    op.create_index("ix_partners_name_search_id", "partners", ["name_search", "id"], unique=False)
    op.create_table(
        "stored_answers",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", "actor_id", "key", name=op.f("pk_stored_answers")),
    )
    op.create_index("ix_stored_answers_created_at", "stored_answers", ["created_at"], unique=False)
    op.create_table(
        "throttles",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttles")),
    )
    op.create_index("ix_throttles_blocked_until", "throttles", ["blocked_until"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_key", sa.String(length=254, collation="C"), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("name_search", sa.Text(collation="C"), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("operator", sa.Boolean(), nullable=False),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
        sa.Column("totp_enabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("totp_last_step", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("language IN ('en', 'de')", name=op.f("ck_users_language")),
        sa.CheckConstraint("status IN ('active', 'suspended')", name=op.f("ck_users_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
    )
    op.create_table(
        "worker_beats",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_beats")),
    )
    op.create_table(
        "accounts",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("name_key", sa.Text(collation="C"), nullable=False),
        sa.Column("name_search", sa.Text(collation="C"), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'suspended', 'archived')", name=op.f("ck_accounts_status")),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.id"], name=op.f("fk_accounts_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_accounts")),
    )
    op.create_index(
        "ix_accounts_partner_id_created_at_id", "accounts", ["partner_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_accounts_partner_id_name_search_id", "accounts", ["partner_id", "name_search", "id"], unique=False
    )
    op.create_index(
        "uq_accounts_name_key",
        "accounts",
        ["partner_id", "name_key"],
        unique=True,
        postgresql_where=sa.text("status <> 'archived'"),
    )
    op.create_table(
        "partner_members",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "role IN ('partner_admin', 'partner_manager', 'partner_viewer')", name=op.f("ck_partner_members_role")
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.id"], name=op.f("fk_partner_members_partner_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_partner_members_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_partner_members")),
        sa.UniqueConstraint("partner_id", "user_id", name=op.f("uq_partner_members_partner_id_user_id")),
    )
    op.create_index("ix_partner_members_user_id", "partner_members", ["user_id"], unique=False)
    op.create_table(
        "password_resets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_password_resets_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_resets")),
    )
    op.create_index("ix_password_resets_user_id", "password_resets", ["user_id"], unique=False)
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "code_hash", name=op.f("pk_recovery_codes")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("network", sa.String(length=64), nullable=False),
        sa.Column("user_agent", sa.String(length=200), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"], unique=False)
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"], unique=False)
    op.create_table(
        "account_members",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "role IN ('account_admin', 'account_editor', 'account_viewer')", name=op.f("ck_account_members_role")
        ),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_id"],
            ["accounts.partner_id", "accounts.id"],
            name=op.f("fk_account_members_partner_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_account_members_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_account_members")),
        sa.UniqueConstraint(
            "partner_id", "account_id", "user_id", name=op.f("uq_account_members_partner_id_account_id_user_id")
        ),
    )
    op.create_index("ix_account_members_user_id", "account_members", ["user_id"], unique=False)
    op.create_table(
        "invitations",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("email_key", sa.String(length=254, collation="C"), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("mail_status", sa.String(length=20), nullable=False),
        sa.Column("accepted_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("(account_id IS NULL) = (role LIKE 'partner\\_%')", name=op.f("ck_invitations_role_fits")),
        sa.CheckConstraint("mail_status IN ('queued', 'sent', 'failed')", name=op.f("ck_invitations_mail_status")),
        sa.CheckConstraint(
            "status IN ('pending', 'accepted', 'expired', 'revoked')", name=op.f("ck_invitations_status")
        ),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["users.id"], name=op.f("fk_invitations_invited_by"), ondelete="NO ACTION"
        ),
        sa.ForeignKeyConstraint(
            ["partner_id", "account_id"],
            ["accounts.partner_id", "accounts.id"],
            name=op.f("fk_invitations_partner_id_account_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["partner_id"], ["partners.id"], name=op.f("fk_invitations_partner_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("partner_id", "id", name=op.f("pk_invitations")),
    )
    op.create_index("ix_invitations_invited_by", "invitations", ["invited_by"], unique=False)
    op.create_index(
        "ix_invitations_partner_id_account_id_id", "invitations", ["partner_id", "account_id", "id"], unique=False
    )
    op.create_index(
        "uq_invitations_pending",
        "invitations",
        ["partner_id", "account_id", "email_key"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_refresh_tokens_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"], unique=False)
    _walls()
    _functions()


def _walls() -> None:
    create_app_role()
    for table in ("accounts", "account_members", "partner_members", "invitations", "deliveries", "stored_answers"):
        grant(table)
        protect(table)
    grant("partners", "SELECT, INSERT, UPDATE")
    protect("partners", "id")
    op.execute("CREATE POLICY operator ON partners FOR SELECT TO tenantry_app "
               "USING (current_setting('app.operator', true) = 'on')")  # fmt: skip
    grant("events", "SELECT, INSERT")  # append-only: positions and hashes are given by number_events
    protect("events")
    op.execute("CREATE POLICY unnumbered ON events AS RESTRICTIVE FOR INSERT TO tenantry_app "
               "WITH CHECK (position IS NULL AND hash IS NULL)")  # fmt: skip
    for table in (
        "users",
        "sessions",
        "refresh_tokens",
        "recovery_codes",
        "password_resets",
        "throttles",
        "worker_beats",
    ):
        grant(table)
    grant("alembic_version", "SELECT")


def _functions() -> None:
    op.execute(EVENT_FACTS)
    definer_function(
        "memberships_of(who uuid)",
        "TABLE (partner_id uuid, partner_name text, partner_status text, partner_management_enabled boolean,"
        " account_id uuid, account_name text, account_status text, role text)",
        """
        SELECT p.id, p.name, p.status, p.partner_management_enabled, NULL::uuid, NULL::text, NULL::text, m.role
          FROM partner_members m JOIN partners p ON p.id = m.partner_id WHERE m.user_id = who
        UNION ALL
        SELECT p.id, p.name, p.status, p.partner_management_enabled, a.id, a.name, a.status, m.role
          FROM account_members m JOIN accounts a ON a.partner_id = m.partner_id AND a.id = m.account_id
          JOIN partners p ON p.id = m.partner_id WHERE m.user_id = who
        """,
    )
    definer_function(
        "partners_with_due_deliveries(now_at timestamptz)",
        "TABLE (partner_id uuid)",
        """
        SELECT d.partner_id FROM deliveries d
         WHERE d.done_at IS NULL AND d.due_at <= now_at AND (d.leased_until IS NULL OR d.leased_until <= now_at)
         GROUP BY d.partner_id ORDER BY random() LIMIT 100
        """,
    )
    definer_function(
        "partners_with_unnumbered_events()",
        "TABLE (partner_id uuid)",
        "SELECT partner_id FROM (SELECT DISTINCT e.partner_id FROM events e WHERE e.position IS NULL) waiting"
        " ORDER BY random() LIMIT 100",
    )
    definer_function(
        "outbox_state()",
        "TABLE (depth bigint, oldest timestamptz)",
        "SELECT count(*), min(d.due_at) FROM deliveries d WHERE d.done_at IS NULL",
    )
    definer_function(
        "purge_tenant_rows()",
        "void",
        """
        DELETE FROM deliveries WHERE done_at < now() - interval '30 days';
        DELETE FROM stored_answers WHERE created_at < now() - interval '24 hours';
        """,
        volatility="VOLATILE",
    )
    definer_function("number_events(partner uuid, most integer)", "integer", NUMBER_EVENTS, language="plpgsql",
                     volatility="VOLATILE")  # fmt: skip


# One sequencer per partner at a time. Only committed events are visible to it, so a position is never given to
# one that might still vanish, and none that commits late is skipped: it gets the next free position.
NUMBER_EVENTS = """
DECLARE
    next_position bigint;
    chained bytea;
    numbered integer := 0;
    fact events%ROWTYPE;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('events:' || partner::text, 0)) THEN
        RETURN 0;  -- another worker is at it, and a worker that waits would keep other partners waiting
    END IF;
    SELECT e.position, e.hash INTO next_position, chained FROM events e
     WHERE e.partner_id = partner AND e.position IS NOT NULL ORDER BY e.position DESC LIMIT 1;
    next_position := coalesce(next_position, 0);
    chained := coalesce(chained, ''::bytea);
    FOR fact IN SELECT * FROM events e WHERE e.partner_id = partner AND e.position IS NULL ORDER BY e.id LIMIT most LOOP
        next_position := next_position + 1;
        chained := sha256(chained || int8send(next_position) || event_facts(fact) || fact.details_hash);
        UPDATE events SET position = next_position, hash = chained WHERE partner_id = partner AND id = fact.id;
        numbered := numbered + 1;
    END LOOP;
    RETURN numbered;
END
"""

EVENT_FACTS = """
CREATE FUNCTION event_facts(fact events) RETURNS bytea LANGUAGE sql STABLE
    SET search_path = pg_catalog, public AS $body$
    SELECT convert_to(jsonb_build_array(fact.partner_id, fact.id, fact.type, fact.subject_type, fact.subject_id,
        fact.account_id, fact.actor, fact.actor_id, fact.on_behalf_of, fact.request_id,
        extract(epoch FROM fact.created_at)::text, encode(fact.origin_hash, 'hex'))::text, 'UTF8')
$body$
"""


def downgrade() -> None:
    for function in ("memberships_of(uuid)", "partners_with_due_deliveries(timestamptz)",
                     "number_events(uuid, integer)",
                     "partners_with_unnumbered_events()", "outbox_state()", "event_facts(events)",
                     "purge_tenant_rows()"):  # fmt: skip
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_refresh_tokens_session_id", table_name="refresh_tokens")
    op.drop_table("refresh_tokens")
    op.drop_index(
        "uq_invitations_pending",
        table_name="invitations",
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_index("ix_invitations_partner_id_account_id_id", table_name="invitations")
    op.drop_index("ix_invitations_invited_by", table_name="invitations")
    op.drop_table("invitations")
    op.drop_index("ix_account_members_user_id", table_name="account_members")
    op.drop_table("account_members")
    op.drop_index("ix_sessions_user_id", table_name="sessions")
    op.drop_index("ix_sessions_expires_at", table_name="sessions")
    op.drop_table("sessions")
    op.drop_table("recovery_codes")
    op.drop_index("ix_password_resets_user_id", table_name="password_resets")
    op.drop_table("password_resets")
    op.drop_index("ix_partner_members_user_id", table_name="partner_members")
    op.drop_table("partner_members")
    op.drop_index("uq_accounts_name_key", table_name="accounts", postgresql_where=sa.text("status <> 'archived'"))
    op.drop_index("ix_accounts_partner_id_name_search_id", table_name="accounts")
    op.drop_index("ix_accounts_partner_id_created_at_id", table_name="accounts")
    op.drop_table("accounts")
    op.drop_table("worker_beats")
    op.drop_table("users")
    op.drop_index("ix_throttles_blocked_until", table_name="throttles")
    op.drop_table("throttles")
    op.drop_index("ix_stored_answers_created_at", table_name="stored_answers")
    op.drop_table("stored_answers")
    op.drop_index("ix_partners_name_search_id", table_name="partners")
    op.drop_table("partners")
    op.drop_index("ix_events_unnumbered", table_name="events", postgresql_where=sa.text("position IS NULL"))
    op.drop_index("ix_events_partner_id_subject_id_id", table_name="events")
    op.drop_index("ix_events_partner_id_position", table_name="events")
    op.drop_table("events")
    op.drop_index("ix_deliveries_due", table_name="deliveries", postgresql_where=sa.text("done_at IS NULL"))
    op.drop_index("ix_deliveries_done_at", table_name="deliveries")
    op.drop_table("deliveries")
