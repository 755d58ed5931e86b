"""`otao serve` and `otao migrate`.

Rules:
- Standard output holds one line, `ready http://…`; everything else is the log, on standard error.

Layer: cli.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.settings import Settings

BAD_SETTINGS = 2

_config = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file; else OTAO_CONFIG, else otao.toml in the working directory if it is there.",
)
_database_url = click.option("--database-url", metavar="URL", help="Where the database is (OTAO_DATABASE_URL).")
_log_level = click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="The least that is logged."
)


@click.command()
@_config
@click.option("--mqtt-url", metavar="URL", help="The broker, mqtt://USER:PASSWORD@HOST:PORT (OTAO_MQTT_URL).")
@_database_url
@click.option("--listen", "http_listen", metavar="HOST:PORT", help="Where HTTP is served (OTAO_HTTP_LISTEN).")
@_log_level
def serve(config: Path | None, **flags: str | None) -> None:
    """Run the orchestrator until SIGTERM or SIGINT.

    Prints "ready http://HOST:PORT" when it serves.
    """
    settings = _load(config, flags)
    from orchestrator import service

    _refuse([*service.wrong_addresses(settings), *service.wrong_keys(settings)])
    sys.exit(asyncio.run(service.run(settings, announce=announce)))


@click.command()
@_config
@_database_url
@_log_level
def migrate(config: Path | None, **flags: str | None) -> None:
    """Bring the database to this version's schema, and stop."""
    settings = _load(config, flags)
    from orchestrator import service

    _refuse(service.wrong_addresses(settings))
    sys.exit(asyncio.run(service.migrate(settings)))


def announce(address: str) -> None:
    """Say on standard output that the service serves at `address`, and flush: somebody waits for the line."""
    click.echo(f"ready {address}")
    sys.stdout.flush()


def _refuse(reasons: Sequence[str]) -> None:
    """End here if there are reasons to."""
    for reason in reasons:
        click.echo(f"otao: {reason}", err=True)
    if reasons:
        sys.exit(BAD_SETTINGS)


def _load(config: Path | None, flags: dict[str, str | None]) -> Settings:
    from orchestrator import settings
    from orchestrator.cli import logs

    try:
        loaded = settings.load(flags, config)
    except settings.BadSettingsError as error:
        _refuse(error.reasons)
        raise
    logs.configure(loaded.log_level)
    return loaded
