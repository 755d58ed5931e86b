"""Logs: one JSON object per line on standard error, ours and the libraries'."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    import pytest

SCRIPT = """
import logging, structlog
from orchestrator.cli import logs
logs.configure("LEVEL")
log = structlog.get_logger("x")
log.info("quiet"); log.warning("loud", endpoint="e1")
logging.getLogger("library").info("never"); logging.getLogger("library").error("broken %s", "pipe")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
"""


def logged(level: str) -> list[dict[str, str]]:
    command = [sys.executable, "-c", SCRIPT.replace("LEVEL", level)]
    result = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30)
    assert result.stdout == ""
    return [json.loads(line) for line in result.stderr.splitlines()]


def test_logs_are_json_lines_from_their_level_on() -> None:
    assert [line["event"] for line in logged("info")] == ["quiet", "loud", "broken pipe", "failed"]
    lines = logged("warning")
    assert [line["event"] for line in lines] == ["loud", "broken pipe", "failed"]
    assert lines[0]["endpoint"] == "e1"
    assert all(line["level"] and line["timestamp"].endswith("Z") for line in lines)
    assert "ZeroDivisionError" in lines[-1]["exception"]


def test_a_traceback_on_a_terminal_shows_no_local_variables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    script = SCRIPT.replace("LEVEL", "info").replace("1 / 0", "password = 'hunter' + '2'; 1 / 0")
    try:
        exec(script, {})  # noqa: S102 - our own
    finally:
        structlog.reset_defaults()
        logging.basicConfig(force=True)
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "hunter2" not in told


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, on which every write fails
        command = [sys.executable, "-c", SCRIPT.replace("LEVEL", "info") + "print('alive')"]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, check=True, text=True, timeout=30)
    assert result.stdout == "alive\n"
