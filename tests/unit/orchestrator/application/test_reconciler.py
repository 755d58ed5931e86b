from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.outages import Outages
from orchestrator.application.presence import Presence
from orchestrator.application.publisher import Publisher
from orchestrator.application.reconciler import Reconciler
from protocol.links import LinkLost
from tests.parts import Retainer, with_link
from tests.services import eventually
from tests.unit.orchestrator.application.desks import open_desk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from orchestrator.application.parts import Parts
    from protocol.links import Outbound
    from tests.unit.orchestrator.application.desks import Desk

MARKER = "otao/v1/partition/main/marker"
SENTINEL = "otao/v1/partition/main/sentinel"
OFFERED = 2


def topic(token: str) -> str:
    return f"kp1/kettle-v1/cmx_ota/{token}/config/json/status"


class Bench:
    """A reconciler, its publisher, and a broker that retains."""

    def __init__(self, desk: Desk, *, subscribed: int | None = None) -> None:
        self.link = Retainer()
        parts = with_link(self.link, desk.storage, desk.directory, desk.clock)
        self.parts: Parts = replace(parts, subscribed=subscribed)
        self.publisher = Publisher(self.parts, watermark=0, parked=set())
        self.reconciler = Reconciler(self.parts, self.publisher, Outages(), lost_at=None)

    async def reconcile(self) -> None:
        assert self.link.connection is not None
        await self.parts.presence.mark(self.link.connection.number)
        await self.reconciler._reconcile(self.link.connection)
        await self.publish()

    async def publish(self) -> None:
        while await self.publisher._slice():
            pass


@pytest.fixture
async def bench(desk: Desk) -> Bench:
    """Two endpoints hold an offer, and the broker retains both."""
    await desk.define("1.1.0", "1.0.0")
    for token in ("a", "b"):
        await desk.enrol(token, "1.0.0")
    made = Bench(desk)
    await made.reconcile()
    await made.publisher.raise_sentinel()
    assert sorted(made.link.retained) == [topic("a"), topic("b"), SENTINEL]
    made.link.sent.clear()
    return made


def pushed(bench: Bench) -> list[str]:
    return [message.topic for message in bench.link.sent if message.topic.startswith("kp1/")]


async def test_an_equal_sentinel_needs_nothing(bench: Bench) -> None:
    await bench.reconcile()
    assert pushed(bench) == []
    assert bench.parts.tallies.reconciliations["equal"] == 1


async def test_an_absent_sentinel_has_everything_rendered(bench: Bench) -> None:
    bench.link.retained.clear()
    await bench.reconcile()
    assert pushed(bench) == [topic("a"), topic("b")]


async def test_a_lower_sentinel_has_what_followed_rendered(bench: Bench) -> None:
    bench.link.retained[SENTINEL] = json.dumps({"installation": "test", "revision": OFFERED - 1}).encode()
    await bench.reconcile()
    assert pushed(bench) == [topic("b")]
    assert bench.parts.tallies.reconciliations["lower"] == 1


@pytest.mark.parametrize(
    "sentinel",
    [
        '{"installation":"another","revision":2}',
        '{"installation":"test","revision":99}',
        '{"installation":"test","generation":1,"revision":2}',
        '{"installation":"test"}',
        '{"installation":"test","revision":"x"}',
        "[]",
        "nonsense",
    ],
)
async def test_a_sentinel_of_another_or_of_a_later_database_has_everything_rendered(
    bench: Bench, sentinel: str
) -> None:
    bench.link.retained[SENTINEL] = sentinel.encode()
    await bench.reconcile()
    assert pushed(bench) == [topic("a"), topic("b")]
    assert bench.parts.tallies.reconciliations["unknown"] == 1


async def test_a_sample_that_agrees_changes_nothing(bench: Bench) -> None:
    await bench.reconciler.sample()
    await bench.publish()
    assert pushed(bench) == []
    assert bench.parts.tallies.mismatches == 0


async def test_a_sample_that_differs_has_everything_rendered(bench: Bench) -> None:
    honest = dict(bench.link.retained)
    bench.link.retained[topic("a")] = b"forged"
    del bench.link.retained[topic("b")]
    await bench.reconciler.sample()
    await bench.publish()
    assert bench.link.retained == honest
    assert bench.parts.tallies.mismatches == 2


async def test_a_parked_topic_is_known_to_differ_and_has_nothing_rendered(bench: Bench, desk: Desk) -> None:
    bench.link.refused = {topic("a")}
    await desk.report("a", "1.1.0")
    await bench.publish()
    assert await desk.storage.all_parked_topics() == bench.link.refused
    bench.link.sent.clear()
    await bench.reconciler.sample()
    await bench.publish()
    assert (bench.parts.tallies.mismatches, bench.link.sent) == (0, [])


async def test_a_topic_that_changed_meanwhile_is_no_difference(bench: Bench, desk: Desk) -> None:
    await desk.report("a", "1.1.0")
    await bench.reconciler.sample()
    assert bench.parts.tallies.mismatches == 0


async def test_a_sample_reads_the_topics_of_consent_of_those_that_were_ever_asked(tmp_path: Path) -> None:
    async with open_desk(tmp_path, consent="required") as desk:
        await desk.define("1.1.0", "1.0.0")
        for token in ("a", "b"):
            await desk.enrol(token, "1.0.0")
        bench = Bench(desk)
        await bench.reconcile()
        honest = dict(bench.link.retained)
        asks = {token: topic(token).replace("config", "consent") for token in ("a", "b")}
        assert sorted(honest) == sorted(asks.values())
        await bench.reconciler.sample()
        assert bench.parts.tallies.mismatches == 0
        bench.link.retained[asks["a"]] = b"forged"
        del bench.link.retained[asks["b"]]
        await bench.reconciler.sample()
        await bench.publish()
        assert bench.link.retained == honest
        assert bench.parts.tallies.mismatches == 2


async def test_the_time_without_a_connection_is_kept_as_an_outage(bench: Bench, desk: Desk) -> None:
    started = desk.clock.at
    bench.reconciler.lost()
    desk.clock.at = started.replace(hour=started.hour + 1)
    bench.reconciler.lost()
    await bench.reconcile()
    assert await desk.storage.outages() == [(started, desk.clock.at)]


class Echo(Retainer):
    """A broker that brings our marker back, after it was refused or lost as often as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.presence: Presence
        self.refusals = 0
        self.losses = 0
        self.markers: list[bytes] = []
        self.failures = 0
        """How often reading back fails."""

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        if messages[0].topic != MARKER:
            return await super().publish(messages)
        self.markers += [message.payload for message in messages]
        if self.refusals:
            self.refusals -= 1
            return [0x97]
        if self.losses:
            self.losses -= 1
        else:
            assert self.connection is not None
            await self.presence.mark(self.connection.number)
        return [0]

    async def read_retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        if self.failures:
            self.failures -= 1
            raise LinkLost("no second connection")
        return await super().read_retained(topics)


class Echoing(Bench):
    """A broker that has lost everything, and a reconciler that has not begun."""

    link: Echo

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.link = Echo()
        self.parts = replace(self.parts, link=self.link, presence=Presence())
        self.link.presence = self.parts.presence
        self.publisher = Publisher(self.parts, watermark=0, parked=set())
        self.reconciler = Reconciler(self.parts, self.publisher, Outages(), lost_at=None)


@pytest.fixture
def echoing(bench: Bench, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Echoing:
    monkeypatch.setattr("orchestrator.application.reconciler.AGAIN_SECONDS", 0.01)
    monkeypatch.setattr("orchestrator.application.reconciler.PAUSE_SECONDS", 0.01)
    return Echoing(desk)


async def reconciled(bench: Echoing, during: Callable[[], Awaitable[None]] | None = None) -> None:
    """Let the reconciler run until the broker's present connection is reconciled, and publish."""
    link, presence = bench.link, bench.parts.presence
    assert link.connection is not None

    async def until() -> bool:
        return link.connection is not None and presence.reconciled == link.connection.number

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        running = group.create_task(bench.reconciler.run())
        await presence.greet(link.connection)
        if during is not None:
            await during()
        await eventually(until, "reconciled")
        running.cancel()
    await bench.publish()
    assert pushed(bench) == [topic("a"), topic("b")]


async def test_a_marker_that_the_broker_refuses_is_sent_again(echoing: Echoing) -> None:
    echoing.link.refusals = 2
    await reconciled(echoing)
    assert echoing.link.markers == [echoing.parts.presence.marker(1)] * 3


async def test_a_marker_that_the_broker_has_taken_and_lost_is_sent_again(echoing: Echoing) -> None:
    echoing.link.losses = 2
    await reconciled(echoing)
    assert echoing.link.markers == [echoing.parts.presence.marker(1)] * 3


async def test_a_marker_that_was_lost_with_its_connection_keeps_the_next_one_from_nothing(
    echoing: Echoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.application.reconciler.AGAIN_SECONDS", 60)
    link, presence = echoing.link, echoing.parts.presence
    link.losses = 1

    async def sent() -> bool:
        return bool(link.markers)

    async def connect_anew() -> None:
        await eventually(sent, "a marker")
        assert link.connection is not None
        link.connection = replace(link.connection, number=2)
        await presence.greet(link.connection)

    await reconciled(echoing, connect_anew)
    assert link.markers == [presence.marker(1), presence.marker(2)]


async def test_a_second_connection_that_fails_is_made_again(echoing: Echoing) -> None:
    echoing.link.failures = 2
    await reconciled(echoing)
    assert echoing.link.failures == 0


async def test_invariant_1_a_connection_that_came_up_meanwhile_is_not_told_what_another_has(bench: Bench) -> None:
    assert bench.link.connection is not None
    bench.link.retained.clear()
    bench.link.connection = replace(bench.link.connection, number=2)
    await bench.publisher.raise_sentinel()
    assert bench.link.retained == {}


async def test_what_is_subscribed_to_is_kept_when_the_marker_has_come_and_only_when_it_is_new(desk: Desk) -> None:
    for subscribed, commits, kept in ((None, 0, {}), (7, 1, {0: 7}), (7, 0, {0: 7}), (8, 1, {0: 8}), (None, 0, {0: 8})):
        before = desk.storage.commits
        await Bench(desk, subscribed=subscribed).reconcile()
        assert (desk.storage.commits - before, await desk.storage.deliveries()) == (commits, kept)
