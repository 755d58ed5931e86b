"""Steps from one schema to the next, run by alembic when the database is opened.

Rules:
- A step runs in the schema of the partition that is opened. What it changes of tables that all partitions have in
  common (`holdings`, `departures`, `installation`) it also changes with `main`, whichever partition comes first: it
  adds only, where it was not added yet, so that older versions can go on serving what they hold.

Layer: persistence.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import quoted_name


def schemas() -> list[str | None]:
    """Where a step changes tables in common: in the schema in which it runs, None, and in that of `main`."""
    home = str(context.config.attributes["home"]).removesuffix(".")
    # It was quoted by the server, if it has to be.
    return [None, quoted_name(home, quote=False)] if home else [None]
