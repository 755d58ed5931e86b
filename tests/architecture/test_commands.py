"""The reference of commands names every command and option, and no other; each command's help ends with an example."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import click
import pytest

from orchestrator.cli.lazy_groups import LazyCommand
from orchestrator.cli.main import main
from tests.architecture.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADING = re.compile(r"^#{3,4} (otao [a-z -]+)$", re.MULTILINE)
OPTION = re.compile(r"`(--[a-z-]+)`")
GIVEN = re.compile(r"(?<!\S)--[a-z-]+")
EXAMPLE = re.compile(r"^ *Example: (.*)\Z", re.MULTILINE)


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    loaded = command.load() if isinstance(command, LazyCommand) else command
    if len(path) > 1:
        yield " ".join(path), loaded
    if isinstance(loaded, click.Group):
        for name, inner in loaded.commands.items():
            yield from walk(inner, (*path, name))


COMMANDS = dict(walk(main, ("otao",)))
LEAVES = {path: command for path, command in COMMANDS.items() if not isinstance(command, click.Group)}


@cache
def sections() -> dict[str, str]:
    """The reference's text about each command."""
    parts = HEADING.split((ROOT / "docs" / "reference" / "cli.md").read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def options(command: click.Command) -> set[str]:
    found = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {name for option in found for name in option.opts if name.startswith("--")}


def test_the_reference_has_every_command_and_no_other() -> None:
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("path", LEAVES)
def test_the_reference_names_each_option_and_no_other(path: str) -> None:
    assert set(OPTION.findall(sections()[path])) == options(LEAVES[path])


@pytest.mark.parametrize("path", LEAVES)
def test_help_says_what_it_does_and_ends_with_an_example(path: str) -> None:
    command = LEAVES[path]
    text = command.get_help(click.Context(command, info_name=path))
    assert "\\b" not in text, f"{path}: a raw docstring holds a backslash where click wants a backspace"
    assert command.get_short_help_str()
    example = EXAMPLE.search(text.rstrip())
    assert example is not None, f"{path}: pass epilog='\\b\\nExample: {path} …' to the command"
    assert example[1] in sections()[path]
    # A command that stands in two groups has one example.
    assert any(name in example[1] for name, other in LEAVES.items() if other is command)
    assert set(GIVEN.findall(example[1])) <= options(command)
