"""With which credential of an API client an import was set going: the work stops when somebody ends it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "2f7a90c4e1b8"
down_revision: str | None = "2f9e61b8c47d"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("account_imports", sa.Column("credential_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    op.drop_column("account_imports", "credential_id")
