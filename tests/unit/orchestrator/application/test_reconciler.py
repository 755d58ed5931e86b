from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.outages import Outages
from orchestrator.application.publisher import Publisher
from orchestrator.application.reconciler import Reconciler
from tests.parts import Retainer, with_link
from tests.unit.orchestrator.application.desks import open_desk

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.application.parts import Parts
    from tests.unit.orchestrator.application.desks import Desk

SENTINEL = "otao/v1/partition/main/sentinel"
OFFERED = 2


def topic(token: str) -> str:
    return f"kp1/kettle-v1/cmx_ota/{token}/config/json/status"


class Bench:
    """A reconciler, its publisher, and a broker that retains."""

    def __init__(self, desk: Desk) -> None:
        self.link = Retainer()
        self.parts: Parts = with_link(self.link, desk.storage, desk.directory, desk.clock)
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
