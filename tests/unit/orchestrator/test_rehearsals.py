"""Rollouts in virtual time: what is told of them, when it ends, and that it is the same again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from device_sim import mixes, paces
from device_sim.plans import FleetPlan
from device_sim.virtual_fleets import VirtualFleet
from orchestrator import rehearsals
from orchestrator.rehearsals import CatalogueRefusedError, Score

if TYPE_CHECKING:
    from orchestrator.rehearsals import Moment

BEGINS_AT = datetime(2026, 6, 1, 9, tzinfo=UTC)
OLD: dict[str, Any] = {"version": "1.0.0", "rolloutStrategy": "suspended"}
STAGES = [{"count": 10, "soak": "PT1H", "minAttempted": 10}, {"percent": 100, "soak": "PT1H"}]


def software(version: str = "1.1.0", over: str = "1.0.0", **members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    body = {"version": version, "upgradableFrom": [over], "rolloutStrategy": "general", "specification": {"link": "x"}}
    return {**body, **members}


def score(*items: dict[str, Any], days: float = 7, approve_after: timedelta | None = None) -> Score:
    return Score(
        application="kettles",
        catalogue={"appVersions": ["kettle-v1"], "software": [OLD, *items]},
        begins_at=BEGINS_AT,
        horizon=timedelta(days=days),
        approve_after=approve_after,
    )


def make_fleet(habits: str = "steady", faults: str = "", attributes: dict[str, str] | None = None) -> VirtualFleet:
    plan = FleetPlan(
        app_version="kettle-v1",
        devices=40,
        versions=mixes.parse("1.0.0"),
        faults=mixes.parse(faults),
        attributes={name: mixes.parse(mix) for name, mix in (attributes or {}).items()},
        pace=paces.REAL,
    )
    return VirtualFleet(plan, mixes.parse(habits))


async def play(what: Score, fleet: VirtualFleet) -> list[Moment]:
    told: list[Moment] = []
    await rehearsals.play(what, fleet, told.append)
    return told


def whats(told: list[Moment], version: str = "1.1.0") -> list[str]:
    return [moment.what for moment in told if moment.rollout["version"] == version]


async def test_a_good_release_goes_from_stage_to_stage_and_reaches_everybody() -> None:
    fleet = make_fleet()
    told = await play(score(software(rollout={"stages": STAGES})), fleet)
    assert whats(told) == [
        "stage 1 begins", "stage 1 passed", "stage 2 begins", "stage 2 passed", "finished", "end",
    ]  # fmt: skip
    assert told[1].why == "10 settled, 10 needed; failure rate 0 % (0-27.8 %), limit 5 %"
    soak = told[1].at - BEGINS_AT
    assert timedelta(hours=1) < soak < timedelta(hours=2)
    assert fleet.progress().by_version == {"1.1.0": 40}


async def test_a_release_that_falls_back_is_paused_in_its_first_stage() -> None:
    fleet = make_fleet(faults="fall-back=100%")
    told = await play(score(software(rollout={"stages": STAGES})), fleet)
    assert whats(told) == ["stage 1 begins", "stage 1 failed", "paused", "end"]
    assert "is over the limit 5 %" in str(told[1].why)
    assert told[2].why is None
    assert fleet.progress().by_version == {"1.0.0": 40}
    assert sum(device.installs > 0 for device in fleet.devices) == 10


async def test_the_same_again_is_the_same() -> None:
    what = score(software(rollout={"stages": STAGES}))
    told = [await play(what, make_fleet("steady=50%,nightly=25%,sleeping=25%", "drops=20%")) for _ in range(2)]
    assert told[0] == told[1]


async def test_an_operator_approves_when_it_is_time_and_else_nobody_does() -> None:
    stages = [{"count": 10, "soak": "PT1H", "minAttempted": 10, "approval": "manual"}, {"percent": 100}]
    waiting = await play(score(software(rollout={"stages": stages})), make_fleet())
    assert whats(waiting) == ["stage 1 begins", "waiting-approval", "end"]
    what = score(software(rollout={"stages": stages}), approve_after=timedelta(hours=3))
    told = await play(what, make_fleet())
    assert whats(told)[:5] == [
        "stage 1 begins", "waiting-approval", "stage 1 approved", "stage 1 passed", "stage 2 begins",
    ]  # fmt: skip
    assert whats(told)[-2:] == ["finished", "end"]
    assert timedelta(hours=3) <= told[2].at - told[1].at <= timedelta(hours=3, minutes=5)


async def test_versions_come_one_after_the_other() -> None:
    fleet = make_fleet()
    told = await play(score(software(rollout={"stages": STAGES}), software("2.0.0", "1.1.0")), fleet)
    assert fleet.progress().by_version == {"2.0.0": 40}
    assert whats(told, "2.0.0") == ["stage 1 begins", "finished", "end"]


async def test_a_rate_is_kept() -> None:
    fleet = make_fleet()
    limited = software(rollout={"stages": [{"percent": 100}], "limits": {"perMinute": 1}})
    told = await play(score(limited), fleet)
    assert fleet.progress().by_version == {"1.1.0": 40}
    finished_at = next(moment.at for moment in told if moment.what == "finished")
    assert finished_at - BEGINS_AT > timedelta(minutes=30)


async def test_it_ends_at_the_horizon() -> None:
    late = software(rollout={"stages": STAGES, "start": "2026-06-03T09:00:00Z"})
    told = await play(score(late, days=2.05), make_fleet())
    assert told[-1].at == BEGINS_AT + timedelta(days=2.05)
    never = await play(score(late, days=1), make_fleet())
    assert never[-1].rollout["stages"][0]["offered"] == 0


async def test_who_is_never_reachable_keeps_nothing_going() -> None:
    told = await play(score(software(rollout={"stages": STAGES})), make_fleet("stored"))
    assert whats(told) == ["stage 1 begins", "end"]
    assert told[-1].at - BEGINS_AT < timedelta(days=1)


async def test_devices_say_attributes_that_operators_keep_for_themselves() -> None:
    what = score(software(rollout={"stages": [{"filter": "lab"}]}))
    catalogue = {**what.catalogue, "operatorKeys": ["ring"], "registration": "closed"}
    catalogue |= {"filters": {"lab": "attributes.ring == 1"}}
    fleet = make_fleet(attributes={"ring": "1=10,2=30"})
    await play(Score(application="k", catalogue=catalogue, begins_at=BEGINS_AT, horizon=timedelta(days=1)), fleet)
    assert fleet.progress().by_version == {"1.0.0": 30, "1.1.0": 10}


async def test_a_catalogue_that_is_refused_says_where_and_why() -> None:
    wrong = score(software(rollout={"stages": [{"percent": 20}, {"percent": 10}]}))
    with pytest.raises(CatalogueRefusedError, match=r"'software\[1\].rollout.stages") as refused:
        await rehearsals.check(wrong)
    assert (refused.value.status, refused.value.code) == (422, "member-invalid")
    await rehearsals.check(score(software()))


@pytest.mark.parametrize(
    ("items", "version"),
    [
        ([OLD, software()], "1.0.0"),
        ([software()], "1.0.0"),
        ([software(over="^1.0")], "1.0.0"),
        ([software(over=">=1.0.2 <1.1.0")], "1.0.2"),
        ([software(over="1.0.0-rc.1")], "1.0.0-rc.1"),
        ([software("2.0.0", "1.1.0"), software("1.1.0", "1.0.0")], "1.0.0"),
        ([software("2.0.0", "1.1.0"), {**OLD, "version": "1.1.0"}], "1.1.0"),
        ([OLD], None),
        ([software(over="*")], None),
        ([software(over="no range")], None),
        ([software(version="none")], None),
        ([], None),
    ],
)
def test_a_fleet_begins_where_the_way_begins(items: list[dict[str, Any]], version: str | None) -> None:
    assert rehearsals.first_version(items) == version
