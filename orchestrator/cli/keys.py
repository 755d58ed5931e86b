"""`otao keys`: make, list and revoke API keys, in the file that the service reads.

Rules:
- A key is printed once, alone on standard output, so that a script can keep it; what else there is to say goes to
  standard error.

Layer: cli.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.keys import KeysError

REFUSED = 2

_file = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of keys (OTAO_API_KEYS_FILE); else as otao.toml says, else otao.keys in the working directory.",
)


_HELP = """Make, list and revoke API keys.

\b
otao keys create alice
otao keys create wall-display --role viewer
otao keys revoke alice
"""


@click.group(help=_HELP)
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command(epilog="\b\nExample: otao keys create wall-display --role viewer")
@click.argument("name")
@click.option("--role", type=click.Choice(["operator", "viewer"]), default="operator", show_default=True)
@_file
def create(name: str, role: str, path: Path | None) -> None:
    """Make the key NAME and print it; it is shown this once.

    From the first key on, a running service answers nobody without one. A viewer reads; an operator may do everything.
    """
    from orchestrator import keys as files

    file = _named(path)
    try:
        key = files.create(file, name, files.Role(role), datetime.now(UTC))
    except files.KeysError as error:
        _refuse(error)
    click.echo(key)
    click.echo(f"Kept in {file}: only its SHA-256. Use it as OTAO_API_KEY, or sign in to the page with it.", err=True)


@keys.command(name="list", epilog="\b\nExample: otao keys list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@_file
def list_keys(path: Path | None, *, as_json: bool) -> None:
    """List the keys, the oldest first; none of them is shown itself."""
    import json

    from orchestrator import keys as files

    file = _named(path)
    try:
        present = files.read(file)
    except files.KeysError as error:
        _refuse(error)
    rows = [(key.name, key.role.value, f"{key.created_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}") for key in present]
    if as_json:
        items = [{"name": name, "role": role, "createdAt": created_at} for name, role, created_at in rows]
        click.echo(json.dumps({"items": items}, indent=2))
        return
    for line in _aligned([("name", "role", "created"), *rows] if rows else []):
        click.echo(line)
    if not rows:
        click.echo(f"{file} holds no key: `otao keys create NAME` makes one.", err=True)


@keys.command(epilog="\b\nExample: otao keys revoke alice")
@click.argument("name")
@_file
def revoke(name: str, path: Path | None) -> None:
    """Take the key NAME away; who holds it is refused within a second."""
    from orchestrator import keys as files

    file = _named(path)
    try:
        left = files.revoke(file, name)
    except files.KeysError as error:
        _refuse(error)
    click.echo(f"Revoked {name}.", err=True)
    if left == 0:
        click.echo(
            f"It was the last one: now nobody is let in. Make another, or delete {file} and start the service anew.",
            err=True,
        )


def _named(path: Path | None) -> Path:
    """The file of keys: as given, else as the settings of the service say."""
    if path is not None:
        return path
    from orchestrator import settings

    try:
        return settings.load({}).api_keys_file
    except settings.BadSettingsError as error:
        for reason in error.reasons:
            click.echo(f"otao: {reason} ({error.code})", err=True)
        sys.exit(REFUSED)


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Columns for a terminal; in a pipe cells parted by one tab."""
    if not sys.stdout.isatty():
        yield from ("\t".join(row) for row in rows)
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _refuse(error: KeysError) -> NoReturn:
    click.echo(f"otao: {error} ({error.code})", err=True)
    sys.exit(REFUSED)
