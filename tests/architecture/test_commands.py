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
    from pathlib import Path

HEADING = re.compile(r"^#{3,4} (otao [a-z -]+)$", re.MULTILINE)
OPTION = re.compile(r"`(--[a-z-]+)`")
GIVEN = re.compile(r"(?<!\S)--[a-z-]+")
EXAMPLE = re.compile(r"^ *Example: (.*)\Z", re.MULTILINE)
FENCED = re.compile(r"^ *```(?:sh|console)?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PROGRAM = re.compile(r"(?:/opt/otao/bin/)?otao(?::\S+)?")
ENDS = re.compile(r"[|;&<>]+|\d?>.*|\|\|")
PAGES = [ROOT / "README.md", *(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "decisions")]


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


def typed(page: str) -> Iterator[list[str]]:
    """Yield the words of every line to type, and of every command in a sentence."""
    for block in FENCED.findall(page):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.strip().removeprefix("$ ").removeprefix("# ").split()
    for span in INLINE.findall(FENCED.sub("", page)):
        yield span.split()


def commands(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of Otao's in a line, by its path, with its options, and what stands where one is expected."""
    for place, word in enumerate(words):
        if not PROGRAM.fullmatch(word):
            continue
        path = "otao"
        rest = words[place + 1 :]
        while rest and f"{path} {rest[0]}" in COMMANDS:
            path = f"{path} {rest.pop(0)}"
        end = next((number for number, other in enumerate(rest) if ENDS.fullmatch(other)), len(rest))
        given = [name.partition("=")[0] for name in rest[:end] if GIVEN.match(name)]
        # A name of a container, a volume or a database is followed by nothing of ours.
        if (place == 0 or path != "otao") and path not in LEAVES and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
            yield f"{path} {rest[0]}", given
        elif path != "otao":
            yield path, given


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_on_the_page_is_one_that_there_is_with_options_that_it_has(page: Path) -> None:
    for words in typed(page.read_text()):
        for path, given in commands(words):
            assert path in COMMANDS, " ".join(words)
            assert set(given) <= options(COMMANDS[path]) | {"--help"}, " ".join(words)


def test_a_command_or_an_option_that_there_is_not_is_found() -> None:
    good = ["docker", "exec", "otao", "otao", "backup", "/var/lib/otao/monday.db"]
    assert list(commands(good)) == [("otao backup", [])]
    assert list(commands(["otao", "endpoint", "retri", "kettle-7"])) == [("otao endpoint retri", [])]
    assert list(commands(["otao", "recal", "1.1.0"])) == [("otao recal", [])]
    assert not {"otao endpoint retri", "otao recal"} & COMMANDS.keys()
    assert list(commands(["docker", "stop", "otao"])) == []
    (found,) = commands(["docker", "run", "otao:0.1.0", "restore", "copy.db", "--replac", ">", "log", "--other"])
    assert found == ("otao restore", ["--replac"])
    assert "--replac" not in options(COMMANDS["otao restore"])
