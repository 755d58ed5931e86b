"""Leases of partitions, with the epoch of whoever serves them; on SQLite nobody takes any.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table; the epoch of the one partition that there is goes on."""
    op.create_table(
        "lease",
        sa.Column("partition", TEXT, nullable=False),
        sa.Column("replica", TEXT, nullable=False),
        sa.Column("address", TEXT, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("until_ms", KEY, nullable=False),
        sa.Column("session", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("partition", name=op.f("pk_lease")),
    )
    op.execute(
        "INSERT INTO lease (partition, replica, address, epoch, until_ms)"
        " SELECT 'main', '', '', coalesce(max(epoch), 0), 0 FROM installation"
    )
    with op.batch_alter_table("installation") as installation:
        installation.drop_column("epoch")
