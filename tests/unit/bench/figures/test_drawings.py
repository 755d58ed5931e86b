from __future__ import annotations

from xml.etree import ElementTree as ET

from bench.figures import drawings
from bench.figures.drawings import DARK, SERIES


def luminance(colour: str) -> float:
    """As the web's guidelines for contrast have it (WCAG 2.2, relative luminance)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_text_can_be_read_on_paper_of_either_colour() -> None:
    for colour in (drawings.INK, drawings.FAINT):
        assert contrast(colour, drawings.PAPER) >= 4.5
        assert contrast(DARK[colour], DARK[drawings.PAPER]) >= 4.5


def test_every_colour_has_one_for_the_dark() -> None:
    assert {drawings.PAPER, drawings.INK, drawings.FAINT, drawings.LINE, *SERIES} == set(DARK)
    for colour in SERIES:
        assert contrast(DARK[colour], DARK[drawings.PAPER]) >= 4.5


def test_a_drawing_is_xml_whose_words_are_text() -> None:
    svg = drawings.opened(20, 10, "a < b") + drawings.text(1, 2, "5 > 4 & more", weight="bold")
    root = ET.fromstring(f"{svg}{drawings.line((0, 0), (1, 1))}</svg>")  # noqa: S314 - written by the line above
    assert [element.text for element in root if element.text] == [
        "a < b",
        *[style.text for style in root if style.tag.endswith("style")],
        "5 > 4 & more",
    ]
