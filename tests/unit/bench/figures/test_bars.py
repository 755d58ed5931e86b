from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from bench.figures import bars
from bench.figures.bars import Bar

SVG = "{http://www.w3.org/2000/svg}"


def bar(*values: float) -> Bar:
    return Bar(text="a & b", values=values, must=0.3, aim=0.5)


def drawn(*rows: Bar) -> ET.Element:
    return ET.fromstring(bars.svg("Title", "note", "as fast", rows))  # noqa: S314 - written by this line


def places(root: ET.Element) -> dict[str, float]:
    return {element.text or "": float(element.attrib["x"]) for element in root.iter(f"{SVG}text")}


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.29,), "below what must be"),
        ((0.3,), "must reached"),
        ((0.49, 0.2, 0.9), "must reached"),
        ((0.5,), "aim reached"),
    ],
)
def test_the_median_is_what_is_judged(values: tuple[float, ...], verdict: str) -> None:
    assert bar(*values).verdict == verdict


def test_a_bar_ends_at_its_median_and_its_marks_stand_where_the_axis_says() -> None:
    root = drawn(bar(0.6, 0.2, 0.7))
    at = places(root)
    (rect,) = (element for element in root.iter(f"{SVG}rect") if "x" in element.attrib)
    assert float(rect.attrib["x"]) + float(rect.attrib["width"]) == pytest.approx(at["0.6"])
    assert at["must 0.30"] == pytest.approx((at["0.2"] + at["0.4"]) / 2)
    assert at["aim 0.50"] == pytest.approx((at["0.4"] + at["0.6"]) / 2)


def test_the_spread_goes_from_the_least_to_the_most() -> None:
    root = drawn(bar(0.6, 0.2, 0.7, 0.4))
    at = places(root)
    spread = [(at["0.2"], (at["0.6"] + at["0.8"]) / 2)]
    lines = [[float(one.attrib[end]) for end in ("x1", "x2")] for one in root.iter(f"{SVG}line")]
    assert [one for one in lines if one[0] != one[1]] == [pytest.approx(ends) for ends in spread]


def test_it_says_in_words_what_it_shows() -> None:
    root = drawn(bar(0.2), bar(0.35, 0.45))
    assert [title.text for title in root.iter(f"{SVG}title")] == [
        "Title",
        "a & b: 0.20, below what must be; must 0.30, aim 0.50",
        "a & b: 0.40 (0.35-0.45), must reached; must 0.30, aim 0.50",
    ]
    assert "a & b: 0.20, below what must be" in places(root)


@pytest.mark.parametrize(("value", "last"), [(0.1, "1.0"), (0.99, "1.0"), (1.01, "1.2"), (2.4, "2.4")])
def test_the_axis_goes_to_1_and_as_far_as_there_is_anything(value: float, last: str) -> None:
    at = places(drawn(bar(value)))
    assert max(at, key=lambda words: at[words] if "." in words and " " not in words else 0) == last
    width = float(drawn(bar(value)).attrib["width"])
    assert at[last] < width
