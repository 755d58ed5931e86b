"""`otao keys`: what is printed where, and what is refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.main import main


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("OTAO_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments])


def test_the_key_stands_alone_on_standard_output() -> None:
    result = keys("create", "alice")
    assert result.exit_code == 0
    assert re.fullmatch(r"otao_[\w-]{43}\n", result.stdout)
    assert "Kept in otao.keys: only its SHA-256" in result.stderr
    assert result.stdout.strip() not in result.stderr + Path("otao.keys").read_text()


def test_the_list_shows_names_roles_and_dates_and_no_key() -> None:
    made = [keys("create", "alice").stdout, keys("create", "wall", "--role", "viewer").stdout]
    lines = keys("list").stdout.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["name", "role"], ["alice", "operator"], ["wall", "viewer"]]
    items = json.loads(keys("list", "--json").stdout)["items"]
    assert [(item["name"], item["role"]) for item in items] == [("alice", "operator"), ("wall", "viewer")]
    assert all(set(item) == {"name", "role", "createdAt"} for item in items)
    assert not any(key.strip() in keys("list").output for key in made)


def test_an_empty_list_says_what_to_do() -> None:
    result = keys("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "`otao keys create NAME`" in result.stderr
    assert json.loads(keys("list", "--json").stdout) == {"items": []}


def test_revoking_the_last_one_says_what_follows() -> None:
    keys("create", "alice")
    keys("create", "bob")
    assert keys("revoke", "alice").stderr == "Revoked alice.\n"
    assert "nobody is let in" in keys("revoke", "bob").stderr
    assert keys("list").stdout == ""


@pytest.mark.parametrize("arguments", [("revoke", "carol"), ("create", "alice"), ("create", "a b")])
def test_what_cannot_be_done_ends_with_2_and_changes_nothing(arguments: tuple[str, ...]) -> None:
    keys("create", "alice")
    before = Path("otao.keys").read_bytes()
    result = keys(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("otao: ")
    assert Path("otao.keys").read_bytes() == before


@pytest.mark.parametrize("command", [("list",), ("create", "bob"), ("revoke", "bob")])
def test_a_broken_file_is_named(command: tuple[str, ...]) -> None:
    Path("otao.keys").write_text("nonsense")
    result = keys(*command)
    assert (result.exit_code, result.stderr) == (
        2,
        "otao: otao.keys:1: this is no API key: it is no JSON (api-keys-invalid)\n",
    )


def test_the_file_is_that_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("otao.toml").write_text('api_keys_file = "from-file"\n')
    keys("create", "alice")
    monkeypatch.setenv("OTAO_API_KEYS_FILE", "from-environment")
    keys("create", "alice")
    keys("create", "alice", "--file", "from-flag")
    assert {path.name for path in Path.cwd().iterdir()} == {
        "otao.toml",
        "from-file",
        "from-environment",
        "from-flag",
    }


def test_wrong_settings_end_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAO_BATCH_SIZE", "0")
    result = keys("list")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "OTAO_BATCH_SIZE" in result.stderr
