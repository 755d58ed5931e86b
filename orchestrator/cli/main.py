"""The root of the command line.

Layer: cli.
"""

from __future__ import annotations

import click

from orchestrator.cli.serve import migrate, serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="otao", message="otao %(version)s")
def main() -> None:
    """Otao, an over-the-air update orchestrator for MQTT fleets."""


main.add_command(serve)
main.add_command(migrate)
