"""The root of the command line.

Layer: cli.
"""

from __future__ import annotations

import click

from orchestrator.cli.lazy_groups import LazyGroup


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="otao", message="otao %(version)s")
def main() -> None:
    """Otao, an over-the-air update orchestrator for MQTT fleets."""


# One line each, in the order of help: to run a service, then to work with one.
main.add("serve", "orchestrator.cli.serve:serve", "Run the orchestrator until SIGTERM or SIGINT.")
main.add("migrate", "orchestrator.cli.serve:migrate", "Bring the database to this version's schema, and stop.")
main.add("keys", "orchestrator.cli.keys:keys", "Make, list and revoke API keys.")
