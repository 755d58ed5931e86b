"""`otao serve`, and what is done to its database: `otao migrate`, `otao backup`, `otao restore`.

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

from orchestrator.cli import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.settings import Settings

BAD_SETTINGS = 2

_config = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The settings file; else OTAO_CONFIG, else otao.toml in the working directory if it is there.",
)
_mqtt_url = click.option(
    "--mqtt-url", metavar="URL", help="The broker, mqtt://USER:PASSWORD@HOST:PORT (OTAO_MQTT_URL)."
)
_database_url = click.option("--database-url", metavar="URL", help="Where the database is (OTAO_DATABASE_URL).")
_log_level = click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="The least that is logged."
)


def of_broker(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command with the options that say which broker, and what else is set."""
    return _config(_mqtt_url(command))


def of_service(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command with the options of `otao serve`."""
    options = (
        _config,
        _mqtt_url,
        _database_url,
        click.option("--listen", "http_listen", metavar="HOST:PORT", help="Where HTTP is served (OTAO_HTTP_LISTEN)."),
        _log_level,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(epilog="\b\nExample: otao serve --mqtt-url mqtt://127.0.0.1:1883 --listen 127.0.0.1:8080")
@of_service
def serve(config: Path | None, **flags: str | None) -> None:
    """Run the orchestrator until SIGTERM or SIGINT.

    Prints "ready http://HOST:PORT" when it serves.
    """
    settings = load(config, flags)
    refuse(refusals(settings))
    logs.configure(settings.log_level)
    from orchestrator import service

    sys.exit(asyncio.run(service.run(settings, announce=announce)))


@click.command(epilog="\b\nExample: otao migrate --database-url sqlite+aiosqlite:////var/lib/otao/otao.db")
@_config
@_database_url
@_log_level
def migrate(config: Path | None, **flags: str | None) -> None:
    """Bring the database to this version's schema, and stop."""
    settings = load(config, flags)
    logs.configure(settings.log_level)
    from orchestrator import service, upkeep

    refuse(service.wrong_addresses(settings))
    sys.exit(asyncio.run(upkeep.migrate(settings)))


@click.command(epilog="\b\nExample: otao backup /var/backups/otao-monday.db")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_config
@_database_url
def backup(file: Path, config: Path | None, **flags: str | None) -> None:
    """Copy the database to FILE, a new one, while it is served.

    The copy is one consistent state, read through before it gets its name. SQLite only; for PostgreSQL use pg_dump.
    """
    settings = load(config, flags)
    from orchestrator import service, upkeep

    refuse(service.wrong_addresses(settings))
    sys.exit(asyncio.run(upkeep.backup(settings, file)))


@click.command(epilog="\b\nExample: otao restore /var/backups/otao-monday.db --replace")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replace", is_flag=True, help="Move the database that is there aside.")
@_config
@_database_url
def restore(file: Path, *, replace: bool, config: Path | None, **flags: str | None) -> None:
    """Put the copy FILE in the place of the database, which is not served meanwhile.

    The next start tells the broker every endpoint's offer anew. SQLite only; for PostgreSQL use pg_restore.
    """
    settings = load(config, flags)
    from orchestrator import service, upkeep

    refuse(service.wrong_addresses(settings))
    sys.exit(asyncio.run(upkeep.restore(settings, file, replace=replace)))


def announce(address: str) -> None:
    """Say on standard output that the service serves at `address`, and flush: somebody waits for the line."""
    click.echo(f"ready {address}")
    sys.stdout.flush()


def load(config: Path | None, flags: dict[str, str | None]) -> Settings:
    """The settings; ends with a sentence for each that cannot be used."""
    from orchestrator import settings

    try:
        return settings.load(flags, config)
    except settings.BadSettingsError as error:
        refuse([f"{reason} ({error.code})" for reason in error.reasons])
        raise


def refusals(settings: Settings) -> list[str]:
    """Why a service would not start with these settings, found before anything is opened."""
    from orchestrator import service

    return [*service.wrong_addresses(settings), *service.wrong_keys(settings)]


def refuse(reasons: Sequence[str]) -> None:
    """End here if there are reasons to."""
    for reason in reasons:
        click.echo(f"otao: {reason}", err=True)
    if reasons:
        sys.exit(BAD_SETTINGS)
