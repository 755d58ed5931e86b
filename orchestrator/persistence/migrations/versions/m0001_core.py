"""The core's tables.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create every table."""
    _application()
    _attempt()
    _counter()
    _dead_letter()
    _delivery()
    _endpoint()
    _endpoint_state()
    _history()
    _installation()
    _outage()
    _parked_push()
    _push()
    _setback()
    _app_version()
    _filter()
    _version()
    _work()
    _software()


def _application() -> None:
    op.create_table(
        "application",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("profile", TEXT, nullable=False),
        sa.Column("push", TEXT, nullable=False),
        sa.Column("registration", TEXT, nullable=False),
        sa.Column("consent", TEXT, nullable=False),
        sa.Column("operator_keys", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=True),
        sa.Column("revision", KEY, nullable=False),
        sa.Column("created_ms", KEY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_application")),
        sa.UniqueConstraint("name", name=op.f("uq_application_name")),
    )


def _attempt() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", KEY, nullable=False),
        sa.Column("endpoint_id", KEY, nullable=False),
        sa.Column("version_id", KEY, nullable=False),
        sa.Column("origin_id", KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sequence", KEY, nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("offered_ms", KEY, nullable=True),
        sa.Column("reached_ms", KEY, nullable=True),
        sa.Column("settled_ms", KEY, nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", "endpoint_id", name=op.f("pk_attempt")),
        sqlite_with_rowid=False,
    )


def _counter() -> None:
    op.create_table(
        "counter",
        sa.Column("application_id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("version_id", KEY, nullable=False),
        sa.Column("origin_id", KEY, nullable=False),
        sa.Column("label", TEXT, nullable=False),
        sa.Column("amount", KEY, nullable=False),
        sa.PrimaryKeyConstraint("application_id", "name", "version_id", "origin_id", "label", name=op.f("pk_counter")),
        sqlite_with_rowid=False,
    )


def _dead_letter() -> None:
    op.create_table(
        "dead_letter",
        sa.Column("id", KEY, nullable=False),
        sa.Column("at_ms", KEY, nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("error", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
    )


def _delivery() -> None:
    op.create_table(
        "delivery",
        sa.Column("packet_id", sa.Integer(), nullable=False),
        sa.Column("digest", KEY, nullable=False),
        sa.PrimaryKeyConstraint("packet_id", name=op.f("pk_delivery")),
    )


def _endpoint() -> None:
    op.create_table(
        "endpoint",
        sa.Column("id", KEY, nullable=False),
        sa.Column("application_id", KEY, nullable=False),
        sa.Column("endpoint_id", TEXT, nullable=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("attributes", TEXT, nullable=False),
        sa.Column("cohort", sa.Integer(), nullable=False),
        sa.Column("registered_ms", KEY, nullable=False),
        sa.Column("revision", KEY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint")),
        sa.UniqueConstraint("application_id", "endpoint_id", name=op.f("uq_endpoint_application_id_endpoint_id")),
        sa.UniqueConstraint("application_id", "token", name=op.f("uq_endpoint_application_id_token")),
    )
    op.create_index("ix_endpoint_application_id_cohort", "endpoint", ["application_id", "cohort"], unique=False)


def _endpoint_state() -> None:
    op.create_table(
        "endpoint_state",
        sa.Column("id", KEY, nullable=False),
        sa.Column("app_version_id", KEY, nullable=False),
        sa.Column("running_id", KEY, nullable=False),
        sa.Column("running_ms", KEY, nullable=True),
        sa.Column("seen_ms", KEY, nullable=True),
        sa.Column("token_state", sa.SmallInteger(), nullable=False),
        sa.Column("observe", sa.Boolean(), nullable=False),
        sa.Column("setbacks", sa.Boolean(), nullable=False),
        sa.Column("pinned_id", KEY, nullable=True),
        sa.Column("sequence", KEY, nullable=False),
        sa.Column("attempt_version_id", KEY, nullable=False),
        sa.Column("attempt_origin_id", KEY, nullable=False),
        sa.Column("attempt_state", sa.SmallInteger(), nullable=False),
        sa.Column("attempt_number", sa.Integer(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("offered_ms", KEY, nullable=True),
        sa.Column("reached_ms", KEY, nullable=True),
        sa.Column("settled_ms", KEY, nullable=True),
        sa.Column("percent", sa.SmallInteger(), nullable=True),
        sa.Column("progress", sa.SmallInteger(), nullable=False),
        sa.Column("returns", sa.Integer(), nullable=False),
        sa.Column("returned_ms", KEY, nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("due_ms", KEY, nullable=True),
        sa.Column("push_revision", KEY, nullable=False),
        sa.Column("last_history_id", KEY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint_state")),
    )
    op.create_index(
        "ix_endpoint_state_due_ms",
        "endpoint_state",
        ["due_ms"],
        unique=False,
        sqlite_where=sa.text("due_ms IS NOT NULL"),
        postgresql_where=sa.text("due_ms IS NOT NULL"),
    )


def _history() -> None:
    op.create_table(
        "history",
        sa.Column("id", KEY, nullable=False),
        sa.Column("endpoint_id", KEY, nullable=False),
        sa.Column("previous_id", KEY, nullable=False),
        sa.Column("at_ms", KEY, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("version_id", KEY, nullable=False),
        sa.Column("status_code", sa.SmallInteger(), nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", "endpoint_id", name=op.f("pk_history")),
        sqlite_with_rowid=False,
    )


def _installation() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("watermark", KEY, nullable=False),
        sa.Column("clock_ms", KEY, nullable=False),
        sa.Column("alive_ms", KEY, nullable=False),
        sa.Column("dates_ms", KEY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_installation")),
    )


def _outage() -> None:
    op.create_table(
        "outage",
        sa.Column("started_ms", KEY, nullable=False),
        sa.Column("ended_ms", KEY, nullable=False),
        sa.PrimaryKeyConstraint("started_ms", name=op.f("pk_outage")),
    )


def _parked_push() -> None:
    op.create_table(
        "parked_push",
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("endpoint_id", KEY, nullable=False),
        sa.Column("reason_code", sa.SmallInteger(), nullable=False),
        sa.Column("parked_ms", KEY, nullable=False),
        sa.Column("retry_ms", KEY, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_parked_push")),
    )
    op.create_index(op.f("ix_parked_push_endpoint_id"), "parked_push", ["endpoint_id"], unique=False)
    op.create_index(op.f("ix_parked_push_retry_ms"), "parked_push", ["retry_ms"], unique=False)


def _push() -> None:
    op.create_table(
        "push",
        sa.Column("revision", KEY, nullable=False),
        sa.Column("endpoint_id", KEY, nullable=False),
        sa.Column("topic", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("revision", name=op.f("pk_push")),
    )


def _setback() -> None:
    op.create_table(
        "setback",
        sa.Column("endpoint_id", KEY, nullable=False),
        sa.Column("version_id", KEY, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retry_ms", KEY, nullable=True),
        sa.Column("exhausted", sa.Boolean(), nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("endpoint_id", "version_id", name=op.f("pk_setback")),
        sqlite_with_rowid=False,
    )


def _app_version() -> None:
    op.create_table(
        "app_version",
        sa.Column("id", KEY, nullable=False),
        sa.Column("application_id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"], ["application.id"], name=op.f("fk_app_version_application_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_version")),
        sa.UniqueConstraint("name", name=op.f("uq_app_version_name")),
    )
    op.create_index(op.f("ix_app_version_application_id"), "app_version", ["application_id"], unique=False)


def _filter() -> None:
    op.create_table(
        "filter",
        sa.Column("application_id", KEY, nullable=False),
        sa.Column("filter_id", TEXT, nullable=False),
        sa.Column("expression", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=True),
        sa.Column("revision", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"], ["application.id"], name=op.f("fk_filter_application_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("application_id", "filter_id", name=op.f("pk_filter")),
    )


def _version() -> None:
    op.create_table(
        "version",
        sa.Column("id", KEY, nullable=False),
        sa.Column("application_id", KEY, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("frozen_specification", TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["application_id"], ["application.id"], name=op.f("fk_version_application_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version")),
        sa.UniqueConstraint("application_id", "text", name=op.f("uq_version_application_id_text")),
    )


def _work() -> None:
    op.create_table(
        "work",
        sa.Column("id", KEY, nullable=False),
        sa.Column("application_id", KEY, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("running_ids", TEXT, nullable=True),
        sa.Column("cursor", KEY, nullable=False),
        sa.Column("created_ms", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"], ["application.id"], name=op.f("fk_work_application_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work")),
    )
    op.create_index(op.f("ix_work_application_id"), "work", ["application_id"], unique=False)


def _software() -> None:
    op.create_table(
        "software",
        sa.Column("application_id", KEY, nullable=False),
        sa.Column("version_id", KEY, nullable=False),
        sa.Column("upgradable_from", TEXT, nullable=False),
        sa.Column("strategy", TEXT, nullable=False),
        sa.Column("filters", TEXT, nullable=False),
        sa.Column("rollout", TEXT, nullable=True),
        sa.Column("policy", TEXT, nullable=False),
        sa.Column("specification", TEXT, nullable=True),
        sa.Column("metadata", TEXT, nullable=False),
        sa.Column("offered_ms", KEY, nullable=True),
        sa.Column("recalled_ms", KEY, nullable=True),
        sa.Column("revision", KEY, nullable=False),
        sa.Column("created_ms", KEY, nullable=False),
        sa.Column("updated_ms", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"], ["application.id"], name=op.f("fk_software_application_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_software_version_id")),
        sa.PrimaryKeyConstraint("application_id", "version_id", name=op.f("pk_software")),
    )
