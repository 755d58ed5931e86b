from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orchestrator.application.counters import CounterKey
from orchestrator.application.documents import fleets
from orchestrator.domain.versions import Version
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from tests.unit.orchestrator.application.desks import Desk

OLD, NEW = Version.parse("1.0.0"), Version.parse("1.1.0")


def key(name: str, version: Version | None = None, label: str = "", origin: Version | None = None) -> CounterKey:
    return CounterKey(1, name, version, origin, label)


def test_versions_that_nobody_runs_any_more_are_left_out() -> None:
    numbers = Counter({key("running", OLD): 3, key("running", NEW): 0, key("running"): 1, key("latest", OLD, "x"): 9})
    assert fleets.running(numbers) == {OLD: 3, None: 1}


def test_open_offers_are_those_that_are_offered_or_installing() -> None:
    numbers = Counter(
        {
            key("latest", NEW, "offered"): 2,
            key("latest", NEW, "installing"): 3,
            key("latest", NEW, "soaking"): 5,
            key("latest", NEW, "failed"): 7,
            key("latest", OLD, "offered"): 11,
            key("attempts", NEW, "offered"): 13,
        }
    )
    assert fleets.open_offers(numbers, NEW) == 5


async def test_failures_are_listed_the_most_frequent_first(desk: Desk) -> None:
    numbers = Counter(
        {
            key("failures", OLD, "b"): 1,
            key("failures", OLD, "a"): 1,
            key("failures", NEW, "rare"): 1,
            key("failures", NEW, "often"): 4,
            key("failures", NEW, "settled since"): 0,
        }
    )
    failures = fleets.build_summary(numbers, desk.revisions.entry(APP))["failures"]
    assert failures == [
        {"version": "1.1.0", "reason": "often", "endpoints": 4},
        {"version": "1.0.0", "reason": "a", "endpoints": 1},
        {"version": "1.0.0", "reason": "b", "endpoints": 1},
        {"version": "1.1.0", "reason": "rare", "endpoints": 1},
    ]


async def test_states_are_summed_over_versions_and_offers_of_what_is_gone_are_withdrawn(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    numbers = Counter(
        {
            key("latest", NEW, "offered"): 2,
            key("latest", OLD, "offered"): 3,
            key("latest", OLD, "withdrawn"): 4,
            key("latest", OLD, "confirmed"): 5,
            key("latest", NEW, "failed"): 0,
        }
    )
    states = fleets.build_summary(numbers, desk.revisions.entry(APP))["byState"]
    assert states == {"offered": 2, "confirmed": 5, "withdrawn": 7}


async def test_an_edge_counts_open_attempts_and_failures_of_every_kind(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0", "*")
    numbers = Counter(
        {
            key("running", OLD): 1,
            key("running"): 1,
            key("attempts", NEW, "offered", OLD): 1,
            key("attempts", NEW, "installing", OLD): 2,
            key("attempts", NEW, "failed", OLD): 4,
            key("attempts", NEW, "reverted", OLD): 8,
            key("attempts", NEW, "expired", OLD): 16,
            key("attempts", NEW, "confirmed", OLD): 32,
            key("attempts", NEW, "failed"): 64,
        }
    )
    assert fleets.build_graph(fleets.chart(numbers, desk.revisions.entry(APP)))["edges"] == [
        {"from": None, "to": "1.1.0", "offered": 0, "failed": 64},
        {"from": "1.0.0", "to": "1.1.0", "offered": 3, "failed": 28},
    ]
