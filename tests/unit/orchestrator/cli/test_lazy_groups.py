"""Groups whose commands are imported when they are run."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli.lazy_groups import LazyCommand, LazyGroup
from orchestrator.cli.main import main


@click.command()
def greet() -> None:
    """Say hello. And nothing else."""
    click.echo("hello")


PLACES = {"here": "greet", "gone": "nothing_of_this_name", "number": "__doc__"}


@pytest.fixture
def group() -> LazyGroup:
    made = LazyGroup("root")
    for name, attribute in PLACES.items():
        made.add(name, f"{__name__}:{attribute}", f"Line of {name}.")
    return made


def test_a_group_is_listed_in_the_order_of_adding_without_any_import(group: LazyGroup) -> None:
    group.add("absent", "no.such.module:command", "Line of absent.")
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    lines = [line.split(maxsplit=1) for line in result.output.splitlines() if "Line of" in line]
    assert lines == [[name, f"Line of {name}."] for name in [*PLACES, "absent"]]


def test_the_command_that_is_called_is_imported(group: LazyGroup) -> None:
    assert CliRunner().invoke(group, ["here"]).output == "hello\n"
    assert "And nothing else" in CliRunner().invoke(group, ["here", "--help"]).output


def test_an_unknown_command_is_wrong_usage(group: LazyGroup) -> None:
    result = CliRunner().invoke(group, ["heer"])
    assert result.exit_code == 2
    assert "heer" in result.stderr
    assert "here" in result.stderr


def test_what_is_no_command_is_a_mistake_of_ours(group: LazyGroup) -> None:
    with pytest.raises(TypeError, match="is no command"):
        CliRunner().invoke(group, ["number"], catch_exceptions=False)


def lazy(group: click.Group) -> list[LazyCommand]:
    return [command for command in group.commands.values() if isinstance(command, LazyCommand)]


@pytest.mark.parametrize("entry", lazy(main), ids=lambda entry: entry.name)
def test_each_command_is_at_its_place_and_says_the_same_of_itself(entry: LazyCommand) -> None:
    command = entry.load()
    assert command.name == entry.name
    assert entry.short_help == command.get_short_help_str(limit=200)


HEAVY = ("fastapi", "sqlalchemy", "httpx2", "rich", "yaml", "pydantic", "asyncio")


@pytest.mark.parametrize("argument", ["--help", "--version", "nonsense"])
def test_what_needs_no_command_imports_nothing_heavy(argument: str) -> None:
    script = (
        "import sys; from orchestrator.cli.main import main\n"
        f"try: main([{argument!r}])\n"
        f"except SystemExit: print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=30)
    assert result.stdout.splitlines()[-1] == "[]"
