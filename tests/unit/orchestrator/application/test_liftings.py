"""A stop that is lifted while its sweep is under way: what was rendered as cleared meanwhile is shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.classes import Renewal
from orchestrator.application.preconditions import UNCONDITIONAL
from orchestrator.application.publisher import Publisher
from orchestrator.application.sweeps import Sweeper
from orchestrator.domain.facts import Progressed
from orchestrator.domain.versions import Version
from protocol.progress import ProgressState
from tests.parts import Retainer, with_link, without_broker
from tests.unit.orchestrator.application.desks import APP, open_desk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.unit.orchestrator.application.desks import Desk

NEW = Version.parse("1.1.0")
STOPS: dict[str, tuple[Callable[[Desk], Awaitable[object]], Callable[[Desk], Awaitable[object]]]] = {
    "freeze": (lambda desk: desk.freezes.set(APP, ANONYMOUS), lambda desk: desk.freezes.lift(APP, ANONYMOUS)),
    "freeze of all": (lambda desk: desk.freezes.set(None, ANONYMOUS), lambda desk: desk.freezes.lift(None, ANONYMOUS)),
    "pause": (
        lambda desk: desk.rollouts.pause(APP, NEW, by=ANONYMOUS),
        lambda desk: desk.rollouts.resume(APP, NEW, by=ANONYMOUS),
    ),
    "suspension": (
        lambda desk: desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended"),
        lambda desk: desk.define("1.1.0", "1.0.0"),
    ),
    "deletion": (
        lambda desk: desk.definitions.delete(APP, NEW, UNCONDITIONAL),
        lambda desk: desk.define("1.1.0", "1.0.0"),
    ),
}
every_stop = pytest.mark.parametrize("stop", STOPS)


class Stand:
    """A desk with a publisher and a broker that retains."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.link = Retainer()
        self.publisher = Publisher(
            with_link(self.link, desk.storage, desk.directory, desk.clock), watermark=0, parked=set()
        )
        self.publisher.resume(1, 0)

    async def publish(self) -> dict[str, bytes]:
        await self.publisher.drain()
        return dict(self.link.retained)

    async def sweep(self) -> None:
        """Draw the consequences of all changes, one after the other, and publish after each."""
        sweeper = Sweeper(without_broker(self.desk.storage, self.desk.directory, self.desk.clock))
        for work in await self.desk.storage.works():
            await sweeper.work_off(work)
            await self.publish()

    async def renewed(self) -> list[Renewal | None]:
        return [work.renews for work in await self.desk.storage.works()]


@every_stop
async def test_invariant_1_an_offer_that_was_cleared_by_a_stop_that_was_lifted_before_its_sweep_is_retained_again(
    desk: Desk, stop: str
) -> None:
    stand, (begin, lift) = Stand(desk), STOPS[stop]
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    shown = await stand.publish()
    assert len(shown) == 1
    await desk.enrol("b", "1.0.0")
    await begin(desk)
    # The one offer is rendered only now; a broker whose store is not known gets the other one's topic cleared.
    stand.publisher.resume(1, 0)
    assert await stand.publish() == {}
    await lift(desk)
    assert Renewal.SHOWN in await stand.renewed()
    await desk.sweep()
    retained = await stand.publish()
    assert len(retained) == 2
    assert retained.items() >= shown.items()


@every_stop
async def test_a_stop_that_was_drawn_to_its_end_leaves_nothing_to_be_shown(desk: Desk, stop: str) -> None:
    stand, (begin, lift) = Stand(desk), STOPS[stop]
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    await begin(desk)
    await desk.sweep()
    assert await stand.publish() == {}
    await lift(desk)
    assert await stand.renewed() == [None]
    await desk.sweep()
    assert len(await stand.publish()) == 1


async def test_software_that_is_defined_while_a_sweep_is_under_way_is_shown_once(desk: Desk) -> None:
    """Nobody was offered it before, so that no stop has hidden it."""
    stand = Stand(desk)
    await desk.enrol("a", "1.0.0")
    await desk.define("1.0.0", "1.1.0")
    await desk.define("1.1.0", "1.0.0")
    assert await stand.renewed() == [None, None]
    await desk.sweep()
    await stand.publish()
    assert len(stand.link.sent) == 1


async def test_an_offer_that_is_live_is_not_sent_again_when_a_stop_is_lifted(tmp_path: Path) -> None:
    """A device that acts on every one it sees would install again."""
    async with open_desk(tmp_path, push="live") as desk:
        stand, (begin, lift) = Stand(desk), STOPS["pause"]
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("a", "1.0.0")
        await stand.publish()
        await begin(desk)
        await lift(desk)
        await desk.sweep()
        await stand.publish()
        assert len(stand.link.sent) == 1


async def test_invariant_1_an_ask_that_was_cleared_by_a_stop_is_retained_again(tmp_path: Path) -> None:
    for mode in ("retained", "live"):
        folder = tmp_path / mode
        folder.mkdir()
        async with open_desk(folder, push=mode, consent="required") as desk:
            stand, (begin, lift) = Stand(desk), STOPS["pause"]
            await desk.define("1.1.0", "1.0.0")
            await desk.enrol("a", "1.0.0")
            asked = await stand.publish()
            assert len(asked) == 1
            await begin(desk)
            stand.publisher.resume(1, 0)
            assert await stand.publish() == {}
            await lift(desk)
            await desk.sweep()
            assert await stand.publish() == asked


@pytest.mark.parametrize("consent", ["required", "none"])
@pytest.mark.parametrize("stop", ["freeze", "pause"])
async def test_each_is_told_once_when_a_stop_is_lifted_that_had_come_to_some(
    tmp_path: Path, stop: str, consent: str
) -> None:
    """One is withdrawn by what it says in the meantime, the other one is still as it was when the stop is lifted."""
    async with open_desk(tmp_path, consent=consent) as desk:
        stand, (begin, lift) = Stand(desk), STOPS[stop]
        await desk.define("1.1.0", "1.0.0")
        for name in ("a", "b"):
            await desk.enrol(name, "1.0.0")
        shown = await stand.publish()
        assert len(shown) == 2
        await begin(desk)
        await desk.report("a", "1.0.0")
        assert len(await stand.publish()) == 1
        stand.link.sent.clear()
        await lift(desk)
        await stand.sweep()
        assert await stand.publish() == shown
        told = sorted(message.topic for message in stand.link.sent if message.payload)
        assert told == sorted(shown)


async def test_who_is_shown_an_ask_again_is_not_told_besides_that_its_software_says_something_else(
    tmp_path: Path,
) -> None:
    async with open_desk(tmp_path, consent="required") as desk:
        stand = Stand(desk)
        await desk.define("1.1.0", "1.0.0")
        await desk.enrol("a", "1.0.0")
        await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
        await stand.publish()
        await desk.define("1.1.0", "1.0.0", metadata={"description": "fast"})
        stand.link.sent.clear()
        await stand.sweep()
        (told,) = [message for message in stand.link.sent if message.payload]
        assert b"fast" in told.payload


async def test_what_was_started_is_not_pushed_again(desk: Desk) -> None:
    stand, (begin, lift) = Stand(desk), STOPS["pause"]
    await desk.define("1.1.0", "1.0.0")
    await desk.enrol("a", "1.0.0")
    started = Progressed(version=NEW, state=ProgressState.INSTALLING, percent=None, message=None, at=desk.clock.at)
    await desk.hear("a", started)
    await stand.publish()
    await begin(desk)
    await lift(desk)
    await desk.sweep()
    await stand.publish()
    assert len(stand.link.sent) == 1
