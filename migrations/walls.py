"""The wall between tenants in the database: what every migration with a new table calls."""

from alembic import op

APP_ROLE = "tenantry_app"
PARTNER = "nullif(current_setting('app.partner_id', true), '')::uuid"


def create_app_role() -> None:
    """The role that the service acts as: no owner, no superuser. It may be there: roles belong to the whole server."""
    op.execute(f"""
        DO $$ BEGIN
            IF to_regrole('{APP_ROLE}') IS NULL THEN  -- an owner that may make no roles finds it ready
                CREATE ROLE {APP_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
    """)
    op.execute(f"""
        DO $$ BEGIN
            IF NOT pg_has_role(current_user, '{APP_ROLE}', 'MEMBER') THEN
                EXECUTE 'GRANT {APP_ROLE} TO ' || quote_ident(current_user);
            END IF;
        END $$
    """)
    op.execute(f"GRANT USAGE ON SCHEMA public TO {APP_ROLE}")


def grant(table: str, privileges: str = "SELECT, INSERT, UPDATE, DELETE") -> None:
    """What the service may do with a table. Nothing is granted by default."""
    op.execute(f"GRANT {privileges} ON {table} TO {APP_ROLE}")


def protect(table: str, column: str = "partner_id") -> None:
    """Row-level security: only rows of the partner in `app.partner_id`, which is set per transaction; unset, none.

    The owner has a policy of its own, so that migrations and the functions below reach all rows on servers
    where no login may have BYPASSRLS. FORCE keeps even the owner from reading without any policy. It names the login
    that migrates, so that `tenantry restore` (app/operate.py) makes it anew for the owner that it restores under.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant ON {table} TO {APP_ROLE} USING ({column} = {PARTNER}) WITH CHECK ({column} = {PARTNER})"
    )
    op.execute(f"CREATE POLICY owner ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")


def definer_function(
    signature: str, returns: str, body: str, *, language: str = "sql", volatility: str = "STABLE"
) -> None:
    """A function that runs as the owner and so sees all partners. Each is listed, with its reason, in a test."""
    op.execute(
        f"CREATE FUNCTION {signature} RETURNS {returns} LANGUAGE {language} {volatility} SECURITY DEFINER "
        f"SET search_path = pg_catalog, public, pg_temp AS $body$ {body} $body$"
    )
    op.execute(f"REVOKE ALL ON FUNCTION {_types(signature)} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {_types(signature)} TO {APP_ROLE}")


def _types(signature: str) -> str:
    """`f(a uuid, b int)` as `f(uuid, int)`."""
    name, _, arguments = signature.rstrip(")").partition("(")
    kinds = ", ".join(a.strip().split(" ", 1)[1] for a in arguments.split(",") if a.strip())
    return f"{name}({kinds})"
