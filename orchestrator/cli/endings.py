"""How a command ends, other than well.

ClickException
└── Ending                 what went wrong, in one sentence on standard error
    ├── FailedError        1  it failed; a repeat may help
    ├── RefusedError       2  wrong usage, or input that is refused
    ├── OtherwiseError     3  it ran, but the outcome is not what was asked for
    └── UnreachableError   4  a server cannot be reached

Rules:
- A sentence names what to do about it where there is something; it never holds a secret.
- What came from elsewhere is shown without control characters: a terminal obeys them.

Layer: cli.
"""

from __future__ import annotations

from typing import IO, Any

import click


class Ending(click.ClickException):
    """The command ends here with an exit code and a sentence, or several lines of them."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Write each line to standard error, behind the command's name."""
        for line in self.format_message().splitlines():
            click.echo(f"otao: {printable(line)}", file=file, err=True)


class FailedError(Ending):
    """It failed."""

    exit_code = 1


class RefusedError(Ending):
    """The input, or how the command was called, is wrong; nothing was changed."""

    exit_code = 2


class OtherwiseError(Ending):
    """It ran to its end, and the outcome is not what was asked for."""

    exit_code = 3


class UnreachableError(Ending):
    """A server cannot be reached."""

    exit_code = 4


def printable(text: str) -> str:
    """`text` with what would move a cursor, colour, hide or reorder written as an escape sequence."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
