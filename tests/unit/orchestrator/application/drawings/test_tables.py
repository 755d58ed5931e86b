"""The upgrade graph as text."""

from __future__ import annotations

from orchestrator.application.drawings import rails, tables
from tests.unit.orchestrator.application.drawings.charts import EACH_OVER_EACH, EMPTY, KETTLES, chart
from tests.unit.orchestrator.domain.builders import general


def test_a_line_says_everything_of_a_version() -> None:
    lines = tables.draw(KETTLES).splitlines()
    assert [line.partition("▶ ")[2] or line.partition("── ")[2] for line in lines] == [
        "3.0.0          0  suspended, unreachable",
        "2.0.0      2,405  dead end; from 1.1.0: 40 offered; from 1.2.0: 1 offered",
        "1.2.0          3  recalled",
        "1.1.0        100  from 1.0.0: 3 offered, 1 failed",
        "1.0.0         80",
        "0.9.0         12  not defined, dead end",
        "(unknown)      4",
    ]


def test_rails_begin_at_discs_and_arrive_at_arrows() -> None:
    made = chart([general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.0.0", "1.1.0")], {})
    assert tables.draw(made) == ("╭─┬─▶ 2.0.0  0\n├─●─▶ 1.1.0  0\n●──── 1.0.0  0\n")


def test_a_line_that_only_crosses_a_rail_leaves_it_whole() -> None:
    made = chart(
        [general("1.0.0"), general("1.1.0"), general("1.2.0", "1.0.0"), general("1.3.0", "1.1.0"), general("1.4.0")],
        {},
    )
    assert tables.draw(made).splitlines()[1:] == [
        "  ╭─▶ 1.3.0  0  dead end",
        "╭─│─▶ 1.2.0  0  dead end",
        "│ ●── 1.1.0  0",
        "●──── 1.0.0  0",
    ]


def test_what_was_left_out_is_said() -> None:
    omitted = rails.lay_out(EACH_OVER_EACH).omitted
    last = tables.draw(EACH_OVER_EACH).splitlines()[-1]
    assert last == f"Left out: {omitted} edges that nobody is on and that a longer way covers."


def test_fifty_versions_fit_a_terminal() -> None:
    lines = tables.draw(EACH_OVER_EACH).splitlines()
    assert len(lines) == 51
    assert max(map(len, lines)) <= 80


def test_an_empty_graph_says_what_to_do() -> None:
    assert tables.draw(EMPTY) == "There is no version yet: define software, or let an endpoint report.\n"


def test_a_row_in_words_counts_one_endpoint_as_one() -> None:
    rows = rails.lay_out(chart([general("1.0.0")], {"1.0.0": 1}, unknown=2)).rows
    assert [tables.of_row(row) for row in rows] == ["1.0.0: 1 endpoint", "(unknown): 2 endpoints"]
