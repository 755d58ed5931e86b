"""How long things take, as a text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_sim import paces
from device_sim.devices import Pace
from device_sim.errors import PlanError


def test_what_is_not_named_keeps_its_default() -> None:
    assert paces.parse("") == paces.parse(" ") == Pace()
    assert paces.parse("watchdog=90s, report-every=1.5m,download=0.25") == Pace(
        watchdog_seconds=90, report_every_seconds=90, download_seconds=0.25
    )
    assert paces.parse("asleep=2h") == Pace(asleep_seconds=7200)


def test_a_pace_may_begin_with_another_one() -> None:
    assert paces.parse("", paces.REAL) == paces.REAL
    assert paces.parse("reboot=2m", paces.REAL) == replace(paces.REAL, reboot_seconds=120)


def test_every_time_of_a_device_can_be_named() -> None:
    assert paces.NAMES == (
        "download", "verify", "install", "reboot", "check", "retry", "awake", "asleep", "watchdog", "health",
        "report-every",
    )  # fmt: skip
    assert paces.parse(",".join(f"{name}=7s" for name in paces.NAMES)) == Pace(**dict.fromkeys(Pace.__slots__, 7.0))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("speed=1s", "'speed' is no pace of its own; there are download, verify"),
        ("download_seconds=1s", "no pace"),
        ("health=1s,health=2s", "no pace of its own"),
        ("health=1s,", "no pace"),
        ("health", "'' is no time"),
        ("health=", "no time"),
        ("health=soon", "'soon' is no time: it looks like 0.5s, 90s, 5m or 1h"),
        ("health=-1s", "no time"),
        ("health=1d", "no time"),
        ("health=1e9", "no time"),
    ],
)
def test_what_is_no_pace_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        paces.parse(text)
