"""The upgrade graph as SVG: well formed, free of style and script, and everything in words as well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from orchestrator.application.drawings import rails, svgs
from tests.unit.orchestrator.application.drawings.charts import EACH_OVER_EACH, EMPTY, KETTLES, chart
from tests.unit.orchestrator.domain.builders import general

if TYPE_CHECKING:
    from orchestrator.application.drawings.charts import Chart

SVG = "{http://www.w3.org/2000/svg}"
LONG = chart([general("1.0.0-alpha.beta.gamma.delta.1+sha.0123456789abcdef")], {})


def parsed(given: Chart) -> ET.Element:
    return ET.fromstring(svgs.draw(given))  # noqa: S314 - our own drawing


def texts(element: ET.Element, kind: str) -> list[str]:
    return [found.text or "" for found in element.iter(f"{SVG}text") if found.get("class") == kind]


@pytest.mark.parametrize("given", [KETTLES, EMPTY, EACH_OVER_EACH, LONG])
def test_nothing_that_a_strict_page_refuses(given: Chart) -> None:
    for element in parsed(given).iter():
        assert element.tag.removeprefix(SVG) in {"svg", "title", "rect", "path", "g", "circle", "text"}
        assert not {name for name in element.attrib if name == "style" or name.startswith("on") or "href" in name}


def test_every_version_has_its_name_number_and_words() -> None:
    drawing = parsed(KETTLES)
    assert texts(drawing, "graph-name") == ["3.0.0", "2.0.0", "1.2.0", "1.1.0", "1.0.0", "0.9.0", "(unknown)"]
    assert texts(drawing, "graph-number") == ["0", "2,405", "3", "100", "80", "12", "4"]
    assert texts(drawing, "graph-note") == [
        "suspended; unreachable",
        "dead end; from 1.1.0: 40 offered; from 1.2.0: 1 offered",
        "recalled",
        "from 1.0.0: 3 offered, 1 failed",
        "not defined; dead end",
    ]
    titles = [found.text for found in drawing.iter(f"{SVG}title")]
    assert titles[0] == "Upgrade graph"
    assert "1.1.0: 100 endpoints; from 1.0.0: 3 offered, 1 failed" in titles


def test_a_shape_differs_where_a_colour_does() -> None:
    rows = {row.find(f"{SVG}text").text: row for row in parsed(KETTLES).iter(f"{SVG}g")}  # type: ignore[union-attr]
    assert rows["1.2.0"].find(f"{SVG}path[@class='graph-cross']") is not None
    assert rows["1.2.0"].find(f"{SVG}text[@text-decoration='line-through']") is not None
    assert rows["3.0.0"].find(f"{SVG}circle[@class='graph-ring']") is not None
    assert rows["2.0.0"].find(f"{SVG}circle[@class='graph-disc']") is not None
    assert rows["0.9.0"].find(f"{SVG}circle[@stroke-dasharray='2 2']") is not None


def test_each_rail_is_a_path_and_each_target_a_head() -> None:
    layout, drawing = rails.lay_out(KETTLES), parsed(KETTLES)
    kinds = [path.get("class") for path in drawing.iter(f"{SVG}path")]
    assert kinds.count("graph-rail") == len(layout.rails)
    assert kinds.count("graph-head") == sum(len(rail.targets) for rail in layout.rails)


def test_everything_stands_within_the_drawing() -> None:
    drawing = parsed(EACH_OVER_EACH)
    width, height = (float(drawing.get(name) or 0) for name in ("width", "height"))
    for path in drawing.iter(f"{SVG}path"):
        for x, y in re.findall(r"[ML](-?\d+) (-?\d+)", path.get("d") or ""):
            assert 0 <= float(x) <= width
            assert 0 <= float(y) <= height


def test_a_long_name_is_cut_and_whole_in_the_title() -> None:
    drawing = parsed(LONG)
    (name,) = texts(drawing, "graph-name")
    assert (len(name), name[-1]) == (24, "…")
    assert any(LONG.places[0].version.text in (title.text or "") for title in drawing.iter(f"{SVG}title"))


def test_a_page_may_put_an_address_behind_each_version() -> None:
    text = svgs.draw(KETTLES, link=lambda version: f'/a?b="{version}"&c')
    assert "<a href='/a?b=\"2.0.0\"&amp;c'>" in text
    assert text.count("<a ") == len(KETTLES.places)
    ET.fromstring(text)  # noqa: S314 - our own drawing


def test_what_was_left_out_and_what_is_missing_is_said() -> None:
    assert texts(parsed(EACH_OVER_EACH), "graph-note")[-1].startswith("Left out: ")
    assert texts(parsed(EMPTY), "graph-note") == [
        "There is no version yet: define software, or let an endpoint report."
    ]
