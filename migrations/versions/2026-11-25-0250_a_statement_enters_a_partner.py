"""A statement by itself can enter a partner: see whose rows it may, and hold its columns as they are."""

from collections.abc import Sequence

from alembic import op

revision: str = "4e8a1c60b7d3"
down_revision: str | None = "7c2e90b1d4a8"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# VOLATILE: each statement of it sees what is committed by then, so the version is read behind the lock. Null if
# somebody changes the columns just now: whoever called does not wait here.
ENTERED = """
    CREATE FUNCTION entered(partner uuid, lock bigint) RETURNS integer LANGUAGE plpgsql VOLATILE AS $body$
    BEGIN
        PERFORM set_config('app.partner_id', partner::text, true);
        IF NOT pg_try_advisory_xact_lock_shared(lock) THEN
            RETURN NULL;
        END IF;
        RETURN (SELECT properties_version FROM partners WHERE id = partner);
    END
    $body$
"""


def upgrade() -> None:
    op.execute(ENTERED)


def downgrade() -> None:
    op.execute("DROP FUNCTION entered(uuid, bigint)")
