"""`otao completion`: what a shell needs to complete our commands and options.

Layer: cli.
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from orchestrator.cli.endings import FailedError

VARIABLE = "_OTAO_COMPLETE"


@click.command(epilog='\b\nExample: eval "$(otao completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands and options in a shell."""
    from orchestrator.cli.main import main

    kind = get_completion_class(shell)
    if kind is None:
        raise FailedError(f"completion of {shell} is not known to the installed click")
    click.echo(kind(main, {}, "otao", VARIABLE).source())
