"""Which shared sessions were signed out of.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orchestrator.persistence.migrations import schemas

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table, common to all partitions; what was signed out of before is not known."""
    for schema in schemas():
        op.create_table(
            "sign_out",
            sa.Column("session", TEXT, nullable=False),
            sa.Column("until_ms", KEY, nullable=False),
            sa.PrimaryKeyConstraint("session", name=op.f("pk_sign_out")),
            schema=schema,
            if_not_exists=True,
        )
