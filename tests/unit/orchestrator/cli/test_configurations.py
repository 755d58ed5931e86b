"""`otao config check`: what `otao serve` would say, and no password."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from orchestrator.cli.configurations import visible
from orchestrator.cli.main import main

if TYPE_CHECKING:
    from click.testing import Result


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("OTAO_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def check(*words: str, **environment: str) -> Result:
    return CliRunner(env=environment).invoke(main, ["config", "check", *words])


def test_settings_that_can_be_used() -> None:
    result = check()
    assert (result.exit_code, result.output) == (0, "the settings can be used\n")
    assert list(Path.cwd().iterdir()) == []


def test_each_reason_is_said_and_ends_with_2() -> None:
    result = check(OTAO_BATCH_SIZE="0", OTAO_LOG_LEVEL="loud")
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == ["OTAO_BATCH_SIZE", "OTAO_LOG_LEVEL"]


def test_what_serve_refuses_after_loading_is_refused_too() -> None:
    result = check("--listen", "0.0.0.0:8080", OTAO_DATABASE_URL="oracle://host/db")
    assert result.exit_code == 2
    assert {line.split(": ")[1] for line in result.stderr.splitlines()} == {"OTAO_DATABASE_URL", "OTAO_HTTP_LISTEN"}


def test_shown_settings_hold_no_password() -> None:
    words = ["--mqtt-url", "mqtt://otao:hidden@broker:1884"]
    shown = check("--show", *words)
    assert "mqtt_url\tmqtt://otao:***@broker:1884\n" in shown.stdout
    as_json = check("--json", *words)
    assert json.loads(as_json.stdout)["mqtt_url"] == "mqtt://otao:***@broker:1884"
    assert json.loads(as_json.stdout)["batch_size"] == 1000
    assert "hidden" not in shown.output + as_json.output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mqtt://host", "mqtt://host"),
        ("mqtt://user@host", "mqtt://user@host"),
        ("mqtt://:p%40ss@[::1]:1883", "mqtt://:***@[::1]:1883"),
        ("postgresql+asyncpg://u:p@h/db?password=x", "postgresql+asyncpg://u:***@h/db?***"),
        ("sqlite+aiosqlite:////var/lib/otao.db", "sqlite+aiosqlite:////var/lib/otao.db"),
        ("embedded", "embedded"),
        ("mqtt://[broken:p@ss", "***"),
    ],
)
def test_a_password_is_replaced_in_any_address(url: str, shown: str) -> None:
    assert visible(SecretStr(url)) == shown


def test_other_settings_are_json() -> None:
    assert visible((1, "a", None, Path("/x"))) == [1, "a", None, "/x"]
