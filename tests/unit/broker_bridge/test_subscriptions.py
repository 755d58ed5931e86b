"""What a connection asks for, what of it is refused, and when it is asked for again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from broker_bridge.counters import Counters
from broker_bridge.errors import BrokerRefused
from broker_bridge.exchanges import Ending
from broker_bridge.options import LinkOptions
from broker_bridge.subscriptions import Subscriptions
from protocol.links import Subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

A, B, C = (Subscription(topic_filter=name) for name in "abc")
REFUSAL = 0x87


class Wire:
    """A broker that refuses some filters, and answers what was queued when it is told to."""

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)
        self.asked: list[str] = []
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._waiting: list[tuple[asyncio.Future[list[int]], list[int]]] = []

    async def subscribe(self, subscriptions: Sequence[Subscription]) -> list[int]:
        return self._codes(subscriptions)

    def ask_for(self, subscriptions: Sequence[Subscription]) -> asyncio.Future[list[int]]:
        return self._queued(self._codes(subscriptions))

    def ask_to_end(self, topic_filters: Sequence[str]) -> asyncio.Future[list[int]]:
        self.asked += [f"-{name}" for name in topic_filters]
        return self._queued([])

    def answer(self) -> None:
        for future, codes in self._waiting:
            future.set_result(codes)
        self._waiting.clear()

    def took(self) -> list[str]:
        """What was asked since the last look."""
        asked, self.asked = self.asked, []
        return asked

    def _codes(self, subscriptions: Sequence[Subscription]) -> list[int]:
        self.asked += [item.topic_filter for item in subscriptions]
        return [REFUSAL if item.topic_filter in self.refused else 1 for item in subscriptions]

    def _queued(self, codes: list[int]) -> asyncio.Future[list[int]]:
        future: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, codes))
        return future


class Scene:
    """The subscriptions of one connection, and a clock."""

    def __init__(
        self,
        wire: Wire,
        *wanted: Subscription,
        varying: bool = True,
        unwanted: tuple[str, ...] = (),
        left: bool = False,
        renewed: bool = False,
    ) -> None:
        self.now = 0.0
        self.counters = Counters()
        options = LinkOptions(
            url="mqtt://localhost",
            client_id="c",
            subscriptions=wanted,
            varying=varying,
            unwanted=unwanted,
            renewed=renewed,
            resubscribe=timedelta(seconds=60),
        )
        self.left = {"given-up"} if left else set()
        self.held = Subscriptions(options, wire, self.counters, left=self.left, clock=lambda: self.now)


async def test_a_new_session_is_subscribed_in_and_a_kept_one_asked_again_where_it_may_have_others() -> None:
    wire = Wire()
    await Scene(wire, A, B).held.begin()
    assert wire.took() == ["a", "b"]
    Scene(wire, A, unwanted=("x",)).held.resume(4)
    assert wire.took() == ["a", "-x"]
    for level, asked in ((5, ["a"]), (4, [])):
        Scene(wire, A, varying=False).held.resume(level)
        assert wire.took() == asked


async def test_a_kept_session_that_may_lack_some_is_asked_for_all_of_them() -> None:
    wire = Wire()
    scene = Scene(wire, A, B, varying=False, renewed=True)
    scene.held.resume(4)
    assert wire.took() == ["a", "b"]
    assert not scene.held.answered
    wire.answer()
    scene.held.tick()
    assert scene.held.answered


async def test_nothing_is_asked_where_nothing_is_wanted() -> None:
    wire = Wire()
    scene = Scene(wire)
    await scene.held.begin()
    scene.held.resume(5)
    scene.held.cover(())
    await asyncio.wait_for(scene.held.covered(), 5)
    assert wire.took() == []


async def test_what_changes_is_asked_for_and_given_up_and_waited_for_by_whoever_asks() -> None:
    wire = Wire()
    scene = Scene(wire, A, B)
    scene.held.cover((B, C))
    assert wire.took() == ["c", "-a"]
    assert [scene.held.matches(name) for name in "abc"] == [False, True, True]
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(scene.held.covered()) for _ in range(2))
        await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        wire.answer()
    await asyncio.wait_for(scene.held.covered(), 5)


async def test_nobody_waits_for_a_connection_that_has_ended() -> None:
    wire = Wire()
    scene = Scene(wire)
    scene.held.cover((A,))
    wire.ended.set_result(Ending(reason="cut"))
    await asyncio.wait_for(scene.held.covered(), 5)


async def test_a_refusal_is_one_of_us_where_subscriptions_do_not_vary() -> None:
    wire = Wire("b")
    scene = Scene(wire, A, B, varying=False)
    with pytest.raises(BrokerRefused, match="subscription to b"):
        await scene.held.begin()
    scene.held.resume(5)
    scene.held.tick()
    wire.answer()
    with pytest.raises(BrokerRefused, match="subscription to b"):
        scene.held.tick()


async def test_where_they_vary_a_refused_one_is_logged_and_asked_for_again_until_it_is_granted() -> None:
    wire = Wire("b")
    scene = Scene(wire, A, B)
    with capture_logs() as logs:
        await scene.held.begin()
    assert [(entry["event"], entry["topic_filter"], entry["reason_code"]) for entry in logs] == [
        ("broker.subscription-refused", "b", REFUSAL)
    ]
    wire.took()
    assert scene.held.refused == ["b"]
    for at, asked in ((59.0, []), (60.0, ["b"]), (121.0, [])):
        scene.now = at
        scene.held.tick()
        assert wire.took() == asked
    assert scene.held.refused == ["b"]
    wire.answer()
    scene.held.tick()
    assert scene.counters.refused_subscriptions == 2
    wire.refused.clear()
    scene.now = 181.0
    scene.held.tick()
    wire.answer()
    scene.held.tick()
    assert (wire.took(), scene.held.refused) == (["b"], [])
    scene.now = 1000.0
    scene.held.tick()
    assert wire.took() == []


async def test_a_refused_one_that_is_not_wanted_any_more_is_not_asked_for_again() -> None:
    wire = Wire("a", "b")
    scene = Scene(wire, A)
    await scene.held.begin()
    scene.held.cover((B,))
    scene.held.cover(())
    wire.answer()
    scene.held.tick()
    wire.took()
    scene.now = 1000.0
    scene.held.tick()
    assert wire.took() == []


async def test_what_was_given_up_is_left_until_the_broker_says_that_it_has_ended() -> None:
    wire = Wire()
    scene = Scene(wire, A, unwanted=("x",), left=True)
    scene.held.resume(5)
    assert wire.took() == ["a", "-x", "-given-up"]
    scene.held.tick()
    assert scene.left == {"given-up"}
    wire.answer()
    scene.held.tick()
    assert scene.left == set()
    scene.held.cover((B,))
    scene.held.tick()
    assert scene.left == {"a"}
    wire.answer()
    scene.held.tick()
    assert scene.left == set()


async def test_a_new_session_has_nothing_that_could_be_left() -> None:
    scene = Scene(Wire(), A, left=True)
    await scene.held.begin()
    assert scene.left == set()
