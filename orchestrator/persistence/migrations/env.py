"""Runs the steps on the connection that `databases` hands over, inside its transaction.

Layer: persistence.
"""

from __future__ import annotations

from alembic import context

from orchestrator.persistence.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
