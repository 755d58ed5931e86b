"""Groups of commands whose modules are imported when they are run.

Rules:
- To list commands, to complete their names and to say that there is none of a name imports none of them: each one's
  line of help stands beside its place.

Layer: cli.
"""

from __future__ import annotations

from importlib import import_module

import click


class LazyCommand(click.Command):
    """Stands in a group for a command that is imported when it is run.

    Args:
        name: by which it is called.
        place: `package.module:attribute`.
        summary: its line in the group's help; the first sentence of the command's own.
    """

    def __init__(self, name: str, place: str, summary: str) -> None:
        super().__init__(name, short_help=summary)
        self.place = place

    def load(self) -> click.Command:
        """Import and return the command.

        Raises:
            TypeError: there is something else at its place.
        """
        module, _, attribute = self.place.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.place} is no command")
        return command


class LazyGroup(click.Group):
    """A group that lists its commands in the order in which they were added, and imports the one that is run."""

    def add(self, name: str, place: str, summary: str) -> None:
        """Add a command by its place, `package.module:attribute`."""
        self.add_command(LazyCommand(name, place, summary))

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they were added."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with, and import it."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, rest
