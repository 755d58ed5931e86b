"""Which transaction was committed last, and where the tables are; on SQLite nobody asks for either.

Rules:
- Nobody reads or writes these columns from another partition: each schema gets them with its own partition.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add two columns; whoever opens the database says where it is, and every transaction who it is."""
    op.add_column("installation", sa.Column("ticket", KEY))
    op.add_column("installation", sa.Column("site", TEXT))
