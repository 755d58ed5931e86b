"""The tables.

Rules:
- One narrow hot row per endpoint (`endpoint_state`), keyed by an integer, rewritten by every report; what reports do
  not touch lies apart (`endpoint`).
- History, superseded attempts and pushes are append-only, in the order of their own identifiers. An endpoint's history
  is a chain from its hot row (`last_history_id` → `previous_id`), so no index is rewritten in random order.
- An endpoint's key is `application_id * 2**32 + serial`: an application is one range of keys, a sweep one range scan.
- Texts sort by code points, in every database.
- Instants are epoch milliseconds, UTC. 0 stands for "none" in key columns that take part in a primary key.
- Tables of endpoints can be hash-partitioned, most by the endpoint's key; by what each, docs/how-to/scale.md says.

Layer: persistence.
"""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    UniqueConstraint,
    false,
    text,
)

# Keys of one application's endpoints: application_id * KEY_SPAN < key < (application_id + 1) * KEY_SPAN.
KEY_SPAN = 2**32

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite makes only a column of type INTEGER an alias of the row's own identifier.
Key = BigInteger().with_variant(Integer, "sqlite")
# SQLite sorts texts by code points; others do as they are told.
Text = sqlalchemy.Text().with_variant(sqlalchemy.Text(collation="C"), "postgresql")

installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    *(Column(name, Key, nullable=False, default=0) for name in ("watermark", "clock_ms", "alive_ms", "dates_ms")),
    Column("freeze", Text),
    Column("generation", Integer, nullable=False, default=0, server_default=text("0")),
    Column("secret", Text),
    Column("ticket", Key),
    Column("site", Text),
)

application = Table(
    "application",
    metadata,
    Column("id", Key, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    *(Column(name, Text, nullable=False) for name in ("profile", "push", "registration", "consent", "operator_keys")),
    Column("description", Text),
    Column("revision", Key, nullable=False),
    Column("created_ms", Key, nullable=False),
    Column("freeze", Text),
    Column("limits", Text),
)

app_version = Table(
    "app_version",
    metadata,
    Column("id", Key, primary_key=True),
    Column("application_id", Key, ForeignKey("application.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False, unique=True),
)

version = Table(
    "version",
    metadata,
    Column("id", Key, primary_key=True),
    Column("application_id", Key, ForeignKey("application.id", ondelete="CASCADE"), nullable=False),
    Column("text", Text, nullable=False),
    Column("frozen_specification", Text),
    UniqueConstraint("application_id", "text"),
)

software = Table(
    "software",
    metadata,
    Column("application_id", Key, ForeignKey("application.id", ondelete="CASCADE"), nullable=False),
    Column("version_id", Key, ForeignKey("version.id"), nullable=False),
    Column("upgradable_from", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("filters", Text, nullable=False),
    Column("rollout", Text),
    Column("policy", Text, nullable=False),
    Column("specification", Text),
    Column("metadata", Text, nullable=False),
    Column("offered_ms", Key),
    Column("recalled_ms", Key),
    Column("revision", Key, nullable=False),
    Column("created_ms", Key, nullable=False),
    Column("updated_ms", Key, nullable=False),
    Column("state", Text),
    PrimaryKeyConstraint("application_id", "version_id"),
)

endpoint_filter = Table(
    "filter",
    metadata,
    Column("application_id", Key, ForeignKey("application.id", ondelete="CASCADE"), nullable=False),
    Column("filter_id", Text, nullable=False),
    Column("expression", Text, nullable=False),
    Column("description", Text),
    Column("revision", Key, nullable=False),
    PrimaryKeyConstraint("application_id", "filter_id"),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("id", Key, primary_key=True),
    Column("application_id", Key, nullable=False),
    Column("endpoint_id", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("attributes", Text, nullable=False),
    Column("cohort", Integer, nullable=False),
    Column("registered_ms", Key, nullable=False),
    Column("revision", Key, nullable=False),
    UniqueConstraint("application_id", "endpoint_id"),
    UniqueConstraint("application_id", "token"),
    Index("ix_endpoint_application_id_cohort", "application_id", "cohort"),
)

endpoint_state = Table(
    "endpoint_state",
    metadata,
    Column("id", Key, primary_key=True),
    Column("app_version_id", Key, nullable=False),
    Column("running_id", Key, nullable=False),
    Column("running_ms", Key),
    Column("seen_ms", Key),
    Column("token_state", SmallInteger, nullable=False),
    Column("observe", Boolean(create_constraint=False), nullable=False),
    Column("setbacks", Boolean(create_constraint=False), nullable=False),
    Column("pinned_id", Key),
    Column("sequence", Key, nullable=False),
    Column("attempt_version_id", Key, nullable=False),
    Column("attempt_origin_id", Key, nullable=False),
    Column("attempt_state", SmallInteger, nullable=False),
    Column("attempt_number", Integer, nullable=False),
    Column("stage", SmallInteger, nullable=False),
    Column("offered_ms", Key),
    Column("reached_ms", Key),
    Column("settled_ms", Key),
    Column("percent", SmallInteger),
    Column("progress", SmallInteger, nullable=False),
    Column("returns", Integer, nullable=False),
    Column("returned_ms", Key),
    Column("reason", Text),
    Column("due_ms", Key),
    Column("push_revision", Key, nullable=False),
    Column("last_history_id", Key, nullable=False),
    Column("consents", Boolean(create_constraint=False), nullable=False, server_default=false()),
    Column("soaking_ms", Key),
    Column("soak_reports", Integer, nullable=False, server_default=text("0")),
    Column("healthy", SmallInteger),
    Column("lapsed", SmallInteger, nullable=False, server_default=text("0")),
    Column("asked_id", Key, nullable=False, server_default=text("0")),
)
_due = endpoint_state.c.due_ms.is_not(None)
Index("ix_endpoint_state_due_ms", endpoint_state.c.due_ms, sqlite_where=_due, postgresql_where=_due)
# Few endpoints are in these: what needs attention is found without a look at the others.
FAILED_ATTEMPTS = "attempt_state BETWEEN 4 AND 6"  # failed, reverted, expired
RETURNING = "returns >= 3"
UNKNOWN_VERSION = "running_id = 0"
UNWELL = "healthy = 0"
for _column, _condition in (
    (endpoint_state.c.attempt_state, FAILED_ATTEMPTS),
    (endpoint_state.c.returns, RETURNING),
    (endpoint_state.c.running_id, UNKNOWN_VERSION),
    (endpoint_state.c.healthy, UNWELL),
):
    _where = text(_condition)
    Index(f"ix_endpoint_state_{_column.name}", _column, sqlite_where=_where, postgresql_where=_where)

setback = Table(
    "setback",
    metadata,
    Column("endpoint_id", Key, nullable=False),
    Column("version_id", Key, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("retry_ms", Key),
    Column("exhausted", Boolean(create_constraint=False), nullable=False),
    Column("reason", Text),
    PrimaryKeyConstraint("endpoint_id", "version_id"),
    sqlite_with_rowid=False,
)

attempt = Table(
    "attempt",
    metadata,
    Column("id", Key, nullable=False),
    Column("endpoint_id", Key, nullable=False),
    Column("version_id", Key, nullable=False),
    Column("origin_id", Key, nullable=False),
    Column("number", Integer, nullable=False),
    Column("sequence", Key, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("stage", SmallInteger, nullable=False),
    Column("offered_ms", Key),
    Column("reached_ms", Key),
    Column("settled_ms", Key),
    Column("reason", Text),
    Column("healthy", SmallInteger),
    PrimaryKeyConstraint("id", "endpoint_id"),
    sqlite_with_rowid=False,
)

history = Table(
    "history",
    metadata,
    Column("id", Key, nullable=False),
    Column("endpoint_id", Key, nullable=False),
    Column("previous_id", Key, nullable=False),
    Column("at_ms", Key, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("version_id", Key, nullable=False),
    Column("status_code", SmallInteger),
    Column("reason", Text),
    PrimaryKeyConstraint("id", "endpoint_id"),
    sqlite_with_rowid=False,
)

push = Table(
    "push",
    metadata,
    Column("revision", Key, primary_key=True),
    Column("endpoint_id", Key, nullable=False),
    Column("topic", Text),
)

parked_push = Table(
    "parked_push",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("endpoint_id", Key, nullable=False, index=True),
    Column("reason_code", SmallInteger, nullable=False),
    Column("parked_ms", Key, nullable=False),
    Column("retry_ms", Key, nullable=False, index=True),
    Column("tries", Integer, nullable=False),
)

delivery = Table(
    "delivery",
    metadata,
    Column("packet_id", Integer, primary_key=True),
    Column("digest", Key, nullable=False),
)

counter = Table(
    "counter",
    metadata,
    Column("application_id", Key, nullable=False),
    Column("name", Text, nullable=False),
    Column("version_id", Key, nullable=False),
    Column("origin_id", Key, nullable=False),
    Column("label", Text, nullable=False),
    Column("amount", Key, nullable=False),
    PrimaryKeyConstraint("application_id", "name", "version_id", "origin_id", "label"),
    sqlite_with_rowid=False,
)

work = Table(
    "work",
    metadata,
    Column("id", Key, primary_key=True),
    Column("application_id", Key, ForeignKey("application.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("running_ids", Text),
    Column("cursor", Key, nullable=False),
    Column("created_ms", Key, nullable=False),
    Column("version_id", Key),
    Column("again", SmallInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("application_id", "version_id"),
)

outage = Table(
    "outage",
    metadata,
    Column("started_ms", Key, primary_key=True),
    Column("ended_ms", Key, nullable=False),
)

consent = Table(
    "consent",
    metadata,
    Column("endpoint_id", Key, nullable=False),
    Column("version_id", Key, nullable=False),
    Column("granted", Boolean(create_constraint=False), nullable=False),
    Column("at_ms", Key, nullable=False),
    Column("reason", Text),
    PrimaryKeyConstraint("endpoint_id", "version_id"),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at_ms", Key, nullable=False),
    Column("application", Text),
    *(Column(name, Text, nullable=False) for name in ("actor", "via", "action", "resource")),
    *(Column(name, Text) for name in ("reason", "before", "after")),
    Index("ix_audit_application_id", "application", "id"),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    Column("id", Key, primary_key=True),
    Column("at_ms", Key, nullable=False),
    Column("topic", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
)
