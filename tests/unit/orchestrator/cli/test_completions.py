"""Shell completion: the script, and what it completes, without importing what is not asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from orchestrator.cli.main import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert "_OTAO_COMPLETE" in result.stdout


def test_another_shell_is_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["completion", "csh"]).exit_code == 2


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("otao so", ["software"]),
        ("otao software re", ["recall"]),
        ("otao endpoint ex", ["explain"]),
        ("otao graph --form", ["--format"]),
        ("otao graph --format s", ["svg"]),
    ],
)
def test_commands_options_and_choices_are_completed(line: str, completed: list[str]) -> None:
    environment = {"_OTAO_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    command = [sys.executable, "-m", "orchestrator.cli"]
    result = subprocess.run(command, env=environment, capture_output=True, check=True, text=True, timeout=30)
    assert [item.partition(",")[2] for item in result.stdout.splitlines()] == completed
