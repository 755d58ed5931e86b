"""`otao serve` and `otao migrate`: what they refuse before anything starts, and what they say when they serve."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli.main import main
from orchestrator.cli.serve import announce


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("OTAO_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_wrong_settings_end_with_2_and_a_sentence_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAO_BATCH_SIZE", "0")
    monkeypatch.setenv("OTAO_MQTT_URL", "amqp://user:hidden@broker")
    result = CliRunner().invoke(main, ["serve", "--listen", "example.org:8080"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == ["otao"] * 3
    assert "an IP address or localhost" in result.stderr
    assert "hidden" not in result.stderr


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_settings_file_that_is_named_must_be_there(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--config", "gone.toml"])
    assert (result.exit_code, result.stderr) == (2, "otao: gone.toml: there is no such file (settings-invalid)\n")
    assert list(Path.cwd().iterdir()) == []


def test_serve_refuses_to_be_reached_by_others_without_a_key() -> None:
    result = CliRunner().invoke(main, ["serve", "--listen", "0.0.0.0:0"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "otao: OTAO_HTTP_LISTEN: 0.0.0.0 can be reached by others, and there is no API key in otao.keys; "
        "make one with `otao keys create NAME`, or listen on 127.0.0.1 (settings-invalid)\n"
    )
    assert list(Path.cwd().iterdir()) == []


def test_serve_refuses_a_broken_file_of_keys_by_name() -> None:
    Path("otao.keys").write_text("otao_this-is-no-line\n")
    result = CliRunner().invoke(main, ["serve"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr == "otao: OTAO_API_KEYS_FILE: otao.keys:1: this is no API key: it is no JSON (api-keys-invalid)\n"
    )
    assert list(Path.cwd().iterdir()) == [Path.cwd() / "otao.keys"]


def test_the_line_that_somebody_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    announce("http://127.0.0.1:8080")
    assert capsys.readouterr().out == "ready http://127.0.0.1:8080\n"
