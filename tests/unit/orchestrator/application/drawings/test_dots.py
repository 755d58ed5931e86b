"""The upgrade graph for Graphviz."""

from __future__ import annotations

from orchestrator.application.drawings import dots
from tests.unit.orchestrator.application.drawings.charts import EACH_OVER_EACH, EMPTY, KETTLES


def test_versions_edges_and_numbers_are_named() -> None:
    text = dots.draw(KETTLES)
    for line in (
        "digraph upgrades {",
        '  "(unknown)" [label="(unknown)\\n4", style="dotted"];',
        '  "0.9.0" [label="0.9.0\\n12\\nnot defined\\ndead end", style="dotted,bold"];',
        '  "1.2.0" [label="1.2.0\\n3\\nrecalled", style="diagonals,bold"];',
        '  "3.0.0" [label="3.0.0\\n0\\nsuspended\\nunreachable", style="dashed"];',
        '  "1.0.0" -> "1.1.0" [label="3 offered, 1 failed", style="dashed"];',
        '  "1.1.0" -> "2.0.0" [label="40 offered"];',
        '  "1.1.0" -> "1.2.0";',
        '  "(unknown)" -> "3.0.0";',
        "}",
    ):
        assert line in text.splitlines(), line


def test_no_edge_is_left_out() -> None:
    assert dots.draw(EACH_OVER_EACH).count(" -> ") == 1225


def test_an_empty_graph_is_a_graph() -> None:
    lines = dots.draw(EMPTY).splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("digraph upgrades {", "}", 3)


def test_texts_are_quoted() -> None:
    assert dots._quoted('a"b\\', "c") == '"a\\"b\\\\\\nc"'
