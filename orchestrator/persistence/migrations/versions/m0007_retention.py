"""What is left of removed rows: what attempts counted for, and how far history and attempts are removed.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEYS = ("application_id", "version_id", "origin_id")
_KINDS = ("state", "stage", "reached", "unhealthy")


def upgrade() -> None:
    """Add two tables; nothing was removed so far."""
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "attempt_sum",
        *(sa.Column(name, key, nullable=False) for name in _KEYS),
        *(sa.Column(name, sa.SmallInteger(), nullable=False) for name in _KINDS),
        sa.Column("amount", key, nullable=False),
        sa.PrimaryKeyConstraint(*_KEYS, *_KINDS, name="pk_attempt_sum"),
        sqlite_with_rowid=False,
    )
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "removed_until",
        sa.Column("kind", text, nullable=False),
        sa.Column("number", key, nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_removed_until"),
    )
