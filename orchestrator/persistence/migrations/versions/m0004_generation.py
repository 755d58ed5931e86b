"""How often the database was restored from a backup: the broker may be ahead of it by then.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no database was restored so far."""
    column = sa.Column("generation", sa.Integer(), nullable=False, server_default=sa.text("0"))
    op.add_column("installation", column)
