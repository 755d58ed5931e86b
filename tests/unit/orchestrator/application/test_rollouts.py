"""What operators do with rollouts, how many offers end by it, and what is kept of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.audits import Action
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.documents import progress, texts
from orchestrator.application.problems import (
    NotFoundError,
    SoftwareRecalledError,
    SoftwareSuspendedError,
    StageNotBegunError,
)
from orchestrator.application.sizes import LEAST_PAUSE
from orchestrator.domain.facts import Consented, Progressed
from orchestrator.domain.gates import Size
from orchestrator.domain.rollouts import IllegalRolloutMove, Phase, Rollout
from orchestrator.domain.versions import Version
from protocol.progress import ProgressState
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

NEW = Version.parse("1.1.0")
BECAUSE = ANONYMOUS.because("it bricks")
STOPS = ["pause", "abort"]


async def staged(desk: Desk) -> None:
    """A rollout in two stages."""
    await desk.define("1.1.0", "1.0.0", rollout={"stages": [{"percent": 50}, {"percent": 100}]})


async def called(desk: Desk) -> str:
    """What the rollout is called now."""
    return progress.state(await desk.rollouts.get(APP, NEW), desk.clock.now())


async def test_a_pause_ends_unstarted_offers_of_pinned_endpoints_too_and_lets_installs_go_on(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("plain", "1.0.0")
    for name in ("pinned", "started"):
        await desk.enrol(name, "1.0.0", pinned="1.1.0")
    state = ProgressState.INSTALLING
    await desk.hear("started", Progressed(version=NEW, state=state, percent=None, message=None, at=desk.clock.at))
    closings = desk.gate.closings
    moved = await desk.rollouts.pause(APP, NEW, by=BECAUSE)
    assert (moved.withdrawn, desk.gate.closings) == (2, closings + 1)
    await desk.sweep()
    offers = {name: await desk.offer_of(name) for name in ("plain", "pinned", "started")}
    assert offers == {"plain": None, "pinned": None, "started": "1.1.0"}


@pytest.mark.parametrize("stop", ["pause", "abort", "recall"])
async def test_invariant_7_the_numbers_of_a_stop_are_those_after_its_sweep(desk: Desk, stop: str) -> None:
    await desk.define("1.1.0", "1.0.0", rollout={"stages": [{"percent": 100, "soak": "PT1H"}]})
    for name in ("a", "b", "started"):
        await desk.enrol(name, "1.0.0")
    state = ProgressState.INSTALLING
    await desk.hear("started", Progressed(version=NEW, state=state, percent=None, message=None, at=desk.clock.at))
    match stop:
        case "pause":
            await desk.rollouts.pause(APP, NEW, by=BECAUSE)
        case "abort":
            await desk.rollouts.abort(APP, NEW, by=BECAUSE)
        case _:
            await desk.definitions.recall(APP, NEW, by=BECAUSE)
    at_once = (await desk.rollouts.get(APP, NEW)).tallies[0]
    assert at_once.offered == at_once.unreached == 0
    assert at_once.withdrawn >= 2
    await desk.sweep()
    assert (await desk.rollouts.get(APP, NEW)).tallies[0] == at_once


async def test_what_a_pause_has_ended_an_abort_does_not_end_again(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    assert (await desk.rollouts.pause(APP, NEW, by=ANONYMOUS)).withdrawn == 1
    assert (await desk.rollouts.pause(APP, NEW, by=ANONYMOUS)).withdrawn == 0
    assert (await desk.rollouts.abort(APP, NEW, by=ANONYMOUS)).withdrawn == 0


async def test_a_move_is_kept_with_who_made_it_since_when_and_why(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    record = (await desk.rollouts.pause(APP, NEW, by=BECAUSE)).record
    assert (record.status.since, record.status.by, record.status.reason) == (desk.clock.at, "anonymous", "it bricks")
    assert desk.bells.changes[-1].action is Action.ROLLOUT_PAUSE
    count = len(desk.bells.changes)
    again = await desk.rollouts.pause(APP, NEW, by=ANONYMOUS)
    assert (again.record.status, len(desk.bells.changes)) == (record.status, count)


async def test_a_resume_acknowledges_the_failures_that_it_finds(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rollout={"stages": [{"percent": 100}]})
    for name in ("a", "b"):
        await desk.enrol(name, "1.0.0")
        await desk.report(name, "1.1.0", 500)
    await desk.rollouts.pause(APP, NEW, by=ANONYMOUS)
    resumed = await desk.rollouts.resume(APP, NEW, by=ANONYMOUS)
    assert (resumed.record.software.rollout.phase, resumed.withdrawn) == (Phase.RUNNING, 0)
    assert resumed.record.status.mark(0).acknowledged == 2
    # What runs already is not resumed.
    assert (await desk.rollouts.resume(APP, NEW, by=ANONYMOUS)).record == resumed.record


async def halt(desk: Desk, stop: str) -> None:
    """Pause or abort the rollout."""
    rollouts = desk.rollouts
    await (rollouts.pause if stop == "pause" else rollouts.abort)(APP, NEW, by=ANONYMOUS)


async def last_stage(desk: Desk) -> str:
    """What the last stage of the rollout is called now."""
    document = progress.build(await desk.rollouts.get(APP, NEW), desk.clock.now())
    last: str = json.loads(texts.build(document))["stages"][-1]["state"]
    return last


@pytest.mark.parametrize("rollout", [None, {"stages": [{"percent": 100}]}])
async def test_a_finished_rollout_that_is_stopped_has_passed_until_it_is_resumed(desk: Desk, rollout: object) -> None:
    await desk.define("1.1.0", "1.0.0", **({} if rollout is None else {"rollout": rollout}))
    await desk.enrol("a", "1.0.0")
    await desk.report("a", "1.1.0")
    if rollout is not None:
        await desk.rollouts.approve(APP, NEW, by=ANONYMOUS)
    assert (await called(desk), await last_stage(desk)) == ("finished", "passed")
    await desk.rollouts.pause(APP, NEW, by=ANONYMOUS)
    assert (await called(desk), await last_stage(desk)) == ("paused", "passed")
    await desk.rollouts.resume(APP, NEW, by=ANONYMOUS)
    assert await last_stage(desk) == ("running" if rollout else "passed")
    await desk.rollouts.pause(APP, NEW, by=ANONYMOUS)
    assert await last_stage(desk) == ("running" if rollout else "passed")
    await desk.rollouts.resume(APP, NEW, by=ANONYMOUS)
    if rollout is not None:
        await desk.rollouts.approve(APP, NEW, by=ANONYMOUS)
    await desk.rollouts.abort(APP, NEW, by=ANONYMOUS)
    assert (await called(desk), await last_stage(desk)) == ("aborted", "passed")


@pytest.mark.parametrize("stop", STOPS)
async def test_an_unjudged_rollout_that_is_stopped_has_passed_also_when_nobody_has_looked_at_it(
    desk: Desk, stop: str
) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    await desk.report("a", "1.1.0")
    await halt(desk, stop)
    assert await last_stage(desk) == "passed"


@pytest.mark.parametrize("phase", [Phase.FINISHED, Phase.WAITING_APPROVAL])
@pytest.mark.parametrize("stop", STOPS)
async def test_a_stop_leaves_a_stage_passed_also_where_that_was_not_noted_yet(
    desk: Desk, stop: str, phase: Phase
) -> None:
    await desk.define("1.1.0", "1.0.0", rollout={"stages": [{"percent": 100}]})
    async with desk.revisions.open(APP, stops=False, by=ANONYMOUS) as revision:
        record = revision.before.software[NEW]
        stored = replace(record, software=replace(record.software, rollout=Rollout(phase=phase)))
        await revision.edit.put_software(revision.key, stored)
    await halt(desk, stop)
    assert await last_stage(desk) == "passed"


async def test_a_stop_amid_an_unjudged_rollout_leaves_its_stage_running(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    for name in ("a", "b"):
        await desk.enrol(name, "1.0.0")
    await desk.report("a", "1.1.0")
    assert await called(desk) == "running"
    await desk.rollouts.abort(APP, NEW, by=ANONYMOUS)
    await desk.sweep()
    assert (await called(desk), await last_stage(desk)) == ("aborted", "running")


async def test_an_approval_names_the_stage_that_is_left(desk: Desk) -> None:
    await staged(desk)
    with pytest.raises(StageNotBegunError):
        await desk.rollouts.approve(APP, NEW, stage=1, by=ANONYMOUS)
    left = await desk.rollouts.approve(APP, NEW, stage=0, by=ANONYMOUS)
    assert (left.record.software.rollout.stage, left.record.status.mark(0).passed_at) == (1, desk.clock.at)
    # Said twice, it leaves no other.
    assert (await desk.rollouts.approve(APP, NEW, stage=0, by=ANONYMOUS)).record == left.record
    finished = await desk.rollouts.approve(APP, NEW, by=ANONYMOUS)
    assert finished.record.software.rollout.phase is Phase.FINISHED
    with pytest.raises(IllegalRolloutMove):
        await desk.rollouts.resume(APP, NEW, by=ANONYMOUS)
    assert (await desk.rollouts.approve(APP, NEW, by=ANONYMOUS)).record == finished.record


async def test_what_an_abort_or_a_recall_has_ended_is_not_moved_again(desk: Desk) -> None:
    await staged(desk)
    await desk.rollouts.abort(APP, NEW, by=ANONYMOUS)
    for call in (desk.rollouts.pause, desk.rollouts.resume, desk.rollouts.approve):
        with pytest.raises(IllegalRolloutMove):
            await call(APP, NEW, by=ANONYMOUS)
    await desk.definitions.recall(APP, NEW)
    for call in (desk.rollouts.pause, desk.rollouts.resume, desk.rollouts.approve, desk.rollouts.abort):
        with pytest.raises(SoftwareRecalledError):
            await call(APP, NEW, by=ANONYMOUS)


async def test_the_rollout_of_suspended_software_is_only_aborted(desk: Desk) -> None:
    await staged(desk)
    await desk.rollouts.pause(APP, NEW, by=ANONYMOUS)
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    for call in (desk.rollouts.pause, desk.rollouts.resume, desk.rollouts.approve):
        with pytest.raises(SoftwareSuspendedError, match="set rolloutStrategy to general or targeted first"):
            await call(APP, NEW, by=ANONYMOUS)
    aborted = await desk.rollouts.abort(APP, NEW, by=ANONYMOUS)
    assert aborted.record.software.rollout.aborted


async def test_only_software_that_is_there_has_a_rollout_and_only_judged_ones_are_listed(desk: Desk) -> None:
    await desk.define("1.0.0")
    await staged(desk)
    with pytest.raises(NotFoundError):
        await desk.rollouts.get(APP, Version.parse("1.1.0+other.build"))
    with pytest.raises(NotFoundError):
        await desk.rollouts.get("other", NEW)
    assert [view.record.software.version.text for view in await desk.rollouts.judged(APP)] == ["1.1.0"]


async def test_a_view_has_the_numbers_of_its_version_alone(desk: Desk) -> None:
    await staged(desk)
    await desk.define("1.2.0", "1.1.0")
    for name in ("a", "b", "c"):
        await desk.enrol(name, "1.0.0", pinned="1.1.0")
    await desk.report("a", "1.1.0")
    await desk.report("b", "1.1.0", 500, "no room left")
    view = await desk.rollouts.get(APP, NEW)
    assert view.failures == {"no room left": 1}
    assert view.totals == {"confirmed": 1, "failed": 1, "offered": 1}
    assert view.sizes[0].waiting == 0
    assert (await desk.rollouts.get(APP, Version.parse("1.2.0"))).totals == {}


async def test_what_is_finished_without_gates_stays_so_while_somebody_is_under_way_to_a_newer_version(
    desk: Desk,
) -> None:
    """It could still come to the older one by an edge, and never does: a watch of that rollout would not end."""
    await desk.define("1.1.0", "1.0.0")
    for name in ("updated", "late"):
        await desk.enrol(name, "1.0.0")
    await desk.report("updated", "1.1.0")
    assert await called(desk) == "running"
    await desk.define("1.2.0", "1.0.0")
    await desk.sweep()
    assert await desk.offer_of("late") == "1.2.0"
    assert await called(desk) == "finished"


async def test_what_is_finished_without_gates_stays_so_while_a_question_for_consent_is_open(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", rollout={"consent": "required"})
    for name in ("updated", "silent"):
        await desk.enrol(name, "1.0.0")
    assert await called(desk) == "running"
    await desk.hear("updated", Consented(version=NEW, granted=True, reason=None, at=desk.clock.at))
    assert await called(desk) == "running"
    await desk.report("updated", "1.1.0")
    desk.clock.at += LEAST_PAUSE
    assert (await desk.rollouts.get(APP, NEW)).sizes[0] == Size(endpoints=2, waiting=1, asked=1)
    assert await called(desk) == "finished"
