"""`otao sim` without a broker: what it takes, what it refuses, and how it ends."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from orchestrator.cli.main import main
from orchestrator.cli.sim import Goal, duration, until_what
from tests.brokers import free_port

FLEET = ["sim", "--app-version", "v", "--broker", "mqtt://u:hidden@127.0.0.1:1"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("2h", 7200.0), ("0.5", 0.5)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration(text) == seconds
    assert until_what(text) == Goal(version=None, seconds=seconds)


def test_a_goal_is_read() -> None:
    assert until_what("converged:2.0.0") == Goal(version="2.0.0", seconds=None)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--until", "soon"], "no duration"),
        (["--until", "converged:"], "neither converged:VERSION nor a duration"),
        (["--until", "finished:2.0.0"], "neither converged:VERSION nor a duration"),
        (["--within", "-5"], "no duration"),
        (["--devices", "0"], "1 to 1000000 devices"),
        (["--devices", "many"], "not a valid integer"),
        (["--versions", "1.0.0=50%"], "for 50 of 100 devices"),
        (["--versions", "one"], "no SemVer"),
        (["--faults", "gremlins=1"], "no fault; there are offline"),
        (["--faults", "drops=1%,drops=2%"], "twice"),
        (["--attribute", "ring"], "NAME:VALUE"),
        (["--keep-alive", "0"], "keep-alive is 1 to 65535"),
        (["--gateways", "101"], "101 gateways for 100"),
        (["--pace", "speed=1s"], "no pace of its own; there are download"),
        (["--broker", "http://h"], "looks like mqtt://"),
        (["--broker", "http://h"], "(broker-address-invalid)"),
        (["--prefix", "a/b"], "cannot begin a token"),
        (["--devices", "900000"], "ulimit -n"),
        (["--devices", "900000"], "(too-many-connections)"),
    ],
)
def test_what_cannot_work_ends_with_2_and_says_why(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(main, [*FLEET, *arguments])
    assert result.exit_code == 2
    assert complaint in result.output
    assert "hidden" not in result.output


def test_a_broker_that_is_not_there_ends_with_4() -> None:
    result = CliRunner().invoke(main, [*FLEET, "--broker", f"mqtt://u:hidden@127.0.0.1:{free_port()}"])
    assert result.exit_code == 4
    assert "cannot be reached" in result.output
    assert result.output.endswith("(broker-unreachable)\n")
    assert "hidden" not in result.output


def test_without_virtual_time_the_application_version_is_required() -> None:
    result = CliRunner().invoke(main, ["sim"])
    assert result.exit_code == 2
    assert "missing option '--app-version'; or try a catalogue with --virtual -f FILE" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["--file", "catalogue.yaml"],
        ["--application", "kettles"],
        ["--days", "3"],
        ["--begin", "2026-06-01T09:00:00Z"],
        ["--habits", "steady"],
        ["--approve-after", "1h"],
    ],
)
def test_what_is_for_virtual_time_goes_with_it(words: list[str]) -> None:
    result = CliRunner().invoke(main, [*FLEET, *words])
    assert result.exit_code == 2
    assert f"{words[0]} goes with --virtual" in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["--broker", "mqtt://127.0.0.1:1"],
        ["--gateways", "1"],
        ["--keep-alive", "9"],
        ["--until", "9s"],
        ["--within", "9s"],
    ],
)
def test_what_is_for_a_broker_is_refused_in_virtual_time(words: list[str]) -> None:
    result = CliRunner().invoke(main, ["sim", "--virtual", "-f", "catalogue.yaml", *words])
    assert result.exit_code == 2
    assert f"{words[0]} is for a fleet on a broker, and --virtual has none" in result.output


def test_settings_of_the_environment_are_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTAO_MQTT_URL", "mqtt://127.0.0.1:1")
    result = CliRunner().invoke(main, ["sim", "--virtual", "-f", "is-not-there.yaml"])
    assert result.exit_code == 2
    assert "is-not-there.yaml cannot be read" in result.output


def test_virtual_time_needs_a_catalogue() -> None:
    result = CliRunner().invoke(main, ["sim", "--virtual"])
    assert result.exit_code == 2
    assert "name it with -f FILE" in result.output
