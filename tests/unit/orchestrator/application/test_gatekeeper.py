from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.authors import ANONYMOUS, OTAO
from orchestrator.application.gatekeeper import Gatekeeper
from orchestrator.application.pacer import Pacer
from orchestrator.application.rollouts import Rollouts
from orchestrator.application.sizes import LEAST_PAUSE, Sizes
from orchestrator.domain.cohorts import COHORTS, cohort
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.rollouts import Phase, rank, shift
from orchestrator.domain.versions import Version
from tests.parts import no_time, without_broker
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.application.authors import Author
    from orchestrator.application.rollouts import Moved, Step, View
    from orchestrator.domain.gates import Size
    from tests.unit.orchestrator.application.desks import Desk

NEW = Version.parse("1.1.0")
FLEET = [f"e{number}" for number in range(10)]


class Keeper:
    """A gatekeeper with what it moves."""

    def __init__(self, desk: Desk) -> None:
        sizes = Sizes(desk.storage, desk.clock, no_time)
        self.rollouts = Rollouts(desk.storage, desk.revisions, sizes)
        self.gates = Gatekeeper(without_broker(desk.storage, desk.directory, desk.clock), self.rollouts, sizes)
        self.desk = desk

    async def define(self, *stages: dict[str, object]) -> None:
        await self.desk.define("1.1.0", "1.0.0", rollout={"stages": [*stages, {"percent": 100}]})
        await self.desk.sweep()

    async def tick(self, times: int = 1) -> View:
        for _ in range(times):
            await self.gates.tick()
            await self.desk.sweep()
        return await self.rollouts.get(APP, NEW)

    async def size(self) -> Size:
        """Of the first stage, as the gate has just measured it."""
        return (await self.tick()).sizes[0]

    async def holders(self) -> list[str]:
        return [name for name in FLEET if await self.desk.offer_of(name) is not None]


@pytest.fixture
async def keeper(desk: Desk) -> Keeper:
    for name in FLEET:
        await desk.enrol(name, "1.0.0")
    return Keeper(desk)


async def test_a_stage_that_is_just_being_widened_is_not_judged_by_its_size(keeper: Keeper) -> None:
    """It has no endpoints before it is widened; one verdict would be all that such a stage can have."""
    await keeper.define({"count": 4, "minAttempted": 2})
    assert len((await keeper.tick()).record.software.rollout.members[0]) == 4
    await keeper.desk.report((await keeper.holders())[0], "1.1.0")
    view = await keeper.tick()
    assert view.sizes[0].endpoints == 4
    assert (view.record.software.rollout.stage, view.tallies[0].confirmed) == (0, 1)
    await keeper.desk.report((await keeper.holders())[0], "1.1.0")
    assert (await keeper.tick()).record.software.rollout.stage == 1


async def test_an_edit_has_the_stage_measured_at_once(keeper: Keeper) -> None:
    """The clock stands still, and the fleet has not changed."""
    await keeper.define({"count": 2})
    await keeper.tick()
    assert (await keeper.size()).endpoints == 2
    await keeper.define({"count": 6})
    await keeper.tick()
    assert (await keeper.size()).endpoints == 6


async def test_a_stage_is_widened_though_somebody_has_looked_at_it_before_the_gate(keeper: Keeper) -> None:
    """Who watches a rollout measures it; the gate has to hear what was found, though nothing has changed since."""
    await keeper.define({"count": 2})
    await keeper.rollouts.get(APP, NEW)
    await keeper.tick()
    assert len(await keeper.holders()) == 2
    await keeper.define({"count": 6})
    await keeper.rollouts.get(APP, NEW)
    await keeper.tick()
    assert len(await keeper.holders()) == 6


def by_rank(count: int) -> list[str]:
    """Names of endpoints, by ascending rank."""
    turned = shift(APP, NEW)
    return sorted((f"n{number}" for number in range(count)), key=lambda name: rank(cohort(APP, name), turned))


async def grow(keeper: Keeper, names: Iterable[str]) -> None:
    """Endpoints come; the gate looks when it may."""
    for name in names:
        await keeper.desk.enrol(name, "1.0.0")


async def offered(keeper: Keeper, names: Iterable[str]) -> list[str]:
    return [name for name in names if await keeper.desk.offer_of(name) is not None]


async def look_again(keeper: Keeper) -> None:
    keeper.desk.clock.at += LEAST_PAUSE
    await keeper.tick()


async def test_a_fleet_that_comes_after_its_highest_rank_is_not_let_in_with_it(desk: Desk) -> None:
    """The first one is alone, and so is taken in; those that come below it are offered nothing."""
    keeper, names = Keeper(desk), by_rank(200)
    await keeper.define({"percent": 1, "soak": "PT1H"})
    await grow(keeper, names[-1:])
    await keeper.tick()
    assert await offered(keeper, names[-1:]) == names[-1:]
    await grow(keeper, names[:-1])
    own = [name for name in names if rank(cohort(APP, name), shift(APP, NEW)) < COHORTS // 100]
    assert own
    assert await offered(keeper, names) == [*own, names[-1]]
    await look_again(keeper)
    # The stage has endpoints of its own: whoever was taken in, and has not begun, is not in it any more.
    assert await offered(keeper, names) == own
    view = await keeper.tick()
    assert (view.record.software.rollout.members, view.sizes[0].endpoints) == ((frozenset(),), len(own))


async def test_who_is_taken_in_is_the_lowest_until_one_has_begun(desk: Desk) -> None:
    keeper, names = Keeper(desk), by_rank(20)
    low, middle, high = names[5], names[10], names[15]
    await keeper.define({"percent": 0.0001, "minAttempted": 2})
    await grow(keeper, [high])
    await keeper.tick()
    await grow(keeper, [middle])
    assert await offered(keeper, [middle, high]) == [high]
    await look_again(keeper)
    assert await offered(keeper, [middle, high]) == [middle]
    await desk.report(middle, "1.1.0", 500)
    await grow(keeper, [low])
    await look_again(keeper)
    assert await offered(keeper, [low, middle, high]) == []


async def test_a_number_takes_in_no_more_than_so_many_of_a_fleet_that_comes_later(desk: Desk) -> None:
    """Fewer were known than the number: whoever comes fills it up by the gate alone, wherever it stands."""
    keeper, names = Keeper(desk), by_rank(30)
    early, late = names[20:22], names[:20]
    await keeper.define({"count": 5, "soak": "PT1H"})
    await grow(keeper, early)
    await keeper.tick()
    assert await offered(keeper, early) == early
    await grow(keeper, late)
    # They stand before those that were taken in, and are offered nothing.
    assert await offered(keeper, names[:22]) == early
    await look_again(keeper)
    assert await offered(keeper, names[:22]) == [*names[:3], *early]
    await grow(keeper, names[22:])
    await look_again(keeper)
    view = await keeper.tick()
    assert await offered(keeper, names) == [*names[:3], *early]
    assert view.sizes[0].endpoints == 5


async def test_a_number_that_grows_keeps_the_offers_that_were_made(keeper: Keeper) -> None:
    await keeper.define({"count": 2, "soak": "PT1H"})
    await keeper.tick()
    before = {name: await keeper.desk.offer_of(name) for name in await keeper.holders()}
    await keeper.define({"count": 6, "soak": "PT1H"})
    await keeper.tick()
    after = {name: await keeper.desk.offer_of(name) for name in await keeper.holders()}
    assert (len(before), len(after)) == (2, 6)
    assert {name: after[name] for name in before} == before


async def test_a_number_that_becomes_smaller_keeps_whoever_has_begun(keeper: Keeper) -> None:
    await keeper.define({"count": 8, "soak": "PT1H"})
    await keeper.tick()
    begun = sorted(await keeper.holders())[-2:]
    for name in begun:
        await keeper.desk.report(name, "1.1.0")
    await keeper.define({"count": 3, "soak": "PT1H"})
    view = await keeper.tick(2)
    assert len(await keeper.holders()) == 1
    assert (view.tallies[0].offered, view.tallies[0].soaking) == (1, 2)


async def test_a_number_that_is_full_takes_in_nobody_for_those_that_go_on_or_leave(desk: Desk) -> None:
    """A number counts those of earlier numbers; what they do later makes no room."""
    keeper, names = Keeper(desk), by_rank(10)
    await grow(keeper, names)
    await keeper.define({"count": 2, "minAttempted": 1}, {"count": 4, "minAttempted": 1})
    await keeper.tick()
    for name in names[:2]:
        await desk.report(name, "1.1.0")
    await keeper.tick(3)
    assert await offered(keeper, names) == names[2:4]
    await desk.define("1.2.0", "1.1.0")
    await desk.sweep()
    await desk.report(names[0], "1.2.0")
    await desk.endpoints.change_token(APP, names[2], TokenState.SUSPENDED, None)
    await look_again(keeper)
    assert await offered(keeper, names[4:]) == []


async def test_a_number_that_becomes_smaller_than_what_was_tried_still_has_endpoints(keeper: Keeper) -> None:
    """Or a single verdict would be all that such a stage can have."""
    await keeper.define({"count": 8, "soak": "PT1H", "minAttempted": 4})
    await keeper.tick()
    for name in sorted(await keeper.holders())[:5]:
        await keeper.desk.report(name, "1.1.0")
    await keeper.define({"count": 4, "soak": "PT1H", "minAttempted": 4})
    view = await keeper.tick(2)
    assert (view.sizes[0].endpoints, view.tallies[0].soaking, view.record.software.rollout.stage) == (4, 5, 0)


async def test_a_number_after_a_filter_is_filled_up_though_the_filter_has_made_more_attempts(desk: Desk) -> None:
    await desk.group("lab", "attributes.site == 'lab'")
    keeper, names = Keeper(desk), by_rank(12)
    for name in names[6:]:
        await desk.enrol(name, "1.0.0", attributes={"site": "lab"})
    await grow(keeper, names[:6])
    await keeper.define({"filter": "lab", "minAttempted": 1}, {"count": 2})
    await keeper.tick()
    assert await offered(keeper, names) == names[6:]
    for name in names[6:]:
        await desk.report(name, "1.1.0")
    await keeper.tick(3)
    assert await offered(keeper, names) == names[:2]


async def test_the_audit_says_why_a_stage_admits_others(desk: Desk) -> None:
    keeper, names = Keeper(desk), by_rank(200)
    await keeper.define({"percent": 1})
    await grow(keeper, names[-1:])
    await keeper.tick()
    await grow(keeper, names[:-1])
    await look_again(keeper)
    await desk.define("1.1.0", "1.0.0", rollout={"stages": [{"count": 3}, {"percent": 100}]})
    await keeper.tick()
    moves = [entry for entry in desk.bells.changes if entry.action.value == "rollout.widen"]
    assert [entry.author.reason for entry in moves] == [
        "stage 1: no endpoint is in its 1 %; it takes in the one of the lowest rank",
        "stage 1: endpoints are in its 1 % now; it takes in no other",
        "stage 1: it takes in the lowest ranks, 3 of 3 endpoints",
    ]


async def test_the_last_stage_is_not_finished_by_the_size_from_before_a_pause(keeper: Keeper) -> None:
    await keeper.desk.define("1.1.0", "1.0.0", rollout={"stages": [{"percent": 100, "minAttempted": 1}]})
    await keeper.desk.sweep()
    assert (await keeper.size()).waiting == 0
    await keeper.desk.report("e0", "1.1.0")
    await keeper.rollouts.pause(APP, NEW, by=ANONYMOUS)
    await keeper.tick()
    await keeper.rollouts.resume(APP, NEW, by=ANONYMOUS)
    await keeper.gates.tick()
    view = await keeper.rollouts.get(APP, NEW)
    assert (view.record.software.rollout.phase, view.sizes[0].waiting) == (Phase.RUNNING, 9)


async def test_a_paused_rollout_is_measured_and_stays_paused(keeper: Keeper) -> None:
    await keeper.define({"count": 3, "minAttempted": 1})
    await keeper.tick(2)
    await keeper.rollouts.pause(APP, NEW, by=ANONYMOUS)
    await keeper.tick()
    keeper.desk.clock.at += timedelta(seconds=2)
    view = await keeper.tick()
    assert (view.record.software.rollout.phase, view.sizes[0].waiting) == (Phase.PAUSED, 3)


@pytest.mark.parametrize(("status_code", "phase"), [(200, Phase.FINISHED), (500, Phase.PAUSED)])
async def test_after_its_end_a_rollout_is_judged_without_those_that_waited(
    keeper: Keeper, status_code: int, phase: Phase
) -> None:
    end = keeper.desk.clock.at + timedelta(hours=1)
    slots = {"stages": [{"percent": 100}], "limits": {"inProgress": 3}, "end": end.isoformat()}
    await keeper.desk.define("1.1.0", "1.0.0", rollout=slots)
    await keeper.desk.sweep()
    assert ((await keeper.tick()).sizes[0].waiting, len(await keeper.holders())) == (7, 3)
    keeper.desk.clock.at = end
    for name in await keeper.holders():
        await keeper.desk.report(name, "1.1.0", status_code)
    view = await keeper.tick()
    assert (view.sizes[0].waiting, view.sizes[0].left, view.record.software.rollout.phase) == (0, 7, phase)


async def test_a_last_stage_is_not_finished_while_endpoints_of_an_earlier_one_wait_for_an_offer(
    keeper: Keeper,
) -> None:
    """All are in the first stage; between two offers nothing is under way, so a limit must not look like the end."""
    await keeper.desk.group("lab", "true")
    stages = [{"filter": "lab", "minAttempted": 2}, {"percent": 100}]
    await keeper.desk.define("1.1.0", "1.0.0", rollout={"stages": stages, "limits": {"inProgress": 1}})
    await keeper.desk.sweep()
    pacer = Pacer(without_broker(keeper.desk.storage, keeper.desk.directory, keeper.desk.clock))
    for done in range(len(FLEET)):
        view = await keeper.tick()
        rollout = view.record.software.rollout
        assert (rollout.phase, rollout.stage) == (Phase.RUNNING, 0 if done < 2 else 1)
        await pacer.tick()
        (holder,) = await keeper.holders()
        await keeper.desk.report(holder, "1.1.0")
        keeper.desk.clock.at += LEAST_PAUSE
    view = await keeper.tick()
    assert (view.record.software.rollout.phase, view.tallies[1].confirmed) == (Phase.FINISHED, len(FLEET) - 2)


async def finished(keeper: Keeper) -> None:
    """A rollout of one stage that everybody has come to but one, who is not heard, and that an operator has ended."""
    await keeper.desk.define("1.1.0", "1.0.0", rollout={"stages": [{"percent": 100, "maxFailureRate": 0.2}]})
    await keeper.desk.sweep()
    for name in FLEET[1:]:
        await keeper.desk.report(name, "1.1.0")
    assert (await keeper.tick()).record.software.rollout.phase is Phase.RUNNING
    await keeper.rollouts.approve(APP, NEW, by=ANONYMOUS)


async def test_a_rollout_that_an_operator_has_ended_before_its_gate_stays_finished(keeper: Keeper) -> None:
    await finished(keeper)
    view = await keeper.tick(2)
    assert (view.record.software.rollout.phase, view.record.status.by) == (Phase.FINISHED, "anonymous")


async def test_a_late_revert_opens_a_finished_rollout_until_it_passes_anew(keeper: Keeper) -> None:
    await finished(keeper)
    await keeper.desk.report(FLEET[1], "1.0.0")
    opened = await keeper.tick()
    assert (opened.record.software.rollout.phase, opened.record.status.by) == (Phase.RUNNING, "otao")
    assert (opened.record.status.reason or "").startswith("1 went back since it finished; stage 1: ")
    await keeper.desk.report(FLEET[0], "1.1.0")
    keeper.desk.clock.at += LEAST_PAUSE
    closed = await keeper.tick(2)
    assert closed.record.software.rollout.phase is Phase.FINISHED
    moves = [entry.action.value for entry in keeper.desk.bells.changes if entry.action.value.startswith("rollout.")]
    assert moves == ["rollout.approve", "rollout.reopen", "rollout.finish"]


async def test_a_stage_that_waits_for_approval_has_passed_until_its_rollout_goes_on(keeper: Keeper) -> None:
    await keeper.define({"count": 2, "minAttempted": 1, "approval": "manual"})
    await keeper.tick(2)
    for name in await keeper.holders():
        await keeper.desk.report(name, "1.1.0")
    waiting = await keeper.tick()
    assert waiting.record.software.rollout.phase is Phase.WAITING_APPROVAL
    assert waiting.record.status.mark(0).passed_at == keeper.desk.clock.at
    paused = await keeper.rollouts.pause(APP, NEW, by=ANONYMOUS)
    assert paused.record.status.mark(0).passed_at is not None
    resumed = await keeper.rollouts.resume(APP, NEW, by=ANONYMOUS)
    assert resumed.record.status.mark(0).passed_at is None


async def test_the_audit_keeps_why_a_gate_has_moved_a_rollout(keeper: Keeper) -> None:
    await keeper.define({"count": 2, "minAttempted": 2})
    await keeper.tick(2)
    for name in await keeper.holders():
        await keeper.desk.report(name, "1.1.0", 500, "bricks")
    await keeper.tick()
    entry = keeper.desk.bells.changes[-1]
    assert (entry.action.value, entry.author.name, entry.author.via.value) == ("rollout.pause", "otao", "engine")
    assert entry.author.reason == "stage 1: failure rate 100 % (34.2-100 %) is over the limit 5 %"


class Abreast(Rollouts):
    """Rollouts that are moved when two want to move them, so that neither knows of the other's move."""

    def __init__(self, desk: Desk, both: asyncio.Barrier) -> None:
        self.sizes = Sizes(desk.storage, desk.clock, no_time)
        super().__init__(desk.storage, desk.revisions, self.sizes)
        self._both = both

    async def move(self, application: str, version: Version, step: Step, *, by: Author = OTAO, stops: bool) -> Moved:
        await self._both.wait()
        return await super().move(application, version, step, by=by, stops=stops)


@pytest.mark.parametrize(("status_code", "action", "stage"), [(200, "rollout.advance", 1), (500, "rollout.pause", 0)])
async def test_two_gates_that_have_read_the_same_numbers_move_a_rollout_once(
    keeper: Keeper, status_code: int, action: str, stage: int
) -> None:
    desk = keeper.desk
    await keeper.define({"count": 2, "minAttempted": 2, "maxFailureRate": 0.1}, {"count": 4}, {"count": 6})
    await keeper.tick(2)
    for name in await keeper.holders():
        await desk.report(name, "1.1.0", status_code)
    both = asyncio.Barrier(2)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for abreast in (Abreast(desk, both), Abreast(desk, both)):
            parts = without_broker(desk.storage, desk.directory, desk.clock)
            group.create_task(Gatekeeper(parts, abreast, abreast.sizes).tick())
    assert [entry.action.value for entry in desk.bells.changes].count(action) == 1
    assert (await keeper.rollouts.get(APP, NEW)).record.software.rollout.stage == stage
