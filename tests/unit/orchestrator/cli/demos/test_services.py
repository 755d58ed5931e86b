"""What the service of the demonstration is told, and that it is missed when it does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator import settings
from orchestrator.cli.demos.brokers import Broker, Kind
from orchestrator.cli.demos.errors import ChildFailedError
from orchestrator.cli.demos.services import environment, open_service

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_of_whoever_shows_it_do_not_reach_it(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "OTAO_API_KEYS_FILE": "mine", "otao_batch_size": "1", "OTAO_DATABASE_URL": "mine"}
    seen = environment(Broker(kind=Kind.MOSQUITTO, port=4711), tmp_path, given)
    assert seen["PATH"] == "/bin"
    assert "otao_batch_size" not in seen
    assert "mine" not in seen.values()


def test_what_it_is_told_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "otao.toml").touch()
    for name, value in environment(Broker(kind=Kind.EMBEDDED, port=4711), tmp_path, {}).items():
        monkeypatch.setenv(name, value)
    loaded = settings.load({})
    assert loaded.embedded == ("127.0.0.1", 4711)
    assert loaded.address == ("127.0.0.1", 0)
    assert str(tmp_path) in loaded.database_url.get_secret_value()


async def test_one_that_does_not_start_is_missed_with_its_own_words(tmp_path: Path) -> None:
    wrong = Broker(kind=Kind.EMBEDDED, port=99999)
    with pytest.raises(ChildFailedError, match=r"otao serve ended with exit code 2(.|\n)*OTAO_EMBEDDED_LISTEN"):
        async with open_service(wrong, tmp_path):
            pass
