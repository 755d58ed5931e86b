from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.clocks import SUSPENSION
from orchestrator.application.gatekeeper import Gatekeeper
from orchestrator.application.outages import Outages
from orchestrator.application.paces import Pace
from orchestrator.application.publisher import Publisher
from orchestrator.application.reconciler import Reconciler
from orchestrator.application.sizes import Sizes
from orchestrator.application.timers import PRUNED, Timers
from orchestrator.domain.facts import Progressed
from orchestrator.domain.versions import Version
from tests.parts import Retainer, no_time, with_link
from tests.unit.orchestrator.application.desks import CREATE, START, application_body, definition
from tests.unit.orchestrator.application.test_clocks import Machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from orchestrator.application.ports import Clock
    from orchestrator.persistence.transactions import SqlTransaction
    from tests.unit.orchestrator.application.desks import Desk

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
DEADLINE_SECONDS = 20


class Watch:
    """Timers over a broker that only retains."""

    def __init__(self, desk: Desk, clock: Clock | None = None) -> None:
        self.link = Retainer()
        parts = with_link(self.link, desk.storage, desk.directory, clock or desk.clock)
        self.presence = parts.presence
        self.tallies = parts.tallies
        self.outages = Outages()
        publisher = Publisher(parts, watermark=0, parked=set())
        reconciler = Reconciler(parts, publisher, self.outages, lost_at=None)
        gatekeeper = Gatekeeper(parts, desk.rollouts, Sizes(desk.storage, desk.clock, no_time))
        self.timers = Timers(parts, publisher, reconciler, self.outages, gatekeeper, sample_every=DAY)
        self.presence.reconciled = 1


@pytest.fixture
async def watch(desk: Desk) -> Watch:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    made = Watch(desk)
    await made.timers.tick()
    return made


async def install(desk: Desk) -> None:
    fact = Progressed(version=Version.parse("1.1.0"), state="installing", at=desk.clock.at)
    await desk.hear("a", fact)


async def test_an_offer_comes_again_when_the_back_off_is_over(desk: Desk, watch: Watch) -> None:
    await desk.report("a", "1.1.0", 500, "no room")
    assert await desk.offer_of("a") is None
    desk.clock.at += 9 * MINUTE
    await watch.timers.tick()
    assert await desk.offer_of("a") is None
    desk.clock.at += MINUTE
    await watch.timers.tick()
    assert await desk.offer_of("a") == "1.1.0"


async def test_a_reached_attempt_expires_at_its_deadline(desk: Desk, watch: Watch) -> None:
    await install(desk)
    desk.clock.at += DAY - MINUTE
    await watch.timers.tick()
    assert await desk.offer_of("a") == "1.1.0"
    desk.clock.at += MINUTE
    await watch.timers.tick()
    assert await desk.offer_of("a") is None


async def test_an_outage_puts_the_deadline_off(desk: Desk, watch: Watch) -> None:
    await install(desk)
    watch.outages.add(START + MINUTE, START + 61 * MINUTE)
    desk.clock.at += DAY + 59 * MINUTE
    await watch.timers.tick()
    assert await desk.offer_of("a") == "1.1.0"
    desk.clock.at += MINUTE
    await watch.timers.tick()
    assert await desk.offer_of("a") is None


async def test_nothing_is_due_before_the_connection_is_reconciled(desk: Desk, watch: Watch) -> None:
    await install(desk)
    desk.clock.at += 2 * DAY
    watch.presence.reconciled = 0
    await watch.timers.tick()
    assert await desk.offer_of("a") == "1.1.0"
    watch.presence.reconciled = 1
    await watch.timers.tick()
    assert await desk.offer_of("a") is None


async def test_a_rollout_date_becomes_one_work_item(desk: Desk, watch: Watch) -> None:
    await desk.group("lab", "attributes.site == 'lab'")
    uses = [{"filterId": "lab", "rolloutDate": (START + 30 * MINUTE).isoformat()}]
    await desk.define("2.0.0", "1.0.0", rolloutStrategy="targeted", filters=uses)
    await desk.sweep()
    desk.clock.at += 29 * MINUTE
    await watch.timers.tick()
    assert await desk.storage.works() == []
    desk.clock.at += MINUTE
    await watch.timers.tick()
    await watch.timers.tick()
    (work,) = await desk.storage.works()
    assert work.running is not None
    assert Version.parse("1.0.0") in work.running


async def test_kill_after_the_first_commit_of_dates_that_come_at_once_loses_those_of_no_application(
    desk: Desk, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"upgradableFrom": ["*"], "rolloutStrategy": "general", "specification": {}}
    dated = json.dumps({**body, "rollout": {"start": (START + MINUTE).isoformat()}})
    await desk.applications.put("toaster", application_body(appVersions=["toaster-v1"]), CREATE)
    for name in ("kettle", "toaster"):
        await desk.definitions.put(name, Version.parse("2.0.0"), definition(dated), CREATE)
    await desk.sweep()
    desk.clock.at += MINUTE
    really = desk.storage.edit

    @asynccontextmanager
    async def killing() -> AsyncIterator[SqlTransaction]:
        async with really() as edit:
            yield edit
        raise ZeroDivisionError

    with monkeypatch.context() as killed:
        killed.setattr(desk.storage, "edit", killing)
        with pytest.raises(ZeroDivisionError):
            await watch.timers.tick()
    await Watch(desk).timers.tick()
    assert {work.application for work in await desk.storage.works()} == {1, 2}


async def test_a_sleep_of_a_day_expires_nobody_until_an_hour_has_been_there_to_be_heard(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    await install(desk)
    machine = Machine(wall_at=START)
    watch = Watch(desk, clock := machine.clock())
    machine.pass_time(DAY + MINUTE)
    await watch.timers.tick()
    assert await desk.offer_of("a") == "1.1.0"
    machine.watch(clock, 61 * MINUTE)
    await watch.timers.tick()
    assert await desk.offer_of("a") is None


async def test_what_is_overdue_after_a_jump_is_looked_at_once_and_again_when_deadlines_count(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    await install(desk)
    machine = Machine(wall_at=START)
    watch = Watch(desk, clock := machine.clock())
    machine.pass_time(3 * DAY)
    await watch.timers.tick()
    assert await desk.storage.next_due() == START + 3 * DAY + SUSPENSION
    machine.watch(clock, SUSPENSION - MINUTE)
    await watch.timers.tick()
    assert watch.tallies.deadlines == 1
    assert await desk.offer_of("a") == "1.1.0"
    machine.watch(clock, MINUTE)
    await watch.timers.tick()
    assert watch.tallies.deadlines == 2
    assert await desk.offer_of("a") is None


async def test_superseded_pushes_are_dropped_in_one_go_whatever_the_gaps_between_revisions(
    desk: Desk, watch: Watch
) -> None:
    async def revisions() -> list[int]:
        return [push.revision for push in await desk.storage.pushes(0, 100)]

    desk.clock.at += timedelta(minutes=10)
    for version in ("1.0.0", "1.1.0", "1.0.0"):
        desk.storage._numbers.take("revision", 10 * PRUNED)
        await desk.report("a", version)
    before = await revisions()
    watch.timers._publisher.watermark = before[-1] + 10 * PRUNED
    await watch.timers.prune()
    assert await revisions() == before[-1:]
    await desk.enrol("b", "1.0.0")
    await desk.report("b", "1.1.0")
    grown = await revisions()
    watch.timers._publisher.watermark = grown[-1]
    await watch.timers.prune()
    assert await revisions() == grown
    desk.clock.at += timedelta(minutes=10)
    await watch.timers.prune()
    assert len(await revisions()) < len(grown)


async def test_pushes_are_pruned_without_the_writer_where_none_is_superseded_and_else_a_few_at_a_time(
    desk: Desk, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "c"):
        await desk.enrol(name, "1.0.0")
    await desk.sweep()
    pushes = await desk.storage.pushes(0, 100)
    watch.timers._publisher.watermark = pushes[-1].revision
    desk.clock.at += timedelta(minutes=10)
    async with asyncio.timeout(DEADLINE_SECONDS), desk.storage.transaction():
        # Nobody else can write now.
        await watch.timers.prune()
    assert await desk.storage.pushes(0, 100) == pushes
    for name in ("a", "b", "c"):
        await desk.report(name, "1.1.0")
    desk.clock.at += timedelta(minutes=10)
    watch.timers._dropping = Pace(most=2, size=2)
    really, left = desk.storage.transaction, []

    @asynccontextmanager
    async def counted() -> AsyncIterator[SqlTransaction]:
        async with really() as transaction:
            yield transaction
        left.append(len(await desk.storage.pushes(0, 100)))

    watch.timers._publisher.watermark = await desk.storage.last_revision()
    monkeypatch.setattr(desk.storage, "transaction", counted)
    await watch.timers.prune()
    assert left == [4, 3]
    assert {push.key for push in await desk.storage.pushes(0, 100)} == {push.key for push in pushes}
