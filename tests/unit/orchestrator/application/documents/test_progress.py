from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.api import schemas
from orchestrator.application.documents import progress, texts
from orchestrator.application.records import RolloutStatus, SoftwareRecord, StageMark
from orchestrator.application.rollouts import View
from orchestrator.domain.freezes import Freeze
from orchestrator.domain.gates import Size, Tally
from orchestrator.domain.policies import RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout
from orchestrator.domain.software import Software, Strategy
from orchestrator.domain.versions import Version

if TYPE_CHECKING:
    from collections.abc import Mapping

# A decoded answer, which tests index as they please.
Json = Any
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
STAGES = (
    Stage(percent=1, soak=timedelta(hours=1), max_failure_rate=0.02, min_attempted=50),
    Stage(percent=20, soak=timedelta(hours=12), max_failure_rate=0.02, min_attempted=50, approval=True),
    Stage(percent=100),
)
TALLIES = {
    0: Tally(confirmed=98, failed=1, reverted=1),
    1: Tally(offered=1450, unreached=1130, installing=21, soaking=407, confirmed=33, failed=1, unhealthy=2),
}
SECOND, UNTOUCHED = Rollout(stage=1), RolloutStatus()
SIZES = {0: Size(endpoints=100, waiting=0), 1: Size(endpoints=1912, waiting=0)}


def view(
    *,
    rollout: Rollout = SECOND,
    status: RolloutStatus = UNTOUCHED,
    tallies: Mapping[int, Tally] = TALLIES,
    sizes: Mapping[int, Size] = SIZES,
    failures: Mapping[str, int] | None = None,
    unwell: Mapping[str, int] | None = None,
    consent: bool = False,
    **changes: Any,  # noqa: ANN401 - members of a software
) -> View:
    """A rollout in its second stage, which has not passed yet."""
    version = Version.parse("2.1.0")
    software = Software(
        version=version, strategy=Strategy.GENERAL, policy=RolloutPolicy(stages=STAGES), rollout=rollout
    )
    record = SoftwareRecord(
        software=replace(software, **changes),
        specification="{}",
        metadata="{}",
        rollout=None,
        upgradable_from=(),
        offered_at=None,
        revision=1,
        created_at=NOW - DAY,
        updated_at=NOW - DAY,
        status=status,
    )
    return View(
        record=record,
        tallies=tallies,
        sizes=sizes,
        failures=failures or {},
        unwell=unwell or {},
        totals={},
        consent=consent,
    )


def built(given: View) -> Json:
    text = texts.build(progress.build(given, NOW))
    schemas.Rollout.model_validate_json(text)
    return json.loads(text)


@pytest.mark.parametrize(
    ("phase", "changes", "expected"),
    [
        (Phase.RUNNING, {}, "running"),
        (Phase.PAUSED, {}, "paused"),
        (Phase.PAUSED, {"strategy": Strategy.SUSPENDED}, "suspended"),
        (Phase.ABORTED, {"strategy": Strategy.SUSPENDED}, "aborted"),
        (Phase.ABORTED, {"recalled_at": NOW}, "recalled"),
        (Phase.WAITING_APPROVAL, {}, "waiting-approval"),
        (Phase.FINISHED, {}, "finished"),
        (Phase.RUNNING, {"policy": RolloutPolicy(stages=STAGES, end=NOW)}, "finished"),
        (Phase.RUNNING, {"policy": RolloutPolicy(stages=STAGES, end=NOW + DAY)}, "running"),
        (Phase.WAITING_APPROVAL, {"policy": RolloutPolicy(stages=STAGES, end=NOW)}, "finished"),
        (Phase.PAUSED, {"policy": RolloutPolicy(stages=STAGES, end=NOW)}, "paused"),
    ],
)
def test_what_a_rollout_is_called(phase: Phase, changes: Json, expected: str) -> None:
    given = view(rollout=Rollout(phase=phase, stage=1), **changes)
    assert progress.state(given, NOW) == expected
    assert expected in progress.STATES
    assert built(given)["state"] == expected


@pytest.mark.parametrize(
    ("phase", "stage", "states"),
    [
        (Phase.RUNNING, 0, ["running", "waiting", "waiting"]),
        (Phase.RUNNING, 1, ["passed", "running", "waiting"]),
        (Phase.WAITING_APPROVAL, 1, ["passed", "passed", "waiting"]),
        (Phase.PAUSED, 2, ["passed", "passed", "running"]),
        (Phase.FINISHED, 2, ["passed", "passed", "passed"]),
    ],
)
def test_stages_pass_in_order(phase: Phase, stage: int, states: list[str]) -> None:
    document = built(view(rollout=Rollout(phase=phase, stage=stage)))
    assert [item["state"] for item in document["stages"]] == states
    assert document["stage"] == stage


@pytest.mark.parametrize("phase", [Phase.PAUSED, Phase.ABORTED])
def test_a_stop_does_not_undo_that_the_last_stage_has_passed(phase: Phase) -> None:
    passed = RolloutStatus().marked(2, StageMark(passed_at=NOW))
    document = built(view(rollout=Rollout(phase=phase, stage=2), status=passed))
    assert (document["state"], document["stages"][2]["state"]) == (phase.value, "passed")


def test_a_stage_that_fails_is_called_so_also_when_it_has_passed() -> None:
    document = built(view(tallies={0: Tally(confirmed=50, reverted=50), 1: Tally(confirmed=1)}))
    assert [item["state"] for item in document["stages"]] == ["failed", "running", "waiting"]


def test_acknowledged_failures_are_shown_and_set_aside() -> None:
    marks = (StageMark(acknowledged=50, endpoints=100),)
    tallies = {0: Tally(confirmed=50, reverted=50)}
    stage = built(view(status=RolloutStatus(marks=marks), tallies=tallies, sizes={}))["stages"][0]
    assert (stage["state"], stage["reverted"], stage["settled"], stage["failureRate"]) == ("passed", 50, 50, 0)


def test_reasons_beyond_the_fifty_most_frequent_are_added_up() -> None:
    many = {f"{number:02}": 100 - number for number in range(52)}
    found = built(view(failures=many, unwell=many))["failures"]
    assert len(found) == 2 * 51
    assert found[49:51] == [{"reason": "49", "endpoints": 51}, {"reason": "other", "endpoints": 50 + 49}]
    assert found[101] == {"reason": "other", "endpoints": 50 + 49, "unhealthy": True}


def test_failures_and_those_that_are_not_well_are_told_by_reason_the_most_frequent_first() -> None:
    given = view(failures={"no room": 1, "no link": 1, "dark": 3}, unwell={"too hot": 2, "loud": 5})
    assert built(given)["failures"] == [
        {"reason": "dark", "endpoints": 3},
        {"reason": "no link", "endpoints": 1},
        {"reason": "no room", "endpoints": 1},
        {"reason": "loud", "endpoints": 5, "unhealthy": True},
        {"reason": "too hot", "endpoints": 2, "unhealthy": True},
    ]


def test_a_summary_says_what_is_done_about_it() -> None:
    held = RolloutStatus(reason="smoke in the lab")
    assert built(view(rollout=Rollout(phase=Phase.PAUSED), status=held))["summary"] == "paused: smoke in the lab"
    assert built(view(rollout=Rollout(phase=Phase.ABORTED)))["summary"] == "aborted"
    assert built(view(recalled_at=NOW))["summary"] == "the software is recalled"
    waiting = built(view(rollout=Rollout(phase=Phase.WAITING_APPROVAL)))["summary"]
    assert waiting.startswith("stage 1: 100 settled, 50 needed")
    assert waiting.endswith("; waits for approval")


def test_what_is_over_waits_for_nothing() -> None:
    for given in (view(rollout=Rollout(phase=Phase.ABORTED, stage=1)), view(recalled_at=NOW)):
        stage = built(given)["stages"][1]
        assert (stage["reason"], stage["waiting"]) == (None, None)


ENDED = "ended at 2026-03-02T12:00:00Z"


@pytest.mark.parametrize(
    ("stages", "rollout", "sizes", "summary", "states"),
    [
        (STAGES, SECOND, SIZES, "131 of 2012 confirmed, 1878 under way", ["passed", "running", "waiting"]),
        (STAGES, SECOND, {1: SIZES[1]}, "131 confirmed, 1878 under way", ["passed", "running", "waiting"]),
        (STAGES, Rollout(phase=Phase.FINISHED, stage=1), SIZES, "131 of 2012 confirmed, 1878 under way", ["passed"]),
        ((), Rollout(), {0: SIZES[1]}, "131 of 1912 confirmed, 1878 under way", ["running"]),
    ],
)
def test_after_its_end_a_rollout_says_when_it_ended_and_how_far_it_came(
    stages: tuple[Stage, ...], rollout: Rollout, sizes: Mapping[int, Size], summary: str, states: list[str]
) -> None:
    document = built(view(rollout=rollout, sizes=sizes, policy=RolloutPolicy(stages=stages, end=NOW)))
    assert (document["state"], document["summary"]) == ("finished", f"{ENDED}: {summary}")
    assert [stage["state"] for stage in document["stages"]][: len(states)] == states
    assert [stage["waiting"] for stage in document["stages"]] == [None] * len(document["stages"])
    assert document["stages"][-1]["reason"] is None


def test_a_rollout_of_which_nobody_has_confirmed_anything_has_ended_and_passed_nothing() -> None:
    policy = RolloutPolicy(end=NOW)
    document = built(view(rollout=Rollout(), tallies={}, sizes={0: Size(endpoints=7, waiting=7)}, policy=policy))
    assert (document["state"], document["summary"]) == ("finished", f"{ENDED}: 0 of 7 confirmed")
    assert document["stages"][0]["state"] == "running"
    settled = built(view(rollout=Rollout(), tallies={0: Tally(confirmed=2)}, sizes={}, policy=policy))
    assert (settled["summary"], settled["stages"][0]["state"]) == (f"{ENDED}: 2 confirmed", "passed")


def test_what_is_paused_when_it_ends_says_both_and_what_is_stopped_for_good_only_that() -> None:
    policy, held = RolloutPolicy(stages=STAGES, end=NOW), RolloutStatus(reason="smoke in the lab")
    paused = built(view(rollout=Rollout(phase=Phase.PAUSED, stage=1), status=held, policy=policy))["summary"]
    assert paused == f"{ENDED}: 131 of 2012 confirmed, 1878 under way; paused: smoke in the lab"
    assert built(view(rollout=Rollout(phase=Phase.ABORTED), policy=policy))["summary"] == "aborted"
    assert built(view(recalled_at=NOW, policy=policy))["summary"] == "the software is recalled"


def test_a_rollout_that_nobody_judges_is_not_finished_as_long_as_nobody_has_counted_who_waits() -> None:
    given = view(rollout=Rollout(), tallies={0: Tally(confirmed=3)}, sizes={}, policy=RolloutPolicy())
    document = built(given)
    assert (document["state"], document["stages"][0]["state"]) == ("running", "running")


@pytest.mark.parametrize(
    ("waiting", "asked", "expected"), [(0, 0, "finished"), (2, 0, "running"), (2, 1, "running"), (2, 2, "finished")]
)
def test_a_rollout_that_nobody_judges_is_not_finished_while_somebody_waits_for_an_offer(
    waiting: int, asked: int, expected: str
) -> None:
    """Those whom a limit or a window holds: between two offers nothing is under way. Who is asked may never answer."""
    sizes = {0: Size(endpoints=5, waiting=waiting, asked=asked)}
    given = view(rollout=Rollout(), tallies={0: Tally(confirmed=3)}, sizes=sizes, policy=RolloutPolicy())
    assert built(given)["state"] == expected


@pytest.mark.parametrize(
    ("tallies", "expected"),
    [
        ({}, "running"),
        ({0: Tally(offered=1, confirmed=3)}, "running"),
        ({0: Tally(soaking=1, confirmed=3)}, "running"),
        ({0: Tally(confirmed=3, failed=1)}, "finished"),
    ],
)
def test_a_rollout_that_nobody_judges_is_finished_when_nothing_is_under_way(
    tallies: Mapping[int, Tally], expected: str
) -> None:
    document = built(view(rollout=Rollout(), tallies=tallies, policy=RolloutPolicy()))
    assert document["state"] == expected
    assert document["stages"][0]["state"] == {"running": "running", "finished": "passed"}[expected]
    assert document["stages"][0]["reason"] is None
    assert document["summary"] == "stage 1: not judged: neither stages nor onFailure are given"


def test_stages_that_an_edit_has_taken_away_are_not_shown() -> None:
    document = built(view(rollout=Rollout(stage=0), policy=RolloutPolicy(stages=(Stage(filter_id="canary"),))))
    (stage,) = document["stages"]
    assert (stage["filter"], stage["percent"], document["stage"]) == ("canary", None, 0)


NIGHT = Window(cron="0 1 * * *", duration=timedelta(hours=4))
CLOSED = "its window is closed until 2026-03-03T01:00:00Z"
ASKING = "consent is required: who was not consented to waits for that"


@pytest.mark.parametrize("stages", [STAGES, ()])
@pytest.mark.parametrize(
    ("date", "window", "consent", "held"),
    [
        (None, None, False, ""),
        (NOW + DAY, NIGHT, True, "; it starts at 2026-03-03T12:00:00Z"),
        (NOW, NIGHT, True, f"; {CLOSED}"),
        (None, replace(NIGHT, cron="0 11 * * *"), True, f"; {ASKING}"),
        (None, replace(NIGHT, time_zone=None), False, ""),
        (None, None, True, f"; {ASKING}"),
    ],
)
def test_a_summary_ends_with_what_holds_the_offers(
    stages: tuple[Stage, ...], date: datetime | None, window: Window | None, held: str, *, consent: bool
) -> None:
    policy = RolloutPolicy(stages=stages, window=window)
    sizes = {0: Size(endpoints=1, waiting=1)}
    given = view(rollout=Rollout(), tallies={}, sizes=sizes, consent=consent, policy=policy, rollout_date=date)
    says = "nobody was reached yet; 1 waits for an offer"
    says = says if stages else "not judged: neither stages nor onFailure are given"
    assert built(given)["summary"] == f"stage 1: {says}{held}"


@pytest.mark.parametrize(
    ("everywhere", "held"), [(False, "the application is frozen"), (True, "all applications are frozen")]
)
def test_a_freeze_is_what_holds_the_offers_before_all_else(held: str, *, everywhere: bool) -> None:
    policy = RolloutPolicy(stages=STAGES, window=NIGHT)
    waiting = view(rollout=Rollout(), tallies={}, sizes={0: Size(endpoints=1, waiting=1)}, policy=policy)
    given = replace(waiting, freeze=Freeze(since=NOW, by="anna", everywhere=everywhere))
    assert built(given)["summary"] == f"stage 1: nobody was reached yet; 1 waits for an offer; {held}"


def test_what_does_not_run_or_has_nobody_waiting_is_held_by_nothing() -> None:
    policy = RolloutPolicy(stages=STAGES, window=NIGHT)
    everybody = {0: Size(endpoints=1, waiting=0)}
    assert CLOSED not in built(view(rollout=Rollout(), sizes=everybody, policy=policy))["summary"]
    for phase in (Phase.PAUSED, Phase.ABORTED, Phase.WAITING_APPROVAL, Phase.FINISHED):
        waiting = {0: Size(endpoints=9, waiting=9)}
        given = view(rollout=Rollout(phase=phase), sizes=waiting, policy=policy, consent=True)
        assert "closed" not in built(given)["summary"]
