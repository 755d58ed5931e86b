"""What operators touch: the audit, freezes, consents.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the new tables, and the columns that hold freezes."""
    op.add_column("installation", sa.Column("freeze", TEXT, nullable=True))
    op.add_column("application", sa.Column("freeze", TEXT, nullable=True))
    op.add_column("endpoint_state", sa.Column("consents", sa.Boolean(), nullable=False, server_default=sa.false()))
    _consent()
    _audit()
    _attention()


def _attention() -> None:
    for column, condition in (
        ("attempt_state", "attempt_state BETWEEN 4 AND 6"),
        ("returns", "returns >= 3"),
        ("running_id", "running_id = 0"),
    ):
        op.create_index(
            f"ix_endpoint_state_{column}",
            "endpoint_state",
            [column],
            unique=False,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )


def _consent() -> None:
    op.create_table(
        "consent",
        sa.Column("endpoint_id", KEY, nullable=False),
        sa.Column("version_id", KEY, nullable=False),
        sa.Column("granted", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("at_ms", KEY, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("endpoint_id", "version_id", name=op.f("pk_consent")),
        sqlite_with_rowid=False,
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", KEY, nullable=False),
        sa.Column("at_ms", KEY, nullable=False),
        sa.Column("application", TEXT, nullable=True),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("via", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("resource", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("before", TEXT, nullable=True),
        sa.Column("after", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index("ix_audit_application_id", "audit", ["application", "id"], unique=False)
