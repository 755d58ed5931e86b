"""`otao sim --virtual`: what it takes, what it refuses with its place, how it ends."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from orchestrator.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

CATALOGUE = """\
application: kettles
appVersions: [kettle-v1]
software:
  - version: 1.0.0
    rolloutStrategy: suspended
  - version: 1.1.0
    upgradableFrom: [1.0.0]
    rolloutStrategy: general
    specification: {link: "https://firmware.example/1.1.0.bin"}
    rollout:
      stages:
        - {count: 10, soak: PT1H, minAttempted: 5}
        - {percent: 100, soak: PT1H}
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE)
    return file


def sim(catalogue: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["sim", "--virtual", "-f", str(catalogue), "--devices", "40", *words])


def test_a_good_release_ends_with_0_and_is_told(catalogue: Path) -> None:
    result = sim(catalogue, "--habits", "steady=39,stored=1")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("when\tversion\twhat\toffered")
    assert [line.split("\t")[2] for line in lines[1 : lines.index("")]] == [
        "stage 1 begins", "stage 1 passed", "stage 2 begins", "stage 2 passed", "finished",
    ]  # fmt: skip
    assert "state\tfinished" in lines
    assert lines[-3:] == [
        "1 of 40 devices run 1.0.0",
        "39 of 40 devices run 1.1.0",
        "39 of the 39 healthy devices that can be reached have come to 1.1.0",
    ]
    assert "of virtual time took" in result.stderr


def test_a_bad_one_ends_with_3_and_says_why(catalogue: Path) -> None:
    result = sim(catalogue, "--habits", "steady", "--faults", "fall-back=50%")
    assert result.exit_code == 3
    assert "\tpaused\t" in result.stdout
    assert "otao: the rollout of 1.1.0 is paused: stage 1: failure rate" in result.stderr


def test_what_comes_to_nothing_says_so(catalogue: Path) -> None:
    result = sim(catalogue, "--habits", "stored")
    assert result.exit_code == 3
    assert "is still running, and nothing more happens by itself: stage 1: nobody was reached yet" in result.stderr


def test_time_may_be_up_before(catalogue: Path) -> None:
    result = sim(catalogue, "--days", "0.02")
    assert result.exit_code == 3
    assert "is still running when time is up: stage 1" in result.stderr


def test_as_json_it_is_one_document_and_the_same_again(catalogue: Path) -> None:
    first, second = (sim(catalogue, "--json", "--seed", "4") for _ in range(2))
    assert first.stdout == second.stdout
    document = json.loads(first.stdout)
    assert document["beginsAt"] == "2026-06-01T09:00:00Z"
    assert document["rollouts"][0]["version"] == "1.1.0"
    assert document["timeline"][0]["what"] == "stage 1 begins"
    assert document["fleet"]["devices"] == 40
    assert sim(catalogue, "--json", "--seed", "5").stdout != first.stdout


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        (
            "percent: 100",
            "percent: 0",
            ":13:21: 'software[1].rollout.stages[1].percent': must be above 0 and at most 100: 5 % is 5",
        ),
        ("soak: PT1H,", "soak: soon,", ":12:29: 'software[1].rollout.stages[0].soak'"),
        ("version: 1.1.0", "version: one", ":6:14: 'software[1].version'"),
        ("rollout:", "rollouts:", ":10:5: rollouts is unknown in software[1]; did you mean rollout?"),
        ("rolloutStrategy: general", "rolloutStrategy: suspended", "nothing in the file spreads"),
        ("[1.0.0]", "['>=2.0.0']", "say with --versions what the devices run at first"),
        ("application: kettles\n", "", "the file names no application: name one with --application"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(
    catalogue: Path, before: str, after: str, complaint: str
) -> None:
    assert before in CATALOGUE
    catalogue.write_text(CATALOGUE.replace(before, after))
    result = sim(catalogue)
    assert result.exit_code == 2, result.output
    assert complaint in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--application", "boilers"], "the file is about the application kettles, and --application says another"),
        (["--habits", "nocturnal"], "no habit; there are steady"),
        (["--faults", "gremlins=1"], "no fault; there are offline"),
        (["--begin", "soon"], "--begin: 'soon' is no time: it looks like 2026-06-01T09:00:00Z"),
        (["--days", "0"], "0.0 is not in the range"),
        (["--approve-after", "soon"], "'soon' is no duration"),
    ],
)
def test_options_that_cannot_work_are_refused(catalogue: Path, words: list[str], complaint: str) -> None:
    result = sim(catalogue, *words)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_the_application_may_come_from_the_command_line(catalogue: Path) -> None:
    catalogue.write_text(CATALOGUE.replace("application: kettles\n", ""))
    result = sim(catalogue, "--application", "kettles", "--habits", "steady", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["application"] == "kettles"


def test_windows_are_those_of_the_time_at_which_it_begins(catalogue: Path) -> None:
    window = "    rollout:\n      window: {cron: '0 1 * * *', duration: PT4H, timeZone: UTC}\n"
    catalogue.write_text(CATALOGUE.replace("    rollout:\n", window))
    result = sim(catalogue, "--habits", "steady", "--begin", "2026-06-01T20:00:00", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    passed = next(item for item in document["timeline"] if item["what"] == "stage 1 passed")
    assert "2026-06-02T02:00:00Z" < passed["at"] < "2026-06-02T05:00:00Z"
