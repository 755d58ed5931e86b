from __future__ import annotations

from dataclasses import replace

from orchestrator.application import measures
from orchestrator.domain.policies import RolloutPolicy
from tests.unit.orchestrator.domain.builders import HOUR, NOW, catalogue, general, recalled, suspended, v

RUNNING = {None, v("0.9.0"), v("1.0.0"), v("1.1.0"), v("2.0.0"), v("3.0.0")}


def test_whoever_can_come_to_a_software_by_what_can_be_served_belongs_to_its_stages() -> None:
    goal = general("2.0.0", "1.1.0")
    chain = catalogue(general("1.0.0", "0.9.0"), general("1.1.0", "1.0.0"), goal)
    assert measures.leading(chain, goal, RUNNING, NOW) == {v("0.9.0"), v("1.0.0"), v("1.1.0")}


def test_what_is_stopped_leads_nowhere_but_the_software_itself_counts_as_it_is() -> None:
    goal = suspended("2.0.0", "1.1.0")
    broken = catalogue(general("1.0.0", "0.9.0"), suspended("1.1.0", "1.0.0"), goal)
    assert measures.leading(broken, goal, RUNNING, NOW) == {v("1.1.0")}


def test_what_has_ended_leads_nowhere_but_the_software_itself_counts_as_it_is() -> None:
    ends = RolloutPolicy(end=NOW)
    goal = replace(general("2.0.0", "1.1.0"), policy=ends)
    between = replace(general("1.1.0", "1.0.0"), policy=ends)
    chain = catalogue(general("1.0.0", "0.9.0"), between, goal)
    assert measures.leading(chain, goal, RUNNING, NOW) == {v("1.1.0")}
    assert measures.leading(chain, goal, RUNNING, NOW - HOUR) == {v("0.9.0"), v("1.0.0"), v("1.1.0")}


def test_who_runs_what_is_recalled_is_rescued_outside_stages() -> None:
    goal = general("2.0.0", "1.0.0", "1.1.0")
    assert measures.leading(catalogue(recalled("1.1.0"), goal), goal, RUNNING, NOW) == {v("1.0.0")}


def test_nobody_comes_down_and_who_has_said_nothing_comes_over_a_star() -> None:
    goal = general("2.0.0", "*")
    assert measures.leading(catalogue(goal), goal, RUNNING, NOW) == RUNNING - {v("2.0.0"), v("3.0.0")}
