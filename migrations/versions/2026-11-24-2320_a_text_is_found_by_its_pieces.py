"""A text is found by its pieces: an index of three bytes each, and the one function that may read by it.

The index is built beside the running service. Interrupted anywhere, the migration does all of it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from migrations.walls import definer_function

revision: str = "5d1f0c7b9e34"
down_revision: str | None = "c3a91f60d274"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "ix_accounts_search_pieces"

# Every three bytes of a text as a number, below a number that stands for the partner: so no partner's search reads
# what others have. Two partners of the same number share entries, and nothing else. The text goes on with two zeros,
# for the sake of what is only two bytes long. In PL/pgSQL, for each row that is written: as a query of its own, the
# same takes three times as long.
PIECES = """
CREATE OR REPLACE FUNCTION search_pieces(partner uuid, content text) RETURNS bigint[]
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $body$
DECLARE
    above CONSTANT bigint := hashtextextended(partner::text, 0) << 24;
    bytes CONSTANT bytea := convert_to(content, 'UTF8') || '\\x0000';
    piece integer := get_byte(bytes, 0) << 8 | get_byte(bytes, 1);
    found bigint[];
BEGIN
    FOR i IN 2 .. octet_length(bytes) - 1 LOOP
        piece := (piece & 65535) << 8 | get_byte(bytes, i);
        found[i - 1] := above | piece;
    END LOOP;
    RETURN found;
END
$body$
"""

# It refuses another partner than the one of the transaction, so that it opens no way around row-level security. The
# inner queries name nothing but the pieces, and OFFSET keeps them apart: there is no other index to read them by, and
# so one plan serves all. A single byte has no pieces to be found by: then it is all accounts of the partner.
MATCHING = """
DECLARE
    bytes CONSTANT bytea := convert_to(sought, 'UTF8');
    pieces bigint[];
    found uuid[];
BEGIN
    IF partner IS DISTINCT FROM nullif(current_setting('app.partner_id', true), '')::uuid THEN
        RAISE insufficient_privilege USING MESSAGE = 'another partner than that of the transaction';
    END IF;
    IF octet_length(bytes) >= 3 THEN
        pieces := (search_pieces(partner, sought))[1 : octet_length(bytes) - 2];
        found := ARRAY(
            SELECT a.id FROM (SELECT id, partner_id, search FROM accounts
                               WHERE search_pieces(partner_id, search) @> pieces OFFSET 0) a
             WHERE a.partner_id = partner AND strpos(a.search, sought) > 0 LIMIT most + 1::bigint);
    ELSIF octet_length(bytes) = 2 THEN
        pieces := ARRAY(SELECT (search_pieces(partner, sought))[1] | last FROM generate_series(0, 255) last);
        found := ARRAY(
            SELECT a.id FROM (SELECT id, partner_id, search FROM accounts
                               WHERE search_pieces(partner_id, search) && pieces OFFSET 0) a
             WHERE a.partner_id = partner AND strpos(a.search, sought) > 0 LIMIT most + 1::bigint);
    ELSE
        found := ARRAY(SELECT id FROM accounts
                        WHERE partner_id = partner AND strpos(search, sought) > 0 LIMIT most + 1::bigint);
    END IF;
    RETURN CASE WHEN cardinality(found) <= most THEN found END;
END
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(PIECES)
        # Builds nobody waits behind; it has to wait itself, for transactions that were there before.
        op.execute("SET lock_timeout = '60s'")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # what an interrupted attempt left is not valid
        op.create_index(
            INDEX,
            "accounts",
            [sa.text("search_pieces(partner_id, search)")],
            postgresql_using="gin",
            postgresql_concurrently=True,
        )
        op.execute("SET lock_timeout = '100ms'")
        op.execute(f"ALTER INDEX {INDEX} ALTER COLUMN 1 SET STATISTICS 0")  # nothing is planned by them
    # Once the index is valid, and in one transaction with the note that the migration is done.
    definer_function(
        "accounts_matching(partner uuid, sought text, most integer)", "uuid[]", MATCHING, language="plpgsql"
    )
    # With less memory, a large bitmap forgets which rows of a page were meant, and takes the pieces of all of them.
    for setting in ("enable_seqscan = off", "enable_indexscan = off", "work_mem = '64MB'"):
        op.execute(f"ALTER FUNCTION accounts_matching(uuid, text, integer) SET {setting}")


def downgrade() -> None:
    op.execute("DROP FUNCTION accounts_matching(uuid, text, integer)")
    op.drop_index(INDEX, "accounts")
    op.execute("DROP FUNCTION search_pieces(uuid, text)")
