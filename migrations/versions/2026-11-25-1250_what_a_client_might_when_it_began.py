"""What an API client might, by the token that it sent, when it set an import going: the work keeps to it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "6c1f83d0a25e"
down_revision: str | None = "e4a90c57d213"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("account_imports", sa.Column("client_scopes", sa.ARRAY(sa.Text()), nullable=True))


def downgrade() -> None:
    op.drop_column("account_imports", "client_scopes")
