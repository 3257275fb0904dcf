"""What is kept about people: given to them as a file, and erased."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.walls import definer_function, grant

revision: str = "e4a90c57d213"
down_revision: str | None = "b8d2f05a7c41"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MOMENT = sa.DateTime(timezone=True)
STATUSES = ("running", "done")

# Of an event of a partner, what is about a person who is being erased: from where they acted, and what says their name,
# address or network (facts about the user, about log-ins, about invitations to their address). The rest of the log
# names them by id alone, which is a pseudonym from then on. Nobody else's events are touched: an erasure must be under
# way. The chain holds without either part, for it covers commitments (decision 4).
ERASE_EVENTS = """
BEGIN
    IF NOT EXISTS (SELECT 1 FROM erasures x WHERE x.user_id = who AND x.finished_at IS NULL) THEN
        RAISE EXCEPTION 'nobody is to be erased under this id';
    END IF;
    UPDATE events e SET origin = NULL, origin_salt = NULL
     WHERE e.partner_id = partner AND e.id > past AND e.id <= until
       AND (e.actor_id = who OR e.on_behalf_of = who) AND e.origin_salt IS NOT NULL;
    UPDATE events e SET details = NULL, salt = NULL
     WHERE e.partner_id = partner AND e.id > past AND e.id <= until AND e.salt IS NOT NULL
       AND ((e.subject_type = 'user' AND e.subject_id = who)
         OR (e.subject_type = 'session' AND e.actor_id = who)
         OR (e.subject_type = 'invitation' AND e.subject_id IN
             (SELECT i.id FROM invitations i WHERE i.partner_id = partner AND i.email_key = pseudonym)));
END
"""

# Where somebody is the only one in charge, and so may not go. The rows are held first, as everybody does who changes
# members: nobody else leaves meanwhile. An archived account needs no admin.
LAST_ADMIN_OF = """
BEGIN
    PERFORM 1 FROM partners p WHERE p.id IN
        (SELECT m.partner_id FROM partner_members m WHERE m.user_id = who AND m.role = 'partner_admin')
     ORDER BY p.id FOR NO KEY UPDATE;
    PERFORM 1 FROM accounts a WHERE (a.partner_id, a.id) IN
        (SELECT m.partner_id, m.account_id FROM account_members m WHERE m.user_id = who AND m.role = 'account_admin')
     ORDER BY a.partner_id, a.id FOR NO KEY UPDATE;
    RETURN QUERY
        SELECT p.id, p.name::text, NULL::uuid, NULL::text
          FROM partner_members m JOIN partners p ON p.id = m.partner_id
         WHERE m.user_id = who AND m.role = 'partner_admin' AND NOT EXISTS
            (SELECT 1 FROM partner_members o JOIN users u ON u.id = o.user_id WHERE o.partner_id = m.partner_id
                AND o.role = 'partner_admin' AND o.user_id <> who AND u.status = 'active')
        UNION ALL
        SELECT p.id, p.name::text, a.id, a.name::text
          FROM account_members m JOIN partners p ON p.id = m.partner_id
          JOIN accounts a ON a.partner_id = m.partner_id AND a.id = m.account_id
         WHERE m.user_id = who AND m.role = 'account_admin' AND a.status <> 'archived' AND NOT EXISTS
            (SELECT 1 FROM account_members o JOIN users u ON u.id = o.user_id WHERE o.partner_id = m.partner_id
                AND o.account_id = m.account_id AND o.role = 'account_admin' AND o.user_id <> who
                AND u.status = 'active')
        ORDER BY 2, 4 NULLS FIRST LIMIT 100;
END
"""

# Addresses of people who never came: what the invitation said of them is taken out of the log as well.
PURGE_INVITATIONS = """
    WITH gone AS (
        UPDATE invitations i SET email = 'erased-' || i.id || '@erased.invalid',
               email_key = 'erased-' || i.id || '@erased.invalid', version = i.version + 1
         WHERE (i.partner_id, i.id) IN (
            SELECT o.partner_id, o.id FROM invitations o
             WHERE o.status <> 'accepted' AND o.expires_at < now() - interval '90 days'
               AND o.email_key NOT LIKE 'erased-%@erased.invalid' LIMIT 5000)
        RETURNING i.partner_id, i.id)
    UPDATE events e SET details = NULL, salt = NULL FROM gone
     WHERE e.partner_id = gone.partner_id AND e.subject_id = gone.id AND e.subject_type = 'invitation'
       AND e.salt IS NOT NULL
"""


def upgrade() -> None:
    op.create_table(
        "data_exports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Enum(*STATUSES, name="dataexportstatus", native_enum=False, length=20), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("at_partner", sa.Uuid(), nullable=False),
        sa.Column("at_holding", sa.Integer(), nullable=False),
        sa.Column("at_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint(f"status IN {STATUSES}", name=op.f("ck_data_exports_status")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_data_exports_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_exports")),
    )
    op.create_index("ix_data_exports_user_id", "data_exports", ["user_id"])
    op.create_index("ix_data_exports_expires_at", "data_exports", ["expires_at"])
    op.create_index(
        "ix_data_exports_unfinished", "data_exports", ["id"], postgresql_where=sa.text("status = 'running'")
    )
    op.create_table(
        "data_export_parts",
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["export_id"], ["data_exports.id"], name=op.f("fk_data_export_parts_export_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("export_id", "number", name=op.f("pk_data_export_parts")),
    )
    op.create_table(
        "erasures",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("at_partner", sa.Uuid(), nullable=False),
        sa.Column("at_event", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_erasures_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_erasures")),
    )
    op.create_index("ix_erasures_unfinished", "erasures", ["user_id"], postgresql_where=sa.text("finished_at IS NULL"))
    for table in ("data_exports", "data_export_parts", "erasures"):
        grant(table)
    _functions()


def _functions() -> None:
    definer_function(
        "erase_events_about(partner uuid, who uuid, pseudonym text, past uuid, until uuid)", "void", ERASE_EVENTS,
        language="plpgsql", volatility="VOLATILE",
    )  # fmt: skip
    definer_function(
        "last_admin_of(who uuid)",
        "TABLE (partner_id uuid, partner_name text, account_id uuid, account_name text)",
        LAST_ADMIN_OF,
        language="plpgsql",
        volatility="VOLATILE",
    )
    definer_function("purge_invitations()", "void", PURGE_INVITATIONS, volatility="VOLATILE")


def downgrade() -> None:
    op.execute("DROP FUNCTION purge_invitations()")
    op.execute("DROP FUNCTION last_admin_of(uuid)")
    op.execute("DROP FUNCTION erase_events_about(uuid, uuid, text, uuid, uuid)")
    for table in ("erasures", "data_export_parts", "data_exports"):
        op.drop_table(table)
