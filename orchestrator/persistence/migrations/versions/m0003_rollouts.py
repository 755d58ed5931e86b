"""What rollouts keep: their state, soaks, health, slots, consent that is asked for, queues for want of room.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns; an attempt that was made before belongs to no stage."""
    op.add_column("application", sa.Column("limits", TEXT, nullable=True))
    op.add_column("software", sa.Column("state", TEXT, nullable=True))
    op.add_column("endpoint_state", sa.Column("soaking_ms", KEY, nullable=True))
    for name in ("soak_reports", "lapsed", "asked_id"):
        kind = {"soak_reports": sa.Integer(), "lapsed": sa.SmallInteger(), "asked_id": KEY}[name]
        op.add_column("endpoint_state", sa.Column(name, kind, nullable=False, server_default=sa.text("0")))
    for table in ("endpoint_state", "attempt"):
        op.add_column(table, sa.Column("healthy", sa.SmallInteger(), nullable=True))
    unwell = sa.text("healthy = 0")
    op.create_index(
        "ix_endpoint_state_healthy", "endpoint_state", ["healthy"], sqlite_where=unwell, postgresql_where=unwell
    )
    with op.batch_alter_table("work", naming_convention={"uq": "uq_%(table_name)s_%(column_0_N_name)s"}) as work:
        work.add_column(sa.Column("version_id", KEY, nullable=True))
        work.add_column(sa.Column("again", sa.SmallInteger(), nullable=False, server_default=sa.text("0")))
        work.create_unique_constraint(op.f("uq_work_application_id_version_id"), ["application_id", "version_id"])
