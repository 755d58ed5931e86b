"""The graph for operators, and whom a change concerns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.domain import graphs
from orchestrator.domain.policies import RolloutPolicy
from tests.unit.orchestrator.domain.builders import HOUR, NOW, catalogue, general, recalled, suspended, v

if TYPE_CHECKING:
    from orchestrator.domain.versions import Version

STEPS = (general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))
RUN = [v("0.9.0"), v("1.0.0"), v("1.1.0"), v("2.0.0")]


def names(found: set[Version | None]) -> set[str | None]:
    return {None if version is None else version.text for version in found}


def edges(graph: graphs.Graph) -> list[tuple[str | None, str]]:
    return [(edge.source.text if edge.source else None, edge.target.text) for edge in graph.edges]


def test_a_graph_has_the_versions_that_are_defined_or_run() -> None:
    graph = graphs.of(catalogue(*STEPS), [v("1.0.0"), v("0.9.0")], NOW)
    assert [(node.version.text, node.software is not None) for node in graph.nodes] == [
        ("0.9.0", False),
        ("1.0.0", True),
        ("1.1.0", True),
        ("2.0.0", True),
    ]
    assert edges(graph) == [("1.0.0", "1.1.0"), ("1.1.0", "2.0.0")]


def test_edges_lead_from_what_is_only_run_and_from_the_unknown() -> None:
    made = catalogue(general("1.0.0", "*"), general("1.1.0", "<1.0.0"))
    assert edges(graphs.of(made, [None, v("0.9.0")], NOW)) == [
        (None, "1.0.0"),
        ("0.9.0", "1.0.0"),
        ("0.9.0", "1.1.0"),
        ("1.1.0", "1.0.0"),
    ]
    assert edges(graphs.of(made, [], NOW)) == [("1.1.0", "1.0.0")]


def test_reachable_is_what_servable_software_leads_to_from_where_endpoints_are() -> None:
    made = catalogue(general("1.0.0"), suspended("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"), general("3.0.0", "*"))
    told = {node.version.text: node.reachable for node in graphs.of(made, [v("1.0.0")], NOW).nodes}
    assert told == {"1.0.0": True, "1.1.0": False, "2.0.0": False, "3.0.0": True}
    nobody = {node.version.text: node.reachable for node in graphs.of(made, [], NOW).nodes}
    assert nobody == {"1.0.0": True, "1.1.0": False, "2.0.0": False, "3.0.0": True}
    elsewhere = {
        node.version.text: node.reachable for node in graphs.of(catalogue(general("9.0.0", "5.0.0")), [], NOW).nodes
    }
    assert elsewhere == {"9.0.0": False}
    assert graphs.of(made, [None], NOW).nodes[-1].reachable


def test_software_whose_rollout_has_ended_leads_nowhere() -> None:
    made = catalogue(*STEPS[:2], replace(STEPS[2], policy=RolloutPolicy(end=NOW)))
    for at, open_ in ((NOW - HOUR, True), (NOW, False)):
        nodes = {node.version.text: node for node in graphs.of(made, [v("1.0.0")], at).nodes}
        assert (nodes["2.0.0"].reachable, nodes["1.1.0"].dead_end, nodes["1.0.0"].dead_end) == (open_, not open_, False)


def test_a_dead_end_has_higher_versions_and_no_way_to_any() -> None:
    made = catalogue(*STEPS, general("1.5.0", "1.0.0"), recalled("3.0.0", "2.0.0"))
    told = {node.version.text: node.dead_end for node in graphs.of(made, [v("0.9.0"), v("4.0.0")], NOW).nodes}
    assert told == {
        "0.9.0": True,
        "1.0.0": False,
        "1.1.0": False,
        "1.5.0": True,
        "2.0.0": True,
        "3.0.0": False,
        "4.0.0": False,
    }


def test_a_change_concerns_those_that_lead_to_it_and_those_on_it() -> None:
    before = catalogue(*STEPS)
    after = catalogue(STEPS[0], replace(STEPS[1], recalled_at=NOW), STEPS[2])
    assert names(graphs.concerned(before, after, RUN)) == {"1.0.0", "1.1.0"}


def test_what_was_added_or_removed_concerns_those_that_led_or_lead_to_it() -> None:
    shorter = catalogue(*STEPS[:2])
    assert names(graphs.concerned(shorter, catalogue(*STEPS), RUN)) == {"1.0.0", "1.1.0", "2.0.0"}
    assert names(graphs.concerned(catalogue(*STEPS), shorter, RUN)) == {"1.0.0", "1.1.0", "2.0.0"}


def test_a_star_concerns_everyone_the_unknown_too() -> None:
    after = catalogue(*STEPS, general("3.0.0", "*"))
    assert names(graphs.concerned(catalogue(*STEPS), after, RUN)) == {None, "0.9.0", "1.0.0", "1.1.0", "2.0.0"}


def test_no_change_concerns_nobody() -> None:
    assert graphs.concerned(catalogue(*STEPS), catalogue(*STEPS), RUN) == set()


def test_ways_through_stopped_software_count_for_it_may_be_started() -> None:
    before = catalogue(general("1.0.0"), suspended("1.1.0", "1.0.0"))
    after = catalogue(general("1.0.0"), suspended("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))
    assert names(graphs.concerned(before, after, RUN)) == {"1.0.0", "1.1.0", "2.0.0"}


def test_a_date_concerns_those_that_lead_to_what_opens() -> None:
    assert names(graphs.concerned_by(catalogue(*STEPS), {v("1.1.0")}, RUN)) == {"1.0.0", "1.1.0"}
    assert graphs.concerned_by(catalogue(*STEPS), set(), RUN) == set()
