"""What a simulated fleet is to be like: what was given counts, and defaults stand for the rest."""

from __future__ import annotations

from device_sim import paces
from orchestrator.cli.likenesses import Likeness


def likeness(
    app_version: str | None = None, devices: int | None = None, versions: str | None = None, pace: str = ""
) -> Likeness:
    return Likeness(
        app_version=app_version,
        devices=devices,
        versions=versions,
        faults="offline=1",
        attributes=("ring:1=100%",),
        seed=3,
        pace=pace,
        prefix="kettle",
    )


def test_what_was_not_given_is_as_usual() -> None:
    plan = likeness().plan(app_version="v", devices=7, versions="1.0.0", pace=paces.REAL)
    assert (plan.app_version, plan.devices, str(plan.versions), plan.pace) == ("v", 7, "1.0.0=100%", paces.REAL)
    assert (str(plan.faults), plan.seed, plan.token(0), set(plan.attributes)) == (
        "offline=1",
        3,
        "kettle-00000",
        {"ring"},
    )


def test_what_was_given_counts() -> None:
    given = likeness(app_version="w", devices=9, versions="2.0.0", pace="reboot=7s")
    plan = given.plan(app_version="v", devices=7, versions="1.0.0", pace=paces.REAL, gateways=2, keep_alive=5)
    assert (plan.app_version, plan.devices, str(plan.versions)) == ("w", 9, "2.0.0=100%")
    assert (plan.pace.reboot_seconds, plan.pace.check_seconds) == (7, paces.REAL.check_seconds)
    assert (plan.gateways, plan.keep_alive) == (2, 5)
