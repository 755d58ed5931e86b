"""`otao config check`: the settings, read as `otao serve` would read them.

Rules:
- No password is printed.

Layer: cli.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from orchestrator.cli import serve
from orchestrator.cli.outputs import Output

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN = "***"


@click.group()
def config() -> None:
    """Check the settings of a service."""


@config.command(epilog="\b\nExample: otao config check --config /etc/otao.toml --show")
@serve.of_service
@click.option("--show", is_flag=True, help="Print the settings, without passwords.")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def check(config: Path | None, *, show: bool, as_json: bool, **flags: str | None) -> None:
    """Say whether `otao serve` would start with these settings; nothing is opened."""
    settings = serve.load(config, flags)
    serve.refuse(serve.refusals(settings))
    shown = {name: visible(getattr(settings, name)) for name in type(settings).model_fields}
    if as_json:
        click.echo(json.dumps(shown, indent=2))
    elif show:
        Output(as_json=False).record(shown)
    else:
        click.echo("the settings can be used")


def visible(value: object) -> object:
    """A setting as it may be shown: JSON, a password in an address replaced by stars."""
    match value:
        case SecretStr():
            return _without_password(value.get_secret_value())
        case tuple():
            return [visible(item) for item in value]
        case None | bool() | int() | float():
            return value
        case _:
            return str(value)


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return HIDDEN
    # On the text: put together again, an address with an empty host would lose slashes.
    if password is not None:
        _, _, host = parts.netloc.rpartition("@")
        url = url.replace(parts.netloc, f"{parts.username}:{HIDDEN}@{host}", 1)
    address, _, parameters = url.partition("?")
    # Drivers take passwords among the parameters, too.
    return f"{address}?{HIDDEN}" if parameters else address
