"""`otao sim --virtual` as people and pipelines run it: a process, a file, an exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.system.commands import otao, otao_on_terminal

if TYPE_CHECKING:
    from pathlib import Path

CATALOGUE = """\
application: kettles
appVersions: [kettle-v1]
registration: open
filters:
  lab: attributes.ring == 1
software:
  - version: 1.0.0
    rolloutStrategy: suspended
  - version: 1.1.0
    upgradableFrom: [1.0.0]
    rolloutStrategy: general
    specification: {link: "https://firmware.example/1.1.0.bin"}
    rollout:
      stages:
        - {filter: lab, soak: PT1H, minAttempted: 10}
        - {percent: 20, soak: PT2H}
        - {percent: 100, soak: PT1H}
"""
FLEET = ("--devices", "300", "--attribute", "ring:1=5%,2=95%", "--habits", "steady=60%,nightly=25%,sleeping=15%")


@pytest.fixture
def catalogue(tmp_path: Path) -> str:
    file = tmp_path / "catalogue.yaml"
    file.write_text(CATALOGUE)
    return str(file)


async def test_a_good_release_reaches_everybody_and_ends_with_0(catalogue: str) -> None:
    ended = await otao(None, "sim", "--virtual", "-f", catalogue, *FLEET)
    assert ended.exit_code == 0, ended.err
    assert "stage 1 begins" in ended.out
    assert "state\tfinished" in ended.out
    assert ended.out.endswith("300 of the 300 healthy devices that can be reached have come to 1.1.0\n")
    assert "of virtual time took" in ended.err


async def test_a_release_that_falls_back_is_paused_in_the_lab_and_ends_with_3(catalogue: str) -> None:
    ended = await otao(None, "sim", "--virtual", "-f", catalogue, *FLEET, "--faults", "fall-back=40%", "--json")
    assert ended.exit_code == 3
    document = json.loads(ended.out)
    assert document["timeline"][-1]["what"] == "paused"
    stages = document["rollouts"][0]["stages"]
    assert stages[0]["state"] == "failed"
    assert [stage["confirmed"] + stage["reverted"] for stage in stages[1:]] == [0, 0]
    assert "is over the limit" in ended.err


async def test_the_same_seed_prints_the_same(catalogue: str) -> None:
    first, second, other = [
        await otao(None, "sim", "--virtual", "-f", catalogue, *FLEET, "--faults", "drops=10%", "--seed", seed)
        for seed in ("7", "7", "8")
    ]
    assert first.out == second.out
    assert first.out != other.out


async def test_a_bad_catalogue_ends_with_2_and_its_place(catalogue: str) -> None:
    bad = CATALOGUE.replace("percent: 20", "percent: 120").encode()
    ended = await otao(None, "sim", "--virtual", "-f", "-", *FLEET, given=bad)
    assert ended.exit_code == 2
    assert ended.err.startswith("<stdin>:16:21: 'software[1].rollout.stages[1].percent'")
    assert ended.out == ""


async def test_on_a_terminal_it_is_told_for_people(catalogue: str) -> None:
    ended = await otao_on_terminal(None, "sim", "--virtual", "-f", catalogue, *FLEET)
    assert ended.exit_code == 0
    assert "day 1 is Monday, 01 June 2026, times UTC" in ended.out
    assert "stage 3 passed" in ended.out
