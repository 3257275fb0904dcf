"""Who waits for events looks where their partners are; what has been kept long enough is erased."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.walls import definer_function, grant, protect

revision: str = "5b7d20c4e9a8"
down_revision: str | None = "d7b21f4ac806"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # One look into an index for each partner; numbers only.
    definer_function(
        "newest_positions(partners uuid[])",
        'TABLE (partner_id uuid, "position" bigint)',
        """
        SELECT p.id, coalesce((SELECT e.position FROM events e WHERE e.partner_id = p.id AND e.position IS NOT NULL
                                ORDER BY e.position DESC LIMIT 1), 0)
          FROM unnest(partners) AS p(id)
        """,
    )
    op.create_table(
        "event_keepings",
        sa.Column("partner_id", sa.Uuid(), nullable=False),
        sa.Column("erased_to", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("partner_id", name=op.f("pk_event_keepings")),
    )
    grant("event_keepings", "SELECT")  # it is written by the function below
    protect("event_keepings")
    op.execute(FIRST_KEPT)
    definer_function(
        "partners_with_old_events(days integer)",
        "TABLE (partner_id uuid)",
        """
        SELECT p.id FROM (SELECT id FROM partners UNION ALL SELECT '00000000-0000-0000-0000-000000000000'::uuid) p
          LEFT JOIN event_keepings k ON k.partner_id = p.id
         WHERE EXISTS (SELECT FROM events e WHERE e.partner_id = p.id AND e.id < first_kept_event(days)
                          AND e.id > coalesce(k.erased_to, '00000000-0000-0000-0000-000000000000'))
         ORDER BY random() LIMIT 100
        """,
    )
    definer_function("erase_events(partner uuid, days integer, most integer)", "integer", ERASE_EVENTS,
                     language="plpgsql", volatility="VOLATILE")  # fmt: skip


# Ids are in order of time (UUIDv7: milliseconds in the first 48 bits). Thirty days are kept, whoever asks: the
# application may not take away what it has just done.
FIRST_KEPT = """
CREATE FUNCTION first_kept_event(days integer) RETURNS uuid LANGUAGE sql STABLE
    SET search_path = pg_catalog, public AS $body$
    SELECT (lpad(to_hex((1000 * extract(epoch FROM now() - make_interval(days => greatest(days, 30))))::bigint), 12,
                 '0') || repeat('0', 20))::uuid
$body$
"""

# The contents go with their salts, so that the chain still verifies and nobody can guess them.
ERASE_EVENTS = """
DECLARE
    had uuid;
    done uuid[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('erase:' || partner::text, 0)) THEN
        RETURN 0;  -- another worker is at it
    END IF;
    SELECT k.erased_to INTO had FROM event_keepings k WHERE k.partner_id = partner;
    SELECT array_agg(old.id ORDER BY old.id) INTO done FROM (
        SELECT e.id FROM events e WHERE e.partner_id = partner AND e.id < first_kept_event(days)
           AND e.id > coalesce(had, '00000000-0000-0000-0000-000000000000') ORDER BY e.id LIMIT most) old;
    IF done IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE events SET details = NULL, salt = NULL, origin = NULL, origin_salt = NULL
     WHERE partner_id = partner AND id = ANY (done);
    INSERT INTO event_keepings (partner_id, erased_to) VALUES (partner, done[cardinality(done)])
        ON CONFLICT (partner_id) DO UPDATE SET erased_to = excluded.erased_to;
    RETURN cardinality(done);
END
"""


def downgrade() -> None:
    op.execute("DROP FUNCTION erase_events(uuid, integer, integer)")
    op.execute("DROP FUNCTION partners_with_old_events(integer)")
    op.execute("DROP FUNCTION first_kept_event(integer)")
    op.drop_table("event_keepings")
    op.execute("DROP FUNCTION newest_positions(uuid[])")
