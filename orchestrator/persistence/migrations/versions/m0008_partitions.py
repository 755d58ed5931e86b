"""Which partition each name is in, which replicas there are, and a secret that they share.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables; all that there is so far is in `main`. Whoever opens the database makes the secret."""
    op.add_column("installation", sa.Column("secret", TEXT))
    op.create_table(
        "place",
        *(sa.Column(name, TEXT, nullable=False) for name in ("kind", "name", "partition", "application")),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_place")),
    )
    op.create_table(
        "replica",
        *(sa.Column(name, TEXT, nullable=False) for name in ("name", "address")),
        sa.Column("until_ms", KEY, nullable=False),
        sa.Column("session", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_replica")),
    )
    op.execute(
        "INSERT INTO place (kind, name, partition, application)"
        " SELECT 'application', name, 'main', name FROM application"
    )
    op.execute(
        "INSERT INTO place (kind, name, partition, application)"
        " SELECT 'app-version', v.name, 'main', a.name FROM app_version v JOIN application a ON a.id = v.application_id"
    )
