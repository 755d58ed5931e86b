from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.counters import CounterKey
from orchestrator.application.documents import fleets
from orchestrator.domain.freezes import Freeze
from orchestrator.domain.rollouts import Phase, Rollout
from orchestrator.domain.versions import Version
from tests.contract.storages import APP as APPLICATION
from tests.contract.storages import NOW, entry_of
from tests.unit.orchestrator.application.desks import APP
from tests.unit.orchestrator.domain.builders import general, recalled, suspended

if TYPE_CHECKING:
    from orchestrator.domain.software import Software
    from tests.unit.orchestrator.application.desks import Desk

OLD, NEW = Version.parse("1.0.0"), Version.parse("1.1.0")
PAUSED = replace(general("1.1.0"), rollout=Rollout(phase=Phase.PAUSED))


def key(name: str, version: Version | None = None, label: str = "", origin: Version | None = None) -> CounterKey:
    return CounterKey(1, name, version, origin, label)


def test_versions_that_nobody_runs_any_more_are_left_out() -> None:
    numbers = Counter({key("running", OLD): 3, key("running", NEW): 0, key("running"): 1, key("latest", OLD, "x"): 9})
    assert fleets.running(numbers) == {OLD: 3, None: 1}


@pytest.mark.parametrize(
    ("before", "after", "ended"),
    [
        (general("1.1.0"), None, 5),
        (general("1.1.0"), recalled("1.1.0"), 5),
        (general("1.1.0"), general("1.1.0", given=False), 5),
        # Started installs go on.
        (general("1.1.0"), suspended("1.1.0"), 2),
        (general("1.1.0"), PAUSED, 2),
        # What has ended is not counted again.
        (PAUSED, suspended("1.1.0"), 0),
        (PAUSED, recalled("1.1.0"), 3),
        (suspended("1.1.0"), None, 3),
        (recalled("1.1.0"), None, 0),
        (general("1.1.0"), general("1.1.0"), 0),
    ],
)
def test_what_ends_is_what_could_be_seen_and_cannot_any_more(
    before: Software, after: Software | None, ended: int
) -> None:
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
    entry = entry_of(APPLICATION, [general("1.0.0"), before])
    assert fleets.ending(numbers, entry, NEW, after) == ended


def test_a_freeze_has_ended_what_is_not_started() -> None:
    numbers = Counter({key("latest", NEW, "offered"): 2, key("latest", NEW, "installing"): 3})
    freeze = Freeze(since=NOW, by="ops", reason=None, everywhere=False)
    entry = entry_of(replace(APPLICATION, frozen=freeze), [general("1.1.0")])
    assert fleets.ending(numbers, entry, NEW, None) == 3


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
    failures = fleets.build_summary(numbers, desk.revisions.entry(APP), None)["failures"]
    assert failures == [
        {"version": "1.1.0", "reason": "often", "endpoints": 4},
        {"version": "1.0.0", "reason": "a", "endpoints": 1},
        {"version": "1.0.0", "reason": "b", "endpoints": 1},
        {"version": "1.1.0", "reason": "rare", "endpoints": 1},
    ]


async def test_failures_of_the_fifty_most_frequent_reasons_are_listed_and_those_of_others_added_up(desk: Desk) -> None:
    numbers = Counter({key("failures", NEW, f"{number:03}"): 200 - number for number in range(60)})
    failures = fleets.build_summary(numbers, desk.revisions.entry(APP), None)["failures"]
    assert isinstance(failures, list)
    assert len(failures) == 51
    assert failures[49] == {"version": "1.1.0", "reason": "049", "endpoints": 151}
    assert failures[50] == {"version": None, "reason": "other", "endpoints": sum(range(141, 151))}


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
    states = fleets.build_summary(numbers, desk.revisions.entry(APP), None)["byState"]
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
    assert fleets.build_graph(fleets.chart(numbers, desk.revisions.entry(APP), NOW))["edges"] == [
        {"from": None, "to": "1.1.0", "offered": 0, "failed": 64},
        {"from": "1.0.0", "to": "1.1.0", "offered": 3, "failed": 28},
    ]
