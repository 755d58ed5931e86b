"""`otao serve` and `otao migrate` as processes, without a broker: what they print, and how they end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_SECONDS = 30.0
OTAO = (sys.executable, "-c", "from orchestrator.cli.main import main; main()")


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTAO_")}
    return inherited | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | settings


def run(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*OTAO, *arguments],
        capture_output=True,
        check=False,
        cwd=folder,
        env=environment(**settings),
        text=True,
        timeout=DEADLINE_SECONDS,
    )


@pytest.fixture
def served(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A service whose broker is away: nobody listens on the discard port."""
    command = [*OTAO, "serve", "--listen", "127.0.0.1:0", "--mqtt-url", "mqtt://127.0.0.1:9"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    until = time.monotonic() + DEADLINE_SECONDS
    assert select.select([process.stdout], [], [], until - time.monotonic())[0], "the service did not get ready"
    word, _, address = process.stdout.readline().strip().partition(" ")
    assert word == "ready"
    return address


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_ready_answers_and_stops_on_a_signal(served: subprocess.Popen[str], number: signal.Signals) -> None:
    address = address_of(served)
    with urlopen(f"{address}/livez", timeout=DEADLINE_SECONDS) as answer:  # noqa: S310 - the scheme is the service's own
        assert json.load(answer) == {"status": "alive"}
    served.send_signal(number)
    rest, _ = served.communicate(timeout=DEADLINE_SECONDS)
    assert (served.returncode, rest) == (0, "")


def test_a_second_serve_on_one_database_ends_with_1(tmp_path: Path, served: subprocess.Popen[str]) -> None:
    address_of(served)
    result = run(tmp_path, "serve", "--listen", "127.0.0.1:0", "--mqtt-url", "mqtt://127.0.0.1:9")
    assert (result.returncode, result.stdout) == (1, "")
    assert "served by another process" in result.stderr


def test_a_port_that_is_taken_ends_with_1(tmp_path: Path, served: subprocess.Popen[str]) -> None:
    _, _, port = address_of(served).rpartition(":")
    (tmp_path / "other").mkdir()
    taken = ["serve", "--listen", f"127.0.0.1:{port}", "--mqtt-url", "mqtt://127.0.0.1:9"]
    result = run(tmp_path / "other", *taken)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


def test_migrate_makes_the_database_and_ends(tmp_path: Path) -> None:
    result = run(tmp_path, "migrate", "--database-url", "sqlite+aiosqlite:///made.db")
    assert (result.returncode, result.stdout) == (0, "")
    assert (tmp_path / "made.db").stat().st_size > 0


def test_migrate_of_what_is_no_database_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "otao.db").write_text("this is no database, but it is long enough to look like one" * 100)
    result = run(tmp_path, "migrate")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("otao: ")


@pytest.mark.parametrize(
    ("flag", "address", "setting", "code"),
    [
        ("--mqtt-url", "mqtt://", "OTAO_MQTT_URL", "broker-address-invalid"),
        ("--mqtt-url", "mqtt://127.0.0.1:0", "OTAO_MQTT_URL", "broker-address-invalid"),
        ("--mqtt-url", "mqtt://127.0.0.1:99999", "OTAO_MQTT_URL", "broker-address-invalid"),
        ("--database-url", "mysql://there", "OTAO_DATABASE_URL", "database-unusable"),
    ],
)
def test_an_address_that_cannot_be_used_ends_with_2_before_anything_is_opened(
    tmp_path: Path, flag: str, address: str, setting: str, code: str
) -> None:
    result = run(tmp_path, "serve", "--listen", "127.0.0.1:0", flag, address)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"otao: {setting}: ")
    assert result.stderr.endswith(f" ({code})\n")
    assert list(tmp_path.iterdir()) == []
