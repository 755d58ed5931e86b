"""What a drawing says of versions and edges in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.orchestrator.application.drawings.charts import KETTLES, chart
from tests.unit.orchestrator.domain.builders import general, targeted

if TYPE_CHECKING:
    from orchestrator.application.drawings.charts import Chart


def marks(given: Chart) -> dict[str, tuple[str, ...]]:
    return {place.version.text: place.marks for place in given.places}


def test_marks_say_what_is_to_be_known_of_a_version() -> None:
    assert marks(KETTLES) == {
        "0.9.0": ("not defined", "dead end"),
        "1.0.0": (),
        "1.1.0": (),
        "1.2.0": ("recalled",),
        "2.0.0": ("dead end",),
        "3.0.0": ("suspended", "unreachable"),
    }
    assert marks(chart([targeted("1.0.0")], {"1.0.0": 1})) == {"1.0.0": ("targeted",)}
    assert marks(chart([general("9.0.0", "8.0.0")], {})) == {"9.0.0": ("unreachable",)}


def test_traffic_is_told_where_there_is_some() -> None:
    told = {(str(way.source), way.target.text): way.traffic for way in KETTLES.ways}
    assert told["1.0.0", "1.1.0"] == "3 offered, 1 failed"
    assert told["1.1.0", "2.0.0"] == "40 offered"
    assert told["1.1.0", "1.2.0"] == ""


def test_every_endpoint_is_counted_once() -> None:
    assert KETTLES.endpoints == 12 + 80 + 100 + 3 + 2405 + 4
